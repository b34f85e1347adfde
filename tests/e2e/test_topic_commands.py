# SPDX-License-Identifier: Apache-2.0
"""`gantry topic` and `gantry connector`, while the worker runs and when it does not."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from harness import (SINK, SOURCE, append, binary, lines, read, run_gantry, wait_file, wait_for, write)

pytestmark = pytest.mark.embedded


@pytest.fixture
def running(worker, tmp_path):
    """A worker that has moved 100 lines; files `in` and `out`."""
    worker.pair(write(tmp_path / "in", lines(100)), tmp_path / "out")
    wait_file(tmp_path / "out", lines(100))
    return worker


def topic(worker, *words, code=0):
    done = run_gantry("topic", *words, "--store", worker.store)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr.decode()


def test_ls(running, tmp_path):
    running.source("other", "other-topic", write(tmp_path / "other", b"1\n2\n"))
    wait_for(lambda: re.search(rb"^other-topic +0 +2 +\d+ B  - *$", topic(running, "ls"), re.M),
             lambda: f"two messages: {topic(running, 'ls')}")
    wait_for(lambda: re.search(rb"^t +0 +100 +[\d.]+ K?B +sink +0$", topic(running, "ls"), re.M),
             lambda: f"no lag: {topic(running, 'ls')}")
    running.stop_connector("sink")
    append(tmp_path / "in", lines(7))
    wait_for(lambda: re.search(rb"^t +0 +107 +[\d.]+ K?B +sink +7$", topic(running, "ls"), re.M),
             lambda: f"a lag of 7: {topic(running, 'ls')}")
    listed = topic(running, "ls").splitlines()
    running.end()
    assert topic(running, "ls").splitlines() == listed


def test_cat(running):
    assert topic(running, "cat", "t") == lines(100)
    assert topic(running, "cat", "t", "--from", "98") == lines(2, first=98)
    assert topic(running, "cat", "t", "--from", "10", "--count", "3") == lines(3, first=10)
    assert topic(running, "cat", "t", "--from", "1000") == b""
    assert topic(running, "cat", "t", "--queue", "0", "-n", "1") == lines(1)
    message = json.loads(topic(running, "cat", "t", "--from", "5", "-n", "1", "--format", "json"))
    assert message["offset"] == 5 and message["queue"] == 0 and message["body"] == "line 5"
    assert abs(message["timestamp"] / 1000 - time.time()) < 3600


def test_cat_of_bytes_that_are_not_text(worker, tmp_path):
    text = b"\xff\0\n\n"
    worker.pair(write(tmp_path / "in", text), tmp_path / "out")
    wait_file(tmp_path / "out", text)
    assert topic(worker, "cat", "t") == text
    first = json.loads(topic(worker, "cat", "t", "--format", "json").splitlines()[0])
    assert first["body_base64"] == "/wA="


def test_tail_follows(running, tmp_path):
    with open(tmp_path / "tail", "wb") as out:
        tail = subprocess.Popen([binary(), "topic", "tail", "t", "--store", running.store], stdout=out)
    try:
        wait_file(tmp_path / "tail", lines(10, first=90))
        for number in range(3):
            append(tmp_path / "in", b"new %d\n" % number)
            wait_file(tmp_path / "tail", lines(10, first=90) + b"".join(b"new %d\n" % n for n in range(number + 1)))
        running.restart()
        append(tmp_path / "in", b"after a restart\n")
        wait_for(lambda: read(tmp_path / "tail").endswith(b"new 2\nafter a restart\n"), "the line after the restart")
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 0
    finally:
        tail.kill()
        tail.wait()


def test_tail_from_an_offset_to_a_count(running):
    assert topic(running, "tail", "t", "--from", "95", "--count", "2") == lines(2, first=95)


def test_a_reader_that_goes_away_is_no_failure(running):
    shell = subprocess.run(["sh", "-c", '"$0" topic cat t --store "$1" | head -n 1', binary(), running.store],
                           capture_output=True, timeout=20, check=True)
    assert (shell.stdout, shell.stderr) == (b"line 0\n", b"")


def test_describe(running):
    said = wait_for(lambda: (lambda text: "sink at offset 100, lag 0" in text and text)(
        topic(running, "describe", "t").decode()), "the sink at the end")
    assert "t queue 0\n" in said and "offsets   0 to 100 (100 messages)" in said
    assert re.search(r"^ +0 +100 +[\d.]+ K?B +\d{4}-\d\d-\d\dT[\d:.]+Z +\S+ +open$", said, re.M), said


def test_what_is_not_there_is_told(running, tmp_path):
    for command in (["cat", "nope"], ["tail", "nope"], ["describe", "nope"]):
        said = topic(running, *command, code=1)
        assert "nope" in said and "gantry topic ls" in said
    assert "0 to 0" in topic(running, "tail", "t", "--queue", "3", code=1)
    for words in (["ls"], ["cat", "t"], ["describe", "t"]):
        done = run_gantry("topic", *words, "--store", tmp_path / "nowhere")
        assert done.returncode == 1 and b"storePathRootDir" in done.stderr
        assert not os.path.exists(tmp_path / "nowhere")


@pytest.mark.parametrize("words, expected", [
    ([], "say what to do"), (["lss"], "topic ls"), (["cat"], "TOPIC"), (["cat", "a", "b"], "b"),
    (["cat", "t", "--from", "-1"], "-1"), (["cat", "t", "--format", "xml"], "xml"), (["ls", "--stor", "x"], "--store"),
])
def test_usage_errors(words, expected):
    done = run_gantry("topic", *words)
    assert done.returncode == 2
    assert expected in done.stderr.decode()


def test_the_store_is_taken_from_a_properties_file(running):
    done = run_gantry("topic", "cat", "t", "-c", os.path.join(running.folder, "connect.conf"))
    assert done.stdout == lines(100), done.stderr


def test_connector_classes_and_describe():
    done = run_gantry("connector", "classes")
    assert SOURCE.encode() in done.stdout and SINK.encode() in done.stdout
    done = run_gantry("connector", "describe", SOURCE)
    for key in ("filename", "topic", "tasks.max", "line.too.long", "file.start"):
        assert f"  {key}  ".encode() in done.stdout
    done = run_gantry("connector", "describe", SOURCE.replace("File", "Fiel"))
    assert done.returncode != 0 and b"Fiel" in done.stderr


def test_connector_reset_says_what_it_did(running):
    running.end()
    done = run_gantry("connector", "reset", "source", "--store", running.store)
    assert done.returncode == 0 and b"source" in done.stdout
    done = run_gantry("connector", "reset", "source", "--store", running.store)
    assert done.returncode == 0 and b"nothing" in done.stdout
    running.start()


def test_help_and_version():
    assert re.fullmatch(rb"gantry \d+\.\d+\.\d+\S*\n", run_gantry("version").stdout)
    assert run_gantry("--version").stdout == run_gantry("version").stdout
    said = run_gantry("help").stdout.decode()
    for name in re.findall(r"^  (\S+(?: \S+)?)  +\S", said, re.M):
        done = run_gantry("help", *name.split())
        assert done.returncode == 0 and f"usage: gantry {name}".encode() in done.stdout, name
    done = run_gantry("wroker")
    assert done.returncode == 2 and b"'worker'" in done.stderr
    assert run_gantry().returncode == 2
