# SPDX-License-Identifier: Apache-2.0
"""From the boot line to the exit status: signals, what a stop keeps, and what a worker that cannot start says."""

import os
import re
import signal
import socket
import time

import pytest

from harness import lines, read, wait_file, wait_for, write


def test_one_event_is_one_line(worker, tmp_path):
    worker.pair(write(tmp_path / "in", lines(3)), tmp_path / "out")
    wait_file(tmp_path / "out", lines(3))
    worker.refuse("new\nline", {"connector-class": "no\nsuch\rclass"})
    worker.end()
    for line in worker.log().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARN|ERROR) +\w+ +\S", line), line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(worker, tmp_path, number):
    worker.pair(write(tmp_path / "in", lines(100)), tmp_path / "out")
    wait_file(tmp_path / "out", lines(100))
    begun = time.monotonic()
    assert worker.stop(number) == 0
    assert time.monotonic() - begun < 10, "shutdown.timeout.ms"
    assert f"stopping signal={number.name}" in worker.log()
    assert worker.log().rstrip().endswith("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_drain_the_backlog_and_loses_nothing(worker, tmp_path, number):
    """Stopped in the middle, twice; what came out is a beginning of what went in, and in the end it is all."""
    text = lines(600000, width=90)
    source, sink = write(tmp_path / "in", text), tmp_path / "out"
    worker.pair(source, sink)
    for _ in range(2):
        size = len(read(sink))
        wait_for(lambda: os.path.exists(sink) and (os.path.getsize(sink) > size or os.path.getsize(sink) == len(text)),
                 "some of it has arrived")
        assert worker.stop(number) == 0
        part = read(sink)
        assert text.startswith(part) and (part == b"" or part.endswith(b"\n"))
        worker.start()
    assert len(part) < len(text), "the backlog was drained, or the input is too small for this machine"
    wait_file(sink, text)


def test_a_backlog_in_the_topic_stays_there(worker, tmp_path):
    """The source's work is committed at the stop; the sink made later delivers it."""
    text = lines(50000)
    source, sink = write(tmp_path / "in", text), tmp_path / "out"
    worker.source("source", "t", source)
    worker.restart()
    os.remove(source)
    worker.end()
    committed = worker.bodies("t")
    assert committed == text.split(b"\n")[:len(committed)]
    worker.start()
    worker.sink("sink", "t", sink)
    wait_file(sink, b"".join(line + b"\n" for line in committed))


def test_a_second_worker_on_the_store_is_refused(worker, new_worker):
    second = new_worker(storePathRootDir=worker.store)
    code = second.refused()
    assert code == 1, second.log()
    assert worker.store in second.log()
    assert "another" in second.log() or "in use" in second.log() or "already" in second.log(), second.log()
    assert worker.get("/getClusterInfo").status == 200
    worker.end()
    second.start()


def test_a_port_in_use_is_told(new_worker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        worker = new_worker(httpPort=port)
        assert worker.refused() == 1
        said = worker.log()
        assert str(port) in said and "in use" in said and "httpPort" in said, said
    worker.start()


@pytest.mark.parametrize("kind", ["a file", "below a file", "in /proc"])
def test_a_store_that_cannot_be_made_is_told(new_worker, tmp_path, kind):
    write(tmp_path / "file", b"here first\n")
    store = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "store",
             "in /proc": "/proc/gantry-store"}[kind]
    worker = new_worker(storePathRootDir=store)
    assert worker.refused() == 1, worker.log()
    assert str(store) in worker.log()
    assert read(tmp_path / "file") == b"here first\n"


def test_requests_during_the_stop_do_not_hang(worker, tmp_path):
    """A connection that is open when the worker ends is closed, and does not hold it up."""
    with worker.connect() as idle:
        begun = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - begun < 10
        assert idle.recv(1) == b""


def test_it_starts_fast(new_worker):
    """Ready for REST in 50 ms is the promise; the bar leaves room for a busy machine and for sanitizers."""
    worker = new_worker()
    begun = time.monotonic()
    worker.start()
    assert worker.get("/getClusterInfo").status == 200
    assert time.monotonic() - begun < 5


def test_each_plugin_file_is_told_when_plugins_are_looked_for(new_worker, tmp_path):
    for folder in ("a", "b"):
        os.mkdir(tmp_path / folder)
    for name in ("a/one.jar", "a/two.so", "b/three.jar", "single.jar"):
        write(tmp_path / name, b"")
    worker = new_worker(pluginPaths=f"{tmp_path}/a, {tmp_path}/b,{tmp_path}/single.jar,{tmp_path}/nowhere").start()
    assert worker.get("/plugin/reload").text == "success"
    told = re.findall("Loading plugin from: (.*)", worker.log())
    assert told == 2 * [f"{tmp_path}/{name}" for name in ("a/one.jar", "a/two.so", "b/three.jar", "single.jar")], \
        "at the start, and again when asked"
    worker.wait_log(f"WARN .*pluginPaths path={tmp_path}/nowhere: No such file")
