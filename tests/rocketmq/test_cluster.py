# SPDX-License-Identifier: Apache-2.0
"""What the other tests build on: servers, their misfortunes, and the Java client."""

import os
import socket
import ssl
import subprocess
import sys
import time

import pytest

import cluster as rmq
from javatool import JavaTool, Member, ToolError, bench
from proxy import TO_CLIENT, TO_SERVER, Proxy, broker_proxy, server_proxy


def numbers(messages):
    return [int(message["body"].split()[1]) for message in messages]


def files_below(folder):
    return {os.path.join(path, name) for path, _, names in os.walk(folder) for name in names}


# --- the Java client

def test_produce_and_consume(shared, tool):
    shared.create_topic("plain", queues=2)
    sent = tool.produce("plain", 10, 30, tag="red", key="k1", prop="a=1,b=2")
    assert len(sent) == 10 and {one["status"] for one in sent} == {"SEND_OK"}
    got = tool.consume("plain", "plain-group", 10)
    assert sorted(numbers(got)) == list(range(10))
    assert all(len(one["body"]) == 30 for one in got)
    properties = got[0]["properties"]
    assert (properties["TAGS"], properties["KEYS"], properties["a"], properties["b"]) == ("red", "k1", "1", "2")
    assert sum(shared.broker.committed("plain-group", "plain", queue) for queue in (0, 1)) == 10
    assert tool.consume("plain", "plain-group", 1, timeout=1000) == []


def test_a_batch_keeps_its_order_in_one_queue(shared, tool):
    shared.create_topic("batch", queues=2)
    sent = tool.produce("batch", 100, 40, batch=30, queue=1)
    assert [one["count"] for one in sent] == [30, 30, 30, 10]
    got, status = tool.pull("batch", 1, 0, 100)
    assert numbers(got) == list(range(100))
    assert [one["queueOffset"] for one in got] == list(range(100))
    assert (status["status"], status["nextBeginOffset"], status["maxOffset"]) == ("FOUND", 100, 100)
    assert shared.broker.queue_offsets("batch") == {0: (0, 0), 1: (0, 100)}


def test_any_bytes_are_a_body(shared, tool):
    shared.create_topic("bytes", queues=1)
    bodies = [bytes(range(256)), b"\0", "grün\n".encode()]
    tool.produce("bytes", 3, 0, queue=0, bodies=bodies)
    got, _ = tool.pull("bytes", 0, 0, 3)
    assert [one["body"] for one in got] == bodies


def test_admin(shared, tool):
    tool.admin("createTopic", "made", 3)
    assert [one["writeQueueNums"] for one in tool.admin("topicRoute", "made")] == [3]
    tool.produce("made", 2, 10, queue=2)
    stats = {one["queueId"]: one["maxOffset"] for one in tool.admin("topicStats", "made")}
    assert stats == {0: 0, 1: 0, 2: 2}
    tool.consume("made", "made-group", 2)
    progress = {one["queueId"]: (one["brokerOffset"], one["consumerOffset"])
                for one in tool.admin("consumerProgress", "made-group") if one["topic"] == "made"}
    assert progress[2] == (2, 2)
    assert [one["address"] for one in tool.admin("clusterInfo")] == [shared.broker.address]
    tool.admin("deleteTopic", "made")
    assert rmq.route(shared.server, "made") == []
    with pytest.raises(ToolError):
        tool.admin("topicRoute", "made")


def test_members_of_a_group_share_the_queues(shared, tool, tmp_path):
    shared.create_topic("shared", queues=4)
    with Member(tmp_path / "one", shared.namesrv, "members", "shared", instance="a") as one:
        one.wait_queues(4)
        with Member(tmp_path / "two", shared.namesrv, "members", "shared", instance="b") as two:
            assert one.wait_queues(2) == [("broker-a", 0), ("broker-a", 1)]
            assert two.wait_queues(2) == [("broker-a", 2), ("broker-a", 3)]
            assert {line["clientId"] for line in tool.admin("consumerConnection", "members")} == \
                {one.client_id, two.client_id}
            tool.produce("shared", 1, 20, queue=3)
            rmq.wait_for(lambda: two.messages, "the message")
            assert two.messages[0]["queueId"] == 3 and one.messages == []
            two.kill()
            one.wait_queues(4)


def test_the_benchmark_clients(shared, tmp_path):
    shared.create_topic("bench", queues=1)
    done = bench(tmp_path / "p", "produce", shared.namesrv, topic="bench", size=100, batch=50, count=4000, warmup=1000)
    assert done["count"] == 4000 and done["body_bytes"] == 400000
    assert done["wall_s"] > 0 and 0 < done["cpu_s"] < done["cpu_total_s"] and done["peak_rss_kib"] > 10000
    for mode in ("lite", "pull", "push"):
        done = bench(tmp_path / mode, "consume", shared.namesrv, topic="bench", mode=mode, count=4000, warmup=1000)
        assert (done["mode"], done["body_bytes"]) == (mode, 400000) and done["msgs_per_s"] > 0


# --- misfortunes

def test_a_killed_broker_keeps_its_messages(tmp_path):
    with rmq.Cluster(tmp_path, servers=2, brokers=2, sync_flush=True) as cluster:
        assert all(sorted(server.brokers()) == ["broker-a", "broker-b"] for server in cluster.servers)
        cluster.create_topic("kept", queues=1)
        with JavaTool(tmp_path / "tool", cluster.namesrv) as tool:
            tool.produce("kept", 20, 50, queue=0, broker="broker-a")
            before = cluster.broker.pid
            cluster.broker.restart(kill=True)
            assert cluster.broker.pid != before
            got, _ = tool.pull("kept", 0, 0, 20, broker="broker-a")
            assert numbers(got) == list(range(20))
            cluster.brokers[1].kill()
            rmq.wait_for(lambda: "broker-b" not in cluster.server.brokers(), "broker-b to be missed")
            tool.produce("kept", 1, 50, queue=0, broker="broker-a")
            cluster.servers[0].kill()  # the other one is enough
            assert len(tool.pull("kept", 0, 0, 21, broker="broker-a")[0]) == 21


def test_a_frozen_broker(shared, tool):
    shared.create_topic("frozen", queues=1)
    shared.broker.freeze()
    try:
        with pytest.raises(OSError):
            shared.broker.call(105, {"topic": "frozen"}, timeout_s=0.5)
        with pytest.raises(ToolError, match="imeout"):
            tool.produce("frozen", 1, 10, queue=0, timeout=500)
    finally:
        shared.broker.thaw()
    tool.produce("frozen", 1, 10, queue=0)


def test_all_that_servers_write_is_in_their_folders(shared, tool):
    found = files_below(shared.broker.folder)
    for name in ("server.log", "store/config/topics.json"):
        assert os.path.join(shared.broker.folder, name) in found
    for pid in (shared.broker.pid, shared.server.pid, tool.process.pid):
        names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        opened = [name for name in names if name.startswith("/") and not name.startswith(
            ("/dev/", "/proc/", "/sys/")) and not name.endswith((".jar", "/modules"))]
        assert opened and all(name.startswith((shared.folder, tool.folder)) for name in opened), opened


def test_servers_listen_on_loopback(shared):
    """But for the replication port, whose address cannot be chosen."""
    def listening(pid):
        sockets = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    address, port = fields[1].split(":")
                    yield socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)
    assert set(listening(shared.server.pid)) == {("127.0.0.1", shared.server.port)}
    port = shared.broker.port
    assert set(listening(shared.broker.pid)) == {("127.0.0.1", port), ("127.0.0.1", port - 2), ("0.0.0.0", port + 1)}


def test_servers_end_with_the_process_that_started_them(tmp_path):
    program = ("import sys, time, cluster\n"
               "server = cluster.NameServer(sys.argv[1]).start()\n"
               "print(server.pid, flush=True)\n"
               "time.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                          cwd=os.path.dirname(os.path.abspath(rmq.__file__))) as parent:
        pid = int(parent.stdout.readline())
        assert os.path.exists(f"/proc/{pid}")
        parent.kill()
        parent.wait()

    def gone():
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True
    rmq.wait_for(gone, "the name server's end", 10)


def test_ports_are_not_given_twice():
    ports = [rmq.free_port(2, 1) for _ in range(50)]
    taken = sorted(one for port in ports for one in range(port - 2, port + 2))
    assert len(set(taken)) == 200
    program = "import sys, cluster; print(cluster._reserve(int(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", program, str(ports[0])], capture_output=True, text=True, check=True,
                          cwd=os.path.dirname(os.path.abspath(rmq.__file__)))
    assert done.stdout.strip() == "False"
    for port in ports:
        rmq.release_port(port, 2, 1)


def test_servers_for_development(tmp_path):
    def script(*words):
        done = subprocess.run([sys.executable, os.path.join(rmq.TOP, "scripts", "rocketmq"), *words], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode, done.stdout.strip(), done.stderr
    folder = ("--dir", str(tmp_path))
    while True:  # the broker's ports are 1033 to 1036 above
        port = rmq.free_port()
        if all(rmq._bindable(port + more) for more in (1033, 1035, 1036)):
            break
        rmq.release_port(port)
    start = ("start", *folder, "--version", rmq.OLD_VERSION, "--port", str(port))
    address = f"namesrvAddr=127.0.0.1:{port}"
    try:
        assert script("status", *folder)[:2] == (1, "nothing runs")
        assert script(*start)[:2] == (0, address)
        code, text, _ = script("status", *folder)
        assert code == 0 and text.startswith(address)
        code, _, error = script(*start)
        assert code == 1 and "runs already" in error
        code, _, error = script("start", "--dir", str(tmp_path / "other"), "--port", str(port))
        assert code == 1 and f"port {port} cannot be had" in error
        table = rmq.loads(rmq.call(("127.0.0.1", port), 106)[3])["brokerAddrTable"]
        assert table["broker-a"]["brokerAddrs"] == {"0": f"127.0.0.1:{port + 1035}"}
    finally:
        assert script("stop", *folder)[:2] == (0, "ended")
    assert script("status", *folder)[:2] == (1, "nothing runs")
    rmq.release_port(port)


# --- the proxy

@pytest.fixture(name="behind", scope="module")
def behind_fixture(tmp_path_factory):
    """A cluster whose broker, and whose name server if one asks the proxy, are reached through proxies."""
    with rmq.Cluster(tmp_path_factory.mktemp("behind"), advertise="127.0.0.2") as cluster, \
            broker_proxy(cluster.broker) as proxy, server_proxy(cluster.server) as names:
        cluster.create_topic("p", queues=1)
        with JavaTool(tmp_path_factory.mktemp("behind-tool"), names.address) as tool:
            yield cluster, proxy, tool


def test_clients_come_through_the_proxy(behind):
    cluster, proxy, tool = behind
    assert cluster.server.brokers() == {"broker-a": {0: proxy.address}}
    tool.produce("p", 3, 100, queue=0)
    assert proxy.accepted >= 1 and proxy.moved[TO_SERVER] > 300 and proxy.moved[TO_CLIENT] > 0


def timed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_the_proxy_delays(behind):
    cluster, proxy, _ = behind
    address = (cluster.broker.advertise, cluster.broker.port)
    fields = {"topic": "p"}
    assert timed(lambda: rmq.call(address, 202, fields)) < 0.5
    proxy.delay(0.3)
    assert 0.6 <= timed(lambda: rmq.call(address, 202, fields)) < 2
    proxy.delay(0, TO_CLIENT)
    assert 0.3 <= timed(lambda: rmq.call(address, 202, fields)) < 0.6
    proxy.delay(0)


def test_the_proxy_cuts(behind):
    cluster, proxy, tool = behind
    before = proxy.accepted
    with socket.create_connection((cluster.broker.advertise, cluster.broker.port), 10) as sock:
        rmq.wait_for(lambda: proxy.accepted > before, "the connection")
        proxy.cut()
        assert proxy.connections == 0
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    tool.produce("p", 1, 100, queue=0)
    proxy.refuse()
    proxy.cut(reset=False)
    with pytest.raises(ConnectionRefusedError):
        rmq.call((cluster.broker.advertise, cluster.broker.port), 202, {"topic": "p"})
    proxy.accept()
    tool.produce("p", 1, 100, queue=0)


def test_the_proxy_cuts_in_the_middle_of_a_frame(behind):
    cluster, proxy, _ = behind
    proxy.cut()
    proxy.cut_after(20, TO_CLIENT)
    with pytest.raises(ConnectionError, match="closed after 12 of"):
        rmq.call((cluster.broker.advertise, cluster.broker.port), 202, {"topic": "p"})
    rmq.call((cluster.broker.advertise, cluster.broker.port), 202, {"topic": "p"})


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_the_proxy_stalls_one_direction(behind, direction):
    """The broker has got the message or not; the client hears nothing either way."""
    cluster, proxy, tool = behind
    before = cluster.broker.queue_offsets("p")[0][1]
    proxy.stall(direction)
    with pytest.raises(ToolError, match="imeout"):
        tool.produce("p", 1, 100, queue=0, timeout=700)
    time.sleep(0.2)
    arrived = cluster.broker.queue_offsets("p")[0][1] - before
    assert arrived == (1 if direction == TO_CLIENT else 0)
    proxy.resume()
    tool.produce("p", 1, 100, queue=0)


def test_the_proxy_alone():
    """Bytes come as they were sent, also many, and an end of one direction is passed on."""
    with socket.create_server(("127.0.0.1", 0)) as server, \
            Proxy(("127.0.0.1", 0), server.getsockname()) as proxy, \
            socket.create_connection(proxy.listen_at, 10) as client:
        far, _ = server.accept()
        with far:
            far.settimeout(10)
            data = os.urandom(3 << 20)
            proxy.stall(TO_SERVER)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            proxy.resume()
            got = b""
            while piece := far.recv(1 << 20):
                got += piece
            assert got == data
            far.sendall(b"answer")
            far.close()
            assert client.recv(100) == b"answer" and client.recv(100) == b""
        rmq.wait_for(lambda: proxy.connections == 0, "the end of the connection")


# --- who may do what

USERS = {
    "alice-user": ("alice-secret", {"Topic:open": ["Pub", "Sub", "Get"], "Group:alices": ["Sub", "Get"]}),
    "bob-user": ("bob-secret", {"Topic:open": ["Sub", "Get"], "Group:bobs": ["Sub", "Get"]}),
}


@pytest.mark.parametrize("version", [rmq.VERSION, rmq.OLD_VERSION])
def test_acl(tmp_path, version):
    acl = rmq.Acl(users=USERS)
    with rmq.Cluster(tmp_path, version=version, acl=acl) as cluster, \
            JavaTool(tmp_path / "tool", cluster.namesrv, version, credentials=("alice-user", "alice-secret")) as tool:
        cluster.create_topic("open", queues=1)
        cluster.create_topic("closed", queues=1)
        tool.produce("open", 3, 20, queue=0)
        assert numbers(tool.consume("open", "alices", 3)) == [0, 1, 2]
        for refused in (dict(credentials=("bob-user", "bob-secret")), dict(credentials=("alice-user", "wrong")),
                        dict(credentials=("nobody-user", "x"))):
            with pytest.raises(ToolError, match="CODE: 1 |CODE: 16"):
                tool.produce("open", 1, 20, queue=0, **refused)
        with pytest.raises(ToolError, match="CODE: 1 |CODE: 16"):
            tool.produce("closed", 1, 20, queue=0)
        assert len(tool.pull("open", 0, 0, 3, group="bobs", credentials=("bob-user", "bob-secret"))[0]) == 3
        assert cluster.broker.call(202, {"topic": "open"})[0] in (1, 16)  # nobody in particular


@pytest.fixture(name="keys", scope="module")
def keys_fixture(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


def test_tls(tmp_path, keys):
    tls = rmq.Tls(keys, "enforcing")
    with rmq.Cluster(tmp_path / "cluster", tls=tls) as cluster:
        with JavaTool(tmp_path / "tool", cluster.namesrv, tls=tls) as tool:
            cluster.create_topic("t", queues=1)
            tool.produce("t", 3, 20, queue=0)
            assert numbers(tool.pull("t", 0, 0, 3)[0]) == [0, 1, 2]
        address = (cluster.broker.host, cluster.broker.port)
        with pytest.raises(OSError):
            rmq.call(address, 202, {"topic": "t"})
        assert rmq.call(address, 202, {"topic": "t"}, tls=ssl.create_default_context(cafile=tls.path("ca.pem")))[0] == 0
        with pytest.raises(ssl.SSLError):
            rmq.call(address, 202, {"topic": "t"}, tls=ssl.create_default_context())


def test_tls_that_asks_for_the_client(tmp_path, keys):
    tls = rmq.Tls(keys, "enforcing", client_auth=True)
    with rmq.NameServer(tmp_path, tls=tls) as server:
        address = (server.host, server.port)
        assert rmq.call(address, 106, tls=tls.client_context())[0] == 0
        with pytest.raises(OSError):
            rmq.call(address, 106, tls=ssl.create_default_context(cafile=tls.path("ca.pem")))


def test_permissive_tls_serves_both(tmp_path, keys):
    tls = rmq.Tls(keys, "permissive")
    with rmq.NameServer(tmp_path, tls=tls) as server:
        assert rmq.call((server.host, server.port), 106)[0] == 0
        assert rmq.call((server.host, server.port), 106, tls=tls.client_context())[0] == 0


# --- the older line

def test_the_old_version(tmp_path):
    with rmq.Cluster(tmp_path, version=rmq.OLD_VERSION) as cluster, \
            JavaTool(tmp_path / "tool", cluster.namesrv, rmq.OLD_VERSION) as tool:
        cluster.create_topic("t", queues=1)
        tool.produce("t", 40, 30, batch=8, queue=0)
        cluster.broker.restart(kill=True)
        assert numbers(tool.pull("t", 0, 0, 40)[0]) == list(range(40))
        assert numbers(tool.consume("t", "g", 40)) == list(range(40))
        assert tool.admin("topicStats", "t")[0]["maxOffset"] == 40
        with Member(tmp_path / "member", cluster.namesrv, "members", "t", version=rmq.OLD_VERSION) as member:
            member.wait_queues(1)
        tool.admin("deleteTopic", "t")


def test_a_slave_has_the_messages(tmp_path):
    with rmq.Cluster(tmp_path) as cluster:
        cluster.create_topic("t", queues=1)
        slave = cluster.add_broker(master=cluster.broker).start()
        assert cluster.server.brokers() == {"broker-a": {0: cluster.broker.address, 1: slave.address}}
        with JavaTool(tmp_path / "tool", cluster.namesrv) as tool:
            tool.produce("t", 5, 20, queue=0)
        rmq.wait_for(lambda: b"message 4" in b"".join(
            open(path, "rb").read(1 << 16) for path in files_below(os.path.join(slave.folder, "store", "commitlog"))),
            "the messages on the slave")
