"""Every route of the host, by who asks. The routes come from the table: a new one is tried too."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from buntime_host.access import HOST_PERMISSIONS
from buntime_host.access.public import own_check_paths, public_paths
from buntime_host.routes.core_routes import CoreRoutes
from msgspec.structs import replace

if TYPE_CHECKING:
    from host.conftest import Call, MakeHost

STATE: Any = cast(Any, SimpleNamespace(keys=None, gate=None, signed=None))
CORE = CoreRoutes(STATE, api="/api", homepage="")
PRIVATE = [
    (method, path.replace("{id}", "zzzzzzzz"), route.permission)
    for path, methods in CORE._private.items()
    for method, route in methods.items()
]


def test_every_route_says_who_may_call_it() -> None:
    assert {permission for _, _, permission in PRIVATE} <= set(HOST_PERMISSIONS)
    assert set(CORE._public) == public_paths("/api")
    assert set(CORE._own_check) == own_check_paths("/api")
    assert len(PRIVATE) == 10


@pytest.mark.parametrize(("method", "path", "permission"), PRIVATE)
async def test_who_may_call_it(
    make_host: MakeHost, call: Call, method: str, path: str, permission: str
) -> None:
    others = [name for name in HOST_PERMISSIONS if name != permission]
    master = {"x-api-key": "master"}
    async with make_host(RUNTIME_MASTER_KEY="master") as host:

        async def key(permissions: list[str]) -> tuple[str, dict[str, str]]:
            body = json.dumps({"name": "k", "permissions": permissions, "expiresIn": "1d"})
            answer = await call(host, "POST", "/api/keys", master, body.encode())
            data = answer.json["data"]
            return data["id"], {"x-api-key": data["key"]}

        _, exact = await key([permission])
        _, small = await key(others)
        expired_id, expired = await key([permission])
        revoked_id, revoked = await key([permission])
        await call(host, "DELETE", f"/api/keys/{revoked_id}", master)
        store, old = host.gate.keyring.store, host.gate.keyring.stored[expired_id].key
        assert store is not None
        assert await store.replace(old, replace(old, expires_at=int(time.time()) - 1))
        await host.gate.refresh()
        methods = [method, "HEAD"] if method == "GET" else [method]
        for asked in methods:
            for headers in ({}, {"x-api-key": "wrong"}, revoked, expired):
                assert (await call(host, asked, path, headers)).status == 401
            refused = await call(host, asked, path, small)
            assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
            assert refused.json["error"] == f"Missing permission: {permission}"
            for headers in (exact, master):
                assert (await call(host, asked, path, headers)).status in (200, 201, 400, 404)
        assert (await call(host, "OPTIONS", path)).status == 401
        assert (await call(host, "OPTIONS", path, small)).status in (403, 405)
