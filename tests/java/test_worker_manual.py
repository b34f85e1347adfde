# SPDX-License-Identifier: Apache-2.0
"""The two jars of the manual's log line through the worker: by name from a plugin folder, by the manual's requests."""
import json
import os
import re
import sys

import pytest

import driver
import workers
from harness import SINK, SOURCE, append, lines, read, wait_file, wait_for, write

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


def test_jars_with_topics_in_a_broker(broker, tmp_path):
    """On another JDK than the default one. Each line of a file passes a topic in RocketMQ, though the JVM is killed and the worker
    started anew; a record keeps its headers, also the one that has no value, which brokers would drop."""
    java = list(driver.jdks().values())[-1]
    strings = {"value.converter": "StringConverter", "key.converter": "StringConverter"}
    file = "org.apache.kafka.connect.file.FileStream%sConnector"
    text = lines(3000)  # ASCII, for that connector counts its position in characters and skips it as bytes
    write(tmp_path / "in", text)
    with workers.java_worker(tmp_path / "w", "connect-file-3.9.2.jar", "kafka-probe.jar", namesrvAddr=broker.namesrv, connectClusterId="jars",
                             host_java_home=os.path.dirname(os.path.dirname(java))) as worker:
        workers.create(worker, "sink", {"connector.class": file % "Sink", "topics": "lines", "file": str(tmp_path / "out"), **strings})
        workers.create(worker, "source", {"connector.class": file % "Source", "topic": "lines", "file": str(tmp_path / "in"), **strings})
        wait_for(lambda: len(read(tmp_path / "out").splitlines()) >= 1000, lambda: f"lines; the log:\n{worker.log()}", 90)
        assert {os.path.realpath(f"/proc/{pid}/exe") for pid in workers.hosts(worker)} == {java}
        workers.kill_hosts(worker)
        append(tmp_path / "in", b"one more\n")
        wait_for(lambda: b"one more\n" in read(tmp_path / "out"), lambda: f"one more; the log:\n{worker.log()}", 90)
        worker.restart()
        append(tmp_path / "in", b"the last\n")
        wait_for(lambda: b"the last\n" in read(tmp_path / "out"), lambda: f"the last; the log:\n{worker.log()}", 90)
        bodies = [message.body for message in broker.broker.messages("lines")]
        assert sorted(bodies) == sorted([*text.splitlines(), b"one more", b"the last"])  # each once
        workers.create(worker, "probe-source", {"connector.class": "probe.kafka.ProbeSource", "topic": "heads", "count": "1", "what": "headers", **strings})
        workers.create(worker, "probe-sink", {"connector.class": "probe.kafka.ProbeSink", "topics": "heads", **strings})
        put = wait_for(lambda: re.search(r"EVENT put heads-\d+ 0 null v1 5 STRING (.*)", worker.log()), lambda: f"the record; the log:\n{worker.log()}", 90)
        for header in ("key=one, value=eins", "key=two, value=2", "key=three, value=true", "key=four, value=null"):
            assert f"ConnectHeader({header}, " in put.group(1)
        append(tmp_path / "in", b"report this\n")
        workers.create(worker, "bad", {"connector.class": "probe.kafka.ProbeSink", "topics": "lines", "errors.tolerance": "all", **strings,
                                       "errors.deadletterqueue.topic.name": "dead", "errors.deadletterqueue.context.headers.enable": "true"})
        letter = wait_for(lambda: broker.broker.messages("dead"), lambda: f"the letter; the log:\n{worker.log()}", 90)
        assert [message.body for message in letter] == [b"report this"]
        assert letter[0].properties["connect-ext-__connect.errors.exception.message"] == "a bad one"
    assert set(text.splitlines()) <= set(read(tmp_path / "out").splitlines())
