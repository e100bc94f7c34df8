"""Servers that the scripts here talk to."""

import re
import socket
import subprocess
import tempfile
import time


class Server:
    """Process of counter-server on free ports, which ends with the block."""

    def __init__(self, program, *flags):
        self.dir = tempfile.TemporaryDirectory()
        any_port = "127.0.0.1:0"
        command = [program, "--memory", "--resp", any_port, "--http", "off", "--statsd", any_port, *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stderr if "RESP on " in line)
        self.resp = port(line, "RESP on ")
        self.statsd = port(line, "StatsD on ")
        self.statsd_tcp = port(line, "over TCP on ") if "--statsd-tcp" in flags else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait() == 0, "the server did not end in order"
        self.process.stderr.close()


class Redis:
    """Process of redis-server, if it is installed."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.resp = free.getsockname()[1]
        command = ["redis-server", "--port", str(self.resp), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        next(line for line in self.process.stdout if "eady to accept connections" in line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def port(line, before):
    return int(re.search(re.escape(before) + r"127\.0\.0\.1:(\d+)", line).group(1))


def reaches(value, expected, seconds=30):
    """Waits until a function returns the expected value."""
    deadline = time.monotonic() + seconds
    while (found := value()) != expected:
        assert time.monotonic() < deadline, f"{found!r} instead of {expected!r}"
        time.sleep(0.01)
