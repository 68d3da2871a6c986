"""A store of an earlier version on libSQL servers."""

from __future__ import annotations

import pytest
from database.libsql.support import wipe
from keyval.libsql.support import open_libsql_world
from keyval.service.upgrade import check_upgrade
from support.sqld import Sqld


async def test_a_store_of_version_4_gets_times(
    pair_of_worlds: list[Sqld], monkeypatch: pytest.MonkeyPatch
) -> None:
    await wipe([pair_of_worlds[0].url])
    await check_upgrade(lambda: open_libsql_world(pair_of_worlds[:1]), monkeypatch)
