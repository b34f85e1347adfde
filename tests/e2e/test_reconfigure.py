# SPDX-License-Identifier: Apache-2.0
"""Connectors that ask to be split again, or cannot go on, by way of their host, and hosts that ask for too much: tests/hosts/odd.py."""

import json
import os
import re
import signal
import threading

import pytest

from harness import Broker, lines, read, wait_file, wait_for, wait_same_lines, write
from test_hosts import QUICK, SLOWER, hosts_of

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


@pytest.fixture
def odd(tmp_path):
    """Where the test and the host meet."""
    folder = tmp_path / "odd"
    folder.mkdir()
    write(folder / "tasks", b"1")
    write(folder / "events", b"")
    return folder


@pytest.fixture
def worker(worker, tmp_path):
    worker.end()
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    write(plugins / "odd.plugin", f"command=python3 {TOP}/tests/hosts/odd.py\n".encode())
    worker.set(pluginPaths=plugins, task_restart_backoff_ms=100, **QUICK)
    return worker.start()


def config(odd, count=1000, **keys):
    return {"connector-class": "test.OddParts", "topic": Broker.topics("t"), "source-record-converter": "string", "tasks.max": "4",
            "odd.folder": str(odd), "count": str(count), **{f"odd.{key}": value for key, value in keys.items()}}


def ask(odd, text):
    write(odd / "ask.new", text.encode())
    os.rename(odd / "ask.new", odd / "ask")


def events(odd):
    return [line.split()[0] for line in read(odd / "events").decode().splitlines()]


def wait_tasks(worker, name, count):
    def look():
        tasks = worker.configs()[1].get(name, [])
        return len(tasks) == count
    wait_for(look, f"{count} tasks of {name}")


def numbers(parts, count=1000):
    return b"".join(b"%d:%d\n" % (part, number) for part in range(parts) for number in range(count))


def test_work_is_split_again(worker, odd, tmp_path):
    worker.sink("good", "t", tmp_path / "out")
    worker.create("odd", config(odd))
    wait_same_lines(tmp_path / "out", numbers(1))
    write(odd / "tasks", b"3")
    ask(odd, "odd")
    wait_tasks(worker, "odd", 3)
    wait_same_lines(tmp_path / "out", numbers(3))  # each goes on where it stood
    assert events(odd) == ["split", "release", "split"]  # the connector that lives in the host is the one of the last split
    write(odd / "tasks", b"2")
    ask(odd, "odd")
    wait_tasks(worker, "odd", 2)
    worker.wait_running("odd")
    for pid in hosts_of(worker, "odd.py"):
        os.kill(pid, signal.SIGKILL)
    worker.wait_failed("odd", "signal 9")
    worker.wait_running("odd")
    wait_for(lambda: events(odd) == ["split", "release", "split", "release", "split", "split"], "the connector lives in the new process")
    worker.stop_connector("odd")
    wait_for(lambda: events(odd)[-1] == "release", "the connector is released")
    wait_same_lines(tmp_path / "out", numbers(3))


def test_what_is_asked_during_the_first_split_is_not_lost(worker, odd, tmp_path):
    worker.sink("good", "t", tmp_path / "out")
    worker.create("odd", config(odd, how="ask-at-once"))
    wait_for(lambda: events(odd) == ["split", "release", "split"], lambda: f"it is split again: {events(odd)}")
    wait_same_lines(tmp_path / "out", numbers(1))


def test_asking_without_end_is_slowed_down(worker, odd, tmp_path):
    worker.sink("good", "t", tmp_path / "out")
    worker.restart(task_restart_backoff_ms=20000, task_restart_backoff_max_ms=40000)
    worker.create("odd", config(odd, how="ask-always"))
    wait_same_lines(tmp_path / "out", numbers(1))
    ask(odd, "odd")
    wait_for(lambda: not os.path.exists(odd / "ask"), "it has been asked again")
    worker.pair(write(tmp_path / "in", lines(10)), tmp_path / "lines", topic="other")
    wait_file(tmp_path / "lines", lines(10))
    assert len([one for one in events(odd) if one == "split"]) <= 3


def test_a_connector_that_cannot_go_on(worker, odd, tmp_path):
    worker.create("odd", config(odd))
    worker.wait_running("odd")
    ask(odd, "odd the tables are gone")
    worker.wait_failed("odd", "the tables are gone")
    worker.wait_running("odd")


def test_a_connector_without_work_that_cannot_go_on(worker, odd):
    """Its reason is told though no task has it; it is tried again."""
    write(odd / "tasks", b"0")
    worker.create("odd", config(odd))
    worker.wait_running("odd")
    ask(odd, "odd the tables are gone")
    worker.wait_cannot_run("odd", "the tables are gone")
    worker.wait_running("odd")
    write(odd / "tasks", b"2")
    ask(odd, "odd")
    wait_tasks(worker, "odd", 2)
    worker.wait_running("odd")


def test_a_reason_to_stop_during_the_first_split_is_not_lost(worker, odd, tmp_path):
    worker.sink("good", "t", tmp_path / "out")
    worker.create("odd", config(odd, how="break-at-once"))
    worker.wait_failed("odd", "the tables are gone")
    wait_same_lines(tmp_path / "out", numbers(1))
    assert events(odd) == ["split"]


@pytest.mark.parametrize("what", ["lines-source", "lines-source I do not like it"])
def test_a_host_speaks_for_its_own_connectors_only(worker, odd, tmp_path, what):
    worker.pair(write(tmp_path / "in", lines(10)), tmp_path / "lines", topic="other")
    worker.create("odd", config(odd))
    worker.wait_running("odd")
    name, _, reason = what.partition(" ")
    name = next(one for one in worker.configs()[0] if one != "odd")
    ask(odd, f"{name} {reason}".strip())
    worker.wait_log(rf"a host asks for a connector that is not its own connector={re.escape(name)} host=odd\.plugin")
    assert "I do not like it" not in worker.log() and f"as its connector asks connector={name}" not in worker.log()


def test_tasks_without_end_are_refused(worker, odd):
    worker.restart(host_call_timeout_ms=20000, host_beat_timeout_ms=20000)
    assert "more than 4 tasks" in worker.refuse("odd", config(odd, how="endless"))
    assert worker.alive()


def test_a_connector_that_was_refused_is_released(worker, odd):
    assert "count" in worker.refuse("odd", config(odd, how="refused"))
    wait_for(lambda: events(odd) == ["split", "release"], lambda: f"it is released: {events(odd)}")


@pytest.mark.parametrize("how", ["refused", "fail", "endless"])
def test_an_update_that_is_refused_leaves_what_runs(worker, odd, tmp_path, how):
    """Its split has taken the running connector's place in the host: the running one is split there once more."""
    worker.restart(host_call_timeout_ms=20000, host_beat_timeout_ms=20000)
    worker.sink("good", "t", tmp_path / "out")
    worker.create("odd", config(odd))
    wait_same_lines(tmp_path / "out", numbers(1))
    worker.refuse("odd", config(odd, how=how))
    wait_for(lambda: events(odd) == ["split", "release", "split", "release", "split"], lambda: f"it is split again: {events(odd)}")
    worker.wait_running("odd")
    assert "as its connector asks" not in worker.log()
    write(odd / "tasks", b"2")
    ask(odd, "odd")
    wait_tasks(worker, "odd", 2)
    wait_same_lines(tmp_path / "out", numbers(2))
    worker.stop_connector("odd")
    wait_for(lambda: events(odd)[-1] == "release", "the connector is released")


@pytest.mark.parametrize("dialect", ["manual", "code-2019"])
def test_no_work_yet(worker, odd, tmp_path, dialect):
    """A connector without tasks runs: it asks to be split again when there is work. It survives the worker and its host."""
    def runs():
        wait_for(lambda: worker.status("odd") in ("runing", "running"), "it runs")  # as each dialect spells it

    worker.restart(rest_dialect=dialect)
    worker.sink("good", "t", tmp_path / "out")
    write(odd / "tasks", b"0")
    worker.create("odd", config(odd))
    runs()
    assert "odd" in worker.configs()[0] and worker.configs()[1]["odd"] == []
    worker.restart()
    wait_for(lambda: events(odd).count("split") == 2, lambda: f"its host has the connector again: {events(odd)}")
    runs()
    assert "odd" in worker.configs()[0] and worker.configs()[1]["odd"] == []
    for pid in hosts_of(worker, "odd.py"):
        os.kill(pid, signal.SIGKILL)
    worker.wait_log("as its connector asks connector=odd")
    runs()
    write(odd / "tasks", b"2")
    ask(odd, "odd")
    wait_tasks(worker, "odd", 2)
    runs()
    wait_same_lines(tmp_path / "out", numbers(2))
    write(odd / "tasks", b"0")
    ask(odd, "odd")
    wait_for(lambda: worker.configs()[1]["odd"] == [], "no tasks any more")
    runs()
    worker.stop_connector("odd")
    assert "odd" not in worker.configs()[0]


def odd_sink(worker, odd, how, **more):
    worker.create("oddsink", {"connector-class": "test.OddSink", "topicNames": Broker.topics("t"), "source-record-converter": "string",
                              "odd.folder": str(odd), "odd.how": how, **more})


def test_a_flush_keeps_back_so_many_queues(worker, odd):
    odd_sink(worker, odd, "limits")
    worker.wait_failed("oddsink", "broke the protocol: FLUSHED keeps back more than 65536 queues")


def test_what_is_laid_aside_without_a_commit_is_bounded(worker, odd, tmp_path):
    worker.source("lines", "t", write(tmp_path / "in", lines(1)))
    odd_sink(worker, odd, "aside", **{"errors.deadletterqueue.topic.name": Broker.topics("t-aside")})
    worker.wait_failed("oddsink", "more than 256 MiB were laid aside without a commit")


def test_nothing_is_taken_that_was_not_sent(worker, odd):
    odd_sink(worker, odd, "taken")
    worker.wait_failed("oddsink", "broke the protocol: TAKEN is malformed, or of more than was sent")


def test_credit_has_a_limit(worker, odd, tmp_path):
    worker.source("lines", "t", write(tmp_path / "in", (b"x" * 9999 + b"\n") * 2500))
    odd_sink(worker, odd, "credit")
    wait_for(lambda: int(read(odd / "peak") or b"0") > 15 << 20, "much has come")
    wait_for(lambda: os.path.exists(odd / "all"), "and the rest, once that was taken")
    assert int(read(odd / "peak")) <= (16 << 20) + (2 << 20)


@pytest.mark.parametrize("how, reason", [("many", "RECORDS has more than 4096 records"), ("marks", "RECORDS is malformed"),
                                         ("together", "a batch of more than 1048576 records and marks")])
def test_a_batch_is_bounded(worker, odd, how, reason):
    worker.create("odd", config(odd, how=how))
    worker.wait_failed("odd", f"broke the protocol: {reason}")


def test_answers_that_are_not_read_are_bounded(worker, odd):
    """A host asks 2000 times for positions of 200 kB before it reads the first answer; then it has them all."""
    def memory():
        return int(re.search(r"VmHWM:\s+(\d+) kB", read(f"/proc/{worker.process.pid}/status").decode()).group(1))
    before = memory()
    worker.create("odd", config(odd, how="positions"))
    worker.wait_failed("odd", "that were all positions")
    assert memory() < before + 120000 * SLOWER


def test_a_host_that_talks_without_end_leaves_others_their_turn(worker, odd, tmp_path):
    worker.restart(executor_threads=1)
    worker.create("odd", config(odd, how="lag"))
    worker.wait_running("odd")
    worker.pair(write(tmp_path / "in", lines(10)), tmp_path / "lines", topic="other")
    wait_file(tmp_path / "lines", lines(10))
    worker.stop_connector("odd")  # which it does not hear
    worker.wait_log("host odd.plugin did not start or stop a task within")


def create_raw(worker, text):
    try:
        worker.create_raw("odd", text)
    except OSError:
        pass  # the worker ends; what it answers is not what we look at


def test_a_split_that_hangs_does_not_hold_up_the_end(worker, odd):
    worker.restart(shutdown_timeout_ms=4000, host_call_timeout_ms=60000, host_beat_timeout_ms=60000)
    asking = threading.Thread(target=create_raw, args=(worker, json.dumps(config(odd, how="hang"))))
    asking.start()
    wait_for(lambda: events(odd) == ["split"], "the host is asked")
    worker.end()
    asking.join()
    assert "had not answered when the worker ended" in worker.log()


def test_a_plugin_with_too_many_keys_is_refused(worker):
    worker.restart(connectors_odd_load="many")
    worker.wait_log(r"odd\.plugin.*LOADED is malformed, or has too many connectors, classes or keys")
