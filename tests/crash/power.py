# SPDX-License-Identifier: Apache-2.0
"""A worker whose store and output lie on a disk that can lose power: powerloss.c and disk.py put to work."""
import os
import random
import shutil
import subprocess
import time

import disk
import support


def build_library(folder):
    """Compile powerloss.c; returns the path to load."""
    out = os.path.join(folder, "powerloss.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "powerloss.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", source, "-o", out,
                    "-lpthread"], check=True, timeout=120)
    return out


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

    def environment(self):
        disk.new_journal(self.journal)
        return {"LD_PRELOAD": self.library, "PL_ROOTS": self.disk, "PL_JOURNAL": self.journal}

    def run(self, arguments, fault):
        """Some other command than `worker`; (exit status, text)."""
        env = {**os.environ, **self.environment()}
        if fault:
            env["GANTRY_FAULT"] = fault
        done = subprocess.run([support.binary(), *arguments], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    def launch(self, crash_at=0, fault=None, lie=None):
        env = self.environment()
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

    def wait_for_rest(self):
        """Until no further call is noted: all commits are through."""
        def at_rest():
            before = self.calls()
            time.sleep(0.1)
            return self.calls() == before
        support.wait_for("the worker at rest", at_rest)


def make_input(path, seed, lines):
    chance = random.Random(seed)
    with open(path, "ab") as file:
        for number in range(lines):
            file.write(b"%d %s\n" % (number, bytes(chance.choices(range(33, 256), k=chance.choice((0, 5, 100, 700))))))
    return support.content(path)
