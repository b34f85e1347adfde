# SPDX-License-Identifier: Apache-2.0
"""The replicator between two real clusters: every message is counted, whatever is killed meanwhile."""

import base64
import collections
import json
import os
import random
import socket
import struct
import threading
import uuid

import pytest

import cluster as rmq
from harness import SINK, Worker, read, wait_for, write

SOURCE = "org.apache.rocketmq.replicator.RmqSourceReplicator"
META = "org.apache.rocketmq.replicator.RmqMetaReplicator"
BORN_MS = 1500000000000
JSON_CONVERTER = "org.apache.rocketmq.connect.runtime.converter.JsonConverter"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Source and target."""
    with rmq.Cluster(tmp_path_factory.mktemp("from"), settings={"brokerClusterName": "here", "timerWheelEnable": "true"}) as source, \
            rmq.Cluster(tmp_path_factory.mktemp("to"), settings={"brokerClusterName": "there"}) as target:
        yield source, target


@pytest.fixture
def name():
    return "t" + uuid.uuid4().hex[:8]


def send(broker, topic, queue, bodies, **properties):
    """One request, one batch: stored whole."""
    frame = b""
    pairs = "".join(f"{key}\1{value}\2" for key, value in properties.items()).encode()
    for body in bodies:
        body = body if isinstance(body, bytes) else body.encode()
        frame += struct.pack(">iiiii", 22 + len(body) + len(pairs), 0, 0, 0, len(body)) + body + \
            struct.pack(">h", len(pairs)) + pairs
    fields = {"a": "test-producer", "b": topic, "c": "TBW102", "d": 4, "e": queue, "f": 0, "g": BORN_MS, "h": 0, "i": "",
              "j": 0, "k": "false", "m": "true"}
    code, remark, *_ = broker.call(320, fields, frame, credentials=broker.credentials)
    assert code == 0, (code, remark)


def send_one(broker, topic, body, properties=""):
    code, remark, *_ = broker.call(
        310, {"a": "test-producer", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": BORN_MS, "h": 0,
              "i": properties, "j": 0, "k": "false"}, body, credentials=broker.credentials)
    assert code == 0, (code, remark)


def config(source, names, more=None):
    return {"connector-class": SOURCE, "source-rocketmq": source.namesrv, "white-list": names, "refresh.interval": 1,
            "source-record-converter": "string", **(more or {})}


def meta(source, names, more=None):
    return {"connector-class": META, "source-rocketmq": source.namesrv, "white-list": names, "refresh.interval": 1,
            "source-record-converter": "json2019", **(more or {})}


def worker_at(folder, target, **settings):
    return Worker(folder, namesrvAddr=target.namesrv, connectClusterId=f"c-{uuid.uuid4().hex[:8]}", **settings)


def copies(cluster, topic):
    return cluster.broker.messages(topic)


def wait_count(cluster, topic, count, worker, timeout_s=30):
    def stored():
        try:
            return sum(high for _, high in cluster.broker.queue_offsets(topic).values())
        except rmq.ServerError:
            return 0
    wait_for(lambda: stored() >= count, lambda: f"{count} messages in {topic}: {stored()}\n{worker.log()}", timeout_s)
    assert stored() == count


def by_queue(messages):
    """{queue: bodies in order}"""
    found = collections.defaultdict(list)
    for message in messages:
        found[message.queue].append(message.body)
    return dict(found)


class Producer:
    """Sends numbered messages to the queues of a topic until it is stopped; what was surely stored is in `sent`, what may be
    is in `unsure`."""

    def __init__(self, broker, topic, queues):
        self.broker, self.topic, self.queues = broker, topic, queues
        self.sent, self.unsure = {queue: [] for queue in range(queues)}, set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        number = 0
        while not self.over.is_set():
            queue = number % self.queues
            batch = [f"{queue}-{number}-{i}" for i in range(20)]
            number += 1
            try:
                send(self.broker, self.topic, queue, batch)
                self.sent[queue] += [body.encode() for body in batch]
            except (OSError, AssertionError):
                self.unsure.update(body.encode() for body in batch)
                self.over.wait(0.1)
            self.over.wait(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def stop(self):
        self.over.set()
        self.thread.join(20)


def test_a_copy_is_the_message(two, tmp_path, name):
    source, target = two
    source.create_topic(name, queues=3)
    odd = bytes(range(256))
    for queue in range(3):
        send(source.broker, name, queue, [f"{queue}-{i}" for i in range(500)], KEYS=f"k1 k{queue}", TAGS="red", up="v\u00fc")
    send(source.broker, name, 1, [odd, b"", "\u4e2d".encode()])
    # A delayed message that was delivered, and one of a transaction that was committed, say so.
    send(source.broker, name, 2, ["special"], PGROUP="g", DELAY="3", UNIQ_KEY="U1", __SHARDINGKEY="s",
         **{"connect-ext-x": "y", "connect.timestamp": "1234567890123", "gantry-id": "1.1.0.0.other", "gantry-tail": "7"})
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name, {"topic.rename.format": "copy-${topic}", "tasks.max": 2}))
        wait_count(target, f"copy-{name}", 1504, worker)
        originals, found = copies(source, name), copies(target, f"copy-{name}")
        assert sorted(target.broker.queue_offsets(f"copy-{name}")) == [0, 1, 2]
        assert by_queue(found) == by_queue(originals)
        for message in found[:10]:
            assert message.properties["KEYS"] == "k1 k0" and message.properties["TAGS"] == "red"
            assert message.properties["up"] == "v\u00fc" and message.properties["connect.timestamp"] == str(BORN_MS)
            assert message.properties["gantry.origin"] == f"here/broker-a/{name}/0/{message.offset}"
        special = found[-1]
        assert special.body == b"special"
        kept = {key: value for key, value in special.properties.items()
                if key in ("up", "KEYS", "TAGS", "PGROUP", "DELAY", "__SHARDINGKEY", "connect-ext-x", "connect.timestamp")}
        assert kept == {"__SHARDINGKEY": "s", "connect-ext-x": "y", "connect.timestamp": "1234567890123"}
        assert special.properties["gantry-id"].endswith(".copy")
        # Nothing comes again after a restart.
        worker.restart()
        worker.wait_running("copy")
        send(source.broker, name, 0, ["after"])
        wait_count(target, f"copy-{name}", 1505, worker)


@pytest.mark.parametrize("strategy", ["1", "0"], ids=["by-queue", "by-topic"])
def test_tasks_divide_the_work(two, tmp_path, name, strategy):
    source, target = two
    names = [f"{name}_{i}" for i in range(5)]
    for topic in names:
        source.create_topic(topic, queues=4)
        for queue in range(4):
            send(source.broker, topic, queue, [f"{topic}-{queue}-{i}" for i in range(50)])
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, rf"{name}_\d",
                                     {"task-parallelism": 3, "task-divide-strategy": strategy}))
        assert len(worker.configs()[1]["copy"]) == 3
        for topic in names:
            wait_count(target, topic, 200, worker)
            assert by_queue(copies(target, topic)) == by_queue(copies(source, topic))
        if strategy == "0":
            for topic in names:
                tasks = {message.properties["gantry-id"].split(".")[3] for message in copies(target, topic)}
                assert len(tasks) == 1
        else:
            tasks = {message.properties["gantry-id"].split(".")[3] for message in copies(target, names[0])}
            assert tasks == {"0", "1", "2"}


def test_fewer_queues_than_the_source(two, tmp_path, name):
    """Queues share a queue of the target; each stays in order, and a group's offset waits for the one that is behind."""
    source, target = two
    group = f"g-{name}"
    source.create_topic(name, queues=4)
    target.create_topic(name, queues=2)
    for step in range(10):
        for queue in range(4):
            send(source.broker, name, queue, [f"{queue}-{step}-{i}" for i in range(37)])
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name, {"tasks.max": 2}))
        wait_count(target, name, 1480, worker)
        found, originals = by_queue(copies(target, name)), by_queue(copies(source, name))
        for queue in range(4):
            mine = [body for body in found[queue % 2] if body.startswith(b"%d-" % queue)]
            assert mine == originals[queue]
        make_group(source, group)
        for queue in range(4):
            source.broker.admin(15, {"consumerGroup": group, "topic": name, "queueId": queue,
                                     "commitOffset": 100 if queue == 2 else 370})
        worker.create("meta", meta(source, name, {"group.white-list": group}))
        wait_for(lambda: group_offset(target, group, name, 1) == 740, lambda: worker.log())
        first = found[0].index(originals[2][100])
        wait_for(lambda: group_offset(target, group, name, 0), lambda: worker.log())
        assert group_offset(target, group, name, 0) == first


def test_what_appears_later_is_copied(two, tmp_path, name):
    source, target = two
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, f"{name}.*", {"source.start": "end"}))
        worker.wait_log("no topic of")
        source.create_topic(f"{name}-a", queues=2)
        send(source.broker, f"{name}-a", 1, [f"{i}" for i in range(30)])
        wait_count(target, f"{name}-a", 30, worker)
        source.create_topic(f"{name}-a", queues=4)
        source.create_topic(f"{name}-b", queues=1)
        send(source.broker, f"{name}-a", 3, ["new queue"])
        send(source.broker, f"{name}-b", 0, ["new topic"])
        wait_count(target, f"{name}-a", 31, worker)
        wait_count(target, f"{name}-b", 1, worker)


def test_a_topic_that_is_deleted_and_made_again(two, tmp_path, name):
    source, target = two
    source.create_topic(name, queues=1)
    send(source.broker, name, 0, [f"{i}" for i in range(50)])
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name))
        wait_count(target, name, 50, worker)
        source.broker.admin(215, {"topic": name})
        source.server.call(216, {"topic": name})
        worker.wait_log("topic .* is gone at the source")
        source.create_topic(name, queues=1)
        send(source.broker, name, 0, ["a", "b", "c"])
        wait_count(target, name, 53, worker)
        assert [message.body for message in copies(target, name)[50:]] == [b"a", b"b", b"c"]
        worker.restart()
        send(source.broker, name, 0, ["d"])
        wait_count(target, name, 54, worker)


def test_everything_is_what_users_made(two, tmp_path, name):
    source, _ = two
    source.create_topic(name, queues=1)
    send(source.broker, name, 0, ["mine"])
    source.create_topic(f"%RETRY%{name}", queues=1)
    send_one(source.broker, f"%RETRY%{name}", b"retry")
    with Worker(tmp_path) as worker:
        worker.create("copy", config(source, ".*", {"topic.rename.format": "all-${topic}"}))
        worker.create("retry", config(source, f"%RETRY%{name}", {"topic.rename.format": "retry-${topic}"}))
        for topic, body in ((f"all-{name}", b"mine"), (f"retry-%RETRY%{name}", b"retry")):
            wait_for(lambda topic=topic, body=body: worker.bodies(topic) == [body], lambda: worker.log())
        found = os.listdir(os.path.join(worker.store, "topics"))
        assert f"all-{name}" in found
        assert not [topic for topic in found if topic.startswith("all-") and not topic.startswith("all-t")], found


def test_where_it_begins(two, tmp_path, name):
    source, target = two
    source.create_topic(name, queues=1)
    send(source.broker, name, 0, ["before"])
    with worker_at(tmp_path, target) as worker:
        worker.create("end", config(source, name, {"source.start": "end", "topic": f"{name}-end"}))
        worker.wait_running("end")
        worker.wait_log(f"{name}: found")
        send(source.broker, name, 0, ["after"])
        wait_count(target, f"{name}-end", 1, worker)
        assert copies(target, f"{name}-end")[0].body == b"after"
        worker.create("time", config(source, name, {"source.start": "timestamp", "source.start.ms": 1,
                                                    "topic": f"{name}-time"}))
        wait_count(target, f"{name}-time", 2, worker)


@pytest.mark.parametrize("rounds", [int(os.environ.get("KILLS", "6"))])
def test_a_worker_that_is_killed(two, tmp_path, name, rounds):
    source, target = two
    source.create_topic(name, queues=4)
    luck = random.Random(11)
    worker = worker_at(tmp_path, target)
    with Producer(source.broker, name, 4) as producer:
        worker.start()
        try:
            worker.create("copy", config(source, name, {"tasks.max": 2}))
            for _ in range(rounds):
                before = sum(map(len, producer.sent.values()))
                wait_for(lambda before=before: sum(map(len, producer.sent.values())) > before + luck.randrange(200, 3000),
                         "messages", 20)
                worker.kill()
                worker.start()
            producer.stop()
            assert not producer.unsure
            total = sum(map(len, producer.sent.values()))
            print(f"{total} messages, {rounds} kills")
            wait_count(target, name, total, worker, 60)
            assert by_queue(copies(target, name)) == producer.sent
        finally:
            print(worker.log()[-5000:])
            worker.kill()


def test_into_the_embedded_log(two, tmp_path, name):
    source, _ = two
    source.create_topic(name, queues=2)
    sent = [f"{queue} {i}" for queue in range(2) for i in range(300)]
    for queue in range(2):
        send(source.broker, name, queue, [body for body in sent if body.startswith(f"{queue} ")], KEYS="k", TAGS="red", up="v")
    worker = Worker(tmp_path).start()
    try:
        worker.create("copy", config(source, name))
        worker.create("sink", {"connector-class": SINK, "topicNames": name, "filename": str(tmp_path / "out"),
                               "source-record-converter": "string"})
        out = tmp_path / "out"
        wait_for(lambda: len(read(out).splitlines()) >= 600, lambda: worker.log(), 30)
        worker.kill()
        worker.start()
        send(source.broker, name, 0, ["0 last"])
        wait_for(lambda: b"0 last\n" in read(out), lambda: worker.log(), 30)
        lines = read(out).decode().splitlines()
        assert sorted(lines) == sorted([*sent, "0 last"])
        for queue in range(2):
            assert [line for line in lines if line.startswith(f"{queue} ")] == \
                [body for body in [*sent, "0 last"] if body.startswith(f"{queue} ")]
        body, headers = worker.messages(name)[0]
        assert body.decode() == lines[0] and headers["TAGS"] == "red" and headers["up"] == "v"
    finally:
        print(worker.log()[-5000:])
        worker.kill()


def test_what_java_wrote_with_its_converter(two, tmp_path, name):
    """The entry of the Java replicator: one field MessageExt, named by topic and name servers. Bytes that are no text are
    base64, where it lost them."""
    source, target = two
    source.create_topic(name, queues=1)
    send(source.broker, name, 0, ["msg-0", b"\xff\x00"])
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name, {"source-record-converter": JSON_CONVERTER,
                                                    "topic.rename.format": "copy-${topic}"}))
        wait_count(target, f"copy-{name}", 2, worker)
        entries = [json.loads(message.body) for message in copies(target, f"copy-{name}")]
        assert entries[0] == {
            "entryType": "CREATE", "payload": [base64.b64encode(b'["msg-0"]').decode()], "queueName": f"copy-{name}",
            "schema": {"dataSource": source.namesrv, "fields": [{"index": 0, "name": "MessageExt", "type": "STRING"}],
                       "name": name}, "timestamp": BORN_MS}
        assert entries[1]["schema"]["fields"][0]["type"] == "BYTES"
        assert base64.b64decode(json.loads(base64.b64decode(entries[1]["payload"][0]))[0]) == b"\xff\x00"


def test_a_java_replicator_s_positions_are_taken_over(two, tmp_path, name):
    source, _ = two
    source.create_topic(name + "x", queues=2)
    for queue in range(2):
        send(source.broker, name + "x", queue, [f"{queue}-{i}" for i in range(10)])

    def table(entries):
        return json.dumps({base64.b64encode(key.encode()).decode(): base64.b64encode(value.encode()).decode()
                           for key, value in entries.items()}).encode()
    worker = Worker(tmp_path)
    folder = os.path.join(worker.store, "config")
    os.makedirs(folder)
    old = config(source, name + "x", {"replicator-store-topic": "replicatorTopic", "target-rocketmq": source.namesrv,
                                      "update-timestamp": "1562315423417"})
    old = {key: str(value) for key, value in old.items()}
    write(os.path.join(folder, "connectorConfig.json"), table({'"copy"': json.dumps({"properties": old})}))
    write(os.path.join(folder, "position.json"), table({f"broker-a{name}x0": '{"nextPosition":7}'}))
    with worker:
        wait_for(lambda: len(worker.bodies(name + "x")) >= 13, lambda: worker.log(), 20)
        assert sorted(worker.bodies(name + "x")) == sorted(
            [f"0-{i}".encode() for i in range(7, 10)] + [f"1-{i}".encode() for i in range(10)])
        assert "at offset 7 of the Java replicator" in worker.log()


def test_nothing_goes_in_circles(two, tmp_path, name):
    source, target = two
    target.create_topic(name, queues=1)
    send(target.broker, name, 0, ["once"])
    with worker_at(tmp_path / "same", target) as worker:
        worker.create("itself", config(target, name))
        worker.wait_failed("itself", "copied onto itself")
        worker.stop_connector("itself")
        worker.create("beside", config(target, f".*{name}", {"topic.rename.format": "copy-${topic}"}))
        wait_count(target, f"copy-{name}", 1, worker)
        worker.restart()
        send(target.broker, name, 0, ["twice"])
        wait_count(target, f"copy-{name}", 2, worker)
        assert not copies(target, f"copy-copy-{name}")
    # In both directions: a message that has come from there does not go back.
    source.create_topic(name + "y", queues=1)
    target.create_topic(name + "y", queues=1)
    send(source.broker, name + "y", 0, ["from source"])
    send(target.broker, name + "y", 0, ["from target"])
    there, here = {"source-cluster": "here", "target-cluster": "there"}, {"source-cluster": "there", "target-cluster": "here"}
    with worker_at(tmp_path / "there", target) as one, worker_at(tmp_path / "here", source) as other:
        one.create("there", config(source, name + "y", there))
        other.create("here", config(target, name + "y", here))
        for cluster, worker in ((source, other), (target, one)):
            wait_count(cluster, name + "y", 2, worker)
        send(source.broker, name + "y", 0, ["more"])
        for cluster, worker in ((source, other), (target, one)):
            wait_count(cluster, name + "y", 3, worker)


def test_what_is_wrong_is_said(two, tmp_path, name):
    source, target = two
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with worker_at(tmp_path, target) as worker:
            worker.create("away", config(source, name, {"source-rocketmq": address}))
            worker.wait_failed("away", f"source-rocketmq={address}")
            wait_for(lambda: worker.log().count("starting a failed task again connector=away") >= 2, "restarts", 20)
            worker.create("nowhere", config(source, name, {"target-rocketmq": address}))
            worker.wait_failed("nowhere", f"target-rocketmq={address}")
            worker.create("cluster", config(source, name, {"source-cluster": "elsewhere"}))
            worker.wait_failed("cluster", "source-cluster: .* know no cluster 'elsewhere'; they know: here")
            assert "source-rocketmq" in worker.refuse("a", config(source, name, {"source-rocketmq": "nonsense:port"}))
            assert "white-list" in worker.refuse("b", config(source, "[a"))
            assert "(?" in worker.refuse("c", config(source, "(?i)a"))
            assert "${topic}" in worker.refuse("d", config(source, name, {"topic.rename.format": "x"}))
            assert "source.secretKey" in worker.refuse("e", config(source, name, {"source.accessKey": "a"}))
            assert "source.start.ms" in worker.refuse("f", config(source, name, {"source.start": "timestamp"}))
            missing = config(source, name)
            del missing["white-list"]
            assert "white-list" in worker.refuse("g", missing)
            # And the others are not disturbed.
            source.create_topic(name, queues=1)
            send(source.broker, name, 0, ["fine"])
            worker.create("fine", config(source, name))
            wait_count(target, name, 1, worker)


def test_a_source_with_tls_and_users(two, tmp_path, name):
    _, target = two
    tls = rmq.Tls(tmp_path / "tls")
    acl = rmq.Acl(users={"reader": ("reader-secret", {f"Topic:{name}": ["Sub"], "Group:gantry-replicator": ["Sub"]})})
    with rmq.Cluster(tmp_path / "from", tls=tls, acl=acl) as source, worker_at(tmp_path / "worker", target) as worker:
        source.create_topic(name, queues=1)
        source.create_topic(name + "z", queues=1)
        send_one(source.broker, name, b"secret message", "TAGS\1red\2")
        keys = {"source.tls.enable": "true", "source.tls.client.authServer": "true",
                "source.tls.client.trustCertPath": tls.path("ca.pem"), "source.accessKey": "reader",
                "source.secretKey": "reader-secret"}
        worker.create("copy", config(source, name, keys))
        wait_count(target, name, 1, worker)
        worker.create("denied", config(source, name + "z", keys))
        worker.wait_failed("denied", f"does not let group gantry-replicator read topic {name}z")
        worker.create("plain", config(source, name, {**keys, "source.tls.enable": "false"}))
        worker.wait_failed("plain", "source-rocketmq")
        assert "reader-secret" not in worker.log() + str(worker.configs())


def make_group(cluster, group, **more):
    cluster.broker.admin(200, body=json.dumps({
        "groupName": group, "consumeEnable": True, "consumeFromMinEnable": True, "consumeBroadcastEnable": True,
        "retryQueueNums": 1, "retryMaxTimes": 16, "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1, **more}).encode())


def group_offset(cluster, group, topic, queue):
    return cluster.broker.committed(group, topic, queue)


def test_definitions_groups_and_offsets(two, tmp_path, name):
    source, target = two
    group = f"g-{name}"
    source.create_topic(name, queues=3)
    source.create_topic(name + "-empty", queues=2, perm=4)
    make_group(source, group, consumeBroadcastEnable=False, consumeMessageOrderly=True, retryQueueNums=2, retryMaxTimes=7)
    # The target's queues have other offsets: something was there before.
    target.create_topic(name, queues=3)
    for queue in range(3):
        send(target.broker, name, queue, ["older"] * (queue + 1))
        send(source.broker, name, queue, [f"{queue}-{i}" for i in range(100)])
    stands = {0: 100, 1: 42, 2: 1}

    def consume(queue, offset):
        source.broker.admin(15, {"consumerGroup": group, "topic": name, "queueId": queue, "commitOffset": offset})
    for queue, offset in stands.items():
        consume(queue, offset)
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name))
        for queue in range(3):
            wait_for(lambda queue=queue: target.broker.queue_offsets(name)[queue][1] == 101 + queue,
                     lambda: f"{target.broker.queue_offsets(name)}\n{worker.log()}")
        worker.create("meta", meta(source, f"{name}.*", {"group.white-list": f"g-{name}", "offset.sync.topic": f"{name}-sync"}))
        for queue, offset in stands.items():
            wait_for(lambda queue=queue, offset=offset: group_offset(target, group, name, queue) == offset + queue + 1,
                     lambda: f"{[group_offset(target, group, name, i) for i in range(3)]}\n{worker.log()}")
        made = rmq.loads(target.broker.admin(201)[1])["subscriptionGroupTable"][group]
        assert (made["retryMaxTimes"], made["retryQueueNums"], made["consumeBroadcastEnable"]) == (7, 2, False)
        topics = rmq.loads(target.broker.admin(21)[1])["topicConfigTable"]
        assert (topics[name + "-empty"]["readQueueNums"], topics[name + "-empty"]["perm"]) == (2, 4)
        # It goes on with the group, and never back.
        consume(1, 90)
        wait_for(lambda: group_offset(target, group, name, 1) == 92, lambda: worker.log())
        target.broker.admin(15, {"consumerGroup": group, "topic": name, "queueId": 2, "commitOffset": 50})
        consume(2, 20)
        consume(0, 100)
        consume(1, 95)
        wait_for(lambda: group_offset(target, group, name, 1) == 97, lambda: worker.log())
        assert group_offset(target, group, name, 2) == 50
        wait_for(lambda: len(copies(target, f"{name}-sync")) >= 5, lambda: worker.log())
        entry = json.loads(copies(target, f"{name}-sync")[0].body)
        assert entry["entryType"] == "UPDATE" and entry["schema"]["fields"][0] == \
            {"index": 0, "name": "Offset", "type": "INT64"}
        worker.create("same", meta(target, name))
        worker.wait_failed("same", "lead to one cluster")


def test_clusters_that_are_killed(two, tmp_path, name):
    """First the source's broker, then the target's, with kill -9, while messages come; none is lost and none comes twice."""
    source, target = two
    source.create_topic(name, queues=2)
    with worker_at(tmp_path, target) as worker, Producer(source.broker, name, 2) as producer:
        worker.create("copy", config(source, name))

        def wait_more(count):
            before = sum(map(len, producer.sent.values()))
            wait_for(lambda: sum(map(len, producer.sent.values())) > before + count, "messages", 60)
        wait_more(500)
        wait_for(lambda: len(copies(target, name)) > 0, lambda: worker.log())
        source.broker.restart(kill=True)
        wait_more(500)
        target.broker.restart(kill=True)
        wait_more(500)
        producer.stop()
        originals = by_queue(copies(source, name))

        def difference():
            found = by_queue(copies(target, name))
            lines = []
            for queue in sorted({*found, *originals}):
                there, here = collections.Counter(found.get(queue, [])), collections.Counter(originals.get(queue, []))
                lines.append(f"queue {queue}: {len(found.get(queue, []))} of {len(originals.get(queue, []))}, missing "
                             f"{list((here - there).items())[:5]}, too many {list((there - here).items())[:5]}")
            return "\n".join(lines)
        wait_for(lambda: by_queue(copies(target, name)) == originals, lambda: f"{difference()}\n{worker.log()}", 20)
        for queue, sent in producer.sent.items():
            assert set(sent) <= set(originals[queue])
        assert worker.status("copy") == "runing" and "task FAILED" not in worker.log()
