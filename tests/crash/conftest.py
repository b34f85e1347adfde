# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the crash tests."""
import pytest

import power


@pytest.fixture(name="library", scope="session")
def make_library(tmp_path_factory):
    """The preloaded library that notes what is not synced."""
    return power.build_library(tmp_path_factory.mktemp("powerloss"))
