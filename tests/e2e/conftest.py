# SPDX-License-Identifier: Apache-2.0
"""Fixtures: workers that end with their test, and must end well."""

import pytest

from harness import Worker


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
