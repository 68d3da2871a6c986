"""The requests of a watch, and its reading of the answers. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from buntime_keyval._calls.keys import Entry, checked_limit, query_text
from buntime_keyval._core import Call, StreamCall, json_body
from buntime_keyval._entries import is_many, raw_keys, read_entries
from buntime_keyval._errors import InvalidResponse
from buntime_keyval._sse import ServerEvent
from buntime_keyval.wire import InvalidInput, Key, encode_key, format_key_path, key_to_json
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys

T = TypeVar("T")

MAX_QUERY = 4000
"""Longer queries go into a body: many servers and proxies refuse long URLs."""

Mode = Literal["sse", "polling"]
Overflow = Literal["drop-oldest", "drop-newest"]


def is_polling(mode: object) -> bool:
    """Whether to ask again and again instead of holding a stream open. Raises `InvalidInput`."""
    if mode not in ("sse", "polling"):
        raise InvalidInput(f"mode must be sse or polling, received {mode!r}")
    return mode == "polling"


class WatchedKeys(msgspec.Struct, frozen=True):
    """The target of a watch."""

    keys: tuple[Key, ...]
    exact: bool
    """Only these keys; otherwise all that extend them as well."""
    limit: int
    """Entries in one event, and in the snapshot at the beginning of a prefix."""

    def query(self, **more: Any) -> str:
        """The query string that names it."""
        name = "keys" if self.exact else "prefixes"
        limit = None if self.exact else self.limit
        return query_text({name: keys_text(self.keys), "limit": limit, **more})


def make_target(raw: Any, *, exact: bool, limit: int | None) -> WatchedKeys:
    """The target of a key, or of several. Raises `InvalidInput`."""
    keys = checked_keys(raw) if is_many(raw) else [checked_key(raw)]
    size = DEFAULT_LIMIT if limit is None else min(checked_limit(limit), MAX_LIMIT)
    return WatchedKeys(tuple(keys), exact, size)


def keys_text(keys: tuple[Key, ...]) -> str:
    """Keys as a query parameter: comma-joined paths, or JSON where one of them has no path."""
    paths = [format_key_path(key) for key in keys]
    if any(path is None for path in paths):
        return f"[{','.join([key_to_json(key) for key in keys])}]"
    return ",".join([path for path in paths if path is not None])


class WatchPlan:
    """A watch over event streams that goes on, without a gap, where a broken one ended.

    Every event of the server names a place in its log of changes, from which a new stream can go
    on; the first one comes at once.
    """

    def __init__(self, target: WatchedKeys, *, emit_initial: bool) -> None:
        self._target = target
        self._emit_initial = emit_initial
        self._place: str | None = None

    def stream_call(self) -> StreamCall:
        """The stream to open now."""
        path = "/watch" if self._target.exact else "/watch/prefix"
        initial = None if self._emit_initial else False
        return StreamCall(f"{path}?{self._target.query(initial=initial)}", self._place)

    def take(self, event: ServerEvent) -> list[Entry] | None:
        """The entries that an event tells of, none of them for a reset.

        Raises `InvalidResponse`.
        """
        entries = None
        if event.event == "change":
            entries = read_event(event, read_entries)
        elif event.event == "reset":
            entries = []
        self._place = event.id or self._place
        return entries

    def place(self) -> object:
        """The last event that the server named."""
        return self._place


class PollAnswer(msgspec.Struct):
    """The answer to a poll."""

    entries: msgspec.Raw
    versionstamps: list[str] | str


_decode_poll = msgspec.json.Decoder(PollAnswer).decode


class PollPlan:
    """A watch that asks again and again."""

    def __init__(self, target: WatchedKeys, *, emit_initial: bool) -> None:
        self._target = target
        self._silent = not emit_initial
        self._known: str | None = None

    def call(self) -> Call[PollAnswer]:
        """The next poll."""
        path = "/watch/poll" if self._target.exact else "/watch/prefix/poll"
        query = self._target.query(versionstamps=self._known)
        if len(query) <= MAX_QUERY:
            return Call("GET", f"{path}?{query}", _decode_poll, repeatable=True)
        keys = raw_keys(self._target.keys)
        body = (
            json_body(keys=keys, versionstamps=self._known)
            if self._target.exact
            else json_body(prefixes=keys, versionstamps=self._known, limit=self._target.limit)
        )
        return Call("POST", path, _decode_poll, body, repeatable=True)

    def take(self, answer: PollAnswer) -> tuple[list[Entry], bool]:
        """The entries to tell of, and whether there are more to ask for at once."""
        entries = read_entries(bytes(answer.entries))
        stamps = answer.versionstamps
        self._known = stamps if isinstance(stamps, str) else ",".join(stamps)
        more = not self._target.exact and len(entries) >= self._target.limit
        silent = self._silent
        self._silent = silent and more
        return ([] if silent else entries), more


class Buffer:
    """Batches between the network and their reader.

    Without a size one batch waits, and nothing more is read until it is taken. With a size, up to
    so many keys wait, each with its latest entry in the place of its first; further keys push out
    the oldest, or are dropped themselves.
    """

    def __init__(self, size: int | None, overflow: Overflow) -> None:
        if size is not None:
            checked_limit(size)
        if overflow not in ("drop-oldest", "drop-newest"):
            raise InvalidInput(
                f"overflow_strategy must be drop-oldest or drop-newest, received {overflow!r}"
            )
        self._size = size
        self._drop_oldest = overflow == "drop-oldest"
        self._waiting: dict[bytes, Entry] = {}
        self._batch: list[Entry] | None = None
        self._reset = False
        self.dropped = 0
        """Entries that did not fit."""

    @property
    def full(self) -> bool:
        """Whether nothing may be added now."""
        return self._batch is not None

    @property
    def filled(self) -> bool:
        """Whether there is something to take."""
        return bool(self._waiting) or self._batch is not None or self._reset

    def add(self, entries: list[Entry]) -> None:
        """Take a batch of the network in; an empty one says that what waits is out of date."""
        if self._size is None:
            self._batch = entries
            return
        if not entries:
            self._waiting, self._reset = {}, True
        for entry in entries:
            key = encode_key(entry.key)
            if key not in self._waiting and len(self._waiting) >= self._size:
                self.dropped += 1
                if not self._drop_oldest:
                    continue
                del self._waiting[next(iter(self._waiting))]
            self._waiting[key] = entry

    def take(self) -> list[Entry]:
        """Everything that waits; first of all a reset."""
        if self._reset:
            self._reset = False
            return []
        if self._batch is not None:
            batch, self._batch = self._batch, None
            return batch
        entries, self._waiting = list(self._waiting.values()), {}
        return entries

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting, self._batch, self._reset = {}, None, False


def read_event(event: ServerEvent, read: Callable[[bytes], T]) -> T:
    """The content of an event. Raises `InvalidResponse`."""
    try:
        return read(event.data)
    except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError, RecursionError) as error:
        raise InvalidResponse(f"An event cannot be read: {error}: {event.data[:200]!r}") from error
