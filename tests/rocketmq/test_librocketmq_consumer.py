# SPDX-License-Identifier: Apache-2.0
"""librocketmq's readers against real servers: one queue, groups with Java members, restarts. They are driven by the program
live_consumer of the build folder."""

import statistics
import subprocess
import threading
import time

import pytest

import cluster as rmq
from javatool import JavaTool, Member

VERSIONS = (rmq.VERSION, rmq.OLD_VERSION)


def program():
    return rmq.built("live_consumer", "librocketmq", "tests")


class Native:
    """live_consumer beside the test. `got`: [(broker, queue, offset, latency in ms, body)], `queues`: those it has now."""

    def __init__(self, namesrv, *words):
        self.got, self.errors, self.queues, self.others = [], [], None, []
        self.problems = []
        self.process = subprocess.Popen([program(), namesrv, *map(str, words)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.readers = [threading.Thread(target=self._read, daemon=True),
                        threading.Thread(target=lambda: self.problems.extend(self.process.stderr), daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            words = line.rstrip("\n").split(" ", 5)
            if words[0] == "got":
                self.got.append((words[1], int(words[2]), int(words[3]), int(words[4]), words[5]))
            elif words[0] == "queues":
                self.queues = sorted((name, int(number)) for name, number in (word.split(":") for word in line.split()[1:]))
            elif words[0] == "error":
                self.errors.append(line)
            else:
                self.others.append(line.rstrip("\n"))

    def wait_got(self, count, timeout_s=60):
        rmq.wait_for(lambda: len(self.got) >= count or self.process.poll() is not None,
                     lambda: f"{count} messages: {len(self.got)}, {self.errors}, {self.problems}", timeout_s)
        return self.got

    def wait_queues(self, count, timeout_s=60):
        rmq.wait_for(lambda: self.queues is not None and len(self.queues) == count,
                     lambda: f"{count} queues: {self.queues}, {self.errors}, {self.problems}", timeout_s)
        return self.queues

    def leave(self):
        """End of input: it commits, leaves the group, and ends."""
        self.process.stdin.close()
        return self.finish()

    def finish(self):
        code = self.process.wait(60)
        for reader in self.readers:
            reader.join(10)
        assert code == 0 and self.others[-1] == "closed", (code, self.others, self.errors, self.problems)
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module", params=VERSIONS)
def servers(request, tmp_path_factory):
    """(cluster with two brokers, tool) of each version."""
    with rmq.Cluster(tmp_path_factory.mktemp("consumer"), brokers=2, version=request.param) as cluster, \
            JavaTool(tmp_path_factory.mktemp("consumer-tool"), cluster.namesrv, version=request.param) as tool:
        yield cluster, tool


def fresh(cluster, name, queues=1):
    topic = f"{name}-{time.time_ns() % 10**9}"
    cluster.create_topic(topic, queues=queues)
    return topic


def check_each_once(got):
    """Of each queue all offsets from 0 on, in order, once."""
    at = {}
    for broker, number, offset, _, _ in got:
        assert offset == at.get((broker, number), 0), f"offset {offset} of {broker}:{number}"
        at[broker, number] = offset + 1
    return at


@pytest.mark.parametrize("options", [[], ["--binary"], ["--in-flight", "1"]])
def test_one_queue(servers, options):
    cluster, tool = servers
    topic = fresh(cluster, "one")
    bodies = [f"message {number} ".encode("ascii") + b"y" * (number * 37 % 900) for number in range(5000)]
    for start in range(0, len(bodies), 500):
        tool.produce(topic, 500, 0, bodies=bodies[start:start + 500], queue=0, broker="broker-a", batch=50)
    with Native(cluster.namesrv, "pull", topic, "broker-a", 0, 0, len(bodies), *options) as reader:
        got = reader.finish().got
    assert [body.encode("ascii") for *_, body in got] == bodies
    assert check_each_once(got) == {("broker-a", 0): len(bodies)}
    assert not reader.errors


def test_middle_and_beyond(servers):
    cluster, tool = servers
    topic = fresh(cluster, "middle")
    tool.produce(topic, 100, 20, queue=0, broker="broker-a")
    with Native(cluster.namesrv, "pull", topic, "broker-a", 0, 37, 63) as reader:
        assert [offset for _, _, offset, _, _ in reader.finish().got] == list(range(37, 100))
    with Native(cluster.namesrv, "pull", topic, "broker-a", 0, 5000, 1) as reader:  # nothing is there: the end is
        rmq.wait_for(lambda: reader.errors, "the error")
        tool.produce(topic, 1, 20, queue=0, broker="broker-a")
        assert [offset for _, _, offset, _, _ in reader.finish().got] == [100]
        assert "MOVED" in reader.errors[0] and "offset 100" in reader.errors[0]


def test_latency(servers):
    cluster, tool = servers
    topic = fresh(cluster, "latency")
    with Native(cluster.namesrv, "pull", topic, "broker-a", 0, 0, 60) as reader:
        time.sleep(0.5)
        for number in range(60):
            tool.produce(topic, 1, 20, queue=0, broker="broker-a")
            reader.wait_got(number + 1)
        latencies = [latency for _, _, _, latency, _ in reader.finish().got]
    print("latency in ms: median", statistics.median(latencies), "most", max(latencies))
    assert statistics.median(latencies) <= 20, latencies


def test_group_of_several_queues(servers):
    cluster, tool = servers
    topic = fresh(cluster, "several", queues=4)
    tool.produce(topic, 2000, 100)
    with Native(cluster.namesrv, "group", "several-" + topic, topic) as member:
        assert member.wait_queues(8) == [(name, number) for name in ("broker-a", "broker-b") for number in range(4)]
        member.wait_got(2000)
        tool.produce(topic, 500, 100)
        at = check_each_once(member.wait_got(2500))
        member.leave()
    assert len(at) == 8 and sum(at.values()) == 2500 and len(member.got) == 2500
    for (name, number), offset in at.items():  # closing has committed
        broker = cluster.brokers[0 if name == "broker-a" else 1]
        assert broker.committed("several-" + topic, topic, number) == offset


def test_many_queues(servers):
    """More queues of one broker than requests may usually be in flight: the long polls hold nothing else up."""
    cluster, tool = servers
    topic = fresh(cluster, "many", queues=300)
    with Native(cluster.namesrv, "group", "many-" + topic, topic) as member:
        member.wait_queues(600)
        time.sleep(2)
        for number in range(3):
            tool.produce(topic, 1, 20, queue=290 + number, broker="broker-b")
            member.wait_got(number + 1, 10)
        latencies = [latency for _, _, _, latency, _ in member.leave().got]
    assert max(latencies) < 2000, latencies


def test_offsets_continue(servers):
    cluster, tool = servers
    topic = fresh(cluster, "continue", queues=2)
    group = "continue-" + topic
    got = []
    for _ in range(3):
        tool.produce(topic, 300, 50)
        with Native(cluster.namesrv, "group", group, topic) as member:
            member.wait_got(300)
            got += member.leave().got
    at = check_each_once(got)
    assert sum(at.values()) == 900
    with Native(cluster.namesrv, "group", group, topic, "--commit", 100) as member:  # killed: what was committed counts
        tool.produce(topic, 100, 50)
        member.wait_got(100)
        time.sleep(0.5)
        got += member.got
    tool.produce(topic, 50, 50)
    with Native(cluster.namesrv, "group", group, topic) as member:
        member.wait_got(50)
        got += member.leave().got
    assert sum(check_each_once(got).values()) == 1050


def test_reset_while_reading(servers):
    """An admin's reset reaches a reader with many pulls on their way. 5.3.3 tells it once, to whichever pull comes next;
    4.9 has the members do it."""
    cluster, tool = servers
    topic, group = fresh(cluster, "reset"), f"reset-{time.time_ns() % 10**9}"
    count = 100000
    tool.produce(topic, count, 100, queue=0, broker="broker-a", batch=1000)
    broker = cluster.brokers[0]
    with Native(cluster.namesrv, "group", group, topic, "--commit", 100) as member:
        member.wait_got(count // 10)
        # 4.9 refuses it until it has the member's heartbeat.
        fields = {"topic": topic, "group": group, "timestamp": "0", "isForce": "true"}
        rmq.wait_for(lambda: broker.call(222, fields)[0] == 0, lambda: broker.call(222, fields))
        # What comes behind the reset is the whole queue.
        rmq.wait_for(lambda: len(member.got) > count and member.got[-1][2] == count - 1,
                     lambda: f"reading from the beginning: {len(member.got)}, {member.errors}")
        offsets = [offset for _, _, offset, _, _ in member.got]
        again = offsets.index(0, 1)
        assert offsets[again:] == list(range(count)) and offsets[:again] == list(range(again))
        assert any("MOVED" in error for error in member.errors), member.errors
        rmq.wait_for(lambda: broker.committed(group, topic, 0) == count, "the offset behind the last message")
        member.leave()


def test_an_admin_sees_how_a_member_does(servers, tmp_path):
    cluster, tool = servers
    topic, group = fresh(cluster, "status"), f"status-{time.time_ns() % 10**9}"
    tool.produce(topic, 10, 10, queue=0, broker="broker-b", batch=10)
    with Native(cluster.namesrv, "group", group, topic, "--id", "10.0.0.1@native") as member:
        member.wait_got(10)
        member.wait_queues(2)
        done = subprocess.run([rmq.java(), *rmq.QUICK, f"-Duser.home={tmp_path}", "-cp", rmq.classpath(),
                               "org.apache.rocketmq.tools.command.MQAdminStartup", "consumerStatus", "-n", cluster.namesrv,
                               "-g", group, "-i", "10.0.0.1@native"],
                              capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert "PROP_CONSUME_TYPE" in done.stdout and "librocketmq" in done.stdout, done
        table = [line.split() for line in done.stdout.splitlines() if line.startswith(topic)]
        assert [topic, "broker-b", "0", "10"] in [line[:4] for line in table], done.stdout
        member.leave()


def test_last_begins_at_the_end(servers):
    cluster, tool = servers
    topic = fresh(cluster, "last")
    with Native(cluster.namesrv, "group", "last-" + topic, topic, "--last") as member:
        member.wait_queues(2)
        time.sleep(1)
        tool.produce(topic, 10, 50, queue=0, broker="broker-a")
        member.wait_got(10)
        check_each_once(member.leave().got)


@pytest.mark.parametrize("strategy", ["avg", "circle", "hash"])
def test_mixed_group(servers, strategy, tmp_path):
    """Two Java and two native members: each queue has one reader, whoever comes and goes."""
    cluster, tool = servers
    topic = fresh(cluster, "mixed", queues=5)
    group = "mixed-" + topic
    everything = sorted((name, number) for name in ("broker-a", "broker-b") for number in range(5))

    def members_agree(members):
        def look():
            owned = [found for member in members for found in (member.queues or [])]
            return sorted(map(tuple, owned)) == everything
        rmq.wait_for(look, lambda: [member.queues for member in members], 60)

    with Native(cluster.namesrv, "group", group, topic, "--strategy", strategy) as first:
        members_agree([first])
        with Member(tmp_path / "java-1", cluster.namesrv, group, topic, strategy, version=cluster.version) as second:
            members_agree([first, second])
            with Native(cluster.namesrv, "group", group, topic, "--strategy", strategy) as third, \
                    Member(tmp_path / "java-2", cluster.namesrv, group, topic, strategy,
                           version=cluster.version) as fourth:
                members_agree([first, second, third, fourth])
                time.sleep(1)
                tool.produce(topic, 400, 50)
                rmq.wait_for(lambda: sum(map(len, (first.got, third.got, second.messages, fourth.messages))) >= 400,
                             lambda: [len(first.got), len(second.messages), len(third.got), len(fourth.messages)])
                seen = [(broker, number, offset) for member in (first, third) for broker, number, offset, _, _ in member.got]
                assert len(set(seen)) == len(seen)
                for member in (first, third):
                    assert {(broker, number) for broker, number, *_ in member.got} <= set(member.queues)
                assert len(seen) + len(second.messages) + len(fourth.messages) == 400
                third.leave()
                members_agree([first, second, fourth])
        second.kill()
        members_agree([first])
        first.leave()


def test_locked_members_share(servers):
    cluster, tool = servers
    topic = fresh(cluster, "locked", queues=2)
    group = "locked-" + topic
    tool.produce(topic, 200, 50)
    with Native(cluster.namesrv, "group", group, topic, "--locked") as first:
        first.wait_got(200)
        with Native(cluster.namesrv, "group", group, topic, "--locked") as second:
            second.wait_queues(2)
            first.wait_queues(2)
            tool.produce(topic, 200, 50)
            rmq.wait_for(lambda: len(first.got) + len(second.got) >= 400, lambda: (len(first.got), len(second.got)))
            second.leave()
            first.wait_queues(4)
            tool.produce(topic, 100, 50)
            rmq.wait_for(lambda: len(first.got) + len(second.got) >= 500, lambda: (len(first.got), len(second.got)))
        first.leave()
    order = {}
    for broker, number, offset, _, _ in first.got + second.got:
        order.setdefault((broker, number), []).append(offset)
    for offsets in order.values():
        assert sorted(offsets) == list(range(len(offsets)))


@pytest.mark.parametrize("kill", [False, True])
def test_broker_restart(tmp_path, kill):
    with rmq.Cluster(tmp_path / "cluster", settings={"flushDiskType": "SYNC_FLUSH"}) as cluster, \
            JavaTool(tmp_path / "tool", cluster.namesrv) as tool:
        cluster.create_topic("t", queues=1)
        tool.produce("t", 20000, 100, batch=100, queue=0)
        with Native(cluster.namesrv, "pull", "t", "broker-a", 0, 0, 20300) as reader, \
                Native(cluster.namesrv, "group", "g", "t") as member:
            reader.wait_got(20000 if not kill else 1)
            member.wait_got(1)
            cluster.broker.restart(kill=kill)
            for _ in range(3):
                rmq.wait_for(lambda: produced(tool), "a message sent")
            reader.wait_got(20300, 60)
            check_each_once(reader.finish().got)
            member.wait_got(20300)
            check_each_once(member.leave().got)
            print(reader.errors, member.errors)


def produced(tool):
    """The Java producer needs a moment after the restart, too; it sends all or nothing of a batch."""
    try:
        tool.produce("t", 100, 100, batch=100, queue=0)
    except AssertionError:
        return False
    return True


def test_topic_made_later(servers):
    """A member of a group whose topic is not there yet."""
    cluster, tool = servers
    topic = f"later-{time.time_ns() % 10**9}"
    with Native(cluster.namesrv, "group", "later-" + topic, topic) as member:
        rmq.wait_for(lambda: member.errors, "an error")
        cluster.create_topic(topic, queues=1)
        tool.produce(topic, 20, 50)
        member.wait_got(20, 90)
        check_each_once(member.leave().got)
    assert len(member.errors) == 1
