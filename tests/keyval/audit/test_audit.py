"""Lines of the logger `audit` are kept in the store, for administrators."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from buntime_host import Principal
from buntime_host.access import Permissible, compile_grant
from buntime_host.errors import PermissionDenied
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.audit.part import AUDIT_KEY
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import FAST, FakeClock, until

PERMISSIBLE = Permissible({"keyval": PERMISSIONS})
LOG = logging.getLogger("audit")
DAY_MS = 24 * 60 * 60 * 1000


def someone(*scopes: str) -> Principal:
    return Principal("k1", "somebody", compile_grant(scopes, PERMISSIBLE))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def kept(tmp_path: Path, clock: FakeClock) -> AsyncIterator[LocalKv]:
    """A store that keeps lines for a day."""
    LOG.setLevel(logging.INFO)
    adapter = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    await migrate(adapter, clock())
    store = Store(adapter, logger=logging.getLogger("store"), clock=clock)
    service = KeyValService(parse_config({"auditKeep": "1d"}), store)
    await service.begin()
    service.start()
    kv = LocalKv(service)
    yield kv
    await service.close()
    await adapter.close()


async def lines(kv: LocalKv) -> list[Any]:
    return [entry.value async for entry in kv.list(AUDIT_KEY)]


async def test_lines_are_kept_in_their_order_and_expire(kept: LocalKv, clock: FakeClock) -> None:
    for number in range(450):
        LOG.info("PUT %d", number, extra={"key": "k1", "secret": object()})
    assert not [entry async for entry in kept.list(["open"])]

    async def all_there() -> bool:
        return len(await lines(kept)) == 450

    await until(all_there)
    found = await lines(kept)
    assert found[7] == {"message": "PUT 7", "key": "k1"}
    assert [line["message"] for line in found] == [f"PUT {number}" for number in range(450)]
    clock.advance(DAY_MS)
    assert await lines(kept) == []


async def test_what_waits_is_written_at_the_end(tmp_path: Path, kept: LocalKv) -> None:
    LOG.info("the last one")
    await kept._service.close()
    LOG.info("nobody hears that")
    other = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    rows = await other.query("SELECT value FROM kv_entries")
    await other.close()
    assert [value for (value,) in rows] == ['{"message":"the last one"}']


async def test_administrators_alone_read_them(kept: LocalKv) -> None:
    reader, admin = (
        kept.as_principal(someone("keyval:read")),
        kept.as_principal(someone("keyval:*")),
    )
    for asked in (
        anext(reader.list(AUDIT_KEY), None),
        anext(reader.list(), None),
        reader.count(),
        reader.paginate(),
        reader.changes(),
        reader.get([*AUDIT_KEY, "x"]),
    ):
        with pytest.raises(PermissionDenied, match="keyval:admin"):
            await asked
    assert await reader.count(["users"]) == 0
    assert await admin.count() == 0


async def test_what_was_kept_stays_theirs_where_nothing_is_kept_any_more(
    tmp_path: Path, kept: LocalKv, clock: FakeClock
) -> None:
    LOG.info("a line")
    await kept._service.close()
    adapter = SqliteAdapter(str(tmp_path / "kv.db"), options=FAST)
    store = Store(adapter, logger=logging.getLogger("store"), clock=clock)
    service = KeyValService(parse_config({}), store)
    await service.begin()
    kv = LocalKv(service)
    assert await kv.count(AUDIT_KEY) == 1
    with pytest.raises(PermissionDenied, match="keyval:admin"):
        await kv.as_principal(someone("keyval:read")).count()
    await service.close()
    await adapter.close()


async def test_no_store_listens_that_is_not_told_to(kept: LocalKv) -> None:
    assert len(LOG.handlers) == 1
    await kept._service.close()
    assert not LOG.handlers
