# SPDX-License-Identifier: Apache-2.0
"""The two jars of the manual's log line through the worker: by name from a plugin folder, by the manual's requests."""
import os
import sys

import pytest

import driver
import workers
from harness import SINK, SOURCE, lines, wait_file, wait_for, write

sys.path.insert(0, os.path.join(driver.TOP, "tests", "rocketmq"))

import cluster as rmq  # noqa: E402

SAMPLE = "rocketmq-connect-sample-0.0.1-SNAPSHOT.jar"
REPLICATOR = "rocketmq-replicator-0.1.0-SNAPSHOT.jar"
REPLICATOR_CLASS = "org.apache.rocketmq.replicator.RmqSourceReplicator"
TEXT = "".join(f"line {number} äöü\n" for number in range(3000)).encode()


@pytest.fixture
def worker(tmp_path):
    """With an empty folder of plugins, into which the jars come while it runs."""
    with workers.java_worker(tmp_path / "w") as one:
        for name in (REPLICATOR, SAMPLE):
            workers.put(one, name)
        workers.reload(one)
        for name in (REPLICATOR, SAMPLE):
            one.wait_log(rf"Loading plugin from: {one.plugins}/{name}")
        yield one


@pytest.mark.parametrize("converter", [{}, {"source-record-converter": "org.apache.rocketmq.connect.runtime.converter.JsonConverter"}])
def test_the_sample_moves_a_file_by_jar_and_natively(worker, tmp_path, converter):
    write(tmp_path / "in", TEXT)
    source = {"connector-class": SOURCE, "topic": "fileTopic", "filename": str(tmp_path / "in"), **converter}
    sink = {"connector-class": SINK, "topicNames": "fileTopic", **converter}
    worker.create("native", {**sink, "filename": str(tmp_path / "native")})
    assert workers.hosts(worker) == [] or "connector=native" not in worker.log().split("EVENT")[-1]
    worker.create("jar", {**sink, "filename": str(tmp_path / "jar"), "plugin.prefer": "file"})
    worker.create("source", {**source, "plugin.prefer": "file"})
    wait_file(tmp_path / "native", TEXT, 60)
    wait_file(tmp_path / "jar", TEXT, 60)
