# SPDX-License-Identifier: Apache-2.0
"""Fixtures: workers that end with their test, and must end well."""

import os
import sys
import uuid

import pytest

from harness import Broker, Worker


def pytest_configure(config):
    config.addinivalue_line("markers", "embedded: about the embedded log; not run with a broker")
    config.addinivalue_line("markers", "broker: about topics in RocketMQ; run with a broker only")


def with_broker():
    return os.environ.get("GANTRY_E2E_BROKER") == "1"


def pytest_collection_modifyitems(config, items):
    other = "embedded" if with_broker() else "broker"
    left_out = {item for item in items if item.get_closest_marker(other)}
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def rocketmq(tmp_path_factory):
    """With GANTRY_E2E_BROKER=1: a real name server and broker for all tests."""
    if not with_broker():
        yield None
        return
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "rocketmq"))
    from cluster import Cluster
    with Cluster(str(tmp_path_factory.mktemp("rocketmq"))) as cluster:
        Broker.servers, Broker.namesrv = cluster, cluster.namesrv
        yield cluster
        Broker.servers = Broker.namesrv = None


@pytest.fixture(autouse=True, scope="module")
def names_of_the_module(rocketmq):
    Broker.cluster = "m" + uuid.uuid4().hex[:10]


@pytest.fixture(autouse=True)
def own_names(names_of_the_module):
    Broker.cluster = "t" + uuid.uuid4().hex[:10]


@pytest.fixture
def new_worker(tmp_path):
    """new_worker(**settings) makes a worker that is not started yet; the first one's folder is `w`, then w1, w2 ..."""
    made = []

    def make(**settings):
        made.append(Worker(tmp_path / f"w{len(made) or ''}", **settings))
        return made[-1]

    yield make
    try:
        for worker in made:
            if worker.alive():
                worker.end()
    finally:
        for worker in made:
            worker.kill()
            if worker.process is not None:
                print(worker.log())


@pytest.fixture
def worker(new_worker):
    """One that runs with the settings that most tests need."""
    return new_worker().start()
