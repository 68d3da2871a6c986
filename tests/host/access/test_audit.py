"""What the trail says, and what it never says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Serve

PLUGIN = """
    from buntime_host import Answer, AsgiRequest, send_answer

    class App:
        def is_direct(self, method, path):
            return True

        def answer(self, request):
            return Answer(200, "a value")

        async def __call__(self, scope, receive, send):
            scope["state"]["audit"] = {"keyPrefix": '["users"]'}
            await send_answer(send, self.answer(AsgiRequest(scope, receive)))

    @hookimpl
    def routes():
        return App()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "methods"),
    [("off", []), ("writes", ["PUT", "DELETE"]), ("all", ["GET", "PUT", "DELETE", "GET"])],
)
def test_the_trail(add_plugin: AddPlugin, serve: Serve, kind: str, methods: list[str]) -> None:
    add_plugin("p", PLUGIN, base="/p")
    process = serve(config={"auth": {"audit": kind}}, RUNTIME_MASTER_KEY="very-secret")
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.port}") as client:
        key = {"x-api-key": "very-secret"}
        for _ in range(2):  # directly, from the second one on
            client.get("/p/a?filter=hidden", headers=key)
        client.put("/p/a%0Ab", content="a hidden value", headers=key)
        client.delete("/p/a", headers={"x-api-key": "very-secret-no"})
    process.signal()
    assert process.wait() == 0
    lines = [json.loads(line) for line in process.out.splitlines()]
    found: list[dict[str, Any]] = [line for line in lines if line["context"] == "audit"]
    assert sorted(line["method"] for line in found) == sorted(methods)
    assert "very-secret" not in process.out
    assert "hidden" not in process.out
    by_method = {line["method"]: line for line in found}
    if kind != "off":
        put, refused = by_method["PUT"], by_method["DELETE"]
        assert (put["who"], put["path"], put["status"]) == ("(master)", "/p/a%0Ab", 200)
        assert (put["peer"], put["keyPrefix"]) == ("127.0.0.1", '["users"]')
        assert put["requestId"]
        assert (refused["who"], refused["status"]) == ("nobody", 401)
