"""Statements and rows as nodes take and give them: JSON, exact to the last bit.

Numbers go as they are, integers beyond 2^53 too. A blob is written into the text of its statement.

Answers are not exact by themselves: a node tells texts from blobs by the declared type of their
column, and 1.0 from 1 not at all. So a query is wrapped into one that puts a letter for its type
before each value. This needs the number of columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from buntime_database import DatabaseUnavailable, InvalidStatement, Value

from buntime_plugin_database.shared.parameters import InvalidArguments, parameters_of
from buntime_plugin_database.shared.server_adapter import checked_text
from buntime_plugin_database.shared.statements import first_word, without_end

Json = list[Any]
"""One statement: its text and its arguments."""

_LEAST, _MOST = -(2**63), 2**63 - 1
_SHAPES = re.compile(r" has (\d+) values for (\d+) columns")
_REPEATED = re.compile(r"(.*):\d+", re.DOTALL)
_TOLD = (
    "CASE typeof({0}) WHEN 'text' THEN 't'||{0} WHEN 'integer' THEN 'i'||{0}"
    " WHEN 'blob' THEN 'x'||hex({0}) ELSE {0} END a"
)


class _Parts(NamedTuple):
    """A statement, cut at its parameters."""

    texts: tuple[str, ...]
    places: tuple[int, ...]
    """Names of the parameters, counted from 1."""
    arguments: int
    """The number of arguments."""


@lru_cache(maxsize=2048)
def _parts(sql: str) -> _Parts:
    texts: list[str] = []
    places: list[int] = []
    end = 0
    for found, place in parameters_of(sql):
        texts.append(sql[end : found.start()])
        places.append(place)
        end = found.end()
    texts.append(sql[end:])
    return _Parts(tuple(texts), tuple(places), max(places, default=0))


def encode_statement(sql: str, args: Sequence[Value]) -> Json:
    """Encode one statement. Raises `InvalidStatement` for values that cannot be sent.

    A node would accept the statement without checking whether there are more arguments than it
    needs.
    """
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise InvalidStatement(f"the arguments of a statement are a sequence, not {args!r:.80}")
    parts = _parts(checked_text(sql))
    if len(args) != parts.arguments:
        raise InvalidArguments(
            f"the statement has {parts.arguments} parameters, and {len(args)} arguments came"
        )
    literals: dict[int, str] = {}
    encoded = [_encode(value, place, literals) for place, value in enumerate(args, 1)]
    if not literals:
        return [sql, *encoded]
    numbers: dict[int, int] = {}
    pieces = [parts.texts[0]]
    for place, text in zip(parts.places, parts.texts[1:], strict=True):
        if place in literals:
            pieces.append(literals[place])
        else:
            pieces.append(f"?{numbers.setdefault(place, len(numbers) + 1)}")
        pieces.append(text)
    return ["".join(pieces), *(encoded[place - 1] for place in numbers)]


def _encode(value: object, place: int, literals: dict[int, str]) -> object:
    """The argument, unless it becomes one of the `literals`, by its place."""
    if isinstance(value, str):
        text = checked_text(value)
        if text[1:2] == "'" and text[0] in "xX":  # some versions take it for a blob
            literals[place] = f"CAST(x'{text.encode().hex()}' AS TEXT)"
        return text
    if value is None:
        return None
    if isinstance(value, int):
        if not _LEAST <= value <= _MOST:
            raise InvalidStatement("an integer does not fit into 64 bits")
        return int(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise InvalidStatement("infinity cannot be sent to an rqlite node")
        return None if math.isnan(value) else float(value)  # as SQLite itself does
    if isinstance(value, (bytes, bytearray, memoryview)):
        literals[place] = f"x'{value.hex()}'"
        return None
    raise InvalidStatement(f"SQL cannot hold a {type(value).__name__}")


def is_wrapped(sql: str) -> bool:
    """Whether a query can be part of another one."""
    return first_word(sql) in {"SELECT", "VALUES", "WITH"}


def asking_names(statement: Json) -> Json:
    """A query that gives the columns of another one, and no rows."""
    sql = without_end(statement[0])
    named = f"WITH buntime_q AS (\n{sql}\n) SELECT * FROM buntime_q LIMIT 0"  # noqa: S608 - of SQL
    return [named, *statement[1:]]


def names_in(result: dict[str, Any]) -> tuple[str, ...]:
    """The columns that it named. Of equal names SQLite numbers the later ones."""
    names: list[str] = []
    for name in result.get("columns") or ():
        repeated = _REPEATED.fullmatch(name)
        names.append(repeated[1] if repeated and repeated[1] in names else name)
    return tuple(names)


def wrapped(statement: Json, width: int) -> Json:
    """A query with so many columns, in the form that `decode_rows` reads."""
    head, tail = _frame(width)
    return [f"{head}{without_end(statement[0])}{tail}", *statement[1:]]


def is_other_width(message: str) -> bool:
    """Whether an error says that a wrapped query has another number of columns than was thought."""
    return "buntime_q" in message and _SHAPES.search(message) is not None


@lru_cache(maxsize=256)
def _frame(width: int) -> tuple[str, str]:
    names = [f"c{number}" for number in range(width)]
    told = ", ".join(map(_TOLD.format, names))
    return (
        f"WITH buntime_q({', '.join(names)}) AS (\n",
        f"\n) SELECT {told} FROM buntime_q",  # noqa: S608 - numbered columns
    )


def decode_rows(result: dict[str, Any]) -> list[tuple[Value, ...]]:
    """The rows of a wrapped query. Raises `DatabaseUnavailable` for what makes no sense."""
    try:
        return [tuple(map(_decode, row)) for row in result.get("values") or ()]
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DatabaseUnavailable(f"the node's answer makes no sense: {error!r}") from error


def _decode(value: Any) -> Value:
    if isinstance(value, str):
        kind, text = value[0], value[1:]
        return text if kind == "t" else int(text) if kind == "i" else bytes.fromhex(text)
    return None if value is None else float(value)


def bare_rows(result: dict[str, Any]) -> list[tuple[Value, ...]]:
    """The rows of what cannot be wrapped: a PRAGMA, or EXPLAIN."""
    return [tuple(row) for row in result.get("values") or ()]
