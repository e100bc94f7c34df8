#!/usr/bin/env python3
"""Counts the same lines, or records with these lines as keys, with counter-stream and with what else could be used.

    benches/stream/compare.py [--records N] [--slow-records N] [--names N] [--only NAME ...]

Measures the whole job: from a process that starts to every total printed or written, with all at-least-once promises
there are. Checks all totals. Members and Quix Streams read a topic of a broker in a process of its own (tansu, in
memory); Flink, Bytewax and counter-demo read files. Needs cargo, python3, and a Java runtime for Flink. Installs what
it compares in target/bench-stream, about 1.5 GB; what cannot be installed is left out, with the reason.

What a job takes besides records, such as starting, joining a group or compiling a plan, is measured too: as the time
until the first record for those who read the topic, and with a single line for those who read files.
"""

import argparse
import collections
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import common
from common import HERE, WORK, Broker, Member, committed, counted, processor_seconds, python_with

PARTITIONS = 4
CONTESTANTS = HERE / "contestants"
QUIX, BYTEWAX, FLINK = "quixstreams==3.28.1", "bytewax==0.21.1", "apache-flink==2.3.0"
SAMPLE_SECONDS = 0.05


class Job:
    """A command with all processes that it starts, and their processor time."""

    def __init__(self, command, out=subprocess.PIPE):
        self.began, self.used, self.first, self.first_cpu = time.monotonic(), {}, None, 0
        self.errors = tempfile.TemporaryFile()
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, stdout=out, stderr=self.errors, start_new_session=True)
        self.sampler = threading.Thread(target=self.sample, daemon=True)
        self.sampler.start()

    def sample(self):
        while self.process.returncode is None:
            for process in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if os.getsid(int(process)) == self.process.pid:
                        self.used[process] = processor_seconds(process)
                except OSError:
                    pass  # It has ended.
            time.sleep(SAMPLE_SECONDS)

    def wait(self):
        """Returns seconds of time and of processors."""
        output = iter(self.process.stdout.readline, b"") if self.process.stdout else ()
        for line in output:
            if line.strip() == b"first":
                self.first, self.first_cpu = time.monotonic(), sum(self.used.values())
        _, status, usage = os.wait4(self.process.pid, 0)
        seconds = time.monotonic() - self.began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.sampler.join()
        if self.process.returncode:
            self.errors.seek(0)
            raise RuntimeError(self.errors.read().decode().strip().splitlines()[-1])
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # What it may have left behind.
        except ProcessLookupError:
            pass
        own = usage.ru_utime + usage.ru_stime
        self.used.pop(str(self.process.pid), None)
        return seconds, max(own, own + sum(self.used.values()))


def totals_of(lines):
    """Reads names and totals, separated by a tab."""
    totals = {}
    for line in lines:
        name, total = line.rstrip("\n").rsplit("\t", 1)
        totals[name] = totals.get(name, 0) + int(total)
    return totals


def flink_totals(path):
    """Reads changes as Flink prints them: the last row of a name is its total."""
    totals = {}
    for line in open(path):
        if "+I[" in line or "+U[" in line:
            name, total = line[line.index("[") + 1 : line.rindex("]")].split(", ")
            totals[name] = int(total)
    return totals


class Bench:
    def __init__(self, options, work):
        self.options, self.work, self.runs = options, work, itertools.count()
        self.path = common.names_file(options.records, options.names)

    def expected(self, records):
        with open(self.path) as lines:
            return collections.Counter(line[:-1] for line in itertools.islice(lines, records))

    def directory(self, records):
        """Returns a new directory with two files of half the lines each."""
        place = self.work / f"lines-{next(self.runs)}"
        place.mkdir()
        with open(self.path) as lines:
            for name, count in (("0", records - records // 2), ("1", records // 2)):
                with open(place / name, "w") as out:
                    out.writelines(itertools.islice(lines, count))
        return place

    def new(self, name):
        return self.work / f"{name}-{next(self.runs)}"

    def member(self, broker, records):
        before, expected = broker.cpu(), self.expected(records)
        member = Member(broker, "fast", self.new("member"))
        start = cpu_of_start = 0
        while True:
            at, report = member.report()
            if not counted(report):
                start, cpu_of_start = at - member.started, member.cpu()
            if committed(report) == records:
                break
        assert member.counts(expected.keys()) == expected, "member: totals differ"
        seconds, cpu = time.monotonic() - member.started, member.cpu()
        member.leave()
        return seconds, start, cpu - cpu_of_start, broker.cpu() - before

    def quix(self, broker, records):
        python, out, before = python_with("quix", QUIX), self.new("quix-out"), broker.cpu()
        job = Job([python, CONTESTANTS / "with_quix.py", broker.address, "slow", records, self.new("quix"), out])
        seconds, cpu = job.wait()
        assert totals_of(open(out)) == self.expected(records), "Quix Streams: totals differ"
        return seconds, job.first - job.began, cpu - job.first_cpu, broker.cpu() - before

    def of_files(self, run, records):
        """Runs a job over files, and before that over a single line."""
        start, cpu_of_start = run(1)
        seconds, cpu = run(records)
        return seconds, start, cpu - cpu_of_start, None

    def bytewax(self, records):
        python, out, place = python_with("bytewax", BYTEWAX), self.new("bytewax-out"), self.directory(records)
        measured = Job([python, CONTESTANTS / "with_bytewax.py", place, self.new("bytewax"), out, 2]).wait()
        lines = (line for path in out.iterdir() for line in open(path))
        assert totals_of(lines) == self.expected(records), "Bytewax: totals differ"
        return measured

    def flink(self, records):
        python, out, place = python_with("flink", FLINK), self.new("flink-out"), self.directory(records)
        with open(out, "wb") as output:
            measured = Job([python, CONTESTANTS / "with_flink.py", place, self.new("flink"), 2], output).wait()
        assert flink_totals(out) == self.expected(records), "Flink: totals differ"
        return measured

    def demo(self, records):
        out, path = self.new("demo-out"), self.new("lines")
        with open(self.path) as lines, open(path, "w") as part:
            part.writelines(itertools.islice(lines, records))
        with open(out, "wb") as output:
            measured = Job([common.DEMO, "count", "--all", path], output).wait()
        rows = (line.split() for line in open(out))
        assert {name: int(total) for total, _, name in rows} == self.expected(records), "counter-demo: totals differ"
        return measured

    def differential(self, records):
        return self.dataflow("differential", records)

    def timely(self, records):
        return self.dataflow("timely", records)

    def dataflow(self, library, records):
        out, place = self.new("dataflow-out"), self.directory(records)
        with open(out, "wb") as output:
            measured = Job([WORK / "dataflow" / "release" / "dataflow", library, place, 2], output).wait()
        assert totals_of(open(out)) == self.expected(records), f"{library}: totals differ"
        return measured


def build_dataflow():
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", WORK / "dataflow"]
    subprocess.run(command, cwd=HERE / "dataflow", check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--slow-records", type=int, default=200_000, help="records for Quix Streams")
    parser.add_argument("--names", type=int, default=1_000)
    parser.add_argument("--only", nargs="+", help="parts of the names of those that take part")
    options = parser.parse_args()
    common.build()
    build_dataflow()
    work = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    broker = Broker()
    try:
        bench, fast, slow = Bench(options, work), options.records, options.slow_records
        broker.load("fast", PARTITIONS, bench.path, fast)
        broker.load("slow", PARTITIONS, bench.path, slow)
        contestants = {
            "counter-stream member": ("exactly once", fast, lambda: bench.member(broker, fast)),
            "Quix Streams": ("at least once", slow, lambda: bench.quix(broker, slow)),
            "Flink": ("at least once", fast, lambda: bench.of_files(bench.flink, fast)),
            "Bytewax": ("at least once", fast, lambda: bench.of_files(bench.bytewax, fast)),
            "differential dataflow": ("none", fast, lambda: bench.of_files(bench.differential, fast)),
            "timely dataflow": ("none", fast, lambda: bench.of_files(bench.timely, fast)),
            "counter-demo count": ("none", fast, lambda: bench.of_files(bench.demo, fast)),
        }
        print("| | promise | records | whole job, s | of which start, s | records/s | records/s without start "
              "| CPU ns a record, without start | CPU ns of the broker |\n|---|---|---|---|---|---|---|---|---|")
        for name, (promise, records, run) in contestants.items():
            if options.only and not any(only.lower() in name.lower() for only in options.only):
                continue
            try:
                seconds, start, cpu, broker_cpu = run()
            except (RuntimeError, OSError) as error:
                print(f"| {name} | left out: {error} |", flush=True)
                continue
            of_broker = "–" if broker_cpu is None else f"{broker_cpu / records * 1e9:,.0f}"
            rates = f"{records / seconds:,.0f} | {records / max(seconds - start, 1e-3):,.0f}"
            print(f"| {name} | {promise} | {records:,} | {seconds:.2f} | {start:.2f} | {rates} "
                  f"| {cpu / records * 1e9:,.0f} | {of_broker} |", flush=True)
    finally:
        broker.end()
        shutil.rmtree(work)


main()
