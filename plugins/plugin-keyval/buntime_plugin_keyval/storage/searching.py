"""What a full-text index is, and what can be asked of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from buntime_database import Value
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.searching import HitMarks

from buntime_plugin_keyval.model.where import Where
from buntime_plugin_keyval.storage.ranges import KeyRange, subtree

EVERYTHING = -1
"""The limit that is none."""

FEW = 64
"""Matches below which a search is a small read."""

SHORT_VALUE = 16 * 1024
"""Bytes of a value that a small read may have."""

_ELEMENT = re.compile(r"0|[1-9][0-9]{0,8}")


class IndexOptions(NamedTuple):
    """What is indexed, and how text becomes words."""

    fields: tuple[str, ...]
    tokenize: str = "unicode61"


class Index(NamedTuple):
    """An index of the values below a prefix."""

    id: int
    prefix: bytes
    options: IndexOptions
    format: int
    """How it was built, as its dialect counts."""

    @property
    def table(self) -> str:
        """What it is called, and the table that it is in."""
        return f"kv_fts_{self.id}"

    @property
    def keys(self) -> KeyRange:
        """The keys whose values are indexed."""
        return subtree(self.prefix)


def index_of_row(row: Sequence[Value]) -> Index:
    """An index as operations tell of it: number, prefix, fields, tokenizer and format."""
    index_id, prefix, fields, tokenize, built = row
    options = IndexOptions(msgspec.json.decode(str(fields), type=tuple[str, ...]), str(tokenize))
    return Index(int(index_id or 0), bytes(prefix), options, int(built or 1))  # type: ignore[arg-type] # a BLOB


def is_element(step: str | int) -> bool:
    """Whether a step of a field may be an element of an array as well as a member."""
    return isinstance(step, str) and _ELEMENT.fullmatch(step) is not None


class SearchOptions(NamedTuple):
    """How to search, and what to give back."""

    limit: int
    offset: int = 0
    reverse: bool = False
    where: Where | None = None
    start: bytes | None = None
    end: bytes | None = None
    weights: Mapping[str, float] = MappingProxyType({})
    """How much a hit in a field counts; 1 for those that are not named."""
    highlight: HitMarks | None = None
    """Texts around each hit in `highlight`, which then goes with each entry."""
    snippet_words: int | None = None
    """Length of the extracts in `snippet`, which then go with each entry."""
    fuzzy: bool = False
    """Whether to look for similar words where nothing is found."""
    explain: bool = False
    """Whether each entry has its score, the best the largest, and the page what it was found by."""
    most_bytes: int | None = None
    """How large the entries of an answer may be together; None for any size."""

    @property
    def is_narrowed(self) -> bool:
        """Whether only a part of the keys is asked for."""
        return self.start is not None or self.end is not None

    def narrowed(self, keys: KeyRange) -> KeyRange:
        """The part of keys that is asked for."""
        if self.start is not None:
            keys = keys.from_key(self.start)
        return keys if self.end is None else keys.before(self.end)

    def weights_of(self, fields: Sequence[str]) -> list[float]:
        """The weights of an index's fields; none where all count the same.

        Raises `InvalidInput` for the weight of another field.
        """
        for field in self.weights:
            if field not in fields:
                raise InvalidInput(f"weights.{field}: the index has no such field")
        return [self.weights.get(field, 1.0) for field in fields] if self.weights else []
