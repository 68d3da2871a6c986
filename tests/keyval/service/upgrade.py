"""A store of schema version 4, with data that its own SQL wrote, opened by this version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
from buntime_database import Statement
from buntime_keyval import KvDetails
from buntime_keyval.wire import encode_key, key_to_json
from buntime_plugin_keyval.storage import schema
from keyval.service.world import NOW_MS, World

Opening = Callable[[], AbstractAsyncContextManager[World]]
Older = Callable[[int], AbstractAsyncContextManager[World]]

PUT_OF_VERSION_4 = """
INSERT INTO kv_entries (key, key_json, value, versionstamp, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, versionstamp = excluded.versionstamp, expires_at = excluded.expires_at"""
WRITTEN_MS = NOW_MS - 86_400_000
WORD = {"t": "word"}

_DOC = "SELECT doc FROM kv_docs WHERE index_id = 1 AND doc_key ="
_PUT_DOC = f"""
WHEN NEW.key >= x'026400' AND NEW.key < x'026400ff' BEGIN
  INSERT INTO kv_docs (index_id, doc_key) SELECT 1, NEW.key WHERE NOT EXISTS ({_DOC} NEW.key);
  DELETE FROM kv_fts_1 WHERE rowid = ({_DOC} NEW.key);
  INSERT INTO kv_fts_1 (rowid, f0) SELECT doc, NEW.value ->> '$."t"' FROM ({_DOC} NEW.key);
END"""
INDEX_OF_VERSION_4 = (
    "CREATE VIRTUAL TABLE kv_fts_1 USING fts5(f0, tokenize = 'unicode61 remove_diacritics 2')",
    f"CREATE TRIGGER kv_fts_1_insert AFTER INSERT ON kv_entries {_PUT_DOC}",
    f"CREATE TRIGGER kv_fts_1_update AFTER UPDATE ON kv_entries {_PUT_DOC}",
    f"""CREATE TRIGGER kv_fts_1_delete AFTER DELETE ON kv_entries
WHEN OLD.key >= x'026400' AND OLD.key < x'026400ff' BEGIN
  DELETE FROM kv_fts_1 WHERE rowid = ({_DOC} OLD.key);
  DELETE FROM kv_docs WHERE index_id = 1 AND doc_key = OLD.key;
END""",
)


def stamp_of(at_ms: int) -> str:
    """A versionstamp as a commit of that time gets it."""
    digits = f"{at_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}-7abc-8def-0123456789ab"


async def put_as_version_4(
    world: World,
    key: tuple[object, ...],
    versionstamp: str,
    expires_at: int | None = None,
    value: object = WORD,
) -> None:
    """Write as version 4 did."""
    encoded, text = encode_key(key), key_to_json(key)  # type: ignore[arg-type] # parts of keys
    args = (encoded, text, msgspec.json.encode(value).decode(), versionstamp, expires_at)
    await world.adapter.execute(PUT_OF_VERSION_4, args)


async def index_as_version_4(world: World) -> None:
    """An index of the field `t` below `d`, before indexes had a format and a vocabulary."""
    row = """
INSERT INTO kv_indexes (id, prefix, prefix_json, fields, tokenize, ready, created_at)
VALUES (1, ?, '["d"]', '["t"]', 'unicode61', TRUE, 0)"""
    await world.adapter.batch(
        [
            Statement(row, (encode_key(("d",)),)),
            *(Statement(text) for text in INDEX_OF_VERSION_4),
        ]
    )


async def check_upgrade(opening: Opening, open_older_store: Older) -> None:
    """Entries get the times that their versionstamps tell, and no index is built anew."""
    async with open_older_store(4) as world:
        await index_as_version_4(world)
        for number in range(3):
            await put_as_version_4(world, ("d", number), stamp_of(WRITTEN_MS + number))
        await put_as_version_4(world, ("d", "old"), stamp_of(WRITTEN_MS), NOW_MS - 1)
        await put_as_version_4(world, ("d", "short"), stamp_of(WRITTEN_MS), NOW_MS + 5)
        await put_as_version_4(world, ("d", "foreign"), "not-a-uuid")
        indexed = await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id")
    async with opening() as world:
        await world.service.begin()
        kv = world.kv
        assert await world.rows("SELECT max(version) FROM kv_migrations") == [
            (len(schema.load_migrations()),)
        ]
        assert await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id") == indexed
        told = {entry.key[1]: entry.details async for entry in kv.list(["d"], details=True)}
        assert told == {
            0: KvDetails(None, WRITTEN_MS, WRITTEN_MS, None),
            1: KvDetails(None, WRITTEN_MS + 1, WRITTEN_MS + 1, None),
            2: KvDetails(None, WRITTEN_MS + 2, WRITTEN_MS + 2, None),
            "short": KvDetails(None, WRITTEN_MS, WRITTEN_MS, NOW_MS + 5),
            "foreign": KvDetails(None, 0, 0, None),
        }
        assert await kv.has(["d", 0])
        assert not await kv.has(["d", "old"])
        for key in (0, "old", "short", "foreign"):
            await kv.set(["d", key], {"t": "word"}, metadata=[key])
        await kv.atomic().delete(["d", 1]).set(["d", 1], {"t": "other"}).commit()
        told = {entry.key[1]: entry.details async for entry in kv.list(["d"], details=True)}
        assert told == {
            0: KvDetails([0], WRITTEN_MS, NOW_MS, None, 2),
            1: KvDetails(None, NOW_MS, NOW_MS, None),
            2: KvDetails(None, WRITTEN_MS + 2, WRITTEN_MS + 2, None),
            "old": KvDetails(["old"], NOW_MS, NOW_MS, None),
            "short": KvDetails(["short"], WRITTEN_MS, NOW_MS, None, 2),
            "foreign": KvDetails(["foreign"], 0, NOW_MS, None, 2),
        }
        assert len([hit async for hit in kv.search(["d"], "word")]) == 5
