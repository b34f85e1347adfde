# SPDX-License-Identifier: Apache-2.0
"""What the crash tests share: a worker with its store, its input and its output; the deaths that were counted."""
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse

SOURCE = "org.apache.rocketmq.connect.file.FileSourceConnector"
SINK = "org.apache.rocketmq.connect.file.FileSinkConnector"
KILLS = int(os.environ.get("KILLS", "20"))
FULL = KILLS >= 100
SLOW = float(os.environ.get("CRASH_SLOW", "1"))  # a factor for the waits, for slow machines


class Died(Exception):
    """The worker is gone."""


def binary(name="GANTRY_FAULTS_BIN"):
    path = os.environ.get(name)
    assert path and os.access(path, os.X_OK), f"{name} has to name a gantry that can be run (scripts/test sets it)"
    return path


def wait_for(what, condition, seconds=20.0, every=0.01):
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * SLOW:.0f} s for: {what() if callable(what) else what}")
        time.sleep(every)


class Worker:
    """One process at a time on one store."""

    def __init__(self, folder, settings=None, store=None):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.store = store or os.path.join(self.folder, "store")
        self.log = os.path.join(self.folder, "worker.log")
        self.settings = {
            "storePathRootDir": self.store, "httpPort": "0", "task.restart.backoff.ms": "100",
            "task.restart.backoff.max.ms": "200", "disk.reserve": "0", **(settings or {}),
        }
        self.process = None
        self.port = None
        self.starts = 0
        self.log_from = 0

    def launch(self, fault=None, env=None, settings=None):
        """Start the process and wait for nothing."""
        assert self.process is None
        conf = os.path.join(self.folder, "connect.conf")
        with open(conf, "w", encoding="utf-8") as file:
            for key, value in {**self.settings, **(settings or {})}.items():
                file.write(f"{key}={value}\n")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GANTRY_FAULT", "PL_"))}
        environment.update(env or {})
        if fault:
            environment["GANTRY_FAULT"] = fault
        with open(self.log, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(
                [binary(), "worker", "-c", conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.starts += 1
        self.port = None

    def ready(self, seconds=20.0):
        """Wait until the listener is there. Died when the process is gone before."""
        def listening():
            match = re.search(r"listening address=\S+ port=(\d+)", self.log_text())
            if match:
                return int(match.group(1))
            if self.process.poll() is not None:
                raise Died(self.log_text())
            return None
        self.port = wait_for(lambda: "the listener\n" + self.log_text(), listening, seconds)

    def start(self, **how):
        self.launch(**how)
        self.ready()

    def log_text(self):
        """What this process has logged."""
        with open(self.log, "rb") as file:
            file.seek(self.log_from)
            return file.read().decode("utf-8", "replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def reap(self, seconds):
        """Wait for the process to die by itself; its exit status, or None."""
        try:
            code = self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            return None
        self.process = None
        return code

    def stop(self):
        """SIGTERM; the exit status has to be 0."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        code = self.reap(20)
        if code is None:
            self.kill()
        assert code == 0, f"exit status {code} after SIGTERM\n{self.log_text()}"

    def get(self, path, **query):
        """(status, text). Died when there is no answer."""
        url = path + ("?" + urllib.parse.urlencode(query) if query else "")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", url)
            reply = connection.getresponse()
            return reply.status, reply.read().decode("utf-8")
        except (OSError, http.client.HTTPException) as error:
            raise Died(str(error)) from error
        finally:
            connection.close()

    def create(self, name, config):
        return self.get(f"/connectors/{name}", config=json.dumps(config))

    def status(self, name):
        return self.get(f"/connectors/{name}/status")[1]

    def connectors(self):
        """The names that the worker has configurations of."""
        return {name for name in re.findall(r"[\w-]+", self.get("/getConfigInfo")[1])}


def source_config(path, topic="t1", **more):
    return {"connector-class": SOURCE, "topic": topic, "filename": str(path), "source-record-converter": "string",
            **more}


def sink_config(path, topic="t1", **more):
    return {"connector-class": SINK, "topicNames": topic, "filename": str(path), "source-record-converter": "string",
            **more}


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def rotated_content(path):
    """The sink's rotated files in their order, then the file itself."""
    folder, name = os.path.split(str(path))
    pattern = re.compile(re.escape(name) + r"\.(\d{6,})")
    numbers = sorted(int(m.group(1)) for m in map(pattern.fullmatch, os.listdir(folder)) if m)
    return b"".join(content(f"{path}.{number:06d}") for number in numbers) + content(path)


def first_difference(left, right):
    at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return (f"{len(left)} bytes, expected {len(right)}; they differ from byte {at} on: "
            f"{left[max(at - 40, 0):at + 60]!r}, expected {right[max(at - 40, 0):at + 60]!r}")


def wait_equal(worker, read, expected, seconds=30.0, failed_ends=False):
    """Until read() is what was expected; longer than expected, or not in time, is a failure; so is, if wanted, a task
    that is FAILED."""
    def equal():
        got = read()
        assert len(got) <= len(expected), "more than the input has: " + first_difference(got, expected)
        if worker is not None and not worker.alive():
            raise Died("the worker died\n" + worker.log_text())
        assert not failed_ends or got == expected or "task FAILED" not in worker.log_text(), "a task is FAILED"
        return got == expected
    try:
        wait_for("all of the input in the output", equal, seconds, 0.02)
    except AssertionError as error:
        raise AssertionError(f"{error}: {first_difference(read(), expected)}\n{worker.log_text()[-3000:]}") from error


class Writer:
    """Appends lines to a file and rotates it by rename-and-create, in a thread, until stopped. Everything it has
    written is in `written`."""

    def __init__(self, path, seed, lines_per_s=3000, rotate_every=0, tag=""):
        import random
        self.path = str(path)
        self.random = random.Random(seed)
        self.rate, self.rotate_every, self.tag = lines_per_s, rotate_every, tag
        self.written = bytearray()
        self.lines = self.rotations = 0
        self.stopping = threading.Event()
        self.file = open(self.path, "ab", buffering=0)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.error = None

    def start(self):
        self.thread.start()
        return self

    def line(self):
        self.lines += 1
        length = self.random.choice((0, 1, 20, 60, 100, 100, 300))
        text = b"%s%d " % (self.tag.encode(), self.lines) + bytes(self.random.choices(range(33, 256), k=length))
        return b"\n" if not self.tag and self.random.random() < 0.01 else text + b"\n"

    def write(self, data):
        self.file.write(data)
        self.written += data

    def rotate(self):
        """As logrotate does it: rename, and the program goes on in the old file for a moment."""
        self.rotations += 1
        os.rename(self.path, f"{self.path}.{self.rotations:06d}")
        if self.random.random() < 0.5:
            self.write(self.line())
        self.file.close()
        self.file = open(self.path, "ab", buffering=0)

    def run(self):
        try:
            since = 0
            while not self.stopping.is_set():
                count = self.random.randint(1, max(self.rate // 50, 1))
                data = b"".join(self.line() for _ in range(count))
                # Lines come in pieces too, some with a pause that makes the source give the piece (line.timeout.ms).
                cut = self.random.randint(0, len(data))
                self.write(data[:cut])
                if self.random.random() < 0.05:
                    time.sleep(0.03)
                self.write(data[cut:])
                since += count
                if self.rotate_every and since >= self.rotate_every:
                    self.rotate()
                    since = 0
                self.stopping.wait(count / self.rate)
        except BaseException as error:  # told by stop()
            self.error = error

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.file.close()
        if self.error is not None:
            raise self.error
        return bytes(self.written)


def record_counts(test, counts):
    """Into the file CRASH_SUMMARY, for docs/proof.md, and to the report of pytest."""
    print(test, json.dumps(counts, sort_keys=True))
    path = os.environ.get("CRASH_SUMMARY")
    if not path:
        return
    summary = json.loads(content(path) or b"{}")
    summary[test] = counts
    with open(path, "w", encoding="utf-8") as file:
        json.dump(summary, file, indent=1, sort_keys=True)
        file.write("\n")
