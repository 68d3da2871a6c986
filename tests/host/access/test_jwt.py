"""JSON Web Tokens: of a secret, a public key, and keys that are fetched."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import jwt
import pytest
from buntime_host import ConfigError
from buntime_host.access import gate
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from support.waiting import PATIENCE, until

if TYPE_CHECKING:
    from host.conftest import Call, MakeHost

SECRET = "a secret of more than thirty-two bytes"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
BY_SECRET = {"secret": SECRET, "algorithms": ["HS256"]}
BY_KEY = {"publicKey": PUBLIC.decode(), "algorithms": ["RS256"]}


def token(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **said: Any) -> str:
    said = {"sub": "ann", "exp": time.time() + 600, "buntime": ["plugins:read"]} | said
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm, headers={"kid": kid} if kid else None)


async def status(
    make_host: MakeHost, call: Call, options: dict[str, Any], *texts: str
) -> list[int]:
    async with make_host({"auth": {"jwt": options}}) as host:
        found = []
        for text in texts:
            headers = {"authorization": f"Bearer {text}"}
            found.append((await call(host, "GET", "/api/plugins", headers)).status)
        return found


async def test_what_is_taken_and_what_is_not(make_host: MakeHost, call: Call) -> None:
    good = token()
    cases = [
        ("", 401),
        (good, 200),
        (token(buntime="viewer"), 200),
        (token(buntime=["metrics:read"]), 403),
        (token(buntime=["no:such"]), 403),
        (token(buntime=None), 401),
        (token(buntime={"a": 1}), 401),
        (token(buntime=[1]), 401),
        (token(exp=time.time() - 1), 401),
        (token(exp=None), 401),
        (token(nbf=time.time() + 600), 401),
        (token(aud="others"), 401),
        (token("another secret of more than thirty-two bytes"), 401),
        (token(algorithm="HS512", key=SECRET * 2), 401),
        (token(None, "none"), 401),
        (token(KEY, "RS256"), 401),
        (good[:-2], 401),
        (f"{good}.x", 401),
        ("a.b.c", 401),
        ("a" * 20_000 + ".b.c", 401),
    ]
    found = await status(make_host, call, BY_SECRET, *(text for text, _ in cases))
    assert found == [expected for _, expected in cases]


async def test_a_public_key_is_no_secret(make_host: MakeHost, call: Call) -> None:
    """A token that was signed with the public key as if it were a secret is not taken."""
    forged_head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    said = json.dumps({"sub": "x", "exp": time.time() + 600, "buntime": ["*"]}).encode()
    signed = forged_head + b"." + jwt.utils.base64url_encode(said)
    mac = jwt.get_algorithm_by_name("HS256")
    forged = signed + b"." + jwt.utils.base64url_encode(mac.sign(signed, b"x" * 32))
    texts = [token(KEY, "RS256"), token(OTHER, "RS256"), forged.decode(), token(KEY, "PS256")]
    assert await status(make_host, call, BY_KEY, *texts) == [200, 401, 401, 401]


async def test_issuer_and_audience(make_host: MakeHost, call: Call) -> None:
    options = BY_SECRET | {"issuer": "https://id.test", "audience": "kv", "claim": "may"}
    given: dict[str, Any] = {"iss": "https://id.test", "aud": "kv", "may": ["*"]}
    texts = [token(**given), *(token(**(given | {name: "other"})) for name in ("iss", "aud"))]
    texts.append(token(**(given | {"may": None})))
    assert await status(make_host, call, options, *texts) == [200, 401, 401, 401]


async def test_a_token_that_ends_is_forgotten_at_once(make_host: MakeHost, call: Call) -> None:
    async with make_host({"auth": {"jwt": BY_SECRET}}) as host:
        headers = {"x-api-key": token(exp=int(time.time()) + 2)}
        assert (await call(host, "GET", "/api/plugins", headers)).status == 200
        (known,) = host.gate.known.values()
        assert known.id == "jwt:ann"
        deadline = time.monotonic() + PATIENCE
        while (await call(host, "GET", "/api/plugins", headers)).status == 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert known.life.over


class _Keys(BaseHTTPRequestHandler):
    served: ClassVar[dict[str, Any] | None] = {"kid": "one", "key": KEY}
    asked: ClassVar[int] = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        if self.served is None:
            self.send_error(503)
            return
        public = RSAAlgorithm.to_jwk(self.served["key"].public_key(), as_dict=True)
        body = json.dumps({"keys": [public | {"kid": self.served["kid"], "use": "sig"}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def jwks_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Keys) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/keys"
        server.shutdown()
        thread.join()


async def test_keys_are_fetched_when_one_is_not_known(
    make_host: MakeHost, call: Call, jwks_url: str
) -> None:
    options = {"jwksUrl": jwks_url, "algorithms": ["RS256"]}
    texts = [token(KEY, "RS256", "one"), token(OTHER, "RS256", "one"), token(KEY, "RS256", "two")]
    assert await status(make_host, call, options, *texts) == [200, 401, 401]


async def test_a_key_that_is_withdrawn_is_good_no_more(
    make_host: MakeHost, call: Call, jwks_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FOREIGN_SECONDS", 0.05)
    options = {"jwksUrl": jwks_url, "algorithms": ["RS256"]}
    headers = {"x-api-key": token(KEY, "RS256", "one")}
    async with make_host({"auth": {"jwt": options}}) as host:
        assert (await call(host, "GET", "/api/plugins", headers)).status == 200
        (known,) = host.gate.known.values()
        monkeypatch.setattr(_Keys, "served", {"kid": "one", "key": OTHER})
        await until(lambda: known.life.over)
        assert (await call(host, "GET", "/api/plugins", headers)).status == 401
        headers = {"x-api-key": token(OTHER, "RS256", "one")}
        assert (await call(host, "GET", "/api/plugins", headers)).status == 200
        (known,) = host.gate.known.values()
        # While nobody answers, the keys are those that were there last.
        monkeypatch.setattr(_Keys, "served", None)
        asked = _Keys.asked
        await until(lambda: _Keys.asked > asked + 1)
        assert not known.life.over
        assert (await call(host, "GET", "/api/plugins", headers)).status == 200


async def test_tokens_that_nobody_holds_are_not_kept(make_host: MakeHost, call: Call) -> None:
    async with make_host({"auth": {"jwt": BY_SECRET}}) as host:
        held = token(sub="held")
        assert (await call(host, "GET", "/api/plugins", {"x-api-key": held})).status == 200
        (stream,) = host.gate.known.values()
        for number in range(3):
            for name in ("a", "b", "held"):
                headers = {"x-api-key": held if name == "held" else token(sub=name, n=number)}
                assert (await call(host, "GET", "/api/plugins", headers)).status == 200
            host.gate._age()
            host.gate._age()
        ends = [end.principal() for end in host.gate._ends]
        assert ends == [stream]
        assert not stream.life.over


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"algorithms": ["HS256"]}, "give one of"),
        (BY_SECRET | {"publicKey": "x"}, "give one of"),
        ({"secret": SECRET}, "algorithms"),
        ({"secret": SECRET, "algorithms": ["none"]}, "algorithms"),
        ({"secret": SECRET, "algorithms": ["HS256", "RS256"]}, "algorithms"),
        ({"secret": "short", "algorithms": ["HS256"]}, "32 bytes"),
        ({"publicKey": PUBLIC.decode(), "algorithms": ["HS256"]}, "algorithms"),
        ({"publicKey": "x", "algorithms": ["RS256"]}, "not a public key"),
        ({"jwksUrl": "http://localhost.test", "algorithms": ["RS256"]}, "https"),
        ({"jwksUrl": "http://keys.test", "algorithms": ["RS256"]}, "https"),
    ],
)
def test_options_that_do_not_belong_together(
    make_host: MakeHost, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        make_host({"auth": {"jwt": options}})
