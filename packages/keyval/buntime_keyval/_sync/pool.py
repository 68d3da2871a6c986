# Made by scripts/unasync from _async/pool.py: change that one.
"""The connections of one client in one place, and the rules of their use."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from buntime_keyval._core import Reply
from buntime_keyval._errors import ClientClosed, InvalidResponse
from buntime_keyval._http import Settings
from buntime_keyval._http11 import RequestHeads
from buntime_keyval._sync.concurrency import Turn, lock
from buntime_keyval._sync.connection import Connection, OpenedHere
from buntime_keyval._sync.sockets import open_socket
from buntime_keyval._transport import NoneFree, NotSent, OutgoingRequest, within

R = TypeVar("R")

KEEPALIVE_SECONDS = 3.0
"""Seconds that a connection waits for its next request.

Servers commonly close idle connections after 5 seconds. A write on a connection that the server is
just closing has an unknown outcome, so the client closes it first."""


class Pool:
    """An `Transport`."""

    def __init__(self, settings: Settings) -> None:
        self._base_url = settings.server.base_url
        self._address = settings.server.address
        self._heads = RequestHeads(settings.server.host, settings.headers)
        self._timeouts = settings.timeouts
        self._most = settings.max_connections
        self._lock = lock()
        self._idle: list[Connection] = []
        """Idle connections; the one that was used last is the last."""
        self._busy: set[Connection] = set()
        self._calls = 0
        """Number of calls that have, or are making, a connection."""
        self._waiting: deque[Turn] = deque()
        self._closed = False

    def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        written = self._heads.written(request)
        if not self._enter():
            self._wait(request.ends)
        connection, keep = None, False
        try:
            while True:
                connection = self._take_idle()
                is_new = connection is None
                if connection is None:
                    connection = self._open(request.ends)
                try:
                    pause, ends = self._timeouts.pause, request.ends
                    reply = connection.ask(request.method, written, pause, ends)
                    break
                except NotSent:
                    if is_new:
                        raise
                    self._drop(connection)  # the server has closed it: the next one
            keep = connection.reusable
            return read(reply)
        except InvalidResponse:
            keep = False
            raise
        finally:
            self._leave(connection, keep=keep)

    @contextmanager
    def stream(self, request: OutgoingRequest) -> Iterator[OpenedHere]:
        written = self._heads.written(request)
        connection = self._open()
        try:
            yield connection.open(request.method, written, self._timeouts.silence)
        finally:
            self._drop(connection)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                connection.interrupt()
            while self._waiting:
                self._calls += self._waiting.popleft().give()
        for connection in idle:
            connection.close()

    def _enter(self) -> bool:
        """Whether a call may have a connection at once."""
        with self._lock:
            if self._most is not None and self._calls >= self._most:
                return False
            self._calls += 1
            return True

    def _wait(self, ends: float | None) -> None:
        """Wait until another call gives its place. Raises `NoneFree`."""
        with self._lock:
            turn = Turn()
            self._waiting.append(turn)
        try:
            turn.wait(within(self._timeouts.connect, ends))
        except BaseException:
            if self._has_place(turn):
                self._leave(None, keep=False)
            raise
        if not self._has_place(turn):
            raise NoneFree("none became free")

    def _has_place(self, turn: Turn) -> bool:
        """Whether the place was given, even if the waiter has left."""
        with self._lock:
            if not turn.is_given and turn in self._waiting:
                self._waiting.remove(turn)
            return turn.is_given

    def _take_idle(self) -> Connection | None:
        """The one that was used last, if that is not too long ago."""
        with self._lock:
            if not self._idle:
                return None
            connection = self._idle.pop()
            if time.monotonic() - connection.used < KEEPALIVE_SECONDS:
                self._busy.add(connection)
                return connection
            old, self._idle = [connection, *self._idle], []
        for connection in old:
            connection.close()
        return None

    def _open(self, ends: float | None = None) -> Connection:
        self._refuse_if_closed()
        socket = open_socket(self._address, within(self._timeouts.connect, ends))
        connection = Connection(socket, self._base_url)
        with self._lock:
            self._busy.add(connection)
        try:
            self._refuse_if_closed()
        except ClientClosed:
            self._drop(connection)
            raise
        return connection

    def _leave(self, connection: Connection | None, *, keep: bool) -> None:
        """A call is over: its connection waits for the next one, its place is another's."""
        with self._lock:
            keep = keep and not self._closed
            if connection is not None and keep:
                self._busy.discard(connection)
                self._idle.append(connection)
            while self._waiting:
                if self._waiting.popleft().give():
                    break
            else:
                self._calls -= 1
        if connection is not None and not keep:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise ClientClosed("the client was closed meanwhile: make a new one")
