#!/usr/bin/env python3
"""Measures what replication costs, with nodes as processes on this machine.

    benches/cluster/measure.py [--rounds N] [--operations N]

Needs cargo and python3. Prints: operations a second with and without peers, in interleaved rounds; how long it takes until
another node agrees, by how many entries have changed; bytes on the wire and memory for each entry; what nodes exchange
that connect again; how all this grows with the number of nodes; and what stores cost.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "target" / "release" / "counter-node"


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Node:
    """A node that answers requests."""

    def __init__(self, name, port, peers, cookie, arguments=()):
        peers = [argument for peer in peers for argument in ("--peer", f"127.0.0.1:{peer}")]
        command = [NODE, "node", "--name", name, "--listen", f"127.0.0.1:{port}", "--cookie-file", cookie,
                   "--stdin", "requests", *peers, *arguments]
        env = {**os.environ, "RUST_LOG": "error"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

    def send(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self):
        answer = json.loads(self.process.stdout.readline())
        assert "failed" not in (answer[1] if isinstance(answer, list) else answer), answer
        return answer

    def ask(self, **request):
        self.send(**request)
        return self.receive()

    def add(self, operations, at_once):
        """Adds to a few counters, with so many requests waiting for their answers; returns the seconds it took."""
        begun = time.monotonic()
        for n in range(operations):
            request = [n, {"add": {"name": f"key-{n % 100}", "amount": 1}}]
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            if n >= at_once:
                self.process.stdin.flush()
                self.receive()
        self.process.stdin.flush()
        for _ in range(min(operations, at_once)):
            self.receive()
        return time.monotonic() - begun

    def operations(self):
        return self.ask(status={})["status"]["total"]["operations"]

    def peers_up(self):
        return sum(peer["is_up"] for peer in self.ask(status={})["status"]["peers"])

    def resident(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.stdin.close()
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
        subprocess.run([NODE, "cookie", cookie], check=True)
        ports = free_ports(count)
        # Every pair has one connection, which the later node dials; through a wire that counts if asked for.
        self.wires = []

        def way_to(port):
            if not wired:
                return port
            self.wires.append(Wire(port))
            return self.wires[-1].port

        def arguments(n):
            return ["--data", os.path.join(self.dir.name, f"n{n}"), "--durability", durability] if durability else []

        # A store without peers stays alone, so the first node needs one as well.
        first = ports[-1:] if durability else []
        self.nodes = [Node(f"n{n}", port, [way_to(p) for p in ports[:n] or first] if connected else [], cookie, arguments(n))
                      for n, port in enumerate(ports)]
        while connected and any(node.peers_up() < count - 1 for node in self.nodes):
            time.sleep(0.05)

    def load(self, operations, names):
        """Loads all nodes at once; returns the seconds until each had counted its own."""
        begun = time.monotonic()
        for seed, node in enumerate(self.nodes):
            node.send(load={"operations": operations, "names": names, "seed": seed, "per_second": None})
        for node in self.nodes:
            node.receive()
        return time.monotonic() - begun

    def settle(self, operations):
        begun = time.monotonic()
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
    for operations, names in ((1, 1), (10_000, 1_000), (10_000_000, 1_000_000)):
        with Cluster(2, wired=True) as cluster:
            first, second = cluster.nodes
            idle, before = sum(w.bytes for w in cluster.wires), second.resident()
            begun = time.monotonic()
            first.ask(load={"operations": operations, "names": names, "seed": 1, "per_second": None})
            counted = time.monotonic()
            while second.operations() != operations:
                time.sleep(0.001)
            after, status = time.monotonic() - counted, second.ask(status={})["status"]
            entries = status["names"]
            wire = (sum(w.bytes for w in cluster.wires) - idle) / entries
            memory = (second.resident() - before) / entries
            per = (f"{wire:.0f}", f"{memory:.0f}") if entries > 1000 - 1 else ("", "")
            print(f"| {names:,} | {entries:,} in {counted - begun:.2f} s | {after:.3f} | {per[0]} | {per[1]} |", flush=True)


def joining():
    print("\nA node that joins, and gets a million entries")
    print("| entries | seconds | bytes an entry | processor ns an entry, giver | taker |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        cookie, (first_port, second_port) = os.path.join(directory, "cookie"), free_ports(2)
        subprocess.run([NODE, "cookie", cookie], check=True)
        first = Node("first", first_port, [], cookie)
        operations = 14_000_000
        first.ask(load={"operations": operations, "names": 1_000_000, "seed": 1, "per_second": None})
        entries = first.ask(status={})["status"]["names"]
        time.sleep(1)
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
        operations = 14_000_000
        first.ask(load={"operations": operations, "names": 1_000_000, "seed": 1, "per_second": None})
        while second.operations() != operations:
            time.sleep(0.005)
        time.sleep(2)
        wire.cut()
        while first.peers_up() or second.peers_up():
            time.sleep(0.01)
        first.ask(load={"operations": 1_000, "names": 1_000_000, "seed": 2, "per_second": None})
        before, begun = wire.bytes, time.monotonic()
        wire.mend()
        while second.operations() != operations + 1_000:
            time.sleep(0.005)
        taken = time.monotonic() - begun
        time.sleep(2)
        again = wire.bytes - before
        # A node that joins gets 13 bytes for each entry.
        full = 13 * second.ask(status={})["status"]["names"]
        print(f"| {taken:.2f} | {again:,} | {again / full:.1%} |", flush=True)


def memory_per_replica():
    print("\nMemory of a node for each entry, with so many replicas that have counted the same 1,000,000 names")
    print("| replicas | bytes for each name | more for this replica |\n|---|---|---|")
    with Cluster(3) as cluster:
        watcher, before, last = cluster.nodes[0], cluster.nodes[0].resident(), 0
        operations = 0
        for replicas, node in enumerate(cluster.nodes[1:], start=1):
            node.ask(load={"operations": 14_000_000, "names": 1_000_000, "seed": replicas, "per_second": None})
            operations += 14_000_000
            while watcher.operations() != operations:
                time.sleep(0.01)
            each = (watcher.resident() - before) / 1e6
            print(f"| {replicas} | {each:.0f} | {each - last:.0f} |", flush=True)
            last = each


def acknowledged():
    print("\nAcknowledged operations a second of one of 3 nodes with data directories, by requests that wait at once")
    print("| level | 1 at once | 16 at once | 128 at once |\n|---|---|---|---|")
    for level in ("memory", "fsync", "replicated=1", "replicated=2"):
        with Cluster(3, durability=level) as cluster:
            node, rates = cluster.nodes[0], []
            for at_once, operations in ((1, 1_000), (16, 10_000), (128, 50_000)):
                rates.append(operations / node.add(operations, at_once))
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
            agreed = cluster.settle(count * operations)
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
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "counter-node"], check=True, cwd=ROOT)
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
