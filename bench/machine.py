# SPDX-License-Identifier: Apache-2.0
"""What the benches share: the program, folders on one file system, a worker as a child, and verdicts."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
GANTRY = os.path.abspath(os.environ.get("GANTRY_BIN", os.path.join(ROOT, "build", "gantry")))
SOURCE = "org.apache.rocketmq.connect.file.FileSourceConnector"
SINK = "org.apache.rocketmq.connect.file.FileSinkConnector"


@contextlib.contextmanager
def folder():
    """A folder that is gone afterwards; BENCH_DIR says where (default: the build folder, so the file system of the tree)."""
    above = os.environ.get("BENCH_DIR") or os.path.join(ROOT, "build")
    os.makedirs(above, exist_ok=True)
    path = tempfile.mkdtemp(prefix="bench-", dir=os.path.abspath(above))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def describe_machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {model.group(1) if model else 'unknown'}; load before: {load:.2f}"


def process_kb(pid, name):
    """A figure of /proc/PID/status in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(re.search(rf"{name}:\s*(\d+)", file.read()).group(1))


def cpu_seconds(pid):
    """CPU time so far, to the nanosecond, of all threads, those that have ended included: the process's own clock."""
    return time.clock_gettime(~pid << 3 | 2)  # what clock_getcpuclockid() gives


class Worker:
    """A `gantry worker` on a free port, with a store of its own."""

    def __init__(self, where, *settings):
        os.makedirs(where, exist_ok=True)
        self.log = os.path.join(where, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [GANTRY, "worker", "httpPort=0", f"storePathRootDir={where}", *settings],
                stderr=log, stdin=subprocess.DEVNULL)
        self.port = self._read_port()

    def _read_port(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with open(self.log, "rb") as log:
                found = re.search(rb"listening .*\bport=(\d+)", log.read())
            if found:
                return int(found.group(1))
            time.sleep(0.01)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise SystemExit("the worker did not start:\n" + log.read())

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path, connection=None):
        own = connection or self.connection()
        own.request("GET", path)
        text = own.getresponse().read().decode()
        if connection is None:
            own.close()
        return text

    def create(self, name, config, connection=None):
        path = f"/connectors/{name}?config=" + urllib.parse.quote(json.dumps(config), safe="")
        reply = self.get(path, connection)
        if reply != "success":
            raise SystemExit(f"{name} was answered with {reply!r}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.stop()


class Verdicts:
    """Bars, and whether they were met."""

    def __init__(self):
        self.failed = 0

    def check(self, what, value, bar, unit, form=".2f"):
        good = value <= bar
        self.failed += not good
        print(f"{'PASS' if good else 'FAIL'}  {what:<46} {value:{form}} {unit:<6} (bar: {bar:{form}} {unit})")

    def finish(self):
        print("all bars met" if self.failed == 0 else f"{self.failed} bars missed")
        return 1 if self.failed else 0


def need_program():
    if not os.access(GANTRY, os.X_OK):
        sys.exit(f"{GANTRY} is not there; run: make build")
