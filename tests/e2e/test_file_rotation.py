# SPDX-License-Identifier: Apache-2.0
"""Files that are rotated under the source: nothing is lost, nothing comes twice, also while the worker is down."""

import os
import shutil
import subprocess
import sys

import pytest

from harness import append, lines, read, wait_file, wait_for, wait_same_lines


class Log:
    """A program's log, rotated by renaming: app.log, app.log.1 (the youngest of the old), app.log.2 ..."""

    def __init__(self, folder):
        self.path = folder / "app.log"
        self.folder = folder
        self.text = b""
        self.line = 0

    def write(self, count=1):
        added = b"".join(b"line %d\n" % number for number in range(self.line, self.line + count))
        self.line += count
        append(self.path, added)
        self.text += added

    def rotate(self):
        number = 1
        while os.path.exists(self.old(number)):
            number += 1
        for k in range(number, 1, -1):
            os.rename(self.old(k - 1), self.old(k))
        os.rename(self.path, self.old(1))

    def old(self, number):
        return f"{self.path}.{number}"


@pytest.fixture
def log(tmp_path):
    os.mkdir(tmp_path / "log")
    return Log(tmp_path / "log")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_rename_and_create(worker, log, out):
    log.write(10)
    worker.pair(log.path, out)
    for _ in range(5):
        wait_file(out, log.text)
        log.rotate()
        log.write(3)
    wait_file(out, log.text)


def test_many_rotations_in_a_burst(worker, log, out):
    log.write(10)
    worker.pair(log.path, out)
    for _ in range(30):
        log.rotate()
        log.write(5)
    wait_file(out, log.text)


def test_late_lines_into_the_renamed_file(worker, log, out):
    """A program that keeps its file open writes on into the renamed one; what comes there is first."""
    log.write(2)
    worker.pair(log.path, out)
    wait_file(out, log.text)
    with open(log.path, "ab", buffering=0) as held:
        log.rotate()
        held.write(b"late 1\n")
        log.text += b"late 1\n"
        wait_file(out, log.text)
        held.write(b"late 2\n")
        log.text += b"late 2\n"
        wait_file(out, log.text)
    log.write(1)
    wait_file(out, log.text)


def test_a_new_file_waits_for_the_writer_of_the_old_one(worker, log, out):
    """Another process has the old file open: lines of the new one do not overtake its last ones."""
    log.write(1)
    worker.pair(log.path, out, {"file.rotate.wait.ms": "60000"})
    wait_file(out, log.text)
    program = "import sys\nf = open(sys.argv[1], 'ab', 0)\nprint('open', flush=True)\n" \
              "sys.stdin.readline()\nf.write(b'last of the old\\n')\n"
    with subprocess.Popen([sys.executable, "-c", program, log.path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        log.rotate()
        append(log.path, b"first of the new\n")
        holder.stdin.write(b"go\n")
        holder.stdin.flush()
        holder.wait()
    wait_file(out, log.text + b"last of the old\nfirst of the new\n")


def test_a_writer_that_stays_holds_it_up_for_a_while_only(worker, log, out):
    log.write(1)
    worker.pair(log.path, out, {"file.rotate.wait.ms": "100"})
    wait_file(out, log.text)
    with open(log.path, "ab"):
        log.rotate()
        log.write(1)
        wait_file(out, log.text)


def test_an_incomplete_last_line_of_a_rotated_file_is_a_line(worker, log, out):
    log.write(1)
    append(log.path, b"incomplete")
    worker.pair(log.path, out)
    wait_file(out, log.text)
    log.rotate()
    append(log.path, b"new\n")
    wait_file(out, log.text + b"incomplete\nnew\n")


@pytest.mark.parametrize("rotations", [1, 2, 7])
def test_rotations_while_the_worker_is_down(worker, log, out, rotations):
    log.write(10)
    worker.pair(log.path, out)
    wait_file(out, log.text)
    log.write(5)
    worker.end()
    for _ in range(rotations):
        log.write(4)
        log.rotate()
        log.write(2)
    worker.start()
    wait_file(out, log.text)
    log.rotate()
    log.write(1)
    wait_file(out, log.text)


def test_rotation_while_down_and_nothing_new_yet(worker, log, out):
    log.write(10)
    worker.pair(log.path, out)
    wait_file(out, log.text)
    worker.end()
    log.write(1)
    log.rotate()
    worker.start()
    wait_file(out, log.text)
    log.write(1)
    wait_file(out, log.text)


def test_names_with_dates(worker, log, out):
    """app.log becomes app.log-20260101, then app.log-20260102: the larger number is the younger."""
    log.write(3)
    worker.pair(log.path, out)
    wait_file(out, log.text)
    worker.end()
    for day in (1, 2, 3):
        log.write(2)
        os.rename(log.path, f"{log.path}-2026010{day}")
        log.write(1)
    worker.start()
    wait_file(out, log.text)


def test_old_files_are_deleted_after_they_were_read(worker, log, out):
    log.write(3)
    worker.pair(log.path, out)
    for _ in range(5):
        wait_file(out, log.text)
        log.rotate()
        log.write(2)
        wait_file(out, log.text)
        os.remove(log.old(1))
    wait_file(out, log.text)


def test_a_file_that_is_gone_before_it_was_read_is_reported(worker, log, out):
    log.write(3)
    worker.pair(log.path, out)
    wait_file(out, log.text)
    worker.end()
    log.write(1)
    os.remove(log.path)
    append(log.path, b"new file\n")
    worker.start()
    told = worker.wait_log("WARN .*the file read before is gone.*|INFO .*the file read before is gone.*").group(0)
    assert str(log.path) in told and "lost.bytes=" in told
    wait_for(lambda: read(out).endswith(b"new file\n"), "the new file's line")
    assert read(out) == b"line 0\nline 1\nline 2\nnew file\n"


def test_copy_and_truncate(worker, log, out):
    """logrotate's copytruncate: the copy is not read a second time."""
    log.write(20)
    worker.pair(log.path, out)
    for _ in range(4):
        wait_file(out, log.text)
        shutil.copyfile(log.path, log.old(1))
        os.truncate(log.path, 0)
        log.write(2)
    wait_file(out, log.text)


def test_delete_and_create(worker, log, out):
    log.write(3)
    worker.pair(log.path, out)
    for _ in range(5):
        wait_file(out, log.text)
        os.remove(log.path)
        log.write(2)
    wait_file(out, log.text)


def test_a_pattern_with_rotation(worker, log, out):
    """app.log* takes app.log.1 and so on as what they are: app.log's past."""
    log.write(5)
    other = log.folder / "web.log"
    append(other, b"web 1\n")
    worker.pair(log.folder / "*.log*", out, {"tasks.max": "2"})
    wait_same_lines(out, log.text + b"web 1\n")
    for _ in range(4):
        log.rotate()
        log.write(3)
    append(other, b"web 2\n")
    wait_same_lines(out, log.text + b"web 1\nweb 2\n")
    worker.end()
    log.write(2)
    log.rotate()
    log.write(2)
    os.rename(other, f"{other}.1")
    append(other, b"web 3\n")
    worker.start()
    wait_same_lines(out, log.text + b"web 1\nweb 2\nweb 3\n")
    mine = b"".join(line for line in read(out).splitlines(True) if line.startswith(b"line"))
    assert mine == log.text


def test_the_past_is_read_first_by_a_pattern(worker, log, out):
    """At the very first start app.log.2 and app.log.1 come before app.log."""
    for _ in range(3):
        log.write(5)
        log.rotate()
    log.write(5)
    worker.pair(f"{log.path}*", out)
    wait_file(out, log.text)


def test_a_large_backlog_with_rotation_and_restarts(worker, log, out):
    append(log.path, lines(150000, width=50))
    text = lines(150000, width=50)
    worker.pair(log.path, out)
    for number in range(3):
        wait_for(lambda: os.path.exists(out), "some of it has arrived")
        os.rename(log.path, f"{log.path}.{3 - number}")
        more = lines(20000, first=200000 + number * 20000)
        append(log.path, more)
        text += more
        worker.restart()
    wait_file(out, text)
