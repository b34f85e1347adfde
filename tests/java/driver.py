# SPDX-License-Identifier: Apache-2.0
"""A worker's side of the host protocol (docs/formats/host-protocol.md), written from that page alone: it drives the Java host
in tests, and checks each frame of it against the page.

    with Host(folder) as host:
        plugin = host.load("x.jar")
        tasks = host.split(plugin, "org.X", "name", {...}, 4)
        source = host.source(plugin, "org.X", "name", tasks[0])
        source.wait(10)                                   # records; committed at once unless commit=False
        source.stop()

What goes wrong on the host's side is raised by the next call, as Violation (the protocol) or Failed (its own words)."""
import glob
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import msgpack

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
OUT = os.path.join(TOP, "build-java-host")
JAR = os.path.join(OUT, "gantry-java-host.jar")
LIBRARY = os.path.join(OUT, "lib")
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData")
FRAME_MAX = 16 << 20
WAIT_S = 60

(PART, HELLO, LOAD, LOADED, FAILED, VALIDATE, FINDINGS, SPLIT, TASKS, RELEASE, RECONFIGURE, UNLOAD, BEAT, LOG) = range(1, 15)
START, STARTED, STOP, STOPPED, COMMITTED, LAG = range(20, 26)
RECORDS, CREDIT, POSITION, POSITION_IS, POSITIONS, POSITIONS_ARE, TOGETHER = range(30, 37)
PUT, TAKEN, CHECKPOINT, STATE, FLUSH, FLUSHED, CAUGHT_UP, HOLD, SEEK, COMMIT = range(40, 50)
SCHEMA, ASIDE = 50, 51
TYPES = "INT32 INT64 BIG_INTEGER FLOAT32 FLOAT64 BOOLEAN STRING BYTES ARRAY MAP DATETIME".split()


class Violation(AssertionError):
    """The host has said something that the page does not allow."""


class Failed(Exception):
    """The host's FAILED: code and text."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


def version_of(home):
    """The first number of a Java's version (8: 1.8 is its old name); None: it is none."""
    try:
        with open(os.path.join(home, "release"), encoding="utf-8") as file:
            found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', file.read(), re.M)
    except OSError:
        return None
    return int(found.group(1)) if found else None


def jdks():
    """{name: path of java}, in the order of their versions; of all that are at hand one a version, first the default one."""
    candidates = [os.path.join(os.environ.get("JAVA_HOME", ""), "bin", "java"), shutil.which("java") or "", *sorted(glob.glob("/usr/lib/jvm/*/bin/java")),
                  *sorted(glob.glob(os.path.join(TOP, "build-jdks", "*", "bin", "java")))]  # scripts/jdks
    found = {}
    for java in map(os.path.realpath, candidates):
        home = os.path.dirname(os.path.dirname(java))
        if os.access(java, os.X_OK) and version_of(home):
            found.setdefault(version_of(home), (os.path.basename(home), java))
    return dict(found[version] for version in sorted(found))


def java_for(least):
    """The oldest Java at hand that is not older."""
    return next(java for java in jdks().values() if version_of(os.path.dirname(os.path.dirname(java))) >= least)


def cost(record):
    def size(text):
        return len(text.encode() if isinstance(text, str) else text or b"")

    items = list(record) + [None] * (6 - len(record))
    return size(items[0]) + size(items[1]) + 64 + sum(size(name) + size(value) + 32 for name, value in items[5] or [])


class Record:
    """value, key, ms, topic, schema (name, source, [(name, type)]) or None, headers as a list of (name, bytes)."""

    def __init__(self, items, schemas):
        items = list(items) + [None] * (6 - len(items))
        self.value, self.key, self.ms, self.topic, number, headers = items[:6]
        self.schema = schemas[number] if number is not None else None
        self.headers = [(name, value) for name, value in headers or []]

    def __repr__(self):
        return f"Record({self.value!r}, key={self.key!r}, ms={self.ms}, topic={self.topic!r}, schema={self.schema}, headers={self.headers})"


class Host:
    def __init__(self, folder, java=None, options=(), library=LIBRARY, record_max=64 << 20, beat_ms=100, settings=None,
                 stdout_is_socket=True, hello=True, command=None):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.java = java or shutil.which("java")
        self.positions = {}   # connector: {partition: position}
        self.logs = []        # (channel, level, logger, text)
        self.beats = []       # (time, {channel: ms})
        self.reconfigures = []
        self.channels = {}
        self.answers = {}
        self.error = None
        self.host = None
        self.record_max = record_max
        self.next_id = self.next_channel = 0
        self.parts = {}
        self.changed = threading.Condition()
        self.sending = threading.Lock()
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.stderr_path = os.path.join(self.folder, "stderr")
        self.began = time.monotonic()
        with open(self.stderr_path, "ab") as errors:
            self.process = subprocess.Popen(
                command or [self.java, *QUICK, "-Xmx256m", *options, "-jar", JAR], stdin=theirs,
                stdout=theirs if stdout_is_socket else errors, stderr=errors, cwd=self.folder, start_new_session=True)
        theirs.close()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if hello:
            self.send([HELLO, 0, {"version": 1, "worker": "driver", "record.max": record_max, "beat.ms": beat_ms, "library": library,
                                  "settings": settings or {}, "a key of tomorrow": [1, {"x": b"y"}]}, "an item of tomorrow"])
            self.wait(lambda: self.host, "HELLO")
            self.start_s = time.monotonic() - self.began

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.stderr()[-3000:])
            print("\n".join(f"[{channel}] {level} {logger}: {text}" for channel, level, logger, text in list(self.logs)[-60:]))
        self.close()

    def close(self):
        """Close the line: the host ends by itself."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self.socket.close()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def texts(self, channel=None):
        return [text for number, _, _, text in list(self.logs) if channel in (None, number)]

    # --- the line

    def send(self, frame):
        self.send_bytes(msgpack.pack(frame), frame[1] if isinstance(frame, list) else 0)

    def send_bytes(self, data, channel=0):
        with self.sending:
            if len(data) <= FRAME_MAX:
                self.socket.sendall(struct.pack(">I", len(data)) + data)
                return
            step = FRAME_MAX - 64
            for at in range(0, len(data), step):
                part = msgpack.pack([PART, channel, data[at:at + step], at + step < len(data)])
                self.socket.sendall(struct.pack(">I", len(part)) + part)

    def _exactly(self, size):
        parts = []
        while size > 0:
            data = self.socket.recv(min(size, 1 << 20))
            if not data:
                return None
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def _read(self):
        try:
            while True:
                head = self._exactly(4)
                if head is None:
                    break
                size = struct.unpack(">I", head)[0]
                if not 1 <= size <= FRAME_MAX:
                    raise Violation(f"a frame of {size} bytes: {head!r}")
                data = self._exactly(size)
                if data is None:
                    raise Violation("the line ends within a frame")
                self._frame(msgpack.unpack(data), size)
        except OSError:
            pass
        except BaseException as error:
            with self.changed:
                self.error = self.error or error
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    ended = False

    def _frame(self, frame, size):
        if not isinstance(frame, list) or len(frame) < 2:
            raise Violation(f"no frame: {frame!r}")
        kind, channel, rest = frame[0], frame[1], frame[2:]
        if kind == PART:
            held = self.parts.setdefault(channel, bytearray())
            held += rest[0]
            if len(held) > self.record_max + (1 << 20):
                raise Violation(f"PARTs of {len(held)} bytes")
            if not rest[1]:
                del self.parts[channel]
                self._frame(msgpack.unpack(held), len(held))
            return
        with self.changed:
            if kind == LOG:
                self.logs.append((channel, *rest))
                if not isinstance(rest[2], str) or "\n" in rest[2] or rest[0] not in (0, 1, 2, 3):
                    raise Violation(f"LOG {rest!r}")
            elif channel == 0:
                self._host_frame(kind, rest)
            else:
                one = self.channels.get(channel)
                if one is None:
                    raise Violation(f"a frame of type {kind} for channel {channel}, which never was")
                one.frame(kind, rest, size)
            self.changed.notify_all()

    def _host_frame(self, kind, rest):
        if kind == HELLO:
            self.host = rest[0]
        elif kind in (LOADED, FAILED, FINDINGS, TASKS):
            if rest[0] not in self.answers or self.answers[rest[0]] is not None:
                raise Violation(f"an answer to {rest[0]}, which nobody asks: {kind} {rest!r}")
            self.answers[rest[0]] = (kind, rest[1:])
        elif kind == RECONFIGURE:
            self.reconfigures.append((rest[0], rest[1] if len(rest) > 1 else None))
        elif kind == BEAT:
            beat = dict((channel, ms) for channel, ms in rest[0])
            if set(beat) - set(self.channels) or any(ms < 0 for ms in beat.values()):
                raise Violation(f"BEAT {rest!r}")
            self.beats.append((time.monotonic(), beat))
        else:
            raise Violation(f"a frame of type {kind} of the host: {rest!r}")

    def wait(self, condition, what, timeout_s=WAIT_S):
        """What `condition` gives once it is true. Every frame is looked at."""
        until = time.monotonic() + timeout_s
        with self.changed:
            while True:
                if self.error:
                    raise self.error
                found = condition()
                if found:
                    return found
                if self.ended:
                    raise AssertionError(f"the host has ended ({self.process.wait(10)}) while {what} was waited for:\n{self.stderr()[-3000:]}")
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no {what} in {timeout_s} s; log: {self.texts()[-20:]}")
                self.changed.wait(min(left, 1))

    # --- requests

    def ask(self, kind, *items):
        with self.changed:
            self.next_id += 1
            number = self.next_id
            self.answers[number] = None
        self.send([kind, 0, number, *items])
        return number

    def answer(self, number, wanted):
        kind, rest = self.wait(lambda: self.answers[number], f"answer to {number}")
        if kind == FAILED:
            raise Failed(*rest)
        if kind != wanted:
            raise Violation(f"a frame of type {kind} answers {number}, not one of {wanted}")
        return rest[0]

    def load(self, path, name="plugin"):
        """The plugin's number; what LOADED says is in `plugins[number]`."""
        number = self.ask(LOAD, {"path": str(path), "name": name})
        self.plugins[number] = self.answer(number, LOADED)
        return number

    @property
    def plugins(self):
        return self.__dict__.setdefault("_plugins", {})

    def connector(self, plugin, class_name):
        return next(one for one in self.plugins[plugin]["connectors"] if class_name in one["classes"])

    def validate(self, plugin, class_name, name, config):
        return self.answer(self.ask(VALIDATE, plugin, class_name, name, config), FINDINGS)

    def split(self, plugin, class_name, name, config, max_tasks=1):
        return self.answer(self.ask(SPLIT, plugin, class_name, name, config, max_tasks), TASKS)

    def release(self, name):
        self.send([RELEASE, 0, name])

    def unload(self, plugin):
        self.send([UNLOAD, 0, plugin])

    def _start(self, channel, plugin, class_name, config, started):
        with self.changed:
            self.next_channel += 1
            channel.number = self.next_channel
            self.channels[channel.number] = channel
        self.send([START, channel.number, plugin, class_name, channel.connector, channel.task, channel.tasks, config, None, channel.credit])
        if started:
            self.wait(lambda: channel.started or channel.failed, "STARTED")
            channel.check()
        return channel

    def source(self, plugin, class_name, connector, config, task=0, tasks=1, credit=1 << 20, commit=True, refill=True, started=True):
        return self._start(Source(self, connector, task, tasks, credit, commit, refill), plugin, class_name, config, started)

    def sink(self, plugin, class_name, connector, config, task=0, tasks=1, started=True):
        return self._start(Sink(self, connector, task, tasks), plugin, class_name, config, started)

    def run(self, plugin, class_name, name, config, kind, **options):
        """Split into one task and start it."""
        return getattr(self, kind)(plugin, class_name, name, self.split(plugin, class_name, name, config)[0], **options)


class Channel:
    def __init__(self, host, connector, task, tasks):
        self.host, self.connector, self.task, self.tasks = host, connector, task, tasks
        self.number = None
        self.started = self.stopped = False
        self.failed = None
        self.credit = 0

    def frame(self, kind, rest, size):
        if self.stopped:
            raise Violation(f"a frame of type {kind} behind STOPPED")
        if kind == STARTED:
            if self.started or self.failed:
                raise Violation("a second STARTED")
            self.started = True
            self.on_started(rest[0] if rest else 0)
        elif kind == FAILED:
            if self.failed or rest[0] != 0 or rest[1] >= 0 or not rest[2]:
                raise Violation(f"FAILED {rest!r}")
            self.failed = Failed(rest[1], rest[2])
        elif kind == STOPPED:
            self.stopped = True
        elif not self.started and kind not in (POSITION, POSITIONS, SCHEMA, SEEK, HOLD):
            raise Violation(f"a frame of type {kind} before STARTED")
        else:
            self.on_frame(kind, rest, size)

    def on_started(self, credit):
        pass

    def check(self):
        if self.failed:
            raise self.failed

    def send(self, kind, *items):
        self.host.send([kind, self.number, *items])

    def stop(self, wait=True):
        self.send(STOP)
        if wait:
            self.host.wait(lambda: self.stopped, "STOPPED")

    def wait_failed(self):
        return self.host.wait(lambda: self.failed, "FAILED")

    @property
    def log(self):
        return self.host.texts(self.number)


class Source(Channel):
    """`records`, `frames` ((seq, count, marks)). With commit, all is committed at once; otherwise by commit(seq)."""

    def __init__(self, host, connector, task, tasks, credit, commit, refill):
        super().__init__(host, connector, task, tasks)
        self.credit = credit
        self.left = credit
        self.auto, self.refill = commit, refill
        self.records, self.frames, self.schemas = [], [], {}
        self.seq = self.committed = 0
        self.pending = {}
        self.together = self.together_bytes = 0  # frames of a batch that are still to come; the bytes of those that came
        self.batches = []                        # seq of each batch's last frame

    def on_frame(self, kind, rest, size):
        if kind == RECORDS:
            self.on_records(rest, size)
        elif kind == TOGETHER:
            if self.together or rest[0] < 1:
                raise Violation(f"TOGETHER {rest!r} with {self.together} frames to come")
            self.together, self.together_bytes = rest[0], 0
            if self.left <= 0:
                raise Violation(f"TOGETHER without credit ({self.left})")
        elif kind == POSITION:
            number, partition = rest
            position = self.host.positions.get(self.connector, {}).get(partition)
            self.send(POSITION_IS, number, position)
        elif kind == POSITIONS:
            self.send(POSITIONS_ARE, rest[0], [list(pair) for pair in self.host.positions.get(self.connector, {}).items()])
        elif kind == SCHEMA:
            number, name, source, fields = rest
            if number in self.schemas:
                raise Violation(f"schema {number} again")
            self.schemas[number] = (name, source, [(field, TYPES[kind]) for field, kind in fields])
        elif kind != LAG:
            raise Violation(f"a frame of type {kind} of a source")

    def on_records(self, rest, size):
        seq, records, marks = rest[0], rest[1], rest[2] if len(rest) > 2 else []
        if seq != self.seq + 1:
            raise Violation(f"RECORDS {seq} behind {self.seq}")
        if self.left <= 0 and not self.together:
            raise Violation(f"RECORDS {seq} without credit ({self.left})")
        if len(records) > 4096 or len(records) > 1 and size > 1 << 20:
            raise Violation(f"RECORDS of {len(records)} records, {size} bytes")
        self.seq = seq
        covered = 0
        for covers, partition, position in marks:
            if not covered <= covers <= len(records) or not isinstance(partition, bytes) or not isinstance(position, bytes):
                raise Violation(f"a mark {covers} {partition!r} {position!r} behind {covered} of {len(records)}")
            covered = covers
        spent = sum(cost(record) for record in records)
        self.left -= spent
        self.records += [Record(record, self.schemas) for record in records]
        self.frames.append((seq, len(records), marks))
        self.pending[seq] = marks
        if self.together:
            self.together -= 1
            self.together_bytes += size
            if self.together_bytes > self.host.record_max:
                raise Violation(f"a batch of {self.together_bytes} bytes")
        if not self.together:
            self.batches.append(seq)
        if self.auto and not self.together:
            self.commit(seq)
        if self.refill and spent:
            self.grant(spent)

    def grant(self, amount):
        self.left += amount
        self.send(CREDIT, amount)

    def commit(self, seq=None):
        """Everything up to `seq` (all) is durable."""
        seq = self.seq if seq is None else seq
        store = self.host.positions.setdefault(self.connector, {})
        for number in sorted(number for number in self.pending if number <= seq):
            for _, partition, position in self.pending.pop(number):
                store[partition] = position
        self.committed = seq
        self.send(COMMITTED, seq)

    def wait(self, count, timeout_s=WAIT_S):
        """At least `count` records."""
        self.host.wait(lambda: len(self.records) >= count or self.failed, f"{count} records (there are {len(self.records)})", timeout_s)
        self.check()
        return self.records


class Sink(Channel):
    """put() counts credit; flush() gives the limits."""

    def __init__(self, host, connector, task, tasks):
        super().__init__(host, connector, task, tasks)
        self.left = 0
        self.sent = self.taken = 0
        self.states, self.flushed = {}, {}
        self.holds, self.seeks, self.asides = [], [], []
        self.commits = 0
        self.next = 0

    def on_started(self, credit):
        if credit <= 0:
            raise Violation(f"STARTED of a sink with credit {credit}")
        self.left = credit

    def on_frame(self, kind, rest, size):
        if kind == TAKEN:
            self.taken += rest[0]
            self.left += rest[0]
            if self.taken > self.sent:
                raise Violation(f"TAKEN of {self.taken}, {self.sent} were sent")
        elif kind == STATE:
            self.states[rest[0]] = rest[1] if len(rest) > 1 else None
        elif kind == FLUSHED:
            self.flushed[rest[0]] = {(topic, queue): offset for topic, queue, offset in (rest[1] if len(rest) > 1 else [])}
        elif kind == HOLD:
            self.holds.append(tuple(rest))
        elif kind == SEEK:
            self.seeks.append(tuple(rest))
        elif kind == COMMIT:
            self.commits += 1
        elif kind == ASIDE:
            topic, queue, offset, records = rest
            self.asides += [((topic, queue, offset + i), Record(record, {})) for i, record in enumerate(records)]
        else:
            raise Violation(f"a frame of type {kind} of a sink")

    def schema(self, number, name, source, fields):
        self.send(SCHEMA, number, name, source, [[field, TYPES.index(kind)] for field, kind in fields])

    def put(self, topic, queue, offset, records):
        """records: values, or lists [value, key, ms, topic, schema, [[name, value]]]. Waits for credit."""
        records = [record if isinstance(record, list) else [record] for record in records]
        self.host.wait(lambda: self.left > 0 or self.failed, "credit")
        self.check()
        spent = sum(cost(record) for record in records)
        with self.host.changed:
            self.left -= spent
            self.sent += spent
        self.send(PUT, topic, queue, offset, records)

    def answer_seek(self):
        """An empty PUT: what comes behind it begins with the offset that was asked for last."""
        self.put(*self.seeks[-1], [])

    def wait_taken(self):
        self.host.wait(lambda: self.taken == self.sent or self.failed, f"TAKEN of {self.sent} (it is {self.taken})")
        self.check()

    def flush(self):
        """CHECKPOINT and FLUSH; the limits {(topic, queue): offset}."""
        with self.host.changed:
            self.next += 1
            seq = self.next
        self.send(CHECKPOINT, seq)
        self.host.wait(lambda: seq in self.states or self.failed, "STATE")
        self.check()
        self.send(FLUSH, seq)
        self.host.wait(lambda: seq in self.flushed or self.failed, "FLUSHED")
        self.check()
        self.send(COMMITTED, seq)
        return self.flushed[seq]


if __name__ == "__main__":
    print("JDKs:", ", ".join(jdks()))
