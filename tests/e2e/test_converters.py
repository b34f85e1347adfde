# SPDX-License-Identifier: Apache-2.0
"""Converters: a line is a body by default; the Java worker's JsonConverter of 2019 by its class name."""

import base64
import json
import re

import pytest

from harness import SINK, SOURCE, Broker, append, wait_file, write

JSON_CONVERTER = "org.apache.rocketmq.connect.runtime.converter.JsonConverter"
TEXT = "plain\n\n\"quotes\" \\ and / slashes\n\u4e2d\u6587 \U0001f642 \u00e4\ttab\n{\"json\": 1}\n".encode()


def make(worker, kind, name, topic, filename, converter):
    config = {"connector-class": SOURCE if kind == "source" else SINK, "filename": str(filename),
              "topic" if kind == "source" else "topicNames": Broker.topics(topic)}
    if converter is not None:
        config["source-record-converter"] = converter
    worker.create(name, config)


@pytest.mark.parametrize("converter", [None, "", "string", "bytes", JSON_CONVERTER, "json2019"])
def test_both_sides(worker, tmp_path, converter):
    make(worker, "source", "source", "t", write(tmp_path / "in", TEXT), converter)
    make(worker, "sink", "sink", "t", tmp_path / "out", converter)
    wait_file(tmp_path / "out", TEXT)
    worker.restart()
    append(tmp_path / "in", b"more\n")
    wait_file(tmp_path / "out", TEXT + b"more\n")


@pytest.mark.parametrize("converter", [None, "string", "bytes"])
def test_by_default_a_line_is_a_body(worker, tmp_path, converter):
    text = TEXT + b"\xff\0 bytes\n"
    make(worker, "source", "source", "t", write(tmp_path / "in", text), converter)
    make(worker, "sink", "sink", "t", tmp_path / "out", None)
    wait_file(tmp_path / "out", text)
    assert worker.bodies("t") == text[:-1].split(b"\n")


def test_the_json_of_2019(worker, tmp_path):
    """The bytes that a Java program which reads the topic expects."""
    path = write(tmp_path / "in", b'first\nwith "quotes"\n')
    make(worker, "source", "source", "fileTopic", path, JSON_CONVERTER)
    make(worker, "sink", "sink", "fileTopic", tmp_path / "out", JSON_CONVERTER)
    wait_file(tmp_path / "out", b'first\nwith "quotes"\n')
    first, second = (json.loads(body) for body in worker.bodies("fileTopic"))
    assert first["entryType"] == "CREATE" and first["queueName"] == Broker.topics("fileTopic")
    assert first["schema"]["name"] == f"{path}_line" and first["schema"]["dataSource"] == str(path)
    assert first["schema"]["fields"] == [{"index": 0, "name": "fileLineContent", "type": "STRING"}]
    assert isinstance(first["timestamp"], int)

    def payload(one):
        return json.loads(base64.b64decode(one["payload"][0]))
    assert payload(first) == ["first"] and payload(second) == ['with "quotes"']


def test_json_of_2019_into_plain_text_is_the_json(worker, tmp_path):
    """A sink with the default converter shows what the messages are."""
    make(worker, "source", "source", "t", write(tmp_path / "in", b"x\n"), JSON_CONVERTER)
    make(worker, "sink", "json", "t", tmp_path / "out json", JSON_CONVERTER)
    make(worker, "sink", "plain", "t", tmp_path / "out plain", None)
    wait_file(tmp_path / "out json", b"x\n")
    wait_file(tmp_path / "out plain", worker.bodies("t")[0] + b"\n")


def test_lines_that_json_of_2019_cannot_carry(worker, tmp_path):
    """Its strings are Unicode: bytes that are not are told, not replaced."""
    make(worker, "source", "source", "t", write(tmp_path / "in", b"fine\n\xff\xfe\n"), JSON_CONVERTER)
    why = worker.wait_failed("source", "converted")
    assert "UTF-8" in why


# What stands in the topic for one line, recorded from a Java worker of 2019 with the same file and converter;
# {topic}, {path} and {ms} are the present ones. Left out are connect-source-partition and connect-source-position, which
# nothing ever read and Gantry does not write.
GOLDEN = {
    JSON_CONVERTER: (
        '{{"entryType":"CREATE","payload":["WyJmaXJzdCBsaW5lIl0="],"queueName":"{topic}","schema":{{"dataSource":'
        '"{path}","fields":[{{"index":0,"name":"fileLineContent","type":"STRING"}}],"name":"{path}_line"}},'
        '"timestamp":{ms}}}', {}),
    "org.apache.rocketmq.connect.runtime.converter.RocketMQConverter": ("first line", {
        "connect-entrytype": "CREATE",
        "connect-schema": '{{"dataSource":"{path}","fields":[{{"index":0,"name":"fileLineContent","type":"STRING"}}],'
                          '"name":"{path}_line"}}',
        "connect-timestamp": "{ms}", "connect-topicname": "{topic}"}),
}
NOT_THE_CONVERTERS = {"UNIQ_KEY", "CLUSTER", "MSG_REGION", "TRACE_ON"}


@pytest.mark.broker
@pytest.mark.parametrize("converter", GOLDEN)
def test_messages_as_a_java_worker_writes_them(worker, tmp_path, converter):
    path = write(tmp_path / "in", b"first line\n")
    make(worker, "source", "source", "fileTopic", path, converter)
    make(worker, "sink", "sink", "fileTopic", tmp_path / "out", converter)
    wait_file(tmp_path / "out", b"first line\n")
    message, = Broker.messages(Broker.topics("fileTopic"))
    body, properties = GOLDEN[converter]
    own = {key: value for key, value in message.properties.items()
           if key not in NOT_THE_CONVERTERS and not key.startswith("gantry-")}
    stamp = re.search(r"\d{13}$", own.get("connect-timestamp", "")) or \
        re.search(r"(?<=\"timestamp\":)\d{13}", message.body.decode())
    present = {"topic": Broker.topics("fileTopic"), "path": path, "ms": stamp.group(0)}
    assert message.body.decode() == body.format(**present)
    assert own == {key: value.format(**present) for key, value in properties.items()}
