# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each named step and at random times, while lines are appended and files rotate: output equals input."""
import collections
import random

import pytest

import support
from support import KILLS

# Each step between a line in the input and the same line, durable, in the output.
STEPS = (
    "store.folder-sync", "store.rename-sync", "topic.folder-sync",
    "segment.create", "segment.header", "append.write", "append.written",
    "commit.begin", "commit.segment-sync", "commit.segment-folder-sync", "commit.queue-folder-sync",
    "commit.topic-folder-sync", "commit.synced", "commit.txn", "commit.committed", "commit.published",
    "sink.create", "sink.write", "sink.sync", "sink.folder-sync", "sink.rename", "sink.rename-sync",
    "retention.committed",
)
# What is passed only once in a run, so that a later passage would never come.
ONCE = ("store.folder-sync", "store.rename-sync", "topic.folder-sync", "commit.queue-folder-sync",
        "commit.topic-folder-sync", "retention.committed")
# The steps of the first start on a new store.
FIRST = (("store.folder-sync", 1), ("store.folder-sync", 2), ("store.new-sync", 1), ("store.new", 1),
         ("store.rename-sync", 1), ("topic.folder-sync", 1))
EACH = 10


def plan(seed, counts):
    """The deaths to come: (step, passage), or (None, seconds) for one at random. All steps come by in turn, in the full
    run until each has had EACH deaths."""
    chance = random.Random(seed)
    while True:
        left = [step for step in STEPS if not support.FULL or counts[step] < EACH]
        for step in chance.sample(left, len(left)):
            yield step, 1 if step in ONCE else chance.randint(1, 4)
        for _ in range(6):
            yield None, chance.uniform(0.0, 0.3)
        if sum(counts.values()) >= KILLS and (not support.FULL or all(counts[step] >= EACH for step in STEPS)):
            return


@pytest.fixture(name="worker")
def make_worker(tmp_path):
    worker = support.Worker(tmp_path / "w", {
        "log.segment.bytes": "64k", "sink.commit.ms": "20", "log.retention.ms": "1"})
    yield worker
    worker.kill()


def die_once(worker, step, value, counts, chance):
    """One run of the worker, and its end. A step that is not reached in time becomes a death at that time."""
    settings = {"log.compression": chance.choice(("none", "lz4", "zstd"))}
    worker.launch(fault=f"kill:{step}:{value}" if step else None, settings=settings)
    if step is None and chance.random() < 0.3:
        worker.reap(value)
        worker.process.terminate()  # and the death finds it stopping
        value = chance.uniform(0.0, 0.01)
    code = worker.reap(2.0 if step else value)
    if code is None:
        worker.kill()
        counts["random"] += 1
    else:
        if step is None and code == 0:
            return  # it was stopped before the death came
        assert step and code == -9, f"the worker ended by itself: {code}\n{worker.log_text()}"
        counts[step] += 1


def test_kill(worker, tmp_path):
    """One store lives through all the deaths; two sinks, one of which rotates its file."""
    counts = collections.Counter()
    chance = random.Random(4)
    (tmp_path / "out").mkdir()
    source, plain, rotating = tmp_path / "in.log", tmp_path / "out" / "plain", tmp_path / "out" / "rotating"
    source.touch()
    worker.start()
    assert worker.create("src", support.source_config(source, **{"line.timeout.ms": "10"})) == (200, "success")
    assert worker.create("plain", support.sink_config(plain)) == (200, "success")
    rotate = support.sink_config(rotating, **{"rotate.bytes": "100k"})
    assert worker.create("rotating", rotate) == (200, "success")
    worker.kill()
    counts["random"] += 1

    writer = support.Writer(source, seed=4, lines_per_s=4000, rotate_every=3000).start()
    try:
        for step, value in plan(4, counts):
            die_once(worker, step, value, counts, chance)
            assert sum(counts.values()) < 4 * KILLS + 100, f"some steps are never reached: {counts}"
    finally:
        expected = writer.stop()
    worker.start()
    assert worker.connectors() >= {"src", "plain", "rotating"}
    support.wait_equal(worker, lambda: support.content(plain), expected, 60)
    support.wait_equal(worker, lambda: support.rotated_content(rotating), expected, 60)
    worker.stop()
    assert support.content(plain) == expected
    support.record_counts("kill", {
        "kills": sum(counts.values()), "steps": dict(counts), "bytes": len(expected), "lines": writer.lines,
        "input rotations": writer.rotations})


def test_several_sources(tmp_path):
    """Three files of one pattern, three tasks, one topic; deaths, failing syncs and failing writes: each file's lines are
    in the output once and in their order."""
    sink, chance, counts = tmp_path / "sink", random.Random(5), collections.Counter()
    worker = support.Worker(tmp_path / "w", {"log.segment.bytes": "64k", "sink.commit.ms": "20",
                                             "task.restart.backoff.ms": "50"})
    writers = [support.Writer(tmp_path / f"in-{tag}.log", seed=tag, lines_per_s=1500, tag=tag) for tag in "abc"]
    config = support.source_config(tmp_path / "in-*.log", **{"tasks.max": "3"})
    try:
        worker.start()
        assert worker.create("src", config) == (200, "success")
        assert worker.create("dst", support.sink_config(sink)) == (200, "success")
        for writer in writers:
            writer.start()
        for number in range(60 if support.FULL else 8):
            worker.kill()
            failing = chance.choice(("eio:commit.segment-sync", "eio:append.write", "enospc:append.write",
                                     "eio:commit.segment-folder-sync", "eio:sink.sync"))
            worker.launch(fault=f"{failing}:{chance.randint(1, 12)}")
            counts[failing] += 1
            worker.reap(chance.uniform(0.05, 0.5))
            counts["kills"] += 1
        worker.kill()
        worker.start()
        expected = {writer.tag: writer.stop() for writer in writers}
        total = sum(map(len, expected.values()))
        support.wait_for(lambda: f"{total} bytes, {len(support.content(sink))} came\n{worker.log_text()[-3000:]}",
                         lambda: len(support.content(sink)) >= total, 30)
        worker.stop()
    finally:
        worker.kill()
        for writer in writers:
            writer.stopping.set()
    lines = support.content(sink).splitlines(keepends=True)
    for tag, text in expected.items():
        got = b"".join(line for line in lines if line.startswith(tag.encode()))
        assert got == text, f"{tag}: {support.first_difference(got, text)}"
    support.record_counts("several sources", {"steps": dict(counts), "bytes": total})


def test_first_start(tmp_path):
    """Deaths at the steps of the first start: the next one begins anew, and all is well."""
    counts = collections.Counter()
    source, sink = tmp_path / "in.log", tmp_path / "sink"
    source.write_bytes(b"one\ntwo\n")
    for round_ in range(EACH if support.FULL else 1):
        for step, passage in FIRST:
            folder = tmp_path / f"{round_}-{step}-{passage}"
            worker = support.Worker(folder, store=str(folder / "a" / "store"))
            worker.launch(fault=f"kill:{step}:{passage}")
            assert worker.reap(10) == -9, worker.log_text()
            counts[step] += 1
            worker.start()
            try:
                worker.create("src", support.source_config(source))
                worker.create("dst", support.sink_config(sink))
                support.wait_equal(worker, lambda: support.content(sink), b"one\ntwo\n")
                worker.stop()
            finally:
                worker.kill()
            sink.unlink()
    support.record_counts("first start", {"kills": sum(counts.values()), "steps": dict(counts)})


def test_files_that_are_not_kept(tmp_path):
    """Deaths while the sink deletes its oldest files (rotate.keep): those that are there are the last ones, whole."""
    source, sink = tmp_path / "in.log", tmp_path / "out" / "sink"
    sink.parent.mkdir()
    source.touch()
    worker = support.Worker(tmp_path / "w", {"sink.commit.ms": "5"})
    config = support.sink_config(sink, **{"rotate.bytes": "20k", "rotate.keep": "3"})
    writer = support.Writer(source, seed=9, lines_per_s=8000).start()
    kills = 0
    try:
        worker.start()
        worker.create("src", support.source_config(source))
        worker.create("dst", config)
        worker.kill()
        for number in range(EACH if support.FULL else 3):
            worker.launch(fault=f"kill:sink.unlink:{number % 3 + 1}")
            assert worker.reap(10) == -9, worker.log_text()
            kills += 1
        worker.start()
        expected = writer.stop()
        last = expected[-1000:]
        support.wait_for("the last line", lambda: support.rotated_content(sink).endswith(last), 30)
        worker.stop()
        assert expected.endswith(support.rotated_content(sink))
        assert len(list(sink.parent.iterdir())) <= 5
    finally:
        worker.kill()
        writer.stopping.set()
    support.record_counts("rotate.keep", {"kills": kills})
