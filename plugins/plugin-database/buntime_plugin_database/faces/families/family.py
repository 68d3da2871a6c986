"""The interface of a family of SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from buntime_database import Statement, Value


class Authorize(Protocol):
    """Refuses what SQL from outside must not do.

    `foreign` are names of other databases' schemas, which the statement must not use; None for the
    root database, from which nothing is kept.

    Raises `NotAuthorized`, and `InvalidStatement` for bad SQL.
    """

    def __call__(
        self, sql: str, *, readonly: bool, schema: bool, foreign: frozenset[str] | None
    ) -> None: ...


class ByPosition(Protocol):
    """The statement with numbers instead of names, and its arguments in their order.

    Raises `InvalidArguments`.
    """

    def __call__(
        self, sql: str, args: Sequence[Value], named: Mapping[str, Value]
    ) -> Statement: ...


class Reads(Protocol):
    """Whether a statement only reads. Raises `InvalidStatement` for bad SQL."""

    def __call__(self, sql: str) -> bool: ...


class Family(NamedTuple):
    """A family of SQL. Of the queries those with `?` take the name of a table."""

    reads: Reads
    authorize: Authorize
    by_position: ByPosition
    equals: str
    """The operator that holds for NULL and NULL."""
    differs: str
    tables: str
    """Tables and views by name: name, `table` or `view`."""
    columns: str
    """In their order: name, type, whether it is NOT NULL, default, place in the primary key or 0"""
    indexes: str
    """A row for each column: name, unique, where it comes from (`c`, `u`, `pk`), column or NULL"""
    foreign_keys: str
    """A row for each column: number, from, table, to, ON UPDATE, ON DELETE"""
    definition: str
    """The SQL of a table or view, if it has some."""
    row_ids: tuple[str, ...] = ()
    """The name of a row's place in SQL; a column with this name hides it."""
    foreign: str | None = None
    """Names of schemas that belong to others; None where databases cannot see each other."""
