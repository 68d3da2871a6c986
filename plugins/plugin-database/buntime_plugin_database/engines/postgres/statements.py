"""Analyses a text in PostgreSQL's SQL: its kind, and the places of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

from buntime_database import InvalidStatement

Kind = Literal["read", "write", "definition"]
"""A definition may change the meaning of other statements: all are prepared again."""

# As in PostgreSQL with standard_conforming_strings, comments are nested (see `_end_of_comment`),
# and an unterminated token goes on to the end of the text.
_TOKEN = re.compile(
    r"""(?P<blank>[\s\ufeff]+ | --[^\n]*) | (?P<comment>/\*)
      | [eE]'(?:[^'\\]|''|\\.)*(?:'|\Z) | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z)
      | (?P<quote>\$(?:[^\W\d]\w*)?\$).*?(?:(?P=quote)|\Z)
      | (?P<word>[^\W\d][\w$]*) | (?P<number>\d[\w.]*) | :: | :(?P<named>[^\W\d]\w*)
      | \$(?P<place>\d{1,5}) | \?(?P<asked>\d{0,5})
      | (?P<end>;) | .""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_READS = frozenset({"SELECT", "VALUES", "TABLE", "SHOW", "EXPLAIN", "(", "WITH"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_BOUNDARIES = frozenset(
    {"ABORT", "BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}
)
_OF_CONNECTION = frozenset(
    {
        *("CLOSE", "COPY", "DEALLOCATE", "DECLARE", "DISCARD", "EXECUTE", "FETCH", "LISTEN"),
        *("LOAD", "MOVE", "RESET", "SET", "UNLISTEN"),
    }
)
_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})
_MOST_PARAMETERS = 32_767


class Sql(NamedTuple):
    """One statement."""

    kind: Kind
    parts: tuple[str | int, ...]
    """Text, and the numbers of the parameters in it."""
    parameters: int
    text: str
    """With `$1`, `$2`, … for the parameters."""
    tokens: tuple[str, ...]
    """Without blanks and comments; words in capitals, all else as written."""

    def cast(self, types: Mapping[int, str]) -> str:
        """The text with types for some of the parameters, by their numbers from 1."""
        return "".join(
            part
            if isinstance(part, str)
            else f"${part}::{types[part]}"
            if part in types
            else f"${part}"
            for part in self.parts
        )


@lru_cache(maxsize=2048)
def parse(text: str) -> Sql:
    """One statement, whose parameters are `?`, `?1` or `$1`.

    In a text with `$1` a `?` is an operator. Raises `InvalidStatement` unless it is exactly one
    statement, and if it would end or escape the transaction that the engine keeps around it, or
    change a shared connection.
    """
    if not isinstance(text, str):
        raise InvalidStatement(f"SQL is a text, not a {type(text).__name__}")
    check_text(text)
    parts: list[str | int] = []
    tokens: list[str] = []
    ended = False
    end = highest = 0
    numbered = any(token["place"] for token in _scan(text))
    for token in _scan(text):
        if token["blank"] or token["comment"]:
            continue
        if ended:
            if token["end"]:
                continue
            raise InvalidStatement("one statement at a time: there is more after the first ;")
        if token["end"]:
            ended = True
            continue
        place = token["place"]
        if not numbered and token["asked"] is not None:
            # A number names its place; without one it is that after the highest so far.
            place = token["asked"] or str(highest + 1)
        if place is not None:
            number = int(place)
            if not 1 <= number <= _MOST_PARAMETERS:
                raise InvalidStatement(f"parameters have numbers from 1 to {_MOST_PARAMETERS}")
            highest = max(highest, number)
            parts += [text[end : token.start()], number]
            end = token.end()
        tokens.append(token[0].upper() if token["word"] else token[0])
    if not tokens:
        raise InvalidStatement("the SQL text holds no statement")
    parts.append(text[end:])
    sql = Sql(_kind(tokens), tuple(parts), highest, "", tuple(tokens))
    return sql._replace(text=sql.cast({}))


def named_parameters(text: str, names: frozenset[str]) -> tuple[list[str | int], list[str]]:
    """A text in parts, with numbers instead of `:name`, and the names in their order."""
    parts: list[str | int] = []
    found: list[str] = []
    end = 0
    for token in _scan(text):
        name = token["named"]
        if name in names:
            if name not in found:
                found.append(name)
            parts += [text[end : token.start()], found.index(name) + 1]
            end = token.end()
    return [*parts, text[end:]], found


def guard(condition: str) -> str:
    """The query that is true if the condition of a guard holds, and false if not, or if NULL.

    Raises `InvalidStatement` if the text is more than an expression.
    """
    if not isinstance(condition, str):
        raise InvalidStatement(f"a condition is a text, not a {type(condition).__name__}")
    text = f"SELECT ({condition}\n) IS TRUE"
    if parse(text).kind != "read":
        raise InvalidStatement("a guard only reads")
    return text


def check_text(text: str) -> None:
    """Raise `InvalidStatement` for what no text of PostgreSQL holds."""
    if "\0" in text:
        raise InvalidStatement("PostgreSQL's texts cannot hold the character NUL")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidStatement(f"a text is not Unicode: {error}") from error


def _scan(text: str) -> Iterator[re.Match[str]]:
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:  # never: the last alternative is any character
            break
        place = token.end() if not token["comment"] else _end_of_comment(text, token.end())
        yield token


def _end_of_comment(text: str, place: int) -> int:
    depth = 1
    for mark in _COMMENT.finditer(text, place):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def _kind(tokens: list[str]) -> Kind:
    first = tokens[0]
    if first in _BOUNDARIES:
        raise InvalidStatement(f"{first} is not allowed here: use batch() or transaction()")
    if first in _OF_CONNECTION and tokens[1:2] not in (["LOCAL"], ["CONSTRAINTS"]):
        raise InvalidStatement(f"{first} is not allowed: it changes a connection that is shared")
    makes = tokens[1:3] if first == "CREATE" else [b for a, b in pairwise(tokens) if a == "INTO"]
    if not _TEMPORARY.isdisjoint(makes):
        raise InvalidStatement("temporary tables belong to a connection, and those are shared")
    if first in _READS:
        writes = "INTO" in tokens or not _WRITES.isdisjoint(_without_locks(tokens))
        return "write" if writes else "read"
    return "write" if first in _WRITES | {"CALL", "NOTIFY", "SET", "LOCK"} else "definition"


def _without_locks(tokens: list[str]) -> Iterator[str]:
    """The tokens without the UPDATE of FOR UPDATE, which the server refuses in read-only
    transactions.
    """
    before = ""
    for word in tokens:
        if not (word == "UPDATE" and before in ("FOR", "KEY")):
            yield word
        before = word
