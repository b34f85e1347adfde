# SPDX-License-Identifier: Apache-2.0
"""Workers that form a cluster over a broker: what they say about each other, who runs which task, and proxies that cut one of
them off."""

import collections
import datetime
import hashlib
import json
import os
import re
import signal
import time

from harness import LISTENING, Worker, wait_for
from proxy import Proxy

JOINED = re.compile(r"joined the cluster cluster=\S+ member=(\S+)")
TASK = re.compile(r"^(\S+Z) \S+ +worker +(starting|stopping|stopped) a task connector=(\S+) task=(\d+) epoch=(\d+)$",
                  re.MULTILINE)

Event = collections.namedtuple("Event", "time what connector task epoch")


def seconds(stamp):
    """The time of a line of the log, in seconds since 1970."""
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


class ClusterWorker(Worker):
    """A worker of the cluster `cluster` behind the name servers `namesrv`."""

    def __init__(self, folder, namesrv, cluster="DefaultConnectCluster", **settings):
        super().__init__(folder, namesrvAddr=namesrv, connectClusterId=cluster, **settings)

    def boot(self):
        """Start it, and wait for no cluster."""
        self.launch()
        self.port = int(self.wait_log(LISTENING).group(1))
        return self

    def wait_joined(self, timeout_s=30):
        return self.wait_log(JOINED, timeout_s).group(1)

    @property
    def name(self):
        """address@pid, once it has joined."""
        found = JOINED.search(self.log())
        return found.group(1) if found else None

    def freeze(self):
        self.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.send_signal(signal.SIGCONT)

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait(20)

    def members(self):
        """What /getClusterInfo shows."""
        text = self.get("/getClusterInfo").text
        return sorted(json.loads(text[text.index("["):]))

    def allocated(self):
        """Names of the connectors of the tasks that it says are its own; one name a task."""
        text = self.get("/getAllocatedInfo").text
        found = re.fullmatch(r"working connectors:(.*)\nworking tasks:(.*)", text, re.DOTALL)
        return [task["connector"] for task in json.loads(found.group(2))]

    def events(self):
        """What it has done with tasks, in order."""
        return [Event(seconds(found.group(1)), found.group(2), found.group(3), int(found.group(4)), int(found.group(5)))
                for found in TASK.finditer(self.log())]

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crew:
    """The workers of one test: each with a folder of its own, all ended with the test, and well where they still run."""

    def __init__(self, folder, namesrv, cluster):
        self.folder = str(folder)
        self.namesrv = namesrv
        self.cluster = cluster
        self.made = []

    def new(self, namesrv=None, **settings):
        """One that is not started yet."""
        worker = ClusterWorker(os.path.join(self.folder, f"w{len(self.made)}"), namesrv or self.namesrv, self.cluster,
                               **settings)
        self.made.append(worker)
        return worker

    def start(self, count=1, **settings):
        """That many more, which have joined; one alone, or a list."""
        started = [self.new(**settings).start() for _ in range(count)]
        for worker in started:
            worker.wait_joined()
        return started[0] if count == 1 else started

    def running(self):
        return [worker for worker in self.made if worker.alive()]

    def owners(self, workers=None):
        """{connector: how many tasks of it run}, over all workers that answer."""
        count = collections.Counter()
        for worker in workers or self.running():
            count.update(worker.allocated())
        return count

    def wait_owned(self, names, workers=None, timeout_s=20):
        """Wait until each name has one task, and no other has any."""
        names = collections.Counter(names)
        wait_for(lambda: self.owners(workers) == names,
                 lambda: f"one task of each of {dict(names)}: {dict(self.owners(workers))}", timeout_s)

    def end(self):
        for worker in reversed(self.made):
            if worker.alive():
                worker.thaw()
                worker.end()

    def close(self):
        for worker in self.made:
            worker.kill()
            if worker.process is not None:
                print(f"--- {worker.folder}\n{worker.log()[-20000:]}")


def overlaps(workers):
    """Pairs of starts and ends that cannot be: (connector, task) that one has started before another one, of an older
    epoch, stood still. The log is written as a task stands still, so a start just behind it may show the same time."""
    found = []
    by_task = collections.defaultdict(list)
    for worker in workers:
        runs = {}
        for event in worker.events():
            key = (event.connector, event.task, event.epoch)
            if event.what == "starting":
                runs.setdefault(key, [event.time, None])
            elif event.what == "stopped" and key in runs:
                runs[key][1] = event.time
        for (connector, task, epoch), (begin, end) in runs.items():
            by_task[connector, task].append((epoch, begin, end, worker))
    for key, runs in by_task.items():
        runs.sort(key=lambda run: run[0])
        for (epoch, _, end, before), (next_epoch, begin, _, after) in zip(runs, runs[1:]):
            if before.alive() and (end is None or end > begin):
                found.append((key, epoch, end, before.folder, next_epoch, begin, after.folder))
    return found


class RewritingProxy(Proxy):
    """In front of a name server: what it says about a broker's address is told in another way, of the same length."""

    def __init__(self, listen, target, old, new):
        super().__init__(listen, target)
        assert len(old) == len(new)
        self.old, self.new = old.encode(), new.encode()

    async def _read(self, source, held):
        """Whole frames, for an address may come in two pieces."""
        waiting = b""
        while True:
            try:
                data = await self._loop.sock_recv(source, 64 << 10)
            except OSError as error:
                data = error
            if isinstance(data, OSError) or not data:
                await held.put((time.monotonic(), data))
                return
            waiting += data
            while len(waiting) >= 4:
                size = 4 + int.from_bytes(waiting[:4], "big")
                if len(waiting) < size:
                    break
                await held.put((time.monotonic(), waiting[:size].replace(self.old, self.new)))
                waiting = waiting[size:]


class Aside:
    """A way of its own to a cluster, which can be cut without hurting anybody else: `namesrv` is for the worker that goes this
    way, `broker` and `names` are the proxies. Not for two in one cluster of servers at a time."""

    def __init__(self, cluster, address="127.0.0.3"):
        broker, server = cluster.broker, cluster.server
        self.broker = Proxy((address, broker.port), (broker.host, broker.port))
        self.names = RewritingProxy((address, server.port), (server.host, server.port), broker.advertised,
                                    f"{address}:{broker.port}")
        self.proxies = (self.broker, self.names)

    @property
    def namesrv(self):
        return self.names.address

    def __enter__(self):
        for proxy in self.proxies:
            proxy.start()
        return self

    def __exit__(self, kind, value, trace):
        for proxy in self.proxies:
            proxy.stop()


def timed(look, what, timeout_s):
    """How long it took until look() gave something true."""
    begin = time.monotonic()
    wait_for(look, what, timeout_s)
    return time.monotonic() - begin


# --- how the Java worker of 2019 allocates

def java_hash(text):
    value = 0
    units = text.encode("utf-16-be")
    for i in range(0, len(units), 2):
        value = (31 * value + (units[i] << 8 | units[i + 1])) & 0xFFFFFFFF
    return value


def java_text(properties):
    """ConnectKeyValue.toString(): a ConcurrentHashMap in its order."""
    size, bound = 16, 12
    while len(properties) >= bound:
        size, bound = size * 2, bound * 2
    keys = sorted(properties, key=lambda key: (java_hash(key) ^ java_hash(key) >> 16) & (size - 1))
    return "ConnectKeyValue{properties={" + ", ".join(f"{key}={properties[key]}" for key in keys) + "}}"


def average_2019(workers, tasks):
    """{worker: names of its tasks' connectors}. `tasks`: {connector: [properties]}."""
    shares = {worker: [] for worker in workers}
    order = sorted(workers)
    turn = len(tasks)
    for name in sorted(tasks):
        for _ in tasks[name]:
            shares[order[turn % len(order)]].append(name)
            turn += 1
    return shares


def hash_2019(workers, tasks):
    def start(text):
        return int.from_bytes(hashlib.md5(text.encode("utf-8")).digest()[:4], "big")
    ring = {}
    for worker in sorted(workers):
        for node in range(len(workers)):
            ring[start(f"{worker}-{node}")] = worker
    shares = {worker: [] for worker in workers}
    for name in sorted(tasks):
        for properties in tasks[name]:
            at = start(java_text(properties))
            point = min((point for point in ring if point >= at), default=min(ring))
            shares[ring[point]].append(name)
    return shares
