# SPDX-License-Identifier: Apache-2.0
"""librocketmq as a project of its own, as its README says: its folder alone is built and installed under a prefix, the
examples are compiled against that with nothing but pkg-config, and work with a real broker."""

import glob
import os
import shutil
import signal
import subprocess
import time

import pytest

import cluster as rmq

SIGPIPE_BIT = 1 << (signal.SIGPIPE - 1)


def run(*words, limit_s=120, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=limit_s, check=False,
                          **{"stdin": subprocess.DEVNULL, **options})
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder with produce and consume, compiled as a stranger would."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(os.path.join(rmq.TOP, "librocketmq"), folder / "librocketmq")
    run("meson", "setup", "build", "librocketmq", f"--prefix={folder / 'prefix'}", "-Dbuildtype=debug", "-Dwerror=true",
        cwd=folder)
    run("ninja", "-C", "build", "-j2", cwd=folder, limit_s=600)
    run("meson", "install", "-C", "build", cwd=folder)
    found = glob.glob(str(folder / "prefix" / "**" / "librocketmq.pc"), recursive=True)
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.dirname(found[0])}
    flags = run("pkg-config", "--cflags", "--libs", "librocketmq", env=env).split()
    for name in ("produce", "consume"):
        run("cc", "-Wall", "-Wextra", "-Werror", "-o", folder / name, folder / "librocketmq" / "examples" / f"{name}.c", *flags)
    return folder


def fresh(cluster, queues):
    topic = f"alone-{time.time_ns() % 10**9}"
    cluster.create_topic(topic, queues=queues)
    return topic


def bodies(text):
    return [line.split(" ", 3)[3] for line in text.splitlines()]


def test_lines_go_in_and_come_out_once(shared, examples):
    topic = fresh(shared, queues=3)
    lines = [f"line {number}" for number in range(20000)]
    run(examples / "produce", shared.namesrv, topic, input="".join(f"{line}\n" for line in lines), stdin=None)
    got = []
    for count in (15000, 5000):  # the second goes on where the first was
        got += bodies(run(examples / "consume", shared.namesrv, "alone", topic, count))
    assert sorted(got) == sorted(lines)


def test_a_missing_topic_is_named(shared, examples):
    done = subprocess.run([examples / "produce", shared.namesrv, "no-such-topic"], input="x\n", capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 1 and "NOT_FOUND: topic 'no-such-topic'" in done.stderr, done


def test_an_interrupted_consumer_stores_what_it_printed(shared, examples):
    topic = fresh(shared, queues=1)
    run(examples / "produce", shared.namesrv, topic, input="a\nb\nc\n", stdin=None)
    with subprocess.Popen([examples / "consume", shared.namesrv, "stopped", topic], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as consumer:
        try:
            assert bodies("".join(consumer.stdout.readline() for _ in range(3))) == ["a", "b", "c"]
            # A lost connection must be an error code of the library, not the end of the program.
            with open(f"/proc/{consumer.pid}/status", encoding="ascii") as status:
                ignored = next(line for line in status if line.startswith("SigIgn:"))
            assert int(ignored.split()[1], 16) & SIGPIPE_BIT
            consumer.send_signal(signal.SIGINT)
            assert consumer.wait(60) == 0
        finally:
            consumer.kill()
    run(examples / "produce", shared.namesrv, topic, input="d\n", stdin=None)
    assert bodies(run(examples / "consume", shared.namesrv, "stopped", topic, 1)) == ["d"]


def test_what_nobody_reads_is_left_for_the_next(shared, examples):
    topic = fresh(shared, queues=1)
    run(examples / "produce", shared.namesrv, topic, input="".join(f"{number}\n" for number in range(1000)), stdin=None)
    with subprocess.Popen([examples / "consume", shared.namesrv, "unread", topic], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as consumer:
        consumer.stdout.close()
        try:
            assert consumer.wait(60) == 0
        finally:
            consumer.kill()
    assert bodies(run(examples / "consume", shared.namesrv, "unread", topic, 1000)) == [str(n) for n in range(1000)]
