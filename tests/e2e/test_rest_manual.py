# SPDX-License-Identifier: Apache-2.0
"""The dialect manual: the nine requests of the REST manual of 2019 with curl, in the manual's order; then every other reply
of the dialect, the limits, and who is let in."""

import json
import re
import socket
import subprocess
import threading
import time
from urllib.parse import quote

import pytest

from harness import Worker, binary, exchange, read_reply

SOURCE = "org.apache.rocketmq.connect.file.FileSourceConnector"
SOURCE_TASK = "org.apache.rocketmq.connect.file.FileSourceTask"
SINK = "org.apache.rocketmq.connect.file.FileSinkConnector"
ROUTES = ["/connectors/NAME?config=JSON", "/connectors/NAME/stop", "/connectors/NAME/status",
          "/connectors/NAME/config", "/connectors/stopAll", "/getConfigInfo", "/getClusterInfo",
          "/getAllocatedInfo", "/plugin/reload"]


@pytest.fixture(name="worker", scope="module")
def one_worker(tmp_path_factory):
    with Worker(tmp_path_factory.mktemp("manual")) as worker:
        yield worker


@pytest.fixture(autouse=True)
def clean(request):
    """What a test has created does not meet the next one."""
    yield
    if "worker" in request.fixturenames:
        request.getfixturevalue("worker").get("/connectors/stopAll")


def source_config(path, **more):
    return {"connector-class": SOURCE, "topic": "fileTopic", "filename": str(path), **more}


def text_file(folder, name="in.txt"):
    path = folder / name
    path.write_text("first line\nsecond line\n", encoding="utf-8")
    return path


def create(worker, name, config):
    text = config if isinstance(config, str) else json.dumps(config)
    return worker.get(f"/connectors/{name}?config={quote(text, safe='')}")


def assert_fail(reply, reason):
    assert (reply.status, reply.text) == (200, "fail")
    assert re.search(reason, reply.field("X-Gantry-Error")), reply.field("X-Gantry-Error")


def curl(worker, *arguments):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "20", *arguments],
                          capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def test_the_manuals_requests_in_its_order(tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "some-connector.jar").write_bytes(b"")
    path = text_file(tmp_path)
    config = json.dumps(source_config(path))
    ts = r"(\d{13})"
    keys = re.escape(config[1:-1].replace(", ", ",").replace(": ", ":"))
    connector = f'{{"properties":{{{keys},"update-timestamp":"{ts}"}}}}'
    task = f'{{"properties":{{{keys},"task-class":"{SOURCE_TASK}","update-timestamp":"{ts}"}}}}'
    with Worker(tmp_path, pluginPaths=plugins) as worker:
        at = worker.url("/connectors/connector-example")
        started = time.time() * 1000
        create_it = ["-G", "--data-urlencode", f"config={config}", at]
        assert curl(worker, *create_it) == "success"
        assert curl(worker, *create_it) == "Connector with same config already exist."
        assert curl(worker, f"{at}/status") == "runing"
        assert curl(worker, f"{at}/stop") == "success"
        assert curl(worker, f"{at}/status") == "not runing"
        assert curl(worker, worker.url("/plugin/reload")) == "success"
        assert f"Loading plugin from: {plugins}/some-connector.jar" in worker.log()
        assert curl(worker, *create_it) == "success"
        found = re.fullmatch(f"ConnectorConfigs:{connector}\nTaskConfigs:\\[{task}\\]",
                             curl(worker, f"{at}/config"))
        assert found
        assert all(started - 1 <= int(stamp) <= time.time() * 1000 for stamp in found.groups())
        name = '"connector-example":'
        assert re.fullmatch(
            f"ConnectorConfigs:{{{name}{connector}}}\nTaskConfigs:{{{name}\\[{task}\\]}}",
            curl(worker, worker.url("/getConfigInfo")))
        assert re.fullmatch(rf'\["[0-9a-f.:]+@{worker.process.pid}"\]',
                            curl(worker, worker.url("/getClusterInfo")))
        one_task = f'{{"connector":"connector-example",{task[1:]}'
        assert re.fullmatch(
            f"working connectors:{{{name}{connector}}}\nworking tasks:\\[{one_task}\\]",
            curl(worker, worker.url("/getAllocatedInfo")))
        assert curl(worker, worker.url("/connectors/stopAll")) == "success"
        empty = "ConnectorConfigs:{}\nTaskConfigs:{}"
        assert curl(worker, worker.url("/getConfigInfo")) == empty
        assert curl(worker, worker.url("/getAllocatedInfo")) == \
            "working connectors:{}\nworking tasks:[]"


def test_unknown_names(worker):
    assert worker.get("/connectors/nobody/stop").text == "success"
    assert worker.get("/connectors/nobody/status").text == "not runing"
    assert worker.get("/connectors/nobody/config").text == "ConnectorConfigs:null\nTaskConfigs:null"
    assert worker.get("/connectors/a%2Fb/status").text == "not runing"
    assert worker.get("/connectors/%00/status").text == "not runing"


def test_header_fields(worker):
    reply = worker.get("/getConfigInfo")
    assert reply.status_line == "HTTP/1.1 200 OK"
    assert [name for name, _ in reply.fields] == ["Date", "Content-Type", "Content-Length"]
    assert reply.field("Content-Type") == "text/plain;charset=utf-8"


def test_a_changed_configuration_is_taken(worker, tmp_path):
    one, two = text_file(tmp_path, "one.txt"), text_file(tmp_path, "two.txt")
    assert create(worker, "a", source_config(one)).text == "success"
    assert create(worker, "a", source_config(two)).text == "success"
    assert f'"filename":"{two}"' in worker.get("/connectors/a/config").text
    turned = dict(reversed(source_config(two).items()))
    assert create(worker, "a", turned).text == "Connector with same config already exist."


def test_what_was_read_can_be_sent_again(worker, tmp_path):
    assert create(worker, "a", source_config(text_file(tmp_path))).text == "success"
    line = worker.get("/connectors/a/config").text.splitlines()[0]
    properties = json.loads(line.split(":", 1)[1])["properties"]
    assert "update-timestamp" in properties
    assert create(worker, "a", properties).text == "Connector with same config already exist."


def test_names_are_sorted_and_keys_are_the_users(worker, tmp_path):
    for name in ["b", "a", "连接", "a b", "c\"d"]:
        config = {"topic": "t", "connector-class": SOURCE, "zz": "1", "aa": "é\"\\\n",
                  "filename": str(text_file(tmp_path, f"{ord(name[-1])}.txt"))}
        assert create(worker, quote(name, safe=""), config).text == "success"
    connectors, tasks = worker.get("/getConfigInfo").text.split("\n", 1)
    found = json.loads(connectors.split(":", 1)[1])
    assert list(found) == ["a", "a b", "b", "c\"d", "连接"]
    assert list(found["b"]["properties"]) == ["topic", "connector-class", "zz", "aa", "filename",
                                              "update-timestamp"]
    assert found["b"]["properties"]["aa"] == "é\"\\\n"
    assert list(json.loads(tasks.split(":", 1)[1])) == list(found)


def test_values_become_text(worker, tmp_path):
    config = ('{"connector-class":"%s","topic":"t","filename":"%s","n":5,"f":1.50,"e":1e3,"b":true,'
              '"o":{"a":[1,2,{"k":"v"}]},"l":[1, "x", null]}' % (SOURCE, text_file(tmp_path)))
    assert create(worker, "a", config).text == "success"
    line = worker.get("/connectors/a/config").text.splitlines()[0]
    properties = json.loads(line.split(":", 1)[1])["properties"]
    assert {key: properties[key] for key in "nfebol"} == {
        "n": "5", "f": "1.50", "e": "1e3", "b": "true", "o": '{"a":[1,2,{"k":"v"}]}',
        "l": '[1,"x",null]'}


@pytest.mark.parametrize("config, reason", [
    ("", "JSON"),
    ("{bad json", "line 1"),
    ('{"a":"b"', "line 1"),
    ("{'a':'b'}", "line 1"),
    ('{"a":"b",}', "line 1"),
    ("[1,2]", "object"),
    ('"x"', "line 1"),
    ("null", "line 1"),
    ('{"a":null}', "null"),
    ('{"a":"1","a":"2"}', "a"),
    ("{}", "connector-class"),
    ('{"connector-class":"org.example.NoSuchConnector","topic":"t","filename":"x"}',
     "org.example.NoSuchConnector"),
    ('{"connector-class":"%s","topic":"t"}' % SOURCE, "filename"),
    ('{"connector-class":"%s","topic":"t","filename":"/"}' % SOURCE, "folder"),
    ('{"connector-class":"%s","topic":"t","filename":"x","tasks.max":"many"}' % SOURCE, "many"),
    ('{"connector-class":"%s","filename":"x"}' % SINK, "topicNames"),
    ('{"connector-class":"%s","topic":"t","filename":"x","config-deleted":"1"}' % SOURCE,
     "config-deleted"),
])
def test_a_configuration_that_cannot_run_is_refused(worker, config, reason):
    assert_fail(create(worker, "bad", config), reason)
    assert worker.get("/connectors/bad/config").text == "ConnectorConfigs:null\nTaskConfigs:null"
    assert "connector=bad" in worker.log()


def test_the_reason_is_one_line_of_ascii(worker):
    reply = create(worker, "bad", {"connector-class": "café 100%\r\nX-Evil: 1"})
    assert_fail(reply, "caf%C3%A9 100%25")
    assert reply.field("X-Evil") is None


@pytest.mark.parametrize("name, reason", [
    ("stopAll", "stopAll"), ("%73topAll", "stopAll"), ("", "empty"), ("a%2Fb", "'/'"),
    ("a%0Ab", "control"), ("a%00b", "control"), ("%FF", "UTF-8"), ("x" * 256, "255"), ("a%zz", "%25"),
])
def test_illegal_names(worker, tmp_path, name, reason):
    assert create(worker, "keeps-running", source_config(text_file(tmp_path))).text == "success"
    assert_fail(create(worker, name, source_config(text_file(tmp_path, "b.txt"))), reason)
    assert worker.get("/connectors/keeps-running/status").text == "runing"


def test_config_parameter(worker):
    assert_fail(worker.get("/connectors/a"), "'config' is missing")
    assert_fail(worker.get("/connectors/a?config={}&config={}"), "2 times")
    assert_fail(worker.get("/connectors/a?config=%7"), "hexadecimal")


def test_raw_json_in_the_url(worker, tmp_path):
    text = json.dumps(source_config(text_file(tmp_path)), separators=(",", ":"))
    assert worker.get(f"/connectors/raw?config={text}").text == "success"


@pytest.mark.parametrize("path", ["/", "/nope", "/connectors", "/connectors/", "/connectors/a/delete",
                                  "/connectors/a/b/status", "/GetClusterInfo", "/getClusterInfo/"])
def test_other_paths_list_the_routes(worker, path):
    reply = worker.get(path)
    assert reply.status == 404
    assert set(ROUTES) <= set(reply.text.splitlines())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_other_methods(worker, tmp_path, method):
    assert create(worker, "a", source_config(text_file(tmp_path))).text == "success"
    reply = worker.get("/connectors/stopAll", "Content-Length: 0", method=method)
    assert reply.status == 405
    assert reply.field("Allow") == "GET"
    assert worker.get("/connectors/a/status").text == "runing"


# ---- limits ----


def test_a_url_of_1_mib(worker, tmp_path):
    config = source_config(text_file(tmp_path), pad="")
    room = (1 << 20) - len("/connectors/big?config=") - len(quote(json.dumps(config), safe=""))
    config["pad"] = "x" * room
    assert create(worker, "big", config).text == "success"
    assert f'"pad":"{"x" * room}"' in worker.get("/connectors/big/config").text
    config["pad"] += "y"
    reply = create(worker, "big", config)
    assert reply.status == 414
    assert "1048576" in reply.text


def test_a_url_without_an_end(worker):
    with worker.connect() as sock:
        sock.sendall(b"GET /connectors/")
        deadline = time.monotonic() + 10
        with pytest.raises(OSError):
            while time.monotonic() < deadline:
                sock.sendall(b"x" * 65536)
        assert worker.get("/getConfigInfo").status == 200
    with worker.connect() as sock:
        sock.sendall(b"GET /connectors/" + b"x" * (1 << 20) + b"x" * 4096)
        assert read_reply(sock).status == 414


def test_a_large_header(worker):
    with worker.connect() as sock:
        sock.sendall(b"GET /getConfigInfo HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20000)
        assert read_reply(sock).status == 431


@pytest.mark.parametrize("text", [
    b"nonsense\r\n\r\n", b"GET /getConfigInfo\r\n\r\n", b"GET /getConfigInfo HTTP/1.1\r\n\r\n",
    b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
])
def test_what_is_not_http(worker, text):
    with worker.connect() as sock:
        sock.sendall(text)
        assert read_reply(sock).status == 400
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_a_body_is_dropped(worker):
    with worker.connect() as sock:
        for size in [3, 60000]:
            reply = exchange(sock, "GET /getConfigInfo HTTP/1.1", "Host: localhost",
                             f"Content-Length: {size}")
            assert reply.status == 200
            sock.sendall(b"x" * size)
        assert exchange(sock, "GET /getConfigInfo HTTP/1.1", "Host: localhost").status == 200
        reply = exchange(sock, "GET /getConfigInfo HTTP/1.1", "Host: localhost",
                         "Content-Length: 10000000000")
        assert (reply.status, reply.field("Connection")) == (200, "close")


def test_one_connection_for_many_requests(worker):
    with worker.connect() as sock:
        sock.sendall(b"GET /connectors/a/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        for _ in range(1000):
            assert read_reply(sock).text == "not runing"


def is_sanitized():
    with open(binary(), "rb") as file:
        data = file.read()
    return b"__asan_init" in data or b"__tsan_init" in data


def test_slow_clients_harm_nobody(worker, tmp_path):
    """300 clients, more than there is room for: silent, with half a request, or deaf to a long reply."""
    config = source_config(text_file(tmp_path), pad="x" * 700000)
    assert create(worker, "big", config).text == "success"
    clients = []
    try:
        for number in range(300):
            sock = worker.connect()
            clients.append(sock)
            if number % 3 == 1:
                sock.sendall(b"GET /connectors/" + b"x" * 300000)
            elif number % 3 == 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.sendall(b"GET /getConfigInfo HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4)
        took = []
        for _ in range(50):
            start = time.monotonic()
            assert worker.get("/connectors/big/status").text == "runing"
            took.append(time.monotonic() - start)
        assert sorted(took)[25] < 0.2
        with open(f"/proc/{worker.process.pid}/status", encoding="utf-8") as file:
            resident = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))
        if not is_sanitized():  # which keeps what was freed
            assert resident < 250 * 1024
    finally:
        for sock in clients:
            sock.close()
    assert worker.get("/connectors/big/status").text == "runing"


def test_many_at_once(worker, tmp_path):
    """Creates, reads and stops of 20 clients; each sees its own connector only as it left it."""
    problems = []

    def client(number):
        try:
            with worker.connect() as sock:
                path = text_file(tmp_path, f"{number}.txt")
                config = quote(json.dumps(source_config(path)), safe="")
                for _ in range(5):
                    for route, expected in [(f"?config={config}", "success"), ("/status", "runing"),
                                            ("/stop", "success"), ("/status", "not runing")]:
                        line = f"GET /connectors/c{number}{route} HTTP/1.1"
                        reply = exchange(sock, line, "Host: localhost")
                        assert reply.text == expected, (line, reply.text, reply.fields)
        except (AssertionError, OSError) as problem:
            problems.append(problem)

    threads = [threading.Thread(target=client, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert worker.get("/getConfigInfo").text == "ConnectorConfigs:{}\nTaskConfigs:{}"


# ---- access ----


@pytest.mark.parametrize("fields", [
    ["Host: evil.example"],
    ["Host: localhost:1", "Origin: http://evil.example"],
    ["Host: localhost:1", "Origin: null"],
    ["Host: localhost:1", "Sec-Fetch-Site: cross-site"],
    ["Host: localhost:1", "Sec-Fetch-Site: same-site"],
])
def test_other_sites_are_refused(worker, tmp_path, fields):
    assert create(worker, "a", source_config(text_file(tmp_path))).text == "success"
    with worker.connect() as sock:
        reply = exchange(sock, "GET /connectors/stopAll HTTP/1.1", *fields)
    assert reply.status == 403
    assert reply.text.startswith("Refused: ")
    assert worker.get("/connectors/a/status").text == "runing"


@pytest.mark.parametrize("fields", [
    ["Host: 127.0.0.1:8081"], ["Host: [::1]:8081"], ["Host: LOCALHOST"],
    ["Host: localhost:1", "Origin: http://localhost:1", "Sec-Fetch-Site: same-origin"],
    ["Host: localhost:1", "Sec-Fetch-Site: none"],
])
def test_this_site_is_let_in(worker, fields):
    with worker.connect() as sock:
        assert exchange(sock, "GET /getConfigInfo HTTP/1.1", *fields).status == 200


def test_token(tmp_path):
    with Worker(tmp_path, rest_token="sesame", rest_allowed_hosts="gantry.example") as worker:
        reply = worker.get("/getConfigInfo")
        assert (reply.status, reply.field("WWW-Authenticate")) == (401, "Bearer")
        assert "rest.token" in reply.text
        assert worker.get("/getConfigInfo", "Authorization: Bearer sesam").status == 401
        assert worker.get("/getConfigInfo", "Authorization: Bearer sesame").status == 200
        assert "sesame" not in worker.log()


def test_allowed_hosts(tmp_path):
    with Worker(tmp_path, rest_allowed_hosts="one.example, gantry.example") as worker:
        with worker.connect() as sock:
            line = "GET /getConfigInfo HTTP/1.1"
            assert exchange(sock, line, "Host: gantry.example:8081").status == 200
            assert exchange(sock, line, "Host: two.example").status == 403


def refused_start(folder, **settings):
    worker = Worker(folder, **settings)
    with pytest.raises(AssertionError):
        worker.start()
    assert worker.process.returncode not in (0, None)
    return worker.log()


def test_beyond_loopback_needs_a_token(tmp_path):
    roots = {"connectors_file_roots": tmp_path}
    log = refused_start(tmp_path, rest_address="0.0.0.0", **roots)
    assert "rest.token" in log and "rest.insecure" in log
    with Worker(tmp_path, rest_address="0.0.0.0", rest_token="sesame", **roots) as worker:
        assert worker.get("/getConfigInfo").status == 401
    with Worker(tmp_path, rest_address="0.0.0.0", rest_insecure="true", **roots) as worker:
        assert worker.get("/getConfigInfo").status == 200


def test_listener_settings_that_are_wrong(tmp_path):
    assert "rest.address" in refused_start(tmp_path, rest_address="localhost")
    assert "rest.dialect" in refused_start(tmp_path, rest_dialect="esperanto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        worker = Worker(tmp_path, httpPort=port)
        with pytest.raises(AssertionError):
            worker.start()
        assert "httpPort" in worker.log() and str(port) in worker.log()
