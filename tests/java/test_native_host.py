# SPDX-License-Identifier: Apache-2.0
"""The native host, `gantry host`, by the same driver as the Java host: what it does when is looked at frame by frame."""
import os
import subprocess

import pytest

from driver import CHECKPOINT, FLUSH, TOP, Host

GANTRY = os.environ.get("GANTRY_BIN") or os.path.join(TOP, "build", "gantry")


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    path = tmp_path_factory.mktemp("slow") / "slow.so"
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-shared", "-fPIC", "-I", os.path.join(TOP, "include"),
                    os.path.join(TOP, "tests", "hosts", "slow.c"), "-o", str(path)], check=True, timeout=120)
    return path


def test_what_was_kept_back_is_asked_for_when_the_flush_ends(slow, tmp_path):
    """A checkpoint overtakes records that wait, the connector takes them while it flushes: nothing else would have them
    committed soon, so the host asks for it."""
    take, flush = tmp_path / "take", tmp_path / "flush"
    with Host(tmp_path / "host", command=[GANTRY, "host"]) as host:
        plugin = host.load(slow)
        sink = host.run(plugin, "test.SlowSink", "slow", {"slow.take": str(take), "slow.flush": str(flush)}, "sink")
        sink.put("t", 0, 0, [b"a", b"b", b"c"])
        sink.send(CHECKPOINT, 1)
        sink.send(FLUSH, 1)
        host.wait(lambda: 1 in sink.states, "STATE")
        take.touch()
        sink.wait_taken()
        assert sink.commits == 0 and not sink.flushed
        flush.touch()
        host.wait(lambda: sink.flushed, "FLUSHED")
        assert ("t", 0) in sink.flushed[1] and sink.flushed[1]["t", 0] < 3
        host.wait(lambda: sink.commits == 1, "COMMIT")
        sink.next = 1
        assert sink.flush() == {}
        assert sink.commits == 1
        sink.stop()
