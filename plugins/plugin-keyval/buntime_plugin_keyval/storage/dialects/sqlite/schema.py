"""Tables and ledgers in SQLite."""

from pathlib import Path

from buntime_plugin_keyval.storage.dialects.schema import LedgerSql, SchemaSql

SCHEMA = SchemaSql(
    migrations=Path(__file__).with_name("migrations"),
    ledger=LedgerSql(
        create="""
CREATE TABLE IF NOT EXISTS {ledger} (
  version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL
)""",
        is_there="SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '{ledger}')",
        applied="SELECT coalesce(max(version), 0) FROM {ledger}",
        record="INSERT INTO {ledger} (version, name, applied_at) VALUES (?, ?, ?)",
        is_at="(SELECT coalesce(max(version), 0) FROM {ledger}) = ?",
    ),
)
