# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that makes a network behave badly while a test runs.

A broker that listens on 127.0.0.1 and registers 127.0.0.2 (`Broker(advertise="127.0.0.2")`) is reached only through a proxy
on 127.0.0.2 with the broker's port: `with broker_proxy(broker) as proxy: proxy.stall(TO_CLIENT)`."""

import asyncio
import socket
import struct
import threading
import time

TO_SERVER = "to_server"
TO_CLIENT = "to_client"
BOTH = (TO_SERVER, TO_CLIENT)
CHUNK = 64 << 10
HELD = 64  # chunks of one direction that wait here; what is beyond waits at the sender


def _directions(direction):
    return BOTH if direction in (None, BOTH) else (direction,)


class _Link:
    """One connection and the one behind it."""

    def __init__(self, client):
        self.sockets = {TO_CLIENT: client, TO_SERVER: None}
        self.tasks = []


class Proxy:
    """`listen` and `target` are (address, port). All methods may be called from any thread and have taken effect when they
    return. `moved` counts bytes, `accepted` connections, each since the start."""

    def __init__(self, listen, target):
        self.listen_at = listen
        self.target = target
        self.accepted = 0
        self.moved = {TO_SERVER: 0, TO_CLIENT: 0}
        self._delay_s = {TO_SERVER: 0.0, TO_CLIENT: 0.0}
        self._left = {TO_SERVER: None, TO_CLIENT: None}
        self._open = {}
        self._links = set()
        self._listener = None
        self._accepting = None
        self._loop = None
        self._thread = None

    @property
    def address(self):
        return "%s:%d" % self.listen_at

    @property
    def connections(self):
        return len(self._links)

    # --- life

    def start(self):
        ready = threading.Event()

        def work():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._open = {direction: asyncio.Event() for direction in BOTH}
            for gate in self._open.values():
                gate.set()
            self._loop.call_soon(ready.set)
            self._loop.run_forever()
            self._loop.close()

        self._thread = threading.Thread(target=work, daemon=True, name=f"proxy {self.address}")
        self._thread.start()
        ready.wait()
        try:
            self._do(self._start_listening())
        except OSError:
            self.stop()
            raise
        return self

    def stop(self):
        if self._thread is None:
            return
        self._do(self._stop_listening())
        self._do(self._end_all(False))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        self.stop()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    # --- what it can do to connections

    def delay(self, seconds, direction=None):
        """Each piece arrives that much later than it was sent, from now on; 0 ends it."""
        async def work():
            for one in _directions(direction):
                self._delay_s[one] = seconds
        self._do(work())

    def stall(self, direction=None):
        """Hold what goes in a direction (in both), on connections of now and later ones. Nothing is lost or closed: the
        sender sees nothing but that no answer comes. New connections are taken, as by a frozen server."""
        async def work():
            for one in _directions(direction):
                self._open[one].clear()
        self._do(work())

    def resume(self):
        """End stall(): what was held arrives."""
        async def work():
            for gate in self._open.values():
                gate.set()
        self._do(work())

    def cut(self, reset=True):
        """End all connections of now, by RST (what is under way is lost) or else by FIN. New ones are taken."""
        self._do(self._end_all(reset))

    def cut_after(self, count, direction=TO_SERVER):
        """Cut every connection once `count` more bytes have gone in a direction, in the middle of a frame or not."""
        async def work():
            self._left[direction] = count
        self._do(work())

    def refuse(self):
        """Take no new connection: they are refused at once. Those of now go on."""
        self._do(self._stop_listening())

    def accept(self):
        """End refuse()."""
        self._do(self._start_listening())

    # --- inside, in the thread of the loop

    async def _start_listening(self):
        if self._listener:
            return
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self.listen_at)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self.listen_at = listener.getsockname()
        self._listener = listener
        self._accepting = self._loop.create_task(self._accept_all(listener))

    async def _stop_listening(self):
        if not self._listener:
            return
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        self._listener = None

    async def _accept_all(self, listener):
        while True:
            client, _ = await self._loop.sock_accept(listener)
            client.setblocking(False)
            self.accepted += 1
            link = _Link(client)
            self._links.add(link)
            link.tasks.append(self._loop.create_task(self._serve(link)))

    async def _serve(self, link):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setblocking(False)
        link.sockets[TO_SERVER] = server
        try:
            await self._loop.sock_connect(server, self.target)
            for sock in link.sockets.values():
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps = [self._loop.create_task(self._pump(link, direction)) for direction in BOTH]
            link.tasks += pumps
            await asyncio.gather(*pumps)
            self._end(link, False)
        except OSError:
            self._end(link, True)

    async def _pump(self, link, direction):
        """From the socket of the other direction to that of this one."""
        source, target = link.sockets[TO_CLIENT if direction == TO_SERVER else TO_SERVER], link.sockets[direction]
        held = asyncio.Queue(HELD)
        reader = self._loop.create_task(self._read(source, held))
        link.tasks.append(reader)
        while True:
            came_at, data = await held.get()
            while (wait_s := came_at + self._delay_s[direction] - time.monotonic()) > 0:
                await asyncio.sleep(min(wait_s, 0.05))  # the delay may be changed meanwhile
            await self._open[direction].wait()
            if isinstance(data, OSError):
                raise data
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            left = self._left[direction]
            if left is not None and len(data) >= left:
                data, self._left[direction] = data[:left], None
                await self._loop.sock_sendall(target, data)
                self.moved[direction] += len(data)
                self._loop.create_task(self._end_all(False))
                return
            if left is not None:
                self._left[direction] -= len(data)
            await self._loop.sock_sendall(target, data)
            self.moved[direction] += len(data)

    async def _read(self, source, held):
        while True:
            try:
                data = await self._loop.sock_recv(source, CHUNK)
            except OSError as error:
                data = error
            await held.put((time.monotonic(), data))
            if not data or isinstance(data, OSError):
                return

    async def _end_all(self, reset):
        for link in list(self._links):
            self._end(link, reset)
        await asyncio.sleep(0)

    def _end(self, link, reset):
        if link not in self._links:
            return
        self._links.discard(link)
        here = asyncio.current_task()
        for task in link.tasks:
            if task is not here:
                task.cancel()
        for sock in link.sockets.values():
            if sock is None:
                continue
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()


def broker_proxy(broker):
    """In front of a broker that registers another loopback address than it listens on; also before it is started."""
    assert broker.advertise != broker.host, "give the Broker advertise='127.0.0.2'"
    return Proxy((broker.advertise, broker.port), (broker.host, broker.port))


def server_proxy(server, address="127.0.0.2"):
    """In front of a name server: clients are given the proxy's address instead."""
    return Proxy((address, server.port), (server.host, server.port))
