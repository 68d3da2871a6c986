"""Typed stores without I/O: keys below a prefix, and values of one type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec
from msgspec.structs import replace

from buntime_keyval._calls.keys import Entry
from buntime_keyval._calls.stored import RelativeKey, StoredKey, StoreKey, StoreOf
from buntime_keyval._entries import is_many
from buntime_keyval._errors import InvalidValue
from buntime_keyval._merging import check_merged
from buntime_keyval._models import model_of
from buntime_keyval._results import KvEntry, KvMissing
from buntime_keyval.wire import (
    Duration,
    InvalidInput,
    Key,
    KeyLike,
    PatternLike,
    checked_pattern,
    encode_key,
    key_to_json,
)
from buntime_keyval.wire.python_keys import checked_key, checked_prefix
from buntime_keyval.wire.python_options import entry_options
from buntime_keyval.wire.shapes import MutationType

E = TypeVar("E", bound=KvEntry[Any])
T = TypeVar("T")

Progress = Callable[[int], object]
"""Called with the number of entries that were deleted so far."""

Migration = Callable[[KvEntry[Any], InvalidValue], Any]
"""Replaces the value of an entry that does not have the type of its store."""

OnInvalid = Literal["raise", "skip"] | Migration
"""How reading treats such an entry: raise `InvalidValue`, skip it, or call a function."""

DELETE_BATCH = 500
"""Entries that one request of `delete_all` deletes."""

UNTOUCHED = 10
"""In this first fraction of its life a read leaves a sliding entry alone."""

_BYTES_LIKE = (bytes, bytearray, memoryview)


class Scope(Generic[T]):
    """The prefix and the type of a store."""

    def __init__(
        self,
        prefix: KeyLike,
        type: type[T] | None,
        expires_in: Duration | None,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
        *,
        sliding: bool = False,
    ) -> None:
        if sliding and expires_in is None:
            raise InvalidInput("sliding needs expires_in, the life that a read gives again")
        if on_invalid not in ("raise", "skip") and not callable(on_invalid):
            raise InvalidInput(
                f'on_invalid must be "raise", "skip" or a function, received {on_invalid!r:.50}'
            )
        self.on_invalid = on_invalid
        self.defaults = entry_options(expires_in, None, metadata)
        self.prefix = checked_prefix(prefix)
        self.type = type
        self.expires_in = expires_in
        self.metadata = metadata
        self.sliding = sliding
        """Whether a read gives an entry its life again."""
        self._model = None if type is None else model_of(type)
        if type is not None and self._model is None:
            try:
                msgspec.convert(None, type | None)
            except (TypeError, NameError, msgspec.MsgspecError) as error:
                raise InvalidInput(f"{type!r} cannot be the type of a store: {error}") from None

    def below(self, prefix: StoreKey, type: Any) -> Scope[Any]:
        """The scope of a store inside this one."""
        inner = self.absolute(prefix)
        kind = self.type if type is None else type
        on_invalid = self.on_invalid
        if callable(on_invalid) and kind is not self.type:
            on_invalid = "raise"  # the function makes values of another type
        return Scope(inner, kind, self.expires_in, self.metadata, on_invalid, sliding=self.sliding)

    def absolute(self, key: StoreKey) -> Key:
        """The key in the whole of the database."""
        return checked_key((*self.prefix, *_parts(key)))

    def absolute_keys(self, key: StoreKey | Sequence[StoreKey]) -> list[Key]:
        """The same for one key, which may be empty, or for several in a list of lists or tuples."""
        keys: Sequence[Any] = key if is_many(key) and key else [key]
        return [self.absolute(it) for it in keys]

    def each_absolute(self, keys: Sequence[StoreKey]) -> list[Key]:
        """The same for each of several keys, in their order."""
        return [self.absolute(key) for key in _each("keys", keys)]

    def stored_key(self, key: StoreKey) -> Key:
        """The same, with the rules of this store; for a commit, it may hold `kv.uuidv7()`."""
        stored = StoredKey(checked_key((*self.prefix, *_parts(key)), placeholders=True))
        stored.rules = self
        return stored

    def absolute_prefix(self, prefix: StoreKey) -> Key:
        """The same for a prefix, which may be empty."""
        return checked_prefix((*self.prefix, *_parts(prefix)))

    def bound(self, key: StoreKey | None) -> Key | None:
        """The absolute key of a bound; a store without one ends where it ends."""
        return None if key is None else self.absolute_prefix(key)

    def selectors(
        self,
        prefix: StoreKey,
        prefixes: Sequence[StoreKey] | None,
        starts_with: StoreKey | None,
        start: StoreKey | None,
        end: StoreKey | None,
        pattern: PatternLike | None = None,
    ) -> dict[str, Any]:
        """The absolute selectors of relative ones, as `Kv.list` takes them."""
        below = self.absolute_prefix(prefix)
        others: dict[str, Any] = {}
        if prefixes is not None:
            others["prefixes"] = [self.absolute(key) for key in _each("prefixes", prefixes)]
        if starts_with is not None:
            if not _parts(starts_with):  # or it would be the beginning of the store's own prefix
                raise InvalidInput("starts_with must end with a text, received the empty key")
            others["starts_with"] = self.absolute(starts_with)
        if pattern is not None:
            others["pattern"] = (*self.prefix, *checked_pattern(pattern))
        if others and not _parts(prefix):
            below = ()  # they are below it, too
        bounds = {"start": self.bound(start), "end": self.bound(end)}
        return {"prefix": below, **others, **bounds}

    def deleted(
        self,
        key: StoreKey,
        prefixes: Sequence[StoreKey] | None,
        starts_with: StoreKey | None,
        start: StoreKey | None,
        end: StoreKey | None,
        type: str | None = None,
        pattern: PatternLike | None = None,
    ) -> dict[str, Any]:
        """The same for a deletion, which is not of the whole store. Raises `InvalidInput`."""
        others = (prefixes, starts_with, start, end, type, pattern)
        if not _parts(key) and all(it is None for it in others):
            raise InvalidInput(
                "Name what to delete: a key, prefixes, starts_with, a pattern, start, end or a type"
            )
        if prefixes is not None and not all(map(_parts, _each("prefixes", prefixes))):
            raise InvalidInput("The empty key is the whole store: to delete that, use delete_all()")
        return self.selectors(key, prefixes, starts_with, start, end, pattern)

    def due(self, entries: Iterable[Entry], now_ms: float) -> list[Entry]:
        """The entries, with details, whose life a read has to renew.

        At most once in a tenth of it, lest each read be a write. An entry with a longer life, or
        without an end, keeps that. Where the clocks differ it happens more often.
        """
        life = self.defaults.expires_in
        if not self.sliding or life is None:
            return []
        found = []
        for entry in entries:
            ends = entry.details.expires_at if entry.details is not None else None
            if ends is None or entry.details is None or ends - entry.details.updated_at > life:
                continue
            passed = now_ms - (ends - life)
            if not 0 <= passed < life / UNTOUCHED:
                found.append(entry)
        return found

    def check(self, value: T) -> Any:
        """A value that may be stored, as data. Raises `InvalidValue`."""
        if self.type is None:
            return value
        try:
            plain = _plain(value) if self._model is None else self._model.plain(value)
            self.convert(plain)
        except (TypeError, msgspec.ValidationError) as error:
            raise InvalidValue(f"The value is not of type {self.type_name}: {error}") from error
        return plain

    def merged(self, kind: MutationType, operand: Any) -> Any:
        """A merge patch as data. Raises `InvalidValue`.

        Its result is unknown before it is read.
        """
        if self.type is None:
            return operand
        try:
            plain = _plain(operand)
            if self._model is None:
                check_merged(self.type, kind, plain)
            else:
                self._model.check_merged(kind, plain)
        except (TypeError, msgspec.ValidationError) as error:
            raise InvalidValue(
                f"The {kind} does not fit values that are {self.type_name}: {error}"
            ) from error
        return plain

    def typed(self, entry: Entry) -> KvEntry[T] | KvMissing[None]:
        """An entry with a relative key and a value of the type. Raises `InvalidValue`.

        One that is passed over is missing.
        """
        found = self.found(entry)
        return KvMissing(self.relative(entry.key), None, None) if found is None else found

    def found(self, entry: E, *, validate: bool = True) -> E | None:
        """The same of one of several, None where it is passed over.

        Without `validate` the entry is one that has no value.
        """
        key = self.relative(entry.key)
        if entry.versionstamp is None or not validate:
            return replace(entry, key=key)
        try:
            value = self.convert(entry.value)
        except msgspec.ValidationError as error:
            invalid = InvalidValue(
                f"The value at {key_to_json(entry.key)} is not of type {self.type_name}: {error}"
            )
            if self.on_invalid == "raise":
                raise invalid from error
            if self.on_invalid == "skip":
                return None
            value = self._migrated(replace(entry, key=key), invalid)
        return replace(entry, key=key, value=value)

    def all_found(self, entries: Iterable[E], *, validate: bool = True) -> list[E]:
        """The same for all that are not skipped."""
        typed = [self.found(entry, validate=validate) for entry in entries]
        return [entry for entry in typed if entry is not None]

    def told(self, batch: Sequence[Entry | KvMissing[None]], *, exact: bool) -> list[Entry] | None:
        """The batch of a watch for this store, None if none of it is of this store.

        An empty batch says that changes were missed, and is passed on.
        """
        within = [it for it in batch if exact or len(it.key) > len(self.prefix)]
        found = self.all_found(within)
        return found if found or not batch else None

    def relative(self, key: Key) -> Key:
        """The key without the prefix of the store."""
        size = len(self.prefix)
        if encode_key(key[:size]) != encode_key(self.prefix):
            raise InvalidInput(f"{key_to_json(key)} is not in this store")
        relative = RelativeKey(key[size:])
        relative.absolute = key
        return relative

    def convert(self, value: Any) -> T:
        """A value of the type, of data. Raises `msgspec.ValidationError`."""
        if self.type is None:
            return value  # type: ignore[no-any-return] # no type, no check
        if self._model is not None:
            return self._model.convert(value)  # type: ignore[no-any-return] # as Pydantic says
        return msgspec.convert(value, self.type, str_keys=True)  # as JSON has them

    def _migrated(self, entry: Entry, invalid: InvalidValue) -> T:
        """The function's replacement of a value, which has to be of the type, or data for it."""
        if not callable(self.on_invalid):
            raise invalid
        made = self.on_invalid(entry, invalid)
        try:
            return self.convert(self.check(made))
        except InvalidValue as error:
            raise InvalidValue(f"{invalid}; on_invalid gave another: {error}") from error

    @property
    def type_name(self) -> str:
        """The name of the type."""
        return getattr(self.type, "__name__", repr(self.type))


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, builtin_types=_BYTES_LIKE, str_keys=True, enc_hook=_integer)


def _each(name: str, keys: object) -> Sequence[Any]:
    """Several keys. Raises `InvalidInput` for a text, which would be one for each letter."""
    if not isinstance(keys, (list, tuple)):
        raise InvalidInput(f"{name} must be a list of keys, received {keys!r:.100}")
    return keys


def _parts(key: StoreKey) -> Sequence[Any]:
    if isinstance(key, (list, tuple)):
        return key
    return (key,)


def _integer(value: object) -> Any:
    if isinstance(value, int):  # BigInt, which msgspec does not know
        return int(value)
    raise TypeError(f"objects of type {type(value).__name__} are not supported")


def make_scope(
    prefix: KeyLike,
    type: type[T] | None,
    expires_in: Duration | None,
    metadata: Any,
    on_invalid: OnInvalid = "raise",
    *,
    sliding: bool = False,
) -> Scope[T]:
    """The scope of a store. Raises `InvalidInput` for a type that cannot be validated."""
    return Scope(prefix, type, expires_in, metadata, on_invalid, sliding=sliding)


def scope_of(store: StoreOf[T]) -> Scope[T]:
    """The scope of a store. Raises `InvalidInput` for an invalid one."""
    if not isinstance(store, StoreOf):
        raise InvalidInput(f"This takes a typed store, as of kv.store(), received {store!r:.50}")
    return cast("Scope[T]", store._scope)
