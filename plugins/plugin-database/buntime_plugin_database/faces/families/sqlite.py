"""SQLite's SQL, which libSQL servers speak too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buntime_database import Statement, Value

from buntime_plugin_database.faces.families.family import Family
from buntime_plugin_database.shared.parameters import InvalidArguments, bind, parameters_of
from buntime_plugin_database.shared.permissions import authorize
from buntime_plugin_database.shared.statements import classify

MAX_PARAMETERS = 32_766


def _reads(sql: str) -> bool:
    return classify(sql) == "read"


def _authorize(
    sql: str,
    *,
    readonly: bool,
    schema: bool,
    foreign: frozenset[str] | None,  # noqa: ARG001 - each database is alone
) -> None:
    authorize(sql, readonly=readonly, schema=schema)


def _by_position(sql: str, args: Sequence[Value], named: Mapping[str, Value]) -> Statement:
    found = parameters_of(sql)
    if any(not 1 <= place <= MAX_PARAMETERS for _, place in found):
        raise InvalidArguments(f"parameters have numbers from 1 to {MAX_PARAMETERS}")
    names: list[str | None] = [None] * max((place for _, place in found), default=0)
    pieces: list[str] = []
    end = 0
    for token, place in found:
        if token["name"] != "?":
            names[place - 1] = token["name"]
        pieces += [sql[end : token.start()], f"?{place}"]
        end = token.end()
    return Statement("".join([*pieces, sql[end:]]), bind(names, args, named))


SQLITE = Family(
    reads=_reads,
    authorize=_authorize,
    by_position=_by_position,
    equals="IS",
    differs="IS NOT",
    # Without SQLite's own, this plugin's, and shadow tables.
    tables="SELECT name, CASE type WHEN 'view' THEN 'view' ELSE 'table' END FROM pragma_table_list"
    " WHERE schema = 'main' AND type IN ('table', 'view', 'virtual')"
    " AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, 8) <> 'buntime_' ORDER BY name",
    # Generated ones included, those of virtual tables' insides not.
    columns='SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)'
    " WHERE hidden <> 1 ORDER BY cid",
    indexes='SELECT l.name, l."unique", l.origin, i.name'
    " FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i"
    " ORDER BY l.seq, i.seqno",
    foreign_keys='SELECT id, "from", "table", "to", on_update, on_delete'
    " FROM pragma_foreign_key_list(?) ORDER BY id, seq",
    definition="SELECT sql FROM sqlite_schema WHERE name = ? AND type IN ('table', 'view')",
    row_ids=("rowid", "_rowid_", "oid"),
)
