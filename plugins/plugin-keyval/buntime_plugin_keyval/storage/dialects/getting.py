"""Reads of single keys, several of them by one question.

A round trip costs the server and this process far more than a row. So whatever asks for a key in
one turn of the event loop is asked for together; and while questions are under way, so is all that
comes until there is an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Adapter, DatabaseError, Value, read_demand

from buntime_plugin_keyval.storage.dialects.reads import Short

MOST_KEYS = 128
"""Most keys of one question: their values may all be as long as is read this way."""

AT_ONCE = 2
"""Questions that are under way: while one is answered, the next is thought about."""

Question: TypeAlias = Callable[[Sequence[bytes]], tuple[str, Sequence[Value]]]
"""The question for keys, each once: key, value, versionstamp and expiry of those that are there. No
value where that is of more than `READ_INLINE` bytes. What has expired for one who asks may not have
for another, so it is among them."""


class _Asked(NamedTuple):
    key: bytes
    now_ms: int
    answer: asyncio.Future[Short]


class GetsTogether:
    """Reads keys of one database."""

    def __init__(self, adapter: Adapter, of_keys: Question) -> None:
        self._adapter = adapter
        self._of_keys = of_keys
        self._waiting: list[_Asked] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._is_called = False

    def __call__(self, key: bytes, now_ms: int) -> Awaitable[Short]:
        if read_demand() is not None:  # the demands of this task on its reads are its own
            return self._read_alone(key, now_ms)
        loop = asyncio.get_running_loop()
        asked = _Asked(key, now_ms, loop.create_future())
        self._waiting.append(asked)
        if not self._is_called and len(self._asking) < AT_ONCE:
            self._is_called = True
            loop.call_soon(self._ask)  # behind all that this turn of the loop brings
        return asked.answer

    async def _read_alone(self, key: bytes, now_ms: int) -> Short:
        return _live(await self._query([key]), key, now_ms)

    async def _query(self, keys: Sequence[bytes]) -> Mapping[Value, Sequence[Value]]:
        """The rows of those keys that are there."""
        sql, args = self._of_keys(keys)
        return {row[0]: row for row in await self._adapter.query(sql, args, point=True)}

    def _ask(self) -> None:
        self._is_called = False
        while self._waiting and len(self._asking) < AT_ONCE:
            asked = self._waiting[:MOST_KEYS]
            del self._waiting[:MOST_KEYS]
            task = asyncio.create_task(self._read(asked))
            self._asking.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        if self._waiting and not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._ask)

    async def _read(self, asked: list[_Asked]) -> None:
        try:
            found = await self._query([*{one.key for one in asked}])
        except DatabaseError as error:
            for one in asked:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        except BaseException:
            for one in asked:
                one.answer.cancel()
            raise
        for one in asked:
            if not one.answer.done():  # a caller waits for it
                one.answer.set_result(_live(found, one.key, one.now_ms))


def _live(found: Mapping[Value, Sequence[Value]], key: bytes, now_ms: int) -> Short:
    row = found.get(key)
    if row is None or (row[3] is not None and row[3] <= now_ms):  # type: ignore[operator] # a number
        return None
    return row[1], row[2]  # type: ignore[return-value] # two texts
