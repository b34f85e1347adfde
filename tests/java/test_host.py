# SPDX-License-Identifier: Apache-2.0
"""The host as a process: its start, its end, the line, frames in pieces, what it does with nonsense."""
import glob
import os
import signal
import struct
import time
import zipfile

import pytest

import driver
import msgpack

STRING = "org.apache.kafka.connect.storage.StringConverter"
SOURCE, SINK = "probe.kafka.ProbeSource", "probe.kafka.ProbeSink"


def config(**more):
    return {"topic": "t", "topics": "t", "value.converter": STRING, "key.converter": STRING, **{key.replace("_", "."): str(value) for key, value in more.items()}}


def test_says_hello_on_each_jdk_and_is_quick(tmp_path, java):
    with driver.Host(tmp_path, java=java) as host:
        assert host.host["version"] == 1 and host.host["host"].startswith("gantry-java-host ")
        host.wait(lambda: len(host.beats) > 2, "BEAT")
        assert host.start_s < 10  # 0.25 s on a quiet machine; the tests may share theirs


@pytest.mark.parametrize("duplex", [True, False])
def test_needs_standard_output_only_where_standard_input_is_no_socket(tmp_path, duplex, plugin_path):
    with driver.Host(tmp_path, stdout_is_socket=duplex, options=["-Xlog:gc"] if not duplex else []) as host:
        assert host.load(plugin_path("kafka-probe.jar")) == 1


def test_ends_at_once_with_its_input_though_a_task_waits(tmp_path, plugin_path):
    host = driver.Host(tmp_path)
    plugin = host.load(plugin_path("kafka-probe.jar"))
    source = host.run(plugin, SOURCE, "c", config(), "source")
    blocked = host.source(plugin, SOURCE, "c", config(poll="sleeps", number=1))
    host.wait(lambda: "EVENT poll" in blocked.log, "poll")
    began = time.monotonic()
    host.close()
    assert host.process.returncode == 0 and time.monotonic() - began < 10 and source.started


@pytest.mark.parametrize("bad", [
    b"\x00\x00\x00\x00",                                           # a frame of no bytes
    b"\xff\xff\xff\xff",                                           # one of 4 GiB
    b"\x00\x00\x00\x01\xc1",                                       # no MessagePack
    struct.pack(">I", 3) + b"\x92\x02\x00"[:3],                    # a second HELLO without its map
    struct.pack(">I", 5) + b"\x93\xcc\xc8\x00\x00",                # an unknown type
    struct.pack(">I", 4) + b"\x93\x16\x07\x00",                    # STOP for a channel that never was
    struct.pack(">I", 3) + b"\x92\x03\x00",                        # LOAD without an id
    struct.pack(">I", 8) + b"\x94\x03\x00\x01\x81\xa4pa",          # cut short
    struct.pack(">I", 7) + b"\x93\x03\x00\xdd\xff\xff\xff",        # an array of 4 milliards
])
def test_exits_with_70_when_the_worker_says_something_wrong(tmp_path, bad):
    host = driver.Host(tmp_path)
    host.socket.sendall(bad)
    assert host.process.wait(20) == 70
    assert "the worker has said something wrong" in host.stderr()
    host.close()


def test_frames_before_hello_are_refused(tmp_path):
    host = driver.Host(tmp_path, hello=False)
    host.send([driver.LOAD, 0, 1, {"path": "x"}])
    assert host.process.wait(20) == 70
    host.close()


def test_frames_of_any_bytes_end_it_with_a_code_and_never_hang(tmp_path):
    import random
    seed = int(time.time())
    print("seed", seed)
    chance = random.Random(seed)
    for number in range(6):
        host = driver.Host(tmp_path / str(number))
        for _ in range(200):
            size = chance.randrange(1, 60)
            try:
                host.socket.sendall(struct.pack(">I", size) + bytes(chance.choice((0x92, 0x93, 0x94, 3, 6, 8, 20, 22, 40, 0, 1, 0xa1, 0xc0, chance.randrange(256)))
                                                                for _ in range(size)))
            except OSError:
                break
        host.socket.shutdown(1)
        assert host.process.wait(30) in (70, 0)
        host.close()


def test_a_frame_in_many_small_writes(tmp_path, plugin_path):
    with driver.Host(tmp_path) as host:
        number = host.next_id = 1
        host.answers[number] = None
        data = msgpack.pack([driver.LOAD, 0, number, {"path": plugin_path("kafka-probe.jar"), "name": "p"}])
        for byte in struct.pack(">I", len(data)) + data:
            host.socket.sendall(bytes([byte]))
        assert len(host.answer(number, driver.LOADED)["connectors"]) == 2


def test_records_larger_than_a_frame_go_both_ways_in_parts(host, plugin_path):
    plugin = host.load(plugin_path("kafka-probe.jar"))
    size = 24 << 20
    source = host.run(plugin, SOURCE, "c", config(what="big", size=size, count=2, batch=2), "source", credit=1)
    source.wait(1)
    source.grant(1)  # 1 byte is enough for one record of any size
    source.wait(2)
    assert [len(record.value) for record in source.records] == [size, size]
    assert source.records[0].value[:1] == b"b" and source.records[1].value[-1:] == b"c"
    source.stop()
    sink = host.run(plugin, SINK, "k", config(), "sink")
    sink.put("t", 0, 0, [b"x" * size])
    sink.wait_taken()
    assert sink.flush() == {}


def test_what_is_too_large_is_an_error_of_the_worker(tmp_path, plugin_path):
    host = driver.Host(tmp_path, record_max=1 << 20)
    plugin = host.load(plugin_path("kafka-probe.jar"))
    sink = host.run(plugin, SINK, "k", config(), "sink")
    try:
        sink.send(driver.PUT, "t", 0, 0, [[b"x" * (20 << 20)]])
    except OSError:
        pass  # it ended before it had all
    assert host.process.wait(30) == 70
    host.close()


def test_frames_for_an_ended_channel_are_dropped(host, plugin_path):
    plugin = host.load(plugin_path("kafka-probe.jar"))
    source = host.run(plugin, SOURCE, "c", config(count=3), "source")
    source.wait(3)
    source.stop()
    source.send(driver.CREDIT, 5)
    source.send(driver.COMMITTED, 1)
    source.send(driver.STOP)
    assert host.validate(plugin, SOURCE, "c", config()) == []


def test_files_that_are_no_plugins_are_refused_with_the_reason(host, tmp_path, plugin_path):
    (tmp_path / "text.jar").write_text("no jar")
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "none.jar", "none.jar is not there"), (tmp_path / "text.jar", "cannot be read as a jar"),
                        (tmp_path / "empty", "has no .jar and no .class"), (os.path.join(driver.LIBRARY, "openmessaging-0.1", "commons-lang3-3.4.jar"), "has no connector"),
                        (glob.glob(os.path.join(plugin_path("debezium-postgres"), "debezium-connector-postgres-*.jar"))[0],
                         "io.debezium.connector.postgresql.PostgresConnector extends io.debezium.connector.common.RelationalBaseSourceConnector, which is not there")):
        with pytest.raises(driver.Failed) as failed:
            host.load(path)
        assert words in failed.value.text and failed.value.code < 0, failed.value
    assert host.load(plugin_path("kafka-probe.jar"))


def test_a_folder_of_jars_is_one_plugin_with_several_apis(host, tmp_path, plugin_path):
    folder = tmp_path / "all"
    folder.mkdir()
    for name in ("kafka-probe-fat.jar", "oms-probe-fat.jar", "oms2019-probe-fat.jar"):
        os.symlink(plugin_path(name), folder / name)
    plugin = host.load(folder)
    found = {one["classes"][0]: (one["api"], one["kind"]) for one in host.plugins[plugin]["connectors"]}
    assert found == {
        "probe.kafka.ProbeSource": ("kafka", 0), "probe.kafka.ProbeSink": ("kafka", 1),
        "probe.oms.ProbeSource": ("openmessaging-0.1.4", 0), "probe.oms.ProbeSink": ("openmessaging-0.1.4", 1),
        "probe.oms2019.ProbeSource": ("openmessaging-0.1", 0), "probe.oms2019.ProbeSink": ("openmessaging-0.1", 1)}
    # the two generations of classes with the same names live side by side
    for class_name in ("probe.kafka.ProbeSource", "probe.oms.ProbeSource", "probe.oms2019.ProbeSource"):
        name = class_name.split(".")[1]
        source = host.run(plugin, class_name, name, {**config(count=1), "connect.topicname": "t", "value.converter": {
            "kafka": STRING}.get(name, "org.apache.rocketmq.connect.runtime.converter.record.StringConverter"),
            "key.converter": {"kafka": STRING}.get(name, "org.apache.rocketmq.connect.runtime.converter.record.StringConverter")}, "source")
        source.wait(1)
        source.stop()


def test_a_folder_of_classes_is_a_plugin(host, tmp_path, plugin_path):
    with zipfile.ZipFile(plugin_path("oms2019-probe.jar")) as jar:
        jar.extractall(tmp_path / "classes")
    plugin = host.load(tmp_path / "classes")
    host.run(plugin, "probe.oms2019.ProbeSource", "c", {"topic": "t", "count": "3"}, "source").wait(3)


def test_a_plugin_may_be_named_before_it_is_loaded(host, plugin_path):
    """The worker need not wait for LOADED before it says VALIDATE, SPLIT, START, STOP."""
    load = host.ask(driver.LOAD, {"path": plugin_path("kafka-probe-fat.jar"), "name": "p"})
    asked = [host.ask(driver.VALIDATE, load, SOURCE, "c", config()), host.ask(driver.SPLIT, load, SOURCE, "c", config(), 1)]
    source = host.source(load, SOURCE, "c", config(count=5, number=0), started=False)
    stopped = host.source(load, SOURCE, "d", config(number=1), started=False)
    stopped.send(driver.CREDIT, 5)
    stopped.stop()
    source.wait(5)
    assert host.answer(asked[0], driver.FINDINGS) == [] and len(host.answer(asked[1], driver.TASKS)) == 1 and host.answer(load, driver.LOADED)
    load = host.ask(driver.LOAD, {"path": "/none.jar", "name": "p"})
    source = host.source(load, SOURCE, "e", config(), started=False)
    assert "could not be loaded" in source.wait_failed().text and "/none.jar is not there" in source.failed.text


def test_many_tasks_share_a_host(host, plugin_path):
    plugin = host.load(plugin_path("kafka-probe.jar"))
    tasks = host.split(plugin, SOURCE, "c", config(count=500, batch=7), 3)
    sources = [host.source(plugin, SOURCE, f"c{number}", tasks[number % 3]) for number in range(20)]
    for source in sources:
        source.wait(500)
        assert [record.value for record in source.records] == [b"v%d" % number for number in range(1, 501)]
    for source in sources:
        source.stop(wait=False)
    for source in sources:
        host.wait(lambda one=source: one.stopped, "STOPPED")


def test_a_killed_host_is_replaced_and_nothing_is_lost(tmp_path, plugin_path):
    positions, got = {}, []
    for number in range(4):
        host = driver.Host(tmp_path / str(number))
        host.positions = positions
        plugin = host.load(plugin_path("kafka-probe.jar"))
        source = host.run(plugin, SOURCE, "c", config(count=400, batch=10), "source", commit=False)
        source.wait(min(100, 400 - len(got)))
        with host.changed:
            kept = max(source.seq - 2, 0)
            count = sum(size for seq, size, _ in source.frames if seq <= kept)
        if kept > 0:
            source.commit(kept)
        got += [record.value for record in source.records[:count]]
        host.process.send_signal(signal.SIGKILL)
        host.close()
    with driver.Host(tmp_path / "last") as host:
        host.positions = positions
        plugin = host.load(plugin_path("kafka-probe.jar"))
        source = host.run(plugin, SOURCE, "c", config(count=400, batch=10), "source")
        source.wait(400 - len(got))
        got += [record.value for record in source.records]
    assert got == [b"v%d" % number for number in range(1, 401)]
