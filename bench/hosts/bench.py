#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The file connectors as a .so, in the worker and in a host: file to topic to file.

usage: bench/hosts/bench.py [LINES [ROUNDS]]     (or N=LINES ROUNDS=ROUNDS; default 2000000 and 3)

Each round runs all ways, one after the other; each record passes the protocol twice (source, sink). CPU is that of all processes;
what a way takes more than the one in the worker, halved, is the cost of the protocol: both ends of the line and the line itself.
"""
import glob
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "bench"))
import bench  # noqa: E402
import machine  # noqa: E402

WAYS = {  # name: settings
    "in the worker": ["plugin.isolation=none"],
    "a host": ["plugin.isolation=process"],
    "a host each": ["plugin.isolation=process", "host.share=connector"],
}
BAR_SPEED, BAR_CPU_US = 0.5, 1.0


def build_plugin(folder):
    path = os.path.join(folder, "file.so")
    sources = sorted(glob.glob(os.path.join(TOP, "connectors", "file", "*.c"))) + [os.path.join(TOP, "connectors", "so.c")]
    subprocess.run(["cc", "-std=gnu17", "-O2", "-g", "-flto", "-shared", "-fPIC", "-fvisibility=hidden", "-D_GNU_SOURCE", '-DGT_VERSION="bench"',
                    "-DPLUGIN_FUNCTION=gantry_file_plugin", "-I", os.path.join(TOP, "include"), *sources, "-o", path, "-lpthread"], check=True)
    return path


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(where, source, plugin, settings):
    out, stats, store = (os.path.join(where, name) for name in ("out", "stats.json", "store"))
    subprocess.run(["rm", "-rf", store, out, stats], check=True)
    before = cpu_s()
    subprocess.run([machine.GANTRY, "run", "--in", source, "--out", out, "--exit", "--quiet", "--stats-json", stats, f"storePathRootDir={store}",
                    "httpPort=0", f"pluginPaths={plugin}", "plugin.prefer=file", *settings], check=True, timeout=600)
    cpu = cpu_s() - before
    subprocess.run(["cmp", source, out], check=True)
    with open(stats, encoding="utf-8") as file:
        result = json.load(file)
    subprocess.run(["rm", "-rf", store, out, stats], check=True)
    os.sync()
    return {"rate": result["records"] / result["wall_s"], "cpu_us": cpu / result["records"] * 1e6}


def main():
    lines = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("N", 2000000))
    rounds = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("ROUNDS", 3))
    results = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as where:
        plugin, source = build_plugin(where), os.path.join(where, "in")
        bench.write_input(source, lines)
        for _ in range(rounds):
            for way, settings in WAYS.items():
                results[way].append(run(where, source, plugin, settings))
    base = {key: statistics.median(one[key] for one in results["in the worker"]) for key in ("rate", "cpu_us")}
    good = True
    print(f"{lines} records of 100 bytes, median of {rounds}\n{'':<14} {'records/s':>11} {'of the worker':>13} {'CPU us/record':>13} {'protocol us':>11}")
    for way, runs in results.items():
        rate, cpu = (statistics.median(one[key] for one in runs) for key in ("rate", "cpu_us"))
        cost = (cpu - base["cpu_us"]) / 2
        good = good and rate >= BAR_SPEED * base["rate"] and cost < BAR_CPU_US
        print(f"{way:<14} {rate:>11,.0f} {rate / base['rate']:>12.0%}  {cpu:>13.2f} {cost:>11.2f}")
    print(f"bars: at least {BAR_SPEED:.0%} of the worker's speed, under {BAR_CPU_US} us a record: {'held' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
