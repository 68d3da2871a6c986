"""The combined effect of one commit's mutations on a key.

Each mutation sees the effects of those before it, but texts are put together and numbers written
once, at the end: a thousand items that are appended one by one copy a long array once.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from buntime_keyval.wire import InvalidInput, encode_key, key_to_json, read_integer
from buntime_keyval.wire.commits import LISTS, LIVES, MERGING, NO_OPTIONS, Mutation
from buntime_keyval.wire.limits import MAX_BIGINT_DIGITS, MAX_SAFE_INTEGER, MAX_VALUE_BYTES
from buntime_keyval.wire.numbers import is_long, is_tagged_bigint, plain_number, tag_bigint

from buntime_plugin_keyval.engine.decisions import View
from buntime_plugin_keyval.model.merge_patch import Merging
from buntime_plugin_keyval.model.mutations import shown_key
from buntime_plugin_keyval.model.options import expiry
from buntime_plugin_keyval.storage.effects import Effect, Put, Remove
from buntime_plugin_keyval.storage.ranges import single

_LONGEST_NUMBER = MAX_BIGINT_DIGITS + 100
"""Most characters of a number's text; a longer one is a bigint from before there was a limit."""

_KINDS = {"[": "array", "{": "object", '"': "string", "t": "boolean", "f": "boolean"}


class Draft:
    """One key in a commit that is being decided."""

    __slots__ = (
        "_back",
        "_expires_at",
        "_front",
        "_is_tagged",
        "_key",
        "_merging",
        "_metadata",
        "_mutation",
        "_number",
        "_size",
        "_text",
        "_type",
        "_view",
        "_was_deleted",
    )

    def __init__(self, key: bytes, view: View) -> None:
        self._key = key
        self._view = view
        self._mutation: Mutation | None = None
        """The last one."""
        self._was_deleted = False
        self._text: str | None = None
        """The value, where it is no number, and has no patches, and no items around it."""
        self._size = 0
        self._number: int | float | None = None
        self._is_tagged = False
        self._merging: Merging | None = None
        """The value, where patches are being merged into it."""
        self._front: list[str] = []
        self._back: list[str] = []
        self._expires_at: int | None = None
        self._metadata: str | None = None
        self._type: str | None = None

    def apply(self, mutation: Mutation) -> None:
        """Apply a mutation. Raises `InvalidInput` if it does not fit the value."""
        first = self._mutation is None
        self._mutation = mutation
        if mutation.type == "delete":
            self._was_deleted = True
            self._begin(None)
            self._expires_at = self._metadata = self._type = None
            return
        options = mutation.options
        expires_at, metadata, kind = expiry(options, self._view.at), options.metadata, options.type
        if mutation.type == "set":
            self._begin(str(mutation.operand))
        else:
            if first:
                row = self._view.get(self._key)
                if row is not None:
                    self._begin(row.value)
                    self._expires_at, self._metadata = row.expires_at, row.metadata
                    self._type = row.type
            created = mutation.on_create
            if created is not NO_OPTIONS and not self._is_there:
                self._expires_at = expiry(created, self._view.at)
                self._metadata, self._type = created.metadata, created.type
            # A counter keeps the life, the metadata and the type that it was given.
            expires_at = self._expires_at if expires_at is None else expires_at
            metadata = self._metadata if metadata is None else metadata
            kind = self._type if kind is None else kind
            if mutation.type in LISTS:
                self._extend(mutation, str(mutation.operand))
            elif mutation.type in LIVES:
                if mutation.type == "persist" or not self._is_there:
                    expires_at = None
            elif mutation.type == "patch":
                if self._merging is None:
                    self._merging = Merging(self._value())
                self._merging.patch(str(mutation.operand))
            else:
                self._compute(mutation, mutation.operand)  # type: ignore[arg-type] # an integer
        self._expires_at, self._metadata, self._type = expires_at, metadata, kind

    def result(self, mutation: Mutation) -> str | None:
        """The result of the mutation just applied: the value as JSON, and for one that gives a life
        whether the entry exists.

        None for results that were known before.
        """
        if mutation.type in LIVES:
            return "true" if self._is_there else "false"
        return self._value() if mutation.type in MERGING else None

    @property
    def _is_there(self) -> bool:
        return not (self._text is None and self._number is None and self._merging is None)

    @property
    def size(self) -> int:
        """Characters of the value, a few more or less. Raises `InvalidInput` if patches made it too
        long."""
        if self._merging is not None:
            self._value()
        return self._size

    def effect(self) -> Effect:
        """The effect on the key, once all mutations were applied."""
        mutation = self._mutation
        value = self._value()
        if mutation is None or value is None:
            return Remove(single(self._key))
        return Put(
            self._key,
            key_to_json(mutation.resolved_key(self._view.versionstamp)),
            value,
            self._expires_at,
            self._metadata,
            self._was_deleted,
            mutation.encoded is None,  # its key holds the versionstamp
            self._type,
        )

    def _begin(self, text: str | None) -> None:
        self._text = text
        self._number = None
        self._merging = None
        self._front, self._back = [], []
        self._size = len(text or "")

    def _value(self) -> str | None:
        """The canonical value, put together if needed; None if there is none."""
        if self._merging is not None:
            self._begin(self._merging.text())
        elif self._number is not None:
            number = tag_bigint(int(self._number)) if self._is_tagged else self._number
            self._begin(msgspec.json.encode(number).decode())
        elif self._text is not None and (self._front or self._back):
            items = [*reversed(self._front), self._text[1:-1], *self._back]
            separated = [part for item in items for part in (",", item)]
            separated[0] = "["
            self._begin("".join((*separated, "]")))  # the text may be long: one copy of it
        return self._text

    def _extend(self, mutation: Mutation, added: str) -> None:
        if self._number is not None or self._merging is not None:
            self._value()
        text = self._text
        if text is None or text in ("null", "[]"):
            self._begin(added)
            return
        if not text.startswith("["):
            raise InvalidInput(
                f"{mutation.type} requires an array at key {shown_key(mutation.key)}, "
                f"found {_kind(text)}"
            )
        if added == "[]":
            return
        # Both are canonical arrays with items: what lies between the brackets is all it takes.
        (self._back if mutation.type == "append" else self._front).append(added[1:-1])
        self._size += len(added) - 1
        if self._size > MAX_VALUE_BYTES:
            raise InvalidInput(
                f"Value too large at key {shown_key(mutation.key)} (max {MAX_VALUE_BYTES})"
            )

    def _compute(self, mutation: Mutation, operand: int) -> None:
        if self._number is None:
            self._read_number(mutation)
        value = self._number
        result: int | float
        if value is None:
            result = operand
        elif mutation.type == "sum":
            try:
                result = value + operand
            except OverflowError:
                result = math.inf
        else:
            result = max(value, operand) if mutation.type == "max" else min(value, operand)
        if isinstance(result, float):
            if not math.isfinite(result):
                raise InvalidInput(
                    f"{mutation.type} at key {shown_key(mutation.key)} exceeds the range of a "
                    "number"
                )
            result, self._is_tagged = plain_number(result), False
        elif self._is_tagged or not -MAX_SAFE_INTEGER <= result <= MAX_SAFE_INTEGER:
            if is_long(result):
                raise InvalidInput(
                    f"{mutation.type} at key {shown_key(mutation.key)} exceeds "
                    f"{MAX_BIGINT_DIGITS} digits"
                )
            self._is_tagged = True
        self._number = result
        self._size = result.bit_length() if isinstance(result, int) else 0

    def _read_number(self, mutation: Mutation) -> None:
        """Take the value for a number; there may be none, or null."""
        text = self._value()
        self._is_tagged = False
        if text is None or text == "null":
            return
        value: Any = None
        if len(text) <= _LONGEST_NUMBER:
            value = msgspec.json.decode(text)
            if is_tagged_bigint(value):
                self._number, self._is_tagged = read_integer(value.get("value")), True
                return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidInput(
                f"{mutation.type} requires a numeric value at key {shown_key(mutation.key)}, "
                f"found {_kind(text)}"
            )
        self._number = value


def draft_key(mutation: Mutation, versionstamp: str) -> bytes:
    """The encoded key of a mutation."""
    return mutation.encoded or encode_key(mutation.resolved_key(versionstamp))


def _kind(text: str) -> str:
    """The type of a canonical text; no more, since a caller that may write need not have `read`."""
    return _KINDS.get(text[0], "number")
