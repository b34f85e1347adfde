# SPDX-License-Identifier: Apache-2.0
"""Plugins in hosts: what a plugin does to itself reaches neither the worker nor other connectors, is told with its reason,
and costs no record. tests/hosts/bad.c misbehaves in each way on purpose."""

import ctypes
import os
import platform
import re
import signal
import subprocess
import time

import pytest

from harness import Broker, append, binary, lines, read, wait_file, wait_for, write

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
NUMBERS = b"".join(b"%d\n" % number for number in range(1000))
SLOWER = 4 if "san" in os.path.basename(os.path.dirname(binary())) else 1  # TSan lets each exit take a second
QUICK = {"host_call_timeout_ms": 600 * SLOWER, "host_beat_ms": 50, "host_beat_timeout_ms": 1500 * SLOWER, "host_start_timeout_ms": 8000 * SLOWER}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder that holds bad.so."""
    folder = tmp_path_factory.mktemp("bad")
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-shared", "-fPIC", "-I", os.path.join(TOP, "include"),
                    os.path.join(TOP, "tests", "hosts", "bad.c"), "-o", str(folder / "bad.so")], check=True, timeout=120)
    return str(folder)


def source(worker, **keys):
    worker.create("badsource", {"connector-class": "test.BadSource", "topic": Broker.topics("b"),
                                "source-record-converter": "string", **{f"bad.{key}": str(value) for key, value in keys.items()}})


def sink(worker, path, topic="b", name="badsink", **keys):
    worker.create(name, {"connector-class": "test.BadSink", "topicNames": Broker.topics(topic), "bad.file": str(path),
                              "source-record-converter": "string", **{f"bad.{key}": str(value) for key, value in keys.items()}})


def hosts(worker):
    """The processes that run plugins for this worker."""
    return hosts_of(worker, " host")


def hosts_of(worker, words):
    done = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(worker.process.pid)], stdout=subprocess.PIPE, text=True, check=False)
    return [int(line.split()[0]) for line in done.stdout.splitlines() if words in line]


@pytest.fixture
def worker(worker, bad):
    worker.end()
    worker.set(pluginPaths=bad, **QUICK)
    return worker.start()


@pytest.fixture
def others(worker, tmp_path):
    """Connectors beside: they go on whatever happens. Call it to see that they do."""
    write(tmp_path / "in", lines(10))
    worker.pair(tmp_path / "in", tmp_path / "out", topic="other")
    state = {"count": 10}

    def go_on():
        append(tmp_path / "in", lines(10, first=state["count"]))
        state["count"] += 10
        wait_file(tmp_path / "out", lines(state["count"]))
        assert worker.alive()
    return go_on


# What is said of each way to misbehave; what is ended for being slow says the setting.
REASONS = {
    "segv": r"host bad\.so was ended by signal 11",
    "abort": r"host bad\.so was ended by signal 6",
    "exit": r"host bad\.so exited with code 3",
    "say-and-exit": r"host bad\.so exited with code 4; its last words: .*these are my last words",
    "loop": r"host bad\.so .*host\.call\.timeout\.ms",
    "sleep": r"host bad\.so .*host\.call\.timeout\.ms",
    "close": r"host bad\.so (closed its line|exited with code (74|66|0))",  # 66: TSan has seen it
    "garbage": r"host bad\.so broke the protocol: a frame of 1213486160 bytes",
    "stop-self": r"host bad\.so gave no sign of life",
}
CASES = [(where, how) for how in ("segv", "loop") for where in ("start", "poll", "committed")]
CASES += [("start", "exit")] + [("poll", how) for how in ("abort", "exit", "say-and-exit", "close", "garbage", "stop-self", "sleep")]


@pytest.mark.parametrize("where, how", CASES)
def test_a_bad_source(worker, others, tmp_path, where, how):
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where=where, how=how, once=tmp_path / "once", limit=1000)
    worker.wait_failed("badsource", REASONS[how])
    wait_file(tmp_path / "numbers", NUMBERS)
    others()


CASES = [(where, how) for how in ("segv", "loop") for where in ("start", "put", "checkpoint", "flush", "committed", "caught_up")]
CASES += [("put", how) for how in ("abort", "exit", "close", "garbage", "stop-self", "sleep")]


@pytest.mark.parametrize("where, how", CASES)
def test_a_bad_sink(worker, others, tmp_path, where, how):
    worker.source("good", "b", write(tmp_path / "numbers", NUMBERS))
    sink(worker, tmp_path / "written", where=where, how=how, once=tmp_path / "once")
    worker.wait_failed("badsink", REASONS[how])
    wait_file(tmp_path / "written", NUMBERS)
    others()


@pytest.mark.parametrize("how, reason", [("segv", "signal 11"), ("sleep", "host.call.timeout.ms"), ("exit", "code 3")])
@pytest.mark.parametrize("where", ["validate", "split"])
def test_bad_checks_refuse_the_configuration(worker, others, tmp_path, where, how, reason):
    config = {"connector-class": "test.BadSource", "topic": Broker.topics("b"), "source-record-converter": "string",
              "bad.where": where, "bad.how": how, "bad.once": str(tmp_path / "once"), "bad.limit": "1000"}
    assert reason in worker.refuse("badsource", config)
    worker.sink("good", "b", tmp_path / "numbers")
    worker.create("badsource", config)
    wait_file(tmp_path / "numbers", NUMBERS)
    others()


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize("where, reason", [("validate", "bad.how: is wrong"), ("split", "cannot set what is nothing")])
def test_checks_that_say_nothing(worker, where, reason, isolation):
    config = {"connector-class": "test.BadSource", "topic": Broker.topics("b"), "source-record-converter": "string",
              "isolation": isolation, "bad.where": where, "bad.how": "nonsense"}
    assert reason in worker.refuse("badsource", config)
    assert worker.alive()


def test_findings_come_from_the_host(worker):
    assert "cannot be refuse" in worker.refuse("badsource", {"connector-class": "test.BadSource", "topic": "b",
                                                             "source-record-converter": "string", "bad.how": "refuse"})
    assert "bad.limit" in worker.refuse("badsource", {"connector-class": "test.BadSource", "topic": "b",
                                                      "source-record-converter": "string", "bad.limit": "x"})


@pytest.mark.parametrize("how", ["segv", "sleep", "exit", "garbage"])
def test_a_plugin_that_cannot_be_loaded_harms_nothing(worker, tmp_path, how):
    worker.restart(connectors_bad_load=how)
    worker.wait_log(r"bad\.so.*host bad\.so")
    worker.pair(write(tmp_path / "in", lines(10)), tmp_path / "out")
    wait_file(tmp_path / "out", lines(10))


def test_blocking_in_stop_does_not_hold_up_the_worker(worker, tmp_path):
    worker.restart(shutdown_timeout_ms=3000, host_call_timeout_ms=60000)
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where="stop", how="sleep", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    worker.end()
    assert "had not stopped its tasks when the worker ended" in worker.log()


def test_a_stop_that_blocks_ends_with_the_host(worker, others, tmp_path):
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where="stop", how="loop", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    worker.stop_connector("badsource")
    assert "host.call.timeout.ms" in worker.log()
    others()


def test_a_poll_that_never_returns_ends_with_the_host(worker, others):
    """A native connector says that it does not block: so nothing has to wait for it."""
    source(worker, where="poll", how="sleep", limit=1000)
    worker.wait_failed("badsource", "host.call.timeout.ms")
    worker.stop_connector("badsource")
    others()


def test_a_leak_ends_with_the_host(worker, others, tmp_path):
    worker.restart(host_memory_max="100m", host_call_timeout_ms=60000)
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where="poll", how="leak", once=tmp_path / "once", limit=1000)
    worker.wait_failed("badsource", r"host\.memory\.max")
    wait_file(tmp_path / "numbers", NUMBERS)
    others()


@pytest.mark.parametrize("how, line", [("flood", "flood 0 host=bad.so"), ("flood-log", "flood by log"),
                                       ("stdout", "this goes to standard output host=bad.so")])
def test_what_a_plugin_says_is_in_the_log_and_bounded(worker, others, tmp_path, how, line):
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where="poll", how=how, once=tmp_path / "once", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    worker.wait_log(re.escape(line))
    if how != "stdout":
        worker.wait_log(r"\d+ lines dropped, more than 200 a second \(host\.log\.lines\) host=bad\.so")
        assert worker.log().count("flood") < 5000
    others()


def test_what_a_plugin_has_started_ends_with_its_host(worker, others, tmp_path):
    def children():
        return subprocess.run(["pgrep", "-f", "sleep 4242"], stdout=subprocess.PIPE, check=False).stdout.split()
    before = children()
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where="start", how="fork", once=tmp_path / "once", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    assert len(children()) > len(before)
    os.kill(hosts(worker)[0], signal.SIGKILL)
    worker.wait_failed("badsource", "signal 9")
    wait_for(lambda: len(children()) <= len(before), "the child has ended")
    others()


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_nonsense_is_told(worker, others, tmp_path, kind):
    if kind == "source":
        worker.sink("good", "b", tmp_path / "numbers")
        source(worker, where="poll", how="nonsense", once=tmp_path / "once", limit=1000)
        worker.wait_failed("badsource", "mark covers 12345 records of a batch of 0")
        wait_file(tmp_path / "numbers", NUMBERS)
    else:
        worker.source("good", "b", write(tmp_path / "numbers", NUMBERS))
        sink(worker, tmp_path / "written", where="put", how="nonsense", once=tmp_path / "once")
        worker.wait_failed("badsink", "took no record and asked for nothing")
        wait_file(tmp_path / "written", NUMBERS)
    others()


def test_hosts_end_with_a_worker_that_is_killed(worker, tmp_path):
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    pids = hosts(worker)
    assert pids
    worker.kill()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the hosts have ended")
    worker.start()


def test_a_host_that_nobody_needs_ends_and_comes_back(worker, tmp_path):
    worker.restart(host_idle_ms=200)
    wait_for(lambda: not hosts(worker), "the host has ended")
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    assert len(hosts_of(worker, "gantry host bad.so")) == 1


def test_a_host_for_each_connector(worker, tmp_path):
    worker.restart(host_share="connector")
    source(worker, limit=1000)
    sink(worker, tmp_path / "written")
    wait_file(tmp_path / "written", NUMBERS)
    shown = subprocess.run(["ps", "-o", "comm=,args=", "--ppid", str(worker.process.pid)], stdout=subprocess.PIPE, text=True, check=False)
    found = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert [found.count(f"gantry-host gantry host bad.so/{name}") for name in ("badsource", "badsink")] == [1, 1], found
    os.kill(hosts_of(worker, "host bad.so/badsink")[0], signal.SIGKILL)
    worker.wait_failed("badsink", r"host bad\.so/badsink was ended by signal 9")


def test_an_isolation_of_none_needs_no_host(worker, tmp_path):
    worker.restart(host_idle_ms=200)
    worker.create("badsource", {"connector-class": "test.BadSource", "topic": Broker.topics("b"), "isolation": "none",
                                "source-record-converter": "string"})
    worker.sink("good", "b", tmp_path / "numbers")
    wait_file(tmp_path / "numbers", NUMBERS)
    wait_for(lambda: not hosts(worker), "no host")


def test_records_without_a_value_and_large_ones(worker, tmp_path):
    size = 3 << 20  # a broker takes messages up to 4 MiB
    source(worker, limit=100, null="true", large=size)
    sink(worker, tmp_path / "written", headers="true")
    first = b"0" + b"\0" + b"x" * (size - 2) + b"\n"
    expected = first + b"".join(b" gantry-null\n" if number % 10 == 9 else b"%d\n" % number for number in range(1, 100))
    wait_file(tmp_path / "written", expected)


@pytest.mark.parametrize("where", ["process", "none"])
def test_what_a_sink_lays_aside_is_in_its_topic_once(worker, tmp_path, where):
    """Also over a host that is killed, for it is committed together with the sink's progress."""
    keys = {"connector-class": "test.BadSink", "topicNames": Broker.topics("b"), "bad.file": str(tmp_path / "written"), "bad.aside": "7",
            "isolation": where, "source-record-converter": "string"}
    assert "itself reads" in worker.refuse("badsink", {**keys, "errors.deadletterqueue.topic.name": Broker.topics("b")})
    assert "is not allowed" in worker.refuse("badsink", {**keys, "errors.deadletterqueue.topic.name": "a.b"})
    worker.create("badsink", keys)
    source(worker, limit=100000)
    worker.wait_failed("badsink", "errors.deadletterqueue.topic.name is not set")
    worker.create("badsink", {**keys, "errors.deadletterqueue.topic.name": Broker.topics("dead")})
    for _ in range(3 if where == "process" else 0):
        size = len(read(tmp_path / "written"))
        wait_for(lambda: len(read(tmp_path / "written")) > size + 1000 or size > 400000, "more in the file")
        for pid in hosts(worker):
            os.kill(pid, signal.SIGKILL)
    numbers = [b"%d" % number for number in range(100000)]
    wait_file(tmp_path / "written", b"".join(number + b"\n" for number in numbers if not number.endswith(b"7")), 60)
    expected = [number for number in numbers if number.endswith(b"7")]
    wait_for(lambda: len(worker.bodies("dead")) >= len(expected), "what was laid aside")
    assert sorted(worker.bodies("dead")) == sorted(expected)


def test_batches_of_many_records_are_one(worker, tmp_path):
    """A batch of more records than a frame takes is committed at once: stopped at any time, nothing comes twice."""
    numbers = b"".join(b"%d\n" % number for number in range(200000))
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, limit=200000, batch=20000)
    for _ in range(3):
        length = len(read(tmp_path / "numbers"))
        wait_for(lambda: len(read(tmp_path / "numbers")) > length or read(tmp_path / "numbers") == numbers, "some more")
        worker.restart()
    wait_file(tmp_path / "numbers", numbers)


def test_a_batch_that_is_too_large_fails_its_task_alone(worker, others):
    worker.restart(host_record_max="1m")
    source(worker, limit=100000, batch=100000)
    worker.wait_failed("badsource", r"the batch up to it, is too large \(host\.record\.max\)")
    assert "broke the protocol" not in worker.log()
    others()


def test_the_environment_of_a_host(worker, bad, tmp_path):
    worker.end()
    worker.environment.update(SECRET_OF_MINE="no", LC_TIME="C")
    worker.set(host_env="PATH,LC_*,GIVEN=yes", host_files_max=150)
    worker.start()
    source(worker, limit=10)
    pid = wait_for(lambda: hosts(worker), "a host")[0]
    found = dict(item.split("=", 1) for item in read(f"/proc/{pid}/environ").decode().split("\0") if "=" in item)
    assert found.get("GIVEN") == "yes" and found.get("LC_TIME") == "C" and "PATH" in found
    assert "SECRET_OF_MINE" not in found and "HOME" not in found
    status = read(f"/proc/{pid}/status").decode()
    assert re.search(r"NoNewPrivs:\s+1", status)
    limits = read(f"/proc/{pid}/limits").decode()
    assert re.search(r"Max core file size +0 +0 ", limits) and re.search(r"Max open files +150 +150 ", limits), limits
    assert int(read(f"/proc/{pid}/oom_score_adj")) >= 500


def test_a_worker_without_standard_input(worker, tmp_path):
    """No file of the worker's gets its number."""
    worker.end()
    worker.prefix = ["sh", "-c", 'exec "$@" <&-', "sh"]
    worker.start()
    assert os.readlink(f"/proc/{worker.process.pid}/fd/0") == "/dev/null"
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)


def test_a_host_inherits_no_descriptor(worker, tmp_path):
    worker.end()
    with open(tmp_path / "secret", "wb") as secret:
        worker.pass_fds = (secret.fileno(),)
        worker.start()
    source(worker, limit=10)
    pid = wait_for(lambda: hosts(worker), "a host")[0]
    worker.wait_running("badsource")

    def targets(process):
        return [os.readlink(entry.path) for entry in os.scandir(f"/proc/{process}/fd")]
    assert str(tmp_path / "secret") in targets(worker.process.pid)
    kinds = sorted(re.sub(r":\[\d+\]", "", target) for target in targets(pid))
    assert kinds == ["/dev/null", "pipe", "pipe", "socket"]


def test_host_refuses_to_be_started_by_hand():
    done = subprocess.run([binary(), "host"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert done.returncode == 2 and b"by a worker only" in done.stderr


PYTHON = os.path.join(TOP, "examples", "host-python")


def python_counter(worker, count):
    worker.create("counter", {"connector-class": "example.PythonCounter", "topic": Broker.topics("p"), "count": str(count),
                              "source-record-converter": "string"})


def python_pair(worker, out, count):
    python_counter(worker, count)
    worker.create("lines", {"connector-class": "example.PythonFile", "topicNames": Broker.topics("p"), "path": str(out),
                            "source-record-converter": "string"})


def test_a_host_in_another_language(worker, tmp_path):
    worker.restart(pluginPaths=PYTHON)
    worker.wait_log(r"python host \S+ ready host=python\.plugin")
    assert "give an absolute path" in worker.refuse("lines", {"connector-class": "example.PythonFile", "topicNames": "p", "path": "x",
                                                              "source-record-converter": "string"})
    python_pair(worker, tmp_path / "out", 20000)
    for _ in range(5):
        wait_for(lambda: len(read(tmp_path / "out")) > 0, "something is there")
        for pid in hosts_of(worker, "host.py"):
            os.kill(pid, signal.SIGKILL)
        worker.wait_log("signal 9")
    wait_file(tmp_path / "out", b"".join(b"%d\n" % number for number in range(20000)))
    worker.restart()
    python_counter(worker, 21000)
    wait_file(tmp_path / "out", b"".join(b"%d\n" % number for number in range(21000)))


def test_a_program_that_says_nothing_is_ended(worker, tmp_path):
    write(tmp_path / "silent.plugin", b"command=sleep 1000\n")
    worker.restart(pluginPaths=tmp_path / "silent.plugin", host_start_timeout_ms=500)
    worker.wait_log(r"silent\.plugin.*did not say HELLO within 500 ms \(host\.start\.timeout\.ms\)")


def test_restarts_of_what_ends_its_host_are_limited(worker, others):
    worker.restart(task_restart_backoff_ms=1, task_restart_max=2)
    source(worker, where="start", how="say-and-exit")
    worker.wait_log("no further restart connector=badsource restarts=2")
    assert len(re.findall("task FAILED connector=badsource.*these are my last words", worker.log())) == 3
    others()


@pytest.mark.parametrize("where", ["start", "stop"])
def test_a_start_and_a_stop_that_take_their_time(worker, tmp_path, where):
    worker.sink("good", "b", tmp_path / "numbers")
    source(worker, where=where, how="late", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    worker.stop_connector("badsource")
    assert "host.call.timeout.ms" not in worker.log() and "FAILED" not in worker.log()


def test_a_manifest_that_is_wrong_is_refused(worker, tmp_path):
    folder = tmp_path / "wrong"
    folder.mkdir()
    write(folder / "none.plugin", b"protocol=1\n")
    write(folder / "version.plugin", b"command=true\nprotocol=7\n")
    write(folder / "missing.plugin", b"command=there-is-no-such-program\n")
    write(folder / "early.plugin", b"command=sh -c exit\n")
    worker.restart(pluginPaths=folder)
    worker.wait_log(r"none\.plugin.*no key `command`")
    worker.wait_log(r"version\.plugin.*protocol=7: this worker speaks version 1")
    worker.wait_log(r"missing\.plugin.*there-is-no-such-program: No such file or directory")
    worker.wait_log(r"early\.plugin.*exited with code")


def test_the_sandbox(worker, tmp_path):
    """With host.landlock a host writes where it may and nowhere else; with host.seccomp it runs as before."""
    for name in ("may", "may-not"):
        (tmp_path / name).mkdir()
    victim = write(tmp_path / "may-not" / "victim", b"1234")
    worker.restart(host_seccomp="true", host_env=f"PATH,BAD_VICTIM={victim}")
    worker.source("good", "b", write(tmp_path / "numbers", NUMBERS))
    sink(worker, tmp_path / "may" / "seccomp", where="start", how="rights")
    for line in ("truncate: done", "kill: done", "ptrace: Operation not permitted", "other number: Operation not permitted"):
        if platform.machine() == "x86_64" or not line.startswith("other"):
            worker.wait_log(line)
    write(victim, b"1234")
    wait_file(tmp_path / "may" / "seccomp", NUMBERS)
    assert re.search(r"Seccomp:\s+2", read(f"/proc/{hosts(worker)[0]}/status").decode())
    worker.stop_connector("badsink")
    worker.set(host_landlock="true", host_paths_write=tmp_path / "may")
    worker.restart()
    if "this kernel has no Landlock" in worker.log():
        pytest.skip("this kernel has no Landlock")
    sink(worker, tmp_path / "may-not" / "written", name="outside")
    worker.wait_failed("outside", "cannot open")
    sink(worker, tmp_path / "may" / "written", name="inside", where="start", how="rights")
    wait_file(tmp_path / "may" / "written", NUMBERS)
    version = ctypes.CDLL(None).syscall(444, None, 0, 1)  # landlock_create_ruleset()
    if version >= 3:
        worker.wait_log("truncate: Permission denied")
        assert read(victim) == b"1234"
    if version >= 6:
        worker.wait_log("kill: Operation not permitted")


# --- In the worker (isolation none): what can be survived there is


@pytest.fixture
def inside(worker):
    """Plugins run in the worker."""
    return worker.restart(plugin_isolation="none", task_call_timeout_ms=600 * SLOWER)


NOT_BACK = r"%s\(\) does not come back \(task\.call\.timeout\.ms\)"


@pytest.mark.parametrize("where", ["start", "poll", "committed"])
def test_a_source_that_hangs_in_the_worker(inside, others, tmp_path, where):
    """Others go on, on all threads; nothing of the late call counts; then the task starts again by itself."""
    inside.sink("good", "b", tmp_path / "numbers")
    source(inside, where=where, how="hang", once=tmp_path / "once", limit=1000)
    inside.wait_failed("badsource", NOT_BACK % ("task_start" if where == "start" else where))
    for _ in range(3):
        others()
    write(tmp_path / "once.go", b"")
    wait_file(tmp_path / "numbers", NUMBERS)
    inside.wait_log("has come back that was given up.* connector=badsource")
    others()


@pytest.mark.parametrize("where", ["start", "put", "checkpoint", "flush", "committed", "caught_up"])
def test_a_sink_that_hangs_in_the_worker(inside, others, tmp_path, where):
    inside.source("good", "b", write(tmp_path / "numbers", NUMBERS))
    sink(inside, tmp_path / "written", where=where, how="hang", once=tmp_path / "once")
    inside.wait_failed("badsink", NOT_BACK % ("task_start" if where == "start" else where))
    for _ in range(3):
        others()
    write(tmp_path / "once.go", b"")
    wait_file(tmp_path / "written", NUMBERS)
    others()


@pytest.mark.parametrize("where", ["poll", "stop"])
def test_what_hangs_in_the_worker_can_be_stopped(inside, others, tmp_path, where):
    """It is gone, but nothing of its name starts before the call has come back."""
    inside.sink("good", "b", tmp_path / "numbers")
    keys = {"where": where, "how": "hang", "once": tmp_path / "once"}
    source(inside, limit=1000, **keys)
    if where == "stop":
        wait_file(tmp_path / "numbers", NUMBERS)
    else:
        inside.wait_failed("badsource", NOT_BACK % "poll")
    inside.stop_connector("badsource")
    config = {"connector-class": "test.BadSource", "topic": Broker.topics("b"), "source-record-converter": "string",
              "bad.limit": "1500"}
    assert "has not come back" in inside.refuse("badsource", config)
    others()
    write(tmp_path / "once.go", b"")
    inside.wait_log("that was left behind has come back connector=badsource")
    inside.create("badsource", config)
    wait_file(tmp_path / "numbers", b"".join(b"%d\n" % number for number in range(1500)))
    others()


def test_a_source_that_says_that_it_waits_may_until_it_is_to_stop(inside, others, tmp_path):
    inside.sink("good", "b", tmp_path / "numbers")
    config = {"connector-class": "test.BadWaiting", "topic": Broker.topics("b"), "source-record-converter": "string", "bad.limit": "1000",
              "bad.where": "poll", "bad.how": "hang", "bad.once": str(tmp_path / "once")}
    inside.create("waits", config)
    wait_file(tmp_path / "numbers", b"".join(b"%d\n" % number for number in range(100)))
    time.sleep(1.5 * SLOWER)  # longer than any other call may take
    others()
    inside.wait_running("waits")
    inside.stop_connector("waits")
    inside.wait_log("left behind connector=waits")
    others()


def test_another_configuration_waits_for_what_hangs_in_the_worker(inside, others, tmp_path):
    """The old call may still be at work outside: the new tasks begin when it has come back, by themselves."""
    inside.sink("good", "b", tmp_path / "numbers")
    source(inside, limit=1000, where="poll", how="hang", once=tmp_path / "once")
    inside.wait_failed("badsource", NOT_BACK % "poll")
    source(inside, limit=1500)
    inside.wait_cannot_run("badsource", "has not come back")
    others()
    wait_file(tmp_path / "numbers", b"".join(b"%d\n" % number for number in range(100)))  # of the first batch
    write(tmp_path / "once.go", b"")
    wait_file(tmp_path / "numbers", b"".join(b"%d\n" % number for number in range(1500)))
    inside.wait_running("badsource")


@pytest.mark.parametrize("where", ["validate", "split"])
def test_checks_that_hang_in_the_worker(inside, others, tmp_path, where):
    config = {"connector-class": "test.BadSource", "topic": Broker.topics("b"), "source-record-converter": "string",
              "bad.where": where, "bad.how": "hang", "bad.once": str(tmp_path / "once"), "bad.limit": "1000"}
    assert "task.call.timeout.ms" in inside.refuse("badsource", config)
    assert "has not come back" in inside.refuse("badsource", config)
    others()
    write(tmp_path / "once.go", b"")
    inside.wait_log("that was left behind has come back connector=badsource")
    inside.sink("good", "b", tmp_path / "numbers")
    inside.create("badsource", config)
    wait_file(tmp_path / "numbers", NUMBERS)


@pytest.mark.parametrize("how", ["loop", "sleep"])
def test_a_worker_ends_though_calls_hang_in_it(inside, others, tmp_path, how):
    """One that was given up before, others at the end: in stop() and in flush()."""
    inside.restart(shutdown_timeout_ms=9000)
    inside.source("numbers", "c", write(tmp_path / "numbers", NUMBERS))
    source(inside, where="poll", how=how, limit=1000)
    inside.wait_failed("badsource", NOT_BACK % "poll")
    others()
    if how == "sleep":
        sink(inside, tmp_path / "written", "c", where="stop", how=how)
        sink(inside, tmp_path / "flushed", "c", name="badflush", where="flush", how=how)
        wait_file(tmp_path / "written", NUMBERS)
    inside.end()


@pytest.mark.parametrize("how", ["flood", "flood-log", "stdout", "leak-some"])
def test_nuisances_in_the_worker(inside, others, tmp_path, how):
    inside.sink("good", "b", tmp_path / "numbers")
    source(inside, where="poll", how=how, once=tmp_path / "once", limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    others()
    if how == "leak-some":
        inside.kill()  # at an orderly end a sanitizer would tell of it


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_nonsense_is_told_in_the_worker(inside, others, tmp_path, kind):
    test_nonsense_is_told(inside, others, tmp_path, kind)


def test_a_worker_ends_in_time_though_a_plugin_does_not_close(inside, tmp_path):
    inside.restart(connectors_bad_close="sleep", shutdown_timeout_ms=1500)
    inside.sink("good", "b", tmp_path / "numbers")
    source(inside, limit=1000)
    wait_file(tmp_path / "numbers", NUMBERS)
    inside.end()
    assert re.search(r"a plugin does not close, and is left behind path=\S+bad\.so", inside.log())
