#!/usr/bin/env python3
"""Times `counter-demo count` beside other tools on three inputs, every name written to a file, and checks that all agree.

    benches/count/compare.py [--rounds N] [--scale PERCENT] [--large]

Needs cargo, python3, mawk and coreutils. gawk, huniq (`cargo install huniq`) and DuckDB's command line (`pip install
duckdb-cli`) take part if they are there. Inputs are made in target/count-inputs, about 1 GB at full scale:

- words: of all text below a few directories (crate sources, /usr/share and so on), each different file once;
- 100 names, over and over;
- lines that all differ.

Rounds are interleaved; whoever takes more than ten times as long as `count` takes part in one only. `cat` and `wc -l` show
what reading the input costs. What is printed are medians of seconds, of processor seconds (all processes of a pipeline) and of
peak memory (of the largest process), and the medians of each round's ratios. Writes benches/count/compare.svg.

`--large` instead pipes 10 GB with a million names through `count`, beside a file of a tenth of that, to show that memory
depends on names only, and times the same input from a pipe and from a file.
"""

import argparse
import hashlib
import importlib.util
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INPUTS = ROOT / "target" / "count-inputs"
COUNT = str(ROOT / "target" / "release" / "counter-demo") + " count"
ENV = {**os.environ, "LC_ALL": "C"}
TEXT = {".c", ".cfg", ".css", ".h", ".hpp", ".html", ".js", ".json", ".md", ".pl", ".pm", ".po", ".py", ".rs", ".rst",
        ".sh", ".tcl", ".toml", ".ts", ".txt", ".xml", ".yaml", ".yml"}
PLACES = [pathlib.Path.home() / ".cargo" / "registry" / "src", pathlib.Path.home() / ".rustup",
          pathlib.Path("/usr/share"), pathlib.Path("/usr/include"), pathlib.Path("/usr/lib")]
PARTIAL = {"count --top 20", "cat", "wc -l"}
SLOW = 10
LARGE_NAMES, LARGE_BYTES = 1_000_000, 10_000_000_000
GOALS = {
    "words": {"mawk": 5, "DuckDB": 2.4, "huniq": 4, "sort | uniq -c": 18},
    "100 names": {"mawk": 5, "DuckDB": 4, "huniq": 4.5, "sort | uniq -c": 40},
    "distinct lines": {},
}


def contestants():
    """Shell commands that write every name and its count to the file {out}, and whether their output is sorted by count."""
    found = {
        "count --all": f"{COUNT} --all {{in}} > {{out}}",
        "count --all --sort none": f"{COUNT} --all --sort none {{in}} > {{out}}",
        "count --top 20": f"{COUNT} --top 20 {{in}} > {{out}}",
        "cat": "cat {in} > /dev/null",
        "wc -l": "wc -l {in} > {out}",
        "mawk": """mawk '{c[$0]++} END {for (k in c) print c[k] "\\t" k}' {in} > {out}""",
        "sort | uniq -c": "sort -S 50% --parallel=2 {in} | uniq -c > {out}",
    }
    if shutil.which("gawk"):
        found["gawk"] = """gawk '{c[$0]++} END {for (k in c) print c[k] "\\t" k}' {in} > {out}"""
    if shutil.which("huniq"):
        found["huniq"] = "huniq -c < {in} > {out}"
    if duckdb := duckdb_binary():
        lines = ("read_csv('{in}', columns={{'name': 'VARCHAR'}}, delim='\\x01', quote='', escape='', header=false, "
                 "auto_detect=false)")
        query = f"SELECT count(*) AS n, name FROM {lines} GROUP BY name"
        copy = f"""{duckdb} -c "SET threads = 2; COPY ({query}{{order}}) TO '{{out}}' (DELIMITER '\\t', HEADER false, QUOTE '')" """
        found["DuckDB"] = copy.replace("{order}", "").replace("{{", "{").replace("}}", "}")
        found["DuckDB, ORDER BY"] = (
            copy.replace("{order}", " ORDER BY n DESC, name").replace("{{", "{").replace("}}", "}"))
    return found


def duckdb_binary():
    """The program itself, without the script that pip puts in front of it."""
    spec = importlib.util.find_spec("duckdb_cli")
    binary = pathlib.Path(spec.origin).parent / "duckdb" if spec else None
    return str(binary) if binary and binary.exists() else shutil.which("duckdb")


def make_inputs(scale):
    """Writes what is not there yet; returns (title, path) in the order of the report."""
    INPUTS.mkdir(parents=True, exist_ok=True)
    words, few, distinct = (INPUTS / f"{name}-{scale}.txt" for name in ("words", "few", "distinct"))
    if not words.exists():
        make_words(words, 40_000_000 * scale // 100)
    if not few.exists():
        chosen = random.Random(1).choices([f"name-{n:02}\n" for n in range(100)], k=1_000_000)
        few.write_text("".join(chosen) * max(1, 40 * scale // 100))
    if not distinct.exists():
        with distinct.open("w") as out:
            for n in range(20_000_000 * scale // 100):
                out.write(f"{n * 2654435761 % 2**32:08x}{n:04d}\n")
    return [("words", words), ("100 names", few), ("distinct lines", distinct)]


def make_words(path, most):
    """Writes the words of up to `most` words of text, each file with the same contents once."""
    files = sorted(file for place in PLACES for file in place.rglob("*")
                   if file.suffix in TEXT and file.is_file() and not file.is_symlink())
    random.Random(1).shuffle(files)
    seen, written = set(), 0
    with path.open("wb") as out:
        for file in files:
            text = file.read_bytes()
            digest = hashlib.sha256(text).digest()
            if digest in seen:
                continue
            seen.add(digest)
            words = re.findall(rb"\w+", text)
            out.write(b"".join(word + b"\n" for word in words if len(word) <= 64))
            written += len(words)
            if written >= most:
                break
    print(f"words: {written} words of {len(seen)} different files")


def measure(command, path):
    """Runs a command; returns its seconds, processor seconds, and the peak memory of its largest process in MB."""
    out = INPUTS / "out.txt"
    out.unlink(missing_ok=True)
    started = time.monotonic()
    process = subprocess.Popen(["sh", "-c", fill(command, path, out)], env=ENV, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        sys.exit(f"failed: {command}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def fill(command, path, out):
    return command.replace("{in}", str(path)).replace("{out}", str(out))


def digest(name, command, path):
    """Of all names and counts in one format and order. Also returns the number of names."""
    out = INPUTS / "out.txt"
    subprocess.run(["sh", "-c", fill(command, path, out)], check=True, env=ENV, stdout=subprocess.DEVNULL)
    normal = f"cut -f1,3- {out}" if name.startswith("count") else fr"sed -E 's/^ *([0-9]+)[ \t]/\1\t/' {out}"
    lines = subprocess.run(["sh", "-c", f"{normal} | sort -S 30% --parallel=2 | tee {out}.sorted | sha256sum; "
                            f"wc -l < {out}.sorted; rm {out} {out}.sorted"], check=True, env=ENV, stdout=subprocess.PIPE)
    return tuple(lines.stdout.split())


def plot(results, path):
    """Bars of seconds, an input a group, each group to its own scale."""
    rows = sum(len(of) for _, of in results)
    height = 22
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height * (rows + len(results)) + 20}" '
           'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>']
    y = 18
    for title, of in results:
        svg.append(f'<text x="10" y="{y}" font-weight="bold">{title} (seconds)</text>')
        y += height
        longest = max(of.values())
        for name, taken in sorted(of.items(), key=lambda item: item[1]):
            width, fill_color = max(1, round(480 * taken / longest)), "#c2410c" if "count -" in name else "#94a3b8"
            svg.append(f'<text x="190" y="{y}" text-anchor="end">{name}</text>'
                       f'<rect x="200" y="{y - 12}" width="{width}" height="15" fill="{fill_color}"/>'
                       f'<text x="{208 + width}" y="{y}">{taken:.2f}</text>')
            y += height
    path.write_text("\n".join([*svg, "</svg>", ""]))


def compare(options):
    found, results = contestants(), []
    for title, path in make_inputs(options.scale):
        digests = {name: digest(name, command, path) for name, command in found.items() if name not in PARTIAL}
        if len(set(digests.values())) != 1:
            sys.exit(f"they do not agree: {digests}")
        names = int(next(iter(digests.values()))[-1])
        lines = int(subprocess.run(["wc", "-l", path], check=True, stdout=subprocess.PIPE).stdout.split()[0])
        print(f"\n{title}: {path.stat().st_size / 1e6:.0f} MB, {lines:,} lines, {names:,} names; "
              f"all tools agree in every name and count\n")
        taken = {name: [] for name in found}
        for _ in range(options.rounds):
            for name, command in found.items():
                if not taken[name] or taken[name][0][0] < SLOW * taken["count --all"][0][0]:
                    taken[name].append(measure(command, path))
        print("| | seconds | CPU s | peak MB | ÷ `count --all` | ÷ `--sort none` | goal |\n|---|---|---|---|---|---|---|")
        for name, runs in taken.items():
            seconds, cpu, memory = (statistics.median(run[n] for run in runs) for n in range(3))
            by_value, unsorted = (
                statistics.median(run[0] / ours[0] for run, ours in zip(runs, taken[base]))
                for base in ("count --all", "count --all --sort none"))
            goal = GOALS[title].get(name, "")
            print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {memory:.0f} | {by_value:.1f} | {unsorted:.1f} | {goal} |")
        results.append((title, {name: statistics.median(run[0] for run in runs) for name, runs in taken.items()
                                if name not in PARTIAL}))
    (INPUTS / "out.txt").unlink(missing_ok=True)
    plot(results, pathlib.Path(__file__).with_suffix(".svg"))


GENERATE = f"""
import random, sys
chosen = random.Random(1)
block = [b"".join(b"customer/%08d/requests\\n" % chosen.randrange({LARGE_NAMES}) for _ in range(400_000)) for _ in range(20)]
left = int(sys.argv[1])
while left > 0:
    for part in block:
        sys.stdout.buffer.write(part)
        left -= len(part)
        if left <= 0:
            break
"""


def large():
    """Constant memory, and a pipe beside a file."""
    print("| | GB | seconds | peak MB of `count` |\n|---|---|---|---|")
    program = INPUTS / "generate.py"
    program.write_text(GENERATE)
    for size in (LARGE_BYTES // 10, LARGE_BYTES):
        generate = subprocess.Popen([sys.executable, program, str(size)], stdout=subprocess.PIPE)
        started = time.monotonic()
        process = subprocess.Popen(["sh", "-c", f"exec {COUNT} --all > {INPUTS / 'out.txt'}"], stdin=generate.stdout)
        generate.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0 or generate.wait() != 0:
            sys.exit("failed")
        print(f"| generated | {size / 1e9:.0f} | {time.monotonic() - started:.1f} | {usage.ru_maxrss / 1024:.0f} |")
    file = INPUTS / "generated.txt"
    with file.open("wb") as out:
        subprocess.run([sys.executable, program, str(LARGE_BYTES // 10)], check=True, stdout=out)
    ways = {"file": f"{COUNT} --all {{in}} > {{out}}", "pipe": f"cat {{in}} | {COUNT} --all > {{out}}"}
    taken = {name: [] for name in ways}
    for _ in range(5):
        for name, command in ways.items():
            taken[name].append(measure(command, file))
    for name, runs in taken.items():
        print(f"| {name} | 1 | {statistics.median(run[0] for run in runs):.2f} | {statistics.median(run[2] for run in runs):.0f} |")
    ratio = statistics.median(pipe[0] / plain[0] for pipe, plain in zip(taken["pipe"], taken["file"]))
    print(f"\na pipe costs {ratio:.2f} times what a file costs (goal: 1.2 at most)")
    file.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, default=100, help="size of the inputs in percent")
    parser.add_argument("--large", action="store_true", help="10 GB through a pipe instead")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "counter-demo"], check=True, cwd=ROOT)
    INPUTS.mkdir(parents=True, exist_ok=True)
    large() if options.large else compare(options)


if __name__ == "__main__":
    main()
