# SPDX-License-Identifier: Apache-2.0
"""OpenMessaging Connect of 2019 (0.1.0-beta, 0.1.1): each method, and the two jars of the manual by their class names."""
import json
import os
import time

import pytest

import driver

SOURCE, SINK = "probe.oms2019.ProbeSource", "probe.oms2019.ProbeSink"
SAMPLE = "rocketmq-connect-sample-0.0.1-SNAPSHOT.jar"
FILE = "org.apache.rocketmq.connect.file."
TYPES = [(name.lower(), name) for name in driver.TYPES]


@pytest.fixture
def plugin(host, plugin_path):
    return host.load(plugin_path("oms2019-probe.jar"))


def test_describes_by_the_jar_alone(host, plugin):
    assert {(one["classes"][0], one["kind"], one["api"], one["flags"]) for one in host.plugins[plugin]["connectors"]} == {
        (SOURCE, 0, "openmessaging-0.1", 21), (SINK, 1, "openmessaging-0.1", 17)}
    assert not any("EVENT" in line for line in host.texts())


def test_runs_on_each_jdk_also_with_the_api_in_its_jar(tmp_path, java, plugin_path):
    with driver.Host(tmp_path, java=java) as host:
        plugin = host.load(plugin_path("oms2019-probe-fat.jar"))
        source = host.run(plugin, SOURCE, "c", {"topic": "t", "count": "5"}, "source")
        source.wait(5)
        source.stop()


def test_calls_come_in_the_order_of_2019(host, plugin):
    assert host.validate(plugin, SOURCE, "v", {}) == [[None, "Request config key: topic", False]]
    assert host.validate(plugin, SOURCE, "v", {"topic": "t"}) == []
    tasks = host.split(plugin, SOURCE, "c", {"topic": "t", "tasks": "2"}, 1)
    assert tasks == [{"topic": "t", "tasks": "2", "number": str(number), "task-class": SOURCE + "$ProbeTask"} for number in range(2)]
    host.release("c")
    host.wait(lambda: "connector=c EVENT connector-stop" in host.texts(0), "stop")
    assert [line[len("connector=c EVENT "):] for line in host.texts(0) if line.startswith("connector=c EVENT")] == [
        "verify false false", "taskConfigs false false", "initialize", "verify true false", "connector-start true", "connector-stop"]
    with pytest.raises(driver.Failed) as failed:
        host.split(plugin, SOURCE, "d", {}, 1)
    assert "Request config key: topic" in failed.value.text


def test_asks_for_a_new_split_and_raises_errors(host, plugin):
    host.split(plugin, SOURCE, "c", {"topic": "t", "reconfigure": "1", "raise": "broken"}, 1)
    host.wait(lambda: len(host.reconfigures) == 2, "RECONFIGURE")
    assert host.reconfigures == [("c", None), ("c", "IllegalStateException: broken")]


def test_each_entry_has_its_own_payload_and_positions_are_opaque(host, plugin):
    source = host.run(plugin, SOURCE, "c", {"topic": "t", "count": "25"}, "source", commit=False)
    source.wait(25)
    assert [record.value.decode() for record in source.records] == [f"line {number}" for number in range(1, 26)]
    assert {(record.topic, record.key, record.ms, str(record.schema), str(record.headers)) for record in source.records} == {
        ("t", b"key", 1000, str(("texts", "probe", [("line", "STRING")])), "[]")}
    assert [marks for _, _, marks in source.frames] == [[[10, b"part-0", b"10"]], [[10, b"part-0", b"20"]], [[5, b"part-0", b"25"]]]
    assert len(source.schemas) == 1
    source.commit(2)
    host.wait(lambda: "EVENT commit" in source.log, "commit")
    assert [line for line in source.log if "commitRecord" in line] == [f"EVENT commitRecord line {number} t c-0" for number in range(1, 21)]
    source.stop()
    again = host.run(plugin, SOURCE, "c", {"topic": "t", "count": "25"}, "source")
    again.wait(5)
    assert "EVENT start 20 true 1" in again.log and again.records[0].value == b"line 21"


def test_all_types_there_and_back(host, plugin):
    source = host.run(plugin, SOURCE, "c", {"topic": "t", "count": "1", "types": "1"}, "source")
    many, plain = source.wait(2)
    assert many.value.decode() == '[1,2,123456789012345678901234567890,1.5,2.5,true,"sü\\"ß","AAEC",[1,"x"],{"k":7},1000]'
    assert many.schema == ("types", "probe", TYPES) and many.headers == [("connect-entrytype", b"UPDATE")]
    assert (plain.value, plain.schema[2], plain.headers) == (b"\x09\x08", [("b", "BYTES")], [("connect-entrytype", b"DELETE")])
    sink = host.run(plugin, SINK, "k", {}, "sink")
    sink.schema(0, *many.schema)
    sink.schema(2, *plain.schema)
    sink.put("q", 0, 4, [[many.value, None, 5, None, 0, [["connect-entrytype", b"UPDATE"]]], [plain.value, b"key", 6, None, 2], [b"raw"], [b"\xff"]])
    sink.wait_taken()
    found = [line for line in sink.log if "EVENT put" in line]
    assert found[0].startswith("EVENT put q 4 UPDATE null 5 types 11  Integer:1 Long:2 BigInteger:123456789012345678901234567890 Float:1.5 "
                               "Double:2.5 Boolean:true String:sü\"ß bytes[0, 1, 2] ArrayList:[1, x] LinkedHashMap:{k=7} Date:")
    assert found[1:] == ["EVENT put q 5 CREATE key 6 bytes 1  bytes[9, 8]", "EVENT put q 6 CREATE null 0 q 1  String:raw",
                         "EVENT put q 7 CREATE null 0 q 1  bytes[-1]"]
    sink.schema(0, "again", None, [("x", "STRING"), ("y", "INT64")])  # a number may come to mean something else
    sink.put("q", 0, 8, [[b'["a",5]', None, 7, None, 0]])
    sink.wait_taken()
    assert "EVENT put q 8 CREATE null 7 again 2  String:a Long:5" in sink.log
    sink.schema(0, *many.schema)
    sink.put("q", 0, 9, [[b"[1,2]", None, 0, None, 0]])
    assert "a record of 11 fields must be a JSON array of as many" in sink.wait_failed().text


def test_an_idle_task_that_returns_at_once_does_not_spin(host, plugin):
    source = host.run(plugin, SOURCE, "c", {"topic": "t", "count": "0"}, "source")

    def ticks():
        with open(f"/proc/{host.process.pid}/stat", encoding="ascii") as file:
            return sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
    time.sleep(2)  # the JVM's own start is over
    before = ticks()
    time.sleep(2)
    assert ticks() - before < 40 and source.started  # 20 % of a core, where spinning would take all of it


def test_sink_commits_pauses_and_seeks(host, plugin):
    sink = host.run(plugin, SINK, "k", {}, "sink")
    assert "EVENT start true" in sink.log
    sink.put("a", 0, 3, [b"x", b"wait", b"y"])
    sink.put("b", 0, 1, [b"z"])
    sink.wait_taken()
    assert sink.flush() == {("a", 0): 4}
    assert {"EVENT commit a gantry,0 6", "EVENT commit b gantry,0 2"} <= set(sink.log)
    sink.stop()
    sink = host.run(plugin, SINK, "k", {}, "sink")
    sink.put("a", 0, 3, [b"pause"])
    host.wait(lambda: sink.holds == [("a", 0, True)], "HOLD")
    sink.put("a", 0, 4, [b"later"])
    sink.put("b", 0, 2, [b"seek:1"])
    host.wait(lambda: sink.seeks == [("b", 0, 1)], "SEEK")
    assert sink.flush() == {("a", 0): 4, ("b", 0): 1}
    sink.put("b", 0, 1, [b"z", b"seek:1", b"resume"])
    sink.wait_taken()
    assert sink.holds[-1] == ("a", 0, False) and sink.flush() == {}


def test_stop_ends_a_poll_that_waits(host, plugin):
    source = host.run(plugin, SOURCE, "c", {"topic": "t", "blocks": "1"}, "source")
    host.wait(lambda: "EVENT poll" in source.log, "poll")
    source.stop()
    failing = host.run(plugin, SOURCE, "f", {"topic": "t", "fails": "1"}, "source", started=False)
    assert failing.wait_failed().text == "ConnectException: told to fail"


def test_the_sample_jar_of_the_manual_moves_a_file(tmp_path, java, plugin_path):
    lines = [f"line {number} äöü" for number in range(5000)]
    (tmp_path / "in").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with driver.Host(tmp_path, java=java) as host:
        plugin = host.load(plugin_path(SAMPLE), name=SAMPLE)
        assert host.plugins[plugin]["version"] == "0.0.1-SNAPSHOT"
        assert host.validate(plugin, FILE + "FileSourceConnector", "s", {}) == [[None, "Request config key: filename", False]]
        given = {"filename": str(tmp_path / "in"), "topic": "t", "topicNames": "t"}
        source = host.run(plugin, FILE + "FileSourceConnector", "s", given, "source")
        source.wait(3000)
        source.stop()
        source = [source, host.run(plugin, FILE + "FileSourceConnector", "s", given, "source")]
        source[1].wait(5000 - len(source[0].records))
        records = source[0].records + source[1].records
        assert [record.value.decode() for record in records] == lines
        name = str(tmp_path / "in")
        assert records[0].schema == (name + "_line", name, [("fileLineContent", "STRING")])
        assert json.loads(host.positions["s"][name.encode()]) == {"nextPosition": os.path.getsize(name)}
        sink = host.run(plugin, FILE + "FileSinkConnector", "k", {"filename": str(tmp_path / "out"), "topicNames": "t"}, "sink")
        sink.schema(1, *records[0].schema)
        for at in range(0, 5000, 1000):
            sink.put("t", 0, at, [[record.value, None, record.ms, None, 1] for record in records[at:at + 1000]])
        assert sink.flush() == {}
        assert (tmp_path / "out").read_text(encoding="utf-8") == (tmp_path / "in").read_text(encoding="utf-8")
