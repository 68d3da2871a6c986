"""Parsing the checks and mutations of requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import (
    UUIDV7,
    InvalidInput,
    Key,
    canonical_metadata,
    check_key,
    encode_key,
    key_to_json,
    parse_expires_at,
    parse_expires_in,
)
from buntime_keyval.wire.canonical import CanonicalText, text_of
from buntime_keyval.wire.commits import (
    CREATING,
    LISTS,
    NUMERIC,
    WITHOUT_VALUE,
    EntryOptions,
    Mutation,
    PlacedKey,
    resolve_key,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.limits import MAX_BIGINT_DIGITS
from buntime_keyval.wire.members import check_members
from buntime_keyval.wire.numbers import is_tagged_bigint, operand_of_text
from buntime_keyval.wire.shapes import MUTATION_TYPES, MutationType
from msgspec.structs import replace

CHECK_MEMBERS = frozenset({"key", "versionstamp"})
MUTATION_MEMBERS = frozenset(
    {
        "type",
        "key",
        "value",
        "expiresIn",
        "expireIn",
        "expiresAt",
        "metadata",
        "entryType",
        "onCreate",
    }
)
_PLAIN_MEMBERS = frozenset({"type", "key", "value"})
"""The members that most mutations have."""
# In the order of the error message.
_HINTED_MEMBERS = (
    "type",
    "key",
    "value",
    "expiresIn",
    "expiresAt",
    "metadata",
    "entryType",
    "onCreate",
    "expireIn",
)
_CREATE_MEMBERS = ("expiresIn", "expiresAt", "metadata", "entryType")

T = TypeVar("T")
ParseMutation = Callable[[dict[str, Any], str, int], T]
"""Called with a mutation, its place for messages, and the time of `$now`."""
ParseCheck = Callable[[dict[str, Any], str], T]


def parse_check(index: int, item: Any, others: Mapping[str, ParseCheck[T]]) -> EngineCheck | T:
    """Parse a check of a decoded request. Raises `InvalidInput`.

    `others` are the parsers of other kinds, by the member that identifies them.
    """
    if not isinstance(item, dict):
        raise InvalidInput(f"Invalid check at index {index}: received {describe(item)}")
    if not item.keys() <= CHECK_MEMBERS:
        for name in others.keys() & item.keys():
            return others[name](item, f"checks[{index}]")
        check_members(item, CHECK_MEMBERS, f"checks[{index}]")
    if "versionstamp" not in item and "key" in item:
        # A missing versionstamp is a mistake, such as an undefined one, and does not mean absence.
        raise InvalidInput(
            f"Invalid check at index {index}: versionstamp is missing; null asks for a key that"
            " does not exist"
        )
    versionstamp = item.get("versionstamp")
    if versionstamp is not None and not isinstance(versionstamp, str):
        raise InvalidInput(
            f"Invalid check at index {index}: versionstamp must be a string or null, "
            f"received {describe(versionstamp)}"
        )
    return EngineCheck(encode_key(check_key(item.get("key"))), versionstamp)


def parse_mutation(
    index: int, item: Any, now_ms: int, others: Mapping[str, ParseMutation[T]]
) -> Mutation | T:
    """Parse a mutation; its value may be a `CanonicalText`. Raises `InvalidInput`.

    `now_ms` is the time of `$now`. `others` are the parsers of other types.
    """
    if not isinstance(item, dict):
        raise InvalidInput(f"Invalid mutation at index {index}: received {describe(item)}")
    kind = item.get("type")
    if kind not in MUTATION_TYPES:
        if isinstance(kind, str) and kind in others:
            return others[kind](item, f"mutations[{index}]", now_ms)
        shown = kind if isinstance(kind, str) else describe(kind)
        known = ", ".join((*MUTATION_TYPES, *others))
        raise InvalidInput(f"Unknown mutation type: {shown} (one of {known})")
    if item.keys() <= _PLAIN_MEMBERS:
        value = item.get("value", msgspec.UNSET)
        return make_mutation(kind, item.get("key"), value, now_ms=now_ms)
    if not item.keys() <= MUTATION_MEMBERS:
        check_members(item, _HINTED_MEMBERS, f"mutations[{index}]")
    expires_in = item.get("expiresIn")
    if (older := item.get("expireIn")) is not None:
        if expires_in is not None:
            raise InvalidInput("expiresIn is given twice: as expiresIn and as expireIn")
        expires_in = older
    mutation = make_mutation(
        kind,
        item.get("key"),
        item.get("value", msgspec.UNSET),
        expires_in=expires_in,
        expires_at=item.get("expiresAt"),
        metadata=canonical_metadata(item.get("metadata"), now_ms),
        entry_type=item.get("entryType"),
        now_ms=now_ms,
    )
    created = item.get("onCreate")
    if created is None:
        return mutation
    return replace(mutation, on_create=_on_create(kind, created, f"mutations[{index}]", now_ms))


def _on_create(kind: MutationType, item: object, place: str, now_ms: int) -> EntryOptions:
    """Parse the options for a key that is missing. Raises `InvalidInput`."""
    if kind not in CREATING:
        raise InvalidInput(
            f"onCreate is not allowed on a {kind}: it is for {', '.join(CREATING)}, which keep the"
            " life of what is there"
        )
    if not isinstance(item, dict):
        raise InvalidInput(
            f"onCreate in {place} must be an object with some of {', '.join(_CREATE_MEMBERS)}, "
            f"received {describe(item)}"
        )
    check_members(item, _CREATE_MEMBERS, f"{place}.onCreate")
    return EntryOptions(
        parse_expires_in(item.get("expiresIn")),
        parse_expires_at(item.get("expiresAt")),
        canonical_metadata(item.get("metadata"), now_ms),
        checked_type(item.get("entryType"), "entryType"),
    )


def make_mutation(
    type: MutationType,
    key: object,
    value: object = msgspec.UNSET,
    *,
    expires_in: object = None,
    expires_at: object = None,
    metadata: str | None = None,
    entry_type: object = None,
    now_ms: int,
) -> Mutation:
    """Check a mutation. `value` is decoded JSON or a `CanonicalText`, `UNSET` without one.

    `metadata` is canonical JSON; times are as callers wrote them; `now_ms` is the time of `$now`.

    Raises `InvalidInput` for a bad key, or an operand that the type does not take.
    """
    checked: PlacedKey = check_key(key, placeholders=True)
    encoded: bytes | None
    if UUIDV7 in checked:
        encode_key(resolve_key(checked, ""))  # refuses lone surrogates before anything else
        encoded = None
    else:
        encoded = encode_key(cast(Key, checked))
    operand: int | str | None
    if type in WITHOUT_VALUE:
        life = (expires_in, expires_at)
        _refuse_members(type, value, *life, metadata=metadata, entry_type=entry_type)
        operand = None
    elif type in NUMERIC:
        operand = _integer(type, value)
    elif type in ("set", "patch") and value is msgspec.UNSET:
        raise InvalidInput(f"value is required in a {type}: any JSON value, null included")
    elif type in LISTS and not _is_array(value):
        raise InvalidInput(f"{type} value must be an array")
    else:
        operand = text_of(value, now_ms, placeholders=True)
    if expires_in is None and expires_at is None and metadata is None and entry_type is None:
        return Mutation(type, checked, operand, encoded=encoded)
    options = EntryOptions(
        parse_expires_in(expires_in),
        parse_expires_at(expires_at),
        metadata,
        checked_type(entry_type, "entryType"),
    )
    return Mutation(type, checked, operand, options, encoded)


def _refuse_members(
    type: MutationType, value: object, *life: object, metadata: object, entry_type: object
) -> None:
    """Raise `InvalidInput` for options that a mutation without a value cannot have, or lacks."""
    expires_in, expires_at = life if type != "touch" else (None, None)
    for name, option in (
        ("expiresIn", expires_in),
        ("expiresAt", expires_at),
        ("metadata", metadata),
        ("entryType", entry_type),
        ("value", None if value is msgspec.UNSET else value),
    ):
        if option is not None:
            raise InvalidInput(f"{name} is not allowed on a {type}")
    if type == "touch" and life == (None, None):
        raise InvalidInput("expiresIn or expiresAt is required in a touch: its new life")


def _is_array(value: object) -> bool:
    if isinstance(value, CanonicalText):
        return value.text.startswith("[")
    return isinstance(value, list)


def _integer(kind: str, value: object) -> int:
    """The operand of a numeric mutation, in any form that clients send."""
    if type(value) is int:
        return value
    if isinstance(value, CanonicalText):
        if len(value.text) < 2 * MAX_BIGINT_DIGITS:  # perhaps a tagged bigint
            value = msgspec.json.decode(value.text)
        else:
            value = [] if value.text.startswith("[") else {}
    if isinstance(value, bool) or value is msgspec.UNSET:
        pass
    elif isinstance(value, int):
        return int(value)
    elif isinstance(value, float):
        if math.isfinite(value):
            return math.trunc(value)
        raise InvalidInput(f"{kind} value must be a finite number, received {value}")
    elif isinstance(value, str) or is_tagged_bigint(value):
        text = value if isinstance(value, str) else cast("dict[str, Any]", value).get("value")
        return operand_of_text(kind, text)
    shown = "undefined" if value is msgspec.UNSET else describe(value)
    raise InvalidInput(
        f"{kind} value must be a number, bigint, or numeric string, received {shown}"
    )


def shown_key(key: PlacedKey) -> str:
    """A key for a message."""
    return key_to_json(resolve_key(key, repr(UUIDV7)))
