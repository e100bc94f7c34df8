#!/usr/bin/env python3
"""Measures what replication costs, with servers as processes on this machine.

    benches/cluster/measure.py [--rounds N] [--operations N]

Needs cargo, python3 and redis-benchmark, which counts on the same cores. Prints: operations a second with and without peers, in interleaved rounds; how long it takes until
another node agrees, by how many entries have changed; bytes on the wire and memory for each entry; what nodes exchange
that connect again; how all this grows with the number of nodes; and what stores cost.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER = ROOT / "target" / "release" / "counter-server"

# Connections of redis-benchmark to a server, and commands that each sends at once.
CONNECTIONS, PIPELINE = 10, 100


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Node:
    """A server that is a node."""

    def __init__(self, name, port, peers, cookie, arguments=("--memory",)):
        peers = [argument for peer in peers for argument in ("--peer", f"127.0.0.1:{peer}")]
        self.resp, self.http = free_ports(2)
        command = [SERVER, "--name", name, "--listen", f"127.0.0.1:{port}", "--cookie-file", cookie, "--statsd", "off",
                   "--resp", f"127.0.0.1:{self.resp}", "--http", f"127.0.0.1:{self.http}", *peers, *arguments]
        self.process = subprocess.Popen(command, env={**os.environ, "RUST_LOG": "error"})
        while not self.is_ready():
            time.sleep(0.01)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.http)
        self.commands = socket.create_connection(("127.0.0.1", self.resp))

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.http)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def get(self, path):
        self.connection.request("GET", path)
        return json.loads(self.connection.getresponse().read())

    def add(self, names):
        """Adds to each of these counters, in one pipeline."""
        self.commands.sendall("".join(f"INCR {name}\r\n" for name in names).encode())
        replies = 0
        while replies < len(names):
            replies += self.commands.recv(1 << 16).count(b"\n")

    def benchmark(self, operations, names, connections=CONNECTIONS, pipeline=PIPELINE):
        """Starts to add to random ones of so many counters."""
        command = ["redis-benchmark", "-p", str(self.resp), "-n", str(operations), "-r", str(names), "-c", str(connections),
                   "-P", str(pipeline), "-q", "INCRBY", "key-__rand_int__", "1"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def load(self, operations, names):
        assert self.benchmark(operations, names).wait() == 0

    def counted(self):
        """Operations that were counted here."""
        return sum(shard["operations"] for shard in self.get("/v1/status")["shards"])

    def operations(self):
        """Operations of all nodes, as far as they are known here."""
        return self.get("/v1/cluster")["operations"]

    def names(self):
        return self.get("/v1/cluster")["counters"]

    def peers_up(self):
        return sum(node["is_up"] for node in self.get("/v1/cluster")["nodes"])

    def resident(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        # There is nobody to hand over to.
        self.process.kill()
        self.process.wait()


class Wire:
    """Forwards to a port, and counts bytes. It can be cut and mended."""

    def __init__(self, target):
        self.target, self.bytes, self.is_cut, self.sockets = target, 0, False, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            here, _ = self.server.accept()
            if self.is_cut:
                here.close()
                continue
            try:
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                here.close()
                continue
            self.sockets += [here, there]
            for a, b in ((here, there), (there, here)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.forward, args=(a, b), daemon=True).start()

    def forward(self, source, sink):
        try:
            while data := source.recv(1 << 20):
                self.bytes += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            s.close()

    def cut(self):
        self.is_cut = True
        for s in self.sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sockets.clear()

    def mend(self):
        self.is_cut = False


class Cluster:
    """So many nodes, each connected with each or none with any; with data directories if there is a durability."""

    def __init__(self, count, connected=True, wired=False, durability=None):
        self.dir = tempfile.TemporaryDirectory()
        cookie = os.path.join(self.dir.name, "cookie")
        subprocess.run([SERVER, "cookie", cookie], check=True)
        ports = free_ports(count)
        # Every pair has one connection, which the later node dials; through a wire that counts if asked for.
        self.wires = []

        def way_to(port):
            if not wired:
                return port
            self.wires.append(Wire(port))
            return self.wires[-1].port

        def arguments(n):
            return ["--data", os.path.join(self.dir.name, f"n{n}"), "--durability", durability] if durability else ["--memory"]

        # A store without peers stays alone, so the first node needs one as well.
        first = ports[-1:] if durability else []
        self.nodes = [Node(f"n{n}", port, [way_to(p) for p in ports[:n] or first] if connected else [], cookie, arguments(n))
                      for n, port in enumerate(ports)]
        while connected and any(node.peers_up() < count - 1 for node in self.nodes):
            time.sleep(0.05)

    def load(self, operations, names):
        """Loads all nodes at once; returns the seconds until each had counted its own."""
        begun = time.monotonic()
        for benchmark in [node.benchmark(operations, names) for node in self.nodes]:
            assert benchmark.wait() == 0
        return time.monotonic() - begun

    def settle(self):
        """Returns the seconds until all nodes have what each has counted."""
        begun, operations = time.monotonic(), sum(node.counted() for node in self.nodes)
        while any(node.operations() != operations for node in self.nodes):
            time.sleep(0.002)
        return time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.end()
        self.dir.cleanup()


def throughput(rounds, operations):
    print("\nOperations a second of each of 3 nodes that are loaded at once, in millions, and how much is left with peers")
    print("| names | without peers | with peers | ratio |\n|---|---|---|---|")
    for names in (1, 1_000, 100_000):
        taken = {False: [], True: []}
        for _ in range(rounds):
            for connected in taken:
                with Cluster(3, connected) as cluster:
                    taken[connected].append(cluster.load(operations, names))
        rates = {c: operations / statistics.median(t) / 1e6 for c, t in taken.items()}
        ratio = statistics.median(off / on for off, on in zip(taken[False], taken[True]))
        print(f"| {names:,} | {rates[False]:.2f} | {rates[True]:.2f} | {ratio:.2f} |", flush=True)


def convergence():
    print("\nUntil another node agrees, after so many entries have changed at once; bytes on the wire and memory there")
    print("| names | changed | seconds | bytes an entry | memory an entry there |\n|---|---|---|---|---|")
    for operations, names in ((1, 1), (10_000, 1_000), (14_000_000, 1_000_000)):
        with Cluster(2, wired=True) as cluster:
            first, second = cluster.nodes
            idle, before = sum(w.bytes for w in cluster.wires), second.resident()
            begun = time.monotonic()
            if operations == 1:
                first.add(["key"])
            else:
                first.load(operations, names)
            counted = time.monotonic()
            expected = first.counted()
            while second.operations() != expected:
                time.sleep(0.001)
            after, entries = time.monotonic() - counted, second.names()
            wire = (sum(w.bytes for w in cluster.wires) - idle) / entries
            memory = (second.resident() - before) / entries
            per = (f"{wire:.0f}", f"{memory:.0f}") if entries > 1000 - 1 else ("", "")
            print(f"| {names:,} | {entries:,} in {counted - begun:.2f} s | {after:.3f} | {per[0]} | {per[1]} |", flush=True)


def joining():
    print("\nA node that joins, and gets a million entries")
    print("| entries | seconds | bytes an entry | processor ns an entry, giver | taker |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        cookie, (first_port, second_port) = os.path.join(directory, "cookie"), free_ports(2)
        subprocess.run([SERVER, "cookie", cookie], check=True)
        first = Node("first", first_port, [], cookie)
        first.load(14_000_000, 1_000_000)
        operations = first.counted()
        time.sleep(1)
        entries = first.names()
        wire, used, begun = Wire(first_port), first.processor_seconds(), time.monotonic()
        second = Node("second", second_port, [wire.port], cookie)
        while second.operations() != operations:
            time.sleep(0.005)
        taken = time.monotonic() - begun
        giver = (first.processor_seconds() - used) / entries * 1e9
        taker = second.processor_seconds() / entries * 1e9
        print(f"| {entries:,} | {taken:.2f} | {wire.bytes / entries:.1f} | {giver:.0f} | {taker:.0f} |", flush=True)
        first.end()
        second.end()


def reconnecting():
    print("\nNodes that connect again, with 1,000,000 names of which about 1,000 have changed meanwhile")
    print("| seconds | bytes, both directions | of those of a full copy |\n|---|---|---|")
    with Cluster(2, wired=True) as cluster:
        (first, second), wire = cluster.nodes, cluster.wires[0]
        first.load(14_000_000, 1_000_000)
        operations = first.counted()
        while second.operations() != operations:
            time.sleep(0.005)
        time.sleep(2)
        wire.cut()
        while first.peers_up() or second.peers_up():
            time.sleep(0.01)
        first.add([f"key-{random.randrange(1_000_000):012}" for _ in range(1_000)])
        before, begun = wire.bytes, time.monotonic()
        wire.mend()
        while second.operations() != operations + 1_000:
            time.sleep(0.005)
        taken = time.monotonic() - begun
        time.sleep(2)
        again = wire.bytes - before
        # A node that joins gets 19 bytes for each entry, of which 16 are its name.
        full = 19 * second.names()
        print(f"| {taken:.2f} | {again:,} | {again / full:.1%} |", flush=True)


def memory_per_replica():
    print("\nMemory of a node for each entry, with so many replicas that have counted the same 1,000,000 names")
    print("| replicas | bytes for each name | more for this replica |\n|---|---|---|")
    with Cluster(3) as cluster:
        watcher, before, last = cluster.nodes[0], cluster.nodes[0].resident(), 0
        operations = 0
        for replicas, node in enumerate(cluster.nodes[1:], start=1):
            node.load(14_000_000, 1_000_000)
            operations += node.counted()
            while watcher.operations() != operations:
                time.sleep(0.01)
            each = (watcher.resident() - before) / 1e6
            print(f"| {replicas} | {each:.0f} | {each - last:.0f} |", flush=True)
            last = each


def acknowledged():
    print("\nAcknowledged operations a second of one of 3 nodes with data directories, by connections that wait at once")
    print("| level | 1 at once | 16 at once | 128 at once |\n|---|---|---|---|")
    for level in ("memory", "fsync", "replicated=1", "replicated=2"):
        with Cluster(3, durability=level) as cluster:
            node, rates = cluster.nodes[0], []
            for at_once, operations in ((1, 1_000), (16, 10_000), (128, 50_000)):
                begun = time.monotonic()
                assert node.benchmark(operations, 100, at_once, 1).wait() == 0
                rates.append(operations / (time.monotonic() - begun))
            print(f"| {level} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |", flush=True)


def stored(rounds, operations):
    print("\nOperations a second of each of 3 connected nodes that are loaded at once, in millions, without and with stores")
    print("| names | in memory | with stores | ratio |\n|---|---|---|---|")
    for names in (1_000, 100_000):
        taken = {None: [], "memory": []}
        for _ in range(rounds):
            for durability in taken:
                with Cluster(3, durability=durability) as cluster:
                    taken[durability].append(cluster.load(operations, names))
        rates = {d: operations / statistics.median(t) / 1e6 for d, t in taken.items()}
        ratio = statistics.median(off / on for off, on in zip(taken[None], taken["memory"]))
        print(f"| {names:,} | {rates[None]:.2f} | {rates['memory']:.2f} | {ratio:.2f} |", flush=True)


def growth(operations):
    print("\nWith more nodes, all loaded at once on 1,000 names; everything on this machine's cores")
    print("| nodes | operations a second, all | processor ns an operation | bytes an operation | until all agree, s |")
    print("|---|---|---|---|---|")
    for count in range(1, 6):
        with Cluster(count, wired=True) as cluster:
            idle = sum(w.bytes for w in cluster.wires)
            used = sum(node.processor_seconds() for node in cluster.nodes)
            taken = cluster.load(operations, 1_000)
            agreed = cluster.settle()
            used = sum(node.processor_seconds() for node in cluster.nodes) - used
            wire = sum(w.bytes for w in cluster.wires) - idle
            total = count * operations
            print(f"| {count} | {total / taken / 1e6:.1f} M | {used / total * 1e9:.0f} | {wire / total:.2f} | {agreed:.3f} |",
                  flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--operations", type=int, default=10_000_000, help="of each node")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "counter-server"], check=True, cwd=ROOT)
    throughput(options.rounds, options.operations)
    convergence()
    joining()
    reconnecting()
    memory_per_replica()
    growth(options.operations)
    stored(options.rounds, options.operations)
    acknowledged()


if __name__ == "__main__":
    main()
