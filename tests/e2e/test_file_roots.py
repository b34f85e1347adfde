# SPDX-License-Identifier: Apache-2.0
"""connectors.file.roots: which folders the file connectors may touch, whatever way leads there."""

import os
import shutil

import pytest

from harness import append, read, sink_config, source_config, wait_file, wait_for, write


@pytest.fixture
def places(tmp_path):
    """A folder that is allowed, one that is not, with a file in each."""
    for name in ("allowed", "also", "allowed-not", "outside"):
        os.mkdir(tmp_path / name)
        write(tmp_path / name / "in", b"1\n")
    os.mkdir(tmp_path / "allowed" / "sub")
    return tmp_path


@pytest.fixture
def limited(new_worker, places):
    return new_worker(connectors_file_roots=f"{places}/allowed, {places}/also").start()


def refused(worker, name, kind=source_config):
    why = worker.refuse("x", kind("t", name))
    assert "connectors.file.roots" in why and "filename" in why
    return why


def test_inside_is_allowed(limited, places):
    limited.pair(places / "allowed" / "in", places / "also" / "out")
    wait_file(places / "also" / "out", b"1\n")
    limited.source("deeper", "t2", f"{places}/outside/../allowed/sub/later")
    write(places / "allowed" / "sub" / "later", b"1\n")
    limited.sink("deeper sink", "t2", places / "allowed" / "sub" / "out")
    wait_file(places / "allowed" / "sub" / "out", b"1\n")


@pytest.mark.parametrize("name", ["outside/in", "outside/new", "allowed-not/in", "allowed/../outside/in",
                                  "allowed/sub/../../outside/in", "outside/*.log", "allowed/sub/../../in"])
def test_outside_is_refused(limited, places, name):
    why = refused(limited, f"{places}/{name}")
    assert str(places) in why
    if "*" not in name:
        refused(limited, f"{places}/{name}", sink_config)
    assert read(places / "outside" / "in") == b"1\n"


def test_links_are_resolved(limited, places):
    os.symlink(places / "outside" / "in", places / "allowed" / "link")
    os.symlink(places / "outside", places / "allowed" / "folder")
    os.symlink(places / "outside" / "not yet", places / "allowed" / "dangling")
    for name in ("link", "folder/in", "folder/new", "dangling", "folder/../in"):
        refused(limited, places / "allowed" / name)
        refused(limited, places / "allowed" / name, sink_config)
    refused(limited, places / "allowed" / "folder" / "*")
    # And the other way: a link from outside to the inside is inside.
    os.symlink(places / "allowed" / "in", places / "outside" / "link")
    limited.source("x", "t", places / "outside" / "link")


def test_a_link_laid_later_is_seen(limited, places):
    """The file that was checked is replaced by a link to the outside, while the source runs and before it starts."""
    source, sink = places / "allowed" / "in", places / "also" / "out"
    limited.pair(source, sink)
    wait_file(sink, b"1\n")
    os.remove(source)
    os.symlink(places / "outside" / "in", source)
    append(places / "outside" / "in", b"secret\n")
    limited.wait_failed("source", "connectors.file.roots")
    assert read(sink) == b"1\n"
    os.remove(source)
    write(source, b"2\n")
    wait_file(sink, b"1\n2\n")


def test_what_a_pattern_finds_is_checked(limited, places):
    write(places / "outside" / "secret.log", b"secret\n")
    write(places / "allowed" / "fine.log", b"fine\n")
    os.symlink(places / "outside" / "secret.log", places / "allowed" / "link.log")
    limited.create("source", source_config("t", places / "allowed" / "*.log"))
    limited.sink("sink", "t", places / "also" / "out")
    limited.wait_log("connectors.file.roots")
    os.remove(places / "allowed" / "link.log")
    wait_file(places / "also" / "out", b"fine\n")


def test_a_sinks_folder_that_becomes_a_link(limited, places):
    sink = places / "allowed" / "sub" / "out"
    limited.pair(places / "allowed" / "in", sink)
    wait_file(sink, b"1\n")
    limited.end()
    shutil.rmtree(places / "allowed" / "sub")
    os.symlink(places / "outside", places / "allowed" / "sub")
    limited.start()
    limited.wait_cannot_run("sink", "connectors.file.roots")
    assert sorted(os.listdir(places / "outside")) == ["in"]


def test_required_beyond_loopback(new_worker, places):
    worker = new_worker(rest_address="0.0.0.0", rest_insecure="true").start()
    refused(worker, places / "allowed" / "in")
    worker.restart(connectors_file_roots=places / "allowed")
    worker.create("source", source_config("t", places / "allowed" / "in"))
    refused(worker, places / "outside" / "in")


def test_a_root_that_does_not_exist_contains_nothing(new_worker, places):
    worker = new_worker(connectors_file_roots=places / "nowhere").start()
    refused(worker, places / "allowed" / "in")
    refused(worker, places / "nowhere" / "in")


def test_without_roots_everything_is_allowed(worker, places):
    worker.pair(places / "outside" / "in", places / "outside" / "out")
    wait_file(places / "outside" / "out", b"1\n")
    wait_for(lambda: worker.status("sink") == "runing", "the sink")
