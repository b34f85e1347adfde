# SPDX-License-Identifier: Apache-2.0
"""MirrorMaker's source connector (org.apache.kafka:connect-mirror), copying from a real Kafka server."""
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

import databases
import driver

MIRROR = "org.apache.kafka.connect.mirror.MirrorSourceConnector"
BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"


class Kafka:
    """One server, its own controller, in `folder`; what its command-line classes can do."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.port, self.controller = databases.free_port(), databases.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = os.path.join(self.folder, "log")
        self.process = None
        with open(os.path.join(self.folder, "server.properties"), "w", encoding="ascii") as file:
            file.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller}
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.controller}
advertised.listeners=PLAINTEXT://{self.address}
controller.listener.names=CONTROLLER
log.dirs={self.folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
group.initial.rebalance.delay.ms=0
""")

    def command(self, *words):
        return [shutil.which("java"), *driver.QUICK, "-Xmx384m", "-cp", os.path.join(driver.OUT, "kafka-server", "*"), *words]

    def run(self, *words, text=None):
        done = subprocess.run(self.command(*words), input=text, capture_output=True, text=True, check=False, timeout=120, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __enter__(self):
        settings = os.path.join(self.folder, "server.properties")
        self.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", settings)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("kafka.Kafka", settings), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + 90
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < until, open(self.log, encoding="utf-8").read()[-3000:]
            time.sleep(0.2)
        return self

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def __exit__(self, kind, value, trace):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def produce(self, topic, lines):
        self.run("kafka.tools.ConsoleProducer", "--bootstrap-server", self.address, "--topic", topic, "--property", "parse.key=true",
                 "--property", "key.separator=:", text="".join(line + "\n" for line in lines))


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
