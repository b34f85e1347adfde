# SPDX-License-Identifier: Apache-2.0
"""Real database servers for tests: PostgreSQL and MariaDB of the system's packages (scripts/install-deps databases), each on a
free port of the loopback with its data in a folder of its own, run by a user without rights.

    with Postgres(folder) as server:
        server.sql("CREATE TABLE t (id int primary key)")"""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class ServerError(AssertionError):
    pass


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """`port`, `folder`. Neither server runs as root: then it is `nobody`, in a folder below /tmp that it may enter."""

    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.mkdtemp(prefix="gantry-db-")
        self.user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            user = pwd.getpwnam(self.user)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self.process = None
        self.log = os.path.join(self.folder, "log")

    def __enter__(self):
        try:
            self.initialize()
            self.start()
            return self
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, kind, value, trace):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command, text=None):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=self.folder, timeout=120, **self.identity())
        if done.returncode != 0:
            raise ServerError(f"{command[0]}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
        return done.stdout

    def identity(self):
        """Nobody's rights, and no variable of ours that would lead a client elsewhere."""
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self.folder, "LC_ALL": "C.UTF-8"}
        return {"env": env} if os.getuid() != 0 else {"env": env, "user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def launch(self, command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self.identity())
        until = time.monotonic() + 60
        while True:
            try:
                self.sql("SELECT 1")
                return
            except ServerError as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    with open(self.log, encoding="utf-8", errors="replace") as file:
                        raise ServerError(f"{command[0]} does not come up: {error}\n{file.read()[-3000:]}") from None
            time.sleep(0.1)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.quick_end)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    quick_end = signal.SIGTERM


class Postgres(Server):
    quick_end = signal.SIGINT  # "fast": it does not wait for its clients

    def initialize(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            raise ServerError("PostgreSQL is not there; run scripts/install-deps databases")
        self.bin = os.path.dirname(found[-1])
        self.data = os.path.join(self.folder, "data")
        self.run([os.path.join(self.bin, "initdb"), "-D", self.data, "-U", "gantry", "-A", "trust", "-E", "UTF8", "--no-sync"])

    def start(self):
        self.launch([os.path.join(self.bin, "postgres"), "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder,
                     "-c", "wal_level=logical", "-c", "fsync=off", "-c", "max_wal_senders=4", "-c", "max_replication_slots=4"])

    def sql(self, text):
        return self.run([os.path.join(self.bin, "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "gantry", "-d", "postgres", "-qAtX",
                         "-v", "ON_ERROR_STOP=1"], text)


class MariaDb(Server):
    def __init__(self, *options):
        super().__init__()
        self.options = options

    def initialize(self):
        self.server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        if not os.access(self.server, os.X_OK):
            raise ServerError("MariaDB is not there; run scripts/install-deps databases")
        self.data = os.path.join(self.folder, "data")
        self.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db"])

    def start(self):
        self.launch([self.server, "--no-defaults", f"--datadir={self.data}", f"--port={self.port}", "--bind-address=127.0.0.1",
                     f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid", "--log-bin=binlog", "--server-id=1", "--binlog-format=ROW",
                     "--binlog-row-image=FULL", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-name-resolve", *self.options])

    def sql(self, text):
        return self.run(["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "-u", "root", "-N", "-B"], text)
