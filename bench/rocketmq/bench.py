#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""librocketmq beside the Java client doing the same work, against the same broker, in one run.

usage: bench/rocketmq/bench.py [SECONDS [ROUNDS]]     (or SECONDS=3 ROUNDS=3)

A cell is what is sent or read: bodies of 100 B or 1 KiB, singly or in batches, to or from one queue, order kept. Each round runs
both clients one after the other, and who goes first changes; the table has medians. Counts are chosen so that the Java
client takes about SECONDS. It is warmed up before its clock starts; its CPU is that of the whole JVM while the clock
runs, compilation included.
"""
import filecmp
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BUILD = os.path.join(TOP, "build-bench", "bench", "rocketmq")
sys.path[:0] = [os.path.join(TOP, "tests", "rocketmq"), os.path.join(TOP, "tests", "e2e")]
os.environ.setdefault("GANTRY_BIN", os.path.join(TOP, "build-bench", "gantry"))

import cluster as rmq  # noqa: E402
import harness  # noqa: E402
import javatool  # noqa: E402

SIZES = (100, 1024)
BATCHES = (1, 100, 1000)
# What the Java client is expected to do a second, to choose counts by.
EXPECTED = {(100, 1): 5000, (100, 100): 120000, (100, 1000): 200000,
            (1024, 1): 5000, (1024, 100): 70000, (1024, 1000): 80000}
EXPECTED_READ = 100000
LIMIT_S = 300
LINE_BYTES = 100
JAVA_WORKER = 10900  # lines/s of the Java worker here, file to topic to file


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
    found = run([os.path.join(BUILD, name), *words])
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


def library_alone(cluster, topic, count):
    """Seconds until what one program of the library sends has been read by another, both at once."""
    cluster.create_topic(topic, queues=1)
    start = time.monotonic()
    reader = subprocess.Popen(
        [os.path.join(BUILD, "bench-consume"), cluster.namesrv, topic, cluster.broker.broker_name, "0", str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        native("bench-produce", cluster.namesrv, topic, count, LINE_BYTES - 1, 1000, "ordered")
        if reader.wait(LIMIT_S) != 0:
            sys.exit("bench-consume failed")
    finally:
        reader.kill()
    return time.monotonic() - start


def gantry(cluster, folder, source, number):
    """Seconds and CPU seconds from creating source and sink until the sink's file has all of the source's."""
    sink = os.path.join(folder, f"out{number}")
    with harness.Worker(os.path.join(folder, f"worker{number}"), namesrvAddr=cluster.namesrv,
                        connectClusterId=f"bench{number}", topic_queues=1) as worker:
        worker.wait_log("joined the cluster")
        start = time.monotonic()
        worker.pair(source, sink, topic=f"file{number}")
        size = os.path.getsize(source)
        harness.wait_for(lambda: os.path.exists(sink) and os.path.getsize(sink) >= size, "the sink has everything", LIMIT_S)
        seconds = time.monotonic() - start
        with open(f"/proc/{worker.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    if not filecmp.cmp(source, sink, shallow=False):
        sys.exit("the sink's file differs from the source's")
    os.unlink(sink)
    return seconds, cpu_s


def files(cluster, folder, seconds, rounds):
    count = int(200000 * max(seconds, 1))
    source = os.path.join(folder, "in")
    with open(source, "wb") as file:
        for number in range(count):
            file.write(b"%012d " % number + b"x" * (LINE_BYTES - 14) + b"\n")
    alone, ours = [], []
    for number in range(rounds):
        alone.append(library_alone(cluster, f"alone{number}", count))
        ours.append(gantry(cluster, folder, source, number))
    wall = statistics.median(one[0] for one in ours)
    rate, floor = count / wall, count / statistics.median(alone)
    print(f"\nfile → topic → file, {count:,} lines of {LINE_BYTES} bytes: {rate:,.0f} lines/s "
          f"({rate / JAVA_WORKER:.0f} × the Java worker's {JAVA_WORKER:,}), "
          f"{statistics.median(one[1] for one in ours) / count * 1e6:.2f} µs of CPU a line; "
          f"the library alone, sending and reading at once: {floor:,.0f} messages/s ({rate / floor:.2f} of it)", flush=True)


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
        files(cluster, folder, seconds, rounds)


if __name__ == "__main__":
    main()
