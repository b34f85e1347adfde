# SPDX-License-Identifier: Apache-2.0
"""The dialect code-2019 against replies recorded from the Java worker of 2019: golden/README.md."""

import json
import os
import re
from urllib.parse import quote, unquote

import pytest

from harness import Worker, exchange

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "2019.jsonl")
with open(GOLDEN, encoding="utf-8") as lines:
    EXCHANGES = [json.loads(line) for line in lines]

ALLOCATED = re.compile(r"working connectors:\n(.*)working tasks:\n(.*)", re.DOTALL)
TASKS_KEPT_FROM_RUNNING = {"b33_allocated_after_bad_converter", "b35_allocated_poisoned"}


def make_files(folder):
    """The source files that the requests name; the folders of sink files."""
    for item in EXCHANGES:
        place = re.search(r'"filename":"@FILES@/([^"]+)"',
                          unquote(item["request"].replace("@FILES_ENCODED@", "@FILES@")))
        if place is None:
            continue
        path = os.path.join(folder, place.group(1))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if "sink" not in place.group(1):
            with open(path, "w", encoding="utf-8") as file:
                file.write("first line\nsecond line\n")


@pytest.fixture(scope="module")
def replies(tmp_path_factory):
    """All exchanges, once, in their order, on one connection where it is kept; name -> (reply, folder)."""
    folder = tmp_path_factory.mktemp("golden")
    files = str(folder / "files")
    make_files(files)
    found = {}
    with Worker(folder, rest_dialect="code-2019") as worker:
        sock = worker.connect()
        for item in EXCHANGES:
            line = item["request"].replace("@FILES@", files)
            line = line.replace("@FILES_ENCODED@", quote(files, safe=""))
            reply = exchange(sock, line, *item["fields"])
            assert reply is not None, f"{item['name']}: the connection was closed"
            found[item["name"]] = (reply, files)
            if reply.field("Connection") == "close":
                assert sock.recv(1) == b"", f"{item['name']}: not closed"
                sock.close()
                sock = worker.connect()
        sock.close()
    return found


def normalised(body, files):
    body = body.replace(files, "@FILES@")
    body = re.sub(r'"update-timestamp":"\d{13}"', '"update-timestamp":"@MS@"', body)
    return re.sub(r'"[0-9A-Fa-f.:]+@\d+"', '"@WORKER@"', body)


def entries(text):
    """The pairs of lines below one title of getAllocatedInfo."""
    lines = text.splitlines()
    return sorted(zip(lines[0::2], lines[1::2]))


def compare_allocated(name, actual, expected):
    actual, expected = ALLOCATED.fullmatch(actual), ALLOCATED.fullmatch(expected)
    assert actual is not None
    assert entries(actual.group(1)) == entries(expected.group(1))
    if name in TASKS_KEPT_FROM_RUNNING:
        assert set(entries(actual.group(2))) >= set(entries(expected.group(2)))
    else:
        assert entries(actual.group(2)) == entries(expected.group(2))


@pytest.mark.parametrize("item", EXCHANGES, ids=lambda item: item["name"])
def test_reply_is_as_recorded(item, replies):
    reply, files = replies[item["name"]]
    head = item["request"].startswith("HEAD ")
    body = normalised(reply.text, files)
    if "getAllocatedInfo" in item["request"]:
        compare_allocated(item["name"], body, item["body"])
    else:
        assert body == item["body"]
    assert reply.status_line == item["status"]
    assert [name for name, _ in reply.fields] == [name for name, _ in item["reply_fields"]]
    for (name, value), (_, recorded) in zip(reply.fields, item["reply_fields"]):
        if name == "Date":
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", value)
        elif name == "Content-Length" and not head:
            assert value == str(len(reply.body))
        else:
            assert value == recorded
