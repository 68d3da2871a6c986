"""The nodes of a cluster: which of them leads, and which ones are asked when it does not answer.

Any node takes any request and passes it on to the leader, so nothing depends on knowing the leader;
it saves a hop. A cluster without a leader elects one within seconds, which requests wait for.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from buntime_database import (
    ConstraintViolation,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)

from buntime_plugin_database.engines.rqlite.errors import (
    ClusterAccessRefused,
    NotReached,
    error_of,
    has_no_leader,
)
from buntime_plugin_database.engines.rqlite.options import RqliteOptions
from buntime_plugin_database.engines.rqlite.values import Json
from buntime_plugin_database.shared.starting import until_it_answers

StatementResults = list[dict[str, Any]]
"""A node's answer for each statement: `error`, or its result. After an error there are none."""

Level = Literal["weak", "linearizable", "none"]

DOUBT_SECONDS = 2.0
"""Seconds without an answer after which others are asked whether the node still leads."""
FIND_SECONDS = 1.5
"""Longest time for the question about the leader."""
REACH_SECONDS = 0.5
"""Longest time that a node gets to say whether another one is there, before it answers that."""
BENCH_SECONDS = 10.0
"""Time that a node is asked last after it left a request unanswered."""
RETRY_SECONDS = (0.02, 0.25)
"""The first and the longest pause before all nodes are tried again."""
CONNECT_SECONDS = 2.0
LARGE_BYTES = 1024 * 1024
"""A longer body is sent in pieces: the client warns of sending it at once."""


class _Node(msgspec.Struct):
    """A node's information about another one."""

    api_addr: str = ""
    leader: bool = False
    reachable: bool = False


class _NodesAnswer(msgspec.Struct):
    nodes: list[_Node]


class _Answer(msgspec.Struct):
    results: StatementResults | None = None
    error: Any = None


_decode_nodes = msgspec.json.Decoder(_NodesAnswer).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode

_NO_ANSWER = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Exceptions of decoding an answer that is not JSON, or not in a node's form: a proxy may
answer."""


class Nodes:
    """All known nodes: those of the configuration, and those that they report."""

    def __init__(self, urls: Sequence[str], options: RqliteOptions) -> None:
        self._configured = tuple(url.rstrip("/") for url in urls)
        self._discovered: tuple[str, ...] = ()
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._leader: str | None = None
        self._benched: dict[str, float] = {}
        self._find_again_at = 0.0
        self._turn = 0
        self._is_current = False
        """Whether the leader certainly has everything that was committed before: one that was just
        elected, or a node that was started again, may not have applied it yet."""
        self._closed = False
        hosts = ", ".join(urlsplit(url).netloc for url in self._configured)
        self.name = f"rqlite at {hosts}"
        self.leaders = 0
        """How often the leader was found to have changed."""

    async def execute(
        self, statements: Sequence[Json], *, most_seconds: float = float("inf")
    ) -> StatementResults:
        """Carry out the statements in one transaction: all of them, or none.

        Raises `DatabaseUnavailable` if that was not done, and `OutcomeUnknown` if it may have been.
        """
        body = msgspec.json.encode(statements)
        seconds = min(self._options.timeout_seconds, most_seconds)
        results = await self._ask(lambda: "/db/execute?transaction", body, seconds, wrote=True)
        self._is_current = True
        return results

    async def query(
        self, statements: Sequence[Json], level: Level, *, most_seconds: float = float("inf")
    ) -> StatementResults:
        """Run queries one after another, on the leader or, at the level `none`, on any node.

        Raises `DatabaseError`.
        """
        body = msgspec.json.encode(statements)
        seconds = min(self._options.timeout_seconds, most_seconds)
        limit = self._options.statement_seconds
        limited = {"db_timeout": f"{limit:g}s"} if limit else {}
        if level == "none":
            asked = {"level": level, **limited}
            if self._options.freshness_seconds:
                asked |= {"freshness": f"{self._options.freshness_seconds:g}s"}
            try:
                path = f"/db/query?{urlencode(asked)}"
                return await self._ask_once(self._next(), path, body, seconds, wrote=False)
            except DatabaseUnavailable:
                level = "weak"

        def asking() -> str:
            certain = level if self._is_current else "linearizable"
            return f"/db/query?{urlencode({'level': certain, **limited})}"

        results = await self._ask(asking, body, seconds, wrote=False)
        self._is_current = True
        return results

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait until there is a leader that answers.

        Raises `DatabaseUnavailable` if it does not in time, and at once if access is refused.
        """
        await until_it_answers(
            lambda left: self.query([["SELECT 1"]], "linearizable", most_seconds=left),
            seconds,
            lambda error: (
                isinstance(error, DatabaseUnavailable)
                and not isinstance(error, ClusterAccessRefused)
            ),
        )

    @property
    def session(self) -> aiohttp.ClientSession:
        """Opened at first use, since it belongs to the loop that runs then."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        if self._session is None:
            user, password = self._options.user, self._options.password or ""
            headers = {"content-type": "application/json"}
            if user is not None:
                headers["authorization"] = aiohttp.encode_basic_auth(user, password, "utf-8")
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(ssl=self._options.tls or True, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            )
        return self._session

    async def close(self) -> None:
        """Close all connections; running requests fail. Idempotent."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _order(self) -> list[str]:
        """The nodes to ask, one after the other."""
        first = () if self._leader is None else (self._leader,)
        nodes = dict.fromkeys((*first, *self._configured, *self._discovered))
        now = monotonic()
        return sorted(nodes, key=lambda url: self._benched.get(url, 0.0) > now)

    def _next(self) -> str:
        nodes = sorted({*self._configured, *self._discovered})
        self._turn = (self._turn + 1) % len(nodes)
        return nodes[self._turn]

    async def _ask(
        self, path: Callable[[], str], body: bytes, seconds: float, *, wrote: bool
    ) -> StatementResults:
        """Ask one node after the other until one answers, as long as there is hope.

        `path` is the path of the request.
        """
        deadline = monotonic() + seconds
        pause, longest = RETRY_SECONDS
        while True:
            if self._leader is None:
                await self._find_leader()
            is_anybody_there = False
            failure: DatabaseUnavailable | None = None
            for url in self._order():
                left = max(deadline - monotonic(), RETRY_SECONDS[0])
                try:
                    return await self._ask_doubting(url, path(), body, left, wrote=wrote)
                except ClusterAccessRefused:
                    raise
                except DatabaseUnavailable as error:
                    if self._closed:
                        raise
                    self._is_current = False
                    if self._leader == url:
                        self._leader = None
                    failure = failure or error
                    refused = isinstance(error.__cause__, aiohttp.ClientConnectorError)
                    is_anybody_there = is_anybody_there or not refused
            if failure is None or not is_anybody_there or monotonic() + pause > deadline:
                raise failure or DatabaseUnavailable(f"{self.name}: no node")
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _ask_doubting(
        self, url: str, path: str, body: bytes, seconds: float, *, wrote: bool
    ) -> StatementResults:
        """Ask one node, until it answers or another one leads: then it may hang for long."""
        leader = self._leader
        asking = asyncio.ensure_future(self._ask_once(url, path, body, seconds, wrote=wrote))
        try:
            while True:
                await asyncio.wait({asking}, timeout=DOUBT_SECONDS)
                if asking.done():
                    return asking.result()
                await self._find_leader(besides=url)
                if self._leader not in (leader, None):
                    self._benched[url] = monotonic() + BENCH_SECONDS
                    text = f"{url} does not answer, and another node leads"
                    raise _unanswered(text, wrote=wrote)
        finally:
            asking.cancel()

    async def _ask_once(
        self, url: str, path: str, body: bytes, seconds: float, *, wrote: bool
    ) -> StatementResults:
        name = f"rqlite node {urlsplit(url).netloc}"
        try:
            async with (
                asyncio.timeout(seconds),
                self.session.post(
                    url + path,
                    data=body if len(body) <= LARGE_BYTES else io.BytesIO(body),
                    allow_redirects=False,
                ) as response,
            ):
                content = await response.read()
        except aiohttp.ClientConnectorError as error:
            code = error.os_error.errno
            reason = os.strerror(code) if code and code > 0 else str(error.os_error)
            raise NotReached(f"{name} cannot be reached: {reason}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotReached(f"{name} cannot be reached: no connection in time") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if self._closed:
                raise DatabaseClosed("the database is closed") from error
            if isinstance(error, TimeoutError):
                self._benched[url] = monotonic() + BENCH_SECONDS
                text = f"{name} did not answer in time"
            else:
                text = f"the connection to {name} broke: {type(error).__name__}"
            raise _unanswered(text, wrote=wrote) from error
        return _results(name, response.status, content, wrote=wrote)

    async def _find_leader(self, besides: str | None = None) -> None:
        """Ask for the leader and the nodes; not more often than these can change.

        A node `besides` which there may be others is not asked.
        """
        if monotonic() < self._find_again_at:
            return
        self._find_again_at = monotonic() + RETRY_SECONDS[1]
        for url in self._order():
            if url == besides:
                continue
            try:
                async with (
                    asyncio.timeout(FIND_SECONDS),
                    self.session.get(f"{url}/nodes?ver=2&timeout={REACH_SECONDS:g}s") as response,
                ):
                    answer = _decode_nodes(await response.read())
            except (aiohttp.ClientError, OSError, TimeoutError, *_NO_ANSWER):
                continue
            nodes = [node for node in answer.nodes if node.api_addr]
            self._discovered = tuple(node.api_addr.rstrip("/") for node in nodes)
            for node in nodes:
                if node.leader and node.reachable:
                    self._leader = node.api_addr.rstrip("/")
                    self.leaders += 1
                    return


def _results(name: str, status: int, content: bytes, *, wrote: bool) -> StatementResults:
    """The results of an answer for each statement. Raises `DatabaseError`."""
    if status != 200:
        text = content.decode("utf-8", "replace").strip()[:500]
        if status in (401, 403):
            raise ClusterAccessRefused(f"{name} refuses access, check user and password")
        if status in (400, 413, 422):
            raise InvalidStatement(f"{name}: {text}")
        if "unsupported value" in text and not wrote:
            raise InvalidStatement("an rqlite node cannot send infinity")
        raise _failed(f"{name}: HTTP {status}: {text}", wrote=wrote)
    try:
        answer = _decode_answer(content)
    except _NO_ANSWER as error:
        text = f"{name}: the answer is not that of a node: {error}"
        raise _unanswered(text, wrote=wrote) from error
    if answer.error:
        refused = error_of(str(answer.error))
        if isinstance(refused, ConstraintViolation):  # one that is checked at COMMIT
            raise refused
        raise _failed(f"{name}: {answer.error}", wrote=wrote)
    if answer.results is None:
        raise _unanswered(f"{name}: the answer holds no results", wrote=wrote)
    return answer.results


def _failed(text: str, *, wrote: bool) -> DatabaseError:
    return NotReached(text) if has_no_leader(text) else _unanswered(text, wrote=wrote)


def _unanswered(text: str, *, wrote: bool) -> DatabaseError:
    """The error of a request that may have been carried out."""
    if wrote:
        return OutcomeUnknown(f"{text}; the write may have been carried out")
    return DatabaseUnavailable(text)
