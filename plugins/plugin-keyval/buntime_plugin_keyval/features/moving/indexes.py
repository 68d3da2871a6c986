"""Full-text indexes of a store that is moved: rebuilt in the target, with their numbers."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from buntime_database import Statement
from buntime_keyval.wire import key_to_json
from buntime_keyval.wire.keys import decode_key

from buntime_plugin_keyval.features.moving.copying import Writing
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.maintenance import patient_batch
from buntime_plugin_keyval.storage.searching import Index, index_of_row

PART = 500
"""The most entries that one commit adds to an index."""


class _Known(NamedTuple):
    definition: Index
    is_ready: bool


async def equalise_indexes(source: Database, target: Database, write: Writing, wall_ms: int) -> int:
    """Make the indexes of the target those of the source; how many differed.

    New ones are filled with the entries that the target has, and their triggers index later ones.
    """
    ours, theirs = await _indexes(source), await _indexes(target)
    sql = target.sql.search
    catalogue = sql.catalogue
    different = 0
    for number, old in theirs.items():
        if number not in ours or old.definition.options != ours[number].definition.options:
            await write(sql.drop(old.definition))
            different += 1
    for number, wanted in ours.items():
        known = theirs.get(number)
        if known is None or known.definition.options != wanted.definition.options:
            await _build(target, write, wanted.definition._replace(format=sql.format), wall_ms)
            different += 1
        if wanted.is_ready and not (known is not None and known.is_ready):
            await write([Statement(catalogue.set_ready, (number,))])
    ((last_id,),) = await source.adapter.query(source.sql.search.catalogue.last_id, fresh=True)
    await write(target.sql.moving.set_last_index(int(last_id or 0)))
    return different


async def drop_indexes(db: Database) -> None:
    for known in (await _indexes(db)).values():
        await patient_batch(db.adapter, db.sql.search.drop(known.definition))


async def _indexes(db: Database) -> dict[int, _Known]:
    rows = await db.adapter.query(db.sql.search.catalogue.all, fresh=True)
    found = (_Known(index_of_row(row[:5]), bool(row[5])) for row in rows)
    return {known.definition.id: known for known in found}


async def _build(db: Database, write: Writing, index: Index, wall_ms: int) -> None:
    sql = db.sql.search
    row = (
        index.id,
        index.prefix,
        key_to_json(decode_key(index.prefix)),
        msgspec.json.encode(index.options.fields).decode(),
        index.options.tokenize,
        index.format,
        wall_ms,
    )
    await write([Statement(sql.catalogue.add, row), *sql.create(index)])
    rest = index.keys
    while rest.start < rest.end:
        part = rest
        found = await db.adapter.query(sql.next_entries, (*rest, PART + 1), fresh=True)
        if len(found) > PART and isinstance(found[-1][0], bytes):
            part = rest.before(found[-1][0])
        await write(sql.fill(index, part))
        rest = rest.from_key(part.end)
