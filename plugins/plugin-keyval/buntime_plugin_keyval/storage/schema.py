"""Numbered migrations: forward only, each one transaction, safe when two processes start."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from buntime_database import Adapter, DatabaseError, Guard, GuardFailed, Statement

from buntime_plugin_keyval.storage.maintenance import patient_batch

LEDGER = "kv_migrations"
"""The table that says which migrations were applied."""

_CREATE_LEDGER = """
CREATE TABLE IF NOT EXISTS {ledger} (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
)"""
_APPLIED = "SELECT coalesce(max(version), 0) FROM {ledger}"
_RECORD = "INSERT INTO {ledger} (version, name, applied_at) VALUES (?, ?, ?)"
_NOT_YET = "(SELECT coalesce(max(version), 0) FROM {ledger}) = ?"


class SchemaTooNew(DatabaseError):
    """A newer version of the plugin wrote this database."""


class Migration(NamedTuple):
    """One step of the schema: its number, its name, its statements."""

    version: int
    name: str
    statements: tuple[str, ...]


def load_migrations(folder: Traversable | None = None) -> list[Migration]:
    """The migrations in a folder, in order; by default those of the store."""
    if folder is None:
        folder = resources.files(__package__) / "migrations"
    migrations = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            statements = tuple(
                statement.strip()
                for statement in file.read_text(encoding="utf-8").split("\n\n")
                if statement.strip()
            )
            migrations.append(Migration(int(number), name, statements))
    return migrations


async def migrate(
    adapter: Adapter, now_ms: int, *, folder: Traversable | None = None, ledger: str = LEDGER
) -> int:
    """Bring the database to the newest schema and return its version.

    Those of another `folder` have a `ledger` of their own.

    Raises `SchemaTooNew` for a database from the future, `DatabaseError` when a step fails; a
    failed step leaves nothing behind.
    """
    await patient_batch(adapter, [Statement(_CREATE_LEDGER.format(ledger=ledger))])
    migrations = load_migrations() if folder is None else load_migrations(folder)
    newest = migrations[-1].version
    applied = await _applied(adapter, ledger)
    if applied > newest:
        raise SchemaTooNew(
            f"the database has schema version {applied}, this plugin knows only {newest}: "
            "use a newer plugin"
        )
    for migration in migrations:
        if migration.version <= applied:
            continue
        try:
            await patient_batch(
                adapter,
                [
                    Guard(_NOT_YET.format(ledger=ledger), (migration.version - 1,)),
                    *(Statement(statement) for statement in migration.statements),
                    Statement(
                        _RECORD.format(ledger=ledger),
                        (migration.version, migration.name, now_ms),
                    ),
                ],
            )
        except GuardFailed:
            if (
                await _applied(adapter, ledger) < migration.version
            ):  # else another process was faster
                raise
    return newest


async def _applied(adapter: Adapter, ledger: str) -> int:
    ((version,),) = await adapter.query(_APPLIED.format(ledger=ledger), fresh=True)
    return version if isinstance(version, int) else 0
