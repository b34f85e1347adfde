# SPDX-License-Identifier: Apache-2.0
"""Kafka Connect's own file connectors through the worker, their JVM killed again and again."""
import collections
import os
import random

import workers
from harness import read, wait_for, write

JAR = "connect-file-3.9.2.jar"
SOURCE, SINK = (f"org.apache.kafka.connect.file.FileStream{kind}Connector" for kind in ("Source", "Sink"))
LINES = 200_000
KILLS = 5


def test_a_file_arrives_whole_though_the_jvm_is_killed(tmp_path):
    """From the source each line once, in order. The sink keeps no state that the worker has, so what it had written and not
    yet committed comes again: none is missing, and the repeats are counted."""
    whole = [b"line %d %s" % (number, b"x" * (number % 90)) for number in range(LINES)]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    out = tmp_path / "out"
    with workers.java_worker(tmp_path / "w", JAR) as worker:
        worker.create("sink", {"connector.class": SINK, "topics": "t", "file": str(out), **workers.STRING})
        written = 0
        write(tmp_path / "in", b"")
        worker.create("source", {"connector.class": SOURCE, "topic": "t", "file": str(tmp_path / "in"), "batch.size": "500", **workers.STRING})
        for kill in range(KILLS + 1):  # the file grows, so that there is something under way at each kill
            more = whole[written:written + LINES // (KILLS + 1) + 1]
            size = len(read(out))
            with open(tmp_path / "in", "ab") as file:
                file.write(b"".join(line + b"\n" for line in more))
            written += len(more)
            if kill < KILLS:
                step = chance.randrange(1, 1_000_000)
                wait_for(lambda: len(read(out)) > size + step, lambda: f"more in the file; the log:\n{worker.log()[-3000:]}", 60)
                assert workers.kill_hosts(worker) >= 1
        wait_for(lambda: read(out).endswith(whole[-1] + b"\n"), lambda: f"the last line; the log:\n{worker.log()[-3000:]}", 60)
        workers.wait_ends(worker, KILLS)
        bodies = worker.bodies("t")
        assert len(bodies) == LINES and bodies == whole
        assert "not known to" not in worker.log()
    found = collections.Counter(read(out).splitlines())
    missing = [line for line in whole if line not in found]
    # a kill may have cut what the sink was writing: the rest of that line is not there, and the whole line comes after it
    given = set(whole)
    cut = [line for line in found if line not in given]
    again = sum(found.values()) - len(whole) - sum(found[line] for line in cut)
    print(f"lines={LINES} kills={KILLS} repeated_by_the_sink={again} cut={len(cut)}")
    assert missing == [] and len(cut) <= KILLS


def test_moves_a_file_on_each_jdk(tmp_path, java):
    lines = b"".join(b"line %d\n" % number for number in range(3000))
    write(tmp_path / "in", lines)
    with workers.java_worker(tmp_path / "w", JAR, host_java_home=os.path.dirname(os.path.dirname(java))) as worker:
        worker.create("source", {"connector.class": SOURCE, "topic": "t", "file": str(tmp_path / "in"), **workers.STRING})
        worker.create("sink", {"connector.class": SINK, "topics": "t", "file": str(tmp_path / "out"), **workers.STRING})
        wait_for(lambda: read(tmp_path / "out") == lines, lambda: f"the lines; the log:\n{worker.log()[-3000:]}", 60)
        running = [os.path.realpath(f"/proc/{pid}/exe") for pid in workers.hosts(worker)]
    assert running and set(running) == {java}


def test_what_a_jar_reports_is_in_the_dead_letter_topic_once(tmp_path):
    """Though the JVM is killed: it is committed together with the sink's progress."""
    lines = [b"report %d" % number if number % 5 == 0 else b"line %d" % number for number in range(10000)]
    with workers.java_worker(tmp_path / "w", "kafka-probe.jar") as worker:
        worker.source("source", "t", write(tmp_path / "in", b"".join(line + b"\n" for line in lines)))
        workers.create(worker, "sink", {"connector.class": "probe.kafka.ProbeSink", "topics": "t", "errors.tolerance": "all", **workers.STRING,
                                        "errors.deadletterqueue.topic.name": "dead", "errors.deadletterqueue.context.headers.enable": "true"})
        expected = [line for line in lines if line.startswith(b"report")]
        for kill in range(1, 4):
            wait_for(lambda: len(worker.bodies("dead")) >= kill * 400, lambda: f"letters; the log:\n{worker.log()[-3000:]}", 60)
            workers.kill_hosts(worker)
        wait_for(lambda: len(worker.bodies("dead")) >= len(expected), lambda: f"all letters; the log:\n{worker.log()[-3000:]}", 60)
        assert worker.bodies("dead") == expected
        for number, (_, headers) in enumerate(worker.messages("dead")):
            assert (headers["__connect.errors.topic"], headers["__connect.errors.offset"]) == ("t", str(number * 5))
