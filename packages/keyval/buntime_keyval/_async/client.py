"""The client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from buntime_keyval._async import transactions
from buntime_keyval._async.consumers import MAX_ATTEMPTS, AsyncConsumer, AsyncConsumers
from buntime_keyval._async.dead_letters import AsyncDeadLetters
from buntime_keyval._async.feeds import ApiMessages, watch_feed
from buntime_keyval._async.flights import AsyncFlights
from buntime_keyval._async.kv_core import AsyncKvCore
from buntime_keyval._async.kv_views import AsyncKvViews
from buntime_keyval._async.listen import AsyncListenerFlow, AsyncQueueListener, Handler
from buntime_keyval._async.locks import AsyncLock, AsyncLocks
from buntime_keyval._async.queues import AsyncMessaging, AsyncQueues
from buntime_keyval._async.runner import AsyncRunner
from buntime_keyval._async.schedules import AsyncSchedules
from buntime_keyval._async.session import AsyncSession
from buntime_keyval._async.sharing import AsyncSharing
from buntime_keyval._async.shortcuts import AsyncShortcuts
from buntime_keyval._async.stream import AsyncChangeStream
from buntime_keyval._async.tasks import AsyncTasks
from buntime_keyval._async.transactions import AsyncTransaction
from buntime_keyval._async.transport import transport_of
from buntime_keyval._async.watch import AsyncWatch, AsyncWatchFlow
from buntime_keyval._calls import search as search_calls
from buntime_keyval._exchange import Observer
from buntime_keyval._http import Settings
from buntime_keyval._messages import checked_concurrency
from buntime_keyval._network import VERIFIED, Tls
from buntime_keyval._now import Now
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import KvEntry, TransactionResult
from buntime_keyval._retries import Retries, seconds
from buntime_keyval._sharing import BUFFER_SIZE, check_sharing
from buntime_keyval._tokens import AsyncTokenSource
from buntime_keyval._transaction import Pauses
from buntime_keyval._watching import (
    Buffer,
    Mode,
    Overflow,
    PollPlan,
    WatchPlan,
    is_polling,
    make_target,
)
from buntime_keyval.embedded import Embedded
from buntime_keyval.wire import Duration, InvalidInput, KeyLike, KeyOrKeys
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.names import checked_queue

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")
Entries = list[KvEntry[Any]]


class AsyncKv(AsyncKvViews, AsyncKvCore, AsyncMessaging, AsyncShortcuts[KeyLike, Any]):
    """A client of one KeyVal API, for asyncio.

    Use it as `async with AsyncKv(url) as kv`, or call `aclose` at the end. Every method checks its
    input before anything is sent and raises `InvalidInput`; all its other exceptions are
    `KvError`s. Durations are milliseconds or texts such as `"500ms"`, `"30s"`, `"1h"`, `"7d"`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        token: str | AsyncTokenSource | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = "10s",
        connect_timeout: Duration | None = "5s",
        idle_timeout: Duration | None = "95s",
        deadline: Duration | None = None,
        retries: Retries | int = 4,
        max_connections: int | None = 100,
        tls: Tls = VERIFIED,
        proxy: str | None = None,
        unix_socket: str | None = None,
        on_exchange: Observer | None = None,
        coalesce: bool = False,
        transport: httpx2.AsyncBaseTransport | Embedded | None = None,
    ) -> None:
        """`base_url` is absolute, such as `http://127.0.0.1:8000/keyval/api`.

        Without one, the variable `BUNTIME_URL` names it, and `BUNTIME_TOKEN` the token. `token` is
        sent as bearer token; a function gives it before the first request, and is asked once more
        for a request that is answered 401. `headers` go with every request. `timeout` bounds each
        pause of an answer, `connect_timeout` making or getting a connection, `idle_timeout` the
        silence of an event stream (the server breaks it every 30 s), and `deadline` a call with all
        its attempts and the pauses between them; None means no bound, and numbers are milliseconds:
        5 seconds are `"5s"`, and `5`, which may be meant so, is refused. `retries` is how often a
        request is sent again where that is safe. `max_connections` are for calls; each event stream
        has one of its own besides.

        `tls` says how the server and the client prove who they are, `proxy` the way to the server,
        by default as the environment has it, and `unix_socket` is a path that it listens on.
        With `coalesce`, gets of single keys that begin at once travel in one request, and so do
        sets, with the results and errors that each would have alone.
        `on_exchange` is told of every request. `transport` replaces the network: in tests, or by a
        store in this process, as `open_kv` does it.
        """
        settings = Settings(
            base_url,
            headers=headers,
            token=token,
            timeout=timeout,
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            deadline=deadline,
            retries=retries,
            max_connections=max_connections,
            tls=tls,
            proxy=proxy,
            unix_socket=unix_socket,
            on_exchange=on_exchange,
            loses_answers=not isinstance(transport, Embedded),
        )
        self._session = AsyncSession(
            settings, lambda: transport_of(settings, transport), coalesce=coalesce
        )
        self._source = self._session
        if isinstance(transport, Embedded):
            self._shown = f"{transport.location.shown} ({transport.location.engine})"
        else:
            self._shown = settings.server.shown
        self._sharing = AsyncSharing(self._session)
        self._flights = AsyncFlights()
        self._running: set[AsyncWatchFlow | AsyncListenerFlow | AsyncRunner] = set()
        self.dlq = AsyncDeadLetters(self._session)
        """Messages that were given up."""
        self.tasks = AsyncTasks(self._session)
        """Named work with a result; see `runner`."""
        self.locks = AsyncLocks(self._session)
        """Locks by name, to take and release yourself; `lock` does that for a block of code."""
        self.consumers = AsyncConsumers(self._session)
        """The consumers of the stream, for administration; see `consumer` to process records."""
        self.schedules = AsyncSchedules(self._session)
        """Tasks that are started at times."""
        self.stream = AsyncChangeStream(self._session)
        """All changes, in the order of their commits."""
        self.queues = AsyncQueues(self._session)
        """The queues, for administration: their contents and their settings."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown}>"

    @classmethod
    def from_env(cls, **options: Any) -> AsyncKv:
        """A client of the server that `BUNTIME_URL` and `BUNTIME_TOKEN` name.

        `options` are the other ones. Raises `InvalidInput` if the first is not set.
        """
        return cls(None, **options)

    async def aclose(self) -> None:
        """Stop all watches and listeners and close all connections. Idempotent."""
        while self._running:
            await self._running.pop().stop()
        await self._session.close()

    async def __aenter__(self) -> AsyncKv:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def now(self) -> Now:
        """The time at the server, for filters and values; `.add("1h")`, `.sub("1h")` shift it."""
        return Now()

    async def transaction(
        self,
        fn: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        max_retries: int = 0,
        retry_delay: Duration = 10,
    ) -> TransactionResult[T]:
        """Run `fn` and commit what it wrote if nothing that it read has changed.

        After a conflict `fn` runs again, up to `max_retries` times, each time after `retry_delay`
        times two to the number of tries, and up to `retry_delay` more. An exception of `fn`
        propagates, and nothing is written.
        """
        return await transactions.run(self._session, fn, Pauses(max_retries, retry_delay))

    def listen_queue(
        self,
        handler: Handler | None = None,
        *,
        queue: str = "",
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        auto_ack: bool = True,
        concurrency: int = 1,
        on_error: ErrorHandler | None = None,
    ) -> AsyncQueueListener:
        """Consume a queue, with a handler or by iterating, until the listener is stopped.

        Up to `concurrency` messages are processed at a time. Delivery is at least once: a message
        whose handler takes longer than the server's lock, or whose acknowledgement is lost, comes
        again. `on_error` is called with failures of handlers and of connections, which are retried;
        without it they are logged.
        """
        return self._listen(
            handler,
            None,
            queue=queue,
            mode=mode,
            poll_interval=poll_interval,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )

    def _listen(
        self,
        handler: Handler | None,
        read: Callable[[Any], Any] | None,
        *,
        queue: str,
        mode: Mode,
        poll_interval: Duration,
        auto_ack: bool,
        concurrency: int,
        on_error: ErrorHandler | None,
    ) -> AsyncQueueListener:
        """The same, with values converted by a function."""
        if auto_ack and handler is None and concurrency != 1:
            raise InvalidInput("Iterating with concurrency needs auto_ack=False")
        pause = seconds(poll_interval)
        messages = ApiMessages(
            self._session,
            checked_queue("queue", queue),
            concurrency=checked_concurrency(concurrency),
            poll_seconds=pause if is_polling(mode) else None,
            on_error=on_error,
        )
        flow = AsyncListenerFlow(
            messages,
            read=read,
            handler=handler,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )
        self._remember(flow)
        return AsyncQueueListener(flow)

    def lock(
        self,
        name: str,
        *,
        ttl: Duration = "30s",
        wait: Duration | None = None,
        owner: str | None = None,
        metadata: Any = None,
    ) -> AsyncLock:
        """A lock to hold for a block, as `async with kv.lock(...) as lock`; prolonged meanwhile.

        It ends `ttl` after this process has died. With `wait` it waits in line for that long;
        raises `LockHeld` if another owner keeps it. Once the lock is lost, calls of a store within
        the block raise `LockLost`.
        """
        return AsyncLock(self.locks, name, ttl=ttl, wait=wait, owner=owner, metadata=metadata)

    def consumer(
        self,
        name: str,
        *,
        prefix: KeyLike = (),
        type: str | None = None,
        owner: str | None = None,
        lock_duration: Duration = "30s",
        batch: int = DEFAULT_LIMIT,
        max_attempts: int = MAX_ATTEMPTS,
        retry: Duration = "1s",
    ) -> AsyncConsumer:
        """Return a consumer, which works through the stream under a name: see its `records` and
        `run`.

        Of all instances with one name one is at work, and goes on where the last one was; the
        others stand by until its lock is released or has ended. `batch` records are read at a time,
        a failing one is tried `max_attempts` times, the second time after `retry`.
        """
        return AsyncConsumer(
            self.consumers,
            name,
            prefix=prefix,
            type=type,
            owner=owner,
            lock_duration=lock_duration,
            batch=batch,
            max_attempts=max_attempts,
            retry=retry,
        )

    def runner(
        self,
        *,
        concurrency: int = 8,
        name: str | None = None,
        lease: Duration = "30s",
        on_error: ErrorHandler | None = None,
    ) -> AsyncRunner:
        """Return a runner, which runs tasks with your functions: decorate them with
        `runner.task(name)`.

        Up to `concurrency` run at a time. A task is held by a `lease`, which is prolonged while its
        function runs: that long after this process has died, other runners get it. `on_error` is
        called with failures; without it they are logged.
        """
        runner = AsyncRunner(
            self.tasks, concurrency=concurrency, name=name, lease=lease, on_error=on_error
        )
        self._remember(runner)
        return runner

    def watch(
        self,
        key: KeyOrKeys,
        callback: Callable[[Entries], Any] | None = None,
        *,
        exact: bool = False,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        emit_initial: bool = True,
        limit: int | None = None,
        buffer_size: int | None = None,
        overflow_strategy: Overflow = "drop-oldest",
        shared: bool = False,
        on_error: ErrorHandler | None = None,
    ) -> AsyncWatch:
        """Follow the changes of keys and of all that extend them, or only of the keys if `exact`.

        Batches of entries go to `callback`, or to the code that iterates over the watch; the first
        batch has the present entries (of a prefix `limit` entries, 100 by default) unless
        `emit_initial` is False. A lost connection is made again and goes on where the old one
        ended. Of several changes of one key in short order, only the last may be reported.

        `shared` watches of one target have one stream to the server; a late one first gets the
        batches so far. They have a buffer of 1000 keys unless `buffer_size` says otherwise.

        Without `buffer_size` nothing is read before the last batch was taken. With it, up to so
        many changed keys wait, each with its latest entry; `overflow_strategy` says which of them
        goes when there are more. `on_error` hears of failures that are retried; without it they
        are logged.
        """
        target = make_target(key, exact=exact, limit=limit)
        polling = is_polling(mode)
        pause = seconds(poll_interval)
        if shared:
            check_sharing(polling=polling)
            buffer_size = BUFFER_SIZE if buffer_size is None else buffer_size
            feed = self._sharing.feed(target, initial=emit_initial, on_error=on_error)
        else:
            make_plan = PollPlan if polling else WatchPlan
            plan = make_plan(target, emit_initial=emit_initial)
            feed = watch_feed(self._session, plan, pause, on_error)
        buffer = Buffer(buffer_size, overflow_strategy)
        flow = AsyncWatchFlow(feed, buffer, callback=callback, on_error=on_error)
        self._remember(flow)
        return AsyncWatch(flow)

    @overload
    async def metrics(self, format: Literal["json"] = "json") -> dict[str, Any]: ...
    @overload
    async def metrics(self, format: Literal["prometheus"]) -> str: ...
    async def metrics(self, format: str = "json") -> dict[str, Any] | str:
        """The server's counters: as a dict, or as the text that Prometheus reads."""
        if format == "prometheus":
            return await self._session.send(search_calls.metrics_text())
        if format != "json":
            raise InvalidInput(f"format must be json or prometheus, received {format!r}")
        return await self._session.send(search_calls.metrics_json())

    def _remember(self, running: AsyncWatchFlow | AsyncListenerFlow | AsyncRunner) -> None:
        self._running = {other for other in self._running if not other.closed}
        self._running.add(running)
