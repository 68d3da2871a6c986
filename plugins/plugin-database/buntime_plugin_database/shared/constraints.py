"""Which constraint a text of SQLite speaks of, for servers that do not give its code."""

from __future__ import annotations

import re

_CODES = {
    "UNIQUE": "SQLITE_CONSTRAINT_UNIQUE",
    "PRIMARY KEY": "SQLITE_CONSTRAINT_PRIMARYKEY",
    "NOT NULL": "SQLITE_CONSTRAINT_NOTNULL",
    "CHECK": "SQLITE_CONSTRAINT_CHECK",
    "FOREIGN KEY": "SQLITE_CONSTRAINT_FOREIGNKEY",
}
_FAILED = re.compile(r"([A-Z]+(?: [A-Z]+)?) constraint failed")


def constraint_code(message: str) -> str | None:
    """The code of the constraint that failed, as exact as the text is; None if none did."""
    failed = _FAILED.search(message)
    return None if failed is None else _CODES.get(failed[1], "SQLITE_CONSTRAINT")
