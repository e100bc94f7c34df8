"""Counts through redis-py, and limits rates by INCR and EXPIRE."""

import os
import threading
import time

import redis

PORT = int(os.environ["COUNTER_PORT"])


def refused(call, text):
    try:
        call()
    except redis.ResponseError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"expected: {text}")


def counts(protocol):
    client = redis.Redis(port=PORT, protocol=protocol, decode_responses=True)
    client.flushall()
    assert client.ping()
    assert (client.incr("a"), client.incr("a", 41), client.decr("a"), client.decrby("a", 1)) == (1, 42, 41, 40)
    assert client.get("a") == "40" and client.get("none") is None
    assert client.mget("a", "none") == ["40", None]
    assert client.set("b", 5, nx=True, ex=100) is True and client.set("b", 6, nx=True) is None
    assert 70 < client.ttl("b") <= 100 and 70_000 < client.pttl("b") <= 100_000
    assert client.set("b", 7, get=True) == "5" and client.ttl("b") == -1
    assert client.expire("b", 50) and not client.expire("b", 100, lt=True) and client.persist("b")
    assert client.exists("a", "a", "none") == 2 and client.type("a") == "string"
    assert client.getset("b", 8) == "7" and client.getdel("b") == "8" and client.delete("a", "a") == 1
    refused(lambda: client.set("a", "text"), "not an integer")
    refused(lambda: client.execute_command("LPUSH", "a", 1), "unknown command")

    with client.pipeline(transaction=False) as pipeline:
        for n in range(1000):
            pipeline.incr(f"name:{n % 10}")
        assert pipeline.execute()[-10:] == [100] * 10
    with client.pipeline() as pipeline:
        assert pipeline.incr("t").expire("t", 100).get("t").execute() == [1, True, "1"]
    assert sorted(client.scan_iter("name:*", count=3)) == [f"name:{n}" for n in range(10)]
    assert client.dbsize() == 11
    assert client.client_id() > 0 and client.client_setname("me") and client.client_getname() == "me"
    assert any(entry["name"] == "me" for entry in client.client_list())
    assert client.config_get("save") == {"save": ""} and client.info("server")["redis_mode"] == "standalone"
    assert client.command_count() > 40
    assert client.wait(0, 10) == 0

    session = client.execute_command("COUNT.SESSION")
    for _ in range(3):
        assert client.execute_command("COUNT.ADD", session, 1, "once", 5, "t", -1) == [5, 0]
    assert client.execute_command("COUNT.TOP", 1) == [["name:0", 100]]


def values_are_unique():
    values = []

    def count():
        client = redis.Redis(port=PORT)
        values.extend([client.incr("unique") for _ in range(500)])

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == list(range(1, 4001))


def limits_a_rate():
    """A fixed window of its own making, as most programs have."""
    client = redis.Redis(port=PORT)

    def allowed(user, limit, window):
        name = f"rate:{user}:{int(time.time()) // 1000}"
        with client.pipeline() as pipeline:
            hits, _ = pipeline.incr(name).expire(name, window).execute()
        return hits <= limit

    assert [allowed("x", 3, 100) for _ in range(5)] == [True, True, True, False, False]


for protocol in (2, 3):
    counts(protocol)
values_are_unique()
limits_a_rate()
