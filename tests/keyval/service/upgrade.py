"""A store of schema version 4, with data that its own SQL wrote, opened by this version."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from buntime_database import Statement
from buntime_keyval import KvDetails
from buntime_keyval.wire import encode_key, key_to_json
from buntime_plugin_keyval.features.search.indexes import Index, IndexOptions, create_statements
from buntime_plugin_keyval.storage import schema
from keyval.service.world import NOW_MS, World

Opening = Callable[[], AbstractAsyncContextManager[World]]

PUT_OF_VERSION_4 = """
INSERT INTO kv_entries (key, key_json, value, versionstamp, expires_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  value = excluded.value, versionstamp = excluded.versionstamp, expires_at = excluded.expires_at"""
WRITTEN_MS = NOW_MS - 86_400_000


def stamp_of(at_ms: int) -> str:
    """A versionstamp as a commit of that time gets it."""
    digits = f"{at_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}-7abc-8def-0123456789ab"


async def put_as_version_4(
    world: World, key: tuple[object, ...], versionstamp: str, expires_at: int | None = None
) -> None:
    """Write as version 4 did."""
    encoded, text = encode_key(key), key_to_json(key)  # type: ignore[arg-type] # parts of keys
    args = (encoded, text, '{"t":"word"}', versionstamp, expires_at)
    await world.adapter.execute(PUT_OF_VERSION_4, args)


async def index_as_version_4(world: World) -> None:
    """An index of the field `t` below `d`, before indexes had a format and a vocabulary."""
    index = Index(1, encode_key(("d",)), IndexOptions(("t",)))
    texts = [text for text in create_statements(index) if index.vocabulary not in text]
    row = "INSERT INTO kv_indexes VALUES (1, ?, ?, ?, 'unicode61', TRUE, 0)"
    await world.adapter.batch(
        [Statement(row, (index.prefix, '["d"]', '["t"]')), *(Statement(text) for text in texts)]
    )


async def check_upgrade(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries get the times that their versionstamps tell, and no index is built anew."""
    known = schema.load_migrations()
    with monkeypatch.context() as older:
        older.setattr(schema, "load_migrations", lambda: known[:4])
        async with opening() as world:
            await index_as_version_4(world)
            for number in range(3):
                await put_as_version_4(world, ("d", number), stamp_of(WRITTEN_MS + number))
            await put_as_version_4(world, ("d", "old"), stamp_of(WRITTEN_MS), NOW_MS - 1)
            await put_as_version_4(world, ("d", "short"), stamp_of(WRITTEN_MS), NOW_MS + 5)
            await put_as_version_4(world, ("d", "foreign"), "not-a-uuid")
            indexed = await world.rows("SELECT * FROM kv_fts_1_data ORDER BY id")
    async with opening() as world:
        kv = world.kv
        assert await world.rows("SELECT max(version) FROM kv_migrations") == [(len(known),)]
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
            0: KvDetails([0], WRITTEN_MS, NOW_MS, None),
            1: KvDetails(None, NOW_MS, NOW_MS, None),
            2: KvDetails(None, WRITTEN_MS + 2, WRITTEN_MS + 2, None),
            "old": KvDetails(["old"], NOW_MS, NOW_MS, None),
            "short": KvDetails(["short"], WRITTEN_MS, NOW_MS, None),
            "foreign": KvDetails(["foreign"], 0, NOW_MS, None),
        }
        assert len([hit async for hit in kv.search(["d"], "word")]) == 5
