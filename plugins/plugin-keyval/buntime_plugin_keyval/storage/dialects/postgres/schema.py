"""Tables and ledgers in PostgreSQL."""

from pathlib import Path

from buntime_plugin_keyval.storage.dialects.schema import LedgerSql, SchemaSql

SCHEMA = SchemaSql(
    migrations=Path(__file__).with_name("migrations"),
    ledger=LedgerSql(
        create="""
CREATE TABLE IF NOT EXISTS {ledger} (
  version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL
)""",
        is_there="SELECT (to_regclass('{ledger}') IS NOT NULL)::int",
        applied="SELECT coalesce(max(version), 0) FROM {ledger}",
        record="INSERT INTO {ledger} (version, name, applied_at) VALUES ($1, $2, $3)",
        is_at="(SELECT coalesce(max(version), 0) FROM {ledger}) = $1",
    ),
)
