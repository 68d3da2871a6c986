"""`Kv` behind the methods of `AsyncKv`, so that one test body serves both.

What blocks runs in a thread. Coroutine functions that a test gives as callbacks run on the loop of
the test.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ITERATORS = {"list", "search", "attempts"}
OBJECTS = {"atomic", "begin", "store", "with_prefix", "watch", "listen_queue", "dlq"}
AT_ONCE = {
    "now", "uuidv7", "key", "prefix", "error", "closed", "dropped", "value", "id", "attempts_made",
    "settled", "read_count", "write_count", "size", "result",
}  # fmt: skip
BUILDERS = {
    "check", "set", "delete", "sum", "max", "min", "append", "prepend", "enqueue",
}  # fmt: skip
_END = object()
_THREADS = ThreadPoolExecutor(64)  # many at once may wait for the loop of the test


async def _in_thread(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREADS, lambda: function(*args, **options))


class Blocking:
    """One object of the blocking client."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._builds = type(target).__name__ in ("Atomic", "Transaction", "Attempt")

    def __getattr__(self, name: str) -> Any:
        kind = type(self._target).__name__
        if name == "aclose":
            return self._threaded(self._target.close)
        member = getattr(self._target, name)
        if kind == "Delivery" and name == "attempts":
            return member
        if name in AT_ONCE or (self._builds and name in BUILDERS and kind != "Atomic"):
            return member
        if not callable(member):
            return Blocking(member) if name in OBJECTS else member
        if self._builds and name in BUILDERS:
            return lambda *args, **options: self._same(member(*args, **options))
        if name in OBJECTS:
            return lambda *args, **options: Blocking(member(*_callbacks(args), **options))
        if name in ITERATORS and kind != "DeadLetters":
            return lambda *args, **options: _iterate(member(*args, **options))
        return self._threaded(member)

    def _same(self, target: Any) -> Blocking:
        assert target is self._target
        return self

    def _threaded(self, member: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            return await _in_thread(member, *_callbacks(args), **options)

        return call

    async def __aenter__(self) -> Blocking:
        await _in_thread(self._target.__enter__)
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await _in_thread(self._target.__exit__, *error)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _iterate(iter(self._target))


async def _iterate(items: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await _in_thread(next, items, _END)) is not _END:
        wrapped = type(item).__name__ in ("Delivery", "Attempt")
        yield Blocking(item) if wrapped else item


def _callbacks(args: tuple[Any, ...]) -> list[Any]:
    return [_from_thread(arg) if inspect.isfunction(arg) else arg for arg in args]


def _from_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the test as a blocking client calls it: from one of its threads."""
    loop = asyncio.get_running_loop()

    def call(*args: Any) -> Any:
        kinds = ("Transaction", "Delivery")
        wrapped = [Blocking(arg) if type(arg).__name__ in kinds else arg for arg in args]
        outcome = function(*wrapped)
        if inspect.isawaitable(outcome):
            return asyncio.run_coroutine_threadsafe(_awaited(outcome), loop).result()
        return outcome

    return call


async def _awaited(outcome: Any) -> Any:
    return await outcome
