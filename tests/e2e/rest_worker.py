# SPDX-License-Identifier: Apache-2.0
"""A worker for the REST tests: the real binary on a free port with a store of its own, and raw HTTP to talk to it."""

import os
import re
import signal
import socket
import subprocess
import time

BOOT = re.compile(r"The worker \[[^]]*\] boot success\.")


def binary():
    path = os.environ.get("GANTRY_BIN")
    if not path:
        here = os.path.dirname(os.path.abspath(__file__))
        path = os.path.join(here, "..", "..", "build", "gantry")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not there: build it first, or say where it is in GANTRY_BIN")
    return os.path.abspath(path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RestWorker:
    """Started by `with`; its folder, port and log are attributes."""

    def __init__(self, folder, **settings):
        self.folder = str(folder)
        self.settings = {name.replace("_", "."): value for name, value in settings.items()}
        self.port = None
        self.process = None
        self.log_path = os.path.join(self.folder, "worker.log")

    def _write_settings(self):
        path = os.path.join(self.folder, "connect.conf")
        lines = {
            "httpPort": self.port,
            "storePathRootDir": os.path.join(self.folder, "store"),
            **self.settings,
        }
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in lines.items())
        return path

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _launch(self):
        self.port = free_port()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary(), "worker", "-c", self._write_settings()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if BOOT.search(self.log()):
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.01)
        self.kill()
        raise AssertionError(f"no boot line in 20 s; the log:\n{self.log()}")

    def start(self):
        for _ in range(5):  # another program may take the port between the probe and the start
            if self._launch():
                return self
            if "is in use" not in self.log():
                break
        raise AssertionError(f"ended with {self.process.returncode}; the log:\n{self.log()}")

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def stop(self):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end in 20 s after SIGTERM; the log:\n{self.log()}") from None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.kill()
            print(self.log())
            return
        code = self.stop()
        assert code == 0, f"exit status {code}; the log:\n{self.log()}"

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def connect(self, timeout_s=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def get(self, path, *fields, method="GET"):
        """One request on a connection of its own."""
        with self.connect() as sock:
            return exchange(sock, f"{method} {path} HTTP/1.1", "Host: localhost", *fields)


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
    status_line, *lines = head.decode("iso-8859-1").split("\r\n")[:-2]
    fields = [tuple(line.split(": ", 1)) for line in lines]
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
