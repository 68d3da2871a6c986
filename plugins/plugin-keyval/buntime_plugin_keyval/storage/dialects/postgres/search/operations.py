"""All operations on indexes in PostgreSQL."""

from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.rows import VALUE_SIZE
from buntime_plugin_keyval.storage.dialects.postgres.search import explaining, queries, tables
from buntime_plugin_keyval.storage.dialects.postgres.search.match import to_match
from buntime_plugin_keyval.storage.dialects.search import CatalogueSql, SearchSql
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE

_INDEX = "id, prefix, fields, tokenize, format"
_LAST_ID = "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM kv_indexes_id_seq)"

_CATALOGUE = CatalogueSql(
    ready=f"SELECT {_INDEX} FROM kv_indexes WHERE prefix = $1 AND ready",
    all=f"""
SELECT {_INDEX}, ready, (SELECT count(*) FROM kv_docs WHERE index_id = kv_indexes.id)
FROM kv_indexes ORDER BY prefix, id""",
    counts="SELECT count(*), count(*) FILTER (WHERE NOT ready) FROM kv_indexes",
    newest=f"SELECT {_INDEX}, ready FROM kv_indexes WHERE prefix = $1 ORDER BY id DESC LIMIT 1",
    of_prefix=f"SELECT {_INDEX} FROM kv_indexes WHERE prefix = $1 AND id < $2 ORDER BY id",
    outdated=f"""
SELECT {_INDEX}, prefix_json FROM kv_indexes AS old WHERE ready AND format < $1
  AND NOT EXISTS (SELECT 1 FROM kv_indexes WHERE prefix = old.prefix AND id > old.id)""",
    unfinished=f"SELECT {_INDEX} FROM kv_indexes WHERE NOT ready ORDER BY id",
    last_id=f"SELECT {_LAST_ID}",
    # Numbers are given by the writer that adds one; the sequence is what remembers the last of
    # them.
    add="""
INSERT INTO kv_indexes (id, prefix, prefix_json, fields, tokenize, format, ready, created_at)
VALUES (setval('kv_indexes_id_seq', $1::bigint), $2, $3, $4, $5, $6, FALSE, $7)""",
    set_ready="UPDATE kv_indexes SET ready = TRUE WHERE id = $1",
    is_last_id=f"{_LAST_ID} = $1",
    has_room="""
(EXISTS (SELECT 1 FROM kv_indexes WHERE prefix = $1)
 OR (SELECT count(DISTINCT prefix) FROM kv_indexes) < $2)""",
    is_there="EXISTS (SELECT 1 FROM kv_indexes WHERE id = $1)",
    is_unfinished="EXISTS (SELECT 1 FROM kv_indexes WHERE id = $1 AND NOT ready)",
    are_these="""
(SELECT string_agg(id::text, ',' ORDER BY id) FROM kv_indexes WHERE prefix = $1 AND id < $2)
IS NOT DISTINCT FROM $3::text""",
)


SEARCH = SearchSql(
    catalogue=_CATALOGUE,
    format=tables.FORMAT,
    create=tables.create,
    drop=tables.drop,
    fill=tables.fill,
    next_entries=numbered(
        f"SELECT key, {VALUE_SIZE} FROM kv_entries WHERE {IN_RANGE} ORDER BY key LIMIT ?"
    ),
    below=numbered(f"SELECT count(*) FROM kv_entries WHERE {IN_RANGE}"),
    unfit=f"SELECT {_INDEX} FROM kv_indexes WHERE FALSE",
    refit=tables.refit,
    match=to_match,
    page=queries.page,
    small=None,
    rows=queries.rows,
    words=queries.words,
    matching=explaining.matching,
    explain=explaining.explain,
    plan=explaining.plan,
)
