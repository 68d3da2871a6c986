"""Statements that read entries, made of templates: so far as that is the same in all dialects.

A template has `?` for each argument, `%s` where keys go in, and in what lists `{entry}` for its
JSON, `{size}` for about how many bytes that has, `{where}` for TRUE or a filter, `{order}` for ASC
or DESC, and `{last}` for min or max, whichever finds the last key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
from buntime_database import Statement
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.storage.dialects.reads import OfKeys, Selecting, SelectingWithin
from buntime_plugin_keyval.storage.ranges import KeyRange, hexadecimal
from buntime_plugin_keyval.storage.selection import RowCondition, Selection

LIVE = "(expires_at IS NULL OR expires_at > ?)"
IN_RANGE = "key >= ? AND key < ?"
COUNTED = "revision, type"

OF_KEYS = f"FROM kv_entries WHERE key IN (%s) AND {LIVE}"

_ANY = f"SELECT EXISTS (SELECT 1 FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}})"
MATCHING = f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE} AND {LIVE} AND {{where}}"

VARIABLE_LIMIT = 1024
"""Keys that one statement takes as variables; engines stop somewhere above 32,000."""


class Templates:
    """What a dialect makes statements of templates with."""

    def __init__(
        self, entries: EntryTexts, *, keys_of_json: str, printed: Callable[[str], str] = str
    ) -> None:
        """`keys_of_json` is SQL for the keys that `hexadecimal` wrote.

        `printed` gives arguments the form that the engine takes.
        """
        self._entries = entries
        self._keys_of_json = keys_of_json
        self._printed = printed

    def of_keys(self, template: str) -> OfKeys:
        """Reads keys, in one statement and so in one snapshot, however many they are."""
        many = self._printed(template % self._keys_of_json)

        @lru_cache
        def with_places(places: int) -> str:
            return self._printed(template % ",".join("?" * places))

        def reading(keys: Sequence[bytes], now_ms: int) -> Statement:
            if len(keys) > VARIABLE_LIMIT:
                return Statement(many, (hexadecimal(keys), now_ms))
            # The next power of two: few distinct statements, so that they stay prepared.
            places = 1 << (len(keys) - 1).bit_length()
            again = [keys[-1]] * (places - len(keys))
            return Statement(with_places(places), (*keys, *again, now_ms))

        return reading

    def selecting(self, template: str) -> Selecting:
        """Lists what is selected."""
        text = self._listing(template)
        return lambda selection, now_ms: Statement(text(selection), selection.args(now_ms))

    def selecting_within(self, template: str) -> SelectingWithin:
        """The same, with a number of bytes as the last argument."""
        text = self._listing(template)
        return lambda selection, now_ms, most: Statement(
            text(selection), (*selection.args(now_ms), most)
        )

    def any(self) -> Selecting:
        text = self._listing(_ANY)

        def any_of(selection: Selection, now_ms: int) -> Statement:
            condition = selection.condition
            return Statement(text(selection), (*selection.keys, now_ms, *condition.args))

        return any_of

    def matching(self, keys: KeyRange, condition: RowCondition, now_ms: int) -> Statement:
        text = self._printed(MATCHING.format(where=condition.sql or "TRUE"))
        return Statement(text, (*keys, now_ms, *condition.args))

    def _listing(self, template: str) -> Callable[[Selection], str]:
        @lru_cache
        def plain(shape: Shape, reverse: bool) -> str:
            return filled(shape, reverse, "TRUE")

        def filled(shape: Shape, reverse: bool, where: str) -> str:
            return self._printed(
                template.format(
                    entry=self._entries.json[shape],
                    size=self._entries.size[shape],
                    order="DESC" if reverse else "ASC",
                    where=where,
                    last="min" if reverse else "max",
                )
            )

        def text(selection: Selection) -> str:
            where = selection.condition.sql
            if not where:
                return plain(selection.shape, selection.reverse)
            return filled(selection.shape, selection.reverse, where)

        return text


def within(
    texts: Mapping[Shape, str],
) -> Callable[[Mapping[bytes, int], int, Shape, int], Statement]:
    """See `ReadSql.get_many_within`; the keys come as a JSON array of pairs with their times."""

    def get(times: Mapping[bytes, int], now_ms: int, shape: Shape, most: int) -> Statement:
        pairs = [(key.hex(), number) for key, number in times.items()]
        return Statement(texts[shape], (msgspec.json.encode(pairs).decode(), now_ms, most))

    return get


class EntryTexts(NamedTuple):
    """SQL for entries as JSON, and for about how many bytes that has."""

    members: str
    """What `concat` makes it of, but for its end, and without details."""
    json: Mapping[Shape, str]
    size: Mapping[Shape, str]


def entry_texts(*, value: str, details: str, key_size: str, value_size: str) -> EntryTexts:
    """`value` and `details` are arguments of the `concat` that makes the JSON."""
    key = """'{"key":', key_json"""
    stamp = """, ',"versionstamp":"', versionstamp, '"'"""
    more = " + coalesce(octet_length(metadata), 0) + coalesce(octet_length(type), 0) + 160"
    members = f"{key}{value}{stamp}"
    return EntryTexts(
        members,
        {
            Shape(True, False): f"concat({members}, '}}')",
            Shape(True, True): f"concat({members}{details}, '}}')",
            Shape(False, False): f"concat({key}{stamp}, '}}')",
            Shape(False, True): f"concat({key}{stamp}{details}, '}}')",
        },
        {
            Shape(True, False): f"{key_size} + {value_size}",
            Shape(True, True): f"{key_size} + {value_size}{more}",
            Shape(False, False): key_size,
            Shape(False, True): f"{key_size}{more}",
        },
    )
