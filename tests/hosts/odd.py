# SPDX-License-Identifier: Apache-2.0
"""A host whose connectors ask the worker for what hosts may ask, and for what they may not. It stands on the example's.

`odd.folder` is where a test and the host meet: `tasks` holds into how many tasks the work is split; `ask` what is to be asked now (the
name of a connector, then, behind a blank, a reason); `events` is what the worker has said."""
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "host-python"))
import host  # noqa: E402  the folder of the example must be known first
import msgpack  # noqa: E402
from host import FAILED, FINDINGS, RECORDS, RELEASE, SPLIT, TASKS  # noqa: E402

RECONFIGURE, LAG, POSITIONS, TOGETHER, ASIDE = 11, 25, 34, 36, 51
TEXTS = ("odd.folder", "odd.how")


class Parts(host.Counter):
    """A source: each task has its own numbers, `count` of them, PART:NUMBER."""
    NAME = "test.OddParts"
    TABLE = {"kind": 0, "classes": [NAME], "task_class": NAME + "Task", "version": "1.0", "doc": "Numbers in parts.", "api": "python",
             "validates": False, "splits": True,
             "defs": [{"name": name, "type": 0, "doc": "See odd.py."} for name in TEXTS] +
                     [{"name": name, "type": 1, "default": "0", "min": 0, "max": 1000000000, "doc": "See odd.py."} for name in ("count", "odd.part")]}

    def __init__(self, task):
        self.task, self.next, self.seq, self.resumed = task, None, 0, False
        self.part = task.config["odd.part"]
        task.send(host.POSITION, 1, self.part.encode())

    def position(self, position):
        self.resumed = bool(position)
        super().position((position or b"")[-20:])

    def turn(self):
        end = min(self.next + 50, int(self.task.config["count"])) if self.next is not None else 0
        if self.next is None or self.next >= end or self.task.credit <= 0:
            return False
        if self.next > 0 and self.task.config.get("odd.how") == "positions":
            if not self.resumed:
                raise ValueError("then there is a position")
            for _ in range(2000):
                self.task.send(POSITIONS, 1)  # and the answers are not read until all are asked for
            raise ValueError("that were all positions")
        if self.next > 0 and self.task.config.get("odd.how") == "lag":
            self.say_without_end(LAG, 7)
        records = [[f"{self.part}:{number}".encode()] for number in range(self.next, end)]
        how = self.task.config.get("odd.how")
        if how == "many":
            records = [[b"x"]] * 4097
        if how == "marks":
            self.task.send(RECORDS, 1, records, [[0, b"", b""]] * 65537)
        if how == "together":
            self.task.send(TOGETHER, 257)
            for seq in range(1, 258):
                self.task.send(RECORDS, seq, [[b""]] * 4096)
        self.next, self.seq = end, self.seq + 1
        self.task.credit -= sum(host.cost(record) for record in records)
        position = b"%d" % end
        if self.task.config.get("odd.how") == "positions":
            position = position.rjust(200000, b"0")
        self.task.send(RECORDS, self.seq, records, [[len(records), self.part.encode(), position]])
        return True

    def say_without_end(self, kind, *items):
        data = msgpack.pack([kind, self.task.channel, *items])
        block = (struct.pack(">I", len(data)) + data) * 10000
        while True:
            self.task.host.line.setblocking(True)
            self.task.host.line.sendall(block)
            self.task.host.send(host.BEAT, 0, [])


class Sink:
    """A sink that keeps nothing, and `odd.how`: "taken" has taken what never came, "credit" gives more than it has and takes nothing for as
    long as something comes: `peak` in `odd.folder` is how many bytes have come at most by then."""
    NAME = "test.OddSink"
    TABLE = {"kind": 1, "classes": [NAME], "task_class": NAME + "Task", "version": "1.0", "doc": "Takes all.", "api": "python",
             "validates": False, "splits": False, "defs": [{"name": name, "type": 0, "doc": "See odd.py."} for name in TEXTS]}

    def __init__(self, task):
        self.task, self.untaken, self.peak, self.came_s, self.count = task, 0, 0, 0, 0
        self.how = task.config.get("odd.how")
        task.send(host.STARTED, 1 << 62)
        if self.how == "taken":
            task.send(host.TAKEN, 1 << 62)
            task.send(host.TAKEN, 1 << 62)

    def put(self, records):
        while self.how == "aside":
            self.task.send(ASIDE, "t", 0, 0, [[b"x" * 1000000]])
            self.task.host.send(host.BEAT, 0, [])
        self.untaken += sum(host.cost(record) for record in records)
        self.came_s = time.monotonic()
        self.count += len(records)
        if self.count == 2500:
            open(os.path.join(self.task.config["odd.folder"], "all"), "w", encoding="utf-8").close()
        if self.untaken > self.peak:
            self.peak = self.untaken
            with open(os.path.join(self.task.config["odd.folder"], "peak"), "w", encoding="utf-8") as file:
                file.write(str(self.peak))

    def checkpoint(self, seq):
        self.task.send(host.STATE, seq, None)

    def flush(self, seq):
        self.task.send(host.FLUSHED, seq, [["t", 0, 0]] * 65537 if self.how == "limits" else [])

    def turn(self):
        if self.untaken and time.monotonic() - self.came_s > 0.5:
            self.task.send(host.TAKEN, self.untaken)
            self.untaken = 0
        return False

    def close(self):
        pass


class Host(host.Host):
    def __init__(self, line):
        super().__init__(line)
        self.folders = {}  # by connector

    def event(self, name, text):
        with open(os.path.join(self.folders[name], "events"), "a", encoding="utf-8") as file:
            file.write(f"{text} {name} {os.getpid()}\n")

    def answer(self, kind, ask_id, items):
        name, config = items[2].decode(), {key: value.decode() for key, value in items[3].items()}
        if kind != SPLIT:
            self.send(FINDINGS, 0, ask_id, [])
            return
        how = config.get("odd.how", "")
        self.folders[name] = config["odd.folder"]
        self.event(name, "split")
        if how == "fail":
            self.send(FAILED, 0, ask_id, host.IO, "there is no such table")
            return
        if how == "hang":
            time.sleep(600)
        if how in ("ask-at-once", "break-at-once") and not os.path.exists(os.path.join(config["odd.folder"], "asked")):
            open(os.path.join(config["odd.folder"], "asked"), "w", encoding="utf-8").close()
            self.send(RECONFIGURE, 0, name, *(["the tables are gone"] if how == "break-at-once" else []))
        if how == "ask-always":
            self.send(RECONFIGURE, 0, name)
        if how == "endless":
            self.send(TASKS, 0, ask_id, [{}] * 100000)
            return
        with open(os.path.join(config["odd.folder"], "tasks"), encoding="utf-8") as file:
            count = int(file.read())
        if how == "refused":
            config["count"] = "-1"
        self.send(TASKS, 0, ask_id, [{**config, "odd.part": str(part)} for part in range(count)])

    def frame(self, frame):
        if frame[0] == host.HELLO and frame[2]["settings"].get("connectors.odd.load") == b"many":
            Parts.TABLE = {**Parts.TABLE, "defs": [{}] * 20000}
        if frame[0] == RELEASE and frame[2].decode() in self.folders:
            self.event(frame[2].decode(), "release")
            del self.folders[frame[2].decode()]
        super().frame(frame)

    def send(self, kind, channel, *items):
        super().send(kind, channel, *items)
        if kind == host.BEAT:
            for folder in set(self.folders.values()):
                self.ask(os.path.join(folder, "ask"))

    def ask(self, path):
        try:
            with open(path, encoding="utf-8") as file:
                name, _, reason = file.read().strip().partition(" ")
            os.remove(path)
        except FileNotFoundError:
            return
        self.send(RECONFIGURE, 0, name, *([reason] if reason else []))


host.CLASSES = {one.NAME: one for one in (Parts, Sink)}
if __name__ == "__main__":
    import socket
    wire = socket.socket(fileno=os.dup(0))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    wire.setblocking(False)
    Host(wire).run()
