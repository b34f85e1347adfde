# SPDX-License-Identifier: Apache-2.0
"""Kafka Connect: each method of its interfaces, by a jar of our own."""
import base64
import json
import time

import pytest

import driver
from test_host import SINK, SOURCE, STRING, config

PARTITION = b'{"number":"0"}'


@pytest.fixture
def plugin(host, plugin_path):
    return host.load(plugin_path("kafka-probe.jar"))


def test_describes_its_connectors_without_defaults_that_the_worker_would_fill_in(host, plugin):
    source = host.connector(plugin, SOURCE)
    assert (source["kind"], source["version"], source["api"], source["task_class"]) == (0, "7.1", "kafka", SOURCE + "$ProbeTask")
    assert source["flags"] == 21 and source["validates"] and source["splits"]
    defs = {one["name"]: one for one in source["defs"]}
    assert defs["topic"]["flags"] == 1 and defs["topic"]["type"] == 0 and defs["topic"]["doc"] == "Where to."
    assert defs["count"]["type"] == 1 and "(default: 0)" in defs["count"]["doc"] and defs["count"]["default"] is None
    assert (defs["secret"]["type"], defs["flag"]["type"], defs["words"]["type"]) == (7, 4, 6)
    assert "geheim" not in defs["secret"]["doc"]
    converter = [one for one in source["defs"] if one["name"] == "value.converter"]
    assert len(converter) == 1 and converter[0]["flags"] == 0  # the host's own keys are told, too
    assert host.connector(plugin, SINK)["kind"] == 1


def test_runs_on_each_jdk_also_with_the_api_in_its_jar(tmp_path, java, plugin_path):
    with driver.Host(tmp_path, java=java) as host:
        plugin = host.load(plugin_path("kafka-probe-fat.jar"))
        source = host.run(plugin, SOURCE, "c", config(count=5), "source")
        source.wait(5)
        source.stop()
        sink = host.run(plugin, SINK, "k", config(), "sink")
        sink.put("t", 0, 0, [record.value for record in source.records])
        sink.wait_taken()
        sink.stop()
        assert len([line for line in sink.log if line.startswith("EVENT put ")]) == 5


def test_findings(host, plugin):
    assert host.validate(plugin, SOURCE, "c", config()) == []
    found = {key: text for key, text, warning in host.validate(plugin, SOURCE, "c", {"count": "x", "bad": "1"})}
    assert "Missing required" in found["topic"] and "count" in found["count"] and found["bad"] == "bad is 1; it must not be there"
    for key, value, words in (("value.converter", "org.example.None", "value.converter is 'org.example.None'"),
                              ("transforms", "x", "transforms.x.type is missing"), ("header.converter", SOURCE, "is no HeaderConverter")):
        found = host.validate(plugin, SOURCE, "c", {**config(), key: value})
        assert [(one[0], words in one[1]) for one in found] == [(None, True)], found
    letters, all_of = {"errors.deadletterqueue.topic.name": "dead"}, {"errors.tolerance": "all"}
    for more, words, warning in ((letters, "nothing goes there without errors.tolerance=all", True), ({"errors.tolerance": "al"}, "is 'al'; it must be", False),
                                 ({"errors.deadletterqueue.context.headers.enable": "true"}, "errors.deadletterqueue.topic.name is not set", True)):
        found = host.validate(plugin, SINK, "c", {**config(), **more})
        assert [(one[0], words in one[1], one[2]) for one in found] == [(None, True, warning)], found
    assert host.validate(plugin, SINK, "c", {**config(), **letters, **all_of}) == []
    with pytest.raises(driver.Failed) as failed:
        host.validate(plugin, "org.example.None", "c", {})
    assert "'org.example.None' is no connector of plugin" in failed.value.text and failed.value.code == -4


def test_splits_and_keeps_the_connector_until_release(host, plugin):
    given = config(count=1, transforms="a", transforms_a_type="x", other="y")
    tasks = host.split(plugin, SOURCE, "c", given, 2)
    assert [task["number"] for task in tasks] == ["0", "1"]
    # what the converters and transforms need comes along, what else the connector keeps for itself does not
    assert all(task["value.converter"] == STRING and task["transforms.a.type"] == "x" and "other" not in task for task in tasks)
    assert tasks[0]["task.class"] == SOURCE + "$ProbeTask"
    host.split(plugin, SOURCE, "c", given, 3)
    assert host.texts(0).count("connector=c EVENT connector-start c true") == 1
    host.split(plugin, SOURCE, "c", config(count=2), 3)  # another configuration: another life
    host.wait(lambda: "connector=c EVENT connector-stop" in host.texts(0), "stop")
    assert host.texts(0).count("connector=c EVENT connector-start c true") == 2
    host.release("c")
    host.wait(lambda: host.texts(0).count("connector=c EVENT connector-stop") == 2, "stop")


def test_asks_for_a_new_split_and_raises_errors(host, plugin):
    host.split(plugin, SOURCE, "c", config(reconfigure=1), 1)
    host.split(plugin, SOURCE, "d", config(**{"raise": "cannot go on"}), 1)
    host.wait(lambda: len(host.reconfigures) == 2, "RECONFIGURE")
    assert sorted(host.reconfigures) == [("c", None), ("d", "ConnectException: cannot go on")]


def test_source_from_start_to_restart(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(count=250), "source", commit=False)
    source.wait(250)
    assert [record.value for record in source.records] == [b"v%d" % number for number in range(1, 251)]
    assert all((record.topic, record.key, record.ms, record.schema, record.headers) == ("t", None, 0, None, []) for record in source.records)
    assert [(count, marks) for _, count, marks in source.frames] == [
        (100, [[100, PARTITION, b'{"next":100}']]), (100, [[100, PARTITION, b'{"next":200}']]), (50, [[50, PARTITION, b'{"next":250}']])]
    assert "EVENT start 0 null true 2" in source.log
    source.commit(1)
    host.wait(lambda: "EVENT commit" in source.log, "commit")
    assert [line for line in source.log if "commitRecord" in line] == [f"EVENT commitRecord v{number} true" for number in range(1, 101)]
    source.stop()
    assert [line for line in source.log if line.startswith("EVENT stop")]
    again = host.run(plugin, SOURCE, "c", config(count=250), "source")
    again.wait(150)
    assert [record.value for record in again.records] == [b"v%d" % number for number in range(101, 251)]
    assert "EVENT start 0 {next=100} true 2" in again.log


def test_logs_carry_the_task(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(), "source")
    host.wait(lambda: "by a thread" in source.log, "its thread's line")
    lines = {(level, logger, text) for channel, level, logger, text in host.logs if channel == source.number}
    assert {(1, "probe.kafka.ProbeSource$ProbeTask", "by slf4j 0"), (2, "probe.log4j", "by log4j"), (2, "probe.jul", "by jul"),
            (2, "stderr", "by stderr"), (1, "stdout", "by a thread")} <= lines


def test_a_position_is_told_with_the_last_record_that_has_it(host, plugin):
    """6,000 records of one poll share a position: more than a frame holds, so the first frame may not tell it."""
    source = host.run(plugin, SOURCE, "c", config(count=9000, batch=6000, poll="sameposition"), "source")
    source.wait(9000)
    assert [(count, [mark[2] for mark in marks]) for _, count, marks in source.frames] == [
        (4096, []), (1904, [b'{"next":6000}']), (3000, [b'{"next":12000}'])]
    assert source.batches == [2, 3]  # the first two go together: committed apart, a kill between them would repeat the first


def test_a_batch_at_one_position_comes_whole_or_not_at_all(host, plugin):
    """Wherever the worker ends: what is committed, and what comes behind that position, are all records once."""
    given = config(count=20_000, batch=10_000, poll="sameposition")
    source = host.run(plugin, SOURCE, "c", given, "source", commit=False, credit=1, refill=False)
    source.wait(10_000)  # credit is needed before the first frame alone
    assert source.batches == [3] and [count for _, count, _ in source.frames] == [4096, 4096, 1808]
    source.commit()
    source.stop()
    again = host.run(plugin, SOURCE, "c", given, "source")
    again.wait(10_000)
    assert [record.value for record in source.records + again.records] == [b"v%d" % number for number in range(1, 20_001)]


def test_a_batch_at_one_position_that_no_worker_takes_is_parted(tmp_path, plugin_path):
    with driver.Host(tmp_path, record_max=2 << 20) as host:
        plugin = host.load(plugin_path("kafka-probe.jar"))
        given = config(count=60, batch=30, what="big", size=100_000, poll="sameposition")
        source = host.run(plugin, SOURCE, "c", given, "source", credit=1, refill=False)
        source.wait(1)
        sizes = [count for _, count, _ in source.frames]
        assert len(source.frames) == 1 and source.batches == [1], "what is no batch needs credit for each frame"
        source.grant(64 << 20)
        source.wait(60)
        assert sizes[0] < 10 and source.batches == list(range(1, len(source.frames) + 1))
        assert [record.value[0] for record in source.records] == [ord("a") + number % 26 for number in range(1, 61)]
        assert len([line for line in source.log if "host.record.max (2097152 bytes)" in line]) == 1


@pytest.mark.parametrize("what, cost", [("text", 66), ("headers", 66 + 39 + 36 + 41)])
def test_never_sends_without_credit(host, plugin, what, cost):
    source = host.run(plugin, SOURCE, "c", config(count=1000, batch=10, what=what), "source", credit=cost * 10, refill=False)
    source.wait(10)  # the driver calls any frame without credit a violation
    beats = len(host.beats)
    host.wait(lambda: len(host.beats) > beats + 3, "BEAT")
    assert len(source.records) == 10
    source.grant(1 << 20)
    source.wait(1000)


def test_large_batches_are_cut_at_a_mebibyte(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(count=30, batch=30, what="big", size=100_000), "source", credit=64 << 20)
    source.wait(30)
    assert [len(record.value) for record in source.records] == [100_000] * 30 and len(source.frames) > 3


def test_marks_of_many_partitions_have_a_place_in_their_frames(host, plugin):
    """Each record of its own partition: the marks are longer than the records, and count in the mebibyte of a frame."""
    source = host.run(plugin, SOURCE, "c", config(count=4000, batch=4000, what="partitions"), "source")
    source.wait(4000)  # the driver calls longer frames a violation
    assert sum(len(marks) for _, _, marks in source.frames) == 4000 and source.batches == list(range(1, len(source.frames) + 1))


def test_tombstones_keys_times_and_headers(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(count=1, what="tombstone"), "source")
    record = source.wait(1)[0]
    assert (record.value, record.key, record.ms) == (None, b"k1", 1234567890123)
    headers = host.run(plugin, SOURCE, "h", config(count=1, what="headers"), "source")
    record = headers.wait(1)[0]
    assert record.headers == [("one", b"eins"), ("two", b"2"), ("three", b"true"), ("four", None)] and record.ms == 5


def test_json_is_the_default_and_knows_all_types(host, plugin):
    given = {key: value for key, value in config(count=1, what="struct").items() if "converter" not in key}
    record = host.run(plugin, SOURCE, "c", given, "source").wait(1)[0]
    value = json.loads(record.value)
    assert value["payload"] == {
        "i8": 1, "i16": 2, "i32": 3, "i64": 4, "f32": 1.5, "f64": 2.5, "b": True, "s": "süß", "bytes": "AAEC", "list": ["x", "y"],
        "map": {"k": 7}, "dec": base64.b64encode((1234).to_bytes(2, "big")).decode(), "date": 1, "ts": 1000, "none": None}
    assert value["schema"]["name"] == "all" and record.key is None
    sink = host.run(plugin, SINK, "k", {"topics": "t"}, "sink")
    sink.put("t", 0, 0, [[record.value]])
    sink.wait_taken()
    line = next(line for line in sink.log if line.startswith("EVENT put "))
    assert "Struct{i8=1,i16=2,i32=3,i64=4,f32=1.5,f64=2.5,b=true,s=süß," in line and "dec=12.34" in line and " STRUCT " in line


def test_converters_and_transforms_of_the_jar_and_of_kafka(host, plugin):
    given = config(count=10, predicates="five", predicates_five_type="org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
                   predicates_five_pattern="t", transforms="drop,route,hoist", transforms_drop_type="probe.kafka.Shout$DropOdd",
                   transforms_route_type="RegexRouter", transforms_route_regex="(.*)", transforms_route_replacement="$1-new",
                   transforms_hoist_type="HoistField$Value", transforms_hoist_field="f", transforms_hoist_predicate="five",
                   transforms_hoist_negate="true")
    given.update({"value.converter": "probe.kafka.Shout", "value.converter.mark": "!"})
    source = host.run(plugin, SOURCE, "c", given, "source", commit=False)
    source.wait(5)
    assert [(record.topic, record.value) for record in source.records] == [("t-new", b"V!STRUCT{F=V%d}" % n) for n in (2, 4, 6, 8, 10)]
    source.commit()
    host.wait(lambda: "EVENT commit" in source.log, "commit")
    assert [line.split()[2:] for line in source.log if "commitRecord" in line][:2] == [["v1", "false"], ["v2", "true"]]
    host.wait(lambda: host.positions["c"] == {PARTITION: b'{"next":10}'}, "the position")


def test_positions_move_though_all_records_are_dropped(host, plugin):
    source = host.run(plugin, SOURCE, "c", config(count=10, batch=1, transforms="f", transforms_f_type="Filter"), "source")
    host.wait(lambda: host.positions.get("c") == {PARTITION: b'{"next":10}'}, "the position")
    assert source.records == []


def test_records_that_are_dropped_do_not_pile_up_while_nothing_is_committed(host, plugin):
    """They take no credit, but the task's commitRecord() is to come for each: so they wait somewhere."""
    source = host.run(plugin, SOURCE, "c", config(count=40_000, batch=1000, transforms="f", transforms_f_type="Filter"), "source", commit=False)
    host.wait(lambda: source.seq >= 16, "frames without records")
    beats = len(host.beats)
    host.wait(lambda: len(host.beats) > beats + 5, "BEAT")
    assert source.seq == 17 and source.records == []
    while source.seq < 40:
        seq = source.seq
        source.commit()
        host.wait(lambda last=seq: source.seq > last, "further frames")
    source.commit()
    assert host.positions["c"] == {PARTITION: b'{"next":40000}'}


def test_sink_gets_what_was_sent(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 3, 17, [[b"a", b"key", 99, None, None, [["h", b"w"], ["none", None]]], [None]])
    sink.wait_taken()
    assert "EVENT open [t-3] true" in sink.log
    assert [line for line in sink.log if "EVENT put " in line] == [
        "EVENT put t-3 17 key a 99 STRING ConnectHeaders(headers=[ConnectHeader(key=h, value=w, schema=Schema{STRING}), "
        "ConnectHeader(key=none, value=null, schema=null)])",
        "EVENT put t-3 18 null null 0 STRING ConnectHeaders(headers=)"]
    assert sink.flush() == {} and "EVENT preCommit 1" in sink.log
    sink.stop()
    assert sink.log[-2:] == ["EVENT close [t-3]", "EVENT stop"]


def test_what_is_not_done_may_not_be_committed(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 10, [b"a", b"wait", b"b"])
    sink.put("t", 1, 5, [b"c"])
    sink.put("nothing", 0, 7, [b"d"])
    sink.wait_taken()
    assert sink.flush() == {("t", 0): 11, ("nothing", 0): 7}
    sink.put("t", 0, 13, [b"done"])
    sink.wait_taken()
    assert sink.flush() == {("nothing", 0): 7}


def test_retries_the_same_records(host, plugin):
    sink = host.run(plugin, SINK, "k", config(retries=2), "sink")
    sink.put("t", 0, 0, [b"a", b"b"])
    sink.wait_taken()
    assert [line for line in sink.log if line.startswith(("EVENT retry", "EVENT put"))][:3] == ["EVENT retry 2", "EVENT retry 2",
                                                                                       "EVENT put t-0 0 null a 0 STRING ConnectHeaders(headers=)"]


def test_a_sink_that_is_full_is_flushed_past_what_it_has_not_taken(host, plugin):
    """It takes nothing before it is flushed, and asks for that: the flush may not wait behind its records."""
    sink = host.run(plugin, SINK, "k", config(full=1), "sink")
    sink.put("t", 0, 7, [b"a", b"b"])
    host.wait(lambda: sink.commits > 0 and sink.log.count("EVENT full 2") > 2, "COMMIT and other tries")
    assert sink.commits == 1  # once, until it is answered
    sink.put("t", 1, 5, [b"c"])
    assert sink.taken == 0 and sink.flush() == {("t", 0): 7, ("t", 1): 5}  # nothing of either may be committed
    sink.wait_taken()
    assert [line.split()[2:4] for line in sink.log if line.startswith("EVENT put ")] == [["t-0", "7"], ["t-0", "8"], ["t-1", "5"]]
    assert sink.flush() == {}


def test_a_commit_that_the_sink_asks_for(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"soon"])
    host.wait(lambda: sink.commits == 1, "COMMIT")
    sink.wait_taken()
    assert sink.flush() == {}
    sink.put("t", 0, 1, [b"soon"])
    host.wait(lambda: sink.commits == 2, "another COMMIT")


def test_pauses_and_resumes_without_losing_what_was_under_way(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"pause"])
    host.wait(lambda: sink.holds == [("t", 0, True)], "HOLD")
    sink.put("t", 0, 1, [b"later"])       # was under way
    sink.put("t", 1, 0, [b"other"])
    host.wait(lambda: any(" other " in line for line in sink.log), "the other queue")
    assert sink.flush() == {("t", 0): 1} and not any(" later " in line for line in sink.log)
    sink.put("t", 1, 1, [b"resume"])
    sink.wait_taken()
    assert sink.holds[-1] == ("t", 0, False) and any(" later " in line for line in sink.log) and sink.flush() == {}


def test_holds_come_in_the_order_in_which_they_were_asked_for(host, plugin):
    """Turned round, the last two would leave a queue that is never read again."""
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"race"])
    sink.wait_taken()
    assert [held for _, _, held in sink.holds] == [True, False] * (len(sink.holds) // 2) and sink.holds


def test_seeks_and_drops_what_is_under_way(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 5, [b"a", b"seek:3"])
    host.wait(lambda: sink.seeks == [("t", 0, 3)], "SEEK")
    sink.put("t", 0, 7, [b"under way"])
    sink.wait_taken()
    assert sink.flush() == {("t", 0): 3}
    sink.answer_seek()
    sink.put("t", 0, 3, [b"y", b"z", b"a", b"seek:3", b"end"])
    sink.wait_taken()
    assert not any("under way" in line for line in sink.log) and any(" end " in line for line in sink.log) and sink.flush() == {}


@pytest.mark.parametrize("how", ["retriable", "plain"])
def test_what_could_not_be_flushed_is_put_again(host, plugin, how):
    """As Kafka Connect does it, which goes back to what was committed last, whatever preCommit() throws."""
    sink = host.run(plugin, SINK, "k", config(unflushed=how), "sink")
    sink.put("t", 0, 3, [b"a"])
    sink.wait_taken()
    assert sink.flush() == {}
    sink.put("t", 0, 4, [b"unflushed", b"b"])
    sink.wait_taken()
    assert sink.flush() == {("t", 0): 4} and sink.seeks == [("t", 0, 4)]
    sink.answer_seek()
    sink.put("t", 0, 4, [b"unflushed", b"b"])
    sink.wait_taken()
    assert sink.flush() == {} and not sink.failed
    assert [line.split()[3] for line in sink.log if line.startswith("EVENT put ")] == ["3", "4", "5", "4", "5"]


def test_put_is_called_when_the_sink_asks_for_it(host, plugin):
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"soon"])
    host.wait(lambda: "EVENT put-nothing" in sink.log, "put of nothing")


def test_bad_records_are_left_out_only_where_that_is_tolerated(host, plugin):
    reading = {"value.converter": "probe.kafka.Shout"}
    sink = host.run(plugin, SINK, "k", {**config(), **reading}, "sink")
    sink.put("t", 0, 0, [b"a", b"poison"])
    assert "cannot read poison" in sink.wait_failed().text
    sink.stop()
    sink = host.run(plugin, SINK, "k2", {**config(errors_tolerance="all", errors_log_enable="true"), **reading}, "sink")
    sink.put("t", 0, 0, [b"a", b"poison", b"REPORT", b"b"])
    sink.wait_taken()
    assert [line.split()[5] for line in sink.log if line.startswith("EVENT put ")] == ["a", "report", "b"]
    assert len([line for line in sink.log if line.startswith("a record is left out")]) == 2
    assert sink.flush() == {}
    sink = host.run(plugin, SINK, "k3", config(errors_log_enable="true"), "sink")
    sink.put("t", 0, 0, [b"report"])
    assert "a bad one" in sink.wait_failed().text


def test_records_that_are_left_out_are_laid_aside_as_they_came(host, plugin):
    """Before the STATE of a flush, so that no commit passes over them without; with headers that say why where that is asked for."""
    keys = {**config(errors_tolerance="all", errors_deadletterqueue_topic_name="dead"), "value.converter": "probe.kafka.Shout"}
    sink = host.run(plugin, SINK, "k", keys, "sink")
    sink.put("t", 3, 17, [[b"a"], [b"REPORT 1", b"key", 99, None, None, [["h", b"w"], ["none", None]]], [b"poison"]])
    assert sink.flush() == {}
    assert [(place, one.value, one.key, one.ms, one.headers) for place, one in sink.asides] == [
        (("t", 3, 19), b"poison", None, 0, []),  # which was not put at all
        (("t", 3, 18), b"REPORT 1", b"key", 99, [("h", b"w"), ("none", None)])]
    sink.stop()
    keys["errors.deadletterqueue.context.headers.enable"] = "true"
    sink = host.run(plugin, SINK, "k", keys, "sink")
    sink.put("t", 3, 17, [b"poison", b"REPORT"])
    assert sink.flush() == {}
    def told(record):
        return {name.removeprefix("__connect.errors."): value.decode() for name, value in record.headers}
    both = {"topic": "t", "partition": "3", "connector.name": "k", "task.id": "0"}
    first, second = (told(one) for _, one in sink.asides)
    assert {**both, "offset": "17", "stage": "VALUE_CONVERTER", "class.name": "probe.kafka.Shout"}.items() <= first.items()
    assert "cannot read poison" in first["exception.message"] and "probe.kafka.Shout.toConnectData" in first["exception.stacktrace"]
    assert {**both, "offset": "18", "stage": "TASK_PUT", "class.name": SINK + "$ProbeTask", "exception.message": "a bad one",
            "exception.class.name": "org.apache.kafka.connect.errors.ConnectException"}.items() <= second.items()
    sink.put("t", 3, 19, ["poison 中".encode() + "文".encode() * 9000])  # headers have 32 KiB in all, and no half characters
    assert sink.flush() == {}
    texts = told(sink.asides[2][1])
    for name, most in (("exception.message", 2000), ("exception.stacktrace", 8000)):
        assert "cannot read poison 中文" in texts[name] and texts[name].endswith("文...") and most - 3 < len(texts[name].encode()) <= most
    sink.stop()
    sink = host.run(plugin, SINK, "k", config(errors_deadletterqueue_topic_name="dead"), "sink")  # and none of it is tolerated
    sink.put("t", 0, 0, [b"report"])
    assert "a bad one" in sink.wait_failed().text and sink.asides == []
    sink.stop()
    sink = host.run(plugin, SINK, "k", config(errors_deadletterqueue_topic_name="dead"), "sink")
    sink.put("t", 0, 0, [b"late"])
    sink.wait_taken()
    with pytest.raises(driver.Failed) as failed:  # no FLUSHED allows a commit that passes over it
        sink.flush()
    assert "a late one" in failed.value.text


def test_stop_ends_a_poll_that_waits(host, plugin):
    waits = host.source(plugin, SOURCE, "c", config(poll="blocks", number=0))
    host.wait(lambda: "EVENT poll" in waits.log, "poll")
    host.wait(lambda: host.beats and host.beats[-1][1].get(waits.number, 0) > 100, "BEAT with the time in poll")
    began = time.monotonic()
    waits.stop()
    assert time.monotonic() - began < 4 and any("-stop" in line for line in waits.log if "EVENT stop" in line)


def test_stop_is_not_called_beside_start(host, plugin):
    """What start() makes once stop() is over would never be closed."""
    source = host.source(plugin, SOURCE, "c", config(slow=1500, number=0), started=False)
    host.wait(lambda: "by stderr" in source.log, "start")
    source.stop()
    events = [line for line in source.log if line.startswith(("EVENT has", "EVENT stop"))]
    assert len(events) == 2 and events[0] == "EVENT has started" and not source.failed


def test_nothing_is_told_to_a_task_that_has_been_stopped(host, plugin):
    """Not even that its records are durable: what it would need for that is closed."""
    source = host.source(plugin, SOURCE, "c", config(poll="ends", count=10, batch=5, number=0), commit=False, credit=1, refill=False)
    host.wait(lambda: source.seq == 1, "a frame")
    source.commit(1)
    host.wait(lambda: "EVENT commit" in source.log, "commit")
    source.grant(1 - source.left)
    host.wait(lambda: source.seq == 2, "another frame")
    source.grant(1 - source.left)  # for the poll that fails
    assert source.wait_failed().text == "ConnectException: no more"
    host.wait(lambda: any(line.startswith("EVENT stop") for line in source.log), "stop")
    source.commit(2)
    beats = len(host.beats)
    host.wait(lambda: len(host.beats) > beats + 5, "BEAT")
    source.stop()
    assert source.log.count("EVENT commit") == 1 and len([line for line in source.log if "commitRecord" in line]) == 5


def test_an_interrupt_ends_what_stop_does_not(host, plugin):
    source = host.source(plugin, SOURCE, "c", config(poll="sleeps", number=0))
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"sleep"])
    host.wait(lambda: any(" sleep " in line for line in sink.log) and "EVENT poll" in source.log, "sleep")
    source.stop(wait=False)
    sink.stop()
    host.wait(lambda: source.stopped, "STOPPED")
    assert not source.failed and not sink.failed


@pytest.mark.parametrize("poll,words,code", [("fails", "ConnectException: broken | in two lines: IllegalStateException: the reason", -6),
                                             ("noclass", "NoClassDefFoundError: org/example/Missing", -16), ("stack", "StackOverflowError", -6)])
def test_an_error_fails_its_task_alone(host, plugin, poll, words, code):
    good = host.run(plugin, SOURCE, "good", config(count=10, batch=1), "source", commit=False)
    bad = host.source(plugin, SOURCE, "bad", config(poll=poll, number=1), started=False)
    failed = bad.wait_failed()
    assert (failed.text, failed.code) == (words, code)
    bad.stop()
    assert len([line for line in bad.log if line.startswith("EVENT stop")]) == 1
    good.wait(10)
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"fail"])
    assert sink.wait_failed().text == "ConnectException: told to fail"


def test_a_task_that_cannot_begin_says_why(host, plugin):
    for class_name, given, words in ((SOURCE, config(value_converter="org.example.None"), "value.converter is 'org.example.None'"),
                                     (SOURCE, {**config(), "task.class": SINK}, "which is no SourceTask"),
                                     (SOURCE, config(errors_tolerance="some"), "errors.tolerance is 'some'"),
                                     ("org.example.None", {}, "'org.example.None' is no connector")):
        source = host.source(plugin, class_name, "c", given, started=False)
        assert words in source.wait_failed().text
        source.stop()


@pytest.mark.parametrize("poll,code", [("memory", 71), ("exits", 5), ("halts", 6)])
def test_what_ends_the_host_is_seen_as_its_end(tmp_path, plugin_path, poll, code):
    host = driver.Host(tmp_path)
    plugin = host.load(plugin_path("kafka-probe.jar"))
    host.source(plugin, SOURCE, "c", config(poll=poll, number=0), started=False)
    assert host.process.wait(60) == code
    assert code != 71 or "out of memory" in host.stderr()
    host.close()


def test_unload_and_load_again(host, plugin, plugin_path):
    source = host.run(plugin, SOURCE, "c", config(count=1), "source")
    source.wait(1)
    source.stop()
    host.release("c")
    host.unload(plugin)
    again = host.load(plugin_path("kafka-probe.jar"))
    host.run(plugin=again, class_name=SOURCE, name="c2", config=config(count=1), kind="source").wait(1)
    with pytest.raises(driver.Failed) as failed:
        host.split(plugin, SOURCE, "c", config())
    assert "is not loaded" in failed.value.text


def test_unload_takes_back_the_drivers_of_databases(tmp_path, java, plugin_path):
    """Each of them would keep all classes of its plugin for ever."""
    with driver.Host(tmp_path, java=java) as host:
        plugins = [host.load(plugin_path("kafka-probe.jar")) for _ in range(2)]
        for number, plugin in enumerate(plugins):
            source = host.source(plugin, SOURCE, f"c{number}", config(driver=1, number=0))
            source.stop()
        host.unload(plugins[0])
        host.wait(lambda: "EVENT driver-gone" in host.texts(0), "the driver's end", 20)
        assert host.texts(0).count("EVENT driver-gone") == 1  # the other plugin has its own still
