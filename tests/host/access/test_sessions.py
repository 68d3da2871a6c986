"""Sessions of web pages, and tickets of streams and websockets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from buntime_host import Host
from buntime_host.access.gate import Gate
from buntime_host.access.keyring import Keyring
from buntime_host.access.signed import SESSION_SECONDS, TICKET_SECONDS, Signed
from buntime_host.access.throttle import FAILURES
from buntime_host.workers import Group, Workers

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Answer, Call, MakeHost

MASTER = {"x-api-key": "master"}
STREAM = {"accept": "text/event-stream"}
PLUGIN = """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    async def seen(request):
        principal = request.state.principal
        return PlainTextResponse(f"{principal.id}?{request.url.query}")

    async def echo(websocket):
        await websocket.accept()
        await websocket.send_text(f"{websocket.state.principal.id}?{websocket.url.query}")
        await websocket.close()

    @hookimpl
    def routes():
        both = ["GET", "POST"]
        return [Route("/seen", seen, methods=both), Route("/other", seen),
                WebSocketRoute("/echo", echo)]
"""


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"cookie": f"theme=dark; {answer.headers['set-cookie'].partition(';')[0]}"}


async def post(call: Call, host: Host, path: str, body: Any, **headers: str) -> Answer:
    return await call(host, "POST", f"/api/admin/{path}", headers, json.dumps(body).encode())


async def test_a_session_is_as_good_as_its_key(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("p", PLUGIN, base="/p")
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        made = await call(
            host, "POST", "/api/keys", MASTER, b'{"name": "ann", "permissions": ["p:*"]}'
        )
        key = made.json["data"]["key"]
        opened = await post(call, host, "session", {"key": key})
        assert opened.status == 200
        attributes = opened.headers["set-cookie"].split("; ")[1:]
        age = int(attributes.pop(1).removeprefix("Max-Age="))
        assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
        assert SESSION_SECONDS - 60 < age <= SESSION_SECONDS  # seconds may have passed
        assert key.split("_", 2)[2] not in str(opened.headers) + opened.body.decode()
        session = cookie_of(opened)
        assert (await call(host, "GET", "/p/seen", session)).status == 200
        who = await call(host, "GET", "/api/admin/session", session)
        assert who.json["data"]["name"] == "ann"
        assert (await call(host, "GET", "/api/plugins", session)).code == "PERMISSION_DENIED"
        # A page elsewhere does not have its browser's session.
        elsewhere = {**session, "origin": "https://evil.example"}
        assert (await call(host, "GET", "/p/seen", elsewhere)).status == 401
        assert (await call(host, "POST", "/p/seen", elsewhere)).code == "ORIGIN_NOT_ALLOWED"
        site = {**session, "sec-fetch-site": "cross-site"}
        assert (await call(host, "GET", "/p/seen", site)).status == 401
        own = {**session, "origin": "http://testserver"}
        assert (await call(host, "POST", "/p/seen", own)).status == 200
        ended = await call(host, "DELETE", "/api/admin/session", session)
        assert "Max-Age=0" in ended.headers["set-cookie"]
        secure = await call(
            host, "POST", "/api/admin/session", {**MASTER, "x-forwarded-proto": "https"}
        )
        assert secure.headers["set-cookie"].endswith("; Secure")
        assert (await call(host, "GET", "/api/plugins", cookie_of(secure))).status == 200
        await call(host, "DELETE", f"/api/keys/{made.json['data']['id']}", MASTER)
        assert (await call(host, "GET", "/p/seen", session)).status == 401


async def test_what_makes_no_session(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        for path, body in [("session", {}), ("session", {"key": "no"}), ("tickets", {"path": "/"})]:
            assert (await post(call, host, path, body)).code == "AUTH_REQUIRED"
        assert (await call(host, "GET", "/api/admin/session")).code == "AUTH_REQUIRED"
        assert (await call(host, "PUT", "/api/admin/session", MASTER)).status == 405
        good = cookie_of(await post(call, host, "session", {"key": "master"}))["cookie"]
        for wrong in (
            good[:-1], good[:-1] + "\xe9", good.replace("master.", "master.9"),
            good.replace("master.", "m\xe9."), "buntime_session=a.b.c.d",
        ):  # fmt: skip
            assert (await call(host, "GET", "/api/plugins", {"cookie": wrong})).status == 401
        for path in ("p", "/p?a=1"):
            assert (await post(call, host, "tickets", {"path": path}, **MASTER)).code == (
                "INVALID_PATH"
            )
    async with make_host() as host:
        assert (await post(call, host, "session", {})).code == "SESSION_NEEDS_KEY"
        assert (await post(call, host, "tickets", {"path": "/p"})).code == "TICKET_NEEDS_KEY"
        who = await call(host, "GET", "/api/admin/session")
        assert who.json["data"] == {"id": "", "name": "everyone", "grant": ["*"]}


async def test_a_ticket_that_is_no_ascii_is_a_wrong_one(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("p", PLUGIN, base="/p")
    async with make_host(RUNTIME_MASTER_KEY="master") as host:
        made = await post(call, host, "tickets", {"path": "/p/seen"}, **MASTER)
        ticket = made.json["data"]["ticket"]
        wrong = f"/p/seen?ticket={ticket[:-1]}%C3%A9", f"/p/seen?ticket={ticket[:-1]}\xe9"
        for path in wrong:
            assert (await call(host, "GET", path, STREAM)).status == 401
        assert (await call(host, "GET", f"/p/seen?ticket={ticket}", STREAM)).status == 200


async def test_who_fails_to_log_in_behind_a_proxy_locks_nobody_out(
    make_host: MakeHost, call: Call
) -> None:
    async with make_host({"trustedProxies": ["127.0.0.1"]}, RUNTIME_MASTER_KEY="master") as host:
        for number in range(FAILURES + 2):
            failed = await post(
                call, host, "session", {"key": f"no{number}"}, **{"x-forwarded-for": "203.0.113.9"}
            )
        assert failed.status == 429
        for headers in ({"x-forwarded-for": "203.0.113.10"}, {}):
            assert (await post(call, host, "session", {"key": "master"}, **headers)).status == 200


async def test_a_ticket_is_for_one_stream(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("p", PLUGIN, base="/p")

    async with make_host(RUNTIME_MASTER_KEY="master") as host:

        async def ticket(path: str = "/p/seen") -> str:
            answer = await post(call, host, "tickets", {"path": path}, **MASTER)
            assert answer.status == 201
            return f"ticket={answer.json['data']['ticket']}"

        first = await ticket()
        answer = await call(host, "GET", f"/p/seen?a=1&{first}&b=2", STREAM)
        assert (answer.status, answer.body) == (200, b"(master)?a=1&b=2")
        assert (await call(host, "GET", f"/p/seen?{first}", STREAM)).status == 401, "used"
        for path, headers, method in [
            ("/p/seen", {}, "GET"),
            ("/p/seen", STREAM, "POST"),
            ("/p/other", STREAM, "GET"),
            ("/api/plugins", STREAM, "GET"),
        ]:
            answer = await call(host, method, f"{path}?{await ticket()}", headers)
            assert answer.status == 401, path
        for path, expected in [("/p/echo", "(master)?"), ("/p/seen", None)]:
            sent = await handshake(host, f"/p/echo?{await ticket(path)}")
            texts = [message.get("text") for message in sent if message["type"] == "websocket.send"]
            assert texts == ([] if expected is None else [expected])


async def handshake(host: Host, url: str) -> list[Any]:
    path, _, query = url.partition("?")
    sent: list[Any] = []
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    incoming.put_nowait({"type": "websocket.connect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": [(b"host", b"x")], "server": ("x", 80),
        "subprotocols": [], "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    await host(scope, incoming.get, send)
    return sent


def test_signed_credentials_over_workers_and_time() -> None:
    now = 1000.0
    gate = Gate(Keyring(lambda: now), master_key="master", clock=lambda: now)
    group = Group(2)
    try:
        one, other = (Signed(gate, Workers(n, group), lambda: now) for n in range(2))
        stranger = Signed(gate, Workers.alone(), lambda: now)
        session = one.new_session(gate.master)[0].encode()
        ticket, late, mine = (one.new_ticket(gate.master, "/p")[0].encode() for _ in range(3))
        assert other.find(session) is gate.master
        assert stranger.find(session) is None, "another host"
        assert one.find(ticket) is None, "a ticket is no session"
        assert one.use_ticket(session, "/p") is None, "and a session is no ticket"
        assert other.use_ticket(ticket, "/q") is None
        assert other.use_ticket(ticket, "/p") is gate.master
        assert one.use_ticket(ticket, "/p") is None, "used at the other worker"
        assert one.use_ticket(mine, "/p") is gate.master
        now += TICKET_SECONDS
        assert one.use_ticket(late, "/p") is None
        now = 1000.0 + SESSION_SECONDS
        assert one.find(session) is None
        for nothing in (b"", b"a.b.c.d", b"master.9999999999.1-1-1.00", b"\xff.1.1.1", b"...."):
            assert one.find(nothing) is None
            assert one.use_ticket(nothing, "/p") is None
    finally:
        group.close()
