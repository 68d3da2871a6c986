"""Keys: made, shown, used, revoked, rotated; in a file and in a database, over several hosts."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host import BadRequest, Host, Unauthorized
from buntime_host.access.credentials import key_credential
from buntime_host.access.database_store import DatabaseKeys, NoteOfKeys
from buntime_host.access.file_store import FileKeys
from buntime_host.access.gate import Gate
from buntime_host.access.keyring import USED_SECONDS, Keyring
from buntime_host.access.keys import ApiKey, digest_of, expiry_of, grace_of, new_key, taken_apart
from buntime_host.access.store import KeyStore, KeysUnavailable
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import parse_config
from support.beside import opened_beside
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Answer, Call, MakeHost

MASTER = {"x-api-key": "master"}

OpenStore = Callable[[], KeyStore]


@asynccontextmanager
async def database_stores(folder: Path) -> AsyncIterator[OpenStore]:
    config = parse_config({"adapters": [{"type": "sqlite", "url": str(folder / "x.db")}]}, {})
    service = await open_service(config, folder)
    try:
        yield lambda: DatabaseKeys(service.get_root_adapter(), NoteOfKeys(folder / "state"))
    finally:
        await service.close()


@pytest.fixture(params=["file", "database"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens one store once more, as another worker or host would."""
    if request.param == "file":
        yield lambda: FileKeys(tmp_path / "state")
    else:
        async with database_stores(tmp_path) as opened:
            yield opened


def key_of(name: str = "ci", **more: Any) -> tuple[str, ApiKey]:
    made = new_key()
    members: dict[str, Any] = {"role": "admin", "permissions": (), "created_at": 1} | more
    return made.text, ApiKey(id=made.id, digest=made.digest, name=name, **members)


async def test_a_store_keeps_what_others_change(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    assert await one.changed() == {}
    assert await one.changed() is None
    assert not await other.changed()
    _, key = key_of(limits={"keyval": {"entries": 1}}, description="é", expires_at=5)
    assert await one.add(key)
    assert not await other.add(key)
    found = await other.changed()
    assert found is not None
    assert found[key.id].key == key
    revoked = ApiKey(
        **{name: getattr(key, name) for name in key.__struct_fields__} | {"revoked_at": 9}
    )
    assert await other.replace(key, revoked)
    # Who knows an older state changes nothing, so what was revoked stays so.
    assert not await one.replace(key, key)
    await one.used({key.id: 7, "unknown": 8})
    await other.used({key.id: 6})
    for store in (one, other, open_store()):
        found = await store.changed()
        assert found is not None
        assert (found[key.id].key, found[key.id].last_used_at) == (revoked, 7)


async def test_many_write_at_once(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]
    keys = [key_of(str(n))[1] for n in range(12)]
    added = await asyncio.gather(*(stores[n % 4].add(key) for n, key in enumerate(keys)))
    assert all(added)
    found = await open_store().changed()
    assert found is not None
    assert found.keys() == {key.id for key in keys}


async def test_the_file_is_its_owners(tmp_path: Path) -> None:
    store = FileKeys(tmp_path / "state")
    text, key = key_of()
    await store.add(key)
    path = tmp_path / "state" / "api-keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert text.split("_", 2)[2] not in path.read_text()
    assert json.loads(path.read_text())["version"] == 1
    assert sorted(os.listdir(path.parent)) == ["api-keys.json", "api-keys.json.lock"]
    for content in ("", "[]", '{"version": 2, "keys": []}', '{"keys": [{}]}'):
        path.write_text(content)
        with pytest.raises(KeysUnavailable):
            await FileKeys(tmp_path / "state").changed()


def test_texts_of_keys() -> None:
    made = new_key()
    parts = taken_apart(made.text.encode())
    assert parts is not None
    assert (parts[0], digest_of(parts[1])) == (made.id, made.digest)
    assert len(made.text) == 12 + 1 + 43
    assert new_key(made.id).id == made.id
    for text in ("", "btk_", "btk_aaaaaaaa", "btk_AAAAAAAA_x", "btx_aaaaaaaa_x", "btk_aaaaaaaaa_x"):
        assert taken_apart(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "days"),
    [("never", None), (None, None), ("90d", 90), ("2w", 14), ("6m", 180), ("1y", 365)],
)
def test_expirations(text: str | None, days: int | None) -> None:
    assert expiry_of(text, 1000.5) == (None if days is None else 1000 + days * 86_400)


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1.5d", "90", "1h", 90, "999999d"])
def test_what_is_no_expiration(text: object) -> None:
    with pytest.raises(BadRequest) as caught:
        expiry_of(text, 0)
    assert caught.value.error_code == "INVALID_EXPIRATION"


def test_grace_times() -> None:
    assert [grace_of(text) for text in ("0", 0, "30s", "10m", "24h", "7d")] == [
        0, 0, 30, 600, 86_400, 604_800,
    ]  # fmt: skip
    for text in ("", "x", "1y", -1):
        with pytest.raises(BadRequest):
            grace_of(text)


async def test_the_end_of_a_key_is_told(tmp_path: Path) -> None:
    now = 1000.0
    store = FileKeys(tmp_path)
    keyring = Keyring(lambda: now)
    await keyring.open(store)
    made = {name: key_of(name, expires_at=at) for name, at in [("short", 1005), ("long", None)]}
    for _, key in made.values():
        await store.add(key)
    assert await keyring.refresh()
    found = {}
    for name, (text, _) in made.items():
        principal = keyring.find(*taken_apart(text.encode()))  # type: ignore[misc] # it is one
        assert principal is not None
        found[name] = principal
    assert keyring.next_end == 1005
    assert keyring.find(made["long"][1].id, b"wrong") is None
    now = 1005.0
    assert keyring.find(*taken_apart(made["short"][0].encode())) is None  # type: ignore[misc] # the same
    assert await keyring.refresh()
    assert {name: p.life.over for name, p in found.items()} == {"short": True, "long": False}
    assert not await keyring.refresh()


async def test_last_uses_are_written_once_a_minute(tmp_path: Path) -> None:
    now = 1000.0
    store = FileKeys(tmp_path)
    keyring = Keyring(lambda: now)
    _, key = key_of()
    await store.add(key)
    await keyring.open(store)
    for at, expected in [(1000.0, 1000), (1030.0, 1000), (1000.0 + USED_SECONDS, 1060)]:
        now = at
        keyring.was_used(key.id)
        await keyring.write_uses()
        found = await FileKeys(tmp_path).changed()
        assert found is not None
        assert found[key.id].last_used_at == expected


async def test_a_store_that_fails_closes_the_gate(tmp_path: Path) -> None:
    (tmp_path / "api-keys.json").write_text("broken")
    gate = Gate(Keyring())
    await gate.open(FileKeys(tmp_path))
    assert not gate.is_open
    await gate.close()


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_a_key_ends_though_its_database_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    now = 1000.0
    store = FileKeys(tmp_path)
    text, key = key_of(expires_at=1005)
    await store.add(key)
    monkeypatch.setattr("buntime_host.access.gate.READ_SECONDS", 0.1)
    gate = Gate(Keyring(lambda: now), master_key="master", clock=lambda: now)
    await gate.open(store)
    credential = key_credential(text.encode())
    is_over = asyncio.Event()
    gate.principal(credential, "").life.when_over(is_over.set)

    async def no_answer() -> None:
        if hangs:
            await asyncio.Event().wait()
        raise KeysUnavailable("the database is gone")

    monkeypatch.setattr(store, "changed", no_answer)
    now = 1005.0
    async with asyncio.timeout(PATIENCE):
        await is_over.wait()
    with pytest.raises(Unauthorized):
        gate.principal(credential, "")
    await gate.close()


async def call_keys(
    call: Call, host: Host, method: str, path: str = "", body: Any = None, **headers: str
) -> Answer:
    content = b"" if body is None else json.dumps(body).encode()
    return await call(host, method, f"/api/keys{path}", headers or MASTER, content)


async def make_key(call: Call, host: Host, /, **wanted: Any) -> dict[str, Any]:
    answer = await call_keys(call, host, "POST", "", {"name": "k", **wanted})
    assert answer.status == 201, answer.body
    assert answer.json["success"] is True
    assert answer.headers["cache-control"] == "no-store"
    data: dict[str, Any] = answer.json["data"]
    assert set(data) == {"id", "key", "keyPrefix", "name", "role"}
    return data


async def test_the_life_of_a_key_over_http(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        data = await make_key(call, host, permissions=["plugins:read"], expiresIn="90d")
        own = {"authorization": f"Bearer {data['key']}"}
        assert (await call(host, "GET", "/api/plugins", own)).status == 200
        refused = await call(host, "GET", "/metrics", own)
        assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
        assert refused.json["error"] == "Missing permission: metrics:read"
        (row,) = (await call_keys(call, host, "GET")).json["keys"]
        assert row["id"] == data["id"]
        assert (row["permissions"], row["createdBy"]) == (["plugins:read"], "(master)")
        assert row["expiresAt"] == row["createdAt"] + 90 * 86_400
        shown = (await call_keys(call, host, "GET", f"/{data['id']}")).json
        assert shown == row
        assert not {"digest", "key"} & set(row)
        assert data["keyPrefix"] == row["keyPrefix"] == data["key"][:12]
        # Another secret, with the one before for a while, then without.
        second = await call_keys(call, host, "POST", f"/{data['id']}/rotate", {"grace": "1h"})
        third = await call_keys(call, host, "POST", f"/{data['id']}/rotate", {"grace": "0"})
        keys = [data["key"], *(a.json["data"]["key"] for a in (second, third))]
        assert len(set(keys)) == 3
        found = [await call(host, "GET", "/api/plugins", {"x-api-key": key}) for key in keys]
        assert [answer.status for answer in found] == [401, 401, 200]
        again = await call_keys(call, host, "POST", f"/{data['id']}/rotate")
        key = again.json["data"]["key"]
        for text in (keys[2], key):
            assert (await call(host, "GET", "/api/plugins", {"x-api-key": text})).status == 200
        for _ in range(2):
            ended = await call_keys(call, host, "DELETE", f"/{data['id']}")
            assert ended.json == {"success": True}
        for text in (keys[2], key):
            assert (await call(host, "GET", "/api/plugins", {"x-api-key": text})).status == 401
        late = await call_keys(call, host, "POST", f"/{data['id']}/rotate")
        assert (late.status, late.code) == (404, "API_KEY_NOT_FOUND")
        assert (await call_keys(call, host, "GET")).json["keys"][0]["revokedAt"] > 0


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"name": " "}, "MISSING_KEY_NAME"),
        ({"name": "n" * 201}, "MISSING_KEY_NAME"),
        ({"role": "king"}, "INVALID_KEY_ROLE"),
        ({"role": "viewer", "permissions": ["plugins:read"]}, "INVALID_KEY_ROLE"),
        ({"permissions": []}, "MISSING_PERMISSIONS"),
        ({"role": "custom"}, "MISSING_PERMISSIONS"),
        ({"permissions": ["nothing:read"]}, "INVALID_PERMISSION"),
        ({"role": "viewer", "expiresIn": "soon"}, "INVALID_EXPIRATION"),
        ({"role": "viewer", "colour": "red"}, "INVALID_BODY"),
        ({"role": 1}, "INVALID_BODY"),
    ],
)
async def test_what_is_no_key(
    make_host: MakeHost, call: Call, wanted: dict[str, Any], code: str
) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        answer = await call_keys(call, host, "POST", "", {"name": "k", **wanted})
        assert (answer.status, answer.code) == (400, code)
        assert (await call_keys(call, host, "GET")).json == {"keys": []}


async def test_nobody_gives_more_than_he_has(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        scopes = ["keys:create", "keys:read", "plugins:read"]
        maker = await make_key(call, host, permissions=scopes)
        strong = await make_key(call, host, role="admin")
        own = {"x-api-key": maker["key"]}
        tries: list[tuple[dict[str, Any], int]] = [
            ({"permissions": ["plugins:read"]}, 201),
            ({"permissions": ["plugins:read", "metrics:read"]}, 403),
            ({"role": "admin"}, 403),
            ({"role": "viewer"}, 403),
        ]
        for wanted, status in tries:
            answer = await call_keys(call, host, "POST", "", {"name": "k"} | wanted, **own)
            assert answer.status == status
        for path in (f"/{strong['id']}/rotate", "/zzzzzzzz/rotate"):
            answer = await call_keys(call, host, "POST", path, None, **own)
            assert answer.status in (403, 404)
        assert (await call_keys(call, host, "DELETE", f"/{maker['id']}", **own)).status == 403
        admin = {"x-api-key": strong["key"]}
        assert (await call_keys(call, host, "DELETE", f"/{maker['id']}", **admin)).status == 200


async def test_limits_of_a_plugin_that_is_not_there_are_refused(
    make_host: MakeHost, call: Call
) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        body = {"name": "x", "role": "viewer", "limits": {"kevyal": {"entries": 1}}}
        answer = await call_keys(call, host, "POST", "", body)
    assert (answer.status, answer.json["code"]) == (400, "INVALID_LIMITS")
    assert "'kevyal'; there are" in answer.json["error"]


async def test_who_has_limits_hands_them_on(make_host: MakeHost, call: Call) -> None:
    limits = {"host": {"entries": 10}}
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        maker = await make_key(call, host, role="admin", limits=limits)
        own = {"x-api-key": maker["key"]}
        tries: list[tuple[dict[str, Any], int]] = [({}, 201), ({"limits": limits}, 201)]
        tries.append(({"limits": {"host": {"entries": 11}}}, 403))
        for wanted, status in tries:
            body = {"name": "child", "role": "viewer"} | wanted
            assert (await call_keys(call, host, "POST", "", body, **own)).status == status
        rows = (await call_keys(call, host, "GET")).json["keys"]
        assert [row["limits"] for row in rows] == [limits] * 3
        free = await make_key(call, host, role="viewer")
        for key, status in [(free["id"], 403), (rows[-1]["id"], 200)]:
            answer = await call_keys(call, host, "POST", f"/{key}/rotate", None, **own)
            assert answer.status == status


async def test_ids_and_methods(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        for path, code in [
            ("/zzzzzzzz", "API_KEY_NOT_FOUND"), ("/short", "INVALID_KEY_ID"),
            ("/{id}", "INVALID_KEY_ID"),
        ]:  # fmt: skip
            for method in ("GET", "DELETE"):
                assert (await call_keys(call, host, method, path)).code == code
        for method, path, allowed in [
            ("PUT", "", "GET, POST, HEAD"),
            ("POST", "/zzzzzzzz", "GET, DELETE, HEAD"),
            ("GET", "/zzzzzzzz/rotate", "POST"),
        ]:
            answer = await call_keys(call, host, method, path)
            assert (answer.status, answer.headers["allow"]) == (405, allowed)
        meta = (await call_keys(call, host, "GET", "/meta")).json
        assert meta["roles"] == ["admin", "editor", "viewer", "custom"]
        assert "keys:create" in meta["permissions"]


async def test_the_first_key_closes_an_open_host(make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        assert (await call(host, "GET", "/api/plugins")).status == 200
        made = await call_keys(call, host, "POST", "", {"name": "first", "role": "admin"}, a="b")
        key = {"x-api-key": made.json["data"]["key"]}
        assert (await call(host, "GET", "/api/plugins")).status == 401
        assert (await call(host, "GET", "/api/plugins", key)).status == 200
        # Its end does not open the host again while it runs.
        key_id = made.json["data"]["id"]
        assert (await call_keys(call, host, "DELETE", f"/{key_id}", **key)).status == 200
        assert (await call(host, "GET", "/api/plugins")).status == 401


ADAPTERS = {"adapters": [{"type": "sqlite", "url": "x.db"}]}
DATABASE: dict[str, Any] = {"plugins": [["@buntime/plugin-database", ADAPTERS]]}


@pytest.mark.parametrize("config", [{"plugins": []}, DATABASE], ids=["file", "database"])
async def test_another_host_sees_changes_within_two_seconds(
    make_host: MakeHost, call: Call, config: dict[str, Any]
) -> None:
    async with (
        make_host(config, RUNTIME_MASTER_KEY="master") as one,
        make_host(config, RUNTIME_MASTER_KEY="master") as other,
    ):
        data = await make_key(call, one, role="viewer")
        own = {"x-api-key": data["key"]}

        async def status_becomes(status: int) -> None:
            deadline = asyncio.get_running_loop().time() + PATIENCE
            while (answer := await call(other, "GET", "/api/plugins", own)).status != status:
                assert answer.status in (200, 401)
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.1)

        await status_becomes(200)
        (known,) = other.gate.known.values()
        ended = asyncio.Event()
        known.life.when_over(ended.set)
        assert (await call_keys(call, one, "DELETE", f"/{data['id']}")).status == 200
        await status_becomes(401)
        await asyncio.wait_for(ended.wait(), PATIENCE)


async def test_keys_that_are_damaged_are_not_changed(
    make_host: MakeHost, call: Call, tmp_path: Path
) -> None:
    def run(sql: str) -> None:
        with opened_beside(tmp_path / "x.db") as database:
            database.execute(sql)

    async with make_host(DATABASE, RUNTIME_MASTER_KEY="master") as host:
        data = await make_key(call, host, role="viewer")
        run("UPDATE buntime_access_keys SET record = '{'")
        for method, path, body in [
            ("DELETE", f"/{data['id']}", None),
            ("POST", f"/{data['id']}/rotate", None),
            ("POST", "", {"name": "k", "role": "viewer"}),
        ]:
            answer = await call_keys(call, host, method, path, body)
            assert answer.status == 503, (method, path)
            assert "a key is not as it was written" in answer.json["error"]
        run("DELETE FROM buntime_access_keys")
        await make_key(call, host, role="viewer")


async def test_a_database_that_is_gone_opens_nothing(
    make_host: MakeHost, call: Call, add_plugin: AddPlugin
) -> None:
    add_plugin("p")
    async with make_host(DATABASE | {"plugins": [*DATABASE["plugins"], "p"]}) as host:
        await call_keys(call, host, "POST", "", {"name": "first", "role": "admin"}, a="b")
    async with make_host({"plugins": ["p"]}) as host:
        assert (await call(host, "GET", "/api/plugins")).status == 401
