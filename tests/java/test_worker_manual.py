# SPDX-License-Identifier: Apache-2.0
"""The two jars of the manual's log line through the worker: by name from a plugin folder, by the manual's requests."""
import json
import os
import re
import sys

import pytest

import driver
import workers
from harness import SINK, SOURCE, wait_file, wait_for, write

sys.path.insert(0, os.path.join(driver.TOP, "tests", "rocketmq"))

import cluster as rmq  # noqa: E402
from javatool import JavaTool  # noqa: E402

SAMPLE = "rocketmq-connect-sample-0.0.1-SNAPSHOT.jar"
REPLICATOR = "rocketmq-replicator-0.1.0-SNAPSHOT.jar"
REPLICATOR_CLASS = "org.apache.rocketmq.replicator.RmqSourceReplicator"
JSON_CONVERTER = {"source-record-converter": "org.apache.rocketmq.connect.runtime.converter.JsonConverter"}
TEXT = "".join(f"line {number} äöü\n" for number in range(3000)).encode()


@pytest.fixture
def worker(tmp_path):
    """With a folder of plugins that was empty when it started: the jars are taken up by /plugin/reload."""
    with workers.java_worker(tmp_path / "w", host_idle_ms=300) as one:
        assert "Loading plugin" not in one.log()
        for name in (REPLICATOR, SAMPLE):
            workers.put(one, name)
        workers.reload(one)
        for name in (REPLICATOR, SAMPLE):
            one.wait_log(rf"Loading plugin from: {re.escape(os.path.join(one.plugins, name))}")
        yield one


def by_the_jar(worker, name):
    """What the jar's own log line of a source's start says; the built-in one has none."""
    return f"logger=FileConnector connector={name} " in worker.log()


def entries(worker, topic):
    """The bodies, without what is told of when and whither."""
    found = [json.loads(body) if body.startswith(b"{") else body for body in worker.bodies(topic)]
    return [{key: value for key, value in one.items() if key not in ("timestamp", "queueName")} if isinstance(one, dict) else one
            for one in found]


@pytest.mark.parametrize("converter", [{}, JSON_CONVERTER], ids=["none", "json"])
def test_a_file_goes_from_jar_to_native_and_back(worker, tmp_path, converter):
    write(tmp_path / "in", TEXT)
    source = {"connector-class": SOURCE, "filename": str(tmp_path / "in"), **converter}
    sink = {"connector-class": SINK, **converter}
    for name, more in (("jar", {"plugin.prefer": "file"}), ("native", {})):
        worker.create(f"{name}-source", {**source, "topic": f"from-{name}", **more})
        for topic in ("from-jar", "from-native"):
            worker.create(f"{name}-sink-{topic}", {**sink, "topicNames": topic, "filename": str(tmp_path / f"{name}-{topic}"), **more})
    for name in ("jar", "native"):
        for topic in ("from-jar", "from-native"):
            wait_file(tmp_path / f"{name}-{topic}", TEXT, 60)
    assert by_the_jar(worker, "jar-source") and not by_the_jar(worker, "native-source")
    assert entries(worker, "from-jar") == entries(worker, "from-native")
    assert "not known to" not in worker.log()


def test_the_setting_chooses_the_jar_and_a_connector_may_choose_otherwise(worker, tmp_path):
    worker.restart(plugin_prefer="file")
    write(tmp_path / "in", TEXT)
    source = {"connector-class": SOURCE, "topic": "fileTopic", "filename": str(tmp_path / "in")}
    worker.create("jar", source)
    worker.create("native", {**source, "topic": "other", "plugin.prefer": "builtin"})
    worker.create("sink", {"connector-class": SINK, "topicNames": "fileTopic", "filename": str(tmp_path / "out")})
    wait_file(tmp_path / "out", TEXT, 60)
    wait_for(lambda: len(worker.bodies("other")) == 3000, "the native source's lines")
    assert by_the_jar(worker, "jar") and not by_the_jar(worker, "native")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with rmq.Cluster(tmp_path_factory.mktemp("rocketmq")) as one:
        yield one


@pytest.mark.parametrize("prefer", ["file", "builtin"])
def test_the_replicator_copies_by_jar_or_natively(worker, broker, tmp_path, prefer):
    topic = f"copy-{prefer}"
    broker.create_topic(topic, queues=2)
    bodies = [b"message %d" % number for number in range(200)]
    with JavaTool(tmp_path, broker.namesrv) as tool:
        tool.produce(topic, 100, 0, bodies=bodies[:100], queue=0)
        tool.produce(topic, 100, 0, bodies=bodies[100:], queue=1)
        wait_for(lambda: workers.hosts(worker) == [], "the hosts that have opened the jars end")
        worker.create("r", {"connector-class": REPLICATOR_CLASS, "source-rocketmq": broker.namesrv, "target-rocketmq": broker.namesrv,
                            "replicator-store-topic": "s", "white-list": topic, "source-record-converter": "", "plugin.prefer": prefer,
                            "task-parallelism": "2", "refresh.interval": "1"})
        wait_for(lambda: len(worker.bodies(topic)) >= 200, lambda: f"200 copies; the log:\n{worker.log()}", 60)
        assert sorted(worker.bodies(topic)) == sorted(bodies)
        assert bool(workers.hosts(worker)) == (prefer == "file")
        worker.restart()
        tool.produce(topic, 1, 0, bodies=[b"later"], queue=0)
        wait_for(lambda: b"later" in worker.bodies(topic), lambda: f"one more copy; the log:\n{worker.log()}", 60)
        assert sorted(worker.bodies(topic)) == sorted([*bodies, b"later"])
