# SPDX-License-Identifier: Apache-2.0
"""A segment that was cut or changed while the worker was down. Above the committed end it does not matter; below it
that topic is FAILED, with file and byte, while the others run; and when the file is put back, all goes on."""
import os
import random

import pytest

import support

SAMPLES = 100 if support.FULL else 12


class Two:
    """Two topics, a and b, each with a source and a sink."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.worker = support.Worker(os.path.join(self.folder, "w"), {"task.restart.backoff.ms": "100"})
        self.expected = {"a": b"", "b": b""}
        for topic in "ab":
            self.append(topic, 40)

    def path(self, kind, topic):
        return os.path.join(self.folder, f"{kind}-{topic}")

    def append(self, topic, lines=1):
        start = self.expected[topic].count(b"\n")
        data = b"".join(b"line %d of %s\n" % (start + n, topic.encode()) for n in range(lines))
        with open(self.path("in", topic), "ab") as file:
            file.write(data)
        self.expected[topic] += data

    def wait(self, topic):
        support.wait_equal(self.worker, lambda: support.content(self.path("out", topic)), self.expected[topic], 20)

    def begin(self):
        """Move what is there, stop; the path of a's segment, which is committed to its last byte then."""
        self.worker.start()
        for topic in "ab":
            self.worker.create(f"src-{topic}", support.source_config(self.path("in", topic), topic))
            self.worker.create(f"dst-{topic}", support.sink_config(self.path("out", topic), topic))
            self.wait(topic)
            self.append(topic, 30)
            self.wait(topic)  # another batch
        self.worker.stop()
        return self.segments("a")[-1]

    def segments(self, topic):
        folder = os.path.join(self.worker.store, "topics", topic, "0")
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


@pytest.fixture(name="two")
def make_two(tmp_path):
    two = Two(tmp_path)
    yield two
    two.worker.kill()


def damages(good, chance):
    """(what was done, the damaged bytes, the byte to be named or None for any). In the full run every length and every
    byte."""
    size = len(good)
    lengths = range(size)
    places = range(size)
    if not support.FULL:
        lengths = sorted({0, 1, 31, 32, 33, size - 1, *chance.sample(lengths, SAMPLES // 2)})
        places = sorted({0, 4, 32, 36, size - 1, *chance.sample(places, SAMPLES)})
    for length in lengths:
        yield f"cut to {length} bytes", good[:length], length
    for at in places:
        changed = bytearray(good)
        changed[at] ^= chance.choice((0x01, 0x80, 0xff))
        yield f"byte {at} changed", bytes(changed), None


def check_damage(two, what, path):
    """The worker with the damaged topic a: a FAILED with file and byte, b at work."""
    worker = two.worker
    worker.start()
    for topic in "ab":
        two.append(topic)
    two.wait("b")
    log = worker.log_text

    def failed():
        return worker.status("src-a") == "not runing" and worker.status("dst-a") == "not runing"
    support.wait_for(lambda: f"{what}: a FAILED\n{log()}", lambda: "task FAILED connector=src-a" in log() and
                     "task FAILED connector=dst-a" in log() and failed(), 10)
    named = [line for line in log().splitlines() if "topic a is damaged" in line]
    assert named and f"{path} at byte " in named[0], f"{what}: {log()}"
    assert worker.status("src-b") == worker.status("dst-b") == "runing", what
    assert "topic b is damaged" not in log()
    worker.stop()
    return named[0]


def test_below_the_committed_end(two):
    path = two.begin()
    good = support.content(path)
    count = 0
    for what, bad, byte in damages(good, random.Random(7)):
        with open(path, "wb") as file:
            file.write(bad)
        text = check_damage(two, what, path)
        assert byte is None or f"at byte {byte}:" in text, f"{what}: {text}"
        assert support.content(path) == bad, f"{what}: the damaged file was changed"
        with open(path, "wb") as file:
            file.write(good)
        count += 1
    # Put back, nothing is lost.
    two.worker.start()
    two.wait("a")
    two.wait("b")
    two.worker.stop()
    support.record_counts("damage below", {"samples": count, "bytes of the segment": len(good)})


def test_above_the_committed_end(two):
    """Bytes that were written and never committed: whole batches, parts of one, zeros, anything."""
    two.begin()
    chance = random.Random(8)
    count = 0
    for number in range(2 * SAMPLES):
        path = two.segments("a")[-1]
        batch = support.content(path)[32:]
        rest = chance.choice((batch, batch[:chance.randrange(1, len(batch))], bytes(chance.randrange(1, 5000)),
                              chance.randbytes(chance.randrange(1, 300))))
        with open(path, "ab") as file:
            file.write(rest)
        # And a file that no commit knows of.
        orphan = os.path.join(os.path.dirname(path), f"{10 ** 6 + number:020d}.log")
        with open(orphan, "wb") as file:
            file.write(rest)
        before = support.content(path)
        two.worker.start()
        for topic in "ab":
            two.append(topic, chance.randint(1, 40))
            two.wait(topic)
        assert "FAILED" not in two.worker.log_text() and "damaged" not in two.worker.log_text()
        two.worker.stop()
        assert support.content(path) == before, "a segment was changed behind its committed end"
        assert not os.path.exists(orphan)
        count += 1
    support.record_counts("damage above", {"samples": count})


def test_an_older_segment(two):
    """Damage in a segment before the last one is found by whoever reads it."""
    two.worker.settings["log.segment.bytes"] = "64k"
    for _ in range(4):
        two.append("a", 5000)
        two.begin()
    paths = two.segments("a")
    assert len(paths) > 3
    good = support.content(paths[1])
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 0x10
    with open(paths[1], "wb") as file:
        file.write(bad)
    again = two.path("again", "a")
    two.worker.start()
    two.worker.create("again", support.sink_config(again, "a"))
    log = two.worker.log_text
    support.wait_for(lambda: f"again FAILED\n{log()}", lambda: "task FAILED connector=again" in log(), 10)
    assert f"topic a is damaged: {paths[1]} at byte " in log()
    two.append("b")
    two.wait("b")
    assert two.expected["a"].startswith(support.content(again))
    two.worker.stop()
    with open(paths[1], "wb") as file:
        file.write(good)
    two.worker.start()
    support.wait_equal(two.worker, lambda: support.content(again), two.expected["a"])
    two.worker.stop()
