# SPDX-License-Identifier: Apache-2.0
"""Plugin files: the example of examples/plugin-c, built as anybody would build it, with nothing but the installed headers;
loaded, replaced and removed while it runs, and files that are none."""

import concurrent.futures
import glob
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import SOURCE, Broker, binary, lines, read, run_gantry, wait_file, wait_for, wait_same_lines, write

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
WITHOUT_SANITIZER = {name: value for name, value in os.environ.items() if not name.endswith("_OPTIONS")}


def run(*words, **kwargs):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=300, **kwargs)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    """What `make install` puts under its prefix; the environment in which pkg-config finds it."""
    root = str(tmp_path_factory.mktemp("install"))
    run("meson", "install", "-C", os.path.dirname(binary()), "--no-rebuild", "--destdir", root)
    found = glob.glob(f"{root}/**/gantry.pc", recursive=True)
    assert len(found) == 1, found
    return {**WITHOUT_SANITIZER, "PKG_CONFIG_PATH": os.path.dirname(found[0]), "PKG_CONFIG_SYSROOT_DIR": root}


@pytest.fixture(scope="module")
def example(headers, tmp_path_factory):
    """example(version) is example.so of that version, built once, outside the tree."""
    built = {}

    def build(version):
        if version not in built:
            folder = tmp_path_factory.mktemp("example")
            source = shutil.copytree(os.path.join(TOP, "examples", "plugin-c"), folder / "src")
            run("make", "-C", source, f"BUILD={folder}", f'CPPFLAGS=-DEXAMPLE_VERSION="\\"{version}\\""', env=headers)
            built[version] = str(folder / "example.so")
        return built[version]

    return build


@pytest.fixture
def plugins(tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


@pytest.fixture
def plugin_worker(new_worker, plugins, example):
    """A worker with version 1.0 of the example. Where it runs is said, so that the tests are about the same thing
    whatever the worker's default is."""
    shutil.copy(example("1.0"), plugins / "example.so")
    return new_worker(pluginPaths=plugins, plugin_isolation="none").start()


def overwrite(source, target):
    """As cp does: other bytes in the same file, which is cut off before."""
    write(target, read(source))


def replace(source, target):
    """As mv does: another file under that name."""
    shutil.copy(source, f"{target}.new")
    os.rename(f"{target}.new", target)


def counter(topic="numbers", **config):
    return {"connector-class": "example.Counter", "topic": Broker.topics(topic), "count.interval.ms": "0",
            "source-record-converter": "string", **{key.replace("_", "."): str(value) for key, value in config.items()}}


def append_to(path, topic="numbers"):
    return {"connector-class": "example.Append", "topicNames": Broker.topics(topic), "append.file": str(path),
            "source-record-converter": "string"}


def reload_plugins(worker):
    assert worker.get("/plugin/reload").text == "success"


def numbers(path):
    """The whole lines of a file as (text before the number, number)."""
    found = re.findall(rb"^(\D*[\d.]* )?(\d+)\n", read(path), re.MULTILINE)
    return [(prefix.strip().decode(), int(number)) for prefix, number in found]


def check_numbers(path, last):
    """Each number once, from 1 on. A topic with several queues keeps no order between them."""
    found = sorted(number for _, number in numbers(path))
    assert found == list(range(1, last + 1)), f"{len(found)} numbers of {last}, {len(set(found))} different"


def wait_numbers(path, count):
    wait_for(lambda: len(numbers(path)) >= count, lambda: f"{count} numbers in {path}, {len(numbers(path))} are there",
             60)


def wait_more(path):
    """Wait until some more has come."""
    size = len(read(path))
    wait_for(lambda: len(read(path)) > size, lambda: f"more than {size} bytes in {path}")


# --- without a worker


def test_what_is_said_about_a_file(example, plugins, tmp_path):
    shutil.copy(example("1.0"), plugins / "example.so")
    write(plugins / "broken.so", b"no library")
    listed = run_gantry("plugin", "list", "--plugin-paths", plugins).stdout.decode()
    assert re.search(rf"^example +1\.0 +so +loaded +2 +{plugins}/example\.so$", listed, re.MULTILINE), listed
    assert re.search(rf"^- +- +so +refused +0 +{plugins}/broken\.so$", listed, re.MULTILINE), listed
    assert f"{plugins}/broken.so: it is no library" in listed
    assert re.search(r"^file +\S+ +builtin +loaded +2 +-$", listed, re.MULTILINE), listed
    for name in ("example", plugins / "example.so"):
        described = run_gantry("plugin", "describe", name, "--plugin-paths", plugins).stdout.decode()
        assert f"plugin example, version 1.0, {plugins}/example.so" in described
        assert "example.Counter (source, version 1.0)" in described
        assert "append.file  (text, required)" in described
    wrong = run_gantry("plugin", "describe", "exampel", "--plugin-paths", plugins)
    assert wrong.returncode == 1
    assert b"did you mean example?" in wrong.stderr
    classes = run_gantry("connector", "classes", "--plugin-paths", plugins).stdout.decode()
    assert "example.Append" in classes and "FileSinkConnector" in classes
    config = write(tmp_path / "worker.conf", f"pluginPaths={plugins}\nstorePathRootDir={tmp_path}/none\n".encode())
    assert run_gantry("plugin", "list", "-c", config).stdout.decode() == listed
    assert b"count.interval.ms" in run_gantry("connector", "describe", "example.Counter", "-c", config).stdout


# --- in a worker


def test_loaded_and_run(plugin_worker, plugins, tmp_path):
    worker, out = plugin_worker, tmp_path / "out"
    assert f"Loading plugin from: {plugins}/example.so" in worker.log()
    worker.create("count", counter(count_to=500))
    worker.create("lines", append_to(out))
    wait_numbers(out, 500)
    check_numbers(out, 500)
    assert "count.to" in worker.refuse("wrong", counter(count_from=5, count_to=4))
    assert "append.file" in worker.refuse("wrong", {**append_to(out), "append.file": ""})
    listed = run_gantry("plugin", "list", "--store", worker.store).stdout.decode()
    assert re.search(r"^example +1\.0 +so +loaded +2 ", listed, re.MULTILINE), listed
    worker.restart()  # what is stored begins by itself, and goes on where it stood
    worker.wait_running("count")
    worker.stop_connector("count")
    worker.create("count", counter(count_to=600))
    wait_numbers(out, 600)
    check_numbers(out, 600)
    worker.end()
    listed = run_gantry("plugin", "list", "--store", worker.store).stdout.decode()
    assert "example" not in listed, "what a worker that has ended had"


@pytest.mark.parametrize("change", [overwrite, replace], ids=["overwritten", "renamed"])
def test_replaced_under_load(plugin_worker, plugins, example, tmp_path, change):
    """What runs keeps its version and loses nothing; what starts again has the new one. Some of it by SIGHUP."""
    worker, out, files = plugin_worker, tmp_path / "out", tmp_path / "copied"
    in_file = write(tmp_path / "in", lines(20000, width=60))
    worker.create("lines", append_to(out))
    worker.create("count", counter(count_prefix="{version} ", count_interval_ms=1))
    worker.pair(in_file, files)
    wait_more(out)
    for round_, version in enumerate(("2.0", "3.0", "2.0", "3.0")):
        if change is overwrite:  # whoever had this file mapped would be dead by now
            write(plugins / "example.so", b"\0" * 4096)
            wait_more(out)
        change(example(version), plugins / "example.so")
        looks = worker.log().count("plugin files found=")
        if round_ % 2 == 0:
            reload_plugins(worker)
        else:
            worker.send_signal(signal.SIGHUP)
            wait_for(lambda looks=looks: worker.log().count("plugin files found=") > looks, "a look at the plugins")
        wait_more(out)
        assert worker.status("count") == "runing"
    assert {version for version, _ in numbers(out)} == {"1.0"}
    worker.stop_connector("count")
    worker.create("count", counter(count_prefix="{version} ", count_interval_ms=1))
    wait_for(lambda: any(version == "3.0" for version, _ in numbers(out)), "numbers of the new version")
    worker.stop_connector("count")
    worker.stop_connector("lines")
    worker.create("lines", append_to(out))  # nobody is left with the first version
    worker.wait_log("closing a plugin that nothing uses any more")
    last = max(number for _, number in numbers(out))
    worker.create("count", counter(count_to=last + 50))
    wait_for(lambda: max(number for _, number in numbers(out)) >= last + 50, "the last number")
    wait_numbers(out, last + 50)
    check_numbers(out, last + 50)
    assert len({version for version, _ in numbers(out)} - {""}) == 2
    wait_same_lines(files, lines(20000, width=60), 60)


def test_many_reloads_at_once(plugin_worker, plugins, example, tmp_path):
    """While files come and go, records move; nothing is lost, and nothing piles up."""
    worker, out = plugin_worker, tmp_path / "out"
    worker.create("lines", append_to(out))
    worker.create("count", counter(count_to=3000, count_interval_ms=1))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for number in range(12):
            asked = [pool.submit(reload_plugins, worker) for _ in range(6)]
            replace(example(("1.0", "2.0", "3.0")[number % 3]), plugins / f"more-{number % 2}.so")
            for one in asked:
                one.result()
    reload_plugins(worker)
    wait_numbers(out, 3000)
    check_numbers(out, 3000)
    copies = [name for name in os.listdir(copies_of(worker)) if name != "list.json"]
    assert 1 <= len(copies) <= 3, copies
    for name in os.listdir(plugins):
        os.unlink(plugins / name)
    reload_plugins(worker)
    for name in ("lines", "count"):
        worker.stop_connector(name)
    wait_for(lambda: os.listdir(copies_of(worker)) == ["list.json"], "no copy is left")


def copies_of(worker):
    return os.path.join(worker.store, "cluster" if Broker.namesrv else "", "plugins")


def test_removed_and_brought_back(plugin_worker, plugins, example, tmp_path):
    worker, out = plugin_worker, tmp_path / "out"
    worker.create("lines", append_to(out))
    worker.create("count", counter(count_interval_ms=1))
    os.unlink(plugins / "example.so")
    reload_plugins(worker)
    worker.wait_log(f"a plugin is gone path={plugins}/example.so")
    wait_more(out)  # what runs goes on
    assert worker.status("count") == "runing"
    assert "no connector of class 'example.Counter'" in worker.refuse("other", counter())
    worker.stop_connector("count")
    assert "no connector of class" in worker.refuse("count", counter())
    shutil.copy(example("2.0"), plugins / "example.so")
    reload_plugins(worker)
    worker.create("count", counter(count_prefix="{version} ", count_interval_ms=1))
    wait_for(lambda: any(version == "2.0" for version, _ in numbers(out)), "numbers of the new version")


def test_a_connector_waits_for_its_class(plugin_worker, plugins, example, tmp_path):
    """At a start without the file its connectors are FAILED, with the reason, and begin when a reload brings it."""
    worker, out = plugin_worker, tmp_path / "out"
    worker.create("lines", append_to(out))
    worker.create("count", {**counter(count_to=300), "my.password": "hidden", "plain": "shown"})
    wait_numbers(out, 300)
    worker.end()
    os.unlink(plugins / "example.so")
    worker.set(task_restart_backoff_ms=60000, task_restart_backoff_max_ms=60000)
    worker.start()
    assert "example.Counter" in worker.wait_cannot_run("count", "no connector of class")
    worker.wait_cannot_run("lines", "no connector of class")
    assert worker.status("count") == "not runing"
    text = worker.get("/getConfigInfo").text  # no table says which keys are secret
    assert '"my.password":"***"' in text and '"plain":"shown"' in text
    shutil.copy(example("2.0"), plugins / "example.so")
    reload_plugins(worker)
    worker.wait_running("count")
    worker.wait_running("lines")
    worker.stop_connector("count")
    worker.create("count", counter(count_to=400))
    wait_numbers(out, 400)
    check_numbers(out, 400)


def test_a_failed_task_starts_with_the_new_version(plugin_worker, plugins, example, tmp_path):
    worker, out = plugin_worker, tmp_path / "out"
    worker.create("count", counter(count_to=10))
    os.mkdir(out)
    worker.create("lines", append_to(out))
    worker.wait_failed("lines", "Is a directory")
    worker.stop_connector("count")
    replace(example("2.0"), plugins / "example.so")
    reload_plugins(worker)
    worker.wait_log("closing a plugin that nothing uses any more")
    worker.wait_failed("lines", "Is a directory")
    os.rmdir(out)
    wait_numbers(out, 10)
    check_numbers(out, 10)


def test_broken_files_harm_nothing(plugin_worker, plugins, example, tmp_path):
    worker, out = plugin_worker, tmp_path / "out"
    whole = read(example("2.0"))
    worker.create("lines", append_to(out))
    worker.create("count", counter(count_interval_ms=1))
    library = run("cc", "-print-file-name=libm.so.6").strip()
    broken = {"empty.so": b"", "text.so": b"#!/bin/sh\n" * 100, "cut.so": whole[:len(whole) // 2],
              "head.so": whole[:64], "other.so": read(library), "empty.jar": b""}
    for name, data in broken.items():
        write(plugins / name, data)
    os.mkdir(plugins / "folder.so")
    for _ in range(2):
        reload_plugins(worker)
        wait_more(out)
    for name, why in {"empty.so": "too short", "text.so": "no ELF file", "cut.so": "cut off", "head.so": "cut off",
                      "other.so": "no function gantry_plugin"}.items():
        assert re.search(rf"refused a plugin path={plugins}/{name}: .*{why}", worker.log()), name
    listed = run_gantry("plugin", "list", "--store", worker.store).stdout.decode()
    assert len(re.findall(r" refused ", listed)) >= 5, listed
    assert f"{plugins}/cut.so: it is cut off" in listed
    overwrite(plugins / "text.so", plugins / "example.so")  # what works stays, though its file is broken now
    reload_plugins(worker)
    worker.wait_log(f"refused a plugin path={plugins}/example.so: .*; what was loaded before stays")
    worker.create("other", counter("else", count_to=1))
    wait_more(out)
    worker.restart()  # a broken file is no reason not to start
    worker.wait_cannot_run("count", "no connector of class")
    overwrite(example("2.0"), plugins / "example.so")
    reload_plugins(worker)
    worker.wait_running("count")
    wait_more(out)


@pytest.fixture(scope="module")
def hostile(headers, tmp_path_factory):
    """hostile(code) is a library that has the code of that text run when it is opened."""
    folder = tmp_path_factory.mktemp("hostile")

    def build(name, code):
        path = str(folder / name)
        write(f"{path}.c", b"#include <stdlib.h>\n#include <unistd.h>\n#include <signal.h>\n"
                           b"__attribute__((constructor)) static void begin(void) { %s }\n" % code.encode())
        run("cc", "-shared", "-fPIC", f"{path}.c", "-o", path, env=WITHOUT_SANITIZER)
        return path

    return build


def test_what_crashes_when_it_is_opened(plugin_worker, plugins, example, hostile, tmp_path):
    """Another process finds it out (its host, or one that opens it first); the worker goes on."""
    worker, out = plugin_worker, tmp_path / "out"
    worker.crashing = ("segv.so", "abort.so", "damaged-1.so", "damaged-2.so", "damaged-3.so")
    worker.create("lines", append_to(out))
    worker.create("count", counter(count_interval_ms=1))
    for name, code in {"segv.so": "raise(SIGSEGV);", "abort.so": "abort();", "exit.so": "_exit(0);"}.items():
        shutil.copy(hostile(name, code), plugins / name)
    # All is in its place, but nothing in it is right.
    whole = read(example("2.0"))
    for seed in range(1, 4):
        damaged = bytearray(whole)
        for at in range(0x300 + 97 * seed, len(damaged) - 0x900, 611 * seed):
            damaged[at:at + 8] = bytes((at * seed + i * 37) % 256 for i in range(8))
        write(plugins / f"damaged-{seed}.so", bytes(damaged))
    reload_plugins(worker)
    # A sanitized program has ways of its own to end by a signal.
    for name, why in {"segv.so": r"(crashes when it is opened \(signal|ends the process|was ended by signal|exited)",
                      "abort.so": r"(crashes when it is opened \(signal|ends the process|was ended by signal)",
                      "exit.so": r"(ends the process that opens it \(exit status 0|exited with code 0)", "damaged-1.so": "",
                      "damaged-2.so": "", "damaged-3.so": ""}.items():
        assert re.search(rf"refused a plugin path={plugins}/{name}: (it|host {name}) {why}", worker.log()), name
    listed = run_gantry("plugin", "list", "--plugin-paths", plugins)  # it opens none of them itself
    assert listed.returncode == 0 and re.search(r"^example +1\.0 +so +loaded", listed.stdout.decode(), re.MULTILINE), listed
    assert re.search(rf"^{plugins}/segv\.so: host segv\.so ", listed.stdout.decode(), re.MULTILINE), listed
    checked = run_gantry("plugin", "check", plugins / "segv.so")
    assert checked.returncode != 0
    assert run_gantry("plugin", "check", plugins / "example.so").stdout == b"ok: example 1.0\n"
    wait_more(out)


def test_where_a_connector_runs(plugin_worker, tmp_path):
    worker, out = plugin_worker, tmp_path / "out"
    worker.create("lines", {**append_to(out), "isolation": "none", "apend.file": "x"})
    assert worker.log().count("apend.file: not known to example.Append; did you mean 'append.file'?") == 1
    worker.create("count", {**counter(count_to=100), "isolation": "none"})
    wait_numbers(out, 100)
    why = worker.refuse("wrong", {**counter(), "isolation": "somewhere"})
    assert "isolation: 'somewhere'" in why and "none" in why and "process" in why
    assert "plugin.prefer: 'jar'" in worker.refuse("wrong", {**counter(), "plugin.prefer": "jar"})
    worker.restart()  # the first one to ask for that form is what is stored
    worker.wait_running("count")
    worker.stop_connector("count")
    worker.create("count", {**counter(count_to=150), "isolation": "none"})
    wait_numbers(out, 150)
    check_numbers(out, 150)


@pytest.fixture(scope="module")
def connectors_as_so(tmp_path_factory):
    """The built-in connectors as plugin files."""
    folder = str(tmp_path_factory.mktemp("as-so"))
    run("meson", "setup", folder, TOP, "-Dconnectors_as=so", env=WITHOUT_SANITIZER)
    run("ninja", "-C", folder, "file.so", env=WITHOUT_SANITIZER)
    return folder


def test_whose_class_it_is(new_worker, plugins, connectors_as_so, tmp_path):
    """A file with a built-in connector's class: the built-in one is used, unless a setting or the connector says
    otherwise."""
    shutil.copy(os.path.join(connectors_as_so, "file.so"), plugins / "file.so")
    text = lines(5000, width=50)
    worker = new_worker(pluginPaths=plugins, plugin_isolation="none").start()
    class_name = re.escape(SOURCE)
    worker.wait_log(rf"two plugins offer one class class={class_name} used=file not={plugins}/file.so")
    worker.pair(write(tmp_path / "in", text), tmp_path / "out", {"plugin.prefer": "file"})
    wait_file(tmp_path / "out", text)
    os.unlink(plugins / "file.so")
    reload_plugins(worker)
    worker.stop_connector("source")  # the last one of the file's
    worker.wait_log(f"closing a plugin that nothing uses any more path={plugins}/file.so")
    worker.end()

    shutil.copy(os.path.join(connectors_as_so, "file.so"), plugins / "file.so")
    other = new_worker(pluginPaths=plugins, plugin_isolation="none", plugin_prefer="file").start()
    other.wait_log(rf"two plugins offer one class class={class_name} used={plugins}/file.so not=file")
    other.pair(write(tmp_path / "in2", text), tmp_path / "out2", topic="t2")
    wait_file(tmp_path / "out2", text)
