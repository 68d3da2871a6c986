"""The tables and triggers that an index consists of in SQLite: FTS5 has it.

Triggers keep an index up to date. They run inside the transaction of the write, whichever
statement wrote and whichever process ran it. SQL text of a trigger cannot have parameters, so
names and paths stand in it as literals, made by `_text` and `_blob` alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Guard, Statement
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.numbers import BIGINT_TYPE, TYPE_MEMBER

from buntime_plugin_keyval.model.where.nodes import Path
from buntime_plugin_keyval.model.where.paths import parse_path
from buntime_plugin_keyval.storage.dialects.sqlite.paths import json_path
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.searching import Index, is_element

FORMAT = 3
"""How indexes are built now. 1 folded one mark of a letter only, and had no vocabulary. The
triggers of 2 did not know long values."""

_MAX_SQL_LENGTH = 500_000
"""Characters of a statement; SQLite takes a million bytes."""

# All marks of a letter are folded, as far as the tokenizer can: by default FTS5 folds those of
# letters with one mark only, which many Vietnamese letters are not. `porter` means stems of what
# unicode61 finds.
FTS5_TOKENIZERS = {
    "unicode61": "unicode61 remove_diacritics 2",
    "porter": "porter unicode61 remove_diacritics 2",
    "trigram": "trigram remove_diacritics 1",
}


def vocabulary_of(index: Index) -> str:
    """The table of the words of an index: `term`, and `doc`, how many entries have it."""
    return f"{index.table}_words"


def create(index: Index) -> list[Statement]:
    """The FTS5 table and the triggers of an index.

    Raises `InvalidInput` for fields whose paths are too long for a statement.
    """
    columns = _columns(index)
    tokenizer = FTS5_TOKENIZERS.get(index.options.tokenize, index.options.tokenize)
    statements = [
        f"CREATE VIRTUAL TABLE {index.table} USING fts5({columns}, tokenize = {_text(tokenizer)})",
        f"CREATE VIRTUAL TABLE {vocabulary_of(index)} USING fts5vocab({index.table}, row)",
        *_triggers(index),
    ]
    if max(map(len, statements)) > _MAX_SQL_LENGTH:
        raise InvalidInput("The paths of the fields are too long together")
    return [Statement(text) for text in statements]


def _triggers(index: Index) -> list[str]:
    key_range = (
        f"{{row}}.key >= {_blob(index.keys.start)} AND {{row}}.key < {_blob(index.keys.end)}"
    )
    doc_of = f"SELECT doc FROM kv_docs WHERE index_id = {index.id} AND doc_key = {{row}}.key"
    # A subquery without a table is one that SQLite does not take apart: however many fields look
    # into a long value, it is found once.
    put = f"""{key_range.format(row="NEW")} BEGIN
  INSERT INTO kv_docs (index_id, doc_key)
  SELECT {index.id}, NEW.key WHERE NOT EXISTS ({doc_of.format(row="NEW")});
  DELETE FROM {index.table} WHERE rowid = ({doc_of.format(row="NEW")});
  INSERT INTO {index.table} (rowid, {_columns(index)})
  SELECT doc, {_extracts(index, "json")} FROM (
    SELECT ({doc_of.format(row="NEW")}) AS doc, iif(
      NEW.long_id IS NULL, NEW.value,
      (SELECT text FROM kv_long_values WHERE id = NEW.long_id)) AS json);
END"""
    # Without OR IGNORE and OR REPLACE: inside a trigger the statement that fired it decides what
    # a conflict does, and an upsert decides otherwise. An entry that keeps its versionstamp keeps
    # its value, which was only moved.
    return [
        f"CREATE TRIGGER {index.table}_insert AFTER INSERT ON kv_entries WHEN {put}",
        f"""CREATE TRIGGER {index.table}_update AFTER UPDATE ON kv_entries
WHEN NEW.versionstamp <> OLD.versionstamp AND {put}""",
        f"""CREATE TRIGGER {index.table}_delete AFTER DELETE ON kv_entries
WHEN {key_range.format(row="OLD")} BEGIN
  DELETE FROM {index.table} WHERE rowid = ({doc_of.format(row="OLD")});
  DELETE FROM kv_docs WHERE index_id = {index.id} AND doc_key = OLD.key;
END""",
    ]


def _dropping_triggers(index: Index) -> list[str]:
    """The statements that remove the triggers of an index."""
    return [f"DROP TRIGGER {index.table}_{event}" for event in ("insert", "update", "delete")]


def drop(index: Index) -> list[Statement]:
    """The statements that remove an index and all that belongs to it."""
    texts = [
        *_dropping_triggers(index),
        f"DROP TABLE IF EXISTS {vocabulary_of(index)}",
        f"DROP TABLE {index.table}",
        f"DELETE FROM kv_docs WHERE index_id = {index.id}",
        f"DELETE FROM kv_indexes WHERE id = {index.id}",
    ]
    return [Statement(text) for text in texts]


_ADD_DOCS = f"""
INSERT OR IGNORE INTO kv_docs (index_id, doc_key)
SELECT ?, key FROM kv_entries WHERE {IN_RANGE} ORDER BY key"""


def fill(index: Index, part: KeyRange) -> list[Statement]:
    """The statement that adds the entries of a range that are not in it."""
    add_texts = f"""
INSERT INTO {index.table} (rowid, {_columns(index)})
WITH added AS MATERIALIZED (
  SELECT doc, {VALUE} AS json FROM kv_docs JOIN kv_entries ON key = doc_key
  WHERE index_id = ? AND doc_key >= ? AND doc_key < ?
    AND NOT EXISTS (SELECT 1 FROM {index.table} WHERE rowid = doc))
SELECT doc, {_extracts(index, "json")} FROM added"""
    args = (index.id, *part)
    return [Statement(_ADD_DOCS, args), Statement(add_texts, args)]


_IS_OF_FORMAT = "EXISTS (SELECT 1 FROM kv_indexes WHERE id = ? AND format = ?)"
_SET_FIT = "UPDATE kv_indexes SET format = 3 WHERE id = ? AND format = 2"


def refit(index: Index) -> list[Statement | Guard]:
    """The statements that replace triggers of an older index, which do not know long values."""
    return [
        Guard(_IS_OF_FORMAT, (index.id, index.format)),
        *(Statement(text) for text in _dropping_triggers(index)),
        *(Statement(text) for text in _triggers(index)),
        Statement(_SET_FIT, (index.id,)),
    ]


def _columns(index: Index) -> str:
    return ", ".join(f"f{number}" for number in range(len(index.options.fields)))


def _extracts(index: Index, value: str) -> str:
    """SQL for the text of each field, separated by commas.

    Texts as they are, other things as JSON, bigints as their digits; nothing for null and for
    what is not there.
    """
    return ", ".join(_extract(value, _places(path)) for path in index.options.fields)


def _extract(value: str, paths: Sequence[Path]) -> str:
    def first_of(form: str, *below: str) -> str:
        # At most one of the places exists, since what holds it is either an array or an object.
        found = [form.format(_text(json_path((*path, *below)))) for path in paths]
        return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"

    return (
        f"CASE {first_of(f'json_type({value}, {{}})')} "
        f"WHEN 'text' THEN {first_of(f'{value} ->> {{}}')} "
        "WHEN 'null' THEN '' "
        f"WHEN 'object' THEN CASE {first_of(f'{value} ->> {{}}', TYPE_MEMBER)} "
        f"WHEN '{BIGINT_TYPE}' THEN {first_of(f'{value} ->> {{}}', 'value')} "
        f"ELSE {first_of(f'{value} -> {{}}')} END "
        f"ELSE coalesce({first_of(f'{value} -> {{}}')}, '') END"
    )


def _places(field: str) -> list[Path]:
    """The possible places of a field: a member that is a number is also an element of an array."""
    places: list[Path] = [()]
    for step in parse_path(field):
        steps = (step, int(step)) if is_element(step) else (step,)
        places = [(*place, step) for place in places for step in steps]
    return places


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _blob(data: bytes) -> str:
    return f"x'{data.hex()}'"
