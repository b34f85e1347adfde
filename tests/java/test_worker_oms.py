# SPDX-License-Identifier: Apache-2.0
"""A jar on OpenMessaging 0.1.4 through the worker: source, topic and sink, the JVM killed again and again."""
import collections

import workers
from harness import read, wait_for

JAR = "oms-probe.jar"
SOURCE, SINK = "probe.oms.ProbeSource", "probe.oms.ProbeSink"
FIRST, LAST, KILLS = 20_000, 30_000, 3


def test_records_go_from_jar_to_jar_though_the_jvm_is_killed(tmp_path):
    """Two tasks, asked for by that API's own key; each record once in the topic. The sink keeps no state
    that the worker has: none is missing in its file."""
    out = tmp_path / "out"
    with workers.java_worker(tmp_path / "w", JAR) as worker:
        def source(count):
            workers.create(worker, "source", {"connector.class": SOURCE, "connect.topicname": "t", "count": str(count), "batch": "20", "max.tasks": "2"})

        workers.create(worker, "sink", {"connector.class": SINK, "connect.topicnames": "t", "file": str(out)})
        source(FIRST)
        for _ in range(KILLS):
            size = len(read(out))
            wait_for(lambda: len(read(out)) > size + 30_000, lambda: f"more in the file; the log:\n{worker.log()[-3000:]}", 60)
            assert workers.kill_hosts(worker) >= 1
        wait_for(lambda: len(worker.bodies("t")) >= 2 * FIRST, lambda: f"all records; the log:\n{worker.log()[-3000:]}", 60)
        workers.wait_ends(worker, KILLS)
        worker.restart()
        source(LAST)
        expected = {f"k{number}=v{number}".encode() for number in range(1, LAST + 1)}
        wait_for(lambda: len(worker.bodies("t")) >= 2 * LAST, lambda: f"all records; the log:\n{worker.log()[-3000:]}", 60)
        wait_for(lambda: read(out).count(b"k%d=v%d\n" % (LAST, LAST)) >= 2, lambda: f"the last ones; the log:\n{worker.log()[-3000:]}", 60)
        bodies = collections.Counter(worker.bodies("t"))
        assert bodies == {b"v%d" % number: 2 for number in range(1, LAST + 1)}
        assert len(worker.configs()[1]["source"]) == 2
        found = collections.Counter(read(out).splitlines())
        assert all(found[line] >= 2 for line in expected)
        assert "not known to" not in worker.log()
