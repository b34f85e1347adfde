# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the Java host's tests: the jars, built when their sources are new, and hosts on every JDK that is at hand."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import driver  # noqa: E402

PLUGINS = os.path.join(driver.OUT, "plugins")
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "plugins")


def digest(folder):
    found = hashlib.sha256()
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            found.update(os.path.join(path, name).encode())
            with open(os.path.join(path, name), "rb") as file:
                found.update(file.read())
    return found.hexdigest()


def maven(pom, *more):
    command = ["mvn", "-B", "-q", "-Dstyle.color=never", "-f", pom, "package", *more]
    for again in ([], ["-U"]):  # a registry may fail once, and mvn remembers it unless it is told -U
        done = subprocess.run(command + again, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(f"mvn: {done.stdout[-4000:]}")


@pytest.fixture(scope="session", autouse=True)
def jars():
    """The host and the test plugins are built."""
    assert shutil.which("mvn"), "mvn is not there; run scripts/install-deps java"
    os.makedirs(driver.OUT, exist_ok=True)
    with open(os.path.join(driver.OUT, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        hosts = os.path.join(driver.TOP, "hosts", "java")
        for folder, out in ((hosts, driver.OUT), (SOURCES, PLUGINS)):
            wanted, stamp = digest(folder), os.path.join(out, ".sources")
            if os.path.exists(stamp) and open(stamp, encoding="ascii").read() == wanted:
                continue
            maven(os.path.join(folder, "pom.xml"))
            with open(stamp, "w", encoding="ascii") as file:
                file.write(wanted)


@pytest.fixture(params=list(driver.jdks()))
def java(request):
    """Each JDK in turn."""
    return driver.jdks()[request.param]


@pytest.fixture
def host(tmp_path):
    """A host on the default JDK."""
    with driver.Host(tmp_path) as one:
        yield one


@pytest.fixture
def plugin_path():
    return lambda name: os.path.join(PLUGINS, name)
