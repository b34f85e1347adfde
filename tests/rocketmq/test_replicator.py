# SPDX-License-Identifier: Apache-2.0
"""The replicator between two real clusters: every message is counted, whatever is killed meanwhile."""

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
from harness import SINK, Worker, read, wait_for

SOURCE = "org.apache.rocketmq.replicator.RmqSourceReplicator"
META = "org.apache.rocketmq.replicator.RmqMetaReplicator"
JSON_CONVERTER = "org.apache.rocketmq.connect.runtime.converter.JsonConverter"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Source and target."""
    with rmq.Cluster(tmp_path_factory.mktemp("from"), settings={"brokerClusterName": "here"}) as source, \
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
        frame += struct.pack(">iiiii", 20 + len(body) + 2 + len(pairs), 0, 0, 0, len(body)) + body + \
            struct.pack(">h", len(pairs)) + pairs
    fields = {"a": "test-producer", "b": topic, "c": "TBW102", "d": 4, "e": queue, "f": 0, "g": 1500000000000, "h": 0,
              "i": "", "j": 0, "k": "false", "m": "true"}
    code, remark, *_ = broker.call(320, fields, frame, credentials=broker.credentials)
    assert code == 0, (code, remark)


def config(source, names, more=None):
    return {"connector-class": SOURCE, "source-rocketmq": source.namesrv, "white-list": names, "refresh.interval": 1,
            "source-record-converter": "string", **(more or {})}


def worker_at(folder, target, **settings):
    return Worker(folder, namesrvAddr=target.namesrv, connectClusterId=f"c-{uuid.uuid4().hex[:8]}", **settings)


def bodies(cluster, topic):
    return collections.Counter(message.body.decode() for message in cluster.broker.messages(topic))


def test_smoke(two, tmp_path, name):
    source, target = two
    source.create_topic(name, queues=3)
    for queue in range(3):
        send(source.broker, name, queue, [f"{queue}-{i}" for i in range(100)], KEYS="k", TAGS="red", up="v")
    with worker_at(tmp_path, target) as worker:
        worker.create("copy", config(source, name))
        wait_for(lambda: sum(bodies(target, name).values()) >= 300, lambda: worker.log(), 20)
        found = target.broker.messages(name)
        print(found[0].properties, found[0].queue)
        assert len(found) == 300
    print(worker.log())
