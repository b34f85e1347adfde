# SPDX-License-Identifier: Apache-2.0
"""The file sink: what it does to its file, what others may not do to it, and its rotation."""

import os
import re

import pytest

from harness import Broker, append, lines, read, run_gantry, sink_config, wait_file, wait_for, write


@pytest.fixture
def source(worker, tmp_path):
    """A source with a first line; more is appended to the file."""
    path = write(tmp_path / "in", b"1\n")
    worker.source("source", "t", path)
    return path


@pytest.fixture
def sink(worker, source, tmp_path):
    path = tmp_path / "out"
    worker.sink("sink", "t", path)
    wait_file(path, b"1\n")
    return path


def test_what_the_file_holds_stays(worker, source, tmp_path):
    sink = write(tmp_path / "out", b"here before\nand this has no newline")
    worker.sink("sink", "t", sink)
    wait_file(sink, b"here before\nand this has no newline1\n")
    worker.restart()
    append(source, b"2\n")
    wait_file(sink, b"here before\nand this has no newline1\n2\n")


def test_two_sinks_on_one_file_are_refused(worker, source, sink, tmp_path):
    for name in (sink, f"{tmp_path}/../{tmp_path.name}/out"):
        why = worker.refuse("second", sink_config("t", name))
        assert "filename" in why and "connector sink" in why and str(sink) in why
    os.link(sink, tmp_path / "hard link")
    os.symlink(sink, tmp_path / "link")
    for name in ("hard link", "link"):
        assert "connector sink" in worker.refuse("second", sink_config("t", tmp_path / name))
    append(source, b"2\n")
    wait_file(sink, b"1\n2\n")
    worker.stop_connector("sink")
    worker.sink("second", "t", sink)  # the file is free now; a new name begins at the topic's begin
    wait_file(sink, b"1\n2\n1\n2\n")


def test_a_sink_of_what_a_source_reads_is_refused(worker, source):
    why = worker.refuse("sink", sink_config("t", source))
    assert "filename" in why and "connector source" in why
    assert read(source) == b"1\n"


def test_a_file_is_given_back_by_stop(worker, source, sink):
    worker.stop_connector("sink")
    worker.source("reader", "t2", sink)
    assert worker.status("reader") == "runing"


# --- what others do to the file: FAILED, never a cut

def recover(worker, sink, source, held):
    """As the message says: reset and start; the sink goes on at the end of the file as it is, from the topic's begin."""
    worker.end()
    done = worker.reset("sink")
    assert done.returncode == 0, done.stderr
    worker.start()
    wait_file(sink, held + read(source))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("what", ["truncated", "replaced", "appended", "emptied", "removed", "a folder"])
def test_what_others_do_to_the_file_fails_the_task(worker, source, sink, tmp_path, what, down):
    append(source, b"2\n3\n")
    wait_file(sink, b"1\n2\n3\n")
    worker.end()  # and it is committed: else the sink would know less of its file after the failure
    if not down:
        worker.start()
        worker.wait_running("sink")
    held = b""
    if what == "truncated":
        os.truncate(sink, 3)
        held = b"1\n2"
    elif what == "emptied":
        os.truncate(sink, 0)
    elif what == "replaced":
        write(tmp_path / "other", b"the work of somebody else\n")
        os.replace(tmp_path / "other", sink)
        held = b"the work of somebody else\n"
    elif what == "appended":
        append(sink, b"by somebody else\n")
        held = b"1\n2\n3\nby somebody else\n"
    elif what == "removed":
        os.remove(sink)
    else:
        os.remove(sink)
        os.mkdir(sink)
    append(source, b"4\n")
    if down:
        worker.start()
    why = worker.wait_cannot_run("sink")
    assert str(sink) in why
    worker.wait_not_running("sink")
    # It is tried again and again; nothing is written, nothing is cut.
    count = worker.log().count("connector=sink")
    wait_for(lambda: worker.log().count("connector=sink") > count, "another try")
    if what == "a folder":
        os.rmdir(sink)
        held = b""
    else:
        assert read(sink) == held
        assert os.path.exists(sink) == (what != "removed")
        assert "gantry connector reset sink" in why
    recover(worker, sink, source, held)
    append(source, b"5\n")
    wait_file(sink, held + b"1\n2\n3\n4\n5\n")


def test_a_file_put_back_is_taken_up_again(worker, source, sink, tmp_path):
    os.rename(sink, tmp_path / "away")
    append(source, b"2\n")
    worker.wait_failed("sink", re.escape(str(sink)))
    os.rename(tmp_path / "away", sink)
    wait_file(sink, b"1\n2\n")
    worker.wait_running("sink")


def test_a_folder_that_goes_and_comes(worker, source, tmp_path):
    os.mkdir(tmp_path / "d")
    sink = tmp_path / "d" / "out"
    worker.sink("sink", "t", sink)
    wait_file(sink, b"1\n")
    os.rename(tmp_path / "d", tmp_path / "e")
    append(source, b"2\n")
    worker.wait_failed("sink")
    os.rename(tmp_path / "e", tmp_path / "d")
    wait_file(sink, b"1\n2\n")


def test_reset_of_a_source_sends_the_file_again(worker, source, sink):
    worker.end()
    done = worker.reset("source")
    assert done.returncode == 0, done.stderr
    worker.start()
    wait_file(sink, b"1\n1\n")


def test_reset_while_a_worker_runs_is_refused(worker, source, sink):
    done = worker.reset("sink")
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert (f"@{worker.process.pid} runs task 0 of connector sink; stop" if Broker.namesrv else worker.store) in said
    append(source, b"2\n")
    wait_file(sink, b"1\n2\n")


@pytest.mark.broker
def test_what_a_store_says_whose_positions_are_elsewhere(worker, source, sink):
    """With a broker the store is a cache; emptying it would be forgotten at the next start."""
    worker.end()
    for store in (worker.store, os.path.join(worker.store, "cluster")):
        done = run_gantry("connector", "reset", "sink", "--store", store)
        assert done.returncode == 1 and "gantry connector reset NAME --namesrv" in done.stderr.decode(), done.stderr
    done = run_gantry("topic", "ls", "--store", worker.store)
    assert done.returncode == 1 and "RocketMQ's tools" in done.stderr.decode(), done.stderr
    done = run_gantry("connector", "reset", "sink", "-c", worker.write_settings(), timeout_s=60)
    assert done.returncode == 0 and b"it will begin anew" in done.stdout, done.stderr
    done = run_gantry("connector", "reset", "sink", "--namesrv", Broker.namesrv, "connectClusterId=nobodys")
    assert done.returncode == 1 and "no cluster nobodys" in done.stderr.decode(), done.stderr


def test_reset_of_what_is_not_there(worker, source, sink):
    worker.end()
    done = worker.reset("nobody")
    assert "nobody" in (done.stderr + done.stdout).decode()
    worker.start()


# --- rotation

def rotated(sink):
    """The renamed files, oldest first."""
    return sorted(name for name in os.listdir(sink.parent) if re.fullmatch(re.escape(sink.name) + r"\.\d{6,}", name))


def whole(sink):
    return b"".join(read(sink.parent / name) for name in rotated(sink)) + read(sink)


def wait_whole(sink, text):
    wait_for(lambda: len(whole(sink)) >= len(text), lambda: f"{len(whole(sink))} of {len(text)} bytes")
    assert whole(sink) == text


def test_output_is_rotated_by_size(worker, source, tmp_path):
    os.mkdir(tmp_path / "d")
    sink = tmp_path / "d" / "out"
    worker.sink("sink", "t", sink, {"rotate.bytes": "1000"})
    text = b"1\n"
    for number in range(5):
        more = lines(100, first=100 * number)
        append(source, more)
        text += more
        wait_whole(sink, text)
    names = rotated(sink)
    assert names[0] == "out.000001" and len(names) >= 4
    for name in names:
        data = read(sink.parent / name)
        assert 900 < len(data) <= 1000 and data.endswith(b"\n")
    worker.restart()
    append(source, lines(300, first=1000))
    wait_whole(sink, text + lines(300, first=1000))


def test_rotation_keeps_as_many_as_told(worker, source, tmp_path):
    os.mkdir(tmp_path / "d")
    sink = tmp_path / "d" / "out"
    append(source, lines(500))
    worker.sink("sink", "t", sink, {"rotate.bytes": "500", "rotate.keep": "2"})
    wait_for(lambda: read(sink).endswith(b"line 499\n"), "the last line")
    wait_for(lambda: len(rotated(sink)) == 2, lambda: f"two files, not {rotated(sink)}")
    assert (b"1\n" + lines(500)).endswith(whole(sink))


def test_a_line_larger_than_the_limit_has_a_file_of_its_own(worker, source, tmp_path):
    os.mkdir(tmp_path / "d")
    sink = tmp_path / "d" / "out"
    append(source, b"x" * 500 + b"\nshort\n")
    worker.sink("sink", "t", sink, {"rotate.bytes": "100"})
    wait_whole(sink, b"1\n" + b"x" * 500 + b"\nshort\n")
    assert read(tmp_path / "d" / "out.000002") == b"x" * 500 + b"\n"


def test_rotation_does_not_take_a_name_of_somebody_else(worker, source, tmp_path):
    os.mkdir(tmp_path / "d")
    sink = tmp_path / "d" / "out"
    write(tmp_path / "d" / "out.000007", b"of somebody else\n")
    append(source, lines(100))
    worker.sink("sink", "t", sink, {"rotate.bytes": "400"})
    wait_for(lambda: read(sink).endswith(b"line 99\n"), "the last line")
    assert read(tmp_path / "d" / "out.000007") == b"of somebody else\n"
    own = [name for name in rotated(sink) if name != "out.000007"]
    assert own[0] == "out.000008"
    assert b"".join(read(sink.parent / name) for name in own) + read(sink) == b"1\n" + lines(100)
