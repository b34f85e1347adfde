#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""File to topic to file, against the floor: two durable copies of the same bytes.

usage: bench/bench.py [LINES [PAIRS]]     (or N=LINES PAIRS=PAIRS; default 5000000 and 5)

Each pair runs the floor (`dd bs=1M conv=fdatasync`, input to log, then log to output) and `gantry run --exit` with a fresh
store and default durability, one after the other; who goes first changes. Gantry's time is from just before the connectors
are created until the sink's file is synced and its progress committed. Its output is compared byte for byte.
"""
import filecmp
import json
import os
import statistics
import subprocess
import sys
import time

import machine

LINE_BYTES = 100
BAR_RATIO, BAR_CPU_US, BAR_ANON_MB = 1.5, 0.2, 64


def write_input(path, lines):
    """Lines of 100 bytes with the newline, each one different."""
    fill = b"the quick brown fox jumps over the lazy dog and runs on through field and forest until evening"
    with open(path, "wb", buffering=1 << 20) as file:
        for number in range(lines):
            head = b"%012d " % number
            file.write(head + fill[: LINE_BYTES - 1 - len(head)] + b"\n")
        file.flush()
        os.fsync(file.fileno())


def remove(*paths):
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)


def durable_copy(source, target):
    subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fdatasync", "status=none"], check=True)


def run_floor(where, source):
    log, out = os.path.join(where, "floor.log"), os.path.join(where, "floor.out")
    remove(log, out)
    start = time.monotonic()
    durable_copy(source, log)
    durable_copy(log, out)
    seconds = time.monotonic() - start
    remove(log, out)
    return seconds


def run_gantry(where, source):
    out, stats, store = (os.path.join(where, name) for name in ("out", "stats.json", "store"))
    subprocess.run(["rm", "-rf", store, out, stats], check=True)
    subprocess.run(
        [machine.GANTRY, "run", "--in", source, "--out", out, "--exit", "--quiet", "--stats-json", stats,
         f"storePathRootDir={store}", "httpPort=0"], check=True, timeout=600)
    if not filecmp.cmp(source, out, shallow=False):
        sys.exit("the output differs from the input")
    with open(stats, encoding="utf-8") as file:
        result = json.load(file)
    subprocess.run(["rm", "-rf", store, out, stats], check=True)
    return result


def settle():
    """Nothing of the run before is still to be written."""
    os.sync()


def print_table(floors, runs, size):
    print(f"\n{'':>7}  {'records/s':>12}  {'MB/s':>7}  {'CPU us/rec':>10}  {'peak anon MB':>12}  {'wall s':>7}  "
          f"{'floor s':>7}  {'ratio':>5}")
    for index, (floor, run) in enumerate(zip(floors, runs), 1):
        print(f"pair {index:>2}  {run['records'] / run['wall_s']:>12,.0f}  {size / run['wall_s'] / 1e6:>7.0f}  "
              f"{run['cpu_s'] / run['records'] * 1e6:>10.3f}  {run['peak_anon_kb'] / 1024:>12.1f}  {run['wall_s']:>7.3f}  "
              f"{floor:>7.3f}  {run['wall_s'] / floor:>5.2f}")


def main():
    lines = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("N") or 5_000_000)
    pairs = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("PAIRS") or 5)
    if lines < 1 or pairs < 1:
        sys.exit(__doc__.strip().splitlines()[2])
    machine.need_program()
    print(f"file -> topic -> file, {lines:,} lines of {LINE_BYTES} bytes, {pairs} pairs; {machine.describe_machine()}")
    floors, runs = [], []
    with machine.folder() as where:
        source = os.path.join(where, "in")
        write_input(source, lines)
        size = os.path.getsize(source)
        for pair in range(pairs):
            order = ("floor", "gantry") if pair % 2 == 0 else ("gantry", "floor")
            for what in order:
                settle()
                if what == "floor":
                    floors.append(run_floor(where, source))
                else:
                    runs.append(run_gantry(where, source))
                    if runs[-1]["records"] != lines or runs[-1]["bytes"] != size:
                        sys.exit(f"{lines} records were expected: {runs[-1]}")
    print_table(floors, runs, size)
    median = statistics.median
    print(f"median   {median(r['records'] / r['wall_s'] for r in runs):>12,.0f}  "
          f"{median(size / r['wall_s'] for r in runs) / 1e6:>7.0f}\n"
          f"output identical to input in all {pairs} runs\n")
    verdicts = machine.Verdicts()
    verdicts.check("wall time / floor (median)", median(r["wall_s"] / f for r, f in zip(runs, floors)), BAR_RATIO, "x")
    verdicts.check("CPU per record (median)", median(r["cpu_s"] / r["records"] * 1e6 for r in runs), BAR_CPU_US, "us", ".3f")
    verdicts.check("anonymous memory (peak)", max(r["peak_anon_kb"] for r in runs) / 1024, BAR_ANON_MB, "MB", ".1f")
    return verdicts.finish()


if __name__ == "__main__":
    sys.exit(main())
