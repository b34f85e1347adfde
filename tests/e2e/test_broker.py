# SPDX-License-Identifier: Apache-2.0
"""A worker whose RocketMQ is not as it should be: what its user sees, and that it ends well all the same."""

import json
import socket
import time
from urllib.parse import unquote

import pytest

from harness import LISTENING, Broker, append, lines, source_config, wait_file, wait_for, write

pytestmark = pytest.mark.broker


def why_not(worker, name):
    """Why a connector does not run, once that is known."""
    def look():
        reply = worker.get(f"/connectors/{name}/status")
        return reply.text == "not runing" and unquote(reply.field("X-Gantry-Error") or "")
    return wait_for(look, f"why {name} does not run")


def ends_soon(worker):
    begun = time.monotonic()
    assert worker.stop() == 0, worker.log()
    assert time.monotonic() - begun < 6, worker.log()


def test_servers_that_are_not_there(new_worker, tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        worker = new_worker(namesrvAddr=address).launch()
        worker.wait_log("cannot reach the cluster log, .*namesrvAddr.*" + address)
        worker.port = int(LISTENING.search(worker.log()).group(1))
        assert worker.get("/getConfigInfo").text == "ConnectorConfigs:{}\nTaskConfigs:{}"
        assert address in why_not(worker, "any")
        why = worker.refuse("new", source_config("t", write(tmp_path / "in", b"1\n")))
        assert address in why and "try again" in why
        ends_soon(worker)


def test_a_topic_that_may_only_be_read(worker, tmp_path):
    topic = Broker.topics("t")
    Broker.servers.create_topic(topic, perm=4)
    worker.source("source", "t", write(tmp_path / "in", b"1\n"))
    worker.sink("sink", "t", tmp_path / "out")
    why = why_not(worker, "source")
    assert topic in why and "may only be read" in why
    assert Broker.messages(topic) == []
    Broker.servers.create_topic(topic, perm=6)
    wait_file(tmp_path / "out", b"1\n")
    worker.wait_running("source")


def test_a_topic_that_cannot_be_made(new_worker, tmp_path):
    worker = new_worker(autoCreateTopicEnable="false").start()
    assert worker.create_raw("source", json.dumps(source_config("t", write(tmp_path / "in", b"1\n")))).text == "success"
    why = why_not(worker, "source")
    assert Broker.topics("t") in why and "mqadmin updateTopic" in why and "autoCreateTopicEnable" in why
    worker.sink("sink", "t", tmp_path / "out")
    Broker.servers.create_topic(Broker.topics("t"))
    wait_file(tmp_path / "out", b"1\n")


def test_a_broker_that_goes_and_comes_back(rocketmq, new_worker, tmp_path):
    """Its tasks are PAUSED with the reason, the worker ends in time, and in the end everything is there once."""
    with type(rocketmq)(str(tmp_path / "servers")) as servers:
        worker = new_worker(namesrvAddr=servers.namesrv).start()
        source, sink = write(tmp_path / "in", lines(1000)), tmp_path / "out"
        worker.pair(source, sink)
        wait_file(sink, lines(1000))
        servers.broker.kill()
        append(source, lines(1000, first=1000))
        assert Broker.topics("t") in why_not(worker, "source")
        why_not(worker, "sink")
        ends_soon(worker)
        worker.start()
        why_not(worker, "source")
        servers.broker.start()
        wait_file(sink, lines(2000), timeout_s=60)
        worker.end()
