"""Rate limiters and caches that use INCR and EXPIRE, and no Lua: limiters.py PROGRAM.

Each makes the same decisions with this server as with Redis, if redis-server is installed. Needs the packages redis,
django, django-ratelimit and cachelib.
"""

import shutil
import sys
import time

import django
import redis
from cachelib import RedisCache
from django.conf import settings
from django.test import RequestFactory
from server import Redis, Server


def fixed_window(client):
    """The first pattern of Redis's documentation: a counter that expires, for each client and window."""

    def allowed(who):
        hits = client.incr(f"window:{who}")
        if hits == 1:
            client.expire(f"window:{who}", 60)
        return hits <= 3

    decisions = [allowed(who) for who in "aabaaabb"]
    assert 0 < client.ttl("window:a") <= 60
    return decisions


def transaction(client):
    """A counter and its deadline in one transaction, as many limiters do it."""

    def hits(who):
        with client.pipeline(transaction=True) as pipeline:
            pipeline.incr(f"multi:{who}")
            pipeline.expire(f"multi:{who}", 60, nx=True)
            return pipeline.execute()

    return [hits(who) for who in "aab"]


def sliding_window(client):
    """Weighs the last window's counter, read together with this one's."""
    client.set("slide:0", 8, ex=120)
    decisions = []
    for part in [0.0, 0.5, 0.5, 0.75, 1.0]:
        last, this = client.mget("slide:0", "slide:1")
        if int(last or 0) * (1 - part) + int(this or 0) < 6:
            with client.pipeline(transaction=False) as pipeline:
                pipeline.incrby("slide:1", 1)
                pipeline.expire("slide:1", 120)
                decisions.append(pipeline.execute())
        else:
            decisions.append(None)
    return decisions


def login_attempts(client):
    """Blocks after three failures until the counter expires; a success removes it."""
    decisions = []
    for _ in range(4):
        client.set("login:a", 0, ex=60, nx=True)
        decisions.append(client.incr("login:a") > 3)
    decisions.append(client.delete("login:a"))
    decisions.append(client.get("login:a"))
    # At once, so that it has not expired before.
    with client.pipeline() as pipeline:
        pipeline.set("login:b", 0, px=50, nx=True).incr("login:b").execute()
    while client.exists("login:b"):
        time.sleep(0.01)
    # It begins anew, without the deadline.
    decisions += [client.incr("login:b"), client.ttl("login:b")]
    return decisions


def quota(client):
    """Takes back what is above a quota."""
    decisions = []
    for amount in [40, 50, 30, 10, 1]:
        left = client.decrby("quota", amount) + 100
        if left < 0:
            client.incrby("quota", amount)
        decisions.append(left >= 0)
    return decisions + [client.getdel("quota")]


def cache_of_pallets(client):
    """cachelib, which Flask-Caching and others use."""
    cache = RedisCache(client, default_timeout=60, key_prefix="cachelib:")
    found = [cache.set("a", 5), cache.inc("a"), cache.dec("a", 3), cache.get("a"), cache.add("a", 1)]
    found += [cache.inc("b"), cache.has("b"), cache.get_many("a", "b"), cache.delete("a"), cache.get("a")]
    return found


def cache_of_django(client):
    """Django's own cache in Redis."""
    from django.core.cache import caches

    cache = caches[str(client.connection_pool.connection_kwargs["port"])]
    found = [cache.set("a", 5, 60), cache.incr("a"), cache.decr("a", 3), cache.get("a"), cache.add("a", 1)]
    found += [cache.touch("a", 30), cache.get_or_set("b", 7, None), cache.get_many(["a", "b", "c"]), cache.delete("b")]
    return found + [cache.has_key("a"), cache.has_key("b")]


def django_ratelimit(client):
    """Decorator of Django views."""
    from django_ratelimit.core import is_ratelimited

    settings.RATELIMIT_USE_CACHE = str(client.connection_pool.connection_kwargs["port"])
    requests = [RequestFactory().get("/", REMOTE_ADDR=address) for address in ["10.0.0.1"] * 4 + ["10.0.0.2"]]
    # One window that does not end meanwhile.
    return [is_ratelimited(request, group="g", key="ip", rate="3/d", increment=True) for request in requests]


ALL = [
    fixed_window, transaction, sliding_window, login_attempts, quota, cache_of_pallets, cache_of_django,
    django_ratelimit,
]


def decisions(port):
    client = redis.Redis(port=port)
    return {limiter.__name__: limiter(client) for limiter in ALL}


def configure(*ports):
    caches = {
        str(port): {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}",
        }
        for port in ports
    }
    settings.configure(CACHES=caches | {"default": caches[str(ports[0])]}, SECRET_KEY="of this test")
    django.setup()


def main(program):
    with Server(program) as server:
        if shutil.which("redis-server") is None:
            print("SKIPPED: the comparison with Redis, which is not installed")
            configure(server.resp)
            decisions(server.resp)
            return
        with Redis() as reference:
            configure(server.resp, reference.resp)
            ours, theirs = decisions(server.resp), decisions(reference.resp)
    for name, expected in theirs.items():
        assert ours[name] == expected, f"{name}: {ours[name]} instead of {expected}"
        print(f"{name}: as with Redis: {expected}")


main(sys.argv[1])
