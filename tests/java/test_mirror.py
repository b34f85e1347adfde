# SPDX-License-Identifier: Apache-2.0
"""MirrorMaker's source connector (org.apache.kafka:connect-mirror), copying from a real Kafka server."""
import pytest

import driver
from kafkaserver import Kafka

MIRROR = "org.apache.kafka.connect.mirror.MirrorSourceConnector"
BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    with Kafka(tmp_path_factory.mktemp("kafka")) as one:
        yield one


def test_mirror_maker_copies_and_goes_on_where_it_was(tmp_path, kafka, plugin_path):
    kafka.produce("things", [f"k{number}:v{number}" for number in range(500)])
    config = {"name": "m", "connector.class": MIRROR, "source.cluster.alias": "far", "target.cluster.alias": "near", "topics": "things",
              "source.cluster.bootstrap.servers": kafka.address, "target.cluster.bootstrap.servers": kafka.address, "replication.factor": "1",
              "offset-syncs.topic.replication.factor": "1", "sync.topic.acls.enabled": "false", "consumer.auto.offset.reset": "earliest",
              "key.converter": BYTES, "value.converter": BYTES, "header.converter": BYTES, "tasks.max": "1"}
    with driver.Host(tmp_path) as host:
        plugin = host.load(plugin_path("connect-mirror"))
        assert {one["classes"][0].rsplit(".", 1)[1] for one in host.plugins[plugin]["connectors"]} == {
            "MirrorSourceConnector", "MirrorCheckpointConnector", "MirrorHeartbeatConnector"}
        assert host.validate(plugin, MIRROR, "m", config) == []
        source = host.run(plugin, MIRROR, "m", config, "source")
        source.wait(500, 120)
        assert {(record.topic, record.key, record.value) for record in source.records} == {("far.things", b"k%d" % n, b"v%d" % n) for n in range(500)}
        assert list(host.positions["m"].values()) == [b'{"offset":499}']
        source.stop()
        kafka.produce("things", ["k500:v500"])
        again = host.run(plugin, MIRROR, "m", config, "source")
        again.wait(1, 120)
        assert [record.value for record in again.records] == [b"v500"]
        beat = host.run(plugin, MIRROR.replace("Source", "Heartbeat"), "h", {
            **config, "name": "h", "connector.class": MIRROR.replace("Source", "Heartbeat"), "heartbeats.topic.replication.factor": "1",
            "emit.heartbeats.interval.seconds": "1"}, "source")
        assert beat.wait(2)[0].topic == "heartbeats"
