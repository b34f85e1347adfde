# SPDX-License-Identifier: Apache-2.0
"""Connectors and tasks: failures and restarts, what survives a stop and a restart of the worker, replacement, many."""

import json
import os
import re
import shutil
import threading

import pytest

from harness import (append, lines, read, sink_config, source_config, wait_file, wait_for, wait_same_lines, write)


# --- failures

def test_a_failed_source_task_says_why_and_starts_again_by_itself(worker, tmp_path):
    """The file is replaced by a folder; another connector goes on meanwhile."""
    source, sink = tmp_path / "in", tmp_path / "out"
    other, other_sink = write(tmp_path / "other", b"1\n"), tmp_path / "other.out"
    write(source, b"first\n")
    worker.pair(source, sink)
    worker.source("other", "t2", other)
    worker.sink("other sink", "t2", other_sink)
    wait_file(sink, b"first\n")
    worker.stop_connector("source")
    os.remove(source)
    worker.source("source", "t", source)
    os.mkdir(source)
    why = worker.wait_failed("source", "folder")
    assert str(source) in why
    worker.wait_not_running("source")
    append(other, b"2\n")
    wait_file(other_sink, b"1\n2\n")
    os.rmdir(source)
    write(source, b"second\n")
    wait_file(sink, b"first\nsecond\n")
    worker.wait_running("source")


def test_the_pause_between_restarts_doubles_to_its_limit(new_worker, tmp_path):
    worker = new_worker(task_restart_backoff_ms=40, task_restart_backoff_max_ms=320).start()
    source = tmp_path / "in"
    worker.source("source", "t", source)
    os.mkdir(source)
    failed = re.compile(r"T(\d+):(\d+):([\d.]+)Z ERROR .*task FAILED connector=source")

    def times():
        return [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in failed.findall(worker.log())]
    wait_for(lambda: len(times()) >= 7, lambda: f"seven failures, not {times()}")
    found = times()[:7]
    if found[-1] < found[0]:
        return  # midnight passed
    gaps = [later - earlier for earlier, later in zip(found, found[1:])]
    for gap, pause in zip(gaps, (0.04, 0.08, 0.16, 0.32, 0.32, 0.32)):
        assert gap >= pause - 0.02, gaps
    assert gaps[-1] < 5


def test_restarts_can_be_limited(new_worker, tmp_path):
    worker = new_worker(task_restart_backoff_ms=1, task_restart_max=3).start()
    source = tmp_path / "in"
    worker.source("source", "t", source)
    os.mkdir(source)
    worker.wait_log("no further restart connector=source restarts=3")
    # A failure is counted once, however quickly it follows the start.
    assert len(re.findall("task FAILED connector=source", worker.log())) == 4
    os.rmdir(source)
    write(source, b"line\n")
    assert worker.status("source") == "not runing"
    # Stop and create, as always, starts it anew.
    worker.stop_connector("source")
    worker.source("source", "t", source)
    worker.wait_running("source")


def test_a_connector_that_cannot_start_at_boot_comes_when_it_can(new_worker, tmp_path):
    """Its folder is away while the worker boots, as a file system that is not mounted yet."""
    worker = new_worker().start()
    os.mkdir(tmp_path / "mount")
    sink = tmp_path / "mount" / "out"
    worker.pair(write(tmp_path / "in", b"1\n"), sink)
    wait_file(sink, b"1\n")
    worker.end()
    os.rename(tmp_path / "mount", tmp_path / "away")
    worker.start()
    told = worker.wait_cannot_run("sink")
    assert str(tmp_path / "mount") in told
    worker.wait_running("source")
    assert worker.status("sink") == "not runing"
    append(tmp_path / "in", b"2\n")
    os.rename(tmp_path / "away", tmp_path / "mount")
    wait_file(sink, b"1\n2\n")
    worker.wait_running("sink")


def test_a_failed_task_can_be_stopped(worker, tmp_path):
    source = tmp_path / "in"
    worker.source("source", "t", source)
    os.mkdir(source)
    worker.wait_failed("source")
    worker.stop_connector("source")
    assert worker.configs() == ({}, {})


def test_the_reason_of_a_failed_task_is_shown(worker, tmp_path):
    """The manual's replies have no room for it, so a header field has it."""
    source = tmp_path / "in"
    worker.source("source", "t", source)
    os.mkdir(source)
    worker.wait_failed("source")
    reply = wait_for(lambda: (lambda r: r.text == "not runing" and r.field("X-Gantry-Error") and r)(
        worker.get("/connectors/source/status")), "a reason in the status reply")
    assert str(source) in reply.field("X-Gantry-Error")
    assert "folder" in reply.field("X-Gantry-Error")
    os.rmdir(source)
    worker.wait_running("source")
    assert worker.get("/connectors/source/status").field("X-Gantry-Error") is None


# --- stop, start, replace

def test_connectors_come_back_after_a_restart(worker, tmp_path):
    source, sink = write(tmp_path / "in", b"1\n"), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, b"1\n")
    before = worker.configs()
    text = b"1\n"
    for number in range(3):
        worker.end()
        more = b"while down %d\n" % number
        append(source, more)
        text += more
        worker.start()
        wait_file(sink, text)
        assert worker.configs() == before


def test_they_come_back_after_kill(worker, tmp_path):
    source, sink = write(tmp_path / "in", b"1\n"), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, b"1\n")
    worker.kill()
    append(source, b"2\n")
    worker.start()
    wait_file(sink, b"1\n2\n")


@pytest.mark.parametrize("which", ["source", "sink"])
def test_stop_and_create_goes_on_from_where_it_was(worker, tmp_path, which):
    """The manual's only way to restart a connector."""
    source, sink = write(tmp_path / "in", lines(10)), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, lines(10))
    worker.stop_connector(which)
    assert worker.status(which) == "not runing"
    append(source, lines(10, first=10))
    if which == "source":
        worker.source("source", "t", source)
    else:
        worker.sink("sink", "t", sink)
    wait_file(sink, lines(20))


def test_create_with_the_same_configuration(worker, tmp_path):
    config = source_config("t", write(tmp_path / "in", b"1\n"))
    worker.create("source", config)
    reply = worker.create_raw("source", json.dumps(config))
    assert (reply.status, reply.text) == (200, "Connector with same config already exist.")
    assert worker.status("source") == "runing"
    # The order of the keys is no difference.
    reply = worker.create_raw("source", json.dumps(dict(reversed(config.items()))))
    assert reply.text == "Connector with same config already exist."
    # A configuration that was read back can be sent again.
    shown = worker.configs()[0]["source"]["properties"]
    reply = worker.create_raw("source", json.dumps(shown))
    assert reply.text == "Connector with same config already exist."


def test_a_running_connector_is_replaced_by_another_create(worker, tmp_path):
    first, second, sink = write(tmp_path / "a", b"a1\n"), write(tmp_path / "b", b"b1\n"), tmp_path / "out"
    worker.pair(first, sink)
    wait_file(sink, b"a1\n")
    worker.source("source", "t", second)
    wait_file(sink, b"a1\nb1\n")
    append(first, b"a2\n")
    append(second, b"b2\n")
    wait_file(sink, b"a1\nb1\nb2\n")
    # Back to the first file: its position is known still.
    worker.source("source", "t", first)
    wait_file(sink, b"a1\nb1\nb2\na2\n")
    assert worker.configs()[0]["source"]["properties"]["filename"] == str(first)


def test_a_replacement_that_is_refused_leaves_the_old_one_running(worker, tmp_path):
    source, sink = write(tmp_path / "in", b"1\n"), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, b"1\n")
    before = worker.configs()
    worker.refuse("source", source_config("t", tmp_path))
    worker.refuse("sink", sink_config("t", source))
    assert worker.configs() == before
    append(source, b"2\n")
    wait_file(sink, b"1\n2\n")
    assert worker.status("source") == worker.status("sink") == "runing"


def test_stop_of_what_is_not_there(worker):
    worker.stop_connector("nobody")
    assert worker.status("nobody") == "not runing"
    assert worker.get("/connectors/nobody/config").text == "ConnectorConfigs:null\nTaskConfigs:null"


def test_stop_all(worker, tmp_path):
    for number in range(10):
        worker.source(f"source {number}", "t", write(tmp_path / f"in{number}", b""))
    assert worker.get("/connectors/stopAll").text == "success"
    assert worker.configs() == ({}, {})
    worker.restart()
    assert worker.configs() == ({}, {})


# --- shapes

def test_one_source_three_sinks(worker, tmp_path):
    source = write(tmp_path / "in", lines(1000))
    worker.source("source", "t", source)
    for number in range(3):
        worker.sink(f"sink {number}", "t", tmp_path / f"out{number}")
    append(source, lines(1000, first=1000))
    for number in range(3):
        wait_file(tmp_path / f"out{number}", lines(2000))


def test_several_sources_to_one_topic(worker, tmp_path):
    """Each source's lines stay in their order."""
    texts = [b"".join(b"source %d line %d\n" % (number, line) for line in range(2000)) for number in range(4)]
    worker.sink("sink", "t", tmp_path / "out")
    for number, text in enumerate(texts):
        worker.source(f"source {number}", "t", write(tmp_path / f"in{number}", text))
    wait_same_lines(tmp_path / "out", b"".join(texts))
    for number, text in enumerate(texts):
        mine = b"source %d " % number
        assert b"".join(line for line in read(tmp_path / "out").splitlines(True) if line.startswith(mine)) == text


def test_a_sink_with_several_topics(worker, tmp_path):
    for topic in ("a", "b", "c"):
        worker.source(f"source {topic}", topic, write(tmp_path / topic, f"{topic}1\n{topic}2\n".encode()))
    worker.sink("sink", "a, b,c", tmp_path / "out")
    wait_same_lines(tmp_path / "out", b"a1\na2\nb1\nb2\nc1\nc2\n")
    worker.restart()
    append(tmp_path / "b", b"b3\n")
    wait_for(lambda: read(tmp_path / "out").endswith(b"b3\n"), "the new line")
    wait_same_lines(tmp_path / "out", b"a1\na2\nb1\nb2\nb3\nc1\nc2\n")


def test_a_sink_made_before_its_source(worker, tmp_path):
    worker.sink("sink", "later", tmp_path / "out")
    worker.source("source", "later", write(tmp_path / "in", b"1\n"))
    wait_file(tmp_path / "out", b"1\n")


def test_a_chain_of_two_pairs(worker, tmp_path):
    """The file that one sink writes is read by another source; refused only where it would be a circle of one topic."""
    text = lines(5000)
    worker.source("source 1", "t1", write(tmp_path / "in", text))
    worker.sink("sink 1", "t1", tmp_path / "between")
    wait_file(tmp_path / "between", text)
    worker.stop_connector("sink 1")
    worker.source("source 2", "t2", tmp_path / "between")
    worker.sink("sink 2", "t2", tmp_path / "out")
    wait_file(tmp_path / "out", text)


def test_several_files_are_divided_among_tasks(worker, tmp_path):
    names = [write(tmp_path / f"in{number}", b"file %d\n" % number) for number in range(5)]
    worker.sink("sink", "t", tmp_path / "out")
    worker.source("source", "t", ",".join(map(str, names)), {"tasks.max": 3})
    expected = b"".join(b"file %d\n" % number for number in range(5))
    wait_same_lines(tmp_path / "out", expected)
    assert len(worker.configs()[1]["source"]) == 3
    for number, name in enumerate(names):
        append(name, b"more %d\n" % number)
    wait_same_lines(tmp_path / "out", expected + b"".join(b"more %d\n" % number for number in range(5)))
    # Another division, the same positions.
    worker.source("source", "t", ",".join(map(str, names)), {"tasks.max": 2})
    append(names[0], b"last\n")
    wait_for(lambda: read(tmp_path / "out").endswith(b"last\n"), "the last line")
    assert read(tmp_path / "out").count(b"\n") == 11
    assert len(worker.configs()[1]["source"]) == 2


def test_200_connectors_created_at_once(worker, tmp_path):
    """Eight clients create 100 sources and 100 sinks; all run, and all deliver; a restart brings all back."""
    count, problems = 100, []
    for number in range(count):
        write(tmp_path / f"in{number}", b"line of %d\n" % number)

    def client(mine):
        try:
            for number in mine:
                worker.source(f"source {number}", f"t{number}", tmp_path / f"in{number}")
                worker.sink(f"sink {number}", f"t{number}", tmp_path / f"out{number}")
        except Exception as problem:  # told by the main thread
            problems.append(problem)
    clients = [threading.Thread(target=client, args=(range(first, count, 8),)) for first in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not problems, problems[0]
    for number in range(count):
        wait_file(tmp_path / f"out{number}", b"line of %d\n" % number)
    assert len(worker.configs()[0]) == 2 * count
    worker.restart()
    for number in range(count):
        append(tmp_path / f"in{number}", b"after\n")
    for number in range(count):
        wait_file(tmp_path / f"out{number}", b"line of %d\nafter\n" % number)


def test_create_and_stop_of_one_name_by_many_clients(worker, tmp_path):
    """Operations on one name run one after the other: in the end it runs or it does not, and the worker is well."""
    config = json.dumps(source_config("t", write(tmp_path / "in", b"1\n")))
    allowed = {"success", "Connector with same config already exist."}
    said = set()

    def client(number):
        for turn in range(15):
            if (number + turn) % 2:
                said.add(worker.get("/connectors/source/stop").text)
            else:
                said.add(worker.create_raw("source", config).text)
    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert said <= allowed, said
    worker.stop_connector("source")
    assert worker.configs() == ({}, {})
    worker.sink("sink", "t", tmp_path / "out")
    worker.create("source", json.loads(config))
    wait_file(tmp_path / "out", b"1\n")


def test_a_worker_whose_inputs_are_deleted_goes_on(worker, tmp_path):
    os.mkdir(tmp_path / "data")
    worker.pair(write(tmp_path / "data" / "in", b"1\n"), tmp_path / "out")
    wait_file(tmp_path / "out", b"1\n")
    shutil.rmtree(tmp_path / "data")
    os.mkdir(tmp_path / "data")
    write(tmp_path / "data" / "in", b"2\n")
    wait_file(tmp_path / "out", b"1\n2\n")
