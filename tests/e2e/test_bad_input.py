# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a clear error that names the key, the value and the remedy, loses nothing and disturbs nobody."""

import json
import os
import socket
from urllib.parse import quote

import pytest

from harness import (SOURCE, append, exchange, lines, read_reply, sink_config, source_config, wait_file,
                     write)


@pytest.fixture
def bystander(worker, tmp_path):
    """A worker with a pair that must go on whatever is sent to it."""
    source, sink = write(tmp_path / "by.in", b"before\n"), tmp_path / "by.out"
    worker.source("by source", "by", source)
    worker.sink("by sink", "by", sink)
    wait_file(sink, b"before\n")
    before = worker.configs()
    yield worker
    assert worker.configs() == before
    append(source, b"after\n")
    wait_file(sink, b"before\nafter\n")


def has(why, *words):
    for word in words:
        assert word in why, f"{word!r} is not in: {why}"


# --- JSON

@pytest.mark.parametrize("text, words", [
    ("", ["line 1", "JSON"]),
    ("{", ["line 1"]),
    ("nonsense", ["line 1"]),
    ("[]", ["object"]),
    ('"text"', ["'{' expected"]),
    ("null", ["'{' expected"]),
    ('{"a":"1"} more', ["line 1"]),
    ('{"a":\n"1",\n"a":"2"}', ["line 3", "duplicate", '"a"']),
    ('{"topic":null}', ["topic", "null"]),
    ('{"topic":"nul \\u0000 byte"}', ["line 1", "NUL"]),
    ('{"topic":"\\ud800"}', ["line 1", "D800"]),
    ("{" * 5000, ["line 1"]),
    ('{"a":' + "[" * 5000, ["line 1", "depth"]),
])
def test_json_that_is_not_a_configuration(bystander, text, words):
    has(bystander.refuse("new", text), "parameter 'config': ", *words)


def test_json_that_is_not_utf8(bystander):
    reply = bystander.get("/connectors/new?config=%7B%22topic%22%3A%22%FF%22%7D")
    assert reply.text == "fail" and "line 1, column 10: not valid JSON: unable to decode byte 0xff" in reply.field("X-Gantry-Error")
    for broken in ("%7", "%", "%zz"):
        reply = bystander.get(f"/connectors/new?config={broken}")
        assert reply.text == "fail" and "%" in reply.field("X-Gantry-Error")


def test_no_configuration_or_two(bystander):
    assert "config" in bystander.get("/connectors/new").field("X-Gantry-Error")
    assert "2 times" in bystander.get("/connectors/new?config={}&config={}").field("X-Gantry-Error")


# --- classes and keys

def test_an_unknown_class_is_told_with_the_nearest(bystander, tmp_path):
    config = {**source_config("t", tmp_path / "in"),
              "connector-class": "org.apache.rocketmq.connect.file.FileSourceConector"}
    has(bystander.refuse("new", config), "connector.class", "FileSourceConector'", f"did you mean '{SOURCE}'",
        "gantry connector classes")
    config["connector-class"] = "com.example.Different"
    has(bystander.refuse("new", config), "com.example.Different", "gantry connector classes")


@pytest.mark.parametrize("kind, key", [
    ("source", "connector-class"), ("source", "topic"), ("source", "filename"),
    ("sink", "connector-class"), ("sink", "topicNames"), ("sink", "filename"),
])
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_a_missing_or_empty_key_is_told(bystander, tmp_path, kind, key, empty):
    config = (source_config if kind == "source" else sink_config)("t", tmp_path / "file")
    del config[key]
    if empty:
        config[key] = ""
    has(bystander.refuse("new", config), key)


def test_all_missing_keys_are_told_at_once(bystander):
    has(bystander.refuse("new", {"connector-class": SOURCE}), "topic", "filename")


@pytest.mark.parametrize("key, value, words", [
    ("tasks.max", "many", ["many", "1024"]),
    ("tasks.max", "0", ["0", "1"]),
    ("tasks.max", "-3", ["-3"]),
    ("tasks.max", "99999999999999999999", ["99999999999999999999"]),
    ("tasks.max", 1.5, ["1.5"]),
    ("max.line.bytes", "1 furlong", ["1 furlong"]),
    ("max.line.bytes", "1g", ["1g", "64m"]),
    ("line.timeout.ms", "-1", ["-1"]),
    ("file.start", "middle", ["middle", "beginning", "end"]),
    ("line.too.long", "explode", ["explode", "fail", "skip", "cut"]),
    ("source-record-converter", "com.example.Converter", ["com.example.Converter", "string"]),
    ("topic", ["a", "b"], ['["a","b"]']),
    ("connector-class", {"nested": "x"}, ["connector.class", '{"nested":"x"}']),
    ("topic", "a/b", ["a/b"]),
    ("topic", "..", [".."]),
    ("topic", "TBW102", ["TBW102", "take another"]),
    ("topic", "gantry-cluster-DefaultConnectCluster", ["take another"]),
    ("topic", "t" * 300, ["300", "127"]),
    ("topic", "with blank", ["with blank"]),
    ("topic", "new\nline", ["topic"]),
    ("topic", "\u4e2d\u6587", ["topic"]),
    ("dlq.topic", "a b", ["dlq.topic", "a b"]),
    ("filename", "", ["filename"]),
    ("filename", " , ,", ["filename"]),
    ("filename", "/nowhere/at/*/all", ["filename", "pattern"]),
    ("filename", "x" * 5000, ["filename", "long"]),
])
def test_a_wrong_value_in_a_source(bystander, tmp_path, key, value, words):
    config = {**source_config("t", write(tmp_path / "in", b"1\n")), key: value}
    why = bystander.refuse("new", config)
    has(why, key.replace("-class", ".class"), *words)


@pytest.mark.parametrize("key, value, words", [
    ("rotate.bytes", "big", ["big"]),
    ("rotate.keep", "-1", ["-1"]),
    ("topicNames", "a,b/c", ["b/c"]),
    ("topicNames", ",", ["topicNames"]),
    ("topicNames", "t,t", ["t"]),
    ("filename", "/proc/no/such/file", ["filename", "/proc/no"]),
])
def test_a_wrong_value_in_a_sink(bystander, tmp_path, key, value, words):
    why = bystander.refuse("new", {**sink_config("t", tmp_path / "out"), key: value})
    has(why, key, *words)


def test_several_wrong_values_are_told_at_once(bystander, tmp_path):
    config = {**source_config("t", tmp_path / "in"), "tasks.max": "x", "file.start": "y", "max.line.bytes": "z"}
    has(bystander.refuse("new", config), "tasks.max", "file.start", "max.line.bytes")


def test_an_unknown_key_is_a_warning_with_the_nearest(worker, tmp_path):
    config = {**source_config("t", write(tmp_path / "in", b"1\n")), "max.line.byte": "1m", "of.my.own": "kept"}
    worker.create("source", config)
    worker.wait_log("WARN .*connector=source max.line.byte: .*max.line.bytes")
    shown = worker.configs()[0]["source"]["properties"]
    assert shown["of.my.own"] == "kept" and shown["max.line.byte"] == "1m"


# --- names

@pytest.mark.parametrize("name, word", [
    ("stopAll", "stopAll"), ("a/b", "/"), ("tab\there", "control"), ("\x7f", "control"), ("n" * 256, "255"),
])
def test_an_illegal_connector_name(bystander, tmp_path, name, word):
    has(bystander.refuse(name, source_config("t", write(tmp_path / "in", b""))), "name", word)


def test_an_empty_connector_name(bystander, tmp_path):
    config = quote(json.dumps(source_config("t", write(tmp_path / "in", b""))))
    reply = bystander.get(f"/connectors/?config={config}")
    assert reply.text == "fail" and "empty" in reply.field("X-Gantry-Error")


def test_names_that_are_legal(worker, tmp_path):
    names = ["a b", "%41", "\u4e2d\u6587", "status", "config", "n" * 255, "..", "a?b#c&d=e+f", "\"quoted\"\\"]
    for name in names:
        worker.source(name, "t", write(tmp_path / "in", b""))
        assert worker.status(name) == "runing"
    assert sorted(worker.configs()[0]) == sorted(names)
    worker.restart()
    assert sorted(worker.configs()[0]) == sorted(names)
    for name in names:
        worker.stop_connector(name)
    assert worker.configs() == ({}, {})


# --- files

def test_a_folder_as_a_file(bystander, tmp_path):
    has(bystander.refuse("new", source_config("t", tmp_path)), "filename", str(tmp_path), "folder")
    has(bystander.refuse("new", sink_config("t", tmp_path)), "filename", str(tmp_path), "folder")
    has(bystander.refuse("new", sink_config("t", f"{tmp_path}/")), "filename", "folder")


@pytest.mark.parametrize("what", ["pipe", "socket", "device"])
def test_what_is_not_a_regular_file(bystander, tmp_path, what):
    path = tmp_path / "special"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
    else:
        path = "/dev/null"
    has(bystander.refuse("new", source_config("t", path)), str(path))
    has(bystander.refuse("new", sink_config("t", path)), str(path), "regular")


def test_a_file_that_cannot_be_read(bystander, tmp_path):
    """Where the tests run as root permissions stop nothing, so: a link that leads to itself, a file as a folder."""
    os.symlink("loop", tmp_path / "loop")
    write(tmp_path / "file", b"")
    for path, word in ((tmp_path / "loop", "symbolic links"), (tmp_path / "file" / "below", "directory")):
        has(bystander.refuse("new", source_config("t", path)), str(path), word)
        has(bystander.refuse("new", sink_config("t", path)), str(path), word)
    if os.geteuid() != 0:
        os.chmod(tmp_path / "file", 0)
        has(bystander.refuse("new", source_config("t", tmp_path / "file")), str(tmp_path / "file"), "ermission")
        has(bystander.refuse("new", sink_config("t", tmp_path / "file")), str(tmp_path / "file"), "ermission")


def test_a_sink_that_cannot_be_written(bystander, tmp_path):
    has(bystander.refuse("new", sink_config("t", tmp_path / "nowhere" / "out")), str(tmp_path / "nowhere"))


# --- sizes

def test_a_value_of_nearly_a_mebibyte(bystander, tmp_path):
    """As long as the URL fits it is a value like any other; this one names no file."""
    why = bystander.refuse("new", {**source_config("t", tmp_path / "in"), "filename": "/" + "x" * 1000000})
    has(why, "filename", "long")
    assert len(why) < 4000


def test_a_large_unknown_value_is_kept(worker, tmp_path):
    big = "v" * 1000000
    worker.create("source", {**source_config("t", write(tmp_path / "in", b"")), "note": big})
    assert worker.configs()[0]["source"]["properties"]["note"] == big
    worker.restart()
    assert worker.configs()[0]["source"]["properties"]["note"] == big


def test_a_value_beyond_the_urls_limit(bystander, tmp_path):
    config = {**source_config("t", tmp_path / "in"), "note": "v" * (1 << 20)}
    reply = bystander.create_raw("new", json.dumps(config))
    assert reply.status == 414 and "1048576" in reply.text


def test_many_keys(worker, tmp_path):
    config = {**source_config("t", write(tmp_path / "in", b"1\n")), **{f"key.{n}": str(n) for n in range(5000)}}
    worker.create("source", config)
    shown = worker.configs()[0]["source"]["properties"]
    shown.pop("update-timestamp")
    assert shown == config


# --- HTTP

@pytest.mark.parametrize("raw", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"POST /connectors/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])
def test_what_is_not_http(bystander, raw):
    with bystander.connect() as sock:
        sock.settimeout(15)
        try:
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            reply = read_reply(sock)
        except (ConnectionError, AssertionError):
            reply = None
        assert reply is None or 400 <= reply.status < 600
    assert bystander.status("by source") == "runing"


def test_slow_clients_harm_nobody(bystander):
    idle = [bystander.connect() for _ in range(100)]
    for number, sock in enumerate(idle):
        sock.sendall(b"GET /getClusterInfo HTTP/1.1\r\nHost: loc"[:number % 40])
    assert bystander.status("by source") == "runing"
    for sock in idle:
        sock.close()


def test_a_reply_that_nobody_takes(bystander, tmp_path):
    """Requests without end on one connection, and nobody reads: the worker does not keep what it cannot send."""
    with bystander.connect() as sock:
        sock.setblocking(False)
        request = b"GET /getConfigInfo HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        try:
            for _ in range(2000):
                sock.send(request)
        except BlockingIOError:
            pass
        assert bystander.status("by source") == "runing"


def test_pages_of_other_sites_are_refused(bystander, tmp_path):
    config = quote(json.dumps(source_config("t", write(tmp_path / "in", b""))))
    path = f"/connectors/evil?config={config}"
    for fields in (["Origin: http://evil.example"], ["Sec-Fetch-Site: cross-site"]):
        assert bystander.get(path, *fields).status == 403
    with bystander.connect() as sock:
        assert exchange(sock, f"GET {path} HTTP/1.1", "Host: evil.example").status == 403


def test_a_bad_record_fails_its_task_alone(bystander, tmp_path):
    """Text that is no JSON of 2019, read by a sink that expects it."""
    bystander.source("plain", "plain", write(tmp_path / "in", lines(3)))
    bystander.sink("strict", "plain", tmp_path / "out", {
        "source-record-converter": "org.apache.rocketmq.connect.runtime.converter.JsonConverter"})
    why = bystander.wait_failed("strict", "converted")
    has(why, "message 0", "plain")
    bystander.stop_connector("strict")
    bystander.sink("strict", "plain", tmp_path / "out")
    wait_file(tmp_path / "out", lines(3))
    bystander.stop_connector("plain")
    bystander.stop_connector("strict")
