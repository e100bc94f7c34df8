"""Teaches schemathesis the media types of the server that it does not know."""

import json

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
def before_call(context, case, kwargs):
    """Leaves out an idempotency key that schemathesis takes for valid, although it does not match the pattern."""
    if case.headers and case.headers.get("Idempotency-Key") == "0":
        del case.headers["Idempotency-Key"]
