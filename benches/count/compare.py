#!/usr/bin/env python3
"""Times `counter-demo count` beside mawk, sort | uniq -c, DuckDB and huniq on three inputs, and checks that all agree.

    benches/count/compare.py [--rounds N] [--scale PERCENT]

Needs cargo and python3, mawk and coreutils; DuckDB (`pip install duckdb`) and huniq (`cargo install huniq`) take part if
they are there. Inputs are made in target/count-inputs (about 1 GB at full scale): the words of the Rust sources that
cargo has downloaded, a hundred names over and over, and lines that all differ. Rounds are interleaved; what is printed
are medians, and the medians of each round's ratios. Writes benches/count/compare.svg.
"""

import argparse
import hashlib
import importlib.util
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INPUTS = ROOT / "target" / "count-inputs"
COUNT = str(ROOT / "target" / "release" / "counter-demo")
ENV = {**os.environ, "LC_ALL": "C"}
GOALS = {"mawk": 6, "sort | uniq -c": 20, "duckdb": 2, "huniq": 8}

DUCKDB = """
import duckdb, sys
duckdb.sql("SET threads = 2")
lines = "read_csv(?, columns={'name': 'VARCHAR'}, delim='\\x01', quote='', escape='', header=false, auto_detect=false)"
query = f"SELECT count(*) AS n, name FROM {lines} GROUP BY name"
if sys.argv[2] == "all":
    for n, name in duckdb.execute(query, [sys.argv[1]]).fetchall():
        print(n, name or "", sep="\\t")
else:
    print(duckdb.execute(f"SELECT * FROM ({query}) ORDER BY n DESC, name LIMIT 20", [sys.argv[1]]).fetchall())
"""


def contestants():
    """For each: the command that is timed, and one that prints `count TAB name` for every name."""
    found = {
        "count": ([COUNT, "count", "{}"], f"{COUNT} count --all {{}} | cut -f1,3-"),
        "mawk": (
            ["mawk", "{c[$0]++} END {for (k in c) n++; print n}", "{}"],
            """mawk '{c[$0]++} END {for (k in c) print c[k] "\\t" k}' {}""",
        ),
        "sort | uniq -c": (
            ["sh", "-c", "sort {} | uniq -c > /dev/null"],
            r"sort {} | uniq -c | sed -E 's/^ *([0-9]+) /\1\t/'",
        ),
    }
    if importlib.util.find_spec("duckdb"):
        query = INPUTS / "duckdb_query.py"
        query.write_text(DUCKDB)
        python = [sys.executable, str(query), "{}"]
        found["duckdb"] = ([*python, "top"], " ".join([*python, "all"]))
    if shutil.which("huniq"):
        found["huniq"] = (
            ["sh", "-c", "huniq -c < {} > /dev/null"],
            r"huniq -c < {} | sed -E 's/^ *([0-9]+) /\1\t/'",
        )
    return found


def make_inputs(scale):
    """Writes what is not there yet; returns (title, path) in the order of the report."""
    INPUTS.mkdir(parents=True, exist_ok=True)
    words, few, distinct = (INPUTS / f"{name}-{scale}.txt" for name in ("words", "few", "distinct"))
    if not words.exists():
        sources = pathlib.Path.home() / ".cargo" / "registry" / "src"
        files = r"find {} -name '*.rs' -print0 | sort -z | xargs -0 cat | tr -cs 'A-Za-z0-9_' '\n' > {}"
        subprocess.run(["sh", "-c", files.format(sources, words)], check=True, env=ENV)
        once = words.read_bytes()
        times = max(1, round(40_000_000 * scale / 100 / max(1, once.count(b"\n"))))
        words.write_bytes(once * times)
    if not few.exists():
        chosen = random.Random(1).choices([f"name-{n:02}\n" for n in range(100)], k=1_000_000)
        few.write_text("".join(chosen) * max(1, 40 * scale // 100))
    if not distinct.exists():
        with distinct.open("w") as out:
            for n in range(20_000_000 * scale // 100):
                out.write(f"{n * 2654435761 % 2**32:08x}{n:04d}\n")
    return [("words of source code", words), ("100 names", few), ("every line differs", distinct)]


def seconds(command, path):
    """How long one run takes as a whole process."""
    started = time.monotonic()
    subprocess.run([part.replace("{}", str(path)) for part in command], check=True, env=ENV, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def digest(command, path):
    """Of all names and counts, in an order that everybody has."""
    lines = subprocess.run(
        ["sh", "-c", command.replace("{}", str(path)) + " | sort"], check=True, env=ENV, stdout=subprocess.PIPE
    )
    return hashlib.sha256(lines.stdout).hexdigest()


def plot(results, path):
    """Bars of seconds, an input a group."""
    rows = [(title, name, taken) for title, of in results for name, taken in of.items()]
    longest, height = max(taken for _, _, taken in rows), 22
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height * (len(rows) + len(results)) + 20}" '
           'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>']
    y = 18
    for title, of in results:
        svg.append(f'<text x="10" y="{y}" font-weight="bold">{title} (seconds)</text>')
        y += height
        for name, taken in of.items():
            width, fill = max(1, round(480 * taken / longest)), "#c2410c" if name == "count" else "#94a3b8"
            svg.append(f'<text x="150" y="{y}" text-anchor="end">{name}</text>'
                       f'<rect x="160" y="{y - 12}" width="{width}" height="15" fill="{fill}"/>'
                       f'<text x="{168 + width}" y="{y}">{taken:.2f}</text>')
            y += height
    path.write_text("\n".join([*svg, "</svg>", ""]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=100, help="size of the inputs in percent")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "counter-demo"], check=True, cwd=ROOT)
    inputs = make_inputs(options.scale)
    found, results = contestants(), []
    for title, path in inputs:
        print(f"\n{title}: {path.stat().st_size / 1e6:.0f} MB")
        digests = {name: digest(listing, path) for name, (_, listing) in found.items() if listing}
        if len(set(digests.values())) != 1:
            sys.exit(f"they do not agree: {digests}")
        print("agree in every name and count:", ", ".join(digests))
        taken = {name: [] for name in found}
        for _ in range(options.rounds):
            for name, (command, _) in found.items():
                taken[name].append(seconds(command, path))
        print("| | seconds | as many times count's | goal |\n|---|---|---|---|")
        for name, times in taken.items():
            ratio = statistics.median(other / ours for other, ours in zip(times, taken["count"]))
            print(f"| {name} | {statistics.median(times):.2f} | {ratio:.1f} | {GOALS.get(name, '')} |")
        results.append((title, {name: statistics.median(times) for name, times in taken.items()}))
    plot(results, pathlib.Path(__file__).with_suffix(".svg"))


if __name__ == "__main__":
    main()
