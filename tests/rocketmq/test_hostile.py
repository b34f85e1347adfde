# SPDX-License-Identifier: Apache-2.0
"""Servers that are not there, are something else, or want something else: the worker says what is wrong, in its log and to who
asks, tries again without haste, ends in order when told to, and works as soon as the server does."""

import http.server
import os
import random
import socket
import struct
import threading
import time
import uuid
from urllib.parse import unquote

import pytest

import cluster as rmq
from harness import append, source_config, wait_file, wait_for, write
from workers import ClusterWorker

ENDS_S = 3
IDLE_SHARE = 0.05  # of a core, while it tries again and again


@pytest.fixture
def new(tmp_path):
    """Workers in clusters of their own; none of them needs to have joined."""
    made = []

    def make(namesrv, **settings):
        made.append(ClusterWorker(tmp_path / f"w{len(made)}", namesrv, f"hostile-{uuid.uuid4().hex[:8]}", **settings))
        return made[-1]

    yield make
    for worker in made:
        worker.kill()
        print(f"--- {worker.folder}\n{worker.log()[-5000:]}")


class Server:
    """Something that listens and is no name server. `serve` gets each connection, in a thread of its own."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.accepted = 0
        self.open = []

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            self.serve(sock)
        except OSError:
            pass

    def __exit__(self, kind, value, trace):
        self.listener.close()
        for sock in self.open:
            sock.close()


def silent(sock):
    while sock.recv(4096):
        pass


def garbage(sock):
    dice = random.Random(1)
    while sock.recv(4096):
        sock.sendall(dice.randbytes(5000))


def huge(sock):
    while sock.recv(4096):
        sock.sendall(struct.pack(">I", 0x7FFFFFFF) + bytes(1000))


def empty(sock):
    while sock.recv(4096):
        sock.sendall(struct.pack(">I", 0))


def closing(sock):
    sock.close()


def web(sock):
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass
    Handler(sock, ("127.0.0.1", 0), None)
    sock.close()


def busy_share(worker, span_s=2):
    """Of a core, over a while: for this, time has to pass."""
    before = worker.cpu_s()
    time.sleep(span_s)
    return (worker.cpu_s() - before) / span_s


def check_waiting(worker, pattern, tmp_path):
    """It says what is wrong, does little, and ends."""
    said = worker.wait_log(rf"cannot reach the cluster log, trying again; [^:]*: (.*({pattern}).*)", 15).group(1)
    why = worker.refuse("c", source_config("t", tmp_path / "in"))
    assert "not a member of the cluster now: " in why and said.split(":")[0][:20] in why, (said, why)
    share = busy_share(worker)
    assert share < IDLE_SHARE, f"{100 * share:.1f} % of a core"
    assert len(worker.log().splitlines()) < 60, worker.log()
    begin = time.monotonic()
    worker.end()
    took_s = time.monotonic() - begin
    print(f"says: {said}; {100 * share:.1f} % of a core; ended in {took_s:.2f} s")
    assert took_s < ENDS_S


def test_nobody_there(new, tmp_path):
    port = rmq.free_port()
    worker = new(f"127.0.0.1:{port}").boot()
    check_waiting(worker, f"127.0.0.1:{port}.*refused", tmp_path)


def test_no_such_host(new, tmp_path):
    worker = new("no-such-host.invalid:9876").boot()
    check_waiting(worker, "no-such-host.invalid", tmp_path)


def test_an_address_that_is_none(new):
    for address in ("127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":9876", "http://127.0.0.1:9876", ";",
                    "127.0.0.1:9876,127.0.0.2:9876"):
        worker = new(address)
        assert worker.refused() == 2, address
        assert "namesrvAddr" in worker.log(), worker.log()


@pytest.mark.parametrize("what,pattern", [
    (web, "not|frame|HTTP|claim|large|answer|closed"), (garbage, "frame|not|claim|large|malformed"),
    (huge, "2147483647|frame|large"), (empty, "frame|length|short|malformed"), (silent, "answer|time"),
    (closing, "closed|reset")], ids=lambda value: getattr(value, "__name__", ""))
def test_no_name_server(new, tmp_path, what, pattern):
    with Server(what) as server:
        worker = new(server.address).boot()
        check_waiting(worker, pattern, tmp_path)
        assert worker.process.returncode == 0
        assert server.accepted < 40, "tries again without haste"


def test_one_of_two_name_servers_is_none(new, shared):
    with Server(garbage) as server:
        worker = new(f"{server.address};{shared.namesrv}").boot()
        worker.wait_joined()
        worker.end()


# --- TLS and keys

@pytest.fixture(name="tls", scope="module")
def tls_fixture(tmp_path_factory):
    keys = rmq.Tls(tmp_path_factory.mktemp("keys"), "enforcing")
    with rmq.Cluster(tmp_path_factory.mktemp("tls"), tls=keys) as cluster:
        yield cluster


def test_tls(new, tls, tmp_path):
    """As it should be, from end to end; verified and not."""
    for number, settings in enumerate(({}, {"tls_client_authServer": "true", "tls_client_trustCertPath": tls.tls.path("ca.pem"),
                                            "tls_client_verifyHost": "true"})):
        worker = new(tls.namesrv, **{name: value for name, value in settings.items()})
        worker.settings["tls.enable"] = "true"
        worker.start()
        data = b"one\ntwo\n"
        worker.source("source", f"tls-{number}", write(tmp_path / f"in-{number}", data))
        worker.sink("sink", f"tls-{number}", tmp_path / f"out-{number}")
        wait_file(tmp_path / f"out-{number}", data)
        worker.end()


def test_plain_text_to_tls(new, tls, tmp_path):
    check_waiting(new(tls.namesrv).boot(), "closed|TLS|plain", tmp_path)


def test_tls_to_plain_text(new, shared, tmp_path):
    worker = new(shared.namesrv)
    worker.settings["tls.enable"] = "true"
    check_waiting(worker.boot(), "TLS|closed", tmp_path)


def test_a_certificate_of_somebody_else(new, tls, tmp_path):
    other = rmq.Tls(tmp_path / "other")
    worker = new(tls.namesrv)
    worker.settings.update({"tls.enable": "true", "tls.client.authServer": "true",
                            "tls.client.trustCertPath": other.path("ca.pem")})
    check_waiting(worker.boot(), "certificate", tmp_path)


def test_a_wrong_key(new, tmp_path):
    """The name server asks for none, the broker does. With the right one all is well."""
    acl = rmq.Acl()
    with rmq.Cluster(tmp_path / "servers", acl=acl) as cluster:
        for settings, what in (({"accessKey": acl.admin[0], "secretKey": "wrong-secret"}, "ignature|assword|denied|check|CODE|16|1"),
                               ({"accessKey": "nobody-at-all", "secretKey": "x"}, "nobody-at-all|user|User")):
            worker = new(cluster.namesrv, aclEnable="true", **settings)
            check_waiting(worker.boot(), what, tmp_path)
            assert settings["secretKey"] == "x" or settings["secretKey"] not in worker.log()
        worker = new(cluster.namesrv, aclEnable="true", accessKey=acl.admin[0], secretKey=acl.admin[1]).start()
        data = b"line\n"
        worker.source("source", "t", write(tmp_path / "in", data))
        worker.sink("sink", "t", tmp_path / "out")
        wait_file(tmp_path / "out", data)
        worker.end()


# --- servers that come and go

def test_a_name_server_that_comes_later(new, tmp_path):
    server = rmq.NameServer(tmp_path / "namesrv")
    broker = rmq.Broker(tmp_path / "broker", server.address, name_servers=[server])
    try:
        worker = new(server.address).boot()
        worker.wait_log("cannot reach the cluster log, trying again; [^:]*: .*refused")
        server.start()
        worker.wait_log("cannot reach the cluster log, trying again; [^:]*: .*broker", 15)
        broker.start()
        begin = time.monotonic()
        worker.wait_joined()
        print(f"joined {time.monotonic() - begin:.1f} s after the broker was ready")
        assert time.monotonic() - begin < 10
        worker.end()
    finally:
        broker.end()
        server.end()


def test_a_broker_that_goes_and_comes_back(new, tmp_path):
    """Told where it shows: the status of source and sink, whose reason says what is wrong."""
    with rmq.Cluster(tmp_path / "servers") as servers:
        worker = new(servers.namesrv).start()
        data = b"one\n"
        worker.source("source", "t", write(tmp_path / "in", data))
        worker.sink("sink", "t", tmp_path / "out")
        wait_file(tmp_path / "out", data)
        servers.broker.kill()
        append(tmp_path / "in", b"two\n")
        for name in ("source", "sink"):
            def look(name=name):
                reply = worker.get(f"/connectors/{name}/status")
                return reply.text == "not runing" and unquote(reply.field("X-Gantry-Error") or "")
            why = wait_for(look, lambda name=name: f"trouble of {name}: {worker.status(name)}\n{worker.log()}", 15)
            print(f"{name}: {why}")
            assert "broker" in why or "refused" in why or "not known" in why, why
        share = busy_share(worker)
        assert share < IDLE_SHARE, f"{100 * share:.1f} % of a core"
        servers.broker.start()
        wait_file(tmp_path / "out", data + b"two\n")
        worker.wait_running("source")
        worker.wait_running("sink")
        # And an orderly end without a broker.
        servers.broker.kill()
        worker.wait_log("(?s)cannot reach the cluster log.*cannot reach the cluster log", 10)
        begin = time.monotonic()
        code = worker.stop()
        print(f"ended in {time.monotonic() - begin:.1f} s, exit status {code}")
        assert code == 0 and time.monotonic() - begin < ENDS_S + 1
        assert os.path.exists(worker.store)
