"""What a filter comes down to: a tree that a dialect prints as SQL.

The three-valued logic of filters is gone here. Each leaf says which answer of its test is wanted,
"is true" or "is false", and nowhere in the tree is anything negated: see `compile.py`. Where a test
is unknown, a leaf does not hold, whatever it wants. The time has been put in for `$now`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from buntime_plugin_keyval.model.where.nodes import Path

Scalar: TypeAlias = str | bool | int | float | None
"""What a field is compared with. An int is exact, whatever its size."""

Sign: TypeAlias = Literal["$gt", "$gte", "$lt", "$lte"]


class Equal(msgspec.Struct, frozen=True):
    """The field is one of the values; a missing one is None."""

    path: Path
    values: tuple[Scalar, ...]
    wanted: bool


class Within(msgspec.Struct, frozen=True):
    """The field is within all bounds, one or two, which are of one kind: texts or numbers."""

    path: Path
    bounds: tuple[tuple[Sign, Scalar], ...]
    wanted: bool


class Absent(msgspec.Struct, frozen=True):
    """The field is null or missing; or, if that counts, an empty text or an empty array.

    It is never unknown.
    """

    path: Path
    or_empty: bool
    wanted: bool


class HasText(msgspec.Struct, frozen=True):
    """The field is a text with this one in that place, or an array that contains it."""

    path: Path
    where: Literal["$contains", "$startsWith", "$endsWith"]
    text: str
    folds_case: bool
    wanted: bool


class Every(msgspec.Struct, frozen=True):
    """All members hold; without members always."""

    members: tuple[Condition, ...]


class Some(msgspec.Struct, frozen=True):
    """At least one member holds; without members never."""

    members: tuple[Condition, ...]


Leaf: TypeAlias = Equal | Within | Absent | HasText

Condition: TypeAlias = Leaf | Every | Some
