"""Values in the log: what was written, or removed, for the keys that the options name."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_host import OptionError, Size
from buntime_plugin_keyval.config import ChangesConfig, EncryptionConfig, parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.encryption.keys import open_sealing
from buntime_plugin_keyval.features.stream.values import logged_ranges
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import FakeClock, until

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres")

LONG = "x" * 300_000


class Opened:
    """A store, its clock and its database."""

    def __init__(self, kv: LocalKv, clock: FakeClock, adapter: Adapter, service: Any) -> None:
        self.kv, self.clock, self.adapter, self.service = kv, clock, adapter, service


Open = Callable[..., AbstractAsyncContextManager[Opened]]


@pytest.fixture
def opened(database_of: Callable[[str], Adapter], tmp_path: Path) -> Open:
    """Opens a store with these values in its log, and keys for those below `secret`."""

    @asynccontextmanager
    async def open_one(
        values: Any, *keys: str, limits: Limits = DEFAULT_LIMITS
    ) -> AsyncIterator[Opened]:
        adapter, clock = database_of("kv"), FakeClock()
        try:
            await migrate(adapter, clock())
            prefixes = (["secret"],) if keys else ()
            store = Store(
                adapter,
                logger=logging.getLogger("stream"),
                clock=clock,
                limits=limits,
                sealing=open_sealing(
                    EncryptionConfig(prefixes=prefixes, keys=",".join(keys)), tmp_path
                ),
                logged=logged_ranges(ChangesConfig(values=values)),
            )
            service = KeyValService(parse_config({}), store)
            await service.begin()
            kv = LocalKv(service)
            yield Opened(kv, clock, adapter, service)
            await kv.close()
            await service.close()
        finally:
            await adapter.close()

    return open_one


async def test_of_chosen_keys_the_log_has_every_value(opened: Open) -> None:
    async with opened((["orders"], "carts/open")) as one:
        kv = one.kv
        await kv.set(["orders", 1], {"n": 1}, type="order")
        await kv.set(["orders", 1], LONG)
        await kv.set(["customers", 1], 1)
        await kv.set(["carts", "open"], b"\x00\x01", expires_in="5s")
        await asyncio.gather(*(kv.atomic().sum(["orders", "n"], 2**70).commit() for _ in range(3)))
        await kv.delete(["orders", 1], exact=True)
        await kv.delete(["orders"])
        await kv.delete(["customers", 1])
        one.clock.advance(6_000)
        await kv.vacuum()
        page = await kv.stream.read()
        told = [(it.action, it.key, it.value if it.has_value else "omitted") for it in page.records]
        order, total = ("orders", 1), ("orders", "n")
        assert told == [
            ("create", order, {"n": 1}),
            ("update", order, LONG),
            ("create", ("customers", 1), "omitted"),
            ("create", ("carts", "open"), b"\x00\x01"),
            *(
                ("update" if number > 1 else "create", total, number * 2**70)
                for number in range(1, 4)
            ),
            ("delete", order, LONG),
            ("delete", total, 3 * 2**70),
            ("delete", ("customers", 1), "omitted"),
            ("expire", ("carts", "open"), b"\x00\x01"),
        ]


async def test_a_page_holds_no_more_bytes_than_an_answer_may(opened: Open) -> None:
    limits = Limits(answer_bytes=Size(700_000))
    async with opened(True, limits=limits) as one:
        for number in range(5):
            await one.kv.set(["a", number], LONG)
        pages = [await one.kv.stream.read()]
        while pages[-1].next < pages[-1].last:
            pages.append(await one.kv.stream.read(pages[-1].next))
        assert [len(page.records) for page in pages] == [2, 2, 1]
        assert all(it.value == LONG for page in pages for it in page.records)


async def test_what_is_encrypted_is_encrypted_in_the_log(opened: Open) -> None:
    one_key, other_key = (f"{n}:{b64encode(n.encode() * 16).decode()}" for n in ("k1", "k2"))
    async with opened(True, one_key) as one:
        kv = one.kv
        await kv.set(["secret"], "hidden")
        await kv.set(["open"], "shown")
        await kv.delete(["secret"])
        await kv.set(["secret"], "hidden too")
        records = (await kv.stream.read()).records
        values = [it.value for it in records if it.key[0] != "$buntime"]
        assert values == ["hidden", "shown", "hidden", "hidden too"]
        raw = await one.adapter.query("SELECT value FROM kv_changes WHERE value IS NOT NULL")
        assert "hidden" not in str(raw)
        assert "shown" in str(raw)
    # With another key the log forgets what nobody could open once the first one is gone.
    async with opened(True, other_key, one_key) as one:
        one.service.start()

        async def is_settled() -> bool:
            text = "SELECT value FROM kv_changes WHERE value LIKE '%k1.%'"
            return not await one.adapter.query(text)

        await until(is_settled)
        records = (await one.kv.stream.read()).records
        told = [it.value for it in records if it.key == ("secret",)]
        assert told == [None, None, None]
        assert (await one.kv.get(["secret"])).value == "hidden too"


def test_a_wrong_prefix_is_said() -> None:
    with pytest.raises(OptionError, match=r"changes\.values: "):
        logged_ranges(ChangesConfig(values=([None],)))
