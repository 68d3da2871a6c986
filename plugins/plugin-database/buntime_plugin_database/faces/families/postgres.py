"""PostgreSQL's SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from buntime_database import Statement, Value

from buntime_plugin_database.engines.postgres.statements import named_parameters, parse
from buntime_plugin_database.faces.families.family import Family
from buntime_plugin_database.shared.parameters import InvalidArguments, bind
from buntime_plugin_database.shared.permissions import NotAuthorized, is_of_the_host

_DEFINABLE = frozenset({"INDEX", "MATERIALIZED", "SEQUENCE", "TABLE", "UNIQUE", "VIEW"})
"""Kinds of objects that may be created, changed and dropped. Functions are programs, and other
kinds are not part of the schema: roles, extensions, schemas."""
_SCHEMA_WORDS = frozenset({"ALTER", "ANALYZE", "COMMENT", "CREATE", "DROP", "REINDEX", "TRUNCATE"})
_OTHERS = frozenset({"DELETE", "INSERT", "MERGE", "REFRESH", "SELECT", "UPDATE", "WITH"})
_HARMLESS = frozenset(
    {
        *("pg_column_size", "pg_get_constraintdef", "pg_get_expr", "pg_get_indexdef"),
        *("pg_get_serial_sequence", "pg_get_viewdef", "pg_indexes_size", "pg_relation_size"),
        *("pg_size_pretty", "pg_sleep", "pg_table_size", "pg_total_relation_size", "pg_typeof"),
    }
)
"""Allowed functions that begin with pg_; others read files, end connections, keep locks."""
_FUNCTIONS = re.compile(
    r"lo_\w+|loread|lowrite|dblink\w*|set_config|\w+_to_xml\w*|ts_stat|ts_rewrite"
)
"""These read and write files, go to other servers, or run a text as SQL."""
_TABLES = re.compile(
    r"pg_(stat_\w+|statio_\w+|stats\w*|statistic\w*|largeobject\w*|user_mapping\w*|foreign_\w+|subscription\w*|prepared_\w+"
    r"|replication_\w+|auth\w+|roles|shadow|user|group|db_role_setting|hba_file_rules"
    r"|ident_file_mappings|file_settings|settings|config|cursors|locks|\w*memory\w*"
    r"|shmem_allocations\w*)"
    r"|_pg_\w+|user_mapping_options|foreign_(server|table|data_wrapper)_options"
)
"""These reveal other sessions and their statements, values in tables without a check of permissions
(`pg_stats`), roles, passwords, files and the server's settings."""
_OF_TEXT = frozenset({"currval", "nextval", "setval", "pg_get_viewdef", "pg_relation_size"})
"""These take the name of a table as text, whose schema cannot be checked."""


class NotPrivileged(NotAuthorized):
    """The statement may not do this. The code is that of PostgreSQL's own refusal."""

    code = "POSTGRES_INSUFFICIENT_PRIVILEGE"


def _reads(sql: str) -> bool:
    return parse(sql).kind == "read"


def _authorize(sql: str, *, readonly: bool, schema: bool, foreign: frozenset[str] | None) -> None:
    statement = parse(sql)
    tokens = statement.tokens
    if readonly and statement.kind != "read":
        raise NotPrivileged("not authorized: this request may only read")
    if tokens[0] in _SCHEMA_WORDS:
        _check_definition(tokens, schema=schema)
    elif statement.kind != "read" and tokens[0] not in _OTHERS:
        raise NotPrivileged(f"not authorized to use {tokens[0]}")
    elif not schema and _makes_a_table(tokens):
        raise NotPrivileged("not authorized: this request may not change the schema")
    for place, token in enumerate(tokens):
        _check_name(token, tokens[place + 1 : place + 3], foreign)


def _makes_a_table(tokens: Sequence[str]) -> bool:
    """Whether it is a SELECT INTO."""
    return any(b == "INTO" and a not in ("INSERT", "MERGE") for a, b in pairwise(tokens))


def _check_definition(tokens: Sequence[str], *, schema: bool) -> None:
    if not schema and tokens[0] != "TRUNCATE":
        raise NotPrivileged("not authorized: this request may not change the schema")
    if tokens[0] in ("ANALYZE", "COMMENT", "TRUNCATE"):
        return
    rest = [token for token in tokens[1:4] if token not in ("OR", "REPLACE", "UNLOGGED")]
    if not rest or rest[0] not in _DEFINABLE:
        raise NotPrivileged(f"not authorized: {' '.join(tokens[:2])}")
    if ("SET", "SCHEMA") in pairwise(tokens):
        raise NotPrivileged("not authorized: SET SCHEMA")


def _check_name(token: str, following: Sequence[str], foreign: frozenset[str] | None) -> None:
    if token in ("U", "u") and following[:1] == ("&",):
        raise NotPrivileged("not authorized to use names with escapes (U&)")
    name = token[1:-1].replace('""', '"') if token[:1] == '"' else token.lower()
    is_called = following[:1] == ("(",)
    if is_called and name not in _HARMLESS and (name[:3] == "pg_" or _FUNCTIONS.fullmatch(name)):
        raise NotPrivileged(f"not authorized to use {name}")
    if _TABLES.fullmatch(name) or is_of_the_host(name):
        raise NotPrivileged(f"not authorized to use {name}")
    if foreign is None:
        return
    if (is_called and name in _OF_TEXT) or (name[:3] == "pg_" and not is_called):
        raise NotPrivileged(f"not authorized to use {name} in a tenant's database")
    if following[:1] == (".",) and name in foreign:
        raise NotPrivileged(f"not authorized to use the schema {name}")


def _by_position(sql: str, args: Sequence[Value], named: Mapping[str, Value]) -> Statement:
    if args:
        raise InvalidArguments("arguments have either names or places, not both")
    names = {name.lstrip(":"): value for name, value in named.items()}
    parts, found = named_parameters(sql, frozenset(names))
    text = "".join(part if isinstance(part, str) else f"${part}" for part in parts)
    return Statement(text, bind([f":{name}" for name in found], (), names))


_HERE = "quote_ident(current_schema())::regnamespace"
_TABLE = f"(SELECT oid FROM pg_class WHERE relnamespace = {_HERE} AND relname = ?1)"

POSTGRES = Family(
    reads=_reads,
    authorize=_authorize,
    by_position=_by_position,
    equals="IS NOT DISTINCT FROM",
    differs="IS DISTINCT FROM",
    tables="SELECT relname::text, CASE WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'table' END"
    f" FROM pg_class WHERE relnamespace = {_HERE} AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    " AND NOT starts_with(relname, 'buntime_') ORDER BY relname COLLATE \"C\"",
    columns="SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull::int,"
    " pg_get_expr(d.adbin, d.adrelid),"
    " coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)"
    " FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary"
    f" WHERE a.attrelid = {_TABLE} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    indexes="SELECT c.relname::text, i.indisunique::int, CASE WHEN i.indisprimary THEN 'pk'"
    " WHEN k.contype = 'u' THEN 'u' ELSE 'c' END, a.attname::text"
    " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')"
    " CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS part(attnum, place)"
    " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.attnum"
    f" WHERE i.indrelid = {_TABLE} AND part.place <= i.indnkeyatts"
    ' ORDER BY c.relname COLLATE "C", part.place',
    foreign_keys="SELECT dense_rank() OVER (ORDER BY k.conname) - 1, a.attname::text,"
    " t.relname::text, b.attname::text, u.word, d.word FROM pg_constraint k"
    " JOIN pg_class t ON t.oid = k.confrelid"
    " CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS part(mine, theirs, place)"
    " JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.mine"
    " JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = part.theirs"
    " JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'),"
    " ('d', 'SET DEFAULT')) AS u(code, word) ON u.code = k.confupdtype::text"
    " JOIN (VALUES ('a', 'NO ACTION'), ('r', 'RESTRICT'), ('c', 'CASCADE'), ('n', 'SET NULL'),"
    " ('d', 'SET DEFAULT')) AS d(code, word) ON d.code = k.confdeltype::text"
    f" WHERE k.contype = 'f' AND k.conrelid = {_TABLE} ORDER BY k.conname, part.place",
    definition="SELECT pg_get_viewdef(oid) FROM pg_class"
    f" WHERE oid = {_TABLE} AND relkind IN ('v', 'm')",
    foreign="SELECT nspname::text FROM pg_namespace WHERE nspname <> current_schema()",
)
