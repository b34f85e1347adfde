# SPDX-License-Identifier: Apache-2.0
"""A store folder of a Java worker of 2019 is taken over, once. Its file positions count characters."""

import base64
import json
import os

import pytest

from harness import SINK, SOURCE, append, run_gantry, wait_file, write

pytestmark = pytest.mark.embedded

JSON_CONVERTER = "org.apache.rocketmq.connect.runtime.converter.JsonConverter"

# 17 lines; some characters take two, three or four bytes, one takes two characters in Java.
TEXT = "".join(f"{number} α äöü 中文 \U0001f642 line\n" for number in range(17))


def java_chars(text):
    return len(text.encode("utf-16-le")) // 2


def java_table(entries):
    """{base64(key): base64(value)} of texts."""
    return json.dumps({base64.b64encode(key.encode()).decode(): base64.b64encode(value.encode()).decode()
                       for key, value in entries.items()})


def java_store(worker, connectors, positions, deleted=(), backup=False):
    """The three files as the Java worker leaves them in STORE/config."""
    folder = os.path.join(worker.store, "config")
    os.makedirs(folder)
    configs, tasks = {}, {}
    for name, config in connectors.items():
        config = {**config, "update-timestamp": "1562315423417"}
        configs[json.dumps(name)] = json.dumps({"properties": config})
        task = {**config, "task-class": "org.apache.rocketmq.connect.file.FileSourceTask"}
        tasks[json.dumps(name)] = json.dumps([{"properties": task}])
    for name in deleted:
        gone = {"update-timestamp": "1562315423417", "config-deleted": "1"}
        configs[json.dumps(name)] = json.dumps({"properties": gone})
        tasks[json.dumps(name)] = json.dumps([{"properties": gone}])
    end = ".bak" if backup else ""
    files = {"connectorConfig.json": java_table(configs), "taskConfig.json": java_table(tasks),
             "position.json": java_table({str(name): json.dumps({"nextPosition": at})
                                          for name, at in positions.items()})}
    for name, text in files.items():
        write(os.path.join(folder, name + end), text.encode())
        if backup:
            write(os.path.join(folder, name), b"")
    return {name: text for name, text in files.items()}


def java_source(filename):
    return {"connector-class": SOURCE, "topic": "fileTopic", "filename": str(filename),
            "source-record-converter": JSON_CONVERTER}


def java_sink(filename):
    return {"connector-class": SINK, "topicNames": "fileTopic", "filename": str(filename),
            "source-record-converter": JSON_CONVERTER}


@pytest.mark.parametrize("backup", [False, True], ids=["main", "backup"])
def test_connectors_and_positions_are_taken_over(new_worker, tmp_path, backup):
    worker = new_worker()
    source, sink = write(tmp_path / "in", TEXT.encode()), tmp_path / "out"
    all_lines = TEXT.splitlines(True)
    done, rest = "".join(all_lines[:9]), "".join(all_lines[9:])
    java_store(worker, {"fileConnectorSource": java_source(source), "fileConnectorSink": java_sink(sink)},
               {source: java_chars(done)}, deleted=["gone"], backup=backup)
    worker.start()
    wait_file(sink, rest.encode())
    configs, _ = worker.configs()
    assert sorted(configs) == ["fileConnectorSink", "fileConnectorSource"]
    shown = configs["fileConnectorSource"]["properties"]
    assert {**java_source(source), "update-timestamp": "1562315423417"} == shown
    assert worker.status("gone") == "not runing"
    append(source, b"one more\n")
    wait_file(sink, rest.encode() + b"one more\n")


def test_it_is_taken_over_once(new_worker, tmp_path):
    worker = new_worker()
    source, sink = write(tmp_path / "in", TEXT.encode()), tmp_path / "out"
    java_store(worker, {"source": java_source(source), "sink": java_sink(sink)}, {})
    worker.start()
    wait_file(sink, TEXT.encode())
    worker.stop_connector("source")
    worker.restart()
    assert "imported" not in worker.log()
    assert sorted(worker.configs()[0]) == ["sink"]


def test_it_is_said_when_nothing_is_taken_over(new_worker, tmp_path):
    worker = new_worker(namesrvAddr="127.0.0.1:1")
    java_store(worker, {"c": java_source(tmp_path / "in")}, {})
    with worker:
        worker.wait_log("positions are not taken over, which happens only without namesrvAddr")


def test_a_position_inside_a_line_is_reported_and_not_guessed(new_worker, tmp_path):
    worker = new_worker()
    source, sink = write(tmp_path / "in", TEXT.encode()), tmp_path / "out"
    inside = java_chars("".join(TEXT.splitlines(True)[:3])) + 5
    java_store(worker, {"source": java_source(source), "sink": java_sink(sink)}, {source: inside})
    worker.start()
    told = worker.wait_log("WARN .*position of the Java worker is not taken over.*").group(0)
    assert str(source) in told and f"chars={inside}" in told and "not at a line's start" in told
    wait_file(sink, TEXT.encode())


@pytest.mark.parametrize("what", ["beyond", "gone", "folder"])
def test_other_positions_that_cannot_be_are_reported(new_worker, tmp_path, what):
    worker = new_worker()
    source, sink = tmp_path / "in", tmp_path / "out"
    if what == "beyond":
        write(source, TEXT.encode())
    elif what == "folder":
        os.mkdir(source)
    java_store(worker, {"source": java_source(source), "sink": java_sink(sink)}, {source: 100000})
    worker.start()
    told = worker.wait_log("WARN .*position of the Java worker is not taken over.*").group(0)
    assert str(source) in told and "chars=100000" in told
    if what == "folder":
        os.rmdir(source)
    if what != "beyond":
        write(source, TEXT.encode())
    wait_file(sink, TEXT.encode())


def test_the_java_workers_files_are_left_alone(new_worker, tmp_path):
    worker = new_worker()
    source = write(tmp_path / "in", TEXT.encode())
    files = java_store(worker, {"source": java_source(source)}, {})
    worker.start()
    worker.wait_running("source")
    worker.end()
    for name, text in files.items():
        with open(os.path.join(worker.store, "config", name), encoding="utf-8") as file:
            assert file.read() == text


@pytest.mark.parametrize("name", ["connectorConfig.json", "position.json"])
def test_a_damaged_file_stops_the_start_with_its_name(new_worker, tmp_path, name):
    """To go on without it would lose connectors, or send a file twice."""
    worker = new_worker()
    source = write(tmp_path / "in", TEXT.encode())
    java_store(worker, {"source": java_source(source)}, {source: 0})
    path = os.path.join(worker.store, "config", name)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 3)
    assert worker.refused() == 1, worker.log()
    assert path in worker.log()
    java_store_text = java_table({})
    write(path, java_store_text.encode())
    worker.start()


def test_a_position_that_was_imported_can_be_reset(new_worker, tmp_path):
    worker = new_worker()
    source, sink = write(tmp_path / "in", TEXT.encode()), tmp_path / "out"
    java_store(worker, {"source": java_source(source), "sink": java_sink(sink)}, {source: java_chars(TEXT)})
    worker.start()
    append(source, b"new\n")
    wait_file(sink, b"new\n")
    worker.end()
    done = run_gantry("connector", "reset", "source", "--store", worker.store)
    assert done.returncode == 0, done.stderr
    worker.start()
    wait_file(sink, b"new\n" + TEXT.encode() + b"new\n")
