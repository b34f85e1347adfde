# SPDX-License-Identifier: Apache-2.0
"""file -> topic -> file, as in the manual of 2019: what arrives, what comes later, and that idle means idle."""

import json
import os
import statistics
import time

from harness import SINK, SOURCE, Broker, append, lines, read, wait_file, wait_for, write

JSON_CONVERTER = "org.apache.rocketmq.connect.runtime.converter.JsonConverter"


def test_what_is_there_arrives_and_what_comes_later(worker, tmp_path):
    text = lines(1000)
    source, sink = write(tmp_path / "in", text), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, text)
    for _ in range(20):
        more = lines(3, first=text.count(b"\n"))
        append(source, more)
        text += more
        wait_file(sink, text)
    assert worker.status("source") == worker.status("sink") == "runing"


def test_the_manuals_configuration_as_it_stands(worker, tmp_path):
    """The keys of the manual, the converter of 2019 by its class name."""
    source, sink = write(tmp_path / "source-file.txt", b"first\nsecond\n"), tmp_path / "sink-file.txt"
    worker.create("connector-example", {
        "connector-class": SOURCE, "topic": Broker.topics("fileTopic"), "filename": str(source),
        "source-record-converter": JSON_CONVERTER})
    worker.create("fileConnectorSink", {
        "connector-class": SINK, "topicNames": Broker.topics("fileTopic"), "filename": str(sink),
        "source-record-converter": JSON_CONVERTER})
    wait_file(sink, b"first\nsecond\n")


def test_a_new_line_arrives_within_milliseconds(worker, tmp_path):
    """The promise is a median of 20 ms; the bar here leaves room for a busy machine and for sanitizers."""
    source, sink = write(tmp_path / "in", b"start\n"), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, b"start\n")
    text, took = b"start\n", []
    for number in range(15):
        line = b"line %d\n" % number
        text += line
        begun = time.monotonic()
        append(source, line)
        wait_file(sink, text)
        took.append(time.monotonic() - begun)
    assert statistics.median(took) < 0.5, took


def test_each_worker_thread_sleeps_when_nothing_comes(worker, tmp_path):
    """Nothing polls: an idle worker with connectors uses no CPU."""
    source, sink = write(tmp_path / "in", b"start\n"), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, b"start\n")

    def ticks():
        fields = read(f"/proc/{worker.process.pid}/stat").rsplit(b")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def quiet():
        before, begun = ticks(), time.monotonic()
        while time.monotonic() - begun < 0.5:
            time.sleep(0.05)
        return ticks() - before <= 1
    wait_for(quiet, "half a second with at most one tick of CPU time")


def test_lines_are_bytes_and_output_equals_input(worker, tmp_path):
    text = (b"\n\nempty lines above\r\n" b"carriage\rreturns\r\n" b"nul \0 bytes \0\0\n" b"\xff\xfe not UTF-8 \x80\n"
            b"\xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x99\x82\n" b" \t blanks \t \n" b'"quotes" {json} \\\n' b"\x00\n" b"\n"
            + bytes(range(256)).replace(b"\n", b"") + b"\n" + b"y" * 1000000 + b"\n")
    source, sink = write(tmp_path / "in", text), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, text)


def test_a_larger_file_arrives_whole(worker, tmp_path):
    text = lines(200000, width=60)
    source, sink = write(tmp_path / "in", text), tmp_path / "out"
    worker.pair(source, sink)
    wait_file(sink, text)
    assert os.path.getsize(sink) == len(text)


def test_the_configuration_is_shown_as_it_was_given(worker, tmp_path):
    source = write(tmp_path / "in", b"")
    config = {"connector-class": SOURCE, "topic": Broker.topics("t"), "filename": str(source),
              "source-record-converter": "string",
              "file.start": "beginning"}
    worker.create("a name with blanks & signs", config)
    text = worker.get("/connectors/a%20name%20with%20blanks%20%26%20signs/config").text
    shown = json.loads(text.split("\n")[0].removeprefix("ConnectorConfigs:"))["properties"]
    assert shown.pop("update-timestamp").isdigit()
    assert shown == config
