# SPDX-License-Identifier: Apache-2.0
"""A real Kafka server for tests and benches: one process, its own controller, on free ports of the loopback. Its jars are fetched
by tests/java/plugins."""
import os
import shutil
import signal
import socket
import subprocess
import time

import databases
import driver


class Kafka:
    """One server, its own controller, in `folder`; what its command-line classes can do."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.port, self.controller = databases.free_port(), databases.free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = os.path.join(self.folder, "log")
        self.process = None
        with open(os.path.join(self.folder, "server.properties"), "w", encoding="ascii") as file:
            file.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller}
listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self.controller}
advertised.listeners=PLAINTEXT://{self.address}
controller.listener.names=CONTROLLER
log.dirs={self.folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
group.initial.rebalance.delay.ms=0
""")

    def command(self, *words):
        return [shutil.which("java"), *driver.QUICK, "-Xmx384m", "-cp", os.path.join(driver.OUT, "kafka-server", "*"), *words]

    def run(self, *words, text=None):
        done = subprocess.run(self.command(*words), input=text, capture_output=True, text=True, check=False, timeout=120, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __enter__(self):
        settings = os.path.join(self.folder, "server.properties")
        self.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", settings)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command("kafka.Kafka", settings), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        until = time.monotonic() + 90
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < until, open(self.log, encoding="utf-8").read()[-3000:]
            time.sleep(0.2)
        return self

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def __exit__(self, kind, value, trace):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def produce(self, topic, lines):
        self.run("kafka.tools.ConsoleProducer", "--bootstrap-server", self.address, "--topic", topic, "--property", "parse.key=true",
                 "--property", "key.separator=:", text="".join(line + "\n" for line in lines))

    def consume(self, topic, group, count):
        """By a consumer of that group, which commits its offset."""
        self.run("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.address, "--topic", topic, "--group", group,
                 "--from-beginning", "--max-messages", str(count))
