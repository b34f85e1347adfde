# SPDX-License-Identifier: Apache-2.0
"""Numbered lines that go through a topic while something breaks, and what must have become of them: every line once, in the
order of its file, and nothing of an older epoch behind a newer one.

    load = Load(folder, ["one", "two"])         # sources; each has a file that grows
    load.connect(worker)                        # a source and a sink for each
    with load:                                  # lines are appended
        ...                                     # the fault
        load.recovered("broker restarted", ...) # and a line for the table
    load.check(lambda topic: messages)"""

import collections
import os
import threading
import time

from harness import read, shown, sink_config, source_config, wait_for

RATE = 400  # lines a second of each source
ID = "gantry-id"

Proof = collections.namedtuple("Proof", "messages repeated older")


class Load:
    """`topics`: one for each source, with a sink of its own. `shared`: sources that write to one topic together, read by one
    sink: of those the order of each source counts."""

    def __init__(self, folder, topics=("one", "two"), shared=("left", "right"), rate=RATE, prefix=""):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.rate = rate
        self.prefix = prefix
        self.topics = {prefix + name: [prefix + name] for name in topics}  # topic: its sources
        if shared:
            self.topics[prefix + "shared"] = [prefix + name for name in shared]
        self.sources = [name for names in self.topics.values() for name in names]
        self.written = dict.fromkeys(self.sources, 0)
        self.looked, self.counts = {}, collections.Counter()  # how far the sinks' files were counted
        self.thread = None
        self.ended = threading.Event()
        self.lock = threading.Lock()
        for name in self.sources:
            open(self.input(name), "wb").close()

    def input(self, name):
        return os.path.join(self.folder, f"in-{name}")

    def output(self, topic):
        return os.path.join(self.folder, f"out-{topic}")

    @property
    def connectors(self):
        return [f"source-{name}" for name in self.sources] + [f"sink-{topic}" for topic in self.topics]

    def connect(self, worker, config=None):
        for topic, names in self.topics.items():
            for name in names:
                worker.create(f"source-{name}", source_config(topic, self.input(name), config))
            worker.create(f"sink-{topic}", sink_config(topic, self.output(topic)))

    # --- the lines

    def append(self, count):
        """That many more of each source."""
        for name in self.sources:
            first = self.written[name]
            data = b"".join(b"%s %08d %s\n" % (name.encode(), number, b"x" * (number % 60))
                            for number in range(first, first + count))
            with open(self.input(name), "ab") as file:
                file.write(data)
            with self.lock:
                self.written[name] = first + count

    def _work(self):
        step_s = 0.02
        due = time.monotonic()
        while not self.ended.is_set():
            self.append(max(1, int(self.rate * step_s)))
            due = max(due + step_s, time.monotonic() - 1)
            self.ended.wait(max(0, due - time.monotonic()))

    def __enter__(self):
        self.ended.clear()
        self.thread = threading.Thread(target=self._work, daemon=True, name="load")
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.ended.set()
        self.thread.join()

    # --- what has come

    def moving(self, count=100):
        """Wait until every source has brought some lines further."""
        self.wait_arrived({name: number + count for name, number in self.arrived().items()})

    def arrived(self):
        """{source: its lines that the sinks have written}"""
        for topic in self.topics:
            try:
                with open(self.output(topic), "rb") as file:
                    file.seek(self.looked.get(topic, 0))
                    data = file.read()
            except FileNotFoundError:
                continue
            data = data[:data.rfind(b"\n") + 1]
            self.looked[topic] = self.looked.get(topic, 0) + len(data)
            self.counts.update(line.split(b" ", 1)[0].decode("utf-8", "replace") for line in data.splitlines())
        return {name: self.counts[name] for name in self.sources}

    def wait_arrived(self, wanted=None, timeout_s=60):
        """Wait until that many lines of each have arrived: all that are written now, if nothing else is said."""
        with self.lock:
            wanted = wanted or dict(self.written)
        wait_for(lambda: all(count >= wanted[name] for name, count in self.arrived().items()),
                 lambda: f"lines: wanted {wanted}, arrived {self.arrived()}", timeout_s)

    def recovery_s(self, timeout_s=60):
        """How long it takes until lines have arrived that are not even written yet."""
        begin = time.monotonic()
        with self.lock:
            wanted = {name: count + self.rate // 50 * 2 for name, count in self.written.items()}
        self.wait_arrived(wanted, timeout_s)
        return time.monotonic() - begin

    # --- what must be true

    def check_files(self):
        """Byte for byte: the sink's file is the source's; of several sources the lines of each are."""
        for topic, names in self.topics.items():
            out = read(self.output(topic))
            if len(names) == 1:
                differ(read(self.input(names[0])), out, f"the sink's file of {topic}")
                continue
            lines = collections.defaultdict(list)
            for line in out.splitlines(True):
                lines[line.split(b" ", 1)[0].decode()].append(line)
            assert set(lines) <= set(names), f"the sink's file of {topic} has lines of nobody: {set(lines) - set(names)}"
            for name in names:
                differ(read(self.input(name)), b"".join(lines[name]), f"the lines of {name} in the sink's file of {topic}")

    def check(self, messages_of):
        """All, when nothing is written any more and all has arrived. `messages_of(topic)`: all messages of its queues, as
        (queue, offset, body, id) in the order of each queue. What the topic itself holds twice is counted."""
        self.check_files()
        total = Proof(0, 0, 0)
        for topic in self.topics:
            proof = self.prove(topic, messages_of(topic))
            total = Proof(*(one + other for one, other in zip(total, proof)))
        return total

    def prove(self, topic, messages):
        """A message may be delivered when its epoch is not below that of what was delivered before, of its task and queue.
        If the file's lines are just those that may be, each at its first such message, then nothing of an older epoch was
        delivered behind a newer one, and nothing twice."""
        epochs, places, repeated, older = {}, collections.defaultdict(dict), collections.Counter(), 0
        count = 0
        for queue, offset, body, ident in messages:
            count += 1
            assert ident, f"{topic}: message {queue}/{offset} has no {ID}"
            epoch, seq, _, task, _, connector = ident.split(".", 5)
            key = (connector, task, queue)
            epoch, seq = int(epoch), int(seq)
            if epoch < epochs.get(key, 0):
                older += 1
                if body in places[key]:
                    repeated[key] += 1
                continue
            epochs[key] = epoch
            if body in places[key]:
                repeated[key] += 1
            else:
                places[key][body] = (epoch, seq)
        delivered = collections.defaultdict(list)
        for line in read(self.output(topic)).splitlines():
            delivered[line.split(b" ", 1)[0]].append(line)
        for name in self.topics[topic]:
            mine = [found for key, found in places.items() if key[0] == f"source-{name}"]
            lines = delivered[name.encode()]
            for found in mine:
                order = [body for body in lines if body in found] if len(mine) > 1 else lines
                assert order == list(found), \
                    f"{topic}: the lines of {name} are not what may be delivered of a queue: {first_difference(order, list(found))}"
                epochs_seen = [found[body][0] for body in order]
                assert epochs_seen == sorted(epochs_seen), f"{topic}: {name}: an older epoch behind a newer one"
            assert sum(len(found) for found in mine) >= len(lines)
        for (connector, task, queue), number in sorted(repeated.items()):
            print(f"repeated in the topic: topic={topic} connector={connector} task={task} queue={queue} count={number}")
        return Proof(count, sum(repeated.values()), older)


def first_difference(is_, expected):
    at = next((i for i, (one, other) in enumerate(zip(is_, expected)) if one != other), min(len(is_), len(expected)))
    return f"at {at} of {len(is_)} and {len(expected)}: is {is_[at:at + 2]}, expected {expected[at:at + 2]}"


def differ(expected, found, what):
    if found == expected:
        return
    is_, wanted = found.splitlines(True), expected.splitlines(True)
    lost = set(wanted) - set(is_)
    twice = [line for line, count in collections.Counter(is_).items() if count > 1]
    raise AssertionError(f"{what}: {len(lost)} lines lost, {len(twice)} there more than once; first difference "
                         f"{first_difference(is_, wanted)}; lost {shown(b''.join(sorted(lost)))}, "
                         f"twice {shown(b''.join(sorted(twice)))}")


def messages_by_java(tool, brokers, topic):
    """All of a topic, for Load.check."""
    for broker in brokers:
        for queue, (smallest, end) in sorted(broker.queue_offsets(topic).items()):
            offset = smallest
            while offset < end:
                messages, status = tool.pull(topic, queue, offset, min(end - offset, 20000), broker=broker.broker_name)
                for message in messages:
                    yield ((broker.broker_name, queue), message["queueOffset"], message["body"], message["properties"].get(ID))
                assert status["nextBeginOffset"] > offset, f"{topic}: no message at {queue}/{offset}: {status}"
                offset = status["nextBeginOffset"]
