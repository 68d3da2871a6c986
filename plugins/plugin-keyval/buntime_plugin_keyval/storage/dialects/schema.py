"""The tables, and the ledgers of the steps to them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class LedgerSql(NamedTuple):
    """Operations on the ledger of one series of migrations."""

    create: str
    """Makes it unless it is there."""
    is_there: str
    """Whether there is such a table."""
    applied: str
    """The newest version in it; 0 for none."""
    record: str
    """Version, name, time: adds a line."""
    is_at: str
    """Condition of a guard. Version: the newest is this one."""


class SchemaSql(NamedTuple):
    """Makes the tables.

    Numbers, names and meaning of migrations are the same in all dialects.
    """

    migrations: Path
    """A folder with files `0001_name.sql`, whose statements are separated by empty lines."""
    ledger: LedgerSql
    """With `{ledger}` for the name of its table."""
