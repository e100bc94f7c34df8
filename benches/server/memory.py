#!/usr/bin/env python3
"""Measures what connections cost a counter-server: idle ones, a long pipeline, and clients that read nothing.

    benches/server/memory.py path/to/counter-server [connections: below 10,000, the limit] [gigabytes]
"""

import contextlib
import resource
import socket
import subprocess
import sys
import threading


class Server:
    """A server process with nothing in it yet."""

    def __init__(self, program):
        command = [program, "--memory", "--resp", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = next(line for line in self.process.stderr if "RESP on" in line)
        self.port = int(line.split("RESP on 127.0.0.1:")[1].split(",")[0])
        self.ask(self.connect(), b"PING\r\n")
        self.before = self.resident()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port))

    def ask(self, client, request):
        client.sendall(request)
        return client.recv(1000)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def grown(self):
        return self.resident() - self.before

    def stop(self):
        self.process.kill()
        self.process.wait()


def idle(server, connections, request):
    clients = [server.connect() for _ in range(connections)]
    for client in clients:
        if request:
            server.ask(client, request)
    server.ask(clients[-1], b"PING\r\n")
    print(f"{connections} connections after {request!r}: {server.grown() / connections:.0f} bytes each")


def pipeline(server, total):
    client = server.connect()
    piece = b"*2\r\n$4\r\nINCR\r\n$8\r\npipeline\r\n" * 4096

    def send():
        for _ in range(total // len(piece)):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received, peak = 0, 0
    while chunk := client.recv(1 << 20):
        received += chunk.count(b"\n")
        peak = max(peak, server.grown())
    sender.join()
    assert received == total // len(piece) * 4096
    print(f"pipeline of {total / 1e9} GB: {received} replies, {peak / 1e6:.1f} MB at the peak")


def deaf(server, number):
    clients, sent = [server.connect() for _ in range(number)], 0
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += client.send(b"COMMAND DOCS\r\n" * 4096)
    server.ask(server.connect(), b"PING\r\n")
    print(f"{number} clients that read nothing: {server.grown() / 1e6:.1f} MB, {sent / 1e6:.0f} MB sent")


def main():
    program, connections = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9_900
    total = int(float(sys.argv[3]) * 1e9) if len(sys.argv) > 3 else 1_000_000_000
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for measure in (
        lambda server: idle(server, connections, None),
        lambda server: idle(server, connections, b"INCR a\r\n"),
        lambda server: pipeline(server, total),
        lambda server: deaf(server, 100),
    ):
        server = Server(program)
        measure(server)
        server.stop()


main()
