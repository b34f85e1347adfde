# SPDX-License-Identifier: Apache-2.0
"""Every record counted while things break: lines are appended to files, go through a topic, and must stand in the sinks' files
byte for byte, whatever happened meanwhile; and the topic itself must show that nothing of an older epoch was delivered behind
a newer one (load.py). Each test prints a line for the table in docs/proof.md.

FAULTS=full: as long as docs/proof.md says; else short. FAULT_KILLS: how often a worker is killed."""

import json
import os
import random
import socket
import struct
import subprocess
import time
import uuid

import pytest

import cluster as rmq
from harness import wait_for
from javatool import JavaTool
from load import Load, messages_by_java
from workers import Aside, Crew, overlaps

FULL = os.environ.get("FAULTS") == "full"
KILLS = int(os.environ.get("FAULT_KILLS") or (100 if FULL else 6))
SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(1 << 30))


def lapse(span_s):
    """Let a fault last."""
    end = time.monotonic() + span_s
    wait_for(lambda: time.monotonic() > end, "", span_s + 10)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """The real ones. Each test leaves them as it found them."""
    with rmq.Cluster(tmp_path_factory.mktemp("servers"), sync_flush=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def java(servers, tmp_path_factory):
    with JavaTool(tmp_path_factory.mktemp("java"), servers.namesrv) as tool:
        yield tool


class Rig:
    """Servers, workers, and a load between them."""

    def __init__(self, cluster, tool, folder):
        self.cluster = cluster
        self.tool = tool
        self.name = f"faults-{uuid.uuid4().hex[:8]}"
        self.crew = Crew(folder, cluster.namesrv, self.name)
        self.load = Load(os.path.join(folder, "load"), prefix=self.name[-4:] + "-")
        self.recovered = []

    def recover(self, timeout_s=60):
        """What is written from now on must arrive; how long that takes is what is told as the time to recover."""
        self.recovered.append(self.load.recovery_s(timeout_s))

    def finish(self, fault, runs=1):
        self.load.wait_arrived()
        self.crew.wait_owned(self.load.connectors)
        self.crew.end()
        proof = self.load.check(lambda topic: messages_by_java(self.tool, self.cluster.brokers, topic))
        report(fault, runs, proof, max(self.recovered))
        assert overlaps(self.crew.made) == []


def report(fault, runs, proof, recovered_s):
    print(f"fault={fault} runs={runs} messages={proof.messages} lost=0 repeated={proof.repeated} older={proof.older} "
          f"recovered_s={recovered_s:.1f}")


@pytest.fixture
def rig(servers, java, tmp_path):
    made = Rig(servers, java, tmp_path)
    try:
        yield made
    finally:
        made.crew.close()
        for server in servers.servers + servers.brokers:
            if not server.alive():
                server.start()


def begin(rig, workers=2, **settings):
    started = rig.crew.start(workers, **settings)
    first = started if workers == 1 else started[0]
    rig.load.connect(first)
    rig.crew.wait_owned(rig.load.connectors)
    return started


# --- the servers

def calm(worker):
    """What it says of one fault is a page, not a book."""
    assert len(worker.log().splitlines()) < 600, worker.log()[-5000:]


def test_broker_restarted(rig, servers):
    workers = begin(rig)
    with rig.load:
        rig.load.moving()
        for _ in range(3 if FULL else 1):
            servers.broker.restart()
            rig.recover()
    rig.finish("broker restarted", len(rig.recovered))
    for worker in workers:
        calm(worker)


def test_broker_killed(rig, servers):
    begin(rig)
    with rig.load:
        rig.load.moving()
        for _ in range(10 if FULL else 2):
            servers.broker.restart(kill=True)
            rig.recover()
            rig.load.moving()
    rig.finish("broker killed -9 and restarted", len(rig.recovered))


def test_name_server_gone(rig, servers):
    """Who has his routes goes on; a new worker has to wait."""
    begin(rig)
    with rig.load:
        rig.load.moving()
        servers.server.kill()
        lapse(60 if FULL else 6)
        rig.load.moving()
        late = rig.crew.new().boot()
        assert late.name is None
        servers.server.start()
        rig.recover()
        servers.broker.wait_ready()
        late.wait_joined()
    rig.finish("name server gone")


def test_one_of_two_brokers_lost(java, tmp_path):
    """The one that has not the cluster log. It comes back: what it holds was acknowledged."""
    with rmq.Cluster(tmp_path / "servers", brokers=2, sync_flush=True) as cluster, \
            JavaTool(tmp_path / "java", cluster.namesrv) as tool:
        rig = Rig(cluster, tool, tmp_path)
        try:
            begin(rig, topic_queues=1)
            with rig.load:
                rig.load.moving()
                for _ in range(3 if FULL else 1):
                    cluster.brokers[1].kill()
                    lapse(30 if FULL else 5)
                    cluster.brokers[1].start()
                    rig.recover()
            rig.finish("one of two brokers lost", len(rig.recovered))
        finally:
            rig.crew.close()


# --- the workers

def test_worker_killed(rig):
    """Again and again, one of three, at any moment; another one is always there."""
    print(f"FAULT_SEED={SEED}")
    dice = random.Random(SEED)
    workers = begin(rig, 3, lease_ms=2000)
    with rig.load:
        rig.load.moving()
        for _ in range(KILLS):
            victim = dice.choice(workers)
            lapse(dice.random())
            victim.kill()
            if dice.random() < 0.5:
                rig.recover()
                victim.start()
            else:
                victim.start()
                rig.recover()
            victim.wait_joined()
    rig.finish("worker killed -9", KILLS)


def test_worker_alone_killed(rig):
    """The only one: it goes on where it was."""
    print(f"FAULT_SEED={SEED}")
    dice = random.Random(SEED)
    worker = begin(rig, 1)
    kills = max(2, KILLS // 3)
    with rig.load:
        rig.load.moving()
        for _ in range(kills):
            lapse(dice.random() / 2)
            worker.kill()
            worker.start()
            rig.recover()
    rig.finish("only worker killed -9", kills)


def test_worker_frozen(rig):
    """Its tasks go on elsewhere; thawed, it must not add anything."""
    workers = begin(rig)
    with rig.load:
        rig.load.moving()
        for turn in range(4 if FULL else 1):
            victim, other = workers[turn % 2], workers[1 - turn % 2]
            victim.freeze()
            rig.recover()
            rig.crew.wait_owned(rig.load.connectors, [other])
            lapse(90 if FULL else 1)
            victim.thaw()
            victim.wait_log("(?s)" + "this worker is not a member any more.*" * (turn // 2 + 1), 10)
            rig.load.moving()
    rig.finish("worker frozen and thawed", turn + 1)


# --- the network of one of two workers

@pytest.fixture
def apart(rig, servers):
    """(the way of the one, the one)"""
    with Aside(servers) as aside:
        one = rig.crew.new(aside.namesrv, lease_unreachable="stop").start()
        other = rig.crew.start()
        rig.load.connect(other)
        rig.crew.wait_owned(rig.load.connectors)
        assert one.allocated() and other.allocated()
        yield aside, one
        rig.crew.close()


def test_network_delayed(rig, apart):
    aside, _ = apart
    with rig.load:
        rig.load.moving()
        for delay_s in (0.05, 0.3, 0.05):
            aside.broker.delay(delay_s)
            lapse(10 if FULL else 2)
        aside.broker.delay(0)
        rig.recover()
    rig.finish("network delayed by 50 to 300 ms", 3)


CUTS = {
    "cut": (lambda aside: [proxy.stall() for proxy in aside.proxies],
            lambda aside: [(proxy.cut(), proxy.resume()) for proxy in aside.proxies]),
    "reset": (lambda aside: [(proxy.refuse(), proxy.cut()) for proxy in aside.proxies],
              lambda aside: [proxy.accept() for proxy in aside.proxies]),
    "half-cut, what it sends": (lambda aside: aside.broker.stall("to_server"), lambda aside: aside.broker.resume()),
    "half-cut, what it gets": (lambda aside: aside.broker.stall("to_client"), lambda aside: aside.broker.resume()),
}


@pytest.mark.parametrize("how", CUTS)
def test_network_cut(rig, apart, how):
    """For a moment, and for longer than a lease: what was held may still arrive then, behind what came from elsewhere."""
    aside, one = apart
    fault, end = CUTS[how]
    spans = [1, 3, 1, 3, 1, 3, None] if FULL else [1, None]
    with rig.load:
        rig.load.moving()
        for span_s in spans:
            fault(aside)
            if span_s is None:
                one.wait_log("this worker is not a member any more", 15)
                rig.load.moving()
            lapse(span_s or (30 if FULL else 0))
            end(aside)
            rig.recover()
        rig.crew.wait_owned(rig.load.connectors)
    rig.finish(f"network {how}", len(spans))


def test_network_reset_in_the_middle_of_frames(rig, apart):
    aside, _ = apart
    dice = random.Random(SEED)
    print(f"FAULT_SEED={SEED}")
    count = 100 if FULL else 12
    with rig.load:
        rig.load.moving()
        for _ in range(count):
            before = aside.broker.accepted
            aside.broker.cut_after(dice.randrange(1, 50000), dice.choice(("to_server", "to_client")))
            wait_for(lambda: aside.broker.accepted > before, "another connection", 30)
        rig.recover()
    rig.finish("connection reset within a frame", count)


# --- what a healthy broker does not do

class Mock:
    """tests/mock, as a program."""

    def __init__(self, brokers=1):
        path = rmq.built("mock-broker", "tests", "mock")
        self.process = subprocess.Popen([path, str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())
        self.namesrv = self.ports["namesrv"]

    def say(self, line):
        """The lines of the answer."""
        with socket.create_connection(("127.0.0.1", self.ports["control"]), 10) as sock:
            sock.sendall(line.encode() + b"\n")
            found = []
            for text in sock.makefile(encoding="utf-8"):
                found.append(json.loads(text))
                if not line.startswith("dump") or "end" in found[-1]:
                    return found
        raise AssertionError(f"mock-broker: no answer to {line}")

    def messages(self, topic):
        for message in self.say(f"dump {topic}")[:-1]:
            body = message["body"].encode() if message["body"] is not None else bytes.fromhex(message["hex"])
            yield (message["broker"], message["queue"]), message["offset"], body, message["properties"].get("gantry-id")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def mocked(tmp_path):
    """(mock broker, crew, load)"""
    with Mock() as mock:
        crew = Crew(tmp_path, mock.namesrv, "mocked")
        load = Load(os.path.join(tmp_path, "load"))
        try:
            load.connect(crew.start(2)[0])
            crew.wait_owned(load.connectors)
            yield mock, crew, load
        finally:
            crew.close()


def disturb(mocked, fault, turns):
    """`turns`: pairs of commands, to begin a fault and to end it."""
    mock, crew, load = mocked
    recovered = []
    with load:
        load.moving()
        for begin_with, end_with in turns * (5 if FULL else 1):
            for line in begin_with:
                mock.say(line)
            lapse(5 if FULL else 1)
            for line in end_with:
                mock.say(line)
            recovered.append(load.recovery_s())
    load.wait_arrived()
    crew.wait_owned(load.connectors)
    crew.end()
    report(fault, len(recovered), load.check(mock.messages), max(recovered))


SENDS = (10, 310, 320)


def test_throttling_replies(mocked):
    """SYSTEM_BUSY and FLOW_CONTROL: for some requests, and for all for a while."""
    disturb(mocked, "system busy", [
        ([f"fail {code} {count} {reply} busy" for code in SENDS], ["clear"])
        for reply in (2, 215) for count in (3, -1)])


def test_full_disk(mocked):
    disturb(mocked, "full broker disk", [(["full broker-a 1"], ["full broker-a 0"])])


def test_moved_leader(mocked):
    disturb(mocked, "leader moved", [(["leader broker-a"], [])] * 2)


def test_unknown_outcomes(mocked):
    """A send is carried out and nobody hears of it, or late, or twice, or it is lost on the way."""
    disturb(mocked, "outcome of sends unknown", [
        ([f"{what} {code} 1" for code in SENDS], ["clear"])
        for what in ("swallow", "lose", "close-after", "close-before", "cut", "garbage", "huge", "twice")])


def test_late_sends(mocked):
    """What was given up is carried out after what was sent again."""
    disturb(mocked, "send carried out late", [([f"late {code} 1 4000" for code in SENDS], [])])


# --- clocks

CLOCK = r"""
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
/* CLOCK_FILE has two numbers of 64 bits, seconds to add: to the wall clock, and to the time since the start of the machine. */
static volatile int64_t *added;
static int (*real)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_FILE");
    int fd = path != NULL ? open(path, O_RDONLY) : -1;
    void *map = fd >= 0 ? mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (fd >= 0)
        close(fd);
    if (map != MAP_FAILED)
        added = map;
}
int clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, ret);
    if (rc == 0 && added != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret->tv_sec += added[0];
    if (rc == 0 && added != NULL && clock == CLOCK_BOOTTIME)
        ret->tv_sec += added[1];
    return rc;
}
"""


class Clock:
    """The clocks of a worker that is started with `environment`."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "clock")
        library = os.path.join(folder, "clock.so")
        with open(library + ".c", "w", encoding="ascii") as file:
            file.write(CLOCK)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", library + ".c", "-o", library], check=True, timeout=60)
        with open(self.path, "wb") as file:
            file.write(bytes(16))
        self.environment = {"LD_PRELOAD": library, "CLOCK_FILE": self.path}

    def set(self, wall_s=0, boot_s=0):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=qq", wall_s, boot_s))


def test_clock_jumps(rig, tmp_path):
    """The wall clock of one of two workers goes an hour ahead and back, and its time since the machine's start goes ahead by
    more than a lease, as if it had been suspended; that one never goes back."""
    clock = Clock(str(tmp_path))
    one = rig.crew.new()
    one.environment.update(clock.environment)
    one.start().wait_joined()
    other = rig.crew.start()
    rig.load.connect(other)
    rig.crew.wait_owned(rig.load.connectors)
    with rig.load:
        rig.load.moving()
        boot_s = 0
        for turn in range(5 if FULL else 2):
            for wall_s in (3600, -3600, 0):
                clock.set(wall_s, boot_s)
                rig.load.moving()
            rig.crew.wait_owned(rig.load.connectors)
            assert one.log().count("not a member any more") == turn
            boot_s += 60
            clock.set(0, boot_s)
            one.wait_log("(?s)" + "not a member any more.*" * (turn + 1), 10)
            rig.recover()
            rig.crew.wait_owned(rig.load.connectors)
    rig.finish("clocks jump", 4 * (turn + 1))
