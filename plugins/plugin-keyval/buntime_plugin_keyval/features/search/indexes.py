"""What an index is, and the tables and triggers that it consists of.

Triggers keep an index up to date. They run inside the transaction of the write, whichever
statement wrote and whichever process ran it. SQL text of a trigger cannot have parameters, so
names and paths stand in it as literals, made by `_text` and `_blob` alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from buntime_database import Value
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.numbers import BIGINT_TYPE, TYPE_MEMBER
from buntime_keyval.wire.searching import TOKENIZERS

from buntime_plugin_keyval.model.where import InvalidWhere
from buntime_plugin_keyval.model.where.nodes import Path
from buntime_plugin_keyval.model.where.paths import parse_path
from buntime_plugin_keyval.storage.dialects.sqlite.paths import json_path
from buntime_plugin_keyval.storage.ranges import KeyRange, subtree

INDEX_COLUMNS = "id, prefix, fields, tokenize, format"

FORMAT = 3
"""How indexes are built now. 1 folded one mark of a letter only, and had no vocabulary. The
triggers of 2 did not know long values."""

MAX_FIELDS = 50
"""Fields of one index."""

MAX_ELEMENT_STEPS = 3
"""Numbers among the steps of a field: each one doubles the places where it may be."""

_ELEMENT = re.compile(r"0|[1-9][0-9]{0,8}")
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


class IndexOptions(NamedTuple):
    """What is indexed, and how text becomes words."""

    fields: tuple[str, ...]
    tokenize: str = "unicode61"


class Index(NamedTuple):
    """An index of the values below a prefix."""

    id: int
    prefix: bytes
    options: IndexOptions
    format: int = FORMAT

    @property
    def table(self) -> str:
        """Its FTS5 table; column `f0` is the first field, and so on."""
        return f"kv_fts_{self.id}"

    @property
    def vocabulary(self) -> str:
        """The table of its words: `term`, and `doc`, how many entries have it."""
        return f"{self.table}_words"

    @property
    def keys(self) -> KeyRange:
        """The keys whose values are indexed."""
        return subtree(self.prefix)


def parse_options(fields: object, tokenize: object) -> IndexOptions:
    """Checked options. Raises `InvalidInput` in the words of the contract."""
    if not isinstance(fields, (list, tuple)):
        raise InvalidInput("options.fields must be a non-empty array")
    if not fields:
        raise InvalidInput("At least one field must be specified")
    if len(fields) > MAX_FIELDS:
        raise InvalidInput(f"Too many fields: {len(fields)} (max {MAX_FIELDS})")
    for field in fields:
        if not isinstance(field, str):
            raise InvalidInput(f"A field must be a path, received {describe(field)}")
        try:
            path = parse_path(field)
        except InvalidWhere as error:
            raise InvalidInput(str(error)) from None
        if sum(_is_number(step) for step in path) > MAX_ELEMENT_STEPS:
            raise InvalidInput(f"Too many numbers in {field} (max {MAX_ELEMENT_STEPS})")
    if tokenize is None:
        tokenize = "unicode61"
    if tokenize not in TOKENIZERS:
        raise InvalidInput(
            f"tokenize must be one of {', '.join(TOKENIZERS)}, received {describe(tokenize)}"
        )
    return IndexOptions(tuple(dict.fromkeys(fields)), str(tokenize))


def create_statements(index: Index) -> list[str]:
    """The FTS5 table and the triggers of an index.

    Raises `InvalidInput` for fields whose paths are too long for a statement.
    """
    columns = _columns(index)
    tokenizer = FTS5_TOKENIZERS.get(index.options.tokenize, index.options.tokenize)
    statements = [
        f"CREATE VIRTUAL TABLE {index.table} USING fts5({columns}, tokenize = {_text(tokenizer)})",
        f"CREATE VIRTUAL TABLE {index.vocabulary} USING fts5vocab({index.table}, row)",
        *trigger_statements(index),
    ]
    if max(map(len, statements)) > _MAX_SQL_LENGTH:
        raise InvalidInput("The paths of the fields are too long together")
    return statements


def trigger_statements(index: Index) -> list[str]:
    """The triggers of an index."""
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
  SELECT doc, {extracts(index, "json")} FROM (
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


def drop_triggers(index: Index) -> list[str]:
    """What removes the triggers of an index."""
    return [f"DROP TRIGGER {index.table}_{event}" for event in ("insert", "update", "delete")]


def drop_statements(index: Index) -> list[str]:
    """What removes an index and all that belongs to it."""
    return [
        *drop_triggers(index),
        f"DROP TABLE IF EXISTS {index.vocabulary}",
        f"DROP TABLE {index.table}",
        f"DELETE FROM kv_docs WHERE index_id = {index.id}",
        f"DELETE FROM kv_indexes WHERE id = {index.id}",
    ]


def index_of_row(row: Sequence[Value]) -> Index:
    """An index as it is stored in `INDEX_COLUMNS`."""
    index_id, prefix, fields, tokenize, built = row
    options = IndexOptions(msgspec.json.decode(str(fields), type=tuple[str, ...]), str(tokenize))
    return Index(int(index_id or 0), bytes(prefix), options, int(built or 1))  # type: ignore[arg-type] # a BLOB


def _columns(index: Index) -> str:
    return ", ".join(f"f{number}" for number in range(len(index.options.fields)))


def extracts(index: Index, value: str) -> str:
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
    """Where a field may be: a member that is a number is also an element of an array."""
    places: list[Path] = [()]
    for step in parse_path(field):
        steps = (step, int(step)) if _is_number(step) else (step,)
        places = [(*place, step) for place in places for step in steps]
    return places


def _is_number(step: str | int) -> bool:
    return isinstance(step, str) and _ELEMENT.fullmatch(step) is not None


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _blob(data: bytes) -> str:
    return f"x'{data.hex()}'"
