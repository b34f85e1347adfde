#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a worker costs that has nothing to do, and how soon it does something.

usage: bench/idle.py [SOURCES]     (default 10000 idle file sources)

Start: from exec to the first HTTP reply, median of 20. Idle: resident memory and CPU over 20 s. A new line: from the append to
the sink's file until the sink's file has it, 200 times. Then SOURCES connectors, each following a file of its own.
"""
import concurrent.futures
import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

import machine

STARTS, LINES, IDLE_S = 20, 200, 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_once(where):
    """Milliseconds from exec to the first reply."""
    port = free_port()
    begin = time.monotonic()
    process = subprocess.Popen(
        [machine.GANTRY, "worker", f"httpPort={port}", f"storePathRootDir={where}", "log.level=error"],
        stdin=subprocess.DEVNULL)
    try:
        while time.monotonic() - begin < 20:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/getClusterInfo")
                if connection.getresponse().status == 200:
                    return (time.monotonic() - begin) * 1000
            except OSError:
                time.sleep(0.0005)
            finally:
                connection.close()
        sys.exit("the worker did not answer within 20 s")
    finally:
        process.terminate()
        process.wait(30)


def measure_start(where):
    return statistics.median(start_once(os.path.join(where, f"start{i % 2}")) for i in range(STARTS))


def measure_idle(worker):
    """Resident MB, and percent of one core."""
    time.sleep(1)
    before = machine.cpu_seconds(worker.process.pid)
    time.sleep(IDLE_S)
    percent = (machine.cpu_seconds(worker.process.pid) - before) / IDLE_S * 100
    return machine.process_kb(worker.process.pid, "VmRSS") / 1024, percent


def wait_for_size(path, size, deadline_s=10):
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if os.path.exists(path) and os.path.getsize(path) >= size:
            return
        time.sleep(0.0002)
    sys.exit(f"{path} did not reach {size} bytes within {deadline_s} s")


def measure_lines(worker, where):
    """Milliseconds from append to arrival, of each line."""
    source, sink = os.path.join(where, "lines.in"), os.path.join(where, "lines.out")
    with open(source, "wb", buffering=0) as file:
        worker.create("lines-in", {"connector-class": machine.SOURCE, "topic": "lines", "filename": source})
        worker.create("lines-out", {"connector-class": machine.SINK, "topicNames": "lines", "filename": sink})
        times, size = [], 0
        for number in range(LINES + 5):
            line = b"line %d\n" % number
            begin = time.monotonic()
            file.write(line)
            size += len(line)
            wait_for_size(sink, size)
            if number >= 5:  # the first ones find cold caches
                times.append((time.monotonic() - begin) * 1000)
            time.sleep(0.01)
    worker.get("/connectors/lines-in/stop")
    worker.get("/connectors/lines-out/stop")
    return times


def create_sources(worker, where, count):
    """Seconds that it took."""
    files = os.path.join(where, "followed")
    os.mkdir(files)

    def create_some(first):
        connection = worker.connection()
        for number in range(first, count, 8):
            path = os.path.join(files, f"{number}.log")
            with open(path, "wb") as file:
                file.write(b"one line\n")
            worker.create(f"idle-{number}", {"connector-class": machine.SOURCE, "topic": "idle", "filename": path},
                          connection)
        connection.close()

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(create_some, range(8)))
    return time.monotonic() - begin


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    sources = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    machine.need_program()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    print(f"idle worker; {machine.describe_machine()}")
    verdicts = machine.Verdicts()
    with machine.folder() as where:
        verdicts.check(f"start to REST ready (median of {STARTS})", measure_start(where), 50, "ms", ".1f")
        with machine.Worker(os.path.join(where, "store")) as worker:
            memory, percent = measure_idle(worker)
            verdicts.check("idle: resident memory", memory, 12, "MB", ".1f")
            verdicts.check(f"idle: CPU over {IDLE_S} s", percent, 0.049, "%", ".3f")
            times = measure_lines(worker, where)
            verdicts.check(f"new line to sink file (median of {LINES})", statistics.median(times), 20, "ms", ".2f")
            print(f"      {'the same, 99th percentile':<46} {percentile(times, 0.99):.2f} ms")
        with machine.Worker(os.path.join(where, "store2")) as worker:
            seconds = create_sources(worker, where, sources)
            memory, percent = measure_idle(worker)
            verdicts.check(f"{sources:,} file sources: resident memory", memory, 200, "MB", ".1f")
            verdicts.check(f"{sources:,} file sources: CPU over {IDLE_S} s", percent, 1, "%", ".3f")
            print(f"      {'created in':<46} {seconds:.1f} s ({sources / seconds:,.0f}/s)")
    return verdicts.finish()


if __name__ == "__main__":
    sys.exit(main())
