# SPDX-License-Identifier: Apache-2.0
"""Workers that share a cluster log in a real broker: what one is told all know, a task runs once, and what is lost with a
worker runs elsewhere. How long things took is printed."""

import concurrent.futures
import os
import shutil
import signal
import subprocess
import time
import uuid

import pytest

import cluster as rmq
from harness import read, source_config, wait_file, wait_for, write
from javatool import JavaTool
from workers import Aside, Crew, average_2019, hash_2019, overlaps, timed

FAILOVER_S = 10  # of a worker that is killed or frozen, with the settings as they are
REACHED = "the cluster log can be reached again"
STRATEGY = "org.apache.rocketmq.connect.runtime.service.strategy."


@pytest.fixture
def crew(shared, tmp_path):
    yield from a_crew(shared, tmp_path)


def a_crew(cluster, folder):
    crew = Crew(folder, cluster.namesrv, f"cluster-{uuid.uuid4().hex[:8]}")
    try:
        yield crew
        crew.end()
    finally:
        crew.close()


def sources(worker, folder, count, first=0):
    """That many connectors, each with a file; their names."""
    names = []
    for number in range(first, first + count):
        path = write(os.path.join(folder, f"in-{number}"), b"")
        names.append(f"source-{number:04d}")
        worker.source(names[-1], "crew", path)
    return names


def starts(worker, since=0):
    return [event for event in worker.events() if event.what == "starting" and event.time >= since]


def stops(worker, since=0):
    return [event for event in worker.events() if event.what == "stopping" and event.time >= since]


def test_what_one_is_told_all_know(crew, tmp_path):
    workers = crew.start(3)
    for worker in workers:
        wait_for(lambda worker=worker: worker.members() == sorted(one.name for one in workers),
                 lambda worker=worker: f"all members: {worker.members()}", 5)
    longest = 0
    names = []
    for number, worker in enumerate(workers * 2):
        begin = time.monotonic()
        names += sources(worker, tmp_path, 1, number)
        wait_for(lambda: all(names[-1] in one.configs()[0] for one in workers), f"{names[-1]} everywhere", 5)
        longest = max(longest, time.monotonic() - begin)
    print(f"configurations: on all after {longest:.3f} s")
    assert longest < 1
    crew.wait_owned(names)
    assert [len(worker.allocated()) for worker in workers] == [2, 2, 2]
    assert len({str(worker.configs()) for worker in workers}) == 1
    for worker in workers:
        for name in names:
            worker.wait_running(name)
    # Replaced by one worker, stopped by another, all stopped by the third.
    workers[1].create(names[0], source_config("crew", tmp_path / "other"))
    for worker in workers:
        wait_for(lambda worker=worker: worker.configs()[0][names[0]]["properties"]["filename"] == str(tmp_path / "other"),
                 "the replaced configuration", 1)
    crew.wait_owned(names)
    workers[2].stop_connector(names[1])
    for worker in workers:
        wait_for(lambda worker=worker: names[1] not in worker.configs()[0], "the stopped one to be gone", 1)
    crew.wait_owned(set(names) - {names[1]})
    assert workers[0].get("/connectors/stopAll").text == "success"
    for worker in workers:
        wait_for(lambda worker=worker: worker.configs() == ({}, {}), lambda worker=worker: f"nothing: {worker.configs()}", 1)
    crew.wait_owned([])
    assert overlaps(workers) == []


def test_a_killed_worker(crew, tmp_path):
    workers = crew.start(3)
    names = sources(workers[0], tmp_path, 9)
    crew.wait_owned(names)
    lost = workers[1].allocated()
    assert len(lost) == 3
    others = [workers[0], workers[2]]
    kept = {worker.folder: worker.allocated() for worker in others}
    killed_at = time.time()
    workers[1].kill()
    taken_s = timed(lambda: crew.owners(others) == dict.fromkeys(names, 1), lambda: f"all: {crew.owners(others)}", FAILOVER_S)
    print(f"killed: its tasks run elsewhere after {taken_s:.1f} s")
    for worker in others:
        assert stops(worker, killed_at) == []
        assert set(kept[worker.folder]) <= set(worker.allocated())
        wait_for(lambda worker=worker: len(worker.members()) == 2, lambda worker=worker: f"two members: {worker.members()}", 5)
        for name in names:
            worker.wait_running(name)


def test_a_frozen_worker(crew, tmp_path):
    workers = crew.start(2)
    names = sources(workers[0], tmp_path, 6)
    crew.wait_owned(names)
    frozen, other = workers
    old = {(event.connector, event.epoch) for event in starts(frozen)}
    assert len(frozen.allocated()) == 3
    frozen.freeze()
    taken_s = timed(lambda: crew.owners([other]) == dict.fromkeys(names, 1), lambda: f"all: {crew.owners([other])}", FAILOVER_S)
    print(f"frozen: its tasks run elsewhere after {taken_s:.1f} s")
    thawed_at, before = time.time(), len(frozen.events())
    frozen.thaw()
    frozen.wait_log("this worker is not a member any more", 5)
    crew.wait_owned(names, timeout_s=10)
    print(f"thawed: a member with its share again after {time.time() - thawed_at:.1f} s")
    wait_for(lambda: len(frozen.allocated()) == 3, lambda: f"three tasks: {frozen.allocated()}", 5)
    after = frozen.events()[before:]
    first_start = next(i for i, event in enumerate(after) if event.what == "starting")
    assert {(event.connector, event.epoch) for event in after[:first_start] if event.what == "stopped"} == old
    crew.wait_owned(names)


def test_an_orderly_stop(crew, tmp_path):
    workers = crew.start(2)
    names = sources(workers[0], tmp_path, 6)
    crew.wait_owned(names)
    begin = time.time()
    workers[0].send_signal(15)
    wait_for(lambda: crew.owners([workers[1]]) == dict.fromkeys(names, 1), "all on the other one", 5)
    taken_s = max(event.time for event in starts(workers[1], begin)) - begin
    print(f"stopped in order: its tasks run elsewhere after {taken_s:.2f} s")
    assert taken_s < 1
    workers[0].end()
    assert overlaps(workers) == []
    assert stops(workers[1]) == []


def test_a_rebalance_leaves_the_others_alone(crew, tmp_path):
    first = crew.start()
    names = sources(first, tmp_path, 8)
    crew.wait_owned(names)
    second = crew.start()
    wait_for(lambda: (len(first.allocated()), len(second.allocated())) == (4, 4), "four each", 5)
    assert len(stops(first)) == 4 and len(starts(first)) == 8 and len(starts(second)) == 4
    third = crew.start()
    wait_for(lambda: sorted(len(worker.allocated()) for worker in crew.made) == [2, 3, 3], "an even share", 5)
    assert len(stops(first)) + len(stops(second)) == 6 and len(starts(third)) == 2
    third.end()
    crew.wait_owned(names, [first, second], 5)
    assert len(stops(first)) + len(stops(second)) == 6
    assert overlaps(crew.made) == []


def test_a_thousand_connectors(crew, tmp_path):
    count = 1000
    first = crew.start(sink_commit_ms=1000)
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        names = sum(pool.map(lambda number: sources(first, tmp_path, 1, number), range(count)), [])
    crew.wait_owned(names)
    made_s = time.monotonic() - begin
    joined_at = time.time()
    second = crew.new().start()
    wait_for(lambda: len(first.allocated()) == len(second.allocated()) == count // 2,
             lambda: f"half each: {len(first.allocated())} and {len(second.allocated())}", 15)
    balanced_s = max(event.time for event in starts(second)) - joined_at
    print(f"1,000 connectors: made in {made_s:.1f} s, rebalanced {balanced_s:.2f} s after the start of the second worker")
    assert balanced_s < 5
    crew.wait_owned(names)
    assert overlaps(crew.made) == []
    left_at = time.time()
    first.kill()
    wait_for(lambda: len(second.allocated()) == count, "all on the second", FAILOVER_S)
    taken_s = max(event.time for event in starts(second)) - left_at
    print(f"1,000 connectors: 500 of a killed worker taken over after {taken_s:.2f} s")
    for name in (names[0], names[count // 2], names[-1]):
        second.wait_running(name)
    wait_for(lambda: cpu_share(second, 1) < 0.2, "quiet", 20)
    idle = cpu_share(second, 4)
    print(f"1,000 connectors: idle, {100 * idle:.2f} % of a core")
    assert idle < 0.05


def cpu_share(worker, span_s):
    """Of a core, over a while: the one thing here that needs time to pass."""
    before = worker.cpu_s()
    time.sleep(span_s)
    return (worker.cpu_s() - before) / span_s


@pytest.mark.parametrize("strategy,allocate", [("DefaultAllocateConnAndTaskStrategy", average_2019),
                                               ("AllocateConnAndTaskStrategyByConsistentHash", hash_2019)])
def test_the_allocation_of_2019(crew, tmp_path, strategy, allocate):
    workers = crew.start(3, allocTaskStrategy=STRATEGY + strategy)
    names = sources(workers[0], tmp_path, 12)
    crew.wait_owned(names)
    for present in (workers, workers[:2]):
        for worker in set(workers) - set(present):
            worker.end()
        tasks = {name: [task["properties"] for task in found] for name, found in workers[0].configs()[1].items()}
        expected = allocate([worker.name for worker in present], tasks)
        wait_for(lambda: {worker.name: sorted(worker.allocated()) for worker in present} == expected,
                 lambda: f"{expected}: { {worker.name: worker.allocated() for worker in present} }", 5)
    assert overlaps(workers) == []


def test_the_local_store_is_a_cache(crew, tmp_path):
    workers = crew.start(2)
    names = sources(workers[0], tmp_path, 4)
    crew.wait_owned(names)
    configs = workers[0].configs()
    for worker in workers:
        worker.end()
    for worker in workers:
        shutil.rmtree(worker.store)
        worker.start()
    for worker in workers:
        worker.wait_joined()
    crew.wait_owned(names)
    assert workers[0].configs() == workers[1].configs() == configs
    # Also while others run, and after a kill.
    workers[0].kill()
    shutil.rmtree(workers[0].store)
    workers[0].start().wait_joined()
    crew.wait_owned(names, timeout_s=FAILOVER_S)
    assert workers[0].configs() == configs


def test_a_failed_task_starts_again_whenever_it_came(crew, tmp_path):
    """Each time that a worker gets a task, failing counts anew."""
    worker = crew.start(lease_ms=1000)
    folder, away = tmp_path / "out", tmp_path / "away"
    folder.mkdir()
    worker.sink("sink", "crew", folder / "file")
    worker.wait_running("sink")
    for turn in range(3):
        os.rename(folder, away)
        worker.freeze()
        lapse(2)
        worker.thaw()
        worker.wait_log("(?s)" + "task FAILED connector=sink.*" * (turn + 1))
        os.rename(away, folder)
        worker.wait_running("sink")


def test_the_connector_itself_lives_where_its_first_task_is(crew, tmp_path):
    """So what it asks for is heard, after a take-over, a restart of all, and while it has no work, too."""
    odd = tmp_path / "odd"
    plugins = tmp_path / "plugins"
    for folder in (odd, plugins):
        folder.mkdir()
    write(plugins / "odd.plugin", f"command=python3 {rmq.TOP}/tests/hosts/odd.py\n".encode())
    write(odd / "events", b"")
    settings = {"pluginPaths": plugins, "task_restart_backoff_ms": 100, "host_beat_ms": 50, "lease_ms": 3000}

    def where():
        """The hosts in which it lives, of those that live."""
        last = {}
        for line in read(odd / "events").decode().splitlines():
            what, _, pid = line.split()
            last[int(pid)] = what
        return [pid for pid, what in last.items() if what == "split" and os.path.exists(f"/proc/{pid}")]

    def lives_by(worker):
        def look():
            pids = where()
            return len(pids) == 1 and parent(pids[0]) == worker.process.pid
        wait_for(look, lambda: f"it lives by {worker.folder}: {read(odd / 'events')}", 30)

    def parent(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])

    def split_into(count, worker):
        write(odd / "tasks", b"%d" % count)
        write(odd / "ask.new", b"odd")
        os.rename(odd / "ask.new", odd / "ask")
        wait_for(lambda: len(worker.configs()[1]["odd"]) == count, f"{count} tasks", 30)
        worker.wait_running("odd")

    def owner():
        """Who has the first task."""
        last = max((event.epoch, index) for index, worker in enumerate(crew.made) for event in worker.events()
                   if event.connector == "odd" and event.task == 0 and event.what == "starting")
        return crew.made[last[1]]

    write(odd / "tasks", b"2")
    one, other = crew.start(2, **settings)
    one.create("odd", {"connector-class": "test.OddParts", "topic": f"odd-{uuid.uuid4().hex[:8]}", "source-record-converter": "string",
                       "tasks.max": "4", "odd.folder": str(odd), "count": "100"})
    one.wait_running("odd")
    lives_by(owner())
    split_into(3, other)
    lives_by(owner())
    first = owner()
    rest = other if first is one else one
    first.kill()
    wait_for(lambda: len(rest.allocated()) == 3, "all tasks are taken over", 30)
    lives_by(rest)
    rest.restart()
    rest.wait_joined()
    wait_for(lambda: len(rest.allocated()) == 3, "all tasks run again", 30)
    lives_by(rest)
    split_into(2, rest)
    split_into(0, rest)
    lives_by(rest)
    assert rest.allocated() == []
    third = crew.start(1, **settings)
    rest.kill()
    lives_by(third)
    third.wait_running("odd")
    split_into(1, third)
    wait_for(lambda: third.allocated() == ["odd"], "its task runs")
    for count, more in ((2, b""), (3, b"# another plugin\n")):  # when its host is gone
        write(plugins / "odd.plugin", more + read(plugins / "odd.plugin"))
        third.get("/plugin/reload")
        third.wait_log("(?s)" + "plugin files found=1 .*" * count)
        lives_by(third)
        before = where()
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda before=before: where() not in ([], before), lambda: f"it lives in another host: {read(odd / 'events')}", 30)
        lives_by(third)
        split_into(count, third)
    third.stop_connector("odd")
    wait_for(lambda: where() == [], "it is released")


def test_a_task_whose_call_hangs_goes_to_another_worker(crew, tmp_path):
    """Its own worker cannot start it again before the call is back, and leaves in an orderly way."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-I", os.path.join(rmq.TOP, "include"),
                    os.path.join(rmq.TOP, "tests", "hosts", "bad.c"), "-o", str(plugins / "bad.so")], check=True, timeout=120)
    settings = {"pluginPaths": plugins, "plugin_isolation": "none", "task_call_timeout_ms": 1000, "task_restart_backoff_ms": 100}
    topic = f"hang-{uuid.uuid4().hex[:8]}"
    one = crew.start(1, **settings)
    one.sink("good", topic, tmp_path / "numbers")
    one.create("badsource", {"connector-class": "test.BadSource", "topic": topic, "source-record-converter": "string", "bad.where": "poll",
                             "bad.how": "sleep", "bad.once": str(tmp_path / "once"), "bad.limit": "1000"})
    one.wait_failed("badsource", r"poll\(\) does not come back")
    other = crew.start(1, **settings)
    one.end()
    wait_file(tmp_path / "numbers", b"".join(b"%d\n" % number for number in range(1000)), 60)
    wait_for(lambda: sorted(other.allocated()) == ["badsource", "good"], "the other one has both", 30)


def lapse(span_s):
    """Let a lease run out."""
    end = time.monotonic() + span_s
    wait_for(lambda: time.monotonic() > end, "", span_s + 10)


# --- snapshots

@pytest.fixture(name="forgetful")
def forgetful_fixture(tmp_path):
    """A cluster whose broker has small files, of which some can be taken away while it is down, as retention does."""
    with rmq.Cluster(tmp_path / "servers", settings={"mappedFileSizeCommitLog": 1 << 20, "maxMessageSize": 500 << 10,
                                                     "cleanFileForciblyEnable": "false"}) as cluster:
        yield cluster


def forget(broker, topic):
    """The broker without its log but for the last two files; where the topic's first queue begins now."""
    folder = os.path.join(broker.folder, "store", "commitlog")
    broker.stop()
    for name in sorted(os.listdir(folder))[:-2]:
        os.unlink(os.path.join(folder, name))
    broker.start()
    return broker.queue_offsets(topic)[0][0]


def test_snapshots(forgetful, tmp_path):
    """Behind 10,000 messages a worker needs the snapshot only, and what stands before it may be deleted."""
    for crew in a_crew(forgetful, tmp_path):
        snapshots(forgetful, crew, tmp_path)


def snapshots(forgetful, crew, tmp_path):
    broker, topic, group = forgetful.broker, f"gantry-cluster-{crew.cluster}", f"gantry-snapshot-{crew.cluster}"
    workers = crew.start(2)
    names = sources(workers[0], tmp_path, 4)
    crew.wait_owned(names)
    with JavaTool(os.path.join(tmp_path, "tool"), forgetful.namesrv) as tool:
        # The same message again and again: every worker passes over it, and counts it.
        again = tool.pull(topic, 0, 0, 1)[0][0]["body"]
        tool.produce(topic, 9900 - broker.queue_offsets(topic)[0][1], 0, batch=1000, queue=0, bodies=[again])
        # Much goes on while it is made: between the message that it is as of, and its own place, stand others.
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            names += sum(pool.map(lambda number: sources(workers[number % 2], tmp_path, 1, number), range(10, 110)), [])
        wait_for(lambda: (broker.committed(group, topic, 0) or -1) > 0, "the offset of the snapshot", 20)
        snapshot = broker.committed(group, topic, 0)
        names += sources(workers[0], tmp_path, 2, 900)  # and behind it, too
        crew.wait_owned(names)
        assert snapshot >= 10000
        workers[1].stop_connector(names.pop(0))
        third = crew.start()
        assert f"snapshot={snapshot}" in third.log()
        behind = int(third.wait_log(r"took over the snapshot next=(\d+)").group(1))
        print(f"snapshot at {snapshot} as of {behind - 1}")
        wait_for(lambda: sum(crew.owners([third]).values()) == len(names) // 3, "its share", 20)
        crew.wait_owned(names)
        assert third.configs() == workers[0].configs()
    # The broker goes, and comes back without the beginning; nobody loses a task.
    before = {worker.folder: worker.events() for worker in crew.made}
    smallest = forget(broker, topic)
    print(f"snapshot at {snapshot}, the log begins at {smallest}")
    assert 0 < smallest <= snapshot
    wait_for(lambda: all(REACHED in worker.log() for worker in crew.made), "the log again", 30)
    assert {worker.folder: worker.events() for worker in crew.made} == before
    fourth = crew.start()
    assert f"offsets={smallest}.." in fourth.log() and "took over the snapshot" in fourth.log()
    wait_for(lambda: sum(crew.owners([fourth]).values()) == len(names) // 4, "its share", 20)
    crew.wait_owned(names)
    for worker in list(crew.made):
        worker.end()
    late = crew.start(2)
    crew.wait_owned(names)
    assert late[0].configs() == late[1].configs() and sorted(late[0].configs()[0]) == names
    assert overlaps(crew.made) == []


# --- the broker of the log goes and comes back

def test_a_broker_that_is_down_costs_nobody_his_tasks(tmp_path):
    """For longer than a lease: whether it was killed or stopped in order, which takes it off the name server's list."""
    with rmq.Cluster(tmp_path / "servers") as servers:
        for crew in a_crew(servers, tmp_path):
            workers = crew.start(2, lease_ms=4000)
            names = sources(workers[0], tmp_path, 4)
            crew.wait_owned(names)
            before = [worker.events() for worker in workers]
            for end in (servers.broker.stop, servers.broker.kill):
                reached = [worker.log().count(REACHED) for worker in workers]
                end()
                lapse(7)
                servers.broker.start()
                back_s = timed(lambda: all(worker.log().count(REACHED) > count for worker, count in zip(workers, reached)),
                               "the log again", 20)
                print(f"broker {end.__name__}: the log can be reached again {back_s:.1f} s after the broker is ready")
                made = sources(workers[1], tmp_path, 1, 10)
                crew.wait_owned(names + made)
                workers[0].stop_connector(made[0])
                crew.wait_owned(names)
                for worker, events in zip(workers, before):
                    assert [event for event in worker.events() if event.connector in names] == events


def test_a_worker_may_be_told_to_stop_without_a_broker(tmp_path):
    with rmq.Cluster(tmp_path / "servers") as servers:
        for crew in a_crew(servers, tmp_path):
            worker = crew.start(lease_ms=1000, lease_unreachable="stop")
            names = sources(worker, tmp_path, 2)
            crew.wait_owned(names)
            servers.broker.kill()
            wait_for(lambda: worker.allocated() == [], "its tasks to stop", 5)
            servers.broker.start()
            crew.wait_owned(names)


# --- cut off

CUTS = {
    "stalled": lambda aside: [proxy.stall() for proxy in aside.proxies],
    "half, what it sends": lambda aside: aside.broker.stall("to_server"),
    "half, what it gets": lambda aside: aside.broker.stall("to_client"),
    "refused": lambda aside: [(proxy.refuse(), proxy.cut()) for proxy in aside.proxies],
}


@pytest.mark.parametrize("how", CUTS)
def test_a_worker_that_is_cut_off_stops_first(shared, crew, tmp_path, how):
    """Its tasks stand still before another one starts them. With a refused connection the worker would take the broker for
    gone, for all: unless it is told to stop."""
    with Aside(shared) as aside:
        settings = {"lease_unreachable": "stop"} if how == "refused" else {}
        cut_off = crew.new(aside.namesrv, **settings).start()
        cut_off.wait_joined()
        other = crew.start()
        names = sources(other, tmp_path, 6)
        crew.wait_owned(names)
        assert len(cut_off.allocated()) == 3 and aside.broker.connections > 0
        begin = time.time()
        CUTS[how](aside)
        wait_for(lambda: crew.owners([other]) == dict.fromkeys(names, 1), lambda: f"all: {crew.owners([other])}", FAILOVER_S + 2)
        taken_s = max(event.time for event in starts(other, begin)) - begin
        stopped_s = max(event.time for event in cut_off.events() if event.what == "stopped") - begin
        print(f"cut off ({how}): its tasks stand still after {stopped_s:.1f} s, run elsewhere after {taken_s:.1f} s")
        assert stopped_s < taken_s <= FAILOVER_S
        assert overlaps(crew.made) == []
        for proxy in aside.proxies:
            proxy.accept()
            proxy.resume()
        wait_for(lambda: len(cut_off.allocated()) == 3, "its share again", 20)
        crew.wait_owned(names)
        assert overlaps(crew.made) == []
        crew.end()
