# SPDX-License-Identifier: Apache-2.0
"""Topics in RocketMQ against a real broker: the program live_topic (of the build folder)
writes numbered records like a source and reads them like a sink, each run in a process that may be killed."""

import json
import os
import random
import subprocess
import time

import pytest

import cluster as rmq


def program():
    return rmq.built("live_topic", "tests", "unit")


def words(namesrv, store, command, topic, *more):
    return [program(), namesrv, str(store), command, topic, *map(str, more)]


def run(namesrv, store, command, topic, *more, timeout_s=120):
    done = subprocess.run(words(namesrv, store, command, topic, *more), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    lines = done.stdout.splitlines()
    return lines[:-1], json.loads(lines[-1])


def read(namesrv, store, topic, count):
    lines, _ = run(namesrv, store, "read", topic, count)
    return [int(line.split()[1]) for line in lines]


def stored(broker, topic):
    return sum(high - low for low, high in broker.queue_offsets(topic).values())


def test_records_arrive_in_order_and_once(shared, tmp_path):
    lines, outcome = run(shared.namesrv, tmp_path / "source", "write", "order", 20000, 700)
    assert lines[0] == "from 0" and outcome["records"] == 20000
    assert read(shared.namesrv, tmp_path / "sink", "order", 12345) == list(range(12345))
    run(shared.namesrv, tmp_path / "source", "write", "order", 21000)
    assert read(shared.namesrv, tmp_path / "sink", "order", 21000 - 12345) == list(range(12345, 21000))


def test_java_reads_what_was_written(shared, tool, tmp_path):
    run(shared.namesrv, tmp_path / "source", "write", "for-java", 500, 90)
    rmq.wait_for(lambda: stored(shared.broker, "for-java") == 500, "all messages")  # it shows them a while later
    found = []
    for queue_id, (low, high) in sorted(shared.broker.queue_offsets("for-java").items()):
        if high > low:
            found += tool.pull("for-java", queue_id, low, high - low, broker=shared.broker.broker_name)[0]
    assert [int(message["body"].split()[1]) for message in found] == list(range(500))


def test_what_java_wrote_is_read(shared, tool, tmp_path):
    shared.create_topic("from-java", queues=1)
    tool.produce("from-java", 50, 30, tag="red", key="k1", prop="a=1,b=2")
    lines, _ = run(shared.namesrv, tmp_path / "sink", "read", "from-java", 50)
    assert len(lines) == 50


def test_the_group_shows_the_progress(shared, tmp_path):
    run(shared.namesrv, tmp_path / "source", "write", "lag", 300)
    read(shared.namesrv, tmp_path / "sink", "lag", 300)

    def offsets():
        group = "connector-consumer-group-live-sink"
        return sum(shared.broker.committed(group, "lag", queue_id) or 0 for queue_id in range(4))

    rmq.wait_for(lambda: offsets() == 300, "the group's offsets")


@pytest.mark.parametrize("rounds", [int(os.environ.get("KILLS", "12"))])
def test_a_source_that_is_killed_sends_each_record_once(shared, tmp_path, rounds):
    """Killed at any moment; what it had sent is found by the next run, nothing is there twice."""
    luck, to = random.Random(7), 0
    for _ in range(rounds):
        to += 40000
        source = subprocess.Popen(words(shared.namesrv, tmp_path / "source", "write", "killed", to, luck.choice((3, 50, 500))),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.4 + luck.random() * 0.8)
        source.kill()
        source.wait()
    run(shared.namesrv, tmp_path / "source", "write", "killed", to)
    rmq.wait_for(lambda: stored(shared.broker, "killed") >= to, "all records")
    assert read(shared.namesrv, tmp_path / "sink", "killed", to) == list(range(to))
    assert stored(shared.broker, "killed") == to


def test_a_sink_that_goes_on_gets_each_record_once(shared, tmp_path):
    run(shared.namesrv, tmp_path / "source", "write", "steps", 5000, 333)
    seen, luck = [], random.Random(3)
    while len(seen) < 5000:
        seen += read(shared.namesrv, tmp_path / "sink", "steps", min(luck.randrange(1, 900), 5000 - len(seen)))
    assert seen == list(range(5000))


def test_a_broker_that_is_killed_and_comes_back(tmp_path):
    with rmq.Cluster(tmp_path / "cluster") as cluster:
        run(cluster.namesrv, tmp_path / "source", "write", "back", 1000)
        source = subprocess.Popen(words(cluster.namesrv, tmp_path / "source", "write", "back", 200000, 100),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.7)
        cluster.broker.restart(kill=False)
        out, problems = source.communicate(timeout=120)
        assert source.returncode == 0, out[-300:] + problems
        assert read(cluster.namesrv, tmp_path / "sink", "back", 200000) == list(range(200000))
        assert stored(cluster.broker, "back") == 200000
