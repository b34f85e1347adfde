# SPDX-License-Identifier: Apache-2.0
"""Each sync is needed: leave out any one of them, cut the power, and something is lost. With all of them nothing is."""
import base64
import json
import os
import shutil

import pytest

import support
from power import Rig, make_input

# The sync that is left out, where the power goes (a fault point, or None: when all is at rest), and what the disk keeps.
CASES = {
    "store.folder-sync": (None, "drop"),
    "store.new-sync": (None, "drop"),
    "topic.folder-sync": (None, "drop"),
    "commit.segment-sync": (None, "drop"),
    "commit.segment-folder-sync": (None, "drop"),
    "commit.queue-folder-sync": (None, "drop"),
    "commit.topic-folder-sync": (None, "drop"),
    "sink.sync": (None, "drop"),
    "sink.folder-sync": (None, "drop"),
    # The second passage is the first rotation's: the new file is there, the renamed one's name is not on the disk yet.
    "sink.rename-sync": ("kill:sink.folder-sync:2", "late"),
}


def scenario(rig, fault, mode):
    """Some lines, a power cut, more lines, on to the end; None when all is well, else what is wrong."""
    plain, rotating = os.path.join(rig.out, "plain"), os.path.join(rig.out, "rotating")
    rig.wanted = {"src": support.source_config(rig.input)}
    if "sink.rename-sync" in (fault or ""):
        rig.wanted["rotating"] = support.sink_config(rotating, **{"rotate.bytes": "20k"})
    else:
        rig.wanted["plain"] = support.sink_config(plain)
    path = support.rotated_content if "rotating" in rig.wanted else support.content
    target = rotating if "rotating" in rig.wanted else plain

    def read():
        return path(target)

    expected = make_input(rig.input, 1, 400)
    rig.launch(fault=fault)
    try:
        rig.connect()
        support.wait_equal(rig.worker, read, expected, 10)
        rig.wait_for_rest()
    except support.Died:
        assert "kill:" in (fault or ""), rig.worker.log_text()
    rig.cut(mode, 1)
    rig.launch()
    try:
        rig.connect()
        expected = make_input(rig.input, 2, 100)
        support.wait_equal(rig.worker, read, expected, 4, failed_ends=True)
    except (AssertionError, support.Died) as error:
        return str(error)
    return None


@pytest.mark.parametrize("point", CASES)
def test_sync_is_needed(point, tmp_path, library):
    where, mode = CASES[point]
    rig = Rig(tmp_path / "without", library)
    try:
        wrong = scenario(rig, ";".join(filter(None, (f"skip:{point}", where))), mode)
    finally:
        rig.end()
    assert wrong, f"nothing is lost without {point}"
    rig = Rig(tmp_path / "with", library)
    try:
        right = scenario(rig, where, mode)
    finally:
        rig.end()
    assert right is None, right


def java_file(path, key, value):
    entry = {base64.b64encode(json.dumps(key).encode()).decode(): base64.b64encode(json.dumps(value).encode()).decode()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(entry, file)


def import_and_cut(rig, fault):
    """A new store takes over a Java worker's files; the power goes right after that commit; the files are removed. The
    names of the connectors that are there then."""
    config = os.path.join(rig.worker.store, "config")
    os.makedirs(config)
    wanted = {**support.source_config(rig.input), "update-timestamp": "1562315423417"}
    task = {**wanted, "task-class": "org.apache.rocketmq.connect.file.FileSourceTask"}
    java_file(os.path.join(config, "connectorConfig.json"), "src", {"properties": wanted})
    java_file(os.path.join(config, "taskConfig.json"), "src", [{"properties": task}])
    make_input(rig.input, 1, 10)
    rig.launch(fault=fault)
    assert rig.worker.reap(10) == -9
    assert "imported a connector" in rig.worker.log_text()
    rig.cut("drop", 1)
    shutil.rmtree(config)
    rig.launch()
    rig.connect()
    return rig.worker.connectors()


def test_name_of_the_store_is_synced(tmp_path, library):
    """store.rename-sync: the sync of the topics' folder covers the same entry a moment later, but the import of a Java
    worker's files is committed before."""
    for fault, there in (("kill:topic.folder-sync", True), ("kill:topic.folder-sync;skip:store.rename-sync", False)):
        rig = Rig(tmp_path / str(there), library)
        try:
            assert ("src" in import_and_cut(rig, fault)) == there, fault
        finally:
            rig.end()


@pytest.mark.parametrize("point", (None, "repair.folder-sync", "repair.sync", "repair.entry-sync"))
def test_repair_is_synced(point, tmp_path, library):
    """A topic whose files are gone is settled, and the power goes: it is settled still."""
    rig = Rig(tmp_path, library)
    out = os.path.join(rig.out, "plain")
    rig.wanted = {"src": support.source_config(rig.input), "plain": support.sink_config(out)}
    expected = make_input(rig.input, 1, 50)
    try:
        rig.launch()
        rig.connect()
        support.wait_equal(rig.worker, lambda: support.content(out), expected)
        rig.worker.stop()
        rig.cut("keep", 1)
        shutil.rmtree(os.path.join(rig.worker.store, "topics", "t1"))
        code, text = rig.run(["topic", "repair", "t1", "--settle", "--store", rig.worker.store],
                             f"skip:{point}" if point else None)
        assert code == 0, text
        rig.cut("drop", 1)
        rig.launch()
        rig.connect()
        expected = make_input(rig.input, 2, 50)
        try:
            support.wait_equal(rig.worker, lambda: support.content(out), expected, 10, failed_ends=True)
            assert point is None, f"nothing is lost without {point}"
        except AssertionError:
            assert point is not None and "topic t1 is damaged" in rig.worker.log_text()
    finally:
        rig.end()


def test_the_disk_does_lose(tmp_path, library):
    """The model itself: an LMDB file whose syncs do nothing is found to be damaged."""
    rig = Rig(tmp_path, library)
    rig.wanted = {"src": support.source_config(rig.input)}
    make_input(rig.input, 1, 100)
    try:
        rig.launch(lie="data.mdb")
        rig.connect()
        rig.cut("drop", 1)
        rig.launch()
        with pytest.raises((AssertionError, support.Died)):
            rig.connect()
    finally:
        rig.end()
