# SPDX-License-Identifier: Apache-2.0
"""Power cuts: what was not synced is dropped, kept or torn, in any order; output equals input all the same.

The worker runs with powerloss.c loaded, dies at some noted call, disk.py makes of its folders what a disk could hold
then, and the worker starts again on that; three times a run, then to the end."""
import collections
import os
import random
import shutil
import subprocess

import disk
import support
from power import Rig, make_input

RUNS = 240 if support.FULL else 30
CUTS = 3


def one_run(rig, seed, counts):
    """Some power cuts at calls chosen by the seed, then to the end."""
    chance = random.Random(seed)
    plain, rotating = os.path.join(rig.out, "plain"), os.path.join(rig.out, "rotating")
    rig.wanted = {  # the source last: retention may delete what a sink that comes later would read
        "plain": support.sink_config(plain),
        "rotating": support.sink_config(rotating, **{"rotate.bytes": "40k"}),
        "src": support.source_config(rig.input),
    }
    make_input(rig.input, seed, 300)
    history = []
    for cut in range(CUTS):
        mode = chance.choice(disk.MODES) if seed >= len(disk.MODES) else disk.MODES[seed]
        crash_at = chance.choice((chance.randint(1, 30), chance.randint(1, 100), chance.randint(1, 250)))
        history.append(f"{mode} at call {crash_at}")
        rig.launch(crash_at)
        try:
            rig.connect()
            make_input(rig.input, seed * CUTS + cut + 1000, 300)
            # At rest it would never come to that call: then the cut comes at rest.
            code = rig.worker.reap(0.4)
            assert code in (None, -9), f"the worker ended by itself: {code}\n{rig.worker.log_text()}"
        except support.Died:
            assert rig.worker.reap(5) == -9, rig.worker.log_text()
        rig.cut(mode, chance.random())
        counts[mode] += 1
    rig.launch()
    try:
        rig.connect()
        expected = make_input(rig.input, seed + 5000, 50)
        support.wait_equal(rig.worker, lambda: support.content(plain), expected)
        support.wait_equal(rig.worker, lambda: support.rotated_content(rotating), expected)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {', '.join(history)}: {error}") from error
    rig.wait_for_rest()
    # What was synced is still there when nothing else is.
    rig.cut("drop", seed)
    assert support.content(plain) == expected
    assert support.rotated_content(rotating) == expected


def test_power_cuts(tmp_path, library):
    counts = collections.Counter()
    unsynced = 0
    for seed in range(RUNS):
        rig = Rig(tmp_path / str(seed), library, {
            "log.compression": ("none", "lz4", "zstd")[seed % 3], "log.retention.ms": ("0", "1")[seed % 2]})
        try:
            one_run(rig, seed, counts)
        finally:
            rig.end()
        unsynced += rig.unsynced
        shutil.rmtree(tmp_path / str(seed))
    assert unsynced > RUNS, "the power cuts had nothing to lose"
    support.record_counts("power", {"runs": RUNS, "cuts": sum(counts.values()), "modes": dict(counts),
                                    "unsynced writes and entries": unsynced})


def test_answers_hold(tmp_path, library):
    """What the worker has answered with `success` is durable at that moment."""
    rig = Rig(tmp_path, library)
    config = support.source_config(rig.input)
    make_input(rig.input, 1, 50)
    there = set()
    try:
        for number in range(24 if support.FULL else 6):
            rig.launch()
            rig.worker.ready()
            assert rig.worker.connectors() & {f"c{n}" for n in range(100)} == there
            if number % 3 == 2:
                name = there.pop()
                assert rig.worker.get(f"/connectors/{name}/stop") == (200, "success")
            else:
                there.add(f"c{number}")
                assert rig.worker.create(f"c{number}", config) == (200, "success")
            rig.cut("drop", number)
    finally:
        rig.end()


def test_retention_knows_new_sinks(tmp_path):
    """A sink that exists and has never come to commit anything: retention keeps what it is to read. The old segments
    are old enough from the start."""
    source, first, second = tmp_path / "in.log", tmp_path / "first", tmp_path / "none" / "second"
    worker = support.Worker(tmp_path / "w", {"log.segment.bytes": "64k", "log.retention.ms": "1"})
    second.parent.mkdir()
    source.touch()
    try:
        worker.start()
        worker.create("first", support.sink_config(first))
        worker.create("second", support.sink_config(second))
        worker.create("src", support.source_config(source))
        worker.stop()
        # second never gets to its first commit again: its folder is away. Its progress, too.
        os.rmdir(second.parent) if not second.exists() else shutil.rmtree(second.parent)
        done = subprocess.run([support.binary(), "connector", "reset", "second", "--store", worker.store],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        worker.start()
        expected = make_input(source, 3, 3000)
        support.wait_equal(worker, lambda: support.content(first), expected)
        assert "task FAILED connector=second" in worker.log_text() or "cannot run" in worker.log_text()
        support.threading.Event().wait(1.5)  # retention looks once a second
        make_input(source, 4, 10)
        support.threading.Event().wait(0.3)
        second.parent.mkdir()
        expected = support.content(source)
        support.wait_equal(worker, lambda: support.content(second), expected)
        support.wait_for(lambda: "retention\n" + worker.log_text(), lambda: "retention deleted" in worker.log_text(), 10)
        worker.stop()
    finally:
        worker.kill()
