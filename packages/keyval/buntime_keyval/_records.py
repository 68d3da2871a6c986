"""Records: entries under one text each, with a version that writers may insist on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeGuard, TypeVar

import msgspec

from buntime_keyval._calls.atomic import AtomicBuilder
from buntime_keyval._errors import VersionMismatch
from buntime_keyval._results import KvEntry, StreamRecord
from buntime_keyval._typed import make_scope
from buntime_keyval.wire import InvalidInput, Key
from buntime_keyval.wire.limits import MAX_LIMIT

T = TypeVar("T")

ANY_VERSION = -1
"""Overwrite, whatever the version is."""
UNLIMITED = -1
ALL_TYPES = "all"
ALL_KEYS = "*"

_PLAIN = (dict, list, tuple, str, bytes, bytearray, memoryview, int, float, type(None))
_LAST_CHARACTER, _BEFORE_SURROGATES, _AFTER_SURROGATES = 0x10FFFF, 0xD7FF, 0xE000


class KvRecord(msgspec.Struct, Generic[T], frozen=True):
    """An entry whose key is one text. Times are milliseconds since 1970."""

    key: str
    version: int
    """Commits that wrote it since the key was missing the last time, the first one included."""
    value: T
    type: str | None
    """The kind of its value; for an object of a class, the name of the class."""
    created: int
    updated: int


class RecordChange(msgspec.Struct, Generic[T], frozen=True):
    """A commit's change of a record, as the stream tells it."""

    seq: int
    """Its position: later changes have greater ones; numbers may be left out."""
    action: str
    """`create`, `update`, `delete` or `expire`."""
    key: str
    version: int | None
    """The version then, or the last one of a removed record; None in old logs without versions."""
    value: T | None
    """The value that was written, or removed; None where `has_value` is false."""
    has_value: bool
    """Whether the log has it: see the option `changes.values`."""
    type: str | None
    """The kind of its value; for an object of a class, the name of the class."""
    at: int
    """When it was committed, milliseconds since 1970."""


class RecordPut(NamedTuple):
    """A part of `mutate_all`: `put`."""

    key: str
    value: Any
    version: int = ANY_VERSION
    type: str | None = None


class RecordPatch(NamedTuple):
    """A part of `mutate_all`: `patch`."""

    key: str
    patch: Any
    version: int = ANY_VERSION


class RecordDelete(NamedTuple):
    """A part of `mutate_all`: `delete`."""

    keys: Sequence[str]


class RecordDeletePrefix(NamedTuple):
    """A part of `mutate_all`: `delete_prefix`."""

    prefix: str
    offset: int = 0
    limit: int = UNLIMITED


class RecordDeleteRange(NamedTuple):
    """A part of `mutate_all`: `delete_range`."""

    start: str
    end: str
    offset: int = 0
    limit: int = UNLIMITED


RecordMutation: TypeAlias = (
    RecordPut | RecordPatch | RecordDelete | RecordDeletePrefix | RecordDeleteRange
)


class RecordSpan(NamedTuple):
    """Which records are meant."""

    start: Key | None = None
    """The first key."""
    end: Key | None = None
    """The key behind the last one."""
    of_type: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be meant."""
        return (
            self.start is not None
            and self.end is not None
            and _texts(self.end) <= _texts(self.start)
        )

    def takes(self, entry: KvEntry[Any]) -> bool:
        """Whether this entry is a record; other keys may lie between."""
        return is_record_key(entry.key)


def prefixed(prefix: str) -> RecordSpan:
    """The records whose keys begin with a text, literally."""
    if not isinstance(prefix, str):
        raise InvalidInput(f"prefix must be a text, received {prefix!r:.100}")
    return RecordSpan((prefix,) if prefix else None, _text_behind(prefix))


def ranged(start: str, end: str) -> RecordSpan:
    """The records from one key to before another."""
    return RecordSpan(_bound("start", start), _bound("end", end))


def half_ranged(start: str | None, end: str | None) -> RecordSpan:
    """The same, or all records on a side where None is given."""
    return RecordSpan(
        None if start is None else _bound("start", start),
        None if end is None else _bound("end", end),
    )


def _bound(name: str, bound: object) -> Key:
    if not isinstance(bound, str):
        raise InvalidInput(f"{name} must be a text, received {bound!r:.100}")
    return (bound,)


def typed(of_type: str) -> RecordSpan:
    """The records of a type; `all` stands for all of them."""
    if not isinstance(of_type, str) or not of_type:
        raise InvalidInput(f"a type is a text that is not empty, received {of_type!r:.100}")
    return RecordSpan(of_type=None if of_type == ALL_TYPES else of_type)


def deletable(prefix: str) -> RecordSpan:
    """The same as `prefixed`, with `*` for all. Raises `InvalidInput` for an empty prefix."""
    if prefix == "":
        raise InvalidInput('the prefix is empty: use "*" to delete all records')
    return RecordSpan() if prefix == ALL_KEYS else prefixed(prefix)


def _text_behind(prefix: str) -> Key | None:
    """The key of the first text behind all that begin with this one; None if there is none."""
    rest = prefix.rstrip(chr(_LAST_CHARACTER))
    if not rest:
        return None
    last = ord(rest[-1])
    return (rest[:-1] + chr(_AFTER_SURROGATES if last == _BEFORE_SURROGATES else last + 1),)


def record_key(key: object) -> Key:
    """The key of an entry. Raises `InvalidInput`."""
    if not isinstance(key, str) or not key:
        raise InvalidInput(
            f"the key of a record is a text that is not empty, received {key!r:.100}"
        )
    return (key,)


def is_record_key(key: Key) -> bool:
    """Whether the entry of a key is a record."""
    return len(key) == 1 and isinstance(key[0], str)


def checked_window(offset: object, limit: object) -> tuple[int, int | None]:
    """The numbers of records to pass over and to return; None for all. Raises `InvalidInput`."""
    if not _is_integer(offset) or offset < 0:
        raise InvalidInput(f"offset must be an integer from 0, received {offset!r:.50}")
    if not _is_integer(limit) or limit < UNLIMITED:
        raise InvalidInput(
            f"limit must be -1, for all, or an integer from 0, received {limit!r:.50}"
        )
    return offset, None if limit == UNLIMITED else limit


def checked_page_size(size: object) -> int:
    """The number of records that are read at a time. Raises `InvalidInput`."""
    if not _is_integer(size) or not 1 <= size <= MAX_LIMIT:
        raise InvalidInput(
            f"page_size must be an integer from 1 to {MAX_LIMIT}, received {size!r:.50}"
        )
    return size


def checked_version(version: object) -> int:
    """-1, 0 or a version. Raises `InvalidInput`."""
    if not _is_integer(version) or version < ANY_VERSION:
        raise InvalidInput(
            f"version must be -1 (any), 0 (new) or that of the record, received {version!r:.50}"
        )
    return version


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def type_of(value: object) -> str:
    """The kind of this value, in one word: the name of its class."""
    return type(value).__name__


def stored(value: object) -> Any:
    """A value as data. Raises `InvalidValue` for an object that has no form as data."""
    if isinstance(value, _PLAIN):
        return value
    return make_scope((), type(value), None, None).check(value)


def record_reader(type: type[T] | None) -> Callable[[KvEntry[Any]], KvRecord[T]]:
    """The function that makes records of entries with details. Raises `InvalidInput` for an invalid
    type.
    """
    scope = make_scope((), type, None, None)

    def read(entry: KvEntry[Any]) -> KvRecord[T]:
        found = scope.typed(entry)
        details = entry.details
        if not found.exists or details is None:
            raise InvalidInput("a record is made of an entry with details")
        return KvRecord(
            str(entry.key[0]),
            details.revision,
            found.value,
            details.type,
            details.created_at,
            details.updated_at,
        )

    return read


def change_reader(type: type[T] | None) -> Callable[[StreamRecord], RecordChange[T]]:
    """The function that makes changes of the stream's records. Raises `InvalidInput` for an invalid
    type.
    """
    scope = make_scope((), type, None, None)

    def read(change: StreamRecord) -> RecordChange[T]:
        value = None
        if change.has_value:
            value = scope.typed(KvEntry(change.key, change.value, change.versionstamp)).value
        return RecordChange(
            change.seq,
            change.action,
            str(change.key[0]),
            change.version,
            value,
            change.has_value,
            change.type,
            change.at,
        )

    return read


def merged(value: Any, patch: Any) -> Any:
    """A value after a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, member in patch.items():
        if member is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), member)
    return result


class _State(msgspec.Struct):
    """A record in its state after the mutations so far."""

    entry: KvEntry[Any]
    """The record as it was read."""
    version: int
    """Its version; 0 if there is none."""
    value: Any
    type: str | None
    is_counted: bool = False
    """Whether the commit writes it already: the store counts the commits that write an entry."""


class RecordWrites:
    """Applies a list of mutations to the records that were read, in their order."""

    def __init__(
        self, mutations: Sequence[RecordMutation], entries: Iterable[KvEntry[Any]], *, strict: bool
    ) -> None:
        """`entries`: all that the mutations name or select, with details.

        Raises `VersionMismatch`.
        """
        self._strict = strict
        self._states: dict[str, _State] = {}
        for entry in entries:
            details = entry.details
            version, kind = (details.revision, details.type) if details else (0, None)
            self._states[str(entry.key[0])] = _State(entry, version, entry.value, kind)
        self._size = len(mutations)
        self._writes: list[Callable[[AtomicBuilder[Any]], object]] = []
        self.affected = [self._apply(mutation) for mutation in mutations]

    def write_to(self, atomic: AtomicBuilder[Any]) -> None:
        """Add the writes to a commit that holds as long as no record that was read has changed."""
        atomic.check(*(state.entry for state in self._states.values()))
        for write in self._writes:
            write(atomic)

    def _apply(self, mutation: RecordMutation) -> int:
        match mutation:
            case RecordPut(key, value, version, type):
                self._set(key, stored(value), version, type_of(value) if type is None else type)
                return 1
            case RecordPatch(key, patch, version):
                state = self._states[key]
                data = stored(patch)
                value = merged(state.value if state.version else {}, data)
                # The type is that of the last put; a patch does not change it.
                self._set(key, value, version, state.type, keeps=True)
                return 1
            case RecordDelete(keys):
                return self._delete(dict.fromkeys(keys))
        selection = selection_of(mutation)
        offset, limit = checked_window(mutation.offset, mutation.limit)
        there = sorted(
            key
            for key, state in self._states.items()
            if state.version and _is_within(key, selection)
        )
        return self._delete(there[offset : None if limit is None else offset + limit])

    def _set(
        self, key: str, value: Any, version: int, type: str | None, *, keeps: bool = False
    ) -> None:
        state = self._states[key]
        expected = checked_version(version)
        wrong = expected != state.version if state.version or self._strict else False
        if expected != ANY_VERSION and wrong:
            raise VersionMismatch(
                f"the version of {key!r} is {state.version or 'none'}, and not {expected}",
                results=[0] * self._size,
            )
        details = state.entry.details if keeps and state.version else None
        options = (
            {"metadata": details.metadata, "expires_at": details.expires_at} if details else {}
        )
        self._writes.append(lambda atomic: atomic.set((key,), value, type=type, **options))
        state.version += not state.is_counted
        state.value, state.type, state.is_counted = value, type, True

    def _delete(self, keys: Iterable[str]) -> int:
        count = 0
        for key in keys:
            state = self._states[key]
            if state.version:
                count += 1
                self._writes.append(partial(_delete_key, key))
                state.version, state.value, state.type, state.is_counted = 0, None, None, False
        return count


def _delete_key(key: str, atomic: AtomicBuilder[Any]) -> None:
    atomic.delete((key,))


def selection_of(mutation: RecordDeletePrefix | RecordDeleteRange) -> RecordSpan:
    """The records that a mutation selects. Raises `InvalidInput`."""
    if isinstance(mutation, RecordDeletePrefix):
        return deletable(mutation.prefix)
    return ranged(mutation.start, mutation.end)


def named_keys(mutations: Sequence[RecordMutation]) -> list[Key]:
    """The keys that mutations name, each once. Raises `InvalidInput` for invalid mutations."""
    keys: dict[Key, None] = {}
    for mutation in mutations:
        match mutation:
            case RecordPut(key=key) | RecordPatch(key=key):
                keys[record_key(key)] = None
            case RecordDelete(deleted):
                if isinstance(deleted, str):
                    raise InvalidInput(f"keys must be a list of texts, received {deleted!r:.100}")
                keys.update((record_key(key), None) for key in deleted)
            case RecordDeletePrefix() | RecordDeleteRange():
                pass
            case _:
                raise InvalidInput(
                    "mutate_all takes mutations of records, such as RecordPut, one after the other,"
                    f" received {mutation!r:.100}"
                )
    return list(keys)


def _is_within(key: str, selection: RecordSpan) -> bool:
    after = selection.start is None or _texts(selection.start) <= (key,)
    return after and (selection.end is None or (key,) < _texts(selection.end))


def _texts(key: Key) -> tuple[str, ...]:
    return tuple(map(str, key))
