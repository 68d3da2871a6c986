"""The one engine under all transports: streams, each with a database connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from buntime_database import (
    DatabaseError,
    DatabaseService,
    Session,
    SessionLimits,
    TransactionTimeout,
)
from buntime_host import Workers, hand_over
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.hrana.batons import Batons
from buntime_plugin_database.faces.hrana.errors import (
    InvalidBaton,
    RequestRefused,
    StreamBusy,
    StreamExpired,
    TooManyHranaStreams,
    TooManyHranaStreamsOfClient,
)
from buntime_plugin_database.faces.large import Hand
from buntime_plugin_database.shared.target import Target


class StreamLimits(NamedTuple):
    """Limits of the engine as a whole."""

    max_streams: int = 128
    max_streams_per_client: int = 64
    idle_seconds: float = 10.0
    """A stream over HTTP is closed, and any stream's transaction undone, after this without a
    request."""
    session: SessionLimits = SessionLimits()


class StoredSql:
    """SQL texts that a client keeps on the server, under numbers of its choice."""

    def __init__(self, *, max_texts: int, max_chars: int | None = None) -> None:
        self._texts: dict[int, str] = {}
        self._max_texts = max_texts
        self._max_chars = max_chars

    def __len__(self) -> int:
        """The number of stored texts."""
        return len(self._texts)

    def has(self, sql_id: int) -> bool:
        """Whether a text is stored under the number."""
        return sql_id in self._texts

    def store(self, sql_id: int, sql: str) -> None:
        """Keep a text. Raises `RequestRefused` when there are too many, or the id is taken."""
        if sql_id in self._texts:
            raise RequestRefused("SQL_STORE_EXISTS", f"SQL text {sql_id} is already stored")
        if len(self._texts) >= self._max_texts:
            raise RequestRefused("SQL_STORE_TOO_MANY", f"{self._max_texts} SQL texts are stored")
        if self._max_chars is not None and len(sql) > self._max_chars:
            raise RequestRefused(
                "SQL_STORE_TOO_LARGE", f"a stored SQL text has at most {self._max_chars} characters"
            )
        self._texts[sql_id] = sql

    def forget(self, sql_id: int) -> None:
        """Drop a text; nothing happens if there is none."""
        self._texts.pop(sql_id, None)

    def resolve(self, sql: str | None, sql_id: int | None) -> str:
        """The text that a request means. Raises `RequestRefused` unless it names exactly one."""
        if sql is not None:
            if sql_id is not None:
                raise RequestRefused("SQL_INPUT_ERROR", "give either sql or sql_id, not both")
            return sql
        if sql_id is None:
            raise RequestRefused("MISSING_SQL", "neither sql nor sql_id is given")
        if sql_id not in self._texts:
            raise RequestRefused("SQL_NOT_FOUND", f"SQL text {sql_id} is not stored")
        return self._texts[sql_id]


class Stream:
    """One open stream. `Streams` makes it and ends it."""

    def __init__(
        self, target: Target, session: Session, client: str | None, *, expires: bool
    ) -> None:
        self.target = target
        self.client = client
        self.session = session
        self.number = secrets.randbits(64)
        self.stored = StoredSql(max_texts=50, max_chars=5000)
        self.expires = expires
        """Over HTTP no event says that a client has gone; over a websocket one does."""
        self.sequence = 0
        self.bytes_left = 0
        """Bytes that the results of the present request may still take."""
        self.hand: Hand
        """Keeps results until they are sent."""
        self.busy = False
        self.reserved = False
        """A cursor reads from it; its clock runs, but no other request may use it."""
        self.closed = False
        self.used_at = time.monotonic()
        self.alarm: asyncio.TimerHandle | None = None


class Streams:
    """All open streams."""

    def __init__(
        self,
        service: DatabaseService,
        limits: StreamLimits,
        workers: Workers | None = None,
        client_of: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
    ) -> None:
        """`workers` are the processes that serve, each with streams of its own.

        For `client_of` see `PluginContext`.
        """
        self._service = service
        self._limits = limits
        self._workers = workers or Workers.alone()
        self._batons = Batons(self._workers)
        self._streams: dict[int, Stream] = {}
        self._client_of = client_of
        self._taken = 0
        """Streams that are open or about to be."""
        self._of_clients: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def idle_seconds(self) -> float:
        """Seconds that a client may keep others waiting without a request."""
        return self._limits.idle_seconds

    async def open(
        self, target: Target, scope: Mapping[str, Any], *, expires: bool = True
    ) -> Stream:
        """Open a stream for the client of the ASGI scope.

        Raises `TooManyHranaStreams`, `TooManyHranaStreamsOfClient` and `DatabaseError`.
        """
        client = self._client_of(scope)
        self._take(client)
        try:
            adapter = await self._service.get_adapter(target.type, target.tenant)
            limits = self._limits.session._replace(readonly=target.readonly, schema=target.schema)
            session = await adapter.open_session(limits)
        except BaseException:
            self._give(client)
            raise
        stream = Stream(target, session, client, expires=expires)
        self._streams[stream.number] = stream
        return stream

    def _take(self, client: str | None) -> None:
        if self._taken >= self._limits.max_streams:
            raise TooManyHranaStreams(headers={"Retry-After": "1"})
        if client is not None:
            most = self._limits.max_streams_per_client
            if self._of_clients[client] >= most:
                raise TooManyHranaStreamsOfClient(
                    f"This client has {most} streams open, which are the most"
                    " (api.maxStreamsPerClient)",
                    headers={"Retry-After": "1"},
                )
            self._of_clients[client] += 1
        self._taken += 1

    def _give(self, client: str | None) -> None:
        self._taken -= 1
        if client is not None:
            self._of_clients[client] -= 1
            if not self._of_clients[client]:
                del self._of_clients[client]

    async def answer_elsewhere(self, baton: str | None, request: Request) -> Response | None:
        """The answer of the worker that has the stream of a baton, if that is another one.

        Raises `ServiceUnavailable` if that worker is gone.
        """
        worker = None if baton is None else self._batons.worker_of(baton)
        return None if worker is None else await hand_over(self._workers, worker, request)

    def resume(self, baton: str, target: Target) -> Stream:
        """The stream of a baton, which is then used up.

        Raises `InvalidBaton`, `StreamExpired` and `StreamBusy`.
        """
        named = self._batons.read(baton)
        if named is None:
            raise InvalidBaton
        number, sequence = named
        stream = self._streams.get(number)
        if stream is None:
            raise StreamExpired
        if stream.busy or stream.reserved:
            raise StreamBusy
        if stream.sequence != sequence or stream.target != target:
            raise InvalidBaton
        stream.sequence += 1
        return stream

    def baton(self, stream: Stream) -> str | None:
        """The baton for the stream's next request; None once it is closed."""
        return None if stream.closed else self._batons.issue(stream.number, stream.sequence)

    @asynccontextmanager
    async def using(self, stream: Stream, hand: Hand) -> AsyncIterator[Stream]:
        """Keep the clock from ending a stream while a request uses it."""
        if stream.closed:
            raise StreamExpired
        stream.busy = True
        stream.hand = hand
        stream.bytes_left = self._limits.session.max_bytes
        if stream.alarm is not None:
            stream.alarm.cancel()
        try:
            yield stream
        finally:
            stream.busy = False
            stream.used_at = time.monotonic()
            self._set_alarm(stream)

    @asynccontextmanager
    async def only_once(self, stream: Stream, hand: Hand) -> AsyncIterator[Stream]:
        """Use a stream and close it."""
        try:
            async with self.using(stream, hand):
                yield stream
        finally:
            await self.close_stream(stream)

    async def close_stream(self, stream: Stream) -> None:
        """Roll back an open transaction and give the connection back. Idempotent."""
        stream.closed = True
        if self._streams.pop(stream.number, None) is not None:
            self._give(stream.client)
        if stream.alarm is not None:
            stream.alarm.cancel()
        await stream.session.close()

    async def close(self) -> None:
        """Close all streams."""
        await asyncio.gather(*(self.close_stream(stream) for stream in [*self._streams.values()]))
        if self._ending:
            await asyncio.wait(self._ending)

    def _set_alarm(self, stream: Stream) -> None:
        if stream.closed:
            return
        due = self._due(stream)
        if due is not None:
            delay = max(0.0, due - time.monotonic())
            loop = asyncio.get_running_loop()
            stream.alarm = loop.call_later(delay, self._on_alarm, stream)

    def _due(self, stream: Stream) -> float | None:
        """When something must happen to an idle stream."""
        due = stream.session.rollback_at
        if stream.expires or not stream.session.autocommit:
            idle = stream.used_at + self._limits.idle_seconds
            due = idle if due is None else min(due, idle)
        return due

    def _on_alarm(self, stream: Stream) -> None:
        if not stream.busy and not stream.closed:
            task = asyncio.get_running_loop().create_task(self._end_waiting(stream))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end_waiting(self, stream: Stream) -> None:
        """The client has not come back in time."""
        idle = time.monotonic() >= stream.used_at + self._limits.idle_seconds
        if stream.expires and idle:
            await self.close_stream(stream)
            return
        # The session may fail only because it is closed, and then all is done.
        with contextlib.suppress(DatabaseError):
            await stream.session.roll_back(
                TransactionTimeout("the transaction was open for too long and was rolled back")
            )
        if not stream.busy:
            self._set_alarm(stream)
