# SPDX-License-Identifier: Apache-2.0
"""How a worker ends when there is nobody left to tell."""

from cluster import Cluster
from harness import append, lines, wait_file, write
from workers import ClusterWorker


def test_sigterm_without_any_server(tmp_path):
    source, sink = tmp_path / "in", tmp_path / "out"
    with Cluster(str(tmp_path / "rocketmq")) as servers:
        worker = ClusterWorker(tmp_path / "w", servers.namesrv, "G").start()
        try:
            worker.wait_joined()
            write(source, lines(1000))
            worker.pair(source, sink, topic="g")
            wait_file(sink, lines(1000))
            servers.broker.kill()
            servers.server.kill()
            append(source, lines(1000, first=1000))
            worker.wait_log("cannot reach the cluster log")
            assert worker.stop() == 0, "ended by its own time-out"
            servers.server.start()
            servers.broker.start()
            worker.start()
            wait_file(sink, lines(2000), 60)
            assert worker.stop() == 0
        finally:
            worker.kill()
            print(worker.log())
