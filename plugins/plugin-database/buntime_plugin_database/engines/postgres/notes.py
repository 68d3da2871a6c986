"""The note of a commit, by which its outcome can be asked for after its answer was lost.

The number of a transaction would not do: after a crash the server reuses numbers of transactions
that it has never written down.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import uuid4

from buntime_plugin_database.engines.postgres.connections import quoted
from buntime_plugin_database.engines.postgres.statements import parse

TABLE = "buntime_writers"
KEPT = "1 day"
"""Age after which notes of writers that are gone are removed."""
CLEANED_EVERY = 1000
"""Commits of a writer."""


class Note(NamedTuple):
    """One commit: its writer, and its number among that writer's commits."""

    writer: str
    number: int


class CommitNotes:
    """The notes of one adapter, in a table of its schema."""

    def __init__(self, schema: str) -> None:
        self.are_kept = False
        """Whether the table is known to be there."""
        self._writer = str(uuid4())
        self._number = 0
        self._table = f"{quoted(schema)}.{TABLE}"
        self.preparation = (
            f"CREATE TABLE IF NOT EXISTS {self._table} (writer uuid PRIMARY KEY,"
            " number bigint NOT NULL, at timestamptz NOT NULL) WITH (fillfactor = 10)"
        )
        self.question = parse(
            f"SELECT 1 FROM {TABLE} WHERE writer = $1::text::uuid AND number = $2"  # noqa: S608 - ours
        )

    def of_group(self) -> Note:
        """The note of the next group of batches, of which there is one at a time."""
        self._number += 1
        return Note(self._writer, self._number)

    def of_transaction(self) -> Note:
        """The note of a transaction, beside which others may run."""
        return Note(str(uuid4()), 1)

    def leaving(self, note: Note) -> str:
        """The statement that leaves it, right before the commit."""
        cleaning = ""
        if note.number % CLEANED_EVERY == 1:
            cleaning = f"; DELETE FROM {self._table} WHERE at < now() - interval '{KEPT}'"  # noqa: S608 - ours
        return (
            f"INSERT INTO {self._table} AS w VALUES ('{note.writer}', {note.number}, now())"  # noqa: S608 - ours
            " ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
            f"{cleaning}"
        )
