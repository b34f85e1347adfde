# SPDX-License-Identifier: Apache-2.0
"""Jars that fail in each way, a machine without a JDK, and who shares a JVM with whom: through the worker."""
import os
import re
import shutil
import stat

import pytest

import driver
import workers
from harness import append, lines, read, run_gantry, wait_file, wait_for, write

PROBE = "kafka-probe.jar"
SOURCE, SINK = "probe.kafka.ProbeSource", "probe.kafka.ProbeSink"


def source(name="c", **more):
    return {"connector.class": SOURCE, "topic": f"t-{name}", "count": "50", **workers.STRING, **more}


def sink(name="c", **more):
    return {"connector.class": SINK, "topics": f"t-{name}", **workers.STRING, **more}


@pytest.fixture
def worker(tmp_path):
    """A host that does not get on for two seconds is ended."""
    with workers.java_worker(tmp_path / "w", PROBE, heap="96m", host_call_timeout_ms=4000) as one:
        yield one


@pytest.fixture
def others(worker, tmp_path):
    """Connectors beside go on, whatever happens. Call it to see that they do."""
    write(tmp_path / "in", lines(10))
    worker.pair(tmp_path / "in", tmp_path / "out", topic="other")
    wait_file(tmp_path / "out", lines(10))

    def go_on():
        append(tmp_path / "in", lines(10, first=10))
        wait_file(tmp_path / "out", lines(20))
        assert worker.alive()
    return go_on


REASONS = {
    "fails": r"ConnectException: broken \| in two lines.*the reason",
    "noclass": r"NoClassDefFoundError: org/example/Missing",
    "stack": r"StackOverflowError",
    "memory": rf"host {PROBE} exited with code (71|3); its last words: .*(OutOfMemoryError|out of memory|Java heap space)",
    "exits": rf"host {PROBE} exited with code 5",
    "halts": rf"host {PROBE} exited with code 6",
    "loops": rf"host {PROBE} .*host\.call\.timeout\.ms",
}


@pytest.mark.parametrize("how", list(REASONS))
@pytest.mark.parametrize("where", ["start", "poll"])
def test_a_bad_source_is_failed_with_the_reason(worker, others, where, how):
    worker.create("c", source(**{where: how}))
    if (where, how) == ("poll", "loops"):  # nobody waits for a poll: only its stop is late
        worker.wait_log("by slf4j 0")
        worker.stop_connector("c")
        worker.wait_log(REASONS[how])
    else:
        worker.wait_failed("c", REASONS[how])
    others()


@pytest.mark.parametrize("how, reason", [("fail", "ConnectException: told to fail"), ("noclass", REASONS["noclass"]), ("memory", REASONS["memory"]),
                                         ("exits", REASONS["exits"]), ("sleep", REASONS["loops"])])
def test_a_bad_sink_is_failed_with_the_reason(worker, others, tmp_path, how, reason):
    worker.source("bodies", "t-c", write(tmp_path / "bodies", f"{how}\n".encode()))
    worker.create("c", sink())
    worker.wait_failed("c", reason)
    others()


@pytest.mark.parametrize("how", ["fails", "loops", "exits"])
def test_a_bad_stop_holds_nobody_up(worker, others, how):
    worker.create("c", source(stop=how))
    wait_for(lambda: len(worker.bodies("t-c")) == 50, lambda: f"50 records; the log:\n{worker.log()}")
    worker.stop_connector("c")
    worker.create("d", source("d"))  # there is a host again
    wait_for(lambda: len(worker.bodies("t-d")) == 50, lambda: f"50 records; the log:\n{worker.log()}")
    others()


def test_what_failed_goes_on_by_itself(worker):
    """The host of others ends with one that exits: they start again where they were."""
    worker.create("good", source("good", count="100000"))
    worker.create("bad", source("bad", poll="exits"))
    for _ in range(3):
        worker.wait_failed("good", "code 5")
        worker.log_from = len(read(worker.log_path))
    worker.stop_connector("bad")
    wait_for(lambda: len(worker.bodies("t-good")) >= 100000, lambda: f"all records; the log:\n{worker.log()[-3000:]}", 60)
    assert worker.bodies("t-good") == [b"v%d" % number for number in range(1, 100001)]


def test_a_jar_that_is_none_is_refused_with_the_reason(worker, others):
    write(os.path.join(worker.plugins, "broken.jar"), b"this is no jar")
    shutil.copy(os.path.join(driver.LIBRARY, "openmessaging-0.1", os.listdir(os.path.join(driver.LIBRARY, "openmessaging-0.1"))[0]),
                os.path.join(worker.plugins, "library.jar"))
    workers.reload(worker)
    worker.wait_log(r"broken\.jar.*cannot be read as a jar")
    worker.wait_log(r"library\.jar.*has no connector")
    others()


# --- without a JDK


def without_java(tmp_path, how):
    worker = workers.java_worker(tmp_path / "w", PROBE)
    if how == "home":
        worker.set(host_java_home=tmp_path / "nowhere")
    else:
        worker.environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
        worker.environment["PATH"] = str(tmp_path / "empty") if how == "path" else ""
    if how == "broken":  # there is one, but it cannot be run
        java = tmp_path / "home" / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text("#!/bin/sh\necho no JVM here >&2\nexit 9\n", encoding="ascii")
        java.chmod(java.stat().st_mode | stat.S_IXUSR)
        worker.set(host_java_home=tmp_path / "home")
    return worker


TEXTS = {
    "home": r"kafka-probe\.jar.*needs Java 8 or later: there is no bin/java in host\.java\.home=\S+nowhere",
    "path": r"kafka-probe\.jar.*needs Java 8 or later: install one, or set host\.java\.home or JAVA_HOME",
    "empty": r"kafka-probe\.jar.*needs Java 8 or later: install one, or set host\.java\.home or JAVA_HOME",
    "broken": r"kafka-probe\.jar.*exited with code 9; its last words: no JVM here",
}


@pytest.mark.parametrize("how", list(TEXTS))
def test_without_java_it_says_so_and_all_else_works(tmp_path, how):
    with without_java(tmp_path, how) as worker:
        worker.wait_log(TEXTS[how])
        assert re.search(TEXTS[how].replace("needs", "is not used: it needs"), worker.refuse("c", source()))
        worker.pair(write(tmp_path / "in", lines(100)), tmp_path / "out")
        wait_file(tmp_path / "out", lines(100))
        if how == "path":  # a Java that comes later is found by a reload
            os.makedirs(tmp_path / "empty")
            os.symlink(shutil.which("java"), tmp_path / "empty" / "java")
            workers.reload(worker)
            worker.create("c", source())
            wait_for(lambda: len(worker.bodies("t-c")) == 50, lambda: f"50 records; the log:\n{worker.log()}")


def test_commands_without_a_worker_know_jars(tmp_path):
    """They start a host for it; without a Java they say what is missing."""
    jar = shutil.copy(os.path.join(workers.PLUGINS, PROBE), tmp_path / PROBE)
    there = ["--plugin-paths", str(tmp_path)]
    listed = run_gantry("plugin", "list", *there, timeout_s=60).stdout.decode()
    assert re.search(rf"^kafka-probe\.jar +- +jar +loaded +2 +{jar}$", listed, re.MULTILINE), listed
    assert f"{SOURCE} (source, version 7.1)" in run_gantry("plugin", "describe", jar, timeout_s=60).stdout.decode()
    assert SINK in run_gantry("connector", "classes", *there, timeout_s=60).stdout.decode()
    assert "topicNames  (list with commas, required)" in run_gantry("connector", "describe", SINK, *there, timeout_s=60).stdout.decode()
    config = write(tmp_path / "conf", f"pluginPaths={tmp_path}\nstorePathRootDir={tmp_path}/none\nhost.java.home={tmp_path}/nowhere\n".encode())
    listed = run_gantry("plugin", "list", "-c", config, timeout_s=60).stdout.decode()
    assert re.search(rf"^- +- +jar +left +0 +{jar}$", listed, re.MULTILINE) and re.search(TEXTS["home"], listed), listed
    for words in (["connector", "classes"], ["connector", "describe", SINK]):
        assert re.search(TEXTS["home"].replace("needs", "is not used: it needs"), run_gantry(*words, "-c", config, timeout_s=60).stderr.decode())


def test_a_connector_that_ran_waits_for_its_java(tmp_path):
    """Its configuration stays, it is FAILED with the reason, and starts when there is a Java again."""
    with workers.java_worker(tmp_path / "w", PROBE) as worker:
        worker.create("c", source())
        wait_for(lambda: len(worker.bodies("t-c")) == 50, "50 records")
        worker.restart(host_java_home=tmp_path / "nowhere")
        worker.wait_cannot_run("c", "probe.kafka.ProbeSource")
        worker.end()
        del worker.settings["host.java.home"]
        worker.start()
        worker.wait_running("c")
        worker.create("c", source(count="60"))
        wait_for(lambda: len(worker.bodies("t-c")) == 60, "10 more")


# --- who shares a JVM


@pytest.mark.parametrize("share, count", [("plugin", 2), ("connector", 4), ("all", 1)])
def test_who_shares_a_jvm(tmp_path, share, count):
    with workers.java_worker(tmp_path / "w", PROBE, "connect-file-3.9.2.jar", host_share=share, host_idle_ms=300) as worker:
        names = [f"c{number}" for number in range(3)]
        for name in names:
            worker.create(name, source(name, **{"tasks.max": "2"}))
        write(tmp_path / "in", lines(100))
        worker.create("file", {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": str(tmp_path / "in"),
                               "topic": "t-file", **workers.STRING})
        for name in names:
            wait_for(lambda: len(worker.bodies(f"t-{name}")) == 100, lambda: f"100 records; the log:\n{worker.log()}")
        wait_for(lambda: len(worker.bodies("t-file")) == 100, "100 lines")
        wait_for(lambda: len(workers.hosts(worker)) == count, lambda: f"{count} hosts: {workers.hosts(worker)}")
        # One host is killed: each connector goes on, and nobody loses or repeats a record.
        workers.kill_hosts(worker)
        for name in names:
            workers.create(worker, name, source(name, **{"tasks.max": "2", "count": "80"}))
        append(tmp_path / "in", lines(100, first=100))
        for name in names:
            wait_for(lambda: len(worker.bodies(f"t-{name}")) >= 160, lambda: f"160 records; the log:\n{worker.log()}", 60)
            assert sorted(worker.bodies(f"t-{name}")) == sorted([b"v%d" % number for number in range(1, 81)] * 2)
        wait_for(lambda: len(worker.bodies("t-file")) >= 200, lambda: f"200 lines; the log:\n{worker.log()}", 60)
        assert worker.bodies("t-file") == lines(200).splitlines()


# --- what a JVM may do


@pytest.mark.parametrize("share", ["plugin", "all"])
def test_jars_in_the_sandbox(tmp_path, share):
    """With Landlock and seccomp jars run as ever, each reads its own, and a file that is not allowed cannot be read."""
    (tmp_path / "may").mkdir()
    with workers.java_worker(tmp_path / "w", PROBE, "connect-file-3.9.2.jar", host_share=share, host_landlock="true", host_seccomp="true",
                             host_paths_read=tmp_path / "may") as worker:
        if "this kernel has no Landlock" in worker.log():
            pytest.skip("this kernel has no Landlock")
        worker.create("c", source("c"))
        wait_for(lambda: len(worker.bodies("t-c")) == 50, lambda: f"50 records; the log:\n{worker.log()}")
        for name in ("may", "."):
            write(tmp_path / name / "in", lines(100))
            worker.create(f"file-{name}", {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
                                           "file": str(tmp_path / name / "in"), "topic": f"t-{len(name)}", **workers.STRING})
        wait_for(lambda: len(worker.bodies("t-3")) == 100, lambda: f"100 lines; the log:\n{worker.log()}")
        worker.wait_log(f"AccessDeniedException: {tmp_path}/in")
        assert worker.bodies("t-1") == []
