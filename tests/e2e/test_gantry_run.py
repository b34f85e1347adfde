# SPDX-License-Identifier: Apache-2.0
"""`gantry run`: the first thing that a user tries."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from harness import Broker, append, binary, lines, read, run_gantry, wait_file, wait_for, write


def common():
    return ["httpPort=0", *(["--namesrv", Broker.namesrv] if Broker.namesrv else [])]


@pytest.fixture
def start(tmp_path):
    """Start `gantry run` with these words in a folder of its own; what it says goes to `said` there."""
    made = []

    def make(*words):
        with open(tmp_path / "said", "wb") as said:
            made.append(subprocess.Popen([binary(), "run", *common(), *map(str, words)], stdin=subprocess.DEVNULL,
                                         stdout=said, stderr=subprocess.STDOUT, cwd=tmp_path))
        return made[-1]
    yield make
    for child in made:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def gantry_run(tmp_path, *words):
    return run_gantry("run", *common(), *words, cwd=tmp_path, timeout_s=60)


def test_one_file_into_another(tmp_path):
    text = lines(5000)
    write(tmp_path / "in", text)
    done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out") == text
    assert b"Everything has arrived: 5,000 records" in done.stdout
    assert done.stderr == b""
    # Plain lines where there is no terminal.
    assert b"\r" not in done.stdout and b"\x1b" not in done.stdout


def test_the_sample(tmp_path):
    sample = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "access.log")
    os.mkdir(tmp_path / "examples")
    write(tmp_path / "examples" / "access.log", read(sample))
    done = gantry_run(tmp_path, "--exit")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "gantry-data" / "out.log") == read(sample) != b""


def test_a_second_run_goes_on(tmp_path):
    write(tmp_path / "in", lines(10))
    for _ in range(2):
        done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit")
        assert done.returncode == 0, done.stderr
        assert read(tmp_path / "out") == lines(10)
    assert b"has everything of" in done.stdout
    append(tmp_path / "in", lines(5, first=10))
    done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit")
    assert done.returncode == 0 and read(tmp_path / "out") == lines(15)
    # Other files on the same store are another topic.
    write(tmp_path / "in2", b"other\n")
    done = gantry_run(tmp_path, "--in", "in2", "--out", "out2", "--exit")
    assert done.returncode == 0 and read(tmp_path / "out2") == b"other\n"
    assert read(tmp_path / "out") == lines(15)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_until_a_signal(start, tmp_path, number):
    write(tmp_path / "in", lines(3))
    child = start("--in", "in", "--out", "out")
    wait_file(tmp_path / "out", lines(3))
    append(tmp_path / "in", lines(3, first=3))
    wait_file(tmp_path / "out", lines(6))
    said = wait_for(lambda: b"Ctrl-C" in read(tmp_path / "said") and read(tmp_path / "said").decode(), "what to try")
    port = re.search(r"127\.0\.0\.1:(\d+)/", said)
    assert port and "curl" in said, said
    with socket.create_connection(("127.0.0.1", int(port.group(1))), 10) as sock:
        sock.sendall(b"GET /getClusterInfo HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b"200" in sock.recv(100)
    child.send_signal(number)
    assert child.wait(20) == 0, read(tmp_path / "said")


def test_the_last_line_without_newline_arrives(tmp_path):
    write(tmp_path / "in", b"one\ntwo")
    done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out") == b"one\ntwo"


def test_an_empty_file(tmp_path):
    write(tmp_path / "in", b"")
    done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out") == b""


def test_quiet_and_figures(tmp_path):
    write(tmp_path / "in", lines(100))
    done = gantry_run(tmp_path, "--in", "in", "--out", "out", "--exit", "--quiet", "--stats-json", "stats")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    stats = json.loads(read(tmp_path / "stats"))
    assert stats["records"] == 100
    assert stats["bytes"] == len(lines(100))


def test_a_port_in_use(tmp_path):
    write(tmp_path / "in", lines(3))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_gantry("run", "--in", "in", "--out", "out", "--exit", f"httpPort={port}", cwd=tmp_path)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 1, said
    assert str(port) in said and "in use" in said and "httpPort" in said


@pytest.mark.parametrize("words, expected", [
    (["--in", "nowhere"], "nowhere"), (["--in", "."], "not a file"), (["--in", "in", "--out", "in"], "same file"),
    (["--in", "in", "--out", "no/such/folder"], "no/such"), (["--in", "in", "--out", "."], "not a file"),
    (["--inn", "in"], "--in"), (["log.compression=gzip"], "gzip"), (["in", "out"], "one word too many"),
])
def test_what_cannot_be(tmp_path, words, expected):
    write(tmp_path / "in", b"1\n")
    done = gantry_run(tmp_path, *words, "--exit")
    assert done.returncode in (1, 2)
    assert expected in done.stderr.decode(), done.stderr
    assert read(tmp_path / "in") == b"1\n"


def test_a_source_that_fails_is_told(start, tmp_path):
    """A line that is too long for the default limit."""
    write(tmp_path / "in", b"x" * (2 << 20) + b"\n")
    child = start("--in", "in", "--out", "out", "--exit")
    wait_for(lambda: b"max.line.bytes" in read(tmp_path / "said"), "the reason")
    wait_for(lambda: b"does not run" in read(tmp_path / "said"), "the state")
    assert b"gantry connector reset" in read(tmp_path / "said")
    child.send_signal(signal.SIGINT)
    child.wait(20)


@pytest.mark.broker
def test_two_runs_share_a_broker_and_nothing_else(start, tmp_path):
    """Each store is a cluster and a topic of its own, although both read the same file."""
    write(tmp_path / "in", lines(100))
    for number in range(2):
        done = gantry_run(tmp_path, "--in", "in", "--out", f"out{number}", f"storePathRootDir=store{number}", "--exit")
        assert done.returncode == 0, done.stderr
        assert b"Everything has arrived: 100 records" in done.stdout
    assert read(tmp_path / "out0") == read(tmp_path / "out1") == lines(100)
    # What a connector that does not run says to do can be done as it stands.
    os.truncate(tmp_path / "out0", 3)
    append(tmp_path / "in", b"more\n")
    child = start("--in", "in", "--out", "out0", "storePathRootDir=store0", "--exit")
    said = wait_for(lambda: re.search(rb"run: gantry (connector reset .*)", read(tmp_path / "said")), "what to do")
    child.send_signal(signal.SIGINT)
    child.wait(20)
    done = run_gantry(*[word.strip("'") for word in said.group(1).decode().split()], timeout_s=60)
    assert done.returncode == 0 and b"it will begin anew" in done.stdout, done.stderr
    done = gantry_run(tmp_path, "--in", "in", "--out", "out0", "storePathRootDir=store0", "--exit")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out0") == lines(100)[:3] + lines(100) + b"more\n"


def test_a_broker_that_is_not_there_is_told(start, tmp_path):
    write(tmp_path / "in", lines(3))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        child = start("--in", "in", "--out", "out", "--namesrv", address)
        wait_for(lambda: b"cannot reach the cluster log" in read(tmp_path / "said"), "the reason")
        assert address.encode() in read(tmp_path / "said")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0, read(tmp_path / "said")
