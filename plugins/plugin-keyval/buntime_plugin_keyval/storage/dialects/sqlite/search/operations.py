"""All operations on indexes in SQLite."""

from buntime_plugin_keyval.storage.dialects.search import CatalogueSql, SearchSql
from buntime_plugin_keyval.storage.dialects.sqlite.search import explaining, queries, tables
from buntime_plugin_keyval.storage.dialects.sqlite.search.match import to_match
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE

_INDEX = "id, prefix, fields, tokenize, format"
_LAST_ID = "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'kv_indexes'), 0)"

_CATALOGUE = CatalogueSql(
    ready=f"SELECT {_INDEX} FROM kv_indexes WHERE prefix = ? AND ready",
    all=f"""
SELECT {_INDEX}, ready, (SELECT count(*) FROM kv_docs WHERE index_id = kv_indexes.id)
FROM kv_indexes ORDER BY prefix, id""",
    counts="SELECT count(*), count(*) FILTER (WHERE NOT ready) FROM kv_indexes",
    newest=f"SELECT {_INDEX}, ready FROM kv_indexes WHERE prefix = ? ORDER BY id DESC LIMIT 1",
    of_prefix=f"SELECT {_INDEX} FROM kv_indexes WHERE prefix = ? AND id < ? ORDER BY id",
    outdated=f"""
SELECT {_INDEX}, prefix_json FROM kv_indexes AS old WHERE ready AND format < ?
  AND NOT EXISTS (SELECT 1 FROM kv_indexes WHERE prefix = old.prefix AND id > old.id)""",
    unfinished=f"SELECT {_INDEX} FROM kv_indexes WHERE NOT ready ORDER BY id",
    last_id=f"SELECT {_LAST_ID}",
    add="""
INSERT INTO kv_indexes (id, prefix, prefix_json, fields, tokenize, format, ready, created_at)
VALUES (?, ?, ?, ?, ?, ?, FALSE, ?)""",
    set_ready="UPDATE kv_indexes SET ready = TRUE WHERE id = ?",
    is_last_id=f"{_LAST_ID} = ?",
    has_room="""
(EXISTS (SELECT 1 FROM kv_indexes WHERE prefix = ?)
 OR (SELECT count(DISTINCT prefix) FROM kv_indexes) < ?)""",
    is_there="EXISTS (SELECT 1 FROM kv_indexes WHERE id = ?)",
    is_unfinished="EXISTS (SELECT 1 FROM kv_indexes WHERE id = ? AND NOT ready)",
    are_these="""
(SELECT group_concat(id) FROM (
   SELECT id FROM kv_indexes WHERE prefix = ? AND id < ? ORDER BY id)) IS ?""",
)

SEARCH = SearchSql(
    catalogue=_CATALOGUE,
    format=tables.FORMAT,
    create=tables.create,
    drop=tables.drop,
    fill=tables.fill,
    next_entries=f"""
SELECT key, {VALUE_SIZE} FROM kv_entries WHERE {IN_RANGE} ORDER BY key LIMIT ?""",
    below=f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE}",
    unfit=f"SELECT {_INDEX} FROM kv_indexes WHERE format < 3",
    refit=tables.refit,
    match=to_match,
    page=queries.page,
    small=queries.small,
    rows=queries.rows,
    words=queries.words,
    matching=explaining.matching,
    explain=explaining.explain,
    plan=explaining.plan,
)
