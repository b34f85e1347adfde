# SPDX-License-Identifier: Apache-2.0
"""The real RocketMQ for tests: name servers and brokers of the released jars, each with a folder and ports of its own on
loopback, that end with the test whatever becomes of it.

    with Cluster(folder) as cluster:                # one name server, one broker
        cluster.namesrv                             # "127.0.0.1:12345", several joined by ";"
        cluster.create_topic("t", queues=4)
        cluster.broker.kill(); cluster.broker.start()

Linux kills a server when the *thread* that started it ends: start servers from the main thread."""

import atexit
import base64
import ctypes
import functools
import hashlib
import hmac
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import zlib

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
VERSION = "5.3.3"
OLD_VERSION = "4.9.7"
WAIT_S = 60
DISK_LIMIT = 0.90  # above it a broker takes no message, and no setting of it goes higher

# What every broker of the tests gets unless it is told otherwise. Small files, because each is created in full length.
BROKER_SETTINGS = {
    "brokerClusterName": "DefaultCluster",
    "mappedFileSizeCommitLog": 64 << 20,
    "mappedFileSizeConsumeQueue": 20 * 20000,
    "maxHashSlotNum": 20000,
    "maxIndexNum": 80000,
    "warmMapedFileEnable": "false",
    "enablePopLog": "false",
    "reviveQueueNum": 1,
    "autoCreateTopicEnable": "true",
    "autoCreateSubscriptionGroup": "true",
    "flushDiskType": "ASYNC_FLUSH",
    "brokerFastFailureEnable": "true",
    # 200 ms in the queue is overload on a server, and a busy moment on a machine that runs tests.
    "waitTimeMillsInSendQueue": 3000,
    "waitTimeMillsInPullQueue": 10000,
    # So often it registers itself at name servers that were restarted; the least that is possible.
    "registerNameServerPeriod": 10000,
    "diskMaxUsedSpaceRatio": 95,
    "deleteWhen": "04",
    "fileReservedTime": 240,
}

QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

LOGBACK = """<configuration>
  <appender name="file" class="{prefix}ch.qos.logback.core.FileAppender">
    <file>{path}</file>
    <encoder><pattern>%d{{HH:mm:ss.SSS}} %-5p %c{{0}} [%t] %m%n</pattern></encoder>
  </appender>
  <logger name="RocketmqTraffic" level="OFF"/>
  <logger name="RocketmqWaterMark" level="OFF"/>
  <logger name="RocketmqNamesrvWaterMark" level="OFF"/>
  <logger name="RocketmqStatistics" level="OFF"/>
  <logger name="RocketmqPop" level="ERROR"/>
  <root level="{level}"><appender-ref ref="file"/></root>
</configuration>
"""


class ServerError(AssertionError):
    """A server that does not do what the test needs of it; the text has its log."""


def java():
    home = os.environ.get("JAVA_HOME")
    found = os.path.join(home, "bin", "java") if home else None
    if not (found and os.access(found, os.X_OK)):
        found = shutil.which("java")
    if not found:
        raise ServerError("java is not there; run scripts/install-deps broker")
    return found


@functools.lru_cache(None)
def jars(version=VERSION):
    """The folder of a version's jars; fetched when it is not there."""
    done = subprocess.run([sys.executable, os.path.join(TOP, "scripts", "rocketmq"), "fetch", version],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"scripts/rocketmq fetch {version}: {(done.stderr or done.stdout).strip()}")
    return os.path.join(TOP, "build-rocketmq", version)


def built(name, *folders):
    """A program that the tests drive, from the build folder of the tests (GANTRY_BUILD names another)."""
    build = os.environ.get("GANTRY_BUILD") or os.path.join(TOP, "build-faults")
    path = os.path.join(build, *folders, name)
    if not os.access(path, os.X_OK):
        raise ServerError(f"{path} is not built: meson setup build-faults -Dtests=true; ninja -C build-faults")
    return path


def classpath(version=VERSION):
    folder = jars(version)
    return ":".join(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".jar"))


def is_old(version):
    return int(version.split(".")[0]) < 5


def wait_for(look, what, timeout_s=WAIT_S, pause_s=0.02):
    """Wait until look() gives something true, and return that. `what` is a text, or a function that makes one."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise ServerError(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(pause_s)


# --- ports

_reserved = {}


def _reserve(port):
    """Keep other test runs of this machine away from a port while this process lives. An abstract socket name needs no
    file, and the kernel takes it back."""
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mark.bind(f"\0gantry-test-port-{port}")
    except OSError:
        mark.close()
        return False
    _reserved[port] = mark
    return True


def _release(ports):
    for port in ports:
        mark = _reserved.pop(port, None)
        if mark:
            mark.close()


def release_port(port, before=0, after=0):
    """Give back what free_port() found."""
    _release(range(port - before, port + after + 1))


def _bindable(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))  # the wildcard: free on every address, for a proxy may listen on another one
            return True
        except OSError:
            return False


def free_port(before=0, after=0):
    """A port that is free together with `before` ports below and `after` above it. Below the range from which the kernel
    gives ports to outgoing connections, so that it stays free also while a server is down."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            top = int(file.read().split()[0])
    except (OSError, ValueError):
        top = 32768
    low, high = (10100, top - 10) if top > 12000 else (20000, 60000)
    for _ in range(2000):
        port = random.SystemRandom().randrange(low, high)
        ports = range(port - before, port + after + 1)
        taken = []
        for one in ports:
            if not _reserve(one):
                break
            taken.append(one)
            if not _bindable(one):
                break
        else:
            return port
        _release(taken)
    raise ServerError("no free port found")


# --- processes

_libc = ctypes.CDLL(None, use_errno=True)
_servers = []


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def spawn(words, folder, outlives=False, **streams):
    """A process that cannot outlive the thread that starts it unless it shall, without settings of the user's for Java or
    RocketMQ."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("NAMESRV_ADDR", "ROCKETMQ_HOME", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS",
                                   "JDK_JAVA_OPTIONS", "CLASSPATH")}
    return subprocess.Popen(words, cwd=folder, env=environment, start_new_session=True,
                            preexec_fn=None if outlives else _die_with_parent, **streams)


def _kill_all():
    for server in list(_servers):
        server.kill()


atexit.register(_kill_all)


def show_logs(lines=40):
    """The ends of the logs of all servers that this process has started and not ended; for a failed test."""
    return "\n".join(server.log_text(lines) for server in _servers)


class Server:
    """A JVM with a folder and ports of its own. `options` are further words for the JVM, `settings` lines of the server's
    configuration file. `quick` makes a JVM that starts soon and never runs at full speed: say False for a benchmark."""

    main_class = None
    logback_names = ()
    heap = ("-Xms64m", "-Xmx128m")
    sockets = (0, 0)  # ports that it needs below and above its own
    outlives = False  # the process that starts it; for scripts/rocketmq

    def __init__(self, folder, version=VERSION, host="127.0.0.1", port=None, tls=None, settings=None, options=(),
                 log_level="INFO", quick=True, heap=None):
        self.folder = os.path.abspath(str(folder))
        self.version = version
        self.host = host
        self.tls = tls
        self.options = list(options)
        self.log_level = log_level
        self.quick = quick
        self.heap = heap or self.heap
        self.chosen_port = port is None
        self.port = port or free_port(*self.sockets)
        self.settings = dict(settings or {})
        self.process = None
        self.start_s = None
        self._started_at = None
        self._log_from = 0
        self._frozen = False
        for name in ("home/conf", "tmp", "store"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self.log_path = os.path.join(self.folder, "server.log")
        self.out_path = os.path.join(self.folder, "stdout.log")

    # --- what it is told

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    @property
    def advertised(self):
        """Where clients find it."""
        return self.address

    @property
    def name(self):
        return os.path.basename(self.folder)

    def configuration(self):
        return self.settings

    def arguments(self):
        return []

    def command(self):
        for name in self.logback_names:
            with open(os.path.join(self.folder, "home", "conf", name), "w", encoding="utf-8") as file:
                file.write(LOGBACK.format(prefix="" if is_old(self.version) else "org.apache.rocketmq.logging.",
                                          path=self.log_path, level=self.log_level))
        config = os.path.join(self.folder, "server.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in self.configuration().items())
        words = [java(), "-server", *self.heap, *(QUICK if self.quick else ()), "-XX:-UsePerfData",
                 "-XX:MaxDirectMemorySize=256m", f"-XX:ErrorFile={self.folder}/hs_err.log",
                 "-Djava.net.preferIPv4Stack=true",
                 # 4.9 reaches into the JDK to unmap files.
                 "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
                 "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
                 f"-Duser.home={self.folder}/home", f"-Djava.io.tmpdir={self.folder}/tmp",
                 f"-Drocketmq.home.dir={self.folder}/home",
                 "-Drmq.logback.configurationFile=" + os.path.join(self.folder, "home", "conf", self.logback_names[0]),
                 f"-Dtls.config.file={self.folder}/none"]
        # Without it a server makes a certificate at each start, which takes a second.
        words += self.tls.server_options() if self.tls else ["-Dtls.server.mode=disabled"]
        return [*words, *self.options, "-cp", classpath(self.version), self.main_class, "-c", config,
                *self.arguments()]

    # --- life

    def launch(self):
        """Start the process and wait for nothing."""
        assert not self.alive(), f"{self.name} runs already"
        words = self.command()
        self._started_at = time.monotonic()
        with open(self.out_path, "ab") as out:
            self._log_from = out.tell()
            self.process = spawn(words, self.folder, self.outlives, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT)
        self._frozen = False
        if self not in _servers and not self.outlives:
            _servers.append(self)
        return self

    def start(self):
        """Start, and wait until clients can use it. When another program was quicker to take the chosen port, a server
        that has never run takes another."""
        for _ in range(3):
            self.launch()
            try:
                self.wait_ready()
                return self
            except ServerError:
                if not (self.chosen_port and self.start_s is None and "Address already in use" in self.log_text(400)):
                    self.kill()
                    raise
                self.kill()
                self.port = free_port(*self.sockets)
        raise ServerError(f"{self.name}: no free port in three tries")

    def wait_ready(self, timeout_s=WAIT_S):
        def look():
            if self.process.poll() is not None:
                raise ServerError(f"{self.name} ended with {self.process.returncode}\n{self.log_text()}")
            return self.ready()
        try:
            wait_for(look, "", timeout_s)
        except ServerError as error:
            if "ended with" in str(error):
                raise
            raise ServerError(f"{self.name} is not ready in {timeout_s} s\n{self.log_text()}") from None
        self.start_s = time.monotonic() - self._started_at
        return self

    def booted(self):
        return "boot success" in self.stdout()

    def ready(self):
        return self.booted()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def kill(self):
        """SIGKILL, also of a frozen one; returns when the process is gone."""
        if self.alive():
            self.process.kill()
            self.process.wait(WAIT_S)
        self._frozen = False

    def stop(self, timeout_s=WAIT_S):
        """SIGTERM, as an operator stops it; SIGKILL and an error when that does not do."""
        if not self.alive():
            return
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.name} did not end in {timeout_s} s after SIGTERM\n{self.log_text()}") from None

    def restart(self, kill=False):
        """The same folder, the same port."""
        if kill:
            self.kill()
        else:
            self.stop()
        return self.start()

    def freeze(self):
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.process.pid, signal.SIGSTOP)
        self._frozen = True

    def thaw(self):
        if self._frozen and self.alive():
            os.kill(self.process.pid, signal.SIGCONT)
        self._frozen = False

    def end(self):
        """For the end of a test: gone at once, and its ports are anybody's."""
        self.kill()
        if self in _servers:
            _servers.remove(self)
        if self.chosen_port:
            release_port(self.port, *self.sockets)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.log_text())
        self.end()

    # --- looking at it

    def stdout(self):
        """What the current process has said on its standard output."""
        try:
            with open(self.out_path, "rb") as file:
                file.seek(self._log_from)
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def log_text(self, lines=60):
        try:
            with open(self.log_path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 400 * lines))
                log = file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except FileNotFoundError:
            log = []
        return "\n".join([f"--- {self.name} ({self.main_class}, {self.address}): standard output",
                          *self.stdout().splitlines()[-lines:], f"--- {self.name}: {self.log_path}", *log, "---"])

    def memory_kib(self, peak=False):
        """Resident memory now, or its peak."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"%s:\s+(\d+)" % ("VmHWM" if peak else "VmRSS"), file.read()).group(1))

    def call(self, code, fields=None, body=b"", credentials=None, timeout_s=10):
        """One request to it; (code, remark, fields, body) of the reply."""
        return call((self.host, self.port), code, fields, body, credentials=credentials, timeout_s=timeout_s,
                    tls=self.tls.client_context() if self.tls and self.tls.mode != "disabled" else None)


class NameServer(Server):
    main_class = "org.apache.rocketmq.namesrv.NamesrvStartup"
    logback_names = ("rmq.namesrv.logback.xml", "logback_namesrv.xml")

    def configuration(self):
        return {"listenPort": self.port, "bindAddress": self.host, "serverChannelMaxIdleTimeSeconds": 120,
                **self.settings}

    def ready(self):
        return self.booted() and self.brokers() is not None

    def brokers(self):
        """{broker name: {broker id: address}} of those that are registered; None when it does not answer."""
        try:
            code, _, _, body = self.call(106)
        except OSError:
            return None
        table = loads(body).get("brokerAddrTable") or {} if code == 0 else {}
        return {name: {int(number): address for number, address in data["brokerAddrs"].items()}
                for name, data in table.items()}


class Broker(Server):
    """`namesrv`: addresses as a client writes them. `advertise`: the loopback address that it registers, where a Proxy
    may listen on its port; it listens on `host`. `master`: the Broker of which it is a slave. `acl`: an Acl."""

    main_class = "org.apache.rocketmq.broker.BrokerStartup"
    logback_names = ("rmq.broker.logback.xml", "logback_broker.xml")
    heap = ("-Xms256m", "-Xmx512m")
    sockets = (2, 1)  # the VIP port below, the replication port above

    def __init__(self, folder, namesrv, broker_name="broker-a", advertise=None, master=None, acl=None,
                 sync_flush=False, name_servers=(), **options):
        super().__init__(folder, **options)
        self.namesrv = namesrv
        self.name_servers = list(name_servers)
        self.broker_name = master.broker_name if master else broker_name
        self.broker_id = 1 if master else 0
        self.advertise = advertise or self.host
        self.acl = acl
        self._asked_at = 0
        if is_old(self.version) and self.advertise != self.host:
            raise ValueError(f"RocketMQ {self.version} has no bindAddress: a proxy cannot share its port")
        if sync_flush:
            self.settings.setdefault("flushDiskType", "SYNC_FLUSH")
        if master:
            self.settings = {"brokerId": 1, "brokerRole": "SLAVE", **self.settings}

    @property
    def advertised(self):
        return f"{self.advertise}:{self.port}"

    @property
    def credentials(self):
        return self.acl.admin if self.acl else None

    def configuration(self):
        store = os.path.join(self.folder, "store")
        settings = {
            **BROKER_SETTINGS, "brokerName": self.broker_name, "brokerId": 0, "namesrvAddr": self.namesrv,
            "listenPort": self.port, "fastListenPort": self.port - 2, "haListenPort": self.port + 1,
            "bindAddress": self.host, "brokerIP1": self.advertise, "brokerIP2": self.host,
            "storePathRootDir": store, "storePathCommitLog": os.path.join(store, "commitlog"),
        }
        if self.acl:
            settings.update(self.acl.settings(self))
        return {**settings, **self.settings}

    def command(self):
        space = os.statvfs(self.folder)
        used = 1 - space.f_bavail / max(space.f_blocks - space.f_bfree + space.f_bavail, 1)
        if used > DISK_LIMIT:
            raise ServerError(f"the file system of {self.folder} is {used:.0%} full: a broker refuses messages above "
                              f"{DISK_LIMIT:.0%}; free some space or set TMPDIR to a folder elsewhere")
        return super().command()

    def registered(self):
        """At all name servers that run."""
        number = int(self.configuration()["brokerId"])
        return all((server.brokers() or {}).get(self.broker_name, {}).get(number) == self.advertised
                   for server in self.name_servers if server.alive())

    def register(self):
        """Make a running broker register itself now, rather than at its next turn."""
        permission = self.configuration().get("brokerPermission", 6)
        self.admin(25, body=f"brokerPermission={permission}".encode())

    def ready(self):
        if not self.booted():
            return False
        if self.registered():
            return True
        # A broker of 5.x that starts quickly registers itself before it knows that a name server is there, and then
        # only 10 s later.
        if not is_old(self.version) and time.monotonic() - self._asked_at > 1:
            self._asked_at = time.monotonic()
            try:
                self.register()
            except OSError:
                pass
        return False

    def wait_ready(self, timeout_s=WAIT_S):
        self._asked_at = 0
        super().wait_ready(timeout_s)
        if self.acl:
            self.acl.apply(self)
        return self

    def admin(self, code, fields=None, body=b""):
        """A request that must succeed, as the administrator; (fields, body) of the reply."""
        found, remark, fields, body = self.call(code, fields, body, credentials=self.credentials)
        if found != 0:
            raise ServerError(f"{self.name}: request {code}: reply {found}: {remark}")
        return fields, body

    def create_topic(self, topic, queues=4, perm=6, attributes=""):
        """On this broker; the name servers know it when this returns."""
        fields = {
            "topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": perm,
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": 0, "order": "false"}
        if attributes:
            fields["attributes"] = attributes
        self.admin(17, fields)
        for server in self.name_servers:
            if server.alive():
                wait_for(lambda server=server: self.broker_name in route(server, topic),
                         f"a route of {topic} to {self.broker_name}")

    def queue_offsets(self, topic):
        """{queue id: (smallest, end)} by topic statistics."""
        table = loads(self.admin(202, {"topic": topic})[1])["offsetTable"]
        return {queue["queueId"]: (offsets["minOffset"], offsets["maxOffset"]) for queue, offsets in table}

    def messages(self, topic):
        """All messages of a topic, queue after queue; none when there is no such topic."""
        found = []
        try:
            queues = self.queue_offsets(topic)
        except ServerError:
            return found
        for queue, (offset, end) in sorted(queues.items()):
            while offset < end:
                code, remark, fields, body = self.call(
                    11, {"consumerGroup": "test-reader", "topic": topic, "queueId": queue, "queueOffset": offset,
                         "maxMsgNums": 32, "sysFlag": 4, "commitOffset": 0, "suspendTimeoutMillis": 0,
                         "subscription": "*", "subVersion": 0, "expressionType": "TAG"}, credentials=self.credentials)
                if code not in (0, 20):
                    raise ServerError(f"{self.name}: pull of {topic}: reply {code}: {remark}")
                found += decode_messages(body)
                offset = int(fields["nextBeginOffset"])
        return found

    def committed(self, group, topic, queue):
        """A group's offset, None without one."""
        code, remark, fields, _ = self.call(14, {"consumerGroup": group, "topic": topic, "queueId": queue},
                                            credentials=self.credentials)
        if code == 22:
            return None
        if code != 0:
            raise ServerError(f"{self.name}: offset of {group}: reply {code}: {remark}")
        return int(fields["offset"])


def route(server, topic):
    """Names of the brokers that a name server has for a topic."""
    code, _, _, body = server.call(105, {"topic": topic})
    return [data["brokerName"] for data in loads(body)["queueDatas"]] if code == 0 else []


class Cluster:
    """`servers` name servers and `brokers` brokers (broker-a, broker-b, ...) below one folder. What else is given goes
    to every broker; `tls` goes to the name servers too."""

    def __init__(self, folder, servers=1, brokers=1, version=VERSION, tls=None, **options):
        self.folder = os.path.abspath(str(folder))
        self.version = version
        self.tls = tls
        self.options = options
        self.servers = [NameServer(os.path.join(self.folder, f"namesrv-{number}"), version=version, tls=tls)
                        for number in range(servers)]
        self.brokers = []
        self.broker_count = brokers

    @property
    def namesrv(self):
        return ";".join(server.address for server in self.servers)

    @property
    def server(self):
        return self.servers[0]

    @property
    def broker(self):
        return self.brokers[0]

    def add_broker(self, **options):
        """One more broker, not started."""
        name = options.pop("broker_name", "broker-" + "abcdefghijklmnopqrstuvwxyz"[len(self.brokers)])
        broker = Broker(os.path.join(self.folder, f"{len(self.brokers)}-{name}"), self.namesrv, broker_name=name,
                        name_servers=self.servers, version=self.version, tls=self.tls, **{**self.options, **options})
        self.brokers.append(broker)
        return broker

    def start(self):
        try:
            for server in self.servers:
                server.launch()
            for server in self.servers:
                server.wait_ready()
            while len(self.brokers) < self.broker_count:
                self.add_broker()
            for broker in self.brokers:
                broker.launch()
            for broker in self.brokers:
                broker.wait_ready()
        except BaseException:
            self.end()
            raise
        return self

    def create_topic(self, topic, queues=4, **options):
        """On every master."""
        for broker in self.brokers:
            if broker.broker_id == 0:
                broker.create_topic(topic, queues, **options)

    def end(self):
        for server in self.brokers + self.servers:
            server.end()

    def log_text(self, lines=60):
        return "\n".join(server.log_text(lines) for server in self.servers + self.brokers)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is not None:
            print(self.log_text())
        self.end()


# --- the protocol, as far as a test needs it without a JVM

def loads(body):
    """JSON as RocketMQ writes it: numbers and objects stand as keys too. An object as key makes a list of pairs."""
    text = body.decode("utf-8")
    place = 0

    def value():
        nonlocal place
        skip()
        if text[place] == "{":
            pairs, place = [], place + 1
            skip()
            while text[place] != "}":
                key = value()
                skip()
                place += 1  # the colon
                pairs.append((key, value()))
                skip()
                if text[place] == ",":
                    place += 1
                    skip()
            place += 1
            if any(isinstance(key, dict) for key, _ in pairs):
                return pairs
            return {key if isinstance(key, str) else str(key): item for key, item in pairs}
        if text[place] == "[":
            items, place = [], place + 1
            skip()
            while text[place] != "]":
                items.append(value())
                skip()
                if text[place] == ",":
                    place += 1
                    skip()
            place += 1
            return items
        found, place = decoder.raw_decode(text, place)
        return found

    def skip():
        nonlocal place
        while place < len(text) and text[place] in " \t\r\n":
            place += 1

    decoder = json.JSONDecoder()
    return value() if text.strip() else {}


def signed(fields, body, credentials):
    """The fields with AccessKey and Signature."""
    user, secret = credentials
    fields = {**fields, "AccessKey": user}
    data = "".join(str(fields[name]) for name in sorted(fields)).encode("utf-8") + body
    fields["Signature"] = base64.b64encode(hmac.new(secret.encode(), data, hashlib.sha1).digest()).decode("ascii")
    return fields


def call(address, code, fields=None, body=b"", credentials=None, tls=None, timeout_s=10):
    """One request on a connection of its own; (code, remark, fields, body) of the reply. OSError when there is none."""
    fields = {name: str(value) for name, value in (fields or {}).items()}
    if credentials:
        fields = signed(fields, body, credentials)
    header = json.dumps({"code": code, "flag": 0, "language": "OTHER", "opaque": 1, "version": 485,
                         "serializeTypeCurrentRPC": "JSON", "extFields": fields}).encode("utf-8")
    frame = struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body
    with socket.create_connection(address, timeout_s) as sock:
        sock = tls.wrap_socket(sock, server_hostname=address[0]) if tls else sock
        with sock:
            sock.sendall(frame)
            length, head = struct.unpack(">II", _receive(sock, 8))
            head &= 0xFFFFFF
            rest = _receive(sock, length - 4)
    reply = json.loads(rest[:head])
    return reply["code"], reply.get("remark"), reply.get("extFields") or {}, rest[head:]


class Message:
    def __init__(self, queue, offset, body, properties):
        self.queue = queue
        self.offset = offset
        self.body = body
        self.properties = properties


def decode_messages(data):
    """Stored messages, one behind the other."""
    found, place = [], 0
    while place < len(data):
        size, magic, _, queue, _, offset, _, flags = struct.unpack_from(">iiIiiqqi", data, place)
        at = place + 40 + 8 + (20 if flags & 0x10 else 8) + 8 + (20 if flags & 0x20 else 8) + 12
        length, = struct.unpack_from(">i", data, at)
        body = data[at + 4:at + 4 + length]
        at += 4 + length
        at += 1 + data[at] if magic == -626843481 else 2 + struct.unpack_from(">h", data, at)[0]
        length, = struct.unpack_from(">h", data, at)
        pairs = data[at + 2:at + 2 + length].decode("utf-8").split("\2")
        found.append(Message(queue, offset, zlib.decompress(body) if flags & 1 else body,
                             dict(pair.split("\1", 1) for pair in pairs if pair)))
        place += size
    return found


def _receive(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError(f"closed after {len(data)} of {count} bytes")
        data += piece
    return data


# --- TLS

class Tls:
    """Keys made by openssl: an authority, a server's certificate for 127.0.0.1 and localhost, a client's. `mode` is the
    servers': enforcing, permissive or disabled. `client_auth`: they ask for the client's certificate."""

    def __init__(self, folder, mode="enforcing", client_auth=False):
        self.folder = os.path.abspath(str(folder))
        self.mode = mode
        self.client_auth = client_auth
        os.makedirs(self.folder, exist_ok=True)
        if not os.path.exists(self.path("client.pem")):
            self._make()

    def path(self, name):
        """ca.pem, server.key, server.pem, client.key, client.pem; keys are PKCS #8."""
        return os.path.join(self.folder, name)

    def _openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise ServerError(f"openssl {' '.join(words)}: {done.stderr.strip()}")

    def _make(self):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout")
        self._openssl("req", "-x509", *key, "ca.key", "-out", "ca.pem", "-days", "2",
                      "-subj", "/CN=gantry test authority")
        with open(self.path("names"), "w", encoding="ascii") as file:
            file.write("subjectAltName=IP:127.0.0.1,IP:127.0.0.2,DNS:localhost\n")
        for who in ("server", "client"):
            self._openssl("req", *key, f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN=gantry test {who}")
            self._openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                          "-out", f"{who}.pem", "-days", "2", "-extfile", "names")

    def server_options(self):
        """For the JVM of a name server or broker. A broker is a client of the name server, and uses TLS there too."""
        return [f"-Dtls.server.mode={self.mode}", "-Dtls.test.mode.enable=false",
                f"-Dtls.server.keyPath={self.path('server.key')}", f"-Dtls.server.certPath={self.path('server.pem')}",
                f"-Dtls.server.trustCertPath={self.path('ca.pem')}",
                f"-Dtls.server.need.client.auth={'require' if self.client_auth else 'none'}",
                f"-Dtls.server.authClient={str(self.client_auth).lower()}",
                *(self.client_options() if self.mode != "disabled" else [])]

    def client_options(self):
        """For the JVM of a client."""
        return ["-Dtls.enable=true", "-Dtls.test.mode.enable=false", "-Dtls.client.authServer=true",
                f"-Dtls.client.trustCertPath={self.path('ca.pem')}", f"-Dtls.client.keyPath={self.path('client.key')}",
                f"-Dtls.client.certPath={self.path('client.pem')}"]

    def client_context(self):
        """For Python's ssl."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context


# --- access control

class Acl:
    """Users of a broker. `users`: {name: (secret, {"Topic:t": ["Pub", "Sub", "Get"], "Group:g": ["Sub"]})}. From 5.3 they
    live in the broker (ACL 2.0), before that in a file of which it knows PUB and SUB only (1.0); there names and secrets
    need more than 6 letters."""

    def __init__(self, admin=("gantry-admin", "admin-secret"), users=None):
        self.admin = admin
        self.users = dict(users or {})

    def settings(self, broker):
        if is_old(broker.version):
            self._write_file(broker)
            return {"aclEnable": "true"}
        provider = "org.apache.rocketmq.auth.authentication.provider."
        access = "org.apache.rocketmq.auth.authorization.provider."
        return {
            "authenticationEnabled": "true",
            "authenticationProvider": provider + "DefaultAuthenticationProvider",
            "authenticationMetadataProvider": provider + "LocalAuthenticationMetadataProvider",
            "initAuthenticationUser": json.dumps({"username": self.admin[0], "password": self.admin[1]}),
            "innerClientAuthenticationCredentials":
                json.dumps({"accessKey": self.admin[0], "secretKey": self.admin[1]}),
            "authorizationEnabled": "true",
            "authorizationProvider": access + "DefaultAuthorizationProvider",
            "authorizationMetadataProvider": access + "LocalAuthorizationMetadataProvider",
            "authConfigPath": os.path.join(broker.folder, "auth"),
        }

    def apply(self, broker):
        """Make the users of a running broker those of this object; none is taken away."""
        if is_old(broker.version):
            self._write_file(broker)
            return
        for name, (secret, rules) in self.users.items():
            user = {"username": name, "password": secret, "userType": "Normal"}
            found = broker.call(3001, {"username": name}, json.dumps(user).encode(), credentials=self.admin)
            if found[0] != 0 and "exist" not in str(found[1]).lower():
                raise ServerError(f"user {name}: reply {found[0]}: {found[1]}")
            policy = {"subject": f"User:{name}", "policies": [{"policyType": "Custom", "entries": [
                {"resource": resource, "actions": actions, "sourceIps": [], "decision": "Allow"}
                for resource, actions in rules.items()]}]}
            broker.admin(3006, {"subject": f"User:{name}"}, json.dumps(policy).encode())

    def _write_file(self, broker):
        """plain_acl.yml, which is JSON too. The broker looks for changes every half second."""
        accounts = [{"accessKey": self.admin[0], "secretKey": self.admin[1], "admin": True}]
        for name, (secret, rules) in self.users.items():
            account = {"accessKey": name, "secretKey": secret, "admin": False, "defaultTopicPerm": "DENY",
                       "defaultGroupPerm": "DENY", "topicPerms": [], "groupPerms": []}
            for resource, actions in rules.items():
                kind, _, what = resource.partition(":")
                words = "|".join(word for word in (action.upper() for action in actions) if word in ("PUB", "SUB"))
                account["topicPerms" if kind == "Topic" else "groupPerms"].append(f"{what}={words or 'DENY'}")
            accounts.append(account)
        path = os.path.join(broker.folder, "home", "conf", "plain_acl.yml")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"globalWhiteRemoteAddresses": [], "accounts": accounts}, file, indent=1)
        os.replace(path + ".new", path)
