# SPDX-License-Identifier: Apache-2.0
"""kill -9 of hosts at random moments under load: what comes out is what went in, in order, each record once. The source's
position is committed with its records; the sink's state is the length of its file, to which it is cut. HOST_KILLS=20."""

import json
import os
import random
import signal
import subprocess
import time
from urllib.parse import unquote

import pytest

from harness import WAIT_S, Worker, read, wait_for

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
pytestmark = pytest.mark.embedded
KILLS = int(os.environ.get("HOST_KILLS", "20"))
BATCH = 1000


def hosts(worker):
    done = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(worker.process.pid)], stdout=subprocess.PIPE, text=True, check=False)
    return [int(line.split()[0]) for line in done.stdout.splitlines() if " host" in line]


def count(path):
    """The file's lines so far; they must be 0, 1, 2 and so on. An unfinished last line is left out."""
    data = read(path)
    whole = data[:data.rfind(b"\n") + 1]
    numbers = whole.split()
    assert numbers == [b"%d" % number for number in range(len(numbers))], f"{path}: a record is missing, twice or out of order"
    return len(numbers)


def create(worker, config):
    """A configuration is refused when the host that checks it is killed: then again."""
    def try_it():
        reply = worker.create_raw("source", json.dumps(config))
        why = unquote(reply.field("X-Gantry-Error") or "")
        assert reply.text == "success" or "signal 9" in why, f"{reply.text}: {why}"
        return reply.text == "success"
    wait_for(try_it, "the source is created")


@pytest.mark.parametrize("share", ["plugin", "connector"])
def test_killed_hosts_lose_and_repeat_nothing(tmp_path, share):
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-I", os.path.join(TOP, "include"),
                    os.path.join(TOP, "tests", "hosts", "bad.c"), "-o", str(tmp_path / "bad.so")], check=True, timeout=120)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    out = tmp_path / "out"
    settings = {"pluginPaths": tmp_path / "bad.so", "host_share": share, "log_segment_bytes": "1m", "sink_commit_ms": 20}
    with Worker(tmp_path / "w", **settings) as worker:
        worker.create("sink", {"connector-class": "test.BadSink", "topicNames": "t", "bad.file": str(out),
                               "source-record-converter": "string"})
        limit = 0
        for kill in range(KILLS // 2 or 1):
            # The limit grows in small steps, so that there is always load and the file stays small.
            limit += 20000
            create(worker, {"connector-class": "test.BadSource", "topic": "t", "bad.limit": str(limit), "bad.batch": str(BATCH),
                            "source-record-converter": "string"})
            pids = wait_for(lambda: hosts(worker), "a host")
            time.sleep(chance.random() * 0.15)
            for pid in pids if chance.random() < 0.3 else [chance.choice(pids)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            assert worker.alive(), f"kill {kill}: the worker has ended"
        wait_for(lambda: read(out).endswith(b"\n%d\n" % (limit - 1)), lambda: f"all has arrived; the log:\n{worker.log()[-5000:]}", 3 * WAIT_S)
        assert count(out) == limit
        assert [body for body in worker.bodies("t")] == [b"%d" % number for number in range(limit)]
        assert "signal 9" in worker.log()
