# SPDX-License-Identifier: Apache-2.0
"""Workers that run jars: the real binary with a plugin folder, and what its Java hosts are."""
import json
import os
import shutil
import signal
import subprocess
import sys
from urllib.parse import unquote

import driver

sys.path.insert(0, os.path.join(driver.TOP, "tests", "e2e"))

import harness  # noqa: E402

PLUGINS = os.path.join(driver.OUT, "plugins")
STRING = {f"{side}.converter": "org.apache.kafka.connect.storage.StringConverter" for side in ("key", "value")}
JSON = {f"{side}.converter.schemas.enable": "false" for side in ("key", "value")}


def java_worker(folder, *names, heap="256m", **settings):
    """One that is not started yet; the test jars of these names are in its folder of plugins, `plugins`."""
    worker = harness.Worker(folder, pluginPaths=os.path.join(str(folder), "plugins"), host_java_options=" ".join((*driver.QUICK, f"-Xmx{heap}")),
                            sink_commit_ms=20, **settings)
    worker.plugins = os.path.join(worker.folder, "plugins")
    os.makedirs(worker.plugins, exist_ok=True)
    for name in names:
        put(worker, name)
    return worker


def put(worker, name):
    """A jar, or a folder of them, into the plugin folder; its path there."""
    source, target = os.path.join(PLUGINS, name), os.path.join(worker.plugins, name)
    return shutil.copytree(source, target) if os.path.isdir(source) else shutil.copy(source, target)


def reload(worker):
    assert worker.get("/plugin/reload").text == "success"


def create(worker, name, config):
    """A configuration is refused when the host that checks it is killed: then again."""
    def try_it():
        reply = worker.create_raw(name, json.dumps(config))
        why = unquote(reply.field("X-Gantry-Error") or "")
        assert reply.text == "success" or "signal 9" in why, f"{reply.text}: {why}"
        return reply.text == "success"
    harness.wait_for(try_it, f"{name} is created")


def hosts(worker):
    """The processes of its Java hosts."""
    done = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(worker.process.pid)], stdout=subprocess.PIPE, text=True, check=False)
    return [int(line.split()[0]) for line in done.stdout.splitlines() if "gantry-java-host.jar" in line]


def kill_hosts(worker):
    """SIGKILL; how many."""
    pids = harness.wait_for(lambda: hosts(worker), lambda: f"a host; the log:\n{worker.log()}", 60)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)


def wait_ends(worker, count):
    """So many ends by SIGKILL are told: what was sent before may all be there before the worker has seen one."""
    harness.wait_for(lambda: worker.log().count("ended by signal 9") >= count, lambda: f"{count} ends; the log:\n{worker.log()[-3000:]}")
