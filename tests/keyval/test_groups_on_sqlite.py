"""A group in few statements comes to what all of its statements come to one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from buntime_database import Batch, GuardFailed
from buntime_keyval.wire import encode_key, key_to_json
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.dialects.sqlite import group_texts
from buntime_plugin_keyval.storage.dialects.sqlite.committing import FewStatements
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.effects import Put
from buntime_plugin_keyval.storage.replays import FINGERPRINT_BYTES, keep_all
from buntime_plugin_keyval.storage.schema import migrate
from database.rqlite.support import wipe
from keyval.engines import Servers
from keyval.groups_on_sqlite import compare
from keyval.service.world import FAST, NOW_MS
from support.sampling import share_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("is_firm", [True, False])
async def test_on_files(tmp_path: Path, is_firm: bool) -> None:
    one, other = (SqliteAdapter(str(tmp_path / name), options=FAST) for name in ("one", "other"))
    await compare(one, other, share_of(250), is_firm=is_firm)
    await one.close()
    await other.close()


@pytest.mark.parametrize("is_firm", [True, False])
async def test_on_a_node(tmp_path: Path, is_firm: bool, database_servers: Servers) -> None:
    node = database_servers.node_of_worlds
    wipe(node)
    one = RqliteAdapter([node.url])
    other = SqliteAdapter(str(tmp_path / "other"), options=FAST)
    await compare(one, other, share_of(60), is_firm=is_firm)
    await one.close()
    await other.close()


def test_texts_are_short() -> None:
    """A node that gets a longer one compresses all of the request."""
    found = [text for text in vars(group_texts).values() if isinstance(text, str) and "?1" in text]
    assert len(found) > 10
    assert max(map(len, found)) < 1000


async def test_keys_that_others_have_taken(tmp_path: Path) -> None:
    adapter = SqliteAdapter(str(tmp_path / "db"), options=FAST)
    await migrate(adapter, NOW_MS)
    together = FewStatements(adapter)
    stamps = Stamps()

    def commit(name: str, key: str | None) -> Batch:
        stamp = stamps.make(NOW_MS)
        put = Put(encode_key((name,)), key_to_json((name,)), "1")
        steps = put.statements(SQLITE, stamp, Moment(NOW_MS, NOW_MS), is_firm=True)
        keepings = [] if key is None else [(key, b"0" * FINGERPRINT_BYTES, stamp, "")]
        kept = keep_all(SQLITE, keepings, 0, NOW_MS) if keepings else ()
        return Batch([*kept, *steps], bounded=True)

    (first,) = await together([commit("a", "taken")])
    assert isinstance(first, list)
    group = [commit("b", "taken"), commit("c", None), commit("d", "free")]
    taken, plain, free = await together(group)
    # What is new under a key a look at what others have kept tells.
    assert isinstance(taken, GuardFailed)
    assert taken.index == 0
    assert isinstance(free, GuardFailed)
    assert isinstance(plain, list)
    entries = await adapter.query("SELECT key_json FROM kv_entries ORDER BY key")
    assert entries == [('["a"]',), ('["c"]',)]
    await adapter.close()
