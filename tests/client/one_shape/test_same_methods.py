"""The same in process and behind HTTP: what is the same, and what differs for a reason."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from buntime_keyval import AsyncKv
from buntime_plugin_keyval.faces.local.kv import LocalKv
from support.store import open_kv

pytestmark = pytest.mark.slow

CLIENT_ALONE = {
    "aclose": "a plugin does not close the store of another plugin",
    "from_env": "a plugin gets its store from the host",
}
PLUGIN_ALONE = {
    "as_principal": "who a client is, its token says",
    "add_trigger": "functions of the process do not travel",
    "changes": "what a client needs of the change log is in its watch",
    "close": "for the plugin that owns the store",
    "get_adapter": "the database is in the process",
    "get_logger": "so is the logger",
}
OTHERWISE = {
    "metrics": "an object that is called, since it has more to offer in process",
}


def test_every_difference_of_the_methods_has_a_reason() -> None:
    client, plugin = methods(AsyncKv), methods(LocalKv)
    assert client.keys() - plugin.keys() - OTHERWISE.keys() == CLIENT_ALONE.keys()
    assert plugin.keys() - client.keys() == PLUGIN_ALONE.keys()
    for name in client.keys() & plugin.keys():
        assert client[name] == plugin[name], name


async def test_objects_have_the_same_methods_too(api: str) -> None:
    async with AsyncKv(api) as client, open_kv() as plugin:
        for part in ("consumers", "dlq", "locks", "queues", "stream"):
            of_client, of_plugin = (type(getattr(kv, part)) for kv in (client, plugin))
            assert methods(of_client).keys() == methods(of_plugin).keys()
            for name, (parameters, _) in methods(of_client).items():
                assert parameters == methods(of_plugin)[name][0], name
        made = await inspect.unwrap(client.metrics)(), await plugin.metrics()
        assert made[0].keys() == made[1].keys()
        for pair in (
            (client.atomic(), plugin.atomic()),
            (client.begin(), plugin.begin()),
            (client.store(["a"]), plugin.store(["a"])),
            (client.store(["a"]).atomic(), plugin.store(["a"]).atomic()),
            (client.graph, plugin.graph),
            (client.queue("a"), plugin.queue("a")),
            (client.records(), plugin.records()),
            (client.lock("a"), plugin.lock("a")),
            (client.consumer("a"), plugin.consumer("a")),
            (client.now(), plugin.now()),
            (client.uuidv7(), plugin.uuidv7()),
        ):
            assert type(pair[0]) is type(pair[1])
        for kind in ("watch", "listen_queue"):
            arguments = [["a"]] if kind == "watch" else []
            handles = [getattr(kv, kind)(*arguments) for kv in (client, plugin)]
            assert type(handles[0]) is type(handles[1])
            for handle in handles:
                await handle.stop()


def methods(kind: type) -> dict[str, Any]:
    """Parameters and results of the public methods, as they are written."""
    found = {}
    for name, member in inspect.getmembers(kind, callable):
        if not name.startswith("_"):
            signature = inspect.signature(member)
            found[name] = [*signature.parameters.values()], signature.return_annotation
    return found
