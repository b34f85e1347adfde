# SPDX-License-Identifier: Apache-2.0
"""The embedded log as a user sees it: segments, compression, retention, the disk's reserve."""

import os
import re

import pytest

from harness import append, lines, read, run_gantry, wait_file, wait_for, write

pytestmark = pytest.mark.embedded


def segments(worker, topic="t"):
    """The segment files of a topic's first queue, oldest first, with their sizes on disk."""
    folder = os.path.join(worker.store, "topics", topic, "0")
    found = []
    for name in sorted(os.listdir(folder)):
        try:
            found.append((name, os.path.getsize(os.path.join(folder, name))))
        except FileNotFoundError:
            continue  # retention was faster
    return found


def committed_bytes(worker):
    """What `gantry topic describe` says of each segment, as (offset, messages)."""
    done = run_gantry("topic", "describe", "t", "--store", worker.store)
    assert done.returncode == 0, done.stderr
    return [(int(first), int(count.replace(",", "")))
            for first, count in re.findall(r"^ +(\d+) +([\d,]+) +[\d.]+ \S+ +\d{4}-.*(?:open|sealed)$",
                                           done.stdout.decode(), re.M)]


def fill(source, sink, count, text=b"", width=90):
    """Append in pieces, each of which arrives before the next is written, so that there are many batches."""
    for _ in range(count):
        more = lines(500, first=text.count(b"\n"), width=width)
        append(source, more)
        text += more
        wait_file(sink, text)
    return text


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "in", b""), tmp_path / "out"


def test_small_segments(new_worker, files):
    worker = new_worker(log_segment_bytes="64k").start()
    source, sink = files
    worker.pair(source, sink)
    text = fill(source, sink, 12)
    assert len(segments(worker)) >= 5
    found = committed_bytes(worker)
    assert found[0][0] == 0 and sum(count for _, count in found) == 6000
    for (first, count), (following, _) in zip(found, found[1:]):
        assert first + count == following
    worker.restart()
    text = fill(source, sink, 2, text)
    done = run_gantry("topic", "cat", "t", "--store", worker.store)
    assert done.stdout == text


@pytest.mark.parametrize("kind", ["lz4", "zstd"])
def test_compression(new_worker, tmp_path, kind):
    """The same lines through a log without and with compression: equal output, a much smaller log."""
    text = lines(20000, width=60)
    size = {}
    for compression in ("none", kind):
        worker = new_worker(log_compression=compression).start()
        source, sink = write(tmp_path / f"in {compression}", text), tmp_path / f"out {compression}"
        worker.pair(source, sink)
        wait_file(sink, text)
        done = run_gantry("topic", "cat", "t", "--store", worker.store)
        assert done.stdout == text
        worker.end()
        size[compression] = sum(os.path.getsize(os.path.join(folder, name))
                                for folder, _, names in os.walk(os.path.join(worker.store, "topics"))
                                for name in names)
    assert size[kind] < size["none"] / 3, size


def test_compression_changes_over_restarts(new_worker, files):
    """What was written before stays readable, and one topic may have all three kinds."""
    worker = new_worker().start()
    source, sink = files
    worker.pair(source, sink)
    text = b""
    for compression in ("none", "lz4", "zstd", "none"):
        worker.restart(log_compression=compression)
        text = fill(source, sink, 2, text)
    worker.sink("again", "t", f"{sink}.again")
    wait_file(f"{sink}.again", text)


def test_what_does_not_compress_is_not_made_larger(new_worker, files):
    worker = new_worker(log_compression="lz4").start()
    source, sink = files
    text = b"".join(os.urandom(200).replace(b"\n", b".") + b"\n" for _ in range(2000))
    write(source, text)
    worker.pair(source, sink)
    wait_file(sink, text)


def nudge(source, sink, text):
    """One more line: retention looks after commits."""
    append(source, b"nudge\n")
    text += b"nudge\n"
    wait_file(sink, text)
    return text


def test_retention_by_size_when_the_sink_has_read(new_worker, files):
    worker = new_worker(log_segment_bytes="64k", log_retention_bytes="100k").start()
    source, sink = files
    worker.pair(source, sink)
    text = fill(source, sink, 14)

    def look():
        nonlocal text
        text = nudge(source, sink, text)
        return len(segments(worker)) <= 3
    wait_for(look, lambda: f"few segments, not {segments(worker)}")
    worker.wait_log("retention deleted a segment topic=t queue=0 offset=0")
    found = committed_bytes(worker)
    assert found[0][0] > 0
    # What is left can be read; the sink goes on after a restart; a new sink begins with what there is.
    worker.restart()
    text = nudge(source, sink, text)
    worker.sink("late", "t", f"{sink}.late")
    rest = b"".join(text.splitlines(True)[committed_bytes(worker)[0][0]:])
    wait_file(f"{sink}.late", rest)


def test_retention_by_age(new_worker, files):
    worker = new_worker(log_segment_bytes="64k", log_retention_ms="300").start()
    source, sink = files
    worker.pair(source, sink)
    text = fill(source, sink, 8)

    def look():
        nonlocal text
        text = nudge(source, sink, text)
        return len(segments(worker)) == 1
    wait_for(look, lambda: f"the last segment alone, not {segments(worker)}")


def test_a_sink_that_has_not_read_holds_the_log(new_worker, files):
    """Stopped sinks count as well: they may come back. `gantry connector reset` lets go."""
    worker = new_worker(log_segment_bytes="64k", log_retention_bytes="100k").start()
    source, sink = files
    worker.pair(source, sink)
    worker.sink("held", "t", f"{sink}.held")
    text = fill(source, sink, 1)
    wait_file(f"{sink}.held", text)
    worker.stop_connector("held")
    text = fill(source, sink, 12, text)
    worker.restart()

    def looked():  # the segment that the stopped sink has read goes, the others stay
        nonlocal text
        text = nudge(source, sink, text)
        return segments(worker)[0][0] != f"{0:020}.log"
    wait_for(looked, "the first segment is gone")
    assert segments(worker)[0][0] == f"{500:020}.log"
    assert len(segments(worker)) >= 5
    worker.sink("held", "t", f"{sink}.held")
    wait_file(f"{sink}.held", text)

    def let_go():
        nonlocal text
        text = nudge(source, sink, text)
        return len(segments(worker)) <= 3
    wait_for(let_go, lambda: f"few segments, not {segments(worker)}")


def test_unread_messages_are_deleted_where_the_operator_says_so(new_worker, files):
    worker = new_worker(log_segment_bytes="64k", log_retention_bytes="100k", log_retention_unread="true").start()
    source, sink = files
    worker.pair(source, sink)
    worker.sink("held", "t", f"{sink}.held")
    text = fill(source, sink, 1)
    wait_file(f"{sink}.held", text)
    held = text
    worker.stop_connector("held")
    text = fill(source, sink, 12, text)

    def look():
        nonlocal text
        text = nudge(source, sink, text)
        return len(segments(worker)) <= 3
    wait_for(look, lambda: f"few segments, not {segments(worker)}")
    # The sink misses them, is told so, and goes on with what there is.
    first = committed_bytes(worker)[0][0]
    worker.sink("held", "t", f"{sink}.held")
    rest = b"".join(text.splitlines(True)[first:])
    wait_for(lambda: read(f"{sink}.held") == held + rest, lambda: f"the rest; the log:\n{worker.log()}")
    missed = worker.wait_log(r"WARN .*deleted messages before they were read topic=t queue=0 count=(\d+)").group(1)
    assert int(missed) == first - held.count(b"\n")


def test_the_disks_reserve_pauses_sources_with_the_reason(new_worker, files):
    worker = new_worker().start()
    source, sink = files
    worker.pair(source, sink)
    text = fill(source, sink, 1)
    worker.restart(disk_reserve="1000000g")
    append(source, b"waits\n")
    worker.wait_log("WARN .*task PAUSED connector=source task=0: .*disk.reserve")
    reply = wait_for(lambda: (lambda r: r.field("X-Gantry-Error") and r)(worker.get("/connectors/source/status")),
                     "the reason in the status")
    assert reply.text == "not runing" and "disk.reserve" in reply.field("X-Gantry-Error")
    # Sinks go on: what is in the topic is delivered.
    worker.sink("another", "t", f"{sink}.another")
    wait_file(f"{sink}.another", text)
    assert worker.status("another") == "runing"
    assert read(sink) == text
    worker.restart(disk_reserve="1m")
    wait_file(sink, text + b"waits\n")
    worker.wait_running("source")


def test_damage_fails_that_topic_and_no_other(new_worker, files, tmp_path):
    """A byte below the committed end: file and offset are told, and `gantry topic repair` settles it."""
    worker = new_worker().start()
    source, sink = files
    worker.pair(source, sink)
    text = fill(source, sink, 2)
    worker.source("other", "t2", write(tmp_path / "other", b"1\n"))
    worker.sink("other sink", "t2", tmp_path / "other.out")
    wait_file(tmp_path / "other.out", b"1\n")
    worker.end()
    name = segments(worker)[0][0]
    path = os.path.join(worker.store, "topics", "t", "0", name)
    with open(path, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 0xff]))
    worker.start()
    worker.sink("late", "t", tmp_path / "late")
    why = worker.wait_failed("late", re.escape(name))
    assert "gantry topic repair" in why
    append(tmp_path / "other", b"2\n")
    wait_file(tmp_path / "other.out", b"1\n2\n")
    worker.end()
    done = run_gantry("topic", "repair", "t", "--store", worker.store)
    assert name.encode() in done.stdout
    done = run_gantry("topic", "repair", "t", "--settle", "--store", worker.store)
    assert done.returncode == 0, done.stderr
    worker.start()
    append(source, b"after the repair\n")
    wait_file(sink, text + b"after the repair\n")
    wait_for(lambda: read(tmp_path / "late").endswith(b"after the repair\n"), "the late sink")
    assert (text + b"after the repair\n").endswith(read(tmp_path / "late"))
