#!/usr/bin/env python3
"""Measures how members of counter-stream scale, recover and hand partitions over, beside a broker on this machine.

    benches/stream/scale.py [--records N] [--members N ...] [--names N ...] [--only rate|recovery|handoff ...]

Needs cargo and python3. Topics have four partitions. Prints three tables: how fast 1, 2 and 4 members count a topic of
few and of many names until all of them hold all of it durably; how long a member takes after kill -9 until it holds
again what it had; and how long the partitions of a member that is killed, or leaves in order, are counted by nobody.
"""

import argparse
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import common
from common import STREAM, WORK, Broker, Member, committed, counted, resident_bytes

PARTITIONS = 4
SESSION_SECONDS = 6
# Lines that a producer sends between pauses while partitions are handed over.
TRICKLE_LINES, TRICKLE_SECONDS = 200, 0.02


def new(work, name):
    return pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))


def start_members(broker, topic, number, work, group, **settings):
    """Starts members that know each other."""
    cookie = work / "cookie"
    if not cookie.exists():
        subprocess.run([STREAM, "cookie", cookie], check=True)
    members, peers = [], []
    for index in range(number):
        name = "abcdefgh"[index]
        directory = new(work, name)
        member = Member(broker, topic, directory, name=name, group=group, peers=peers, cookie=cookie, **settings)
        peers.append(member.report()[1]["address"])
        members.append(member)
    return members


def rate(broker, topic, number, records, work):
    """Returns records a second, processor nanoseconds of members and broker for each, and bytes of the first member."""
    before = broker.cpu()
    members = start_members(broker, topic, number, work, group=f"rate-{topic}-{number}")
    began = ended = None
    for member in members:
        at, _ = member.until(counted)
        began = min(began or at, at)
    for member in members:
        at, _ = member.until(lambda report: committed(report) == records)
        ended = max(ended or at, at)
    cpu, broker_cpu = sum(member.cpu() for member in members), broker.cpu() - before
    memory = resident_bytes(members[0].process.pid)
    for member in members:
        member.kill()
    return records / (ended - began), cpu / records * 1e9, broker_cpu / records * 1e9, memory


def recovery(broker, topic, records, work):
    """Returns seconds and processor seconds from a start after kill -9 until a member holds what it had, and its bytes on
    disk."""
    directory = new(work, "recovery")
    member = Member(broker, topic, directory, group=f"recovery-{topic}")
    member.until(lambda report: committed(report) == records)
    member.kill()
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    member = Member(broker, topic, directory, group=f"recovery-{topic}")
    at, _ = member.until(lambda report: committed(report) == records)
    cpu = member.cpu()
    member.kill()
    return at - member.started, cpu, size


class Trickle:
    """Sends increments all the time."""

    def __init__(self, broker, topic):
        command = [STREAM, "produce", "--brokers", broker.address, "--topic", topic]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.send, daemon=True)
        self.thread.start()

    def send(self):
        lines = "".join(f"name {number}\n" for number in range(TRICKLE_LINES)).encode()
        while not self.ended.wait(TRICKLE_SECONDS):
            self.process.stdin.write(lines)
            self.process.stdin.flush()

    def end(self):
        self.ended.set()
        self.thread.join()
        self.process.stdin.close()
        self.process.wait()


def owned(report):
    return {number for number, partition in report["partitions"].items() if partition["owned"]}


def handoff(broker, topic, kill, work):
    """Returns the seconds from the end of an owner until its successor has read a record of each of its partitions."""
    trickle = Trickle(broker, topic)
    a, b = members = start_members(broker, topic, 2, work, group=f"handoff-{topic}", session=f"{SESSION_SECONDS}s")
    for member in members:
        member.until(lambda report: len(owned(report)) == PARTITIONS // 2 and counted(report))
    _, last = a.report()
    time.sleep(1)
    began = time.monotonic()
    a.kill() if kill else a.process.terminate()
    at, _ = b.until(lambda report: is_taken_over(report, owned(last)))
    a.process.wait()
    b.kill()
    trickle.end()
    return at - began


def is_taken_over(report, partitions):
    """Whether a member has read records of these partitions, which others had, by itself."""
    reading = report["status"]["partitions"]
    return all(number in reading and reading[number]["records"] > 0 for number in partitions)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=4_000_000)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--names", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--only", nargs="+", default=["rate", "recovery", "handoff"])
    options = parser.parse_args()
    common.build()
    work = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    broker = Broker()
    try:
        if {"rate", "recovery"} & {*options.only}:
            for names in options.names:
                broker.load(f"t{names}", PARTITIONS, common.names_file(options.records, names), options.records)
        if "rate" in options.only:
            print("| names | members | records/s, until all hold all | CPU ns a record, all members "
                  "| CPU ns of the broker | MB of a member |\n|---|---|---|---|---|---|")
            for names in options.names:
                for number in options.members:
                    per_second, cpu, broker_cpu, memory = rate(broker, f"t{names}", number, options.records, work)
                    print(f"| {names:,} | {number} | {per_second:,.0f} | {cpu:,.0f} | {broker_cpu:,.0f} "
                          f"| {memory / 1e6:,.0f} |", flush=True)
        if "recovery" in options.only:
            print("\n| names | s from kill -9 until a new process holds all | CPU s | MB on disk |\n|---|---|---|---|")
            for names in options.names:
                seconds, cpu, size = recovery(broker, f"t{names}", options.records, work)
                print(f"| {names:,} | {seconds:.2f} | {cpu:.2f} | {size / 1e6:,.0f} |", flush=True)
        if "handoff" in options.only:
            print(f"\n| a member of two ends, sessions of {SESSION_SECONDS} s "
                  "| s until its partitions are counted by the other |\n|---|---|")
            for kill in (True, False):
                topic = "killed" if kill else "left"
                broker.load(topic, PARTITIONS, common.names_file(1_000, 1_000), 1_000)
                print(f"| {'kill -9' if kill else 'SIGTERM'} | {handoff(broker, topic, kill, work):.2f} |", flush=True)
    finally:
        broker.end()
        shutil.rmtree(work)


main()
