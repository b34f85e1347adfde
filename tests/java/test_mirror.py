# SPDX-License-Identifier: Apache-2.0
"""MirrorMaker's connectors (org.apache.kafka:connect-mirror), copying from a real Kafka server: by the driver and through the worker."""
import json
import re

import pytest

import driver
import workers
from harness import run_gantry, wait_for
from kafkaserver import Kafka

MIRROR, HEARTBEAT, CHECKPOINT = (f"org.apache.kafka.connect.mirror.Mirror{kind}Connector" for kind in ("Source", "Heartbeat", "Checkpoint"))
OWN = {
    MIRROR: {"replication.factor": "1", "emit.offset-syncs.enabled": "false", "sync.topic.acls.enabled": "false", "consumer.auto.offset.reset": "earliest"},
    HEARTBEAT: {"heartbeats.topic.replication.factor": "1", "emit.heartbeats.interval.seconds": "1"},
    CHECKPOINT: {"checkpoints.topic.replication.factor": "1", "offset-syncs.topic.replication.factor": "1", "emit.checkpoints.interval.seconds": "1",
                 "groups": "readers"},
}
BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with Kafka(tmp_path_factory.mktemp("kafka")) as one:
        yield one


def config(kafka, class_name, topics, **more):
    return {"connector.class": class_name, "source.cluster.alias": "far", "target.cluster.alias": "near", "topics": topics,
            "source.cluster.bootstrap.servers": kafka.address, "target.cluster.bootstrap.servers": kafka.address,
            "key.converter": BYTES, "value.converter": BYTES, "header.converter": BYTES, "tasks.max": "1", **OWN[class_name], **more}


def test_mirror_maker_copies_and_goes_on_where_it_was(tmp_path, kafka, plugin_path):
    kafka.produce("things", [f"k{number}:v{number}" for number in range(500)])
    given = config(kafka, MIRROR, "things", name="m")
    with driver.Host(tmp_path) as host:
        plugin = host.load(plugin_path("connect-mirror"))
        assert {one["classes"][0] for one in host.plugins[plugin]["connectors"]} == {MIRROR, HEARTBEAT, CHECKPOINT}
        assert host.validate(plugin, MIRROR, "m", given) == []
        source = host.run(plugin, MIRROR, "m", given, "source")
        source.wait(500, 120)
        assert {(record.topic, record.key, record.value) for record in source.records} == {("far.things", b"k%d" % n, b"v%d" % n) for n in range(500)}
        assert list(host.positions["m"].values()) == [b'{"offset":499}']
        source.stop()
        kafka.produce("things", ["k500:v500"])
        again = host.run(plugin, MIRROR, "m", given, "source")
        again.wait(1, 120)
        assert [record.value for record in again.records] == [b"v500"]


def test_mirror_maker_through_the_worker(tmp_path, kafka):
    """Each record once over a killed JVM; heartbeats come, and are told of where they should go on. The names of its topics have
    dots, which RocketMQ does not allow: replication.policy.separator gives another one. Checkpoints say which offset of the copy
    a consumer's offset is; the worker tells no connector where a record came to lie, so the connector runs and has nothing to say
(and emit.offset-syncs.enabled=false keeps the source from complaining about it with each record)."""
    bodies = [b"v%d" % number for number in range(3000)]
    kafka.produce("more", [f"k{number}:v{number}" for number in range(2000)])
    kafka.consume("more", "readers", 10)
    with workers.java_worker(tmp_path / "w", "connect-mirror") as worker:
        for name, class_name in (("m", MIRROR), ("h", HEARTBEAT), ("c", CHECKPOINT)):
            worker.create(name, config(kafka, class_name, "more", **{"replication.policy.separator": "_"}))
        wait_for(lambda: len(worker.bodies("far_more")) >= 2000, lambda: f"2000 copies; the log:\n{worker.log()[-3000:]}", 120)
        wait_for(lambda: len(worker.bodies("heartbeats")) >= 2, lambda: f"heartbeats; the log:\n{worker.log()[-3000:]}", 60)
        workers.kill_hosts(worker)
        kafka.produce("more", [f"k{number}:v{number}" for number in range(2000, 3000)])
        wait_for(lambda: len(worker.bodies("far_more")) >= 3000, lambda: f"1000 more copies; the log:\n{worker.log()[-3000:]}", 120)
        assert sorted(worker.bodies("far_more")) == sorted(bodies)
        shown = run_gantry("topic", "cat", "far_more", "--format", "json", "--store", worker.store).stdout
        assert all(one["body"][1:] == one["key"][1:] for one in map(json.loads, shown.splitlines()))
        beats = len(worker.bodies("heartbeats"))
        wait_for(lambda: len(worker.bodies("heartbeats")) > beats, lambda: f"heartbeats go on; the log:\n{worker.log()[-3000:]}", 60)
        worker.wait_running("c")
        assert worker.messages("far_checkpoints_internal") == []
        assert not re.search(r"task FAILED connector=\w+ task=0: (?!.*signal 9)", worker.log()), worker.log()
