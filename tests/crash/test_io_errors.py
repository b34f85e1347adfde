# SPDX-License-Identifier: Apache-2.0
"""Failing system calls: the task stops with a clear state and reason, goes on by itself, and nothing is lost or
repeated. Fault points break one call; a file system of a few megabytes breaks all of them."""
import os
import subprocess
import threading

import pytest

import support
from power import make_input

SYNCS = ("commit.segment-sync", "commit.segment-folder-sync", "commit.queue-folder-sync", "commit.topic-folder-sync",
         "sink.sync", "sink.folder-sync", "sink.rename-sync")
WRITES = ("append.write", "segment.header", "sink.write")
OTHERS = ("sink.create", "sink.rename", "source.read", "source.head")
ONCE = ("commit.queue-folder-sync", "commit.topic-folder-sync")  # passed once in a run

REASONS = {"eio": "Input/output error", "enospc": "No space left on device"}


def cases():
    for point in SYNCS + WRITES + OTHERS:
        passages = (1,) if point in ONCE else (1, 2, 3) if support.FULL else (2,)
        yield from (("eio", point, f"{n}") for n in passages)
    for point in WRITES:
        yield from (("enospc", point, n) for n in (("1", "2", "3:3") if support.FULL else ("2:2",)))
    yield "enospc", "commit.txn", "12:2"  # the first ones are those of the configurations


class Watch:
    """Looks at the status of connectors all the time: which of them was `not runing` while they existed."""

    def __init__(self, worker, names):
        self.worker, self.names = worker, names
        self.stopped = set()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.end.wait(0.02):
            for name in self.names:
                try:
                    if self.worker.status(name) == "not runing":
                        self.stopped.add(name)
                except support.Died:
                    return

    def stop(self):
        self.end.set()
        self.thread.join()
        return self.stopped


class Pipe:
    """A source, a sink and a sink that rotates, on one worker."""

    def __init__(self, folder, out=None, settings=None, store=None):
        self.input = str(folder / "in.log")
        self.out = str(out or folder / "out")
        os.makedirs(self.out, exist_ok=True)
        self.plain, self.rotating = os.path.join(self.out, "plain"), os.path.join(self.out, "rotating")
        self.worker = support.Worker(folder / "w", {
            "log.segment.bytes": "64k", "sink.commit.ms": "5", "task.restart.backoff.ms": "200",
            "task.restart.backoff.max.ms": "300", **(settings or {})}, store=store)
        self.rounds = 0

    def create(self, names=("src", "plain", "rotating")):
        configs = {"src": support.source_config(self.input), "plain": support.sink_config(self.plain),
                   "rotating": support.sink_config(self.rotating, **{"rotate.bytes": "30k"})}
        for name in names:
            reply = self.worker.create(name, configs[name])
            assert reply == (200, "success"), f"{name}: {reply}"

    def append(self, lines=100):
        self.rounds += 1
        return make_input(self.input, self.rounds, lines)

    def wait(self, expected, seconds=30):
        support.wait_equal(self.worker, lambda: support.content(self.plain), expected, seconds)
        support.wait_equal(self.worker, lambda: support.rotated_content(self.rotating), expected, seconds)


@pytest.fixture(name="pipe")
def make_pipe(tmp_path):
    pipe = Pipe(tmp_path)
    yield pipe
    pipe.worker.kill()


@pytest.mark.parametrize("action,point,passage", list(cases()))
def test_call_fails(pipe, action, point, passage):
    pipe.append()
    pipe.worker.start(fault=f"{action}:{point}:{passage}")
    watch = Watch(pipe.worker, ("src", "plain", "rotating"))
    pipe.create()
    log = pipe.worker.log_text
    for _ in range(12):
        expected = pipe.append(90)
        support.threading.Event().wait(0.03)
    support.wait_for(lambda: f"{point} to fail\n{log()}", lambda: REASONS[action] in log(), 10)
    pipe.wait(expected)
    stopped = watch.stop()
    assert stopped, f"no connector was shown as `not runing`\n{log()}"
    state = [line for line in log().splitlines() if "task FAILED" in line or "task PAUSED" in line]
    assert any(REASONS[action] in line for line in state), "\n".join(state)
    for name in ("src", "plain", "rotating"):
        support.wait_for(f"{name} to run again", lambda name=name: pipe.worker.status(name) == "runing", 5)
    pipe.worker.stop()
    assert support.content(pipe.plain) == expected and support.rotated_content(pipe.rotating) == expected


def test_batch_behind_a_failed_one(pipe):
    """The source appends on while the sync of an earlier batch fails; what it appended before it heard of the failure
    must not count, or the earlier batch would be missing."""
    expected = pipe.append()
    stop = threading.Event()

    def write():
        nonlocal expected
        while not stop.wait(0.001):
            expected = pipe.append(20)
    pipe.worker.start(fault=";".join(f"eio:commit.segment-sync:{n}" for n in range(3, 60, 3)))
    pipe.create()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        support.wait_for("failures", lambda: pipe.worker.log_text().count("sync failed") >= 15, 60)
    finally:
        stop.set()
        writer.join()
    pipe.wait(expected)
    pipe.worker.stop()


@pytest.mark.parametrize("action,point", [("eio", "sink.read"), ("eio", "sink.truncate"), ("kill", "sink.read"),
                                          ("kill", "sink.truncate")])
def test_tail_of_the_output(pipe, action, point):
    """A death left bytes in the output that no commit knows of, and zeros behind them: what comes again is compared with
    them, and the zeros are cut; a failure or a death in the midst of that changes nothing."""
    pipe.append(300)
    pipe.worker.start(fault="kill:sink.sync:2")
    try:
        pipe.create(("src", "plain"))
    except support.Died:
        pass
    assert pipe.worker.reap(10) == -9
    with open(pipe.plain, "ab") as file:
        assert file.tell() > 0
        file.write(bytes(4000000))
    pipe.worker.launch(fault=f"{action}:{point}")
    if action == "kill":
        assert pipe.worker.reap(10) == -9, pipe.worker.log_text()
        pipe.worker.launch()
    pipe.worker.ready()
    expected = pipe.append()
    support.wait_for("the zeros to go", lambda: os.path.getsize(pipe.plain) <= len(expected), 10)
    if action == "eio":
        assert REASONS["eio"] in pipe.worker.log_text()
    support.wait_equal(pipe.worker, lambda: support.content(pipe.plain), expected)
    pipe.worker.stop()


@pytest.mark.parametrize("point", WRITES)
def test_short_write(pipe, point):
    """Half of the bytes are taken: the rest follows, and nobody hears of it."""
    pipe.append()
    pipe.worker.start(fault=";".join(f"short:{point}:{n}" for n in (1, 3, 4)))
    pipe.create()
    for _ in range(4):
        expected = pipe.append()
    pipe.wait(expected)
    assert "FAILED" not in pipe.worker.log_text()
    pipe.worker.stop()


def test_store_fails(pipe):
    """After a failed transaction nobody knows what the disk holds: no further commit until the worker is started
    again; then everything arrives, once."""
    pipe.append()
    pipe.worker.start(fault="eio:commit.txn:10")
    pipe.create()
    for _ in range(6):
        expected = pipe.append()
        support.threading.Event().wait(0.05)
    log = pipe.worker.log_text
    support.wait_for(lambda: "the store's failure\n" + log(), lambda: "must be started again" in log(), 10)
    support.wait_for("src to stop", lambda: pipe.worker.status("src") == "not runing", 5)
    status, text = pipe.worker.create("other", support.sink_config(pipe.plain + "2"))
    assert (status, text) == (200, "fail")  # all that the manual has a word for; the log says why
    refused = [line for line in log().splitlines() if "connector refused connector=other" in line]
    assert refused and "must be started again" in refused[0], log()
    pipe.worker.process.terminate()
    assert pipe.worker.reap(20) is not None
    pipe.worker.start()
    pipe.wait(expected)
    pipe.worker.stop()


@pytest.mark.parametrize("point", ("store.folder-sync", "store.new-sync", "store.rename-sync", "topic.folder-sync"))
def test_start_fails(pipe, point):
    """A sync that fails at the start: the worker says so and ends; the next start is a good one."""
    pipe.worker.launch(fault=f"eio:{point}")
    assert pipe.worker.reap(10) not in (None, 0, -9)
    assert REASONS["eio"] in pipe.worker.log_text()
    expected = pipe.append()
    pipe.worker.start()
    pipe.create()
    pipe.wait(expected)
    pipe.worker.stop()


class SmallDisk:
    """A tmpfs of a size that can be changed."""

    def __init__(self, folder, megabytes):
        self.folder = str(folder)
        os.makedirs(self.folder)
        self.mount(f"size={megabytes}m")

    def mount(self, options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], capture_output=True,
                              text=True, timeout=20, check=False)
        if done.returncode != 0:
            pytest.skip(f"no right to mount a small file system: {done.stderr.strip()}")

    def grow(self, megabytes):
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", self.folder], check=True, timeout=20)

    def end(self):
        subprocess.run(["umount", "-l", self.folder], check=False, timeout=20)


@pytest.mark.parametrize("what,reserve", [("store", "1m"), ("store", "0"), ("output", "0")])
def test_disk_full(tmp_path, what, reserve):
    """The disk of the store, or that of the output, is full: the tasks wait, and go on when there is room."""
    small = SmallDisk(tmp_path / "small", 6 if what == "store" else 3)
    try:
        pipe = Pipe(tmp_path, settings={"disk.reserve": reserve},
                    store=str(tmp_path / "small" / "store") if what == "store" else None,
                    out=tmp_path / "small" / "out" if what == "output" else None)
        pipe.worker.start()
        try:
            pipe.create()
            for _ in range(10):
                expected = pipe.append(6000)
            who = ("src",) if what == "store" else ("plain", "rotating")
            log = pipe.worker.log_text
            support.wait_for(lambda: f"{who} to wait\n{log()[-2000:]}", lambda: "task PAUSED" in log(), 20)
            support.wait_for("a task that is shown as stopped",
                             lambda: any(pipe.worker.status(name) == "not runing" for name in who), 20)
            assert "No space left on device" in log() or "disk.reserve" in log()
            assert support.content(pipe.plain) != expected
            small.grow(64)
            pipe.wait(expected, 60)
            pipe.worker.stop()
        finally:
            pipe.worker.kill()
    finally:
        small.end()
