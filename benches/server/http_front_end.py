#!/usr/bin/env python3
"""Measures the HTTP front end beside a bare axum handler that adds to one atomic number, interleaved.

Build first: cargo build --release -p counter-server --bin counter-server --example bare_http. Needs wrk.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
import urllib.request

# Front ends that are not measured.
OFF = ["--resp", "off", "--statsd", "off"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = """
wrk.method = "POST"
wrk.body = '{"by":1}'
wrk.headers["Content-Type"] = "application/json"
local requests, count = {}, 0
init = function()
    for n = 1, NAMES do requests[n] = wrk.format(nil, "/v1/counters/c" .. n) end
end
request = function()
    count = count % NAMES + 1
    return requests[count]
end
"""


def cpu_seconds(pid):
    """Returns the processor time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def wait_for(url):
    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(url, b'{"by":0}', {"Content-Type": "application/json"}))
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def measure(server, port, script, options):
    """Returns requests per second, and processor microseconds of the server for each."""
    before = cpu_seconds(server.pid)
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", "-s", script, f"http://127.0.0.1:{port}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return rate, (cpu_seconds(server.pid) - before) / requests * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default=ROOT / "target", type=pathlib.Path)
    parser.add_argument("--connections", default=50, type=int)
    parser.add_argument("--seconds", default=4, type=int)
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--names", default=10_000, type=int)
    parser.add_argument("--threads", default=1, type=int, help="of each server")
    options = parser.parse_args()
    release = options.target / "release"
    with tempfile.TemporaryDirectory() as work:
        script = pathlib.Path(work, "add.lua")
        script.write_text(SCRIPT.replace("NAMES", str(options.names)))
        contestants = {
            "bare axum": ([release / "examples/bare_http", "127.0.0.1:18371"], 18371),
            "counter-server, memory": ([release / "counter-server", "--memory", "--http", "127.0.0.1:18372", *OFF], 18372),
            "counter-server, durable in rounds": (
                [release / "counter-server", "--data", f"{work}/data", "--http", "127.0.0.1:18373", *OFF],
                18373,
            ),
        }
        threads = str(options.threads)
        # Tokio's variable for the bare handler, ours for the server.
        environment = os.environ | {"TOKIO_WORKER_THREADS": threads, "COUNTER_THREADS": threads}
        servers = {
            name: (subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment), port)
            for name, (command, port) in contestants.items()
        }
        try:
            results = {name: [] for name in servers}
            for server, port in servers.values():
                wait_for(f"http://127.0.0.1:{port}/v1/counters/c0")
            for _ in range(options.rounds):
                for name, (server, port) in servers.items():
                    results[name].append(measure(server, port, script, options))
        finally:
            for server, _ in servers.values():
                server.terminate()
                server.wait()
    base = statistics.median(rate for rate, _ in results["bare axum"])
    print("| | requests/s | ratio | CPU µs per request |\n|---|---|---|---|")
    for name, measured in results.items():
        rate = statistics.median(rate for rate, _ in measured)
        cpu = statistics.median(cpu for _, cpu in measured)
        print(f"| {name} | {rate:,.0f} | {rate / base:.2f} | {cpu:.1f} |")


main()
