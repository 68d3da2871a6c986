"""Determines the kind of a statement, in the SQL of SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from buntime_database import InvalidStatement

Kind = Literal["read", "write", "silent"]
"""`silent` writes and returns no rows, which spares asking for its columns."""

# Comments, quoted names, texts and variables count as one token each, so that what they hold is not
# read. As in SQLite, an unterminated token goes on to the end of the text, a byte order mark is a
# blank, and `$a(';')` is one variable.
_TOKEN = re.compile(
    r"""(?P<blank>[\s\ufeff]+ | --[^\n]* | /\*.*?(?:\*/|\Z))
      | (?P<word>[^\W\d][\w$]*) | (?P<end>;)
      | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*\]?
      | [$@:\#](?:[\w$]|::)+(?:\([^\s)]*\)?)? | .""",
    re.VERBOSE | re.DOTALL,
)
_READS = frozenset({"SELECT", "VALUES", "EXPLAIN"})
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_DEFINES = frozenset({"ALTER", "CREATE", "DROP"})
_BOUNDARIES = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_OUTSIDE = frozenset({"ATTACH", "DETACH", "VACUUM"})

_PRAGMA_LOOKUPS = frozenset(
    {
        "FOREIGN_KEY_CHECK",
        "FOREIGN_KEY_LIST",
        "INDEX_INFO",
        "INDEX_LIST",
        "INDEX_XINFO",
        "INTEGRITY_CHECK",
        "QUICK_CHECK",
        "TABLE_INFO",
        "TABLE_LIST",
        "TABLE_XINFO",
    }
)
_PRAGMA_WRITES = frozenset({"APPLICATION_ID", "INCREMENTAL_VACUUM", "OPTIMIZE", "USER_VERSION"})


@lru_cache(maxsize=1024)
def classify(sql: str) -> Kind:
    """Whether a statement reads or writes.

    Raises `InvalidStatement` unless the text is exactly one statement, and for statements that
    would end or escape the transaction that the engine keeps around it, or change a shared
    connection.
    """
    if sql.find(";") in (-1, len(sql) - 1):  # one statement: its first word may say all
        first = next((piece.upper() for piece in pieces_of(sql)), "")
        if first in _READS:
            return "read"
        if first in _DEFINES:
            return "write"
        if first in _WRITES and "RETURNING" not in sql.upper():
            return "silent"
    tokens = _tokens(sql)
    first = tokens[0]
    if first in _BOUNDARIES:
        raise InvalidStatement(f"{first} is not allowed here: use batch() or transaction()")
    if first in _OUTSIDE:
        raise InvalidStatement(f"{first} is not allowed: it acts outside of a transaction")
    if first == "PRAGMA":
        return _classify_pragma(tokens[1:])
    if first in _READS or (first == "WITH" and not _has_write(tokens)):
        return "read"
    if first in _WRITES and "RETURNING" not in tokens:
        return "silent"
    return "write"


def _has_write(tokens: Sequence[str]) -> bool:
    return any(
        # replace(…) is a function.
        word in _WRITES and (word != "REPLACE" or following != "(")
        for word, following in zip(tokens, [*tokens[1:], ""], strict=True)
    )


@lru_cache(maxsize=1024)
def first_word(sql: str) -> str:
    """The first token of a text, in capitals; empty if there is none."""
    return next((t[0].upper() for t in _TOKEN.finditer(sql) if not t["blank"]), "")


@lru_cache(maxsize=1024)
def inserts(sql: str) -> bool:
    """Whether a statement is an INSERT or a REPLACE, be it that it then inserts nothing."""
    words = (token[0].upper() for token in _TOKEN.finditer(sql) if not token["blank"])
    first = next(words, "")
    if first != "WITH":
        return first in {"INSERT", "REPLACE"}
    rest = list(words)
    return "INSERT" in rest or ("REPLACE", "INTO") in pairwise(rest)


@lru_cache(maxsize=1024)
def guard_query(condition: str) -> str:
    """The query that gives 1 if the condition of a guard holds, and 0 if it is false or NULL.

    Raises `InvalidStatement` if the text is more than an expression.
    """
    sql = f"SELECT ({condition}\n) IS TRUE"
    classify(sql)
    return sql


def tokens_of(sql: str) -> tuple[str, ...]:
    """The tokens of exactly one statement, without blanks and comments; words in capitals.

    Raises `InvalidStatement`.
    """
    return tuple(_tokens(sql))


def pieces_of(sql: str) -> Iterator[str]:
    """The tokens of any number of statements, as they are written."""
    return (token[0] for token in _TOKEN.finditer(sql) if not token["blank"])


@lru_cache(maxsize=1024)
def gives_rows(sql: str) -> bool:
    """Whether a statement can return rows."""
    tokens = _tokens(sql)
    return classify(sql) == "read" or tokens[0] == "PRAGMA" or "RETURNING" in tokens


@lru_cache(maxsize=1024)
def without_returning(sql: str) -> str:
    """The text of a statement that writes, without its RETURNING at the end."""
    depth = 0
    for token in _TOKEN.finditer(sql):
        if token["word"] and token[0].upper() == "RETURNING" and depth == 0:
            return sql[: token.start()]
        depth += (token[0] == "(") - (token[0] == ")")
    return sql


@lru_cache(maxsize=1024)
def without_end(sql: str) -> str:
    """The text of a query without the semicolon at its end, and what follows that."""
    return next((sql[: t.start()] for t in _TOKEN.finditer(sql) if t["end"]), sql)


@lru_cache(maxsize=1024)
def asks_for_changes(sql: str) -> bool:
    """Whether a text mentions SQLite's counts of changed rows."""
    return not {"CHANGES", "TOTAL_CHANGES"}.isdisjoint(_tokens(sql))


def _tokens(sql: str) -> list[str]:
    """The tokens of the one statement in the text, words in capitals."""
    tokens: list[str] = []
    ended = False
    for token in _TOKEN.finditer(sql):
        if token["blank"]:
            continue
        if token["end"]:
            ended = bool(tokens) and not _is_inside_trigger(tokens)
            if not ended and tokens:
                tokens.append(";")
        elif ended:
            raise InvalidStatement("one statement at a time: there is more after the first ;")
        else:
            tokens.append(token[0].upper() if token["word"] else token[0])
    if not tokens:
        raise InvalidStatement("the SQL text holds no statement")
    return tokens


def _is_inside_trigger(tokens: list[str]) -> bool:
    """Whether a semicolon here belongs to the body of a trigger, which `; END` ends."""
    return tokens[0] == "CREATE" and "TRIGGER" in tokens[1:3] and tokens[-2:] != [";", "END"]


def _classify_pragma(tokens: list[str]) -> Kind:
    if tokens[1:2] == ["."]:  # schema.name
        tokens = tokens[2:]
    name = tokens[0] if tokens else ""
    if name in _PRAGMA_WRITES:
        return "write" if len(tokens) > 1 or name in {"INCREMENTAL_VACUUM", "OPTIMIZE"} else "read"
    if len(tokens) > 1 and name not in _PRAGMA_LOOKUPS:
        raise InvalidStatement(
            f"PRAGMA {name.lower()} cannot be given a value here: the connection is shared"
        )
    return "read"
