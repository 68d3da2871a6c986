"""The only module that uses `libsql-client`: a request to one server, and its answer.

It uses the library's two clients, but below their `execute` and `batch`. Those know neither
conditions of single steps nor positions of replication, and return only the first error of a batch;
the requests that they send are the same. Other workarounds are explained in their places.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import aiohttp
import msgspec
from libsql_client import LibsqlError
from libsql_client.config import _expand_config
from libsql_client.hrana.client import HranaClient
from libsql_client.hrana.conn import HranaConn
from libsql_client.http import HttpClient

from buntime_plugin_database.engines.libsql.answers import LONG_ANSWER, decode_answer
from buntime_plugin_database.engines.libsql.options import Routing

T = TypeVar("T")
Json = dict[str, Any]

_HEARTBEAT_SECONDS = 20.0
_LARGE_BYTES = 1024 * 1024

TRANSPORT_ERRORS = (LibsqlError, aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""Exceptions of a failed request. `ValueError` is for invalid URLs."""


class ServerTransport(Protocol):
    """A way to one server. Raises only `TRANSPORT_ERRORS`."""

    client: Any
    """The library's own client."""

    async def execute(self, statement: Json) -> Json:
        """Run one statement; its `StmtResult`."""

    async def batch(self, steps: list[Json]) -> Json:
        """Run the steps on one connection; their `BatchResult`."""

    async def close(self) -> None: ...


def check_url(url: str) -> str | None:
    """What is wrong with the URL of a server, or None."""
    try:
        _expand_config(url, auth_token=None, tls=None)
    except LibsqlError as error:
        return str(error.explanation)
    except ValueError as error:
        return str(error)
    return None


def namespace_headers(url: str, namespace: str | None, routing: Routing) -> dict[str, str]:
    """The parts of a request to the URL that make it reach the namespace.

    Always to the server of the URL: the name is in a header, and never in an address.
    """
    if namespace is None:
        return {}
    if routing == "header":
        name = base64.b64encode(namespace.encode("ascii")).decode("ascii")
        return {"x-namespace-bin": name.rstrip("=")}  # sqld takes no padding
    authority = _expand_config(url, auth_token=None, tls=None).authority
    return {"Host": f"{namespace}.{authority.rpartition('@')[2]}"}


def open_transport(
    url: str,
    token: str | None,
    *,
    for_reads: bool = False,
    headers: Mapping[str, str] | None = None,
) -> ServerTransport:
    """The way that the URL names; nothing is sent yet. Needs a running loop.

    With `for_reads` always HTTP: sqld heeds `replication_index` only there, and serves it at the
    same address as websockets.
    """
    scheme, authority, path, token, _ = _expand_config(url, auth_token=token, tls=None)
    if for_reads:
        scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if scheme in ("http", "https"):
        # Endpoints follow the path, wherever a proxy has put the server.
        return _Http(f"{scheme}://{authority}{path.rstrip('/')}/", token, headers or {})
    return _WebSocket(f"{scheme}://{authority}{path}", token, headers or {})


class _HttpClient(HttpClient):  # type: ignore[misc] # the library has no py.typed
    async def _send(self, method: str, path: str, request_body: Any) -> Any:
        # As in the base class, which warns about every JSON body above 1 MiB, and takes several
        # times as long for a large group.
        body = msgspec.json.encode(request_body)
        async with self._session.request(
            method,
            self._url + path,
            data=body if len(body) <= _LARGE_BYTES else io.BytesIO(body),
            headers={"content-type": "application/json"},
        ) as response:
            content = await response.read()
        try:
            answer = await decode_answer(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if response.ok:
                raise LibsqlError(
                    f"the answer is not JSON: {error}", "HRANA_PROTO_ERROR"
                ) from error
            answer = content.decode("utf-8", "replace")[:500]
        if response.ok:
            return answer
        if isinstance(answer, dict) and "message" in answer:
            raise LibsqlError(str(answer["message"]), str(answer.get("code") or "UNKNOWN"))
        said = answer.get("error") if isinstance(answer, dict) else None
        raise LibsqlError(
            f"Server returned HTTP status {response.status} and error: {said or repr(answer)}",
            "SERVER_ERROR",
        )


class _Http:
    def __init__(self, url: str, token: str | None, headers: Mapping[str, str]) -> None:
        self.client: Any = _HttpClient(url, auth_token=token)
        self.client._session.headers.update(headers)
        if token is None:
            del self.client._session.headers["authorization"]  # it is "Bearer None"

    async def execute(self, statement: Json) -> Json:
        return _member(await self.client._send("POST", "v1/execute", {"stmt": statement}))

    async def batch(self, steps: list[Json]) -> Json:
        return _member(await self.client._send("POST", "v1/batch", {"batch": {"steps": steps}}))

    async def close(self) -> None:
        await self.client.close()


class _Connection(HranaConn):  # type: ignore[misc] # the library has no py.typed
    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self._long: set[asyncio.Task[None]] = set()
        super().__init__(session, url, token)

    async def _do_connect(
        self, session: aiohttp.ClientSession, url: str
    ) -> aiohttp.ClientWebSocketResponse:
        # As in the base class, which refuses answers above 4 MiB and never notices that a server
        # has gone silently.
        return await session.ws_connect(
            url, protocols=["hrana2"], autoclose=False, max_msg_size=0, heartbeat=_HEARTBEAT_SECONDS
        )

    def _receive(self, text: str) -> None:
        # As in the base class, which decodes at once, however long it is.
        if len(text) <= LONG_ANSWER:
            super()._receive(text)
            return
        task = asyncio.create_task(self._receive_long(text))
        self._long.add(task)
        task.add_done_callback(self._long.discard)

    async def _receive_long(self, text: str) -> None:
        try:
            message = await decode_answer(text.encode())
            request = int(message["request_id"])
            response = message["response"]
        except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, ValueError) as error:
            nonsense = LibsqlError(f"a long message makes no sense: {error!r}", "HRANA_PROTO_ERROR")
            self._set_exception(nonsense)
            return
        waiting = self._response_map.pop(request, None)
        if waiting is not None:
            self._request_id_alloc.free(request)
            if not waiting.future.done():
                waiting.future.set_result(response)


class _Client(HranaClient):  # type: ignore[misc] # as above
    def _open_conn(self) -> HranaConn:
        return _Connection(self._session, self._url, self._auth_token)


class _WebSocket:
    def __init__(self, url: str, token: str | None, headers: Mapping[str, str]) -> None:
        self.client: Any = _Client(url, token)
        self.client._session.headers.update(headers)  # it connects in the next turn of the loop

    async def execute(self, statement: Json) -> Json:
        with self.client._open_stream() as stream:
            return _checked(await _wait(stream.execute(statement)))

    async def batch(self, steps: list[Json]) -> Json:
        with self.client._open_stream() as stream:
            return _checked(await _wait(stream.batch({"steps": steps})))

    async def close(self) -> None:
        await self.client.close()


async def _wait(answer: asyncio.Future[T]) -> T:
    """Await an answer without cancelling it: the client breaks when an answer comes that is not
    awaited.
    """
    try:
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        answer.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise


def _member(answer: Any) -> Json:
    return _checked(answer.get("result") if isinstance(answer, dict) else None)


def _checked(result: Any) -> Json:
    if not isinstance(result, dict):
        raise LibsqlError("the server's answer holds no result", "HRANA_PROTO_ERROR")
    return result
