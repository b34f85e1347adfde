#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same jar here and there: Kafka's file connectors in the Java host of a Gantry worker with its embedded log, and in Kafka
Connect standalone with a real Kafka, on this machine, in turns.

usage: bench/java/bench.py [LINES [ROUNDS]]     (or N=LINES ROUNDS=ROUNDS; default 500000 and 3)

A source's time runs from its first bytes in the topic to its last, a sink's from its first bytes in the file to its last: neither
the JVMs' start nor their warming up before is counted, for either side. For Gantry the time from the create request until all is
committed (source) or written (sink) is told, too. Same JDK, heap and converters; batch.size 2000.
"""
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.dont_write_bytecode = True
for folder in ("bench", "tests/java", "tests/e2e"):
    sys.path.insert(0, os.path.join(TOP, folder))
import bench  # noqa: E402
import driver  # noqa: E402
import harness  # noqa: E402
import machine  # noqa: E402
from kafkaserver import Kafka  # noqa: E402

CONNECT = os.path.join(driver.OUT, "kafka-connect")
JAR = "connect-file-3.9.2.jar"
SOURCE, SINK = (f"org.apache.kafka.connect.file.FileStream{kind}Connector" for kind in ("Source", "Sink"))
STRING = {f"{side}.converter": "org.apache.kafka.connect.storage.StringConverter" for side in ("key", "value")}
HEAP = "-Xmx512m"
LIMIT_S = 300


def size(path):
    return sum(os.path.getsize(name) for name in glob.glob(path))


def watch(path, done, alive):
    """(when the first bytes were there, when done() came true first); done is asked after each change, and in the end."""
    began, last = time.monotonic(), 0
    first = None
    while True:
        now, found = time.monotonic(), size(path)
        if found > 0 and first is None:
            first = now
        if found != last:
            last, changed = found, now
        if found > 0 and done(found, now - changed):
            return first, changed
        assert now - began < LIMIT_S and alive(), f"not done in {LIMIT_S} s, or ended: {path} has {found} bytes"
        time.sleep(0.01)


def gantry(where, source, lines):
    """{what: records/s}"""
    out = os.path.join(where, "gantry.out")
    settings = {"pluginPaths": os.path.join(driver.OUT, "plugins", JAR), "host_java_options": f"{HEAP} -XX:+ExitOnOutOfMemoryError"}
    wanted, found = os.path.getsize(source), {}
    with harness.Worker(os.path.join(where, "gantry"), **settings) as worker:
        def committed():
            done = harness.run_gantry("topic", "ls", "--store", worker.store).stdout.decode()
            return any(line.split()[:1] == ["t"] and f"{lines:,}" in line.split() for line in done.splitlines())
        begin = time.monotonic()
        worker.create("source", {"connector.class": SOURCE, "topic": "t", "file": source, "batch.size": "2000", **STRING})
        first, _ = watch(segments(worker), lambda size, quiet: committed(), worker.alive)
        end = time.monotonic()
        found["source"], found["source, from its creation"] = lines / (end - first), lines / (end - begin)
        begin = time.monotonic()
        worker.create("sink", {"connector.class": SINK, "topics": "t", "file": out, **STRING})
        first, last = watch(out, lambda size, quiet: size == wanted, worker.alive)
        found["sink"], found["sink, from its creation"] = lines / (last - first), lines / (last - begin)
    subprocess.run(["cmp", source, out], check=True)
    return found


def segments(worker):
    return os.path.join(worker.store, "topics", "t", "*", "*")


def standalone(kafka, where, name, config):
    """The process of a Kafka Connect worker with one connector."""
    paths = []
    for number, keys in enumerate(({
            "bootstrap.servers": kafka.address, "offset.storage.file.filename": os.path.join(where, f"{name}.offsets"), "plugin.path": "",
            "plugin.discovery": "only_scan", "listeners": "http://127.0.0.1:0", "consumer.auto.offset.reset": "earliest", **STRING},
            {"name": name, "tasks.max": "1", **config})):
        paths.append(os.path.join(where, f"{name}-{number}.properties"))
        with open(paths[-1], "w", encoding="ascii") as file:
            file.writelines(f"{key}={value}\n" for key, value in keys.items())
    with open(os.path.join(where, f"{name}.log"), "ab") as log:
        return subprocess.Popen(["java", HEAP, "-cp", os.path.join(CONNECT, "*"), "org.apache.kafka.connect.cli.ConnectStandalone", *paths],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=where)


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kafka_connect(where, source, lines):
    folder, out, found = os.path.join(where, "kafka"), os.path.join(where, "kafka.out"), {}
    os.makedirs(folder)
    wanted = os.path.getsize(source)
    with Kafka(folder) as kafka:
        process = standalone(kafka, where, "source", {"connector.class": SOURCE, "topic": "t", "file": source, "batch.size": "2000"})
        try:
            # that nothing is missing is seen when the sink has written all of it
            first, last = watch(os.path.join(folder, "data", "t-0", "*.log"), lambda _, quiet: quiet > 2, lambda: process.poll() is None)
        finally:
            end(process)
        found["source"] = lines / (last - first)
        process = standalone(kafka, where, "sink", {"connector.class": SINK, "topics": "t", "file": out})
        try:
            first, last = watch(out, lambda size, quiet: size == wanted, lambda: process.poll() is None)
        finally:
            end(process)
        found["sink"] = lines / (last - first)
    subprocess.run(["cmp", source, out], check=True)
    return found


def main():
    lines = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("N", 500000))
    rounds = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("ROUNDS", 3))
    print(machine.describe_machine())
    runs = {"gantry": [], "kafka connect": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as top:
        source = os.path.join(top, "in")
        bench.write_input(source, lines)
        for number in range(rounds):
            for name, run in (("gantry", gantry), ("kafka connect", kafka_connect)):
                with tempfile.TemporaryDirectory(dir=top) as where:
                    runs[name].append(run(where, source, lines))
                print(f"round {number + 1}, {name}: " + ", ".join(f"{what} {rate:,.0f}" for what, rate in runs[name][-1].items()), flush=True)
    print(f"{lines} lines of 99 characters, records/s, median of {rounds}")
    good = True
    for what in runs["gantry"][0]:
        ours = statistics.median(one[what] for one in runs["gantry"])
        theirs = statistics.median(one[what.split(",")[0]] for one in runs["kafka connect"])
        good = good and ours >= theirs
        print(f"{what:<28} gantry {ours:>11,.0f}   kafka connect {theirs:>11,.0f}   {ours / theirs:>5.1f} times")
    print(f"bar: at least as fast as in its own worker: {'held' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
