"""Writes of the other workers, which one of them commits.

Where the database lets one process write at a time, workers that each commit for themselves wait
for each other's locks, and share their commits with fewer. So all but the first worker send their
writes of entries and new messages to it, as the arguments of a method there, and get the outcomes.
Everything sent in one turn of the loop is one frame. Writes that cannot be sent (other ones of
features, with functions of this process) are committed where they are, as are all of them while the
first worker is not there: guards make that right.

A connection ends with a word of how far it was heard: what came later was not begun, and is
committed here. One that ends without it is that of a worker which died, perhaps in the middle.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, cast

from buntime_host import Workers
from buntime_keyval.wire.commits import NO_OPTIONS
from buntime_keyval.wire.keys import UUIDV7

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import Recorder
from buntime_plugin_keyval.model.errors import OutcomeUnknown

FIRST = 0
"""The number of the worker that commits."""

MOST_BYTES = 64 * 1024
"""Larger values are committed where they are: to copy them would cost more than it gives."""

PAUSE_SECONDS = 0.5
"""Pauses between attempts to reach the first worker."""

CLOSE_SECONDS = 1.0
"""Seconds that the other end has to read the rest."""

NAME = "keyval.writes"
"""The name of the connections, see `Workers.serve`."""

_LENGTH = 4

Methods = dict[str, Callable[..., Any]]
"""Methods that may be called by the name of their operation. They return futures, whose results are
data."""


class _Pickler(pickle.Pickler):
    """Keeps the identity of objects that are compared by it, and pickles exceptions unchanged."""

    def reducer_override(self, it: object) -> Any:
        if it is NO_OPTIONS:
            return "NO_OPTIONS"
        if it is UUIDV7:
            return "UUIDV7"
        if isinstance(it, Exception):
            return _exception, (type(it), it.args, vars(it))
        return NotImplemented


def _exception(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    """An exception that was raised elsewhere, whose constructor may take other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    vars(error).update(state)
    return error


def framed(messages: Sequence[Any]) -> bytes:
    """Messages as a frame: its length, and bytes for `pickle.loads`.

    What the messages say is data, or an exception.
    """
    written = io.BytesIO()
    written.seek(_LENGTH)
    _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(messages)
    frame = written.getbuffer()
    frame[:_LENGTH] = (len(frame) - _LENGTH).to_bytes(_LENGTH, "little")
    return bytes(frame)


class _Frames(asyncio.Protocol):
    """The messages of one end of a connection, those of one turn of the loop in one frame."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._to_send: list[Any] = []
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        start = 0
        while len(received) - start >= _LENGTH:
            end = start + _LENGTH + int.from_bytes(received[start : start + _LENGTH], "little")
            if end > len(received):
                break
            # Both ends are forks of one process, and no other process has the connection.
            for message in pickle.loads(memoryview(received)[start + _LENGTH : end]):  # noqa: S301
                self.heard(message)
            start = end
        self._received = received[start:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        if not self.ended.done():
            self.ended.set_result(None)

    def heard(self, message: Any) -> None:
        """One message has arrived."""
        raise NotImplementedError  # each end has its own

    def say(self, message: Any) -> None:
        """Send a message at the end of this turn."""
        if not self._to_send:
            self._loop.call_soon(self.flush)
        self._to_send.append(message)

    def flush(self) -> None:
        """Send the collected messages, if there are any and the other end is there."""
        if not self._to_send:
            return  # also before there is a connection
        transport = self.transport
        if transport.is_closing():
            return
        messages, self._to_send = self._to_send, []
        try:
            frame = framed(messages)
        except Exception as error:  # noqa: BLE001 - whoever flushes has other work to go on with
            transport.abort()  # so that no caller waits for an answer
            self._loop.call_exception_handler(
                {"message": "writes between workers cannot be sent", "exception": error}
            )
            return
        transport.write(frame)  # as one: the other end would wake up for a part of it


class _Asked:
    """A write that was sent, until its answer comes."""

    __slots__ = ("arguments", "done", "method", "more", "once", "started")

    def __init__(
        self,
        method: str,
        arguments: tuple[Any, ...],
        once: Once | None,
        more: dict[str, Any],
        done: asyncio.Future[Any],
    ) -> None:
        self.method = method
        self.arguments = arguments
        self.once = once
        self.more = more
        self.done = done
        self.started = perf_counter()


class _Sending(_Frames):
    """The end of a worker that lets another one commit."""

    def __init__(self, methods: Methods, recorder: Recorder) -> None:
        super().__init__()
        self._methods = methods
        self._recorder = recorder
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self.is_open = False
        """Whether the other end takes writes."""

    def send(
        self, method: str, arguments: tuple[Any, ...], once: Once | None, more: dict[str, Any]
    ) -> asyncio.Future[Any]:
        """Send a write; the future of what comes of it."""
        done = self._loop.create_future()
        self._number += 1
        self._asked[self._number] = _Asked(method, arguments, once, more, done)
        self.say((self._number, method, arguments, once, more))
        return done

    def heard(self, message: Any) -> None:
        """The first message opens the connection, others have outcomes of writes, the last one says
        how far it was heard.
        """
        if message is None:
            self.is_open = True
            return
        if isinstance(message, int):
            self._goes_on_alone(message)
            return
        number, result, is_error, replayed = message
        asked = self._asked.pop(number)
        if replayed and asked.once is not None:
            asked.once.replayed = True
        if not asked.done.done():
            if is_error:
                asked.done.set_exception(result)
            else:
                asked.done.set_result(result)

    def _goes_on_alone(self, heard: int) -> None:
        """The other end closes: writes that it has not heard are committed here."""
        self.is_open = False
        for number in [number for number in self._asked if number > heard]:
            self._commit_here(self._asked.pop(number))

    def _commit_here(self, asked: _Asked) -> None:
        try:
            done = self._methods[asked.method](*asked.arguments, once=asked.once, **asked.more)
        except Exception as error:  # noqa: BLE001 - goes to the waiter
            if not asked.done.done():
                asked.done.set_exception(error)
        else:
            done.add_done_callback(partial(_pass_on, asked.done))

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`. The outcome of sent writes is unknown, unless they have a key:
        then they are done here, or found done.
        """
        super().connection_lost(exc)
        self.is_open = False
        unsent = {number for number, *_ in self._to_send}
        asked, self._asked = self._asked, {}
        for number, it in asked.items():
            if it.done.done():
                continue
            if it.once is not None or number in unsent:
                self._commit_here(it)
            else:
                # Writes of others were measured where they were committed.
                self._recorder.record(it.method, perf_counter() - it.started, failed=True)
                it.done.set_exception(OutcomeUnknown("the worker that commits has ended"))

    async def finish(self) -> None:
        """Wait for the answers that are to come, and close."""
        waiting = [it.done for it in self._asked.values()]
        if waiting:
            await asyncio.wait(waiting)
        self.transport.close()


def _pass_on(to: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    if to.done():
        return
    if done.cancelled():
        to.cancel()
    elif (error := done.exception()) is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())


class _Committing(_Frames):
    """The end of the worker that commits."""

    def __init__(self, methods: Methods) -> None:
        super().__init__()
        self._methods = methods
        self._under_way: dict[asyncio.Future[Any], tuple[int, Once | None]] = {}
        self._heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Written at once: otherwise uvloop does that at the end of a turn.
        self.transport.set_write_buffer_limits(0)
        self.say(None)

    def heard(self, message: Any) -> None:
        """A write has come."""
        self._heard, method, arguments, once, more = message
        try:
            done = self._methods[method](*arguments, once=once, **more)
        except Exception as error:  # noqa: BLE001 - goes to the sender
            self.say((self._heard, error, True, False))
            return
        self._under_way[done] = self._heard, once
        done.add_done_callback(self._answer)

    def answer(self) -> None:
        """Answer what is done, before callers in this process go on.

        So the other worker goes on meanwhile, and its next writes are in time for the next group.
        """
        for done in [done for done in self._under_way if done.done()]:
            self._answer(done)
        self.flush()

    def _answer(self, done: asyncio.Future[Any]) -> None:
        asked = self._under_way.pop(done, None)
        if asked is None:
            return
        number, once = asked
        replayed = once is not None and once.replayed
        if done.cancelled():
            self.say((number, OutcomeUnknown("the host is shutting down"), True, replayed))
        elif (error := done.exception()) is not None:
            self.say((number, error, True, replayed))
        else:
            self.say((number, done.result(), False, replayed))

    async def finish(self) -> None:
        """Stop reading, wait for running writes, answer them, and say how far it was heard."""
        self.transport.pause_reading()
        self.say(self._heard)
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._loop.call_soon(self.transport.close)  # behind the answers of this turn
        await asyncio.wait((self.ended,), timeout=CLOSE_SECONDS)


class Forwarding:
    """Sends the writes of this worker to the first one, or receives those of the others there."""

    def __init__(self, workers: Workers, methods: Methods, recorder: Recorder) -> None:
        """`recorder` counts writes with unknown outcomes; all others are counted where they are
        committed.
        """
        self._workers = workers
        self._methods = methods
        self._recorder = recorder
        self._sending: _Sending | None = None
        self._committing: set[_Committing] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None

    def offer(self, name: str, method: Callable[..., Any]) -> None:
        """Send writes of a feature under a name, which this method begins in the first worker."""
        self._methods[name] = method

    def start(self) -> None:
        """Begin."""
        if self._workers.number == FIRST:
            self._workers.serve(NAME, self._accept)
        else:
            self._task = asyncio.get_running_loop().create_task(self._keep_sending())

    def send(
        self, size: float, method: str, arguments: tuple[Any, ...], once: Once | None, **more: Any
    ) -> asyncio.Future[Any] | None:
        """Have the first worker commit a write with so many bytes of values; None if it is to be
        committed here.
        """
        sending = self._sending
        if sending is None or not sending.is_open or size > MOST_BYTES:
            return None
        return sending.send(method, arguments, once, more)

    def answer(self) -> None:
        """Send the others what came of the writes that were just made."""
        for end in self._committing:
            end.answer()

    async def close(self) -> None:
        """Finish sent and received writes. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        sending, self._sending = self._sending, None
        if sending is not None:
            await sending.finish()
        self._workers.serve(NAME, None)
        if self._accepting:
            await asyncio.wait(self._accepting)
        await asyncio.gather(*(end.finish() for end in tuple(self._committing)))

    def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._committing_end, sock))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _committing_end(self) -> _Committing:
        end = _Committing(self._methods)
        self._committing.add(end)
        end.ended.add_done_callback(lambda _: self._committing.discard(end))
        return end

    async def _keep_sending(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(OSError):
                sock = await self._workers.connect(FIRST, NAME)
                _, self._sending = await loop.create_connection(
                    partial(_Sending, self._methods, self._recorder), sock=sock
                )
                await asyncio.shield(self._sending.ended)
            await asyncio.sleep(PAUSE_SECONDS)
