# SPDX-License-Identifier: Apache-2.0
"""librocketmq's client against real servers: names, routes, groups, heartbeats, TLS and access control. It is driven by
the program live_client of the build folder."""

import subprocess
import threading
import time

import pytest

import cluster as rmq


def program():
    return rmq.built("live_client", "librocketmq", "tests")


class Outcome:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


def live(namesrv, *words, timeout_s=120):
    done = subprocess.run([program(), namesrv, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout_s, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def works(namesrv, *words):
    done = live(namesrv, *words)
    assert done.code == 0 and done.out.endswith("closed\n"), done.out + done.err
    return done


def fails(namesrv, *words):
    done = live(namesrv, *words)
    assert done.code == 1 and "Sanitizer" not in done.err, done.out + done.err
    return done.err


class Background:
    """live_client beside the test; `lines` grows as it prints."""

    def __init__(self, namesrv, *words):
        self.lines, self.problems = [], []
        self.process = subprocess.Popen([program(), namesrv, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.problems))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait_line(self, text, timeout_s=60):
        rmq.wait_for(lambda: text in self.lines or self.process.poll() is not None, lambda: f"{text}: {self.lines}",
                     timeout_s)
        assert text in self.lines, (self.lines, self.problems)

    def finish(self):
        code = self.process.wait(120)
        for reader in self.readers:
            reader.join(10)
        assert code == 0, (self.lines, self.problems)
        return self.lines

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    # Without the timer wheel 5.3.3 cannot delete a topic.
    with rmq.Cluster(tmp_path_factory.mktemp("plain"), servers=2, settings={"timerWheelEnable": "true"}) as cluster:
        yield cluster


@pytest.mark.parametrize("codec", [[], ["--binary"]], ids=["json", "binary"])
def test_everything_once(plain, codec):
    done = works(plain.namesrv, "all", "once" + "".join(codec).strip("-"), *codec)
    assert "ok the topic is gone" in done.out
    assert "unknown group: REFUSED 26" in done.out


def test_everything_once_with_4_9(tmp_path):
    # 4.9 cannot delete a topic's files on today's Java without these.
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "sun.nio.ch", "jdk.internal.ref")]
    with rmq.Cluster(tmp_path, version=rmq.OLD_VERSION, options=opened) as cluster:
        works(cluster.namesrv, "all", "json", "--old")
        works(cluster.namesrv, "all", "binary", "--old", "--binary")


def test_a_dead_name_server_is_passed_over(plain):
    for namesrv in (f"127.0.0.1:1;{plain.namesrv}", f"{plain.namesrv};no-such-host.invalid:9876"):
        for _ in range(3):  # the order is shuffled
            works(namesrv, "route", "TBW102")
    err = fails("127.0.0.1:1;127.0.0.1:2", "route", "TBW102")
    assert "UNREACHABLE" in err and "127.0.0.1:1" in err and "127.0.0.1:2" in err


def test_a_silent_name_server_is_passed_over(plain):
    plain.servers[0].freeze()
    try:
        for _ in range(2):
            works(plain.namesrv, "route", "TBW102")
    finally:
        plain.servers[0].thaw()


def test_members_come_and_go(plain):
    plain.create_topic("meeting", 2)
    with Background(plain.namesrv, "members", "people", "meeting", "9000", "--id", "first") as first:
        first.wait_line("members 1 own")
        begin = time.monotonic()
        with Background(plain.namesrv, "members", "people", "meeting", "2000", "--id", "second") as second:
            first.wait_line("members 2 own")
            assert time.monotonic() - begin < 5
            second.finish()
        rmq.wait_for(lambda: first.lines[-1] == "members 1 own", "the second one has left", 10)
        with Background(plain.namesrv, "members", "people", "meeting", "60000", "--id", "third") as third:
            rmq.wait_for(lambda: first.lines[-1] == "members 2 own", lambda: first.lines, 10)
            third.process.kill()
            rmq.wait_for(lambda: first.lines[-1] == "members 1 own", lambda: first.lines, 10)
        first.finish()


def test_one_client_is_one_member_also_after_the_broker_came_back(tmp_path):
    with rmq.Cluster(tmp_path) as cluster:
        cluster.create_topic("meeting", 2)
        with Background(cluster.namesrv, "members", "people", "meeting", "45000", "--id", "first") as first:
            first.wait_line("members 1 own")
            cluster.broker.restart(kill=True)
            del first.lines[:]
            with Background(cluster.namesrv, "members", "people", "meeting", "8000", "--id", "second") as second:
                second.wait_line("members 2 own", 30)  # the first one has come back by itself
                second.finish()
            assert not [line for line in first.lines if line.startswith("members 3")]
            first.process.terminate()


def test_a_watch_sees_topics_and_brokers(tmp_path):
    with rmq.Cluster(tmp_path, brokers=1) as cluster:
        with Background(cluster.namesrv, "watch", "seen", "40000") as watch:
            time.sleep(0.5)
            cluster.create_topic("seen", 2)
            watch.wait_line("write broker-a:0 broker-a:1", 5)
            other = cluster.add_broker()
            other.start()
            other.create_topic("seen", 1)
            watch.wait_line("write broker-a:0 broker-a:1 broker-b:0", 5)
            other.kill()
            rmq.wait_for(lambda: watch.lines[-2:] == ["write broker-a:0 broker-a:1", "read broker-a:0 broker-a:1"],
                         lambda: watch.lines, 10)
            cluster.broker.kill()
            watch.wait_line("gone", 10)


def test_replicas_get_the_heartbeats_of_consumers(tmp_path):
    with rmq.Cluster(tmp_path) as cluster:
        slave = cluster.add_broker(master=cluster.broker)
        slave.start()
        cluster.create_topic("meeting", 2)
        with Background(cluster.namesrv, "members", "people", "meeting", "20000", "--id", "first") as first:
            first.wait_line("members 1 own")

            def known():
                code, _, _, body = slave.call(38, {"consumerGroup": "people"})
                return code == 0 and rmq.loads(body)["consumerIdList"] == ["first"]
            rmq.wait_for(known, "the replica knows the member", 10)
            first.process.terminate()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return rmq.Tls(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory, tls):
    with rmq.Cluster(tmp_path_factory.mktemp("sealed"), tls=tls, settings={"timerWheelEnable": "true"}) as cluster:
        yield cluster


def test_tls(sealed, tls):
    ca = ["--tls", "--ca", tls.path("ca.pem")]
    works(sealed.namesrv, "all", "sealed", *ca, "--verify-host")
    works(sealed.namesrv.replace("127.0.0.1", "localhost"), "route", "TBW102", *ca, "--verify-host")
    works(sealed.namesrv, "route", "TBW102", "--tls")  # whoever it is
    works(sealed.namesrv, "route", "TBW102", *ca, "--cert", tls.path("client.pem"), "--key", tls.path("client.key"))


def test_tls_with_a_server_that_is_not_trusted(sealed, tls, tmp_path):
    other = rmq.Tls(tmp_path / "other")
    err = fails(sealed.namesrv, "route", "TBW102", "--tls", "--ca", other.path("ca.pem"))
    assert "certificate" in err, err
    # Another name of 127.0.0.1, which the certificate does not have.
    short = sealed.namesrv.replace("127.0.0.1", "127.1")
    works(short, "route", "TBW102", "--tls", "--ca", tls.path("ca.pem"))
    err = fails(short, "route", "TBW102", "--tls", "--ca", tls.path("ca.pem"), "--verify-host")
    assert "hostname mismatch" in err.lower(), err
    err = fails(sealed.namesrv, "route", "TBW102", "--tls", "--ca", tls.path("none.pem"))
    assert "INVALID" in err and "none.pem" in err, err


def test_access_control_of_4_9(tmp_path):
    acl = rmq.Acl(admin=("gantry-admin", "admin-secret"))
    with rmq.Cluster(tmp_path, version=rmq.OLD_VERSION, acl=acl) as cluster:
        works(cluster.namesrv, "create", "t", "--access", acl.admin[0], "--secret", acl.admin[1])
        err = fails(cluster.namesrv, "create", "t", "--access", acl.admin[0], "--secret", "wrong-secret")
        assert "REFUSED" in err, err


def test_plain_text_to_tls_and_tls_to_plain_text(sealed, plain):
    err = fails(sealed.namesrv, "route", "TBW102")
    assert "it may want TLS" in err, err
    err = fails(plain.servers[0].address, "route", "TBW102", "--tls")
    assert "does not speak TLS" in err, err


def test_access_control(tmp_path):
    acl = rmq.Acl(users={"alice": ("alice-secret", {"Topic:hers": ["Pub", "Sub", "Get"], "Group:hers": ["Sub"]})})
    with rmq.Cluster(tmp_path, acl=acl, settings={"timerWheelEnable": "true"}) as cluster:
        admin = ["--access", acl.admin[0], "--secret", acl.admin[1]]
        for codec in ([], ["--binary"]):
            works(cluster.namesrv, "all", "acl" + "".join(codec).strip("-"), *admin, *codec)
        err = fails(cluster.namesrv, "create", "t", "--access", acl.admin[0], "--secret", "wrong")
        assert "REFUSED" in err and "code 16" in err and "check signature failed" in err, err
        err = fails(cluster.namesrv, "create", "t", "--access", "nobody", "--secret", "wrong")
        assert "code 16" in err and "not found" in err, err
        err = fails(cluster.namesrv, "create", "t")
        assert "code 16" in err, err
        err = fails(cluster.namesrv, "create", "t", "--access", "alice", "--secret", "alice-secret")
        assert "code 16" in err and "no permission" in err, err
