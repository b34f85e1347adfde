# SPDX-License-Identifier: Apache-2.0
"""The file source: what becomes a line, files that grow, are not there yet, are truncated; patterns and limits."""

import os

import pytest

from harness import (Broker, append, lines, read, source_config, wait_file, wait_for, wait_same_lines, write)


@pytest.fixture
def files(tmp_path):
    """Names of the source's and the sink's file."""
    return tmp_path / "in", tmp_path / "out"


def follow(worker, files, config=None):
    worker.pair(*files, config)


# --- lines

def test_the_last_line_without_newline_is_kept_until_complete(worker, files):
    source, sink = files
    write(source, b"one\ntw")
    follow(worker, files)
    wait_file(sink, b"one\n")
    append(source, b"o\nthr")
    wait_file(sink, b"one\ntwo\n")
    worker.restart()
    append(source, b"ee\n")
    wait_file(sink, b"one\ntwo\nthree\n")


def test_line_timeout_gives_it_earlier_and_the_sink_joins(worker, files):
    source, sink = files
    write(source, b"one\ntw")
    follow(worker, files, {"line.timeout.ms": "50"})
    wait_file(sink, b"one\ntw")
    append(source, b"o")
    wait_file(sink, b"one\ntwo")
    worker.restart()
    append(source, b" and more\nnext\n")
    wait_file(sink, b"one\ntwo and more\nnext\n")
    worker.restart()
    append(source, b"last\n")
    wait_file(sink, b"one\ntwo and more\nnext\nlast\n")


def test_a_line_given_in_parts_is_seen_as_such_in_the_topic(worker, files):
    source, sink = files
    write(source, b"half")
    follow(worker, files, {"line.timeout.ms": "20"})
    wait_file(sink, b"half")
    append(source, b" whole\n")
    wait_file(sink, b"half whole\n")
    (first, first_has), (second, second_has) = worker.messages("t")
    assert (first, second) == (b"half", b" whole")
    assert first_has["gantry.line"] == "part"
    assert "gantry.line" not in second_has


@pytest.mark.parametrize("text", [
    b"a\r\nb\r\n", b"\r\r\n", b"\0\n\0\0\n", b"\xff\xfe\xfd\n\x80\n", b"\n\n\n", b"a\rb\n", b"\x1b[31mred\n", b" \n\t\n",
    b"\xef\xbb\xbfbyte order mark\n", b"\xe2\x80\xa8line separator\n\x85next line\n\x0bvt\x0c\n",
], ids=repr)
def test_only_newline_ends_a_line(worker, files, text):
    source, sink = files
    write(source, text)
    follow(worker, files)
    wait_file(sink, text)
    assert len(worker.messages("t")) == text.count(b"\n")


def test_an_empty_file_stays_empty_until_something_comes(worker, files):
    source, sink = files
    write(source, b"")
    follow(worker, files)
    assert worker.status("source") == "runing"
    append(source, b"\n")
    wait_file(sink, b"\n")


# --- lines that are too long

def long_text():
    return b"short 1\n" + b"L" * 2500 + b"\nshort 2\n" + b"e" * 1000 + b"\n" + b"M" * 1001 + b"\nshort 3\n"


def test_a_line_of_the_limit_is_taken(worker, files):
    source, sink = files
    write(source, b"x" * 1000 + b"\n")
    follow(worker, files, {"max.line.bytes": 1000})
    wait_file(sink, b"x" * 1000 + b"\n")


def test_too_long_fails_with_file_and_offset_and_goes_on_with_another_policy(worker, files):
    source, sink = files
    write(source, long_text())
    follow(worker, files, {"max.line.bytes": "1000"})
    why = worker.wait_failed("source", "line of more than")
    assert str(source) in why and "offset 8" in why and "max.line.bytes" in why
    wait_file(sink, b"short 1\n")
    worker.source("source", "t", source, {"max.line.bytes": "1m"})
    wait_file(sink, long_text())


def test_too_long_is_skipped_to_the_dlq_topic(worker, files, tmp_path):
    source, sink = files
    write(source, long_text())
    worker.sink("dead", "letters", tmp_path / "dead")
    follow(worker, files, {"max.line.bytes": "1000", "line.too.long": "skip", "dlq.topic": Broker.topics("letters")})
    wait_file(sink, b"short 1\nshort 2\n" + b"e" * 1000 + b"\nshort 3\n")
    wait_file(tmp_path / "dead", b"L" * 2500 + b"\n" + b"M" * 1001 + b"\n")
    letters = worker.messages("letters")
    assert letters[0][1]["gantry.file"] == str(source)
    assert letters[0][1]["gantry.offset"] == "8"
    assert b"".join(body for body, _ in letters) == b"L" * 2500 + b"M" * 1001
    worker.wait_log("WARN .*line longer than max.line.bytes .*offset=8 ")


def test_the_dlq_topic_has_a_default_name(worker, files, tmp_path):
    source, sink = files
    write(source, b"y" * 50 + b"\nok\n")
    follow(worker, files, {"max.line.bytes": "10", "line.too.long": "skip"})
    wait_file(sink, b"ok\n")
    worker.sink("dead", "t-dlq", tmp_path / "dead")
    wait_file(tmp_path / "dead", b"y" * 50 + b"\n")


def test_too_long_is_cut(worker, files):
    source, sink = files
    write(source, long_text())
    follow(worker, files, {"max.line.bytes": "1000", "line.too.long": "cut"})
    wait_file(sink, b"short 1\n" + b"L" * 1000 + b"\nshort 2\n" + b"e" * 1000 + b"\n" + b"M" * 1000 + b"\nshort 3\n")
    assert [properties.get("gantry.line") for _, properties in worker.messages("t")] == \
        [None, "cut", None, None, "cut", None]


@pytest.mark.parametrize("policy", ["skip", "cut"])
def test_a_long_line_that_grows_slowly_and_over_restarts(worker, files, policy):
    source, sink = files
    write(source, b"a\n")
    follow(worker, files, {"max.line.bytes": "10", "line.too.long": policy})
    wait_file(sink, b"a\n")
    for _ in range(5):
        append(source, b"0123456789")
        worker.restart()
    append(source, b"end\nb\n")
    wait_file(sink, b"a\n0123456789\nb\n" if policy == "cut" else b"a\nb\n")


# --- files that are not there, or come and go

def test_a_file_that_does_not_exist_yet(worker, files):
    source, sink = files
    follow(worker, files)
    assert worker.status("source") == "runing"
    worker.wait_log("waiting for the file to appear")
    write(source, b"one\n")
    wait_file(sink, b"one\n")


def test_a_folder_that_does_not_exist_yet(worker, tmp_path):
    source, sink = tmp_path / "later" / "on" / "in", tmp_path / "out"
    worker.pair(source, sink, {"file.poll.ms": "20"})
    os.makedirs(source.parent)
    write(source, b"one\n")
    wait_file(sink, b"one\n")
    append(source, b"two\n")
    wait_file(sink, b"one\ntwo\n")


def test_a_file_that_is_moved_into_place(worker, files, tmp_path):
    source, sink = files
    follow(worker, files)
    write(tmp_path / "elsewhere", b"one\ntwo\n")
    os.rename(tmp_path / "elsewhere", source)
    wait_file(sink, b"one\ntwo\n")


def test_a_link_to_a_file_in_another_folder(worker, files, tmp_path):
    source, sink = files
    os.mkdir(tmp_path / "far")
    real = write(tmp_path / "far" / "real", b"one\n")
    os.symlink(real, source)
    follow(worker, files)
    wait_file(sink, b"one\n")
    append(real, b"two\n")
    wait_file(sink, b"one\ntwo\n")


# --- where to begin

def test_from_the_end(worker, files):
    source, sink = files
    write(source, lines(100))
    follow(worker, files, {"file.start": "end"})
    worker.wait_running("source")
    append_until_seen(source, sink)
    worker.restart()
    before = read(sink)
    append(source, b"after\n")
    wait_file(sink, before + b"after\n")
    assert b"line 0\n" not in before


def append_until_seen(source, sink):
    """When a source looks for the end the first time cannot be seen; what is written then must come from some line on."""
    sent = []

    def look():
        sent.append(b"new %d\n" % len(sent))
        append(source, sent[-1])
        return read(sink)
    wait_for(look, "a new line")
    wait_for(lambda: read(sink).endswith(sent[-1]), "the last line")
    found = read(sink)
    assert b"".join(sent).endswith(found), found


def test_from_the_end_of_a_file_that_comes_later_is_its_beginning(worker, files):
    source, sink = files
    follow(worker, files, {"file.start": "end"})
    worker.wait_running("source")
    worker.wait_log("waiting for the file to appear")
    worker.end()
    write(source, b"made while the worker was down\n")
    worker.start()
    wait_file(sink, b"made while the worker was down\n")


# --- truncation

def test_truncation_is_noticed_reported_and_read_from_the_start(worker, files):
    source, sink = files
    write(source, b"first line\nsecond line\n")
    follow(worker, files)
    wait_file(sink, b"first line\nsecond line\n")
    os.truncate(source, 0)
    told = worker.wait_log("WARN .*the file was truncated.*").group(0)
    assert str(source) in told and "lost.bytes=0" in told
    append(source, b"new\n")
    wait_file(sink, b"first line\nsecond line\nnew\n")


def test_truncation_is_noticed_when_the_file_has_grown_again(worker, files):
    """Longer than before, within one write, or while the worker was down."""
    source, sink = files
    text = b"old 1\nold 2\n"
    write(source, text)
    follow(worker, files)
    wait_file(sink, text)
    longer = b"new 1 is longer\nnew 2 is longer\n"
    write(source, longer)
    text += longer
    wait_file(sink, text)
    worker.end()
    longest = b"newest 1 is the longest of all\nnewest 2 is the longest of all\n"
    write(source, longest)
    text += longest
    worker.start()
    wait_file(sink, text)
    worker.wait_log("WARN .*the file was truncated")


def test_bytes_known_lost_by_a_truncation_are_told(worker, files):
    """The source waits (its task has failed at a long line), and what it has not read is cut away."""
    source, sink = files
    write(source, b"one\n" + b"x" * 100 + b"\nlost\n")
    follow(worker, files, {"max.line.bytes": "50"})
    wait_file(sink, b"one\n")
    worker.wait_failed("source", "line of more than")
    worker.end()
    write(source, b"two\n")
    worker.start()
    wait_file(sink, b"one\ntwo\n")
    lost = worker.wait_log(r"WARN .*the file was truncated.* position=4 .*lost\.bytes=(\d+)").group(1)
    assert int(lost) == 106


# --- patterns

def test_a_pattern_finds_what_is_there_and_what_comes(worker, tmp_path):
    folder = tmp_path / "logs"
    os.mkdir(folder)
    for name in ("a.log", "b.log", "c.txt", ".hidden.log"):
        write(folder / name, f"{name} 1\n".encode())
    os.mkdir(folder / "folder.log")
    worker.pair(folder / "*.log", tmp_path / "out")
    wait_same_lines(tmp_path / "out", b"a.log 1\nb.log 1\n")
    write(folder / "d.log", b"d.log 1\n")
    append(folder / "a.log", b"a.log 2\n")
    wait_same_lines(tmp_path / "out", b"a.log 1\nb.log 1\nd.log 1\na.log 2\n")
    worker.restart()
    append(folder / "d.log", b"d.log 2\n")
    wait_same_lines(tmp_path / "out", b"a.log 1\nb.log 1\nd.log 1\na.log 2\nd.log 2\n")


def test_patterns_are_divided_among_tasks(worker, tmp_path):
    folder = tmp_path / "logs"
    os.mkdir(folder)
    names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    for name in names:
        write(folder / f"{name}.log", f"{name} 1\n".encode())
    plain = write(tmp_path / "plain", b"plain 1\n")
    worker.source("source", "t", f"{folder}/*.log, {plain}", {"tasks.max": "4"})
    worker.sink("sink", "t", tmp_path / "out")
    expected = b"plain 1\n" + b"".join(f"{name} 1\n".encode() for name in names)
    wait_same_lines(tmp_path / "out", expected)
    assert len(worker.configs()[1]["source"]) == 4
    for name in names + ["kappa"]:
        append(folder / f"{name}.log", f"{name} 2\n".encode())
        expected += f"{name} 2\n".encode()
    wait_same_lines(tmp_path / "out", expected)


def test_brackets_and_question_marks(worker, tmp_path):
    for name in ("in1", "in2", "in3", "in10"):
        write(tmp_path / name, f"{name}\n".encode())
    worker.pair(f"{tmp_path}/in[12]", tmp_path / "out")
    wait_same_lines(tmp_path / "out", b"in1\nin2\n")
    worker.source("source 2", "t2", f"{tmp_path}/in??")
    worker.sink("sink 2", "t2", tmp_path / "out2")
    wait_same_lines(tmp_path / "out2", b"in10\n")


def test_many_files_of_one_pattern(worker, tmp_path):
    folder = tmp_path / "many"
    os.mkdir(folder)
    for number in range(500):
        write(folder / f"f{number}.log", b"file %d\n" % number)
    worker.pair(folder / "*.log", tmp_path / "out", {"tasks.max": "2"})
    wait_same_lines(tmp_path / "out", b"".join(b"file %d\n" % number for number in range(500)))


# --- what is claimed

def test_a_source_of_what_its_sink_writes_is_refused(worker, files, tmp_path):
    source, sink = files
    write(source, b"1\n")
    follow(worker, files)
    wait_file(sink, b"1\n")
    for name in (sink, tmp_path / "." / "out", tmp_path / "o*"):
        why = worker.refuse("circle", source_config("t", name))
        assert "connector sink" in why and "filename" in why
    os.symlink(sink, tmp_path / "link")
    os.link(sink, tmp_path / "hard link")
    for name in ("link", "hard link"):
        assert "connector sink" in worker.refuse("circle", source_config("t", tmp_path / name))
    append(source, b"2\n")
    wait_file(sink, b"1\n2\n")


def test_two_sources_may_read_one_file(worker, files, tmp_path):
    source, sink = files
    write(source, b"1\n")
    follow(worker, files)
    worker.source("source 2", "t2", source)
    worker.sink("sink 2", "t2", tmp_path / "out2")
    append(source, b"2\n")
    wait_file(sink, b"1\n2\n")
    wait_file(tmp_path / "out2", b"1\n2\n")
