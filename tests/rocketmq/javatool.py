# SPDX-License-Identifier: Apache-2.0
"""RocketMQ's own Java client for tests and benchmarks: java/RmqTool.java and java/RmqBench.java, compiled when they are
first used.

    with JavaTool(folder, cluster.namesrv) as tool:            # one JVM for many commands
        tool.produce("t", 10, 100, queue=0)
        tool.consume("t", "g", 10)                             # [{"queueId": 0, "queueOffset": 0, "body": b"...", ...}]
    with Member(folder, cluster.namesrv, "g", "t") as member:  # a JVM of its own
        member.wait_queues(2)"""

import base64
import fcntl
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading

import cluster as rmq
from cluster import TOP, VERSION, ServerError, wait_for

SOURCES = os.path.join(TOP, "tests", "rocketmq", "java")


def classes(version=VERSION):
    """The folder of the compiled classes. Its name has the sources' hash, so that one in use is never changed."""
    jars = rmq.jars(version)
    names = sorted(name for name in os.listdir(SOURCES) if name.endswith(".java"))
    digest = hashlib.sha256()
    for name in names:
        with open(os.path.join(SOURCES, name), "rb") as file:
            digest.update(file.read())
    folder = os.path.join(TOP, "build-rocketmq", f"tool-{version}-{digest.hexdigest()[:12]}")
    if os.path.isdir(folder):
        return folder
    javac = os.path.join(os.path.dirname(rmq.java()), "javac")
    javac = javac if os.access(javac, os.X_OK) else shutil.which("javac")
    if not javac:
        raise ServerError("javac is not there; run scripts/install-deps broker")
    with open(os.path.join(TOP, "build-rocketmq", "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(folder):
            return folder
        fresh = tempfile.mkdtemp(prefix="new-tool-", dir=os.path.dirname(folder))
        try:
            os.chmod(fresh, 0o755)
            done = subprocess.run(
                [javac, "-nowarn", "-encoding", "UTF-8", "-d", fresh, "-cp", os.path.join(jars, "*"),
                 *(os.path.join(SOURCES, name) for name in names)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ServerError(f"javac: {done.stderr}")
            os.rename(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def command(main_class, folder, version=VERSION, tls=None, options=(), quick=True):
    """The words that run a class. All that it writes lies below `folder`."""
    home, temporary = os.path.join(folder, "home"), os.path.join(folder, "tmp")
    os.makedirs(home, exist_ok=True)
    os.makedirs(temporary, exist_ok=True)
    return [rmq.java(), "-Xms32m", "-Xmx256m", *(rmq.QUICK if quick else ()), "-XX:-UsePerfData",
            "-Djava.net.preferIPv4Stack=true", f"-Duser.home={home}", f"-Djava.io.tmpdir={temporary}",
            f"-Drocketmq.client.logRoot={home}/logs", f"-Dtls.config.file={folder}/none",
            f"-XX:ErrorFile={folder}/hs_err.log", *(tls.client_options() if tls else ()), *options,
            "-cp", classes(version) + ":" + rmq.classpath(version), main_class]


def _words(words, options):
    found = [str(word) for word in words]
    for name, value in options.items():
        if value is not None and value is not False:
            found += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    assert not any("\t" in word or "\n" in word for word in found)
    return found


def _message(line):
    found = json.loads(line)
    if isinstance(found.get("body"), str):
        found["body"] = base64.b64decode(found["body"])
    return found


class ToolError(AssertionError):
    """What RmqTool says when a command fails."""


class _Java:
    """A JVM whose lines of standard output are read by a thread."""

    def __init__(self, folder, main_class, version, tls, options):
        self.folder = os.path.abspath(str(folder))
        os.makedirs(self.folder, exist_ok=True)
        self.main_class = main_class
        self.version = version
        self.tls = tls
        self.options = list(options)
        self.process = None
        self.lines = None
        self.error_path = os.path.join(self.folder, "stderr.log")

    def _launch(self, words):
        with open(self.error_path, "ab") as errors:
            self.process = rmq.spawn(
                command(self.main_class, self.folder, self.version, self.tls, self.options) + words, self.folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8")
        self.lines = queue.Queue()

        def read(stream, lines):
            for line in stream:
                lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=read, args=(self.process.stdout, self.lines), daemon=True).start()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def errors(self):
        try:
            with open(self.error_path, encoding="utf-8", errors="replace") as file:
                return file.read()[-4000:]
        except FileNotFoundError:
            return ""

    def kill(self):
        """SIGKILL: the broker sees a closed connection, and nobody says goodbye."""
        if self.alive():
            self.process.kill()
            self.process.wait()

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def __exit__(self, kind, value, trace):
        self.kill()


class JavaTool(_Java):
    """`credentials`: (user, secret), for all commands that are not given others. Options of a command are keywords."""

    def __init__(self, folder, namesrv, version=VERSION, credentials=None, tls=None, options=()):
        super().__init__(folder, "RmqTool", version, tls, options)
        self.namesrv = namesrv
        self.credentials = credentials

    def __enter__(self):
        return self

    def run(self, *words, limit_s=60, credentials=None, **options):
        """One command; what it prints, as objects with bodies as bytes. ToolError when it fails."""
        if not self.alive():
            self._launch(["serve"])
        user, secret = credentials or self.credentials or (None, None)
        line = _words(words, {"namesrv": self.namesrv, "user": user, "secret": secret, **options})
        self.process.stdin.write("\t".join(line) + "\n")
        self.process.stdin.flush()
        found = []
        while True:
            try:
                answer = self.lines.get(timeout=limit_s)
            except queue.Empty:
                self.kill()
                raise ServerError(f"RmqTool {' '.join(line)}: nothing in {limit_s} s\n{self.errors()}") from None
            if answer is None:
                raise ServerError(f"RmqTool ended in {' '.join(line)}\n{self.errors()}")
            if answer.startswith(">"):
                found.append(_message(answer[1:]))
            elif answer == "=OK":
                return found
            elif answer.startswith("=FAIL"):
                raise ToolError(answer[6:])

    def produce(self, topic, count, size, **options):
        """Options: batch, queue, broker, tag, key, prop ("a=b,c=d"), body, delay, timeout (ms); bodies: a list of bytes."""
        bodies = options.pop("bodies", None)
        if bodies:
            options["body64"] = ",".join(base64.b64encode(body).decode("ascii") for body in bodies)
        return self.run("produce", topic, count, size, **options)

    def consume(self, topic, group, count, **options):
        """At least `count` messages, or what has come at the `timeout` (ms), as a group that begins with the first."""
        return self.run("consume", topic, group, count, **options)

    def pull(self, topic, queue_id, offset, count, **options):
        """(messages, status): of one queue, without a group's membership."""
        *messages, status = self.run("pull", topic, queue_id, offset, count, **options)
        return messages, status

    def admin(self, *words, **options):
        return self.run("admin", *words, **options)


class Member(_Java):
    """A consumer of a group in a process of its own. `queues` is what it has now, `messages` what it has got."""

    def __init__(self, folder, namesrv, group, topic, strategy="avg", version=VERSION, credentials=None, tls=None,
                 options=("-Drocketmq.client.rebalance.waitInterval=1000",), instance=None):
        super().__init__(folder, "RmqTool", version, tls, options)
        user, secret = credentials or (None, None)
        self.words = _words(["groupMember", group, topic],
                            {"strategy": strategy, "messages": True, "namesrv": namesrv, "instance": instance,
                             "user": user, "secret": secret})
        self.client_id = None
        self._queues = None
        self._messages = []

    def launch(self):
        """Start it and wait for nothing."""
        self._launch(self.words)
        return self

    def start(self):
        self.launch()
        wait_for(lambda: self._take() and self.client_id or not self.alive(), lambda: f"a member: {self.errors()}")
        if not self.client_id:
            raise ServerError(f"the member ended with {self.process.returncode}\n{self.errors()}")
        return self

    def __enter__(self):
        return self.start()

    def _take(self):
        while True:
            try:
                line = self.lines.get_nowait()
            except queue.Empty:
                return True
            if line is None:
                return True
            if not line.startswith("{"):
                continue
            found = _message(line)
            if "clientId" in found:
                self.client_id = found["clientId"]
            elif "queues" in found:
                self._queues = [(broker, number) for broker, number in found["queues"]]
            else:
                self._messages.append(found)

    @property
    def queues(self):
        """[(broker name, queue id)], in order; None before it has said anything."""
        self._take()
        return self._queues

    @property
    def messages(self):
        self._take()
        return list(self._messages)

    def wait_queues(self, count, timeout_s=60):
        wait_for(lambda: self.queues is not None and len(self.queues) == count,
                 lambda: f"{count} queues: {self.queues}", timeout_s)
        return self.queues

    def leave(self):
        """As a consumer that is shut down: it says goodbye."""
        self.process.stdin.write("q")
        self.process.stdin.flush()
        self.process.wait(30)


def bench(folder, what, namesrv, version=VERSION, jvm=("-Xms256m", "-Xmx256m"), limit_s=600, **options):
    """RmqBench produce|consume with options topic, size, count, batch, warmup, queue, mode, pull_batch, all_queues, in a
    JVM of its own at full speed; what it measured."""
    folder = os.path.abspath(str(folder))
    os.makedirs(folder, exist_ok=True)
    words = command("RmqBench", folder, version, options=jvm, quick=False)
    words += _words([what], {"namesrv": namesrv, **options})
    process = rmq.spawn(words, folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        text=True, encoding="utf-8")
    try:
        out, errors = process.communicate(timeout=limit_s)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode != 0 or not lines:
        raise ServerError(f"RmqBench {what} ended with {process.returncode}\n{errors[-4000:]}")
    return json.loads(lines[-1])
