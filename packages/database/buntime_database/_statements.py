"""Statements, guards and results: the data that crosses the adapter seam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from buntime_database._errors import DatabaseUnavailable

Value = None | int | float | str | bytes
"""Types that SQL can bind and return. Booleans are bound as 1 and 0."""


class Statement(NamedTuple):
    """One SQL statement with its positional arguments (`?` placeholders)."""

    sql: str
    args: Sequence[Value] = ()


class Guard(NamedTuple):
    """A condition inside a batch. If it does not hold, the whole batch rolls back.

    `condition` is one SQL expression, for example `(SELECT version FROM t WHERE id = ?) IS ?`.
    A guard takes a place in the batch like a statement does and sees the statements before it.
    """

    condition: str
    args: Sequence[Value] = ()


class Batch(NamedTuple):
    """Statements and guards that are written together or not at all.

    `bounded` promises that the statements touch few rows (by key or with a small limit), so that
    an embedded engine may run them on the event loop. Leave it False for anything that may scan.

    Where an answer may be lost on a network, results are kept beside the data, so that they can be
    asked for again: those of the steps at the positions `wanted`, or of all of them. Other steps
    have no results then. Counts are kept, and rows if `recalls` has an SQL expression for the
    position which, from right after the statement to the end of the batch, is the JSON array of its
    rows as objects.
    """

    steps: Sequence[Statement | Guard]
    bounded: bool = False
    wanted: Sequence[int] | None = None
    recalls: Mapping[int, str] | None = None
    patient: bool = False
    """Whether it may run for longer than the engine's limit for statements: maintenance."""
    repeatable: bool = False
    """Whether running it again changes nothing and gives the same result, as with a statement that
    knows what it has done already. Where an answer may be lost, a single statement is then sent by
    itself, without a note of its outcome, until there is an answer."""


class ResultSet(NamedTuple):
    """The result of one statement: its rows, and how many rows it changed."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    rowcount: int
    """Rows inserted, updated or deleted; 0 for a query and for a guard."""
    lastrowid: int | None = None
    """Rowid of the last inserted row where the engine has rowids; meaningful only after INSERT."""

    def as_dicts(self) -> list[dict[str, Value]]:
        """Rows as dictionaries from column name to value; the last of equal names wins.

        Raises `DatabaseUnavailable` if the engine gave other columns than it named.
        """
        try:
            return [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        except ValueError as error:
            text = f"the columns of the rows are not {', '.join(self.columns)}"
            raise DatabaseUnavailable(text) from error


class Capabilities(NamedTuple):
    """Differences between engines, declared and never guessed."""

    dialect: str
    """Family of its SQL: `sqlite`, `postgres`, `mysql`, or one that only its users know."""
    embedded: bool
    """Reads by key cost microseconds, so `point=True` runs them on the event loop."""
    interactive_transactions: bool
    """`transaction(fn)` works; without it only guarded batches are atomic."""
    full_text_search: Literal["fts5", "tsvector"] | None
    """The full-text search: SQLite's FTS5, PostgreSQL's `tsvector`, or none."""
    cjk_tokenizer: bool
    """Indexes can have the tokenizer `cjk`, for scripts without spaces."""
    scans_at_once: int | None
    """Reads that are no `point` reads that run at a time; None where nothing limits them here."""
    casefold_function: bool
    """SQL has `casefold(text)`, Unicode case folding as Python's `str.casefold`."""
    max_key_bytes: int | None = None
    """Most bytes of a value in the key of a table or an index; None where nothing limits them."""
    bells: bool = False
    """Processes can tell each other that something happened; see `Bells`."""
    reads_at_once: bool = False
    """It has `query_now` as well; see `ReadsAtOnce`."""
    replicas: bool = False
    """Reads may be answered by replicas: they heed a `ReadDemand`, and `position()` tells one."""
    rows_of_batches: bool = True
    """A batch gives rows: of its queries, and of RETURNING. Where it does not, it has no queries,
    and gives only the rows that `Batch.recalls` has an expression for."""
    dear_statements: bool = False
    """Each statement of a batch costs about as much as a row that it writes: many rows are better
    sent in few statements, with arrays as arguments."""
