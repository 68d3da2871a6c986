"""Values below chosen prefixes are encrypted in the database, and nobody else notices."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_host import OptionError
from buntime_keyval import NotFound
from buntime_keyval.wire import Key, encode_key
from buntime_plugin_keyval.config import EncryptionConfig, parse_config
from buntime_plugin_keyval.engine.once import keyed
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.features.encryption.feature import ENCRYPTION
from buntime_plugin_keyval.features.encryption.keys import open_sealing, read_keys
from buntime_plugin_keyval.model.errors import (
    EncryptionKeyMissing,
    StoreDamaged,
    ValuesEncrypted,
)
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.ranges import subtree
from buntime_plugin_keyval.storage.schema import migrate
from buntime_plugin_keyval.storage.sealing import MARK
from keyval.service.world import FakeClock, until

pytestmark = pytest.mark.engines("sqlite", "odd")
EVERYWHERE = pytest.mark.engines("sqlite", "libsql", "odd", "postgres")

SECRET = "nobody may read this"
LONG = SECRET + "x" * 300_000


def key(name: str, byte: int = 7) -> str:
    return f"{name}:{b64encode(bytes([byte]) * 32).decode()}"


class Sealed:
    """A store whose options say what is encrypted, and its database."""

    def __init__(self, service: KeyValService, adapter: Adapter, kv: LocalKv) -> None:
        self.service, self.adapter, self.kv = service, adapter, kv

    async def settled(self) -> None:
        """Let everything come to what the options say."""
        part = self.service.part(ENCRYPTION)
        while await part._step() is not None:
            pass

    @property
    def is_postgres(self) -> bool:
        return self.adapter.capabilities.dialect == "postgres"

    async def raw(self) -> str:
        """All that is in the database of values, as it is there."""
        found = []
        for sql in (
            "SELECT value FROM kv_entries",
            "SELECT told FROM kv_replays",
            *(() if self.is_postgres else ("SELECT text FROM kv_long_values",)),
        ):
            found += [str(value) for (value,) in await self.adapter.query(sql)]
        return "\n".join(found)

    def literal(self, *name: str) -> str:
        """A key in SQL."""
        code = encode_key(name).hex()
        return f"'\\x{code}'::bytea" if self.is_postgres else f"x'{code}'"

    async def stored(self, *name: str) -> str:
        """A value as it is there."""
        sql = f"SELECT value FROM kv_entries WHERE key = {self.literal(*name)}"
        return str((await self.adapter.query(sql))[0][0])

    async def put(self, value: str, *name: str) -> None:
        """Write a value past the store."""
        quoted = value.replace("'", "''")
        where = f"key = {self.literal(*name)}"
        await self.adapter.execute(f"UPDATE kv_entries SET value = '{quoted}' WHERE {where}")


Open = Callable[..., AbstractAsyncContextManager[Sealed]]


@pytest.fixture
def opened(database_of: Callable[[str], Adapter], tmp_path: Any) -> Open:
    @asynccontextmanager
    async def open_one(*keys: str, prefixes: Any = (["secret"],)) -> AsyncIterator[Sealed]:
        adapter, clock = database_of("kv"), FakeClock()
        try:
            await migrate(adapter, clock())
            options = EncryptionConfig(prefixes=tuple(prefixes), keys=",".join(keys))
            store = Store(
                adapter,
                logger=logging.getLogger("encryption"),
                clock=clock,
                sealing=open_sealing(options, tmp_path),
            )
            service = KeyValService(parse_config({}), store)
            await service.begin()
            kv = LocalKv(service)
            yield Sealed(service, adapter, kv)
            await kv.close()
            await service.close()
        finally:
            await adapter.close()

    return open_one


@EVERYWHERE
async def test_every_way_to_read_gives_what_was_written(opened: Open) -> None:
    async with opened(key("k1")) as one:
        kv = one.kv
        values: dict[Key, Any] = {("secret", 1): SECRET, ("secret", 2): LONG, ("open",): 1}
        for name, value in values.items():
            await kv.set(name, value)
        raw = await one.raw()
        assert SECRET not in raw
        assert raw.count(MARK) >= 2
        both = [("secret", 1), ("secret", 2)]
        assert [(await kv.get(name)).value for name in both] == [SECRET, LONG]
        assert [entry.value for entry in await kv.get(list(both))] == [SECRET, LONG]
        details = await kv.get_with_metadata(["secret", 1])
        assert details.value == SECRET
        ways: list[dict[str, Any]] = [{}, {"details": True}, {"snapshot": True}, {"reverse": True}]
        for options in ways:
            found = {it.key: it.value async for it in kv.list(["secret"], **options)}
            assert found == {name: values[name] for name in both}, options
        page = await kv.paginate(["secret"], limit=1)
        assert page.entries[0].value == SECRET
        assert await kv.count(["secret"]) == 2
        stored = await one.service.store.size(encode_key(both[0]))
        assert stored == len(f'"{SECRET}"') + 36
        within = await one.service.store.list_within(subtree(encode_key(("secret",))), limit=10)
        text = within.decode() if isinstance(within, bytes) else within
        assert text.count(SECRET) == 2
        assert MARK not in text
        polled = await one.service.store.get_many_within([encode_key(name) for name in both])
        assert MARK.encode() not in b"".join(
            it if isinstance(it, bytes) else it.encode() for it in polled.values()
        )
        states = await one.service.store.states([encode_key(both[0])], [], limit=1)
        assert states.states[0].value == f'"{SECRET}"'


async def test_writes_that_look_at_values_see_them(opened: Open) -> None:
    async with opened(key("k1")) as one:
        kv = one.kv
        for _ in range(2):
            await kv.atomic().sum(["secret", "n"], 20).append(["secret", "l"], [1]).commit()
        assert (await kv.get(["secret", "n"])).value == 40
        assert (await kv.get(["secret", "l"])).value == [1, 1]
        async with kv.begin() as tx:
            entry = await tx.get(["secret", "n"])
            tx.set(["secret", "n"], int(entry.value or 0) + 2)
        assert (await kv.get(["secret", "n"])).value == 42
        await kv.atomic().set(["secret", kv.uuidv7()], SECRET).commit()
        found = [it.value async for it in kv.list(["secret"])]
        assert SECRET in found
        assert SECRET not in await one.raw()
        stamp = (await kv.set(["secret", "id"], {"id": kv.uuidv7()})).versionstamp
        assert (await kv.get(["secret", "id"])).value == {"id": stamp}
        async with kv.watch(["secret", "n"]) as watch:
            await kv.set(["secret", "n"], 43)
            seen: list[Any] = []
            async for batch in watch:
                seen += [entry.value for entry in batch]
                if 43 in seen:
                    break


@EVERYWHERE
async def test_what_is_kept_of_a_write_is_encrypted_too(opened: Open) -> None:
    async with opened(key("k1")) as one:
        store = one.service.store
        await one.kv.set(["secret"], SECRET)
        for _ in range(2):
            once = keyed("some-key", b"the same")
            committed = await store.commit([], [], [encode_key(("secret",))], once)
            assert committed is not None
            assert committed.rows[encode_key(("secret",))].value == f'"{SECRET}"'
        assert SECRET not in await one.raw()


async def test_nobody_searches_in_it(opened: Open) -> None:
    async with opened(key("k1")) as one:
        kv = one.kv
        where = {"a": 1}
        for asked in (
            kv.count(["secret"], where=where),
            kv.count(where=where),
            kv.delete(["secret"], where=where),
            anext(kv.list(["secret", 1], where=where)),
            kv.paginate(where=where),
            kv.paginate(snapshot=True, where=where),
            kv.create_index(["secret"], fields=["a"]),
            kv.create_index(["secret", "deep"], fields=["a"]),
        ):
            with pytest.raises(ValuesEncrypted, match="encrypted"):
                await asked
        assert await kv.count(["open"], where=where) == 0
        with pytest.raises(NotFound):
            await anext(kv.search(["secret"], "x"))


async def test_an_index_is_in_the_way(opened: Open) -> None:
    async with opened(prefixes=()) as one:
        await one.kv.create_index(["secret", "deep"], fields=["a"])
    with pytest.raises(OptionError, match=r'remove the index of \["secret","deep"\] first'):
        async with opened(key("k1")):
            pass


async def test_a_key_that_is_missing_or_another_one_is_told_at_the_start(opened: Open) -> None:
    async with opened(key("k1")) as one:
        await one.kv.set(["secret"], SECRET)
    for keys, prefixes, told in (
        ((), (), "the key 'k1' is missing"),
        ((key("k2"),), (["secret"],), "the key 'k1' is missing"),
        ((key("k1", 8),), (["secret"],), "the key 'k1' is not the one"),
    ):
        with pytest.raises(OptionError, match=told):
            async with opened(*keys, prefixes=prefixes):
                pass
    async with opened(key("k1")) as one:
        assert (await one.kv.get(["secret"])).value == SECRET


@EVERYWHERE
async def test_keys_are_rotated(opened: Open) -> None:
    async with opened(key("k1")) as one:
        for number in range(250):
            await one.kv.set(["secret", number], f"{SECRET} {number}")
        await one.kv.set(["secret", "long"], LONG)
        before = await one.kv.get(["secret", 1])
        await one.settled()
    async with opened(key("k2", 9), key("k1")) as one:
        await one.settled()
        assert await one.kv.get(["secret", 1]) == before
        assert (await one.kv.get(["secret", "long"])).value == LONG
        assert len(re.findall(r"\\u0041k1", await one.raw())) == 0
    async with opened(key("k2", 9)) as one:  # the old one is of no use any more
        assert await one.kv.get(["secret", 1]) == before
        assert await one.kv.count(["secret"]) == 251


async def test_what_was_there_before_is_encrypted_and_decrypted_again(opened: Open) -> None:
    async with opened(prefixes=()) as one:
        await one.kv.set(["secret"], SECRET)
        await one.kv.set(["open"], SECRET)
        stamp = (await one.kv.get(["secret"])).versionstamp
    async with opened(key("k1")) as one:
        assert (await one.kv.get(["secret"])).value == SECRET  # not yet, and all the same
        with pytest.raises(ValuesEncrypted):
            await one.kv.count(["secret"], where={"a": 1})
        await one.settled()
        assert (await one.raw()).count(SECRET) == 1
        assert (await one.kv.get(["secret"])).versionstamp == stamp
    async with opened(key("k1"), prefixes=()) as one:
        assert (await one.kv.get(["secret"])).value == SECRET
        await one.settled()
        assert (await one.raw()).count(SECRET) == 2
    async with opened(prefixes=()) as one:
        assert (await one.kv.get(["secret"])).value == SECRET
        assert [entry.key async for entry in one.kv.list()] == [("open",), ("secret",)]


@EVERYWHERE
async def test_a_value_is_good_in_its_own_place_alone(opened: Open) -> None:
    async with opened(key("k1")) as one:
        kv = one.kv
        for name in ("a", "b"):
            await kv.set(["secret", name], name)
        of_a = await one.stored("secret", "a")
        await one.put(of_a, "secret", "b")
        for asked in (
            kv.get(["secret", "b"]),
            kv.get([["secret", "b"]]),
            kv.paginate(),
            kv.paginate(["secret"], details=True),
            kv.atomic().sum(["secret", "b"], 1).commit(),
        ):
            with pytest.raises(StoreDamaged, match="not of the entry"):
                await asked
        assert (await kv.get(["secret", "a"])).value == "a"
        await kv.set(["open"], 1)
        await one.put('{"key":["secret","a"],"value":' + of_a + ',"versionstamp":"x"}', "open")
        assert of_a[5:-1] in str(await one.service.store.get(encode_key(("open",))))
        await one.put(f"{of_a[:-20]}AAAA{of_a[-16:]}", "secret", "a")
        with pytest.raises(StoreDamaged, match="was changed"):
            await kv.get(["secret", "a"])


async def test_a_key_that_another_host_took_is_told(opened: Open) -> None:
    async with opened(key("k1")) as one:
        async with opened(key("k2", 9), key("k1")) as other:
            await other.kv.set(["secret"], SECRET)
        with pytest.raises(EncryptionKeyMissing, match="'k2'"):
            await one.kv.get(["secret"])
        await one.kv.set(["secret"], 1)
        assert (await one.kv.get(["secret"])).value == 1


async def test_all_of_a_store_may_be_encrypted(opened: Open) -> None:
    async with opened(key("k1"), prefixes=[[]]) as one:
        await one.kv.set(["a"], SECRET)
        await one.settled()
        assert SECRET not in await one.raw()
    async with opened(key("k1"), prefixes=[[]]) as one:
        assert (await one.kv.get(["a"])).value == SECRET
        await until(lambda: not one.service.part(ENCRYPTION)._left)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("k1", "key 1 has to be name:key"),
        ("k 1:AAAA", "key 1 has to be name:key"),
        ("k1:AAAA", "the key 'k1' has to be"),
        ("k1:?", "the key 'k1' has to be"),
    ],
)
def test_what_is_no_key(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told) as caught:
        read_keys([text])
    assert "AAAA" not in str(caught.value)


def test_keys_come_from_a_file_too(tmp_path: Any) -> None:
    (tmp_path / "keys").write_text(f"# the newest first\n{key('k2')}\n\n{key('k1', 1)}\n")
    config = EncryptionConfig(prefixes=("secret/x",), key_file="keys")
    sealing = open_sealing(config, tmp_path)
    assert sealing is not None
    assert (sealing.current, list(sealing.names)) == ("k2", ["k2", "k1"])
    assert sealing.covers(encode_key(("secret", "x", 1)))
    assert not sealing.covers(encode_key(("secret", "y")))
    with pytest.raises(OptionError, match="keyFile cannot be read"):
        open_sealing(EncryptionConfig(key_file="none"), tmp_path)
    with pytest.raises(OptionError, match="needs keys"):
        open_sealing(EncryptionConfig(prefixes=(["a"],)), tmp_path)
    with pytest.raises(OptionError, match=r"encryption.prefixes: .*null"):
        open_sealing(EncryptionConfig(prefixes=([None],), keys=key("k1")), tmp_path)
