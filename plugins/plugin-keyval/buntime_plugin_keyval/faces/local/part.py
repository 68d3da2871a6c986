"""The base of the subjects of `LocalKv`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from buntime_database import ReadDemand, demanding
from buntime_keyval import InvalidInput, Where
from buntime_keyval.shared import AsyncListenerFlow, AsyncRunner, AsyncWatchFlow, Mode, is_polling
from buntime_keyval.wire import (
    NOW_MEMBER,
    Duration,
    KeyLike,
    encode_key,
    encode_value,
    parse_duration,
)
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import Consistency, is_strong
from buntime_keyval.wire.stamps import without_stamps

from buntime_plugin_keyval.model.where import InvalidWhere, parse_where
from buntime_plugin_keyval.model.where import Where as Filter
from buntime_plugin_keyval.requests.permissions import Permits
from buntime_plugin_keyval.service import KeyValService

Running = AsyncWatchFlow | AsyncListenerFlow | AsyncRunner
NOW_TEXT = f'"{NOW_MEMBER}"'


class LocalPart:
    """The methods of one subject; `LocalKv` has them all."""

    def __init__(self, service: KeyValService, permits: Permits) -> None:
        self._service = service
        self._permits = permits
        self._store = service.store
        self._running: dict[Running, Callable[[], None]] = {}
        """Running watches and listeners, each with a function that stops observing its caller."""

    def _remember(self, running: Running) -> None:
        """Have it end when the store is closed, or when the principal may not go on."""
        for other in [other for other in self._running if other.closed]:
            self._running.pop(other)()
        self._running[running] = self._permits.principal.life.when_over(lambda: _stop(running))


_stopping: set[asyncio.Task[None]] = set()
"""Kept until they are done, since the event loop holds only weak references."""


def _stop(running: Running) -> None:
    task = asyncio.get_running_loop().create_task(running.stop())
    _stopping.add(task)
    task.add_done_callback(_stopping.discard)


def encode_prefix(prefix: KeyLike) -> bytes:
    """The binary form of a prefix, which may be empty. Raises `InvalidInput`."""
    return encode_key(checked_key(prefix)) if prefix else b""


def filter_of(where: Where | None) -> Filter | None:
    """A filter, checked. Raises `InvalidInput`."""
    if where is None:
        return None
    try:
        return parse_where(where)
    except InvalidWhere as error:
        raise InvalidInput(str(error)) from None


def reading(consistency: Consistency) -> AbstractContextManager[None]:
    """The context for a read of this consistency. Raises `InvalidInput`."""
    return demanding(ReadDemand(strong=True)) if is_strong(consistency) else nullcontext()


def text_and_saying(value: Any, now_ms: int, *, placeholders: bool = False) -> tuple[str, str]:
    """The text of a value to store, and the same with `$now` unresolved, to compare repetitions.

    Placeholders of versionstamps stay in both, if `placeholders` are allowed.
    """
    said = encode_value(value, None, placeholders=placeholders)
    if not placeholders:
        without_stamps(said)
    if NOW_TEXT in said:
        return encode_value(value, now_ms, placeholders=placeholders), said
    return said, said


def check_mode(mode: Mode, poll_interval: Duration) -> bool:
    """Whether the mode is polling, which makes no difference here."""
    parse_duration(poll_interval)
    return is_polling(mode)
