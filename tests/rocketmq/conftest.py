# SPDX-License-Identifier: Apache-2.0
"""One name server and one broker for all tests that do not hurt them; the logs of what runs beside a failed test."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]

import cluster as rmq  # noqa: E402
from javatool import JavaTool  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("servers that run", rmq.show_logs()))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    with rmq.Cluster(tmp_path_factory.mktemp("shared")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def tool(shared, tmp_path_factory):
    with JavaTool(tmp_path_factory.mktemp("tool"), shared.namesrv) as one:
        yield one
