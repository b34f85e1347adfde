# SPDX-License-Identifier: Apache-2.0
"""A worker for the tests: the real binary on a free port with a store of its own, the REST routes as a user calls them,
and loops that wait for what must come. GANTRY_E2E_SETTINGS holds further settings of all workers, NAME=VALUE with blanks between. Nothing here sleeps for a fixed time and hopes."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
from urllib.parse import quote, unquote, urlencode

SOURCE = "org.apache.rocketmq.connect.file.FileSourceConnector"
SINK = "org.apache.rocketmq.connect.file.FileSinkConnector"
WAIT_S = 20

BOOT = re.compile(r"The worker \[[^]]*\] boot success\.")
LISTENING = re.compile(r"listening address=\S+ port=(\d+)")
SANITIZER = re.compile(r"(Address|Thread|Leak|UndefinedBehavior)Sanitizer|runtime error:")


def binary():
    path = os.environ.get("GANTRY_BIN")
    if not path:
        here = os.path.dirname(os.path.abspath(__file__))
        path = os.path.join(here, "..", "..", "build", "gantry")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not there: build it first, or say where it is in GANTRY_BIN")
    return os.path.abspath(path)


def run_gantry(*words, timeout_s=WAIT_S, **kwargs):
    """A command that ends by itself."""
    return subprocess.run([binary(), *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout_s, check=False, **kwargs)


def wait_for(look, what, timeout_s=WAIT_S):
    """Wait until look() gives something true, and return that. `what` is a text, or a function that makes one."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(0.005)


def read(path):
    """A file's bytes; of one that is not there, none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def lines(count, first=0, width=0):
    """Lines that are all different."""
    return b"".join(b"line %d%s\n" % (number, b" " + b"x" * width if width else b"")
                    for number in range(first, first + count))


def shown(data):
    return repr(data) if len(data) <= 300 else f"{data[:150]!r} ... {data[-150:]!r} ({len(data)} bytes)"


def wait_file(path, data, timeout_s=WAIT_S):
    """Wait until the file holds exactly this. A file that can no longer become it fails at once."""
    def look():
        found = read(path)
        if not data.startswith(found):
            raise AssertionError(f"{path} is wrong:\n  is       {shown(found)}\n  expected {shown(data)}")
        return found == data
    wait_for(look, lambda: f"{path} holds {shown(read(path))}, expected {shown(data)}", timeout_s)


def wait_same_lines(path, data, timeout_s=WAIT_S):
    """Wait until the file holds these lines, each as often, in any order."""
    expected = sorted(data.splitlines(True))
    wait_for(lambda: len(read(path)) >= len(data), lambda: f"{path} has {len(read(path))} of {len(data)} bytes",
             timeout_s)
    assert sorted(read(path).splitlines(True)) == expected


class Worker:
    """Started by `with`; its folder, store, port and log are attributes. Settings are given as keywords, an underscore
    for a dot; `options` are words of the command line behind them."""

    def __init__(self, folder, options=(), **settings):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.settings = {
            "httpPort": 0,
            "storePathRootDir": os.path.join(self.folder, "store"),
            "task.restart.backoff.ms": 50,
            "task.restart.backoff.max.ms": 200,
            **Broker.settings(),
            **dict(pair.split("=", 1) for pair in os.environ.get("GANTRY_E2E_SETTINGS", "").split()),
        }
        self.set(**settings)
        self.options = list(options)
        self.port = None
        self.process = None
        self.log_path = os.path.join(self.folder, "worker.log")
        self.log_from = 0
        self.environment = dict(os.environ)
        self.prefix = []  # words before the program
        self.pass_fds = ()  # descriptors that the process inherits
        self.crashing = ()  # names of plugins of whose hosts sanitizers may report

    # --- life

    def set(self, **settings):
        self.settings.update((name.replace("_", "."), value) for name, value in settings.items())

    @property
    def store(self):
        return str(self.settings["storePathRootDir"])

    def write_settings(self):
        path = os.path.join(self.folder, "connect.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in self.settings.items())
        return path

    def log(self):
        """What the current process has said."""
        return read(self.log_path)[self.log_from:].decode("utf-8", "replace")

    def launch(self):
        """Start the process and wait for nothing."""
        self.log_from = len(read(self.log_path))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, binary(), "worker", "-c", self.write_settings(), *map(str, self.options)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.environment, pass_fds=self.pass_fds)
        return self

    def start(self):
        self.launch()
        try:
            wait_for(lambda: BOOT.search(self.log()) or self.process.poll() is not None, "the boot line")
        except AssertionError:
            self.kill()
            raise AssertionError(f"no boot line in {WAIT_S} s; the log:\n{self.log()}") from None
        if not BOOT.search(self.log()):
            raise AssertionError(f"ended with {self.process.returncode}; the log:\n{self.log()}")
        self.port = int(LISTENING.search(self.log()).group(1))
        if self.settings.get("namesrvAddr"):
            self.wait_log(r"joined the cluster|cannot reach the cluster log")
        return self

    def refused(self):
        """Start a worker that must not come up; its exit status. Why is in the log."""
        self.launch()
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still runs; the log:\n{self.log()}") from None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait(WAIT_S)

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """End it by a signal; the exit status."""
        if self.alive():
            self.send_signal(number)
        try:
            code = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end in {WAIT_S} s after the signal; the log:\n{self.log()}") from None
        report = SANITIZER.search("\n".join(line for line in self.log().splitlines() if not any(name in line for name in self.crashing)))
        assert not report, f"{report.group(0)}; the log:\n{self.log()}"
        return code

    def end(self):
        """Stop it and see that all was well."""
        code = self.stop()
        assert code == 0, f"exit status {code}; the log:\n{self.log()}"

    def restart(self, **settings):
        self.end()
        self.set(**settings)
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.kill()
            print(self.log())
            return
        self.end()

    def wait_log(self, pattern, timeout_s=WAIT_S):
        """Wait for a line that matches, and return the match."""
        return wait_for(lambda: re.search(pattern, self.log()),
                        lambda: f"a line with {pattern!r} in the log:\n{self.log()}", timeout_s)

    # --- HTTP

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def connect(self, timeout_s=WAIT_S):
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def get(self, path, *fields, method="GET"):
        """One request on a connection of its own."""
        with self.connect() as sock:
            return exchange(sock, f"{method} {path} HTTP/1.1", "Host: localhost", *fields)

    # --- the routes

    def create_raw(self, name, text):
        """Create with any text for a configuration; the reply."""
        return self.get(f"/connectors/{quote(name, safe='')}?{urlencode({'config': text})}")

    def create(self, name, config):
        """Create, which must succeed."""
        reply = self.create_raw(name, json.dumps(config))
        assert (reply.status, reply.text) == (200, "success"), \
            f"create {name}: {reply.status} {reply.text}: {reply.field('X-Gantry-Error')}"
        return reply

    def refuse(self, name, config):
        """Create, which must fail; why."""
        reply = self.create_raw(name, config if isinstance(config, str) else json.dumps(config))
        assert (reply.status, reply.text) == (200, "fail"), f"create {name}: {reply.status} {reply.text}"
        why = unquote(reply.field("X-Gantry-Error") or "")
        assert why, f"create {name}: fail without a reason"
        return why

    def source(self, name, topic, filename, config=None):
        return self.create(name, source_config(topic, filename, config))

    def sink(self, name, topics, filename, config=None):
        return self.create(name, sink_config(topics, filename, config))

    def pair(self, source, sink, config=None, topic="t"):
        """A source and a sink with a topic between them."""
        self.source("source", topic, source, config)
        self.sink("sink", topic, sink)

    def status(self, name):
        return self.get(f"/connectors/{quote(name, safe='')}/status").text

    def wait_running(self, name):
        wait_for(lambda: self.status(name) == "runing", lambda: f"{name} runs; the log:\n{self.log()}")

    def wait_not_running(self, name):
        wait_for(lambda: self.status(name) == "not runing", lambda: f"{name} does not run; the log:\n{self.log()}")

    def wait_failed(self, name, pattern="."):
        """Wait for a FAILED task whose reason matches; the reason."""
        return self.wait_log(rf"task FAILED connector={re.escape(name)} task=\d+: (.*{pattern}.*)").group(1)

    def wait_cannot_run(self, name, pattern="."):
        """Wait until a connector, or a task of it, says why it does not run; the reason. A worker alone looks at a
        configuration again when it boots, in a cluster the task finds out."""
        name = re.escape(name)
        return self.wait_log(rf"(?:task FAILED connector={name} task=\d+|connector cannot run connector={name}): "
                             rf"(.*{pattern}.*)").group(1)

    def stop_connector(self, name):
        reply = self.get(f"/connectors/{quote(name, safe='')}/stop")
        assert reply.text == "success", f"stop {name}: {reply.text}: {reply.field('X-Gantry-Error')}"

    def reset(self, name):
        """`gantry connector reset`; what came of it."""
        where = ["--store", self.store] if not Broker.namesrv else \
            ["--namesrv", Broker.namesrv, f"connectClusterId={self.settings['connectClusterId']}"]
        return run_gantry("connector", "reset", name, *where, timeout_s=60)

    def messages(self, topic):
        """What is in a topic as (body, headers), queue after queue; nothing without a topic."""
        if Broker.namesrv:  # where a header is a property by the Java worker's name for it
            return [(message.body, {name.removeprefix("connect-ext-"): value
                                    for name, value in message.properties.items()})
                    for message in Broker.messages(Broker.topics(topic))]
        done = run_gantry("topic", "cat", topic, "--format", "json", "--store", self.store)
        assert done.returncode == 0 or b"there is no topic" in done.stderr, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return [(base64.b64decode(one["body_base64"]) if "body_base64" in one else one["body"].encode(),
                 one.get("properties", {})) for one in found]

    def bodies(self, topic):
        return [body for body, _ in self.messages(topic)]

    def configs(self):
        """The configurations of all connectors and of their tasks, by name."""
        text = self.get("/getConfigInfo").text
        found = re.fullmatch(r"ConnectorConfigs:(.*)\nTaskConfigs:(.*)", text, re.DOTALL)
        return json.loads(found.group(1)), json.loads(found.group(2))


class Broker:
    """Where the workers of a test keep their topics when the tests run with a real RocketMQ. None of a test's names is
    another one's: neither its cluster nor its topics."""

    servers = None  # tests/rocketmq/cluster.py; None: the embedded log
    namesrv = None  # its address
    cluster = ""    # the present test's

    @classmethod
    def settings(cls):
        return {"namesrvAddr": cls.namesrv, "connectClusterId": cls.cluster} if cls.namesrv else {}

    @classmethod
    def topics(cls, names):
        if not cls.namesrv:
            return names
        return ",".join(f"{cls.cluster}-{name.strip()}" if name.strip() else name for name in names.split(","))

    @classmethod
    def messages(cls, topic):
        return cls.servers.broker.messages(topic)


def source_config(topic, filename, config=None):
    return {"connector-class": SOURCE, "topic": Broker.topics(topic), "filename": str(filename),
            "source-record-converter": "string", **(config or {})}


def sink_config(topics, filename, config=None):
    return {"connector-class": SINK, "topicNames": Broker.topics(topics), "filename": str(filename),
            "source-record-converter": "string", **(config or {})}


class Reply:
    """A reply as it came: status line, header fields in their order, body."""

    def __init__(self, status_line, fields, body):
        self.status_line = status_line
        self.fields = fields
        self.body = body

    @property
    def status(self):
        return int(self.status_line.split(" ")[1])

    @property
    def text(self):
        return self.body.decode("utf-8")

    def field(self, name):
        for key, value in self.fields:
            if key.lower() == name.lower():
                return value
        return None


def read_reply(sock, head_only=False):
    """The next reply on a connection; None at its end. Never reads beyond the reply."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            assert head == b"", f"cut off: {head!r}"
            return None
        head += byte
    status_line, *rest = head.decode("iso-8859-1").split("\r\n")[:-2]
    fields = [tuple(line.split(": ", 1)) for line in rest]
    reply = Reply(status_line, fields, b"")
    length = 0 if head_only else int(reply.field("Content-Length"))
    while len(reply.body) < length:
        piece = sock.recv(length - len(reply.body))
        assert piece, f"cut off after {len(reply.body)} of {length} bytes"
        reply.body += piece
    return reply


def exchange(sock, request_line, *fields):
    sock.sendall("\r\n".join([request_line, *fields, "", ""]).encode("utf-8"))
    return read_reply(sock, request_line.startswith("HEAD "))
