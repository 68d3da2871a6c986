"""Values between the seam and the driver.

A parameter has the type that the server gives it, and a value that suits that type is sent as such.
Another value is sent with its Python type and a cast: `SELECT ?` takes a number, where the server
expects text. Types that the seam does not have travel as PostgreSQL's own text, both ways.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import asyncpg
from buntime_database import InvalidStatement, Value

from buntime_plugin_database.engines.postgres.statements import check_text
from buntime_plugin_database.shared.parameters import InvalidArguments

Arguments = Sequence[Any]
"""Types of the seam, and a list of these for a parameter that is an array."""

AS_TEXT = (
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval", "uuid", "char"),
    *("inet", "cidr", "macaddr", "bit", "varbit"),
)
"""Types that the driver would make objects of."""

_INTEGERS = {"int2": 15, "int4": 31, "int8": 63}
_FLOATS = frozenset({"float4", "float8"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "json", "jsonb", "xml", *AS_TEXT})
_BINARY = frozenset({"bytea"})
_UNWRITTEN = frozenset({*_INTEGERS, *_FLOATS, *_BINARY, "bool", "oid"})
"""Types for which a text is a mistake, not their written form."""
_LEAST, _MOST = -(2**63), 2**63 - 1
_MANY = 8
"""Values from which on it pays to look at what kinds they are first."""
_HARMLESS = {type(None), bool, bytes, float}
"""Types of which SQL holds every value."""
_PLAIN = frozenset({"int2", "int4", "int8", *_FLOATS, *_TEXTS, *_BINARY})
"""Types of results that come as the seam wants them."""


async def set_codecs(connection: Any) -> None:
    """Let a connection carry those types as texts; the server is not asked."""
    for name in AS_TEXT:
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=str, format="text"
        )
    await connection.set_type_codec(
        "numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text"
    )


class Sent(NamedTuple):
    """Arguments as the driver takes them."""

    values: list[Any]
    casts: dict[int, str]
    """Parameters that need a type, by their numbers from 1."""


def check(args: Arguments) -> None:
    """Raise `InvalidStatement` for what SQL cannot hold."""
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise InvalidStatement(f"the arguments of a statement are a sequence, not {args!r:.80}")
    if len(args) > _MANY:
        kinds = set(map(type, args))
        if kinds <= _HARMLESS:
            return
        if kinds == {str}:
            check_text("".join(args))
            return
    for value in args:
        if isinstance(value, str):
            check_text(value)
        elif isinstance(value, int):
            if not _LEAST <= value <= _MOST:
                raise InvalidStatement("an integer does not fit into 64 bits")
        elif isinstance(value, list):
            check(value)
        elif not (value is None or isinstance(value, (float, bytes, bytearray, memoryview))):
            raise InvalidStatement(f"SQL cannot hold a {type(value).__name__}")


def fit(args: Arguments, types: Sequence[Any] | None) -> Sent:
    """Arguments that were checked, for parameters of these types; None where all have to be cast.

    Raises `InvalidStatement` for a wrong number of them.
    """
    values: list[Any] = []
    casts: dict[int, str] = {}
    for number, value in enumerate(args, 1):
        kind = None if types is None else types[number - 1]
        if kind is not None and (value is None or _suits(value, kind.name)):
            values.append(_as(value, kind.name))
        else:
            if isinstance(value, list):
                if kind is None or kind.kind != "array":
                    raise InvalidStatement("a list is an argument only where an array is expected")
                values.append(value)
                continue
            values.append(int(value) if isinstance(value, int) else value)
            casts[number] = _cast(value, kind)
    return Sent(values, casts)


def count(args: Arguments, parameters: int) -> None:
    """Raise `InvalidArguments` unless there are as many arguments as parameters."""
    if len(args) != parameters:
        hint = "; with $1 for parameters, ? is an operator" if parameters and not args else ""
        raise InvalidArguments(
            f"the statement has {parameters} parameters, and {len(args)} arguments came{hint}"
        )


Rows = list[tuple[Value, ...]]


def reader(attributes: Sequence[Any]) -> Callable[[Sequence[Any]], Rows]:
    """Converters from rows of the driver to those of the seam, by the types of the columns."""
    odd = [
        place for place, column in enumerate(attributes) if column.type.name not in _PLAIN
    ]  # most often none
    if not odd:
        return _as_they_are

    def read(records: Sequence[Any]) -> Rows:
        rows = []
        for record in records:
            row = list(record)
            for place in odd:
                row[place] = _plain(row[place])
            rows.append(tuple(row))
        return rows

    return read


def _as_they_are(records: Sequence[Any]) -> Rows:
    return [tuple(record) for record in records]


def _suits(value: Any, name: str) -> bool:
    if isinstance(value, int):
        bits = _INTEGERS.get(name)
        if bits is not None:
            return -(1 << bits) <= value < 1 << bits
        return name in _FLOATS or name == "numeric" or (name == "bool" and value in (0, 1))
    if isinstance(value, str):
        return name in _TEXTS or name == "numeric"
    if isinstance(value, float):
        whole = value.is_integer() and name in _INTEGERS and _suits(int(value), name)
        return name in _FLOATS or name == "numeric" or whole
    return not isinstance(value, list) and name in _BINARY


def _as(value: Any, name: str) -> Any:
    """A value that suits a type, as the driver wants it."""
    if isinstance(value, int):
        if name == "bool":
            return bool(value)
        return int(value)
    if isinstance(value, float) and name in _INTEGERS:
        return int(value)
    return value


def _cast(value: Any, kind: Any | None) -> str:
    """The type of a value that does not suit the expected one, as text."""
    if isinstance(value, int):
        return "int8"
    if isinstance(value, float):
        return "float8"
    if isinstance(value, str) and kind is not None and kind.name not in _UNWRITTEN:
        name = f'"{kind.schema}"."{kind.name.removesuffix("[]")}"'
        return f"text::{name}[]" if kind.kind == "array" else f"text::{name}"
    return "text" if value is None or isinstance(value, str) else "bytea"


def _number(text: str) -> int | str:
    """A numeric: an integer where it is one of 64 bits without decimals, else its exact text."""
    if text.lstrip("-").isdigit() and len(text) <= 20 and _LEAST <= int(text) <= _MOST:
        return int(text)
    return text


def _plain(value: Any) -> Value:
    """A value that the driver made of a type that the seam does not have."""
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, (int, float, str, bytes)):
        return value
    if isinstance(value, asyncpg.Range):
        return _range(value)
    return json.dumps(value, default=_json, ensure_ascii=False)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, asyncpg.Record):
        return list(value)
    if isinstance(value, asyncpg.Range):
        return _range(value)
    return str(value)


def _range(value: Any) -> str:
    if value.isempty:
        return "empty"
    lower, upper = ("" if end is None else str(end) for end in (value.lower, value.upper))
    return f"{'[' if value.lower_inc else '('}{lower},{upper}{']' if value.upper_inc else ')'}"
