# SPDX-License-Identifier: Apache-2.0
"""The worker's settings: the properties file of 2019 as it stands, what is unknown, what is wrong, who wins."""

import os

import pytest

from harness import Broker, LISTENING, lines, run_gantry, wait_file, write

FILE_OF_2019 = """\
# current cluster node uniquely identifies
workerId=DEFAULT_WORKER_1

# Http port for user to access REST API
httpPort=0

# Local file dir for config store
storePathRootDir={store}

# rocketmq nameserver
#namesrvAddr=127.0.0.1:9876

# persist time interval
positionPersistInterval = 20000
offsetPersistInterval: 20000
configPersistInterval 20000

pluginPaths=/usr/local/connector-plugins/*
rmqProducerGroup=connector-producer-group
rmqConsumerGroup=connector-consumer-group
maxMessageSize=4194304
operationTimeout=3000
rmqMaxRedeliveryTimes=16
rmqMessageConsumeTimeout=3
rmqMaxConsumeThreadNums=32
rmqMinConsumeThreadNums=1
clusterStoreTopic=cluster-topic
configStoreTopic=config-topic
positionStoreTopic=position-topic
offsetStoreTopic=offset-topic
connectClusterId=DefaultConnectCluster
allocTaskStrategy=org.apache.rocketmq.connect.runtime.service.strategy.DefaultAllocateConnAndTaskStrategy
"""


def start_with_text(worker, text):
    """Start it with a properties file of this text."""
    path = write(os.path.join(worker.folder, "given.conf"), text.encode())
    worker.write_settings = lambda: path
    if "\nnamesrvAddr=" not in text:
        worker.settings.pop("namesrvAddr", None)  # whatever the other tests have
    return worker.start()


def refuse(tmp_path, text, *options):
    """What `gantry worker` says about a file that it must refuse with status 2."""
    path = write(tmp_path / "wrong.conf", text if isinstance(text, bytes) else text.encode())
    done = run_gantry("worker", "-c", path, f"storePathRootDir={tmp_path}/store", "httpPort=0", *options)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2, said
    assert b"boot success" not in done.stdout + done.stderr
    assert not os.path.exists(tmp_path / "store"), "a worker that does not start leaves nothing behind"
    return said


def test_the_properties_file_of_2019(new_worker, tmp_path):
    worker, text = new_worker(), FILE_OF_2019
    if Broker.namesrv:
        text = text.replace("#namesrvAddr=127.0.0.1:9876", f"namesrvAddr={Broker.namesrv}")
        text = text.replace("DefaultConnectCluster", Broker.cluster)
    start_with_text(worker, text.format(store=worker.store))
    assert "The worker [DEFAULT_WORKER_1] boot success." in worker.log()
    assert "unknown key" not in worker.log()
    for key in ("offsetPersistInterval", "configPersistInterval", "maxMessageSize", "clusterStoreTopic"):
        assert f"{key}: has no effect: " in worker.log()
    source, sink = write(tmp_path / "in", lines(10)), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, lines(10))
    assert os.path.isdir(worker.store)


def test_the_worker_is_named_by_address_and_pid_without_an_id(worker):
    assert f"@{worker.process.pid}] boot success." in worker.log()


def test_an_unknown_key_is_a_warning_with_the_nearest_name(new_worker):
    worker = new_worker(httpPrt=1, entirely_of_its_own="x").start()
    assert "httpPrt: unknown key; did you mean httpPort?" in worker.log()
    assert "entirely.of.its.own: unknown key; 'gantry help worker' lists the keys" in worker.log()


def test_all_wrong_values_are_told_at_once(tmp_path):
    said = refuse(tmp_path, "httpPort=eighty\nlog.segment.bytes=1k\nlog.compression=gzip\nshutdown.timeout.ms=-5\n"
                            "rest.insecure=maybe\nexecutor.threads=999\nworkerId=fine\n", "rest.dialect=english")
    for key, value in (("log.segment.bytes", "1k"), ("log.compression", "gzip"),
                       ("shutdown.timeout.ms", "-5"), ("rest.insecure", "maybe"), ("executor.threads", "999"),
                       ("rest.dialect", "english")):
        line = next((line for line in said.splitlines() if f"{key}: " in line), None)
        assert line is not None, f"{key} is not told:\n{said}"
        assert value in line
    assert "workerId" not in said
    # An option wins over the file, so the file's value is not looked at.
    assert "eighty" not in said


@pytest.mark.parametrize("text, expected", [
    ("httpPort=65536\n", ("httpPort", "65536", "65535")),
    ("httpPort=8081 # comment\n", ("httpPort", "8081 # comment")),
    ("namesrvAddr=127.0.0.1\n", ("namesrvAddr", "127.0.0.1", "HOST:PORT")),
    ("rest.address=0.0.0.0\n", ("rest.address", "0.0.0.0", "rest.token.file")),
    ("rest.address=localhost\n", ("rest.address", "localhost", "127.0.0.1")),
    ("rest.token.file=/nowhere/token\n", ("rest.token.file", "/nowhere/token")),
    ("log.segment.bytes=12 apples\n", ("log.segment.bytes", "12 apples")),
    ("task.restart.backoff.ms=2s\ntask.restart.backoff.max.ms=1s\n",
     ("task.restart.backoff.ms", "2000", "task.restart.backoff.max.ms")),
    (b"workerId=\xff\xfe\n", ("workerId", "UTF-8")),
    ("workerId=" + "x" * 300 + "\n", ("workerId", "300", "255")),
])
def test_a_wrong_value_is_refused_with_name_value_and_remedy(tmp_path, text, expected):
    path = write(tmp_path / "wrong.conf", text if isinstance(text, bytes) else text.encode())
    done = run_gantry("worker", "-c", path, f"storePathRootDir={tmp_path}/store")
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2, said
    for word in expected:
        assert word in said


def test_a_missing_or_unreadable_settings_file_is_told(tmp_path):
    for path in (tmp_path / "nowhere.conf", tmp_path):
        done = run_gantry("worker", "-c", path)
        assert done.returncode == 2
        assert str(path) in done.stderr.decode()


def test_a_broken_properties_file_is_told_with_its_line(tmp_path):
    said = refuse(tmp_path, "workerId=fine\nlog.level=\\u12\n")
    assert "wrong.conf" in said and "line 2" in said


def test_the_command_line_wins_over_the_file(new_worker):
    worker = new_worker(workerId="from-the-file", log_level="error")
    worker.options = ["workerId=from-the-line", "--log.level", "info", "--shutdown.timeout.ms=5s"]
    worker.start()
    assert "The worker [from-the-line] boot success." in worker.log()


def test_options_alone_are_enough(new_worker, tmp_path):
    worker = new_worker()
    start_with_text(worker, f"storePathRootDir={worker.store}\nhttpPort=0\n")
    assert LISTENING.search(worker.log())
    done = run_gantry("worker", "--no-such-option")
    assert done.returncode == 2 and b"--no-such-option" in done.stderr
    done = run_gantry("worker", "superfluous")
    assert done.returncode == 2 and b"superfluous" in done.stderr


def test_the_store_is_in_the_home_folder_by_default(new_worker, tmp_path):
    worker = new_worker()
    worker.environment["HOME"] = str(tmp_path)
    start_with_text(worker, "httpPort=0\n")
    assert os.path.isdir(tmp_path / "connectorStore")


def test_log_levels(new_worker, tmp_path):
    loud = new_worker(log_level="debug").start()
    loud.source("source", "t", write(tmp_path / "in", b""))
    loud.wait_log("DEBUG source +task RUNNING connector=source")
    quiet = new_worker(log_level="warn", httpPort=loud.port, no_such_key=1)
    assert quiet.refused() == 1
    assert " WARN " in quiet.log() and " INFO " not in quiet.log() and " DEBUG " not in quiet.log()
