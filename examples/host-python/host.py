# SPDX-License-Identifier: Apache-2.0
"""A host: connectors in Python. One thread; each task takes its turn. The frames are those of docs/formats/host-protocol.md."""
import os
import selectors
import socket
import struct
import sys
import time

import msgpack

HELLO, LOAD, LOADED, FAILED, VALIDATE, FINDINGS, SPLIT, TASKS, RELEASE, UNLOAD, BEAT, LOG = 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14
START, STARTED, STOP, STOPPED, COMMITTED = 20, 21, 22, 23, 24
RECORDS, CREDIT, POSITION, POSITION_IS = 30, 31, 32, 33
PUT, TAKEN, CHECKPOINT, STATE, FLUSH, FLUSHED, CAUGHT_UP = 40, 41, 42, 43, 44, 45, 46
PART = 1
INVALID, NOT_FOUND, IO = -3, -4, -6
BATCH = 500


def cost(record):
    """What a record counts against credit."""
    items = record + [None] * (6 - len(record))
    return len(items[0] or b"") + len(items[1] or b"") + 64 + sum(len(name) + len(value or b"") + 32 for name, value in items[5] or [])


class Counter:
    """A source: numbers. Its position is the next one."""
    NAME = "example.PythonCounter"
    TABLE = {"kind": 0, "classes": [NAME], "task_class": NAME + "Task", "version": "1.0", "doc": "Numbers, one record each.", "api": "python",
             "validates": False, "splits": False,
             "defs": [{"name": "count", "type": 1, "default": "1000", "min": 0, "max": 1000000000, "doc": "How many numbers there are."}]}

    def __init__(self, task):
        self.task = task
        self.next = None  # until the worker has told the position
        self.seq = 0
        task.send(POSITION, 1, b"counter")

    def position(self, position):
        self.next = int(position or b"0")
        self.task.send(STARTED)

    def turn(self):
        """Send a batch, if there is something to send and credit for it. True: there may be more."""
        end = min(self.next + BATCH, int(self.task.config["count"])) if self.next is not None else 0
        if self.next is None or self.next >= end or self.task.credit <= 0:
            return False
        records = [[b"%d" % number] for number in range(self.next, end)]
        self.next = end
        self.seq += 1
        self.task.credit -= sum(cost(record) for record in records)
        self.task.send(RECORDS, self.seq, records, [[len(records), b"counter", b"%d" % end]])
        return True

    def close(self):
        pass


class File:
    """A sink: a line each. Its state is the file's length, to which it is cut at the start."""
    NAME = "example.PythonFile"
    TABLE = {"kind": 1, "classes": [NAME], "task_class": NAME + "Task", "version": "1.0", "doc": "Values, a line each.", "api": "python",
             "validates": True, "splits": False,
             "defs": [{"name": "path", "type": 0, "flags": 1, "doc": "The file to write."}]}

    def __init__(self, task):
        self.task = task
        self.file = open(task.config["path"], "ab")
        self.file.truncate(int(task.state or b"0"))
        task.send(STARTED, 1 << 20)

    @staticmethod
    def validate(config):
        if not os.path.isabs(config["path"]):
            return [["path", f"'{config['path']}' is relative; give an absolute path"]]
        return []

    def put(self, records):
        self.file.write(b"".join((record[0] or b"") + b"\n" for record in records))
        self.task.send(TAKEN, sum(cost(record) for record in records))

    def checkpoint(self, seq):
        self.file.flush()
        self.task.send(STATE, seq, b"%d" % self.file.tell())

    def flush(self, seq):
        os.fsync(self.file.fileno())
        self.task.send(FLUSHED, seq, [])

    def turn(self):
        return False

    def close(self):
        self.file.close()


CLASSES = {one.NAME: one for one in (Counter, File)}


class Task:
    """One channel."""

    def __init__(self, host, channel, class_name, config, state, credit):
        self.host, self.channel, self.state, self.credit = host, channel, state, credit
        self.config = {key: value.decode() for key, value in config.items()}
        self.connector = None
        try:
            self.connector = CLASSES[class_name](self)
        except Exception as error:  # whatever it is, the task alone has failed
            self.fail(error)

    def send(self, kind, *items):
        self.host.send(kind, self.channel, *items)

    def fail(self, error):
        self.send(FAILED, 0, IO, f"{type(error).__name__}: {error}")
        self.close()

    def close(self):
        if self.connector:
            self.connector.close()
        self.connector = None

    def turn(self):
        try:
            return self.connector.turn() if self.connector else False
        except Exception as error:
            self.fail(error)
            return False

    def frame(self, kind, items):
        try:
            if kind == CREDIT:
                self.credit += items[0]
            elif kind == POSITION_IS and self.connector:
                self.connector.position(items[1] if len(items) > 1 else None)
            elif kind == PUT and self.connector:
                self.connector.put(items[3])
            elif kind == CHECKPOINT and self.connector:
                self.connector.checkpoint(items[0])
            elif kind == FLUSH and self.connector:
                self.connector.flush(items[0])
        except Exception as error:
            self.fail(error)


class Host:
    def __init__(self, line):
        self.line = line
        self.tasks, self.parts = {}, {}
        self.beat_s, self.next_beat = 1.0, None  # beats begin with HELLO

    def send(self, kind, channel, *items):
        data = msgpack.pack([kind, channel, *items])
        self.line.setblocking(True)  # the worker always reads
        self.line.sendall(struct.pack(">I", len(data)) + data)
        self.line.setblocking(False)

    def answer(self, kind, ask_id, items):
        class_name, config = items[1].decode(), {key: value.decode() for key, value in items[3].items()}
        if class_name not in CLASSES:
            self.send(FAILED, 0, ask_id, NOT_FOUND, f"there is no class {class_name}")
        elif kind == VALIDATE:
            self.send(FINDINGS, 0, ask_id, CLASSES[class_name].validate(config))
        else:
            self.send(TASKS, 0, ask_id, [config])

    def frame(self, frame):
        kind, channel, items = frame[0], frame[1], frame[2:]
        if kind == PART:
            self.parts[channel] = self.parts.get(channel, b"") + items[0]
            if not items[1]:
                self.frame(msgpack.unpack(self.parts.pop(channel))[0])
        elif kind == HELLO:
            self.beat_s, self.next_beat = items[0]["beat.ms"] / 1000, time.monotonic()
            self.send(HELLO, 0, {"version": 1, "host": "python example"})
        elif kind == LOAD:
            self.send(LOADED, 0, items[0], {"name": "python", "version": "1.0", "connectors": [one.TABLE for one in CLASSES.values()]})
        elif kind in (VALIDATE, SPLIT):
            self.answer(kind, items[0], items[1:])
        elif kind == START:
            self.tasks[channel] = Task(self, channel, items[1].decode(), items[5], items[6], items[7])
        elif kind == STOP:
            self.tasks.pop(channel).close()
            self.send(STOPPED, channel)
        elif channel in self.tasks:
            self.tasks[channel].frame(kind, items)

    def run(self):
        selector = selectors.DefaultSelector()
        selector.register(self.line, selectors.EVENT_READ)
        data, busy = bytearray(), False
        while True:
            now = time.monotonic()
            if self.next_beat is not None and now >= self.next_beat:
                self.next_beat = now + self.beat_s
                self.send(BEAT, 0, [])
            if selector.select(0 if busy else None if self.next_beat is None else max(self.next_beat - now, 0)):
                piece = self.line.recv(1 << 18)
                if not piece:
                    return  # the worker has ended, or needs us no more
                data += piece
                while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack_from(">I", data)[0]):
                    self.frame(msgpack.unpack(bytes(data[4:4 + size]))[0])
                    del data[:4 + size]
            busy = any([task.turn() for task in list(self.tasks.values())])


if __name__ == "__main__":
    # What is printed must not get on the line: it moves, and standard output becomes the log.
    wire = socket.socket(fileno=os.dup(0))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    wire.setblocking(False)
    print("python host", sys.version.split()[0], "ready", flush=True)
    Host(wire).run()
