"""What plugins say of their permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from buntime_host.errors import ManifestError, RequiredPluginFailed

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("return ['read']", "must return a mapping of names to Action"),
        ("return {'read': None}", "must return a mapping of names to Action"),
        ("return {'a': Action(covers=('b',))}", "names actions that are not there: ['b']"),
    ],
)
async def test_what_is_no_mapping_of_actions(
    add_plugin: AddPlugin, make_host: MakeHost, code: str, reason: str
) -> None:
    head = "from buntime_host import Action\n@hookimpl\ndef permissions():\n    "
    add_plugin("p", head + code)
    with pytest.raises(RequiredPluginFailed) as caught:
        await make_host({"required": ["p"]}).start()
    assert reason in str(caught.value)


async def test_what_a_manifest_declares(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    """The plugin asks by itself then; without a declaration the host asks for all of it."""
    code = """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def one(request):
        request.state.principal.require("p:read", request.path_params["name"])
        return PlainTextResponse("done")

    @hookimpl
    def routes():
        return [Route("/{name}", one)]
    """
    add_plugin("p", code, base="/p", permissions=["read", "queue:send"])
    add_plugin("q", code, base="/q")
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        keys = {}
        for scope in ("p:read:ann", "q:*", "p:queue:send"):
            body = b'{"name": "k", "permissions": ["%b"]}' % scope.encode()
            made = await call(host, "POST", "/api/keys", {"x-api-key": "master"}, body)
            keys[scope] = {"x-api-key": made.json["data"]["key"]}
        for scope, path, missing in [
            ("p:read:ann", "/p/anna", None),
            ("p:read:ann", "/p/bob", "p:read:bob"),
            ("p:read:ann", "/q/ann", "q:*"),
            ("q:*", "/p/ann", "p:read:ann"),
            ("q:*", "/q/ann", "p:read:ann"),
            ("p:queue:send", "/p/ann", "p:read:ann"),
        ]:
            answer = await call(host, "GET", path, keys[scope])
            if missing is None:
                assert answer.status == 200
            else:
                assert answer.json["error"] == f"Missing permission: {missing}"


@pytest.mark.parametrize("names", ["read", [1], ["Read"], ["a b"], ["*"], [""]])
async def test_what_is_no_name_of_an_action(
    add_plugin: AddPlugin, make_host: MakeHost, names: object
) -> None:
    add_plugin("p", permissions=names)
    with pytest.raises(ManifestError, match="permissions: must be"):
        await make_host().start()
