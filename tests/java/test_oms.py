# SPDX-License-Identifier: Apache-2.0
"""OpenMessaging Connect 0.1.4: each method, converters and transforms."""
import json
import struct

import pytest

import driver

SOURCE, SINK = "probe.oms.ProbeSource", "probe.oms.ProbeSink"
RECORD = "org.apache.rocketmq.connect.runtime.converter.record."
TRANSFORMS = "org.apache.rocketmq.connect.transforms."
PARTITION = b'{"number":"0","and":"more"}'


@pytest.fixture
def plugin(host, plugin_path):
    return host.load(plugin_path("oms-probe.jar"))


def config(**more):
    return {"connector.class": SOURCE, "connect.topicname": "t", **{key.replace("_", "."): str(value) for key, value in more.items()}}


def test_describes_its_connectors(host, plugin):
    source = host.connector(plugin, SOURCE)
    assert (source["kind"], source["api"], source["task_class"]) == (0, "openmessaging-0.1.4", SOURCE + "$ProbeTask")


def test_runs_on_each_jdk_also_with_the_api_in_its_jar(tmp_path, java, plugin_path):
    with driver.Host(tmp_path, java=java) as host:
        plugin = host.load(plugin_path("oms-probe-fat.jar"))
        host.run(plugin, SOURCE, "c", config(count=5), "source").wait(5)


def test_life_of_a_connector(host, plugin):
    assert host.validate(plugin, SOURCE, "c", config(bad=1)) == [[None, "bad must not be there", False]]
    found = host.validate(plugin, SOURCE, "c", config(value_converter="org.example.None"))
    assert "value.converter is 'org.example.None'" in found[0][1]
    found = host.validate(plugin, SOURCE, "c", config(transforms="a", transforms_a_class="org.example.None"))
    assert "transforms.a.class is 'org.example.None'" in found[0][1]
    tasks = host.split(plugin, SOURCE, "c", config(count=3, key_converter=RECORD + "StringConverter", transforms="", other=1), 2)
    assert tasks[1] == {"count": "3", "number": "1", "connector.class": SOURCE, "connect.topicname": "t", "key.converter": RECORD + "StringConverter",
                        "transforms": "", "task.class": SOURCE + "$ProbeTask", "task.id": "1"}
    host.release("c")
    host.wait(lambda: "connector=c EVENT connector-stop" in host.texts(0), "stop")
    host.split(plugin, SOURCE, "d", config(reconfigure=1, **{"raise": "broken"}), 1)
    host.wait(lambda: len(host.reconfigures) == 2, "RECONFIGURE")
    assert host.reconfigures == [("d", None), ("d", "ConnectException: broken")]


def test_source_from_start_to_restart(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(count=5), "source", commit=False)
    source.wait(5)
    assert [(record.value, record.key, record.topic, record.ms, record.headers) for record in source.records] == [
        (b"v%d" % n, b"k%d" % n, "t", 3000, []) for n in range(1, 6)]
    assert source.frames[0][2] == [[1, PARTITION, b'{"nextPosition":"1"}']]
    source.commit(3)
    host.wait(lambda: "EVENT commit" in source.log, "commit")
    events = [line for line in source.log if line.startswith("EVENT commit")]
    assert events[:2] == ["EVENT commit-record-result v1 t", "EVENT commit-record v1"] and "EVENT commit-list 3 SEND_OK" in events
    source.stop()
    again = host.run(plugin, SOURCE, "c", config(count=5), "source")
    again.wait(2)
    assert "EVENT start 3 c c-0 true 1" in again.log and again.records[0].value == b"v4"


def test_each_record_is_transformed_once(host, plugin):
    """Also the one that has no place in its frame: transforms of this API change the record that they get."""
    source = host.run(plugin, SOURCE, "c", config(count=30, batch=30, size=50_000, transforms="twice", transforms_twice_class="probe.oms.ProbeSource$Twice",
                                                  transforms_twice_mark="+"), "source", credit=64 << 20)
    source.wait(30)
    text = "." * 50_000
    assert [record.value.decode() == f"v{n}{text}+v{n}{text}" for n, record in enumerate(source.records, 1)] == [True] * 30
    assert len(source.frames) > 3


def test_extensions_become_properties(host, plugin):
    record = host.run(plugin, SOURCE, "c", config(count=1, what="extensions"), "source").wait(1)[0]
    assert record.topic == "own-topic"
    assert sorted(record.headers) == [("TAGS", b"red"), ("connect-ext-mine", b"yours"), ("connect-ext-topic", b"own-topic"), ("connect.timestamp", b"3000")]


def test_json_knows_all_types_there_and_back(host, plugin):
    given = config(count=1, what="struct", value_converter=RECORD + "json.JsonConverter")
    record = host.run(plugin, SOURCE, "c", given, "source").wait(1)[0]
    value = json.loads(record.value)
    assert value["payload"] == {"i8": 1, "i16": 2, "i32": 3, "i64": 4, "f32": 1.5, "f64": 2.5, "b": True, "s": "text", "bytes": "AAEC",
                                "list": ["x", "y"], "map": {"k": 7}, "dec": "BNI=", "date": 1, "ts": 1000, "none": None}
    assert [field["field"] for field in value["schema"]["fields"]][:3] == ["i8", "i16", "i32"] and value["schema"]["type"] == "struct"
    assert value["schema"]["fields"][11]["parameters"] == {"scale": "2"}
    sink = host.run(plugin, SINK, "k", {"connector.class": SINK, "connect.topicnames": "t", "value.converter": RECORD + "json.JsonConverter"}, "sink")
    sink.put("t", 0, 0, [[record.value]])
    sink.wait_taken()
    line = next(line for line in sink.log if "EVENT put" in line)
    assert "Struct" in line, line
    sink.put("t", 0, 1, [[b'{"a":1}']])
    assert "schemas.enable=false" in sink.wait_failed().text


def test_numbers_that_do_not_fit_are_not_cut(host, plugin):
    """Neither by the JSON of a field nor by a converter of fixed width."""
    def field(kind):
        return f'{{"type":"{kind}","optional":false,"field":"x"}}'
    given = {"connector.class": SINK, "connect.topicnames": "t", "value.converter": RECORD + "json.JsonConverter"}
    for number, (kind, good, bad) in enumerate([("int8", "-128", "128"), ("int16", "32767", "-32769"), ("int32", "1e3", "3000000000"),
                                                ("int64", "9223372036854775807", "9223372036854775808"), ("int32", "7.0", "7.5")]):
        sink = host.run(plugin, SINK, f"k{number}", given, "sink")
        schema = f'{{"type":"struct","optional":false,"fields":[{field(kind)}]}}'
        sink.put("t", 0, 0, [[f'{{"schema":{schema},"payload":{{"x":{good}}}}}'.encode()]])
        sink.wait_taken()
        sink.put("t", 0, 1, [[f'{{"schema":{schema},"payload":{{"x":{bad}}}}}'.encode()]])
        assert f"field 'x': JsonConverter: the value {bad} does not fit its schema {kind.upper()}" in sink.wait_failed().text
    source = host.run(plugin, SOURCE, "c", config(count=1, what="long", value_converter=RECORD + "IntegerConverter"), "source", started=False)
    assert "the converter for INT32: the value 3000000000 is out of its range" in source.wait_failed().text


def test_decimals_that_are_numbers_are_exact(host, plugin):
    given = {"connector.class": SINK, "connect.topicnames": "t", "value.converter": RECORD + "json.JsonConverter", "value.converter.decimal.format": "NUMERIC"}
    sink = host.run(plugin, SINK, "k", given, "sink")
    record = host.run(plugin, SOURCE, "c", config(count=1, what="struct", value_converter=RECORD + "json.JsonConverter"), "source").wait(1)[0]
    schema = json.dumps(json.loads(record.value)["schema"]["fields"][11])
    numbers = ["12345678901234567890.12", "-0.01", "1e3", "98765432109876543210"]
    sink.put("t", 0, 0, [[f'{{"schema":{schema},"payload":{number}}}'.encode()] for number in numbers])
    sink.wait_taken()
    shown = [line.split("} null ")[1].split(" ")[0] for line in sink.log if "EVENT put" in line]
    assert shown == ["12345678901234567890.12", "-0.01", "1000.00", "98765432109876543210.00"]
    sink.put("t", 0, 4, [[f'{{"schema":{schema},"payload":1e999999999}}'.encode()]])
    assert "more than 10000 digits" in sink.wait_failed().text


@pytest.mark.parametrize("name,data,shown", [("StringConverter", "süß".encode(), "süß"), ("ByteArrayConverter", b"abc", "abc"), ("ShortConverter", struct.pack(">h", -2), "-2"),
                                             ("IntegerConverter", struct.pack(">i", 70000), "70000"), ("LongConverter", struct.pack(">q", 1 << 40), str(1 << 40)),
                                             ("FloatConverter", struct.pack(">f", 1.5), "1.5"), ("DoubleConverter", struct.pack(">d", 2.5), "2.5")])
def test_converters_of_the_runtime(host, plugin, name, data, shown):
    sink = host.run(plugin, SINK, "k", {"connector.class": SINK, "connect.topicnames": "t", "value.converter": RECORD + name}, "sink")
    sink.put("t", 0, 0, [[data, b"key"]])
    sink.wait_taken()
    assert f"key {shown} 0 {{}}" in next(line for line in sink.log if "EVENT put" in line)
    if name not in ("StringConverter", "ByteArrayConverter"):
        sink.put("t", 0, 1, [[b"x"]])
        assert "it must be" in sink.wait_failed().text


def test_converters_and_transforms_of_the_jar(host, plugin):
    given = config(count=3, transforms="twice", transforms_twice_class=SOURCE + "$Twice", transforms_twice_mark="+",
                   value_converter=SOURCE + "$Shout", value_converter_mark="!")
    source = host.run(plugin, SOURCE, "c", given, "source")
    source.wait(2)
    assert [record.value for record in source.records] == [b"!V1+V1", b"!V3+V3"]
    host.wait(lambda: host.positions["c"][PARTITION] == b'{"nextPosition":"3"}', "the position")
    source.stop()
    assert "EVENT transform-stop" in source.log


def test_transforms_of_the_runtime(host, plugin):
    given = config(count=1, what="struct", value_converter=RECORD + "json.JsonConverter", value_converter_schemas_enable="false",
                   transforms="case,rename", transforms_case_class=TRANSFORMS + "ChangeCase$Value", transforms_case_from="LOWER_UNDERSCORE",
                   transforms_case_to="UPPER_UNDERSCORE", transforms_rename_class=TRANSFORMS + "PatternRename$Value",
                   transforms_rename_field_pattern="^I", transforms_rename_field_replacement="int")
    record = host.run(plugin, SOURCE, "c", given, "source").wait(1)[0]
    assert {"int8": 1, "int16": 2, "S": "text"}.items() <= json.loads(record.value).items()
    given = config(count=1, what="struct", transforms="f", transforms_f_class=TRANSFORMS + "PatternFilter$Value", transforms_f_pattern="te.t",
                   transforms_f_fields="s")
    source = host.run(plugin, SOURCE, "d", given, "source")
    host.wait(lambda: "d" in host.positions, "the position of what was dropped")
    assert source.records == []
    given = config(count=1, transforms="f", transforms_f_class=TRANSFORMS + "ChangeCase$Value", transforms_f_from="LOWER_CAMEL", transforms_f_to="UPPER_CAMEL")
    source = host.run(plugin, SOURCE, "e", given, "source", started=False)
    assert "unsupported type for ChangeCase: java.lang.String" in source.wait_failed().text


def test_sink(host, plugin):
    sink = host.run(plugin, SINK, "k", {"connector.class": SINK, "connect.topicnames": "t", "retries": "1"}, "sink")
    assert "EVENT start k k-0 true" in sink.log
    sink.put("t", 2, 9, [[b"a", b"key", 50, None, None, [["TAGS", b"red"], ["connect-ext-mine", b"x"], ["connect.timestamp", b"77"]]], [b"assignment"]])
    sink.put("nothing", 0, 4, [b"b"])
    sink.wait_taken()
    assert any(line.startswith("EVENT retry") for line in sink.log) and "EVENT assignment true 1" in sink.log or "EVENT assignment true 2" in sink.log
    assert ("EVENT put {brokerName=gantry, queueId=2, topic=t} {queueOffset=9} key a 77 {MQ-SYS-TAGS=red, connect.timestamp=77, mine=x}") in sink.log
    assert sink.flush() == {("nothing", 0): 4} and {"EVENT flush t 11", "EVENT flush nothing 5"} <= set(sink.log)
    sink.put("t", 0, 0, [b"pause"])
    host.wait(lambda: sink.holds == [("t", 0, True)], "HOLD")
    sink.put("t", 0, 1, [b"later"])
    sink.put("t", 1, 5, [b"x", b"seek:5", b"resume"])
    host.wait(lambda: sink.seeks == [("t", 1, 5)] and sink.holds[-1] == ("t", 0, False), "SEEK and the end of HOLD")
    sink.answer_seek()
    sink.put("t", 1, 5, [b"x", b"seek:5"])
    sink.wait_taken()
    assert sink.flush() == {("nothing", 0): 4} and any(" later " in line for line in sink.log)
    sink.put("t", 1, 7, [b"fail"])
    assert sink.wait_failed().text == "ConnectException: told to fail"
    sink.stop()
    sink = host.run(plugin, SINK, "k2", {"connector.class": SINK, "connect.topicnames": "t", "errors.tolerance": "all", "errors.log.enable": "true"}, "sink")
    sink.put("t", 0, 0, [b"report"])
    sink.wait_taken()
    assert any("a record is left out" in line and "a bad one" in line for line in sink.log)


def test_reported_records_are_laid_aside_as_they_came(host, plugin):
    keys = {"connector.class": SINK, "connect.topicnames": "t", "errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead",
            "errors.deadletterqueue.context.properties.enable": "true", "value.converter": RECORD + "json.JsonConverter"}
    sink = host.run(plugin, SINK, "k", keys, "sink")
    report = b'{"schema":{"type":"string","optional":false},"payload":"report 1"}'
    sink.put("t", 2, 9, [[report, b"key", 99, None, None, [["mine", b"w"]]], [b"no JSON"]])
    assert sink.flush() == {}
    (_, second), (place, first) = sink.asides  # the other one was not put at all
    assert (place, first.value, first.key, first.ms, first.headers[0]) == (("t", 2, 9), report, b"key", 99, ("mine", b"w"))
    assert {("__connect.errors.stage", b"TASK_PUT"), ("__connect.errors.offset", b"9"), ("__connect.errors.exception.message", b"a bad one")} <= set(first.headers)
    assert second.value == b"no JSON" and {("__connect.errors.stage", b"CONVERTER"), ("__connect.errors.offset", b"10")} <= set(second.headers)


def test_stop_interrupts_a_poll_that_sleeps(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(blocks=1), "source")
    host.wait(lambda: "EVENT poll" in source.log, "poll")
    source.stop()
    assert not source.failed and source.log.count("EVENT stop") == 1
