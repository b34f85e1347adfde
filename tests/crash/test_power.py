# SPDX-License-Identifier: Apache-2.0
"""Power cuts: what was not synced is dropped, kept or torn, in any order; output equals input all the same.

The worker runs with powerloss.c loaded, dies at some noted call, disk.py makes of its folders what a disk could hold
then, and the worker starts again on that; three times a run, then to the end."""
import collections
import os
import random
import shutil
import subprocess

import pytest

import disk
import support

RUNS = 240 if support.FULL else 30
CUTS = 3


@pytest.fixture(name="library", scope="session")
def build_library(tmp_path_factory):
    out = tmp_path_factory.mktemp("powerloss") / "powerloss.so"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "powerloss.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", source, "-o",
                    str(out), "-lpthread"], check=True, timeout=120)
    return str(out)


class Rig:
    """A worker whose store and output lie on a disk that can lose power."""

    def __init__(self, folder, library, settings=None):
        self.disk = os.path.join(os.path.realpath(folder), "disk")
        self.out = os.path.join(self.disk, "out")
        self.journal = os.path.join(os.path.realpath(folder), "journal")
        self.library = library
        os.makedirs(self.out)
        self.input = os.path.join(os.path.realpath(folder), "in.log")
        self.worker = support.Worker(
            os.path.join(folder, "w"), {"log.segment.bytes": "64k", "sink.commit.ms": "5", **(settings or {})},
            store=os.path.join(self.disk, "new", "store"))
        self.wanted = {}  # connectors: name -> configuration
        self.promised = set()  # those of them whose creation was answered
        self.unsynced = 0

    def launch(self, crash_at=0, fault=None, lie=None):
        disk.new_journal(self.journal)
        env = {"LD_PRELOAD": self.library, "PL_ROOTS": self.disk, "PL_JOURNAL": self.journal}
        if crash_at:
            env["PL_CRASH_AT"] = str(crash_at)
        if lie:
            env["PL_LIE"] = lie
        self.worker.launch(fault=fault, env=env)

    def connect(self):
        """Wait for the listener; what was promised has to be there; create what is not. Died at any time."""
        self.worker.ready()
        missing = self.promised - self.worker.connectors()
        assert not missing, f"created, and lost: {missing}\n{self.worker.log_text()}"
        for name, config in self.wanted.items():
            if name not in self.promised:
                status, text = self.worker.create(name, config)
                assert status == 200, f"{name}: {status} {text}\n{self.worker.log_text()}"
                self.promised.add(name)

    def cut(self, mode, seed):
        """The power goes: the process with it, and what the disk did not hold."""
        self.worker.kill()
        self.unsynced += disk.cut_power(self.journal, [self.disk], mode, seed)

    def end(self):
        self.worker.kill()
        shutil.rmtree(self.journal, ignore_errors=True)

    def calls(self):
        """How many calls the journal has noted."""
        return len(disk.read_journal(os.path.join(self.journal, "journal")))


def make_input(path, seed, lines):
    chance = random.Random(seed)
    with open(path, "ab") as file:
        for number in range(lines):
            file.write(b"%d %s\n" % (number, bytes(chance.choices(range(33, 256), k=chance.choice((0, 5, 100, 700))))))
    return support.content(path)


def one_run(rig, seed, counts):
    """Some power cuts at calls chosen by the seed, then to the end."""
    chance = random.Random(seed)
    plain, rotating = os.path.join(rig.out, "plain"), os.path.join(rig.out, "rotating")
    rig.wanted = {
        "src": support.source_config(rig.input),
        "plain": support.sink_config(plain),
        "rotating": support.sink_config(rotating, **{"rotate.bytes": "40k"}),
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
    # What was synced is still there when nothing else is.
    rig.cut("drop", seed)
    assert support.content(plain) == expected
    assert support.rotated_content(rotating) == expected


def test_power_cuts(tmp_path, library):
    counts = collections.Counter()
    unsynced = 0
    for seed in range(RUNS):
        rig = Rig(tmp_path / str(seed), library)
        try:
            one_run(rig, seed, counts)
        finally:
            rig.end()
        unsynced += rig.unsynced
        shutil.rmtree(tmp_path / str(seed))
    assert unsynced > RUNS, "the power cuts had nothing to lose"
    support.record_counts("power", {"runs": RUNS, "cuts": sum(counts.values()), "modes": dict(counts),
                                    "unsynced writes and entries": unsynced})
