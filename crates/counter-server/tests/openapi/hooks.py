"""Teaches schemathesis the media types of the server that it does not know."""

import json
import os

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Writes one item a line. What is no list is sent as it is, to be refused."""
    items = value if isinstance(value, list) else [value]
    return "".join(json.dumps(item) + "\n" for item in items).encode()


@schemathesis.deserializer("application/x-ndjson")
def items(context, response):
    return [json.loads(line) for line in response.content.splitlines()]


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Demands a token, as a server does that has tokens."""
    if "TOKEN" in os.environ:
        raw_schema["security"] = [scheme for scheme in raw_schema["security"] if scheme]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leaves out what schemathesis takes for valid although its schema does not: a key that does not match the pattern, and
    the name of a counter without a path, which a line of JSON can have."""
    if case.headers and case.headers.get("Idempotency-Key") == "0":
        del case.headers["Idempotency-Key"]
    if case.path_parameters and case.path_parameters.get("name") == "":
        case.path_parameters["name"] = "a"
