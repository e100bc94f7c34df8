"""StatsD clients of Python against a server: statsd_clients.py PROGRAM.

Needs the packages statsd, datadog and redis.
"""

import os
import sys
import tempfile

import datadog
import redis
import statsd
from server import Server, reaches


def main(program):
    socket = os.path.join(tempfile.mkdtemp(), "statsd")
    with Server(program, "--statsd-tcp", "127.0.0.1:0", "--statsd-socket", socket) as server:
        values = redis.Redis(port=server.resp, protocol=3)

        def counted(name, expected):
            reaches(lambda: values.get(name), str(expected).encode())

        client = statsd.StatsClient("127.0.0.1", server.statsd, prefix="web")
        for _ in range(100):
            client.incr("hits")
        counted("web.hits", 100)
        client.incr("hits", 5)
        client.decr("hits", 3)
        client.timing("latency", 12)
        client.gauge("load", 7)
        client.set("users", "a")
        with client.pipeline() as pipeline:
            pipeline.incr("batched", 2)
            pipeline.incr("batched", 3)
        counted("web.hits", 102)
        counted("web.batched", 5)

        # A sampled count arrives as its multiple, or not at all.
        for part in range(10):
            for _ in range(100):
                client.incr("sampled", rate=0.25)
            # The kernel drops what it has no room for, so what was sent has to be counted first.
            client.incr("parts")
            counted("web.parts", part + 1)
        sampled = int(values.get("web.sampled"))
        assert sampled % 4 == 0 and 600 < sampled < 1400, sampled

        dogstatsd = datadog.DogStatsd(host="127.0.0.1", port=server.statsd, disable_telemetry=True)
        dogstatsd.increment("page.views", tags=["country:china", "beta"])
        dogstatsd.increment("page.views", 4, tags=["beta", "country:china"])
        dogstatsd.histogram("size", 3)
        dogstatsd.event("title", "text")
        dogstatsd.service_check("check", 0)
        dogstatsd.flush()
        counted("page.views|#beta,country:china", 5)

        unix = datadog.DogStatsd(socket_path=socket, disable_telemetry=True, constant_tags=["env:test"])
        unix.increment("unix", 6)
        unix.flush()
        counted("unix|#env:test", 6)

        stream = statsd.TCPStatsClient("127.0.0.1", server.statsd_tcp, prefix="tcp")
        for _ in range(1000):
            stream.incr("hits")
        stream.decr("hits", 3)
        stream.timing("latency", 12)
        with stream.pipeline() as pipeline:
            pipeline.incr("batched", 2)
            pipeline.incr("batched", 3)
        stream.close()
        # A stream loses nothing.
        counted("tcp.hits", 997)
        counted("tcp.batched", 5)
        assert values.dbsize() == 8, list(values.scan_iter())
    print("statsd, over UDP and TCP, and datadog: counted")


main(sys.argv[1])
