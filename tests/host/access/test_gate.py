"""Who gets in, by each kind of credential, on a real server: directly and by ASGI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from buntime_host.access.credentials import credential_of, without_ticket
from buntime_host.access.public import PublicRoutes
from buntime_host.access.throttle import FAILURES, WINDOW_SECONDS, Throttle
from buntime_host.access.trusted_hosts import TrustedHosts, is_exposed, is_loopback

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost, Serve

PLUGIN = """
    from buntime_host import Answer
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    async def who(request):
        principal = request.state.principal
        return PlainTextResponse(f"{principal.id} {principal.name}")

    async def echo(websocket):
        await websocket.accept()
        await websocket.send_text(websocket.state.principal.id)
        await websocket.close()

    @hookimpl
    def routes():
        return [
            Route("/who", who), Route("/open/who", who), Route("/open/x/who", who),
            WebSocketRoute("/echo", echo),
        ]
"""
DIRECT = """
    from buntime_host import Answer, AsgiRequest, send_answer

    class App:
        def is_direct(self, method, path):
            return True

        def answer(self, request):
            way = type(request).__name__
            return Answer(200, f"{request.principal.id} {way}", "text/plain")

        async def __call__(self, scope, receive, send):
            await send_answer(send, self.answer(AsgiRequest(scope, receive)))

    @hookimpl
    def routes():
        return App()
"""
CREDENTIALS = [
    ({}, 401),
    ({"x-api-key": ""}, 401),
    ({"x-api-key": "wrong"}, 401),
    ({"x-api-key": "wrong", "authorization": "Bearer secret"}, 401),
    ({"authorization": "Basic secret"}, 401),
    ({"authorization": "Bearer"}, 401),
    ({"authorization": "Bearer btk_aaaaaaaa_x"}, 401),
    ({"cookie": "buntime_session=secret"}, 401),
    ({"cookie": "other=1"}, 401),
    ({"x-api-key": " secret "}, 200),
    ({"authorization": "bearer  secret"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), CREDENTIALS)
async def test_with_a_master_key_all_routes_of_plugins_ask(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, headers: dict[str, str], status: int
) -> None:
    add_plugin("p", PLUGIN, base="/p", publicRoutes=["/open/*"])
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        for path in ("/p/who", "/p/nothing", "/p", "/nothing", "/metrics", "/api/plugins"):
            for method in ("GET", "HEAD" if path == "/p/who" else "OPTIONS"):
                answer = await call(host, method, path, headers)
                if status == 401:
                    assert (answer.status, answer.code) == (401, "AUTH_REQUIRED"), path
                    assert answer.json["error"] == "Unauthorized"
                    assert answer.headers["www-authenticate"] == "Bearer"
                else:
                    assert answer.status not in (401, 403), path
        for path in ("/", "/health", "/health/", "/health/live", "/api/health/ready",
                     "/favicon.ico", "/.well-known/buntime", "/api/plugins/loaded",
                     "/.well-known/buntime/slash/a%2Fb"):  # fmt: skip
            assert (await call(host, "GET", path, headers)).status in (200, 204)
        assert (await call(host, "GET", "/p/open/who", headers)).status == 200
        assert (await call(host, "GET", "/p/open/x/who", headers)).status == status


async def test_a_hook_that_makes_another_request_gives_no_rights(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    """Not even where it leaves out the state that says who asks."""
    code = (
        PLUGIN
        + """
    from starlette.requests import Request

    @hookimpl
    def on_request(request, app):
        scope = {k: v for k, v in request.scope.items() if k != "state"}
        return Request(scope | {"path": "/p/who", "raw_path": b"/p/who"})
    """
    )
    add_plugin("p", code, base="/p", publicRoutes=["/open/*"])
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        answer = await call(host, "GET", "/p/open/who")
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
    async with make_host() as host:
        assert (await call(host, "GET", "/p/open/who")).status == 200


async def test_reasons_are_for_who_may_read_them(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("p", "@hookimpl\ndef health():\n    return 'the disk is full'")
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        hidden = await call(host, "GET", "/health/ready", {"x-api-key": "wrong"})
        assert b"disk" not in hidden.body
        shown = await call(host, "GET", "/health/ready", {"x-api-key": "secret"})
        assert b"disk" in shown.body


def test_the_direct_way_asks_as_well(add_plugin: AddPlugin, serve: Serve) -> None:
    add_plugin("d", DIRECT, base="/d")
    process = serve(RUNTIME_MASTER_KEY="secret")
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.port}") as client:
        assert client.get("/d/x").status_code == 401
        key = {"x-api-key": "secret"}
        ways = [client.get("/d/x", headers=key).text for _ in range(3)]
        # Who was recognised once, by ASGI, is known from then on.
        assert ways == ["(master) AsgiRequest", *["(master) DirectExchange"] * 2]
        assert client.get("/d/x", headers={"x-api-key": "other"}).status_code == 401
        assert client.get("/d/x").status_code == 401


def test_an_open_host_answers_to_its_own_names(add_plugin: AddPlugin, serve: Serve) -> None:
    add_plugin("d", DIRECT, base="/d")
    process = serve(RUNTIME_TRUSTED_HOSTS="kv.test,.below.test")
    url = f"http://127.0.0.1:{process.port}"
    for path in ("/d/x", "/api/plugins", "/health"):
        for name, status in [
            ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("LOCALHOST.", 200),
            ("kv.test", 200), ("x.below.test:8000", 200), ("evil.example", 421),
            ("below.test", 421), ("xkv.test", 421), ("localhost.evil.example", 421),
        ]:  # fmt: skip
            answer = httpx2.get(f"{url}{path}", headers={"host": name})
            assert answer.status_code == status, name
            if status == 421:
                assert answer.json()["code"] == "UNTRUSTED_HOST"


async def test_what_comes_by_another_server_to_an_address_of_others_is_refused(
    make_host: MakeHost, call: Call
) -> None:
    """An application server may listen where the configuration does not say."""
    async with make_host() as host:

        async def elsewhere(scope, receive, send):  # type: ignore[no-untyped-def]
            await host({**scope, "server": ("192.0.2.1", 80)}, receive, send)

        assert (await call(elsewhere, "GET", "/api/plugins")).code == "AUTH_REQUIRED"
        assert (await call(host, "GET", "/api/plugins")).status == 200


async def test_who_is_wrong_too_often_has_to_wait(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        good, wrong = {"x-api-key": "secret"}, {"x-api-key": "wrong"}
        assert (await call(host, "GET", "/api/plugins", good)).status == 200
        for _ in range(FAILURES):
            assert (await call(host, "GET", "/api/plugins", wrong)).status == 401
        answer = await call(host, "GET", "/api/plugins", wrong)
        assert (answer.status, answer.code) == (429, "TOO_MANY_REQUESTS")
        assert 1 <= int(answer.headers["retry-after"]) <= WINDOW_SECONDS
        # What may have been guessed is not looked at; who was known goes on.
        guessed = {"authorization": "Bearer secret"}
        assert (await call(host, "GET", "/api/plugins", guessed)).status == 429
        assert (await call(host, "GET", "/api/plugins", good)).status == 200
        assert (await call(host, "GET", "/health", wrong)).status == 200
        assert (await call(host, "GET", "/api/plugins")).status == 401


def test_the_window_of_a_peer_ends() -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    for _ in range(FAILURES + 1):
        throttle.failed("a")
    assert throttle.has_failed_too_often("a")
    assert not throttle.has_failed_too_often("b")
    now = WINDOW_SECONDS
    assert not throttle.has_failed_too_often("a")
    throttle.failed("a")
    assert not throttle.has_failed_too_often("a")


def test_no_credential_is_in_the_log(add_plugin: AddPlugin, serve: Serve) -> None:
    add_plugin("p", PLUGIN, base="/p")
    process = serve(RUNTIME_MASTER_KEY="very-secret", RUNTIME_LOG_LEVEL="debug")
    url = f"http://127.0.0.1:{process.port}"
    for key in ("very-secret", "nearly-secret", "btk_aaaaaaaa_secret"):
        httpx2.get(f"{url}/p/who", headers={"x-api-key": key})
    process.signal()
    assert process.wait() == 0
    assert "secret" not in process.out
    assert json.loads(process.out.splitlines()[0])


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/open/*", b"/p/open/a", True),
        ("open/*", b"/p/open/a", True),
        ("/p/open/*", b"/p/open/a", True),
        ("/open/*", b"/p/open/a/b", False),
        ("/open/*", b"/p/open/a%2Fb", False),
        ("/open/**", b"/p/open/a%2Fb", False),
        ("/open/**", b"/p/open/../secret", False),
        ("/open/**", b"/p/open/%2e%2e/secret", False),
        ("/open/**", b"/p/open//secret", False),
        ("/open/**", b"/p/open/a/b", True),
        ("/open/**", b"/p/open", False),
        ("/open/?", b"/p/open/%C3%A9", True),
        ("/open/?", b"/p/open/ab", False),
        ("/a.b", b"/p/aXb", False),
        ("(/p/[ab])", b"/p/a", True),
        ("(/p/[ab])", b"/p/ab", False),
    ],
)
def test_public_routes(pattern: str, path: bytes, fits: bool) -> None:
    assert PublicRoutes([pattern], "/p").has("GET", path) is fits
    of_get = PublicRoutes({"GET": [pattern], "PUT": ["/put"]}, "/p")
    assert of_get.has("GET", path) is fits
    assert not of_get.has("DELETE", path)
    assert PublicRoutes({"ALL": [pattern]}, "/p").has("DELETE", path) is fits
    assert not PublicRoutes(None, "/p").has("GET", path)


def test_which_credential_counts() -> None:
    assert credential_of(None, None, None) is None
    assert credential_of(None, None, b"a=1; b=2") is None
    for key, token, cookie, found, is_session in [
        (b"k", b"Bearer t", b"buntime_session=s", b"k", False),
        (None, b"Bearer t", b"buntime_session=s", b"t", False),
        (None, b"Basic t", b"buntime_session=s", b"", False),
        (None, None, b"a=1; buntime_session=s", b"s", True),
    ]:
        said = credential_of(key, token, cookie)
        assert said is not None
        assert (said.token, said.is_session) == (found, is_session)


def test_tickets_are_taken_out_of_queries() -> None:
    assert without_ticket(b"a=1") == (None, b"a=1")
    assert without_ticket(b"xticket=1") == (None, b"xticket=1")
    assert without_ticket(b"a=1&ticket=t&b=2") == (b"t", b"a=1&b=2")
    assert without_ticket(b"ticket=t") == (b"t", b"")
    assert without_ticket(b"ticket=t&ticket=u") == (b"", b"")


def test_names_of_hosts() -> None:
    hosts = TrustedHosts(["App.example"])
    assert hosts.trusts(b"app.EXAMPLE:80", "127.0.0.1")
    assert hosts.trusts(b"", "127.0.0.1")
    assert hosts.trusts(b"testserver", "testserver")
    for name in (b"testserver", b"[::1", b"\xff", b"127.0.0.1.evil.example", b"0.0.0.0"):
        assert not hosts.trusts(name, "127.0.0.1")
    assert all(is_loopback(a) for a in ("127.0.0.9", "::1", "localhost", "::ffff:127.0.0.1"))
    assert not any(is_loopback(a) for a in ("0.0.0.0", "::", "192.0.2.1", "example.org"))
    assert not any(is_exposed(a) for a in (None, "testserver", "/run/x.sock", "127.0.0.1"))
    assert all(is_exposed(a) for a in ("0.0.0.0", "192.0.2.1", "::"))
