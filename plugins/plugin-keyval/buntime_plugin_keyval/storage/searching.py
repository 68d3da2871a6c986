"""Full-text indexes, and the options of searches."""

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
"""The limit that stands for none."""

FEW = 64
"""The most matches of a search that is a small read."""

SHORT_VALUE = 16 * 1024
"""The most bytes of a value in a small read."""

_ELEMENT = re.compile(r"0|[1-9][0-9]{0,8}")


class IndexOptions(NamedTuple):
    """The fields that are indexed, and how text is divided into words."""

    fields: tuple[str, ...]
    tokenize: str = "unicode61"


class Index(NamedTuple):
    """An index of the values below a prefix."""

    id: int
    prefix: bytes
    options: IndexOptions
    format: int
    """The version of its structure, as counted by its dialect."""

    @property
    def table(self) -> str:
        """Its name, which is also that of its table."""
        return f"kv_fts_{self.id}"

    @property
    def keys(self) -> KeyRange:
        """The keys whose values are indexed."""
        return subtree(self.prefix)


def index_of_row(row: Sequence[Value]) -> Index:
    """An index from a row: number, prefix, fields, tokenizer and format."""
    index_id, prefix, fields, tokenize, built = row
    options = IndexOptions(msgspec.json.decode(str(fields), type=tuple[str, ...]), str(tokenize))
    return Index(int(index_id or 0), bytes(prefix), options, int(built or 1))  # type: ignore[arg-type] # a BLOB


def is_element(step: str | int) -> bool:
    """Whether a step of a field may be an element of an array as well as a member."""
    return isinstance(step, str) and _ELEMENT.fullmatch(step) is not None


class SearchOptions(NamedTuple):
    limit: int
    offset: int = 0
    reverse: bool = False
    where: Where | None = None
    start: bytes | None = None
    end: bytes | None = None
    weights: Mapping[str, float] = MappingProxyType({})
    """The weight of hits in a field; 1 for fields that are not named."""
    highlight: HitMarks | None = None
    """Texts around each hit, for the member `highlight` of entries."""
    snippet_words: int | None = None
    """Length of the extracts, for the member `snippet` of entries."""
    fuzzy: bool = False
    """Whether to look for similar words if nothing is found."""
    explain: bool = False
    """Whether entries have their scores, larger being better, and the page an explanation."""
    most_bytes: int | None = None
    """The most bytes of all entries of an answer; None for any number."""

    @property
    def is_narrowed(self) -> bool:
        """Whether only a part of the keys is searched."""
        return self.start is not None or self.end is not None

    def narrowed(self, keys: KeyRange) -> KeyRange:
        """The part of a range that is searched."""
        if self.start is not None:
            keys = keys.from_key(self.start)
        return keys if self.end is None else keys.before(self.end)

    def weights_of(self, fields: Sequence[str]) -> list[float]:
        """The weights of an index's fields; empty if all are equal.

        Raises `InvalidInput` for the weight of another field.
        """
        for field in self.weights:
            if field not in fields:
                raise InvalidInput(f"weights.{field}: the index has no such field")
        return [self.weights.get(field, 1.0) for field in fields] if self.weights else []
