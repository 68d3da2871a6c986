"""A token that a function gives, and gives again when it has expired."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from buntime_keyval import AccessDenied, AsyncKv, InvalidInput
from client._async.beside import until

GONE = b'{"error":"Unauthorized","code":"AUTH_REQUIRED"}'
EVENTS = {"content-type": "text/event-stream"}


class Door:
    """A server that lets one token in, and takes note of all that came."""

    def __init__(self, valid: str = "first") -> None:
        self.valid = valid
        self.came: list[str | None] = []
        self.given: list[str] = []

    def token(self) -> str:
        self.given.append(self.valid)
        return self.valid

    async def token_later(self) -> str:
        return self.token()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.came.append(request.headers.get("authorization"))
        if self.came[-1] != f"Bearer {self.valid}":
            return httpx2.Response(401, content=GONE)
        if request.headers["accept"] == "text/event-stream":
            return httpx2.Response(200, headers=EVENTS, content=b": nothing\n\n")
        if request.method == "PUT":
            return httpx2.Response(200, content=b'{"ok":true,"versionstamp":"v"}')
        return httpx2.Response(200, content=b'{"key":["a"],"value":1,"versionstamp":"v"}')

    def client(self, **options: Any) -> AsyncKv:
        options = {"token": self.token_later, "retries": 0, **options}
        return AsyncKv("http://host/", transport=httpx2.MockTransport(self), **options)


@pytest.mark.parametrize("coalesce", [False, True])
async def test_it_is_asked_before_the_first_request_and_after_a_401(coalesce: bool) -> None:
    door = Door()
    async with door.client(coalesce=coalesce) as kv:
        await kv.set(["a"], 1)
        await kv.get(["a"])
        assert door.given == ["first"]
        door.valid = "second"
        await kv.set(["a"], 1)  # a write too: nothing of it was done
        await kv.get(["a"])
    assert door.given == ["first", "second"]
    assert [text and text[7:] for text in door.came] == ["first", "first", "first"] + 2 * ["second"]


async def test_a_second_401_is_told() -> None:
    door = Door("right")
    asked = iter(["wrong", "wrong as well"])
    async with door.client(token=lambda: next(asked)) as kv:
        with pytest.raises(AccessDenied) as told:
            await kv.get(["a"])
    assert "wrong" not in str(told.value)
    assert door.came == ["Bearer wrong", "Bearer wrong as well"]


async def test_a_text_is_not_sent_twice() -> None:
    door = Door("right")
    async with door.client(token="wrong") as kv:
        with pytest.raises(AccessDenied):
            await kv.get(["a"])
        assert "wrong" not in repr(kv)
    assert len(door.came) == 1


async def test_streams_are_opened_with_it_and_again_after_a_401() -> None:
    door = Door()
    async with door.client() as kv:
        await kv.get(["a"])
        door.valid = "second"
        async with kv.watch(["a"]):
            await until(lambda: "Bearer second" in door.came)
    assert door.given == ["first", "second"]


@pytest.mark.parametrize("given", [7, "two\nlines", None])
async def test_what_is_no_token_is_refused_without_telling_it(given: Any) -> None:
    async with Door().client(token=lambda: given) as kv:
        with pytest.raises(InvalidInput, match="token must be") as told:
            await kv.get(["a"])
    assert "two" not in str(told.value)


async def test_what_the_function_raises_is_told() -> None:
    def fail() -> str:
        raise LookupError("no token today")

    async with Door().client(token=fail) as kv:
        with pytest.raises(LookupError, match="today"):
            await kv.get(["a"])
