"""Bodies of commits as most clients send them, read in one step.

Those have a few sums, values or deletions of plain keys, and no other members. A body that is
accepted here means the same as when it is read in full, by the declared members and the parser of
mutations. All other bodies are left to that, and so are all errors.
"""

from __future__ import annotations

from typing import ClassVar, final

import msgspec
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_keyval.wire.commits import NO_OPTIONS, Mutation
from buntime_keyval.wire.numbers import operand_of_text
from buntime_keyval.wire.shapes import MutationType
from buntime_keyval.wire.values import plain_text

from buntime_plugin_keyval.faces.http.quick_keys import PlainInteger, PlainKey

MOST_BYTES = 2048
"""The most bytes of a body that is read so. In longer ones the number of mutations is checked
first."""

_QUOTES_OF_NAME = 2
_QUOTES = _QUOTES_OF_NAME
"""Quotes in a body outside of its mutations."""
_QUOTES_OF_MUTATION = 3 * _QUOTES_OF_NAME
"""Quotes of a mutation's type, and of the names of its type and key."""
_QUOTES_OF_BIGINT = 4 * _QUOTES_OF_NAME
"""Quotes of the two members of a number as text."""


class _BigInt(msgspec.Struct, forbid_unknown_fields=True, tag_field="__type", tag="bigint"):
    value: str


@final
class _Delete(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="delete", gc=False):
    key: PlainKey


@final
class _Set(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="set", gc=False):
    key: PlainKey
    value: msgspec.Raw


class _Number(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", gc=False):
    key: PlainKey
    value: PlainInteger | _BigInt


class _Sum(_Number, tag="sum"):
    kind: ClassVar[MutationType] = "sum"


class _Max(_Number, tag="max"):
    kind: ClassVar[MutationType] = "max"


class _Min(_Number, tag="min"):
    kind: ClassVar[MutationType] = "min"


class _PlainCommit(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    mutations: list[_Sum | _Max | _Min | _Set | _Delete]
    checks: tuple[()] | msgspec.UnsetType = msgspec.UNSET


_read_commit = msgspec.json.Decoder(_PlainCommit).decode


def plain_mutations(content: bytes) -> list[Mutation] | None:
    """All mutations of a body; None for one that is to be read in full."""
    if len(content) > MOST_BYTES:
        return None
    try:
        plain = _read_commit(content)
        mutations = []
        quotes = _QUOTES if plain.checks is msgspec.UNSET else _QUOTES + _QUOTES_OF_NAME
        for mutation in plain.mutations:
            key = mutation.key
            kind: MutationType
            operand: int | str | None
            quotes += _QUOTES_OF_MUTATION
            if type(mutation) is _Delete:
                kind, operand = "delete", None
            elif type(mutation) is _Set:
                value = bytes(mutation.value)
                kind, operand = "set", plain_text(value)
                if operand is None:
                    return None
                quotes += _QUOTES_OF_NAME + value.count(b'"')
            else:
                number = mutation.value
                kind = mutation.kind
                quotes += _QUOTES_OF_NAME
                if isinstance(number, _BigInt):
                    operand = operand_of_text(kind, number.value)
                    quotes += _QUOTES_OF_BIGINT
                else:
                    operand = number
            for part in key:
                if type(part) is str:
                    quotes += 2
            mutations.append(Mutation(kind, key, operand, NO_OPTIONS, encode_key(key)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
        return None
    # Any further quotes belong to a member that is given twice, or are within a text.
    return mutations if content.count(b'"') == quotes else None
