# SPDX-License-Identifier: Apache-2.0
"""The manual's other jar by its class name, rocketmq-replicator-0.1.0-SNAPSHOT.jar: thin as the real one, so it needs the library
folder (RocketMQ client and tools 4.5.2, fastjson, commons-lang3), and it copies from a real broker."""
import json
import os
import sys

import pytest

import driver

sys.path.insert(0, os.path.join(driver.TOP, "tests", "rocketmq"))

import cluster as rmq  # noqa: E402
from javatool import JavaTool  # noqa: E402

REPLICATOR = "org.apache.rocketmq.replicator.RmqSourceReplicator"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with rmq.Cluster(tmp_path_factory.mktemp("rocketmq")) as one:
        yield one


@pytest.fixture(scope="module")
def tool(broker, tmp_path_factory):
    with JavaTool(tmp_path_factory.mktemp("tool"), broker.namesrv) as one:
        yield one


def config(broker, **more):
    return {"source-rocketmq": broker.namesrv, "target-rocketmq": "127.0.0.1:1", "replicator-store-topic": "s", "white-list": "copy-.*",
            "source-record-converter": "", "refresh.interval": "1", **more}


def test_copies_each_message_once_and_goes_on_where_it_was(tmp_path, java, broker, tool, plugin_path):
    name = "copy-" + os.path.basename(os.path.dirname(os.path.dirname(java))).replace(".", "-")
    broker.create_topic(name, queues=2)
    bodies = [b"message %d" % number for number in range(100)]
    tool.produce(name, 50, 0, bodies=bodies[:50], queue=0)
    tool.produce(name, 50, 0, bodies=bodies[50:], queue=1)
    with driver.Host(tmp_path, java=java) as host:
        plugin = host.load(plugin_path("rocketmq-replicator-0.1.0-SNAPSHOT.jar"))
        assert host.plugins[plugin]["version"] == "0.1.0-SNAPSHOT"
        assert host.validate(plugin, REPLICATOR, "r", {})[0][1] == "Request config key: source-rocketmq"
        given = config(broker, **{"white-list": name, "task-parallelism": "2"})
        tasks = host.split(plugin, REPLICATOR, "r", given, 1)
        assert [json.loads(task["taskTopicList"])[0]["queueId"] for task in tasks] == [0, 1]
        sources = [host.source(plugin, REPLICATOR, "r", task, number, 2) for number, task in enumerate(tasks)]
        for source in sources:
            source.wait(50)
        # in 2019 each of a pull's copies had the body of its last message
        assert [record.value for record in sources[0].records + sources[1].records] == bodies
        assert {record.topic for record in sources[0].records} == {name} and sources[0].records[0].schema[2] == [("MessageExt", "STRING")]
        assert {json.loads(position)["nextPosition"] for position in host.positions["r"].values()} == {50}
        sources[0].stop()
        tool.produce(name, 1, 0, bodies=[b"later"], queue=0)
        again = host.source(plugin, REPLICATOR, "r", tasks[0], 0, 2)
        again.wait(1)
        assert [record.value for record in again.records] == [b"later"]
        assert not any(logger.startswith("Rocketmq") and level < 2 for _, level, logger, _ in host.logs)  # it chats


def test_asks_for_a_new_split_when_a_topic_appears(tmp_path, broker, plugin_path):
    broker.create_topic("watched-1", queues=1)
    with driver.Host(tmp_path) as host:
        plugin = host.load(plugin_path("rocketmq-replicator-0.1.0-SNAPSHOT.jar"))
        given = config(broker, **{"white-list": "watched-.*"})
        assert len(json.loads(host.split(plugin, REPLICATOR, "r", given, 1)[0]["taskTopicList"])) == 1
        broker.create_topic("watched-2", queues=1)
        host.wait(lambda: ("r", None) in host.reconfigures, "RECONFIGURE")
        assert len(json.loads(host.split(plugin, REPLICATOR, "r", given, 1)[0]["taskTopicList"])) == 2


def test_without_the_library_it_says_what_is_missing(tmp_path, plugin_path):
    with driver.Host(tmp_path, library=None) as host:
        plugin = host.load(plugin_path("rocketmq-replicator-0.1.0-SNAPSHOT.jar"))
        with pytest.raises(driver.Failed) as failed:
            host.split(plugin, REPLICATOR, "r", {"source-rocketmq": "127.0.0.1:1", "target-rocketmq": "x", "replicator-store-topic": "s",
                                                 "white-list": ".*", "source-record-converter": ""}, 1)
        assert "NoClassDefFoundError" in failed.value.text and failed.value.code == -16
