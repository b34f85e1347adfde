#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""librocketmq beside the Java client doing the same work, against the same broker, in one run.

usage: bench/rocketmq/bench.py [SECONDS [ROUNDS]]     (or SECONDS=3 ROUNDS=3)

A cell is what is sent or read: bodies of 100 B or 1 KiB, singly or in batches, to or from one queue, order kept. Each round runs
both clients one after the other, and who goes first changes; the table has medians. Counts are chosen so that the Java
client takes about SECONDS. It is warmed up before its clock starts; its CPU is that of the whole JVM while the clock
runs, compilation included.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tests", "rocketmq"))

import cluster as rmq  # noqa: E402
import javatool  # noqa: E402

SIZES = (100, 1024)
BATCHES = (1, 100, 1000)
# What the Java client is expected to do a second, to choose counts by.
EXPECTED = {(100, 1): 5000, (100, 100): 120000, (100, 1000): 200000,
            (1024, 1): 5000, (1024, 100): 70000, (1024, 1000): 80000}
EXPECTED_READ = 100000
LIMIT_S = 300


def run(words):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT_S, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        sys.exit(f"{' '.join(map(str, words))}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return json.loads(lines[-1])


def java(folder, namesrv, what, **options):
    found = javatool.bench(os.path.join(folder, "java"), what, namesrv, limit_s=LIMIT_S, **options)
    return {"rate": found["msgs_per_s"], "cpu_us": found["cpu_s"] / found["count"] * 1e6,
            "rss_mb": found["peak_rss_kib"] / 1024}


def native(name, *words):
    found = run([os.path.join(TOP, "build-bench", "bench", "rocketmq", name), *words])
    return {"rate": found["messages_per_s"], "cpu_us": found["cpu_s"] / found.get("messages", found.get("count")) * 1e6,
            "rss_mb": found["rss_kb"] / 1024}


def measure(rounds, ours, theirs):
    """Medians of both, run in turn."""
    seen = ([], [])
    for number in range(rounds):
        for side in ((0, 1) if number % 2 == 0 else (1, 0)):
            seen[side].append((ours, theirs)[side](number))
    return [{key: statistics.median(one[key] for one in side) for key in side[0]} for side in seen]


def row(what, ours, theirs):
    print(f"| {what} | {ours['rate']:,.0f} | {theirs['rate']:,.0f} | {ours['rate'] / theirs['rate']:.1f} × | "
          f"{ours['cpu_us']:.2f} | {theirs['cpu_us']:.2f} | {ours['cpu_us'] / theirs['cpu_us']:.2f} × | "
          f"{ours['rss_mb']:.0f} | {theirs['rss_mb']:.0f} | {ours['rss_mb'] / theirs['rss_mb']:.3f} × |", flush=True)


def main():
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SECONDS_A_CELL", "3"))
    rounds = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("ROUNDS", "3"))
    with tempfile.TemporaryDirectory(prefix="bench-rocketmq-") as folder, \
            rmq.Cluster(folder, settings={"mappedFileSizeCommitLog": 1 << 30,
                                          "mappedFileSizeConsumeQueue": 20 * 300000}) as cluster:
        broker = cluster.broker.broker_name
        print("| | messages/s | Java | ratio | CPU µs a message | Java | ratio | memory MB | Java | ratio |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for size in SIZES:
            topics = {}
            for batch in BATCHES:
                count = int(EXPECTED[size, batch] * seconds)
                topic = topics[batch] = f"bench-{size}-{batch}"
                cluster.create_topic(topic, queues=1)
                ours, theirs = measure(
                    rounds,
                    lambda _, t=topic, c=count, b=batch: native(
                        "bench-produce", cluster.namesrv, t, c, size, b, "ordered"),
                    lambda _, t=topic, c=count, b=batch: java(
                        folder, cluster.namesrv, "produce", topic=t, size=size, count=c, batch=b))
                row(f"send, {size} B, {'single' if batch == 1 else f'batches of {batch}'}", ours, theirs)
            topic = topics[max(BATCHES)]
            count = int(EXPECTED_READ * seconds)
            ours, theirs = measure(
                rounds,
                lambda _, t=topic, c=count: native("bench-consume", cluster.namesrv, t, broker, 0, c),
                lambda _, t=topic, c=count: max(
                    (java(folder, cluster.namesrv, "consume", topic=t, count=int(c * 0.8), warmup=int(c * 0.2), mode=mode)
                     for mode in ("pull", "push")),
                    key=lambda found: found["rate"]))
            row(f"read, {size} B", ours, theirs)


if __name__ == "__main__":
    main()
