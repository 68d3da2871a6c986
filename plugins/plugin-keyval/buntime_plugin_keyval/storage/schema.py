"""Numbered migrations: forward only, and safe when two processes start at once.

Each is one transaction, except that a new database gets all of them in one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from buntime_database import Adapter, DatabaseError, Guard, GuardFailed, Statement

from buntime_plugin_keyval.storage.dialects.registry import SQLITE, dialect_of
from buntime_plugin_keyval.storage.dialects.schema import LedgerSql
from buntime_plugin_keyval.storage.maintenance import patient_batch

LEDGER = "kv_migrations"
"""The table of applied migrations."""


class SchemaTooNew(DatabaseError):
    """A newer version of the plugin wrote this database."""


class Migration(NamedTuple):
    """One step of the schema: its number, its name, its statements."""

    version: int
    name: str
    statements: tuple[str, ...]


def load_migrations(folder: Path = SQLITE.schema.migrations) -> list[Migration]:
    """The migrations in a folder, in order; by default those of the store for SQLite."""
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
    adapter: Adapter, now_ms: int, *, folder: Path | None = None, ledger: str = LEDGER
) -> int:
    """Migrate the database to the newest schema and return its version.

    Migrations of another `folder` have a `ledger` of their own.

    Raises `SchemaTooNew` for a database of a newer version, and `DatabaseError` if a step fails,
    which then leaves nothing behind.
    """
    schema = dialect_of(adapter).schema
    sql = LedgerSql(*(text.format(ledger=ledger) for text in schema.ledger))
    await patient_batch(adapter, [Statement(sql.create)])
    migrations = load_migrations(schema.migrations if folder is None else folder)
    newest = migrations[-1].version
    applied = await _applied(adapter, sql)
    if applied > newest:
        raise SchemaTooNew(
            f"the database has schema version {applied}, this plugin knows only {newest}: "
            "use a newer plugin"
        )
    while missing := [migration for migration in migrations if migration.version > applied]:
        steps = missing[:1] if applied else missing
        batch: list[Statement | Guard] = [Guard(sql.is_at, (applied,))]
        for one in steps:
            batch += map(_with_identity, one.statements)
            batch.append(Statement(sql.record, (one.version, one.name, now_ms)))
        try:
            await patient_batch(adapter, batch)
            applied = steps[-1].version
        except GuardFailed:
            before, applied = applied, await _applied(adapter, sql)
            if applied == before:
                raise  # otherwise another process was faster
    return newest


async def version_of(adapter: Adapter) -> int:
    """The schema version of a database; 0 without a store. Raises `DatabaseError`."""
    texts = dialect_of(adapter).schema.ledger
    sql = LedgerSql(*(text.format(ledger=LEDGER) for text in texts))
    ((is_there,),) = await adapter.query(sql.is_there, fresh=True)
    return await _applied(adapter, sql) if is_there else 0


def newest_version(adapter: Adapter) -> int:
    """The schema version that this version of the plugin creates."""
    return load_migrations(dialect_of(adapter).schema.migrations)[-1].version


def _with_identity(statement: str) -> Statement:
    """A step of a migration, with a new identity in place of `{identity}`.

    It is not made in SQL: servers that replicate statements would each make a different one.
    """
    return Statement(statement.replace("{identity}", secrets.token_hex(8)))


async def _applied(adapter: Adapter, sql: LedgerSql) -> int:
    ((version,),) = await adapter.query(sql.applied, fresh=True)
    return version if isinstance(version, int) else 0
