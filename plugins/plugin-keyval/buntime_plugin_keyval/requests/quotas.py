"""Limits of principals: requests per second, open streams, entries and their bytes.

Use is counted in this process, by the principal's id. A write is first assumed to add as much as it
can; only if that would be too much is the actual use measured. So a write costs two additions until
its sender comes near a limit.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Annotated, Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec
from buntime_host import Principal
from buntime_host.options.units import parse_size
from buntime_keyval.wire import InvalidInput, check_key, encode_key, key_to_json

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model import errors
from buntime_plugin_keyval.requests.answers import Frames
from buntime_plugin_keyval.requests.asked import Asked
from buntime_plugin_keyval.requests.permissions import WRITE
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree
from buntime_plugin_keyval.storage.selection import Selection

PLUGIN = "keyval"
"""The name of this plugin among the limits of a principal."""

MOST_KNOWN = 10_000
"""The most principals whose use is remembered; the one idle for longest is forgotten first."""

ADDED_BYTES = 200
"""The most bytes of an entry in addition to its value, except for a long key."""

LOOKED_AT = 100
"""The most keys of one write that are checked one by one for being new."""

MEASURED_SECONDS = 60.0
"""How long writes by principals without limits, or by other processes, may go unnoticed."""

Amount = tuple[int, int]
"""Entries and bytes."""
Seconds = Callable[[], float]

_STREAMS = frozenset({"watch", "queue_listen"})
_REMOVING = frozenset({"delete"})
"""Operations that write without adding anything. All others may add entries or bytes."""


_Rate = Annotated[float, msgspec.Meta(gt=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class PrefixLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prefix: list[Any]
    entries: _Count | None = None
    bytes: _Count | str | None = None


class KeyLimits(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """The limits of a credential, `limits.keyval`."""

    requests_per_second: _Rate | None = None
    watchers: _Count | None = None
    """The most event streams open at a time, those of queues included."""
    entries: _Count | None = None
    """The most entries in all places where the key may write, together."""
    bytes: _Count | str | None = None
    prefixes: tuple[PrefixLimits, ...] = ()


_NAMES = KeyLimits.__struct_encode_fields__


def read_limits(given: object) -> KeyLimits:
    """Read the limits of a key. Raises `ValueError` if they are invalid."""
    try:
        limits = msgspec.convert(given, KeyLimits)
        for one in limits.prefixes:
            check_key(one.prefix or ["any"])
    except (msgspec.ValidationError, InvalidInput) as error:
        raise ValueError(f"{error}; there are {', '.join(_NAMES)}") from error
    for size in (limits.bytes, *(one.bytes for one in limits.prefixes)):
        if size is not None:
            parse_size(size)
    return limits


def check_limits(given: object) -> None:
    """See the hook `limits`."""
    read_limits(given)


class _Usage:
    """The use of some ranges, shared by all principals whose writes are limited there."""

    def __init__(self, store: Store, ranges: tuple[KeyRange, ...], clock: Seconds) -> None:
        self._store = store
        self._ranges = ranges
        self._clock = clock
        self._measured_at = -math.inf
        self._under_way = (0, 0)
        self._taken = (0, 0)
        """The total ever taken, to tell how much was taken since a moment."""
        self.used = (sys.maxsize, sys.maxsize)
        """An upper bound of entries and bytes; unknown at first."""
        self.turn = asyncio.Lock()

    @property
    def is_old(self) -> bool:
        """Whether other processes may have written much since it was measured."""
        return self._clock() - self._measured_at > MEASURED_SECONDS

    def covers(self, key: bytes) -> bool:
        return any(keys.start <= key < keys.end for keys in self._ranges)

    def take(self, added: Amount) -> None:
        """Count a write that is about to be done."""
        self.used = _sum(self.used, added)
        self._under_way = _sum(self._under_way, added)
        self._taken = (self._taken[0] + added[0], self._taken[1] + added[1])

    def give_back(self, added: Amount) -> None:
        """Note that a write is done, or has failed."""
        self._under_way = (self._under_way[0] - added[0], self._under_way[1] - added[1])

    async def measure(self) -> None:
        """Measure the entries in the ranges, in a thread. Raises `DatabaseError`."""
        store = self._store
        self._measured_at = self._clock()
        # Writes under way may or may not be seen by this read: they count in any case, as do
        # writes that are taken meanwhile.
        found, before = self._under_way, self._taken
        for keys in self._ranges:
            selection = Selection(keys, sys.maxsize)
            # With room for no bytes the statement returns sizes, and reads no value.
            statement = store.sql.reads.list_within(selection, store.clock.now(), 0)
            ((_, entries, size),) = await store.db.adapter.query(*statement, fresh=True)
            found = _sum(found, (int(entries or 0), int(size or 0)))
        taken = self._taken
        self.used = _sum(found, (taken[0] - before[0], taken[1] - before[1]))


class _Room(NamedTuple):
    """The limit of some ranges."""

    usage: _Usage
    store: Store
    most_entries: int
    most_bytes: int
    where: str

    async def take(
        self, keys: Sequence[bytes], size: int, extended: Callable[[], Set[bytes]]
    ) -> Amount:
        """Count a write of keys with so many bytes; the amount to give back once it is done.

        The values of `extended` keys are kept and may grow. Raises `QuotaExceeded`.
        """
        added = (len(keys), size + sum(len(key) + ADDED_BYTES for key in keys))
        if not self._fits(added) or self.usage.is_old:
            async with self.usage.turn:
                if not self._fits(added) or self.usage.is_old:
                    await self.usage.measure()
                if not self._fits(added):
                    added = await self._really(keys, added, extended())
                    self._check(added)
                self.usage.take(added)
                return added
        self.usage.take(added)
        return added

    def _fits(self, added: Amount) -> bool:
        entries, size = _sum(self.usage.used, added)
        return entries <= self.most_entries and size <= self.most_bytes

    def _check(self, added: Amount) -> None:
        used = self.usage.used
        if added[0] > 0 and used[0] + added[0] > self.most_entries:
            raise errors.QuotaExceeded("entries", self.most_entries, self.where)
        if added[1] > 0 and used[1] + added[1] > self.most_bytes:
            raise errors.QuotaExceeded("bytes", self.most_bytes, self.where)

    async def _really(self, keys: Sequence[bytes], most: Amount, extended: Set[bytes]) -> Amount:
        """What a write really adds: its entries less those that they replace."""
        if len(keys) > LOOKED_AT:
            return most
        entries, size = most
        for key in keys:
            old = await self.store.size(key)
            if old is not None:
                entries -= 1
                size -= len(key) + ADDED_BYTES + (0 if key in extended else old)
        return entries, size


class _Use:
    def __init__(
        self, source: Mapping[str, Any], limits: KeyLimits, rooms: Sequence[_Room], clock: Seconds
    ) -> None:
        self.source = source
        """The limits as they were given."""
        self._limits = limits
        self.rooms = rooms
        self._clock = clock
        self._tokens = max(1.0, limits.requests_per_second or 0.0)
        self._at = clock()
        self.streams = 0

    def count_request(self) -> None:
        """Count a request. Raises `RateExceeded` if there are too many in a second."""
        rate = self._limits.requests_per_second
        if rate is None:
            return
        now = self._clock()
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1.0:
            raise errors.RateExceeded(rate, (1.0 - self._tokens) / rate)
        self._tokens -= 1.0

    def open_stream(self) -> None:
        """Count a stream. Raises `TooManyStreamsOfKey` if too many are open."""
        most = self._limits.watchers
        if most is not None and self.streams >= most:
            raise errors.TooManyStreamsOfKey(most)
        self.streams += 1


class Admission(NamedTuple):
    """A request that may run; call `over` once it has."""

    use: _Use
    taken: list[tuple[_Usage, Amount]]
    is_stream: bool

    def over(self) -> None:
        """Note that the request is answered, or its stream has ended."""
        for usage, added in self.taken:
            usage.give_back(added)
        if self.is_stream:
            self.use.streams -= 1

    async def until_closed(self, frames: Frames) -> Frames:
        """The frames of a stream; calls `over` at their end."""
        try:
            async for frame in frames:
                yield frame
        finally:
            await frames.aclose()
            self.over()


class Quotas:
    """The use of one store by all principals with limits, in this process."""

    def __init__(self, store: Store, clock: Seconds = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._uses: OrderedDict[str, _Use] = OrderedDict()
        self._usages: WeakValueDictionary[tuple[KeyRange, ...], _Usage] = WeakValueDictionary()

    async def admit(self, principal: Principal, asked: Asked, size: int) -> Admission:
        """Admit a request with a body of `size` bytes.

        Raises `RateExceeded`, `TooManyStreamsOfKey`, `QuotaExceeded` and `InvalidLimits`.
        """
        use = self._use_of(principal)
        use.count_request()
        is_stream = asked.operation in _STREAMS
        if is_stream:
            use.open_stream()
        taken: list[tuple[_Usage, Amount]] = []
        admission = Admission(use, taken, is_stream)
        if use.rooms and asked.operation not in _REMOVING:
            # The key of a placeholder is new, wherever it will be.
            keys = dict.fromkeys([*asked.writes.keys, *(it.start for it in asked.writes.ranges)])
            try:
                for room in use.rooms:
                    written = [key for key in keys if room.usage.covers(key)]
                    if written:
                        added = await room.take(written, size, asked.extends)
                        taken.append((room.usage, added))
            except BaseException:
                admission.over()
                raise
        return admission

    def _use_of(self, principal: Principal) -> _Use:
        use = self._uses.get(principal.id)
        if use is not None and (use.source is principal.limits or use.source == principal.limits):
            self._uses.move_to_end(principal.id)
            return use
        streams = 0 if use is None else use.streams
        use = self._uses[principal.id] = self._new(principal)
        use.streams = streams
        if len(self._uses) > MOST_KNOWN:
            self._uses.popitem(last=False)
        return use

    def _new(self, principal: Principal) -> _Use:
        try:
            limits = read_limits(principal.limits.get(PLUGIN, {}))
            rooms = [
                self._room(
                    [subtree(key) if key else descendants(key)],
                    one.entries,
                    one.bytes,
                    f" below {key_to_json(check_key(one.prefix)) if one.prefix else '[]'}",
                )
                for one in limits.prefixes
                for key in [encode_key(check_key(one.prefix)) if one.prefix else b""]
            ]
            spans = principal.grant.spans(WRITE)
            if spans is not None and not (limits.entries is None and limits.bytes is None):
                ranges = [subtree(key) if key else descendants(key) for key in spans.prefixes]
                rooms.append(self._room(ranges, limits.entries, limits.bytes, ""))
        except ValueError as error:
            raise errors.InvalidLimits(str(error)) from error
        return _Use(principal.limits, limits, rooms, self._clock)

    def _room(
        self, ranges: list[KeyRange], entries: int | None, most: int | str | None, where: str
    ) -> _Room:
        place = tuple(ranges)
        usage = self._usages.get(place)
        if usage is None:
            usage = self._usages[place] = _Usage(self._store, place, self._clock)
        size = sys.maxsize if most is None else parse_size(most)
        return _Room(usage, self._store, sys.maxsize if entries is None else entries, size, where)


def _sum(one: Amount, other: Amount) -> Amount:
    return min(sys.maxsize, one[0] + other[0]), min(sys.maxsize, one[1] + other[1])
