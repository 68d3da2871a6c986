"""What a request asks for, known before any of it runs.

An endpoint is a function that reads a request into an `Asked`: the operation, what it touches, what
it may cost, and the call itself. All decisions about a request (may its sender do this, to these
keys; is it too much) are made by this value, in one place, before `run`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from buntime_host import Answer, DirectRequest, Principal
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.names import checked_name

from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.requests.answers import Frames, Text
from buntime_plugin_keyval.requests.large import LargeMembers, body_steps
from buntime_plugin_keyval.requests.permissions import (
    ADMIN,
    READ,
    WRITE,
    named_keys,
    require_keys,
    require_ranges,
    require_some,
)
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape, read_shape
from buntime_plugin_keyval.storage.ranges import KeyRange

Owner = TypeVar("Owner", contravariant=True)
G = TypeVar("G", bound=RequestShape)
Given = TypeVar("Given", bound=RequestShape, covariant=True)

Access = Literal["read", "write", "admin"]
"""Whether a request changes nothing, changes stored data, or changes the store itself."""

Ran = Text | Answer | Future[Any] | Coroutine[Any, Any, Text | Answer | Frames]
"""JSON text is an answer with status 200. The result of a future, for which no task waits, is made
an answer by `Asked.answer`. Anything else is a full answer, now or later."""


class Somewhere(msgspec.Struct, frozen=True, gc=False):
    """A scope on at least one resource; `Asked.run` finds out which one it needs, and checks it."""

    scope: str


Need = str | tuple[str, str | None] | Somewhere
"""A scope on all its resources, or on the resource given with it."""


class Keys(msgspec.Struct, frozen=True, gc=False):
    """Encoded keys, and ranges of them."""

    keys: Sequence[bytes] = ()
    ranges: Sequence[KeyRange] = ()


NO_KEYS = Keys()


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What a request may cost, as far as the request alone tells."""

    entries: int | None = 1
    """The most entries that it reads or writes; None if that depends on the size of a range."""
    conditions: int = 0
    """The number of conditions of its filter, each tested on every entry that it looks at."""
    passed: int = 0
    """The number of entries that it skips first."""


CHEAP = Cost()


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What one request asks for."""

    operation: str
    """Its name, such as `set`: the part of the API, followed by a verb if there are several."""
    access: Access
    run: Callable[[], Ran]
    reads: Keys = NO_KEYS
    """The entries that it reads, including those in checks of a commit."""
    writes: Keys = NO_KEYS
    """The entries that it may write or delete."""
    cost: Cost = CHEAP
    needs: Sequence[Need] | None = None
    """Scopes in addition to those on its keys. None if only its keys count; a request that has no
    keys either then needs all permissions, so that nothing is open by omission."""
    read_scope: str = READ
    write_scope: str = WRITE
    extends: Callable[[], Set[bytes]] = frozenset
    """Returns those of the written keys whose new values are computed from the present ones. A
    function, since it is rarely needed."""
    answer: Callable[[Future[Any]], Answer] = Future.result
    """If `run` returns a future: makes the answer once it is done. May raise its exception."""

    def require(self, principal: Principal, *, guarded: bool = False) -> None:
        """Raise `PermissionDenied` unless the principal may do all of this.

        `guarded` is as in `require_ranges`.
        """
        # Most requests are about one key: empty parts cost no call.
        reads, writes, needs = self.reads, self.writes, self.needs
        read_keys, read_ranges = reads.keys, reads.ranges
        written_keys, written_ranges = writes.keys, writes.ranges
        if read_keys:
            require_keys(principal, self.read_scope, read_keys)
        if read_ranges:
            require_ranges(principal, self.read_scope, read_ranges, guarded=guarded)
        if written_keys:
            require_keys(principal, self.write_scope, written_keys)
        if written_ranges:
            require_ranges(principal, self.write_scope, written_ranges)
        if needs is None:
            if read_keys or read_ranges or written_keys or written_ranges:
                return
            needs = (ADMIN,)
        for need in needs:
            if isinstance(need, str):
                principal.require(need)
            elif isinstance(need, Somewhere):
                require_some(principal, need.scope)
            else:
                principal.require(*need)


class Touched(Mapping[str, str]):
    """What a request asks for, in the form of the audit log; made on demand."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def __iter__(self) -> Iterator[str]:
        return iter(("operation", "reads", "writes"))

    def __len__(self) -> int:
        return 3

    def __getitem__(self, name: str) -> str:
        asked = self._asked
        if name == "operation":
            return asked.operation
        touched = asked.reads if name == "reads" else asked.writes
        return named_keys(touched.keys, touched.ranges)


class Request(msgspec.Struct, Generic[Given], frozen=True, gc=False):
    """One complete request below `/keyval/api`, with its members read by the route's shape."""

    path: bytes
    """The raw path after the API's base, still percent-encoded."""
    given: Given
    content: bytes
    """The body as it came."""
    head: bool
    """Whether only the head of the answer is wanted."""
    source: DirectRequest
    """The request as the host gave it."""
    once: Once | None = None
    """For a write with an idempotency key; all endpoints that write pass it on."""

    def segment(self, place: int, what: str) -> str:
        """A segment of the path, decoded; `what` describes it in errors. Raises `InvalidInput`."""
        try:
            return unquote_to_bytes(self.path.split(b"/")[place]).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"{what} must be UTF-8") from None

    def name(self, what: str) -> str:
        """The name in `/<kind>/<name>` and `/<kind>/<name>/<verb>`. Raises `InvalidInput`."""
        return checked_name(what, self.segment(2, what))

    def header(self, name: bytes) -> bytes:
        """The value of a header, empty if absent."""
        for key, value in self.source.headers:
            if key == name:
                return value
        return b""

    def headers(self, name: bytes) -> list[bytes]:
        """The values of all headers of a name."""
        return [value for key, value in self.source.headers if key == name]


SHORT_QUERY = 32
"""Most bytes of a query whose members are remembered, such as `exact=true`."""
REMEMBERED_QUERIES = 64
"""Of each route."""


class Route(msgspec.Struct, Generic[Owner, G], eq=False):
    """An endpoint and what it takes. It is called with its owner: the service, or a part of it."""

    ask: Callable[[Owner, Request[G]], Asked]
    """The endpoint; raises `InvalidInput` or another error for a request that is refused."""
    shape: type[G]
    place: MemberPlace = MemberPlace.QUERY
    large: Callable[[Owner], LargeMembers] | None = None
    """How to read the members of a body that may be large since it has values."""
    quick: Callable[[bytes], G | None] | None = None
    """Reads bodies of the usual form; returns None for one that is to be read in full."""
    is_stream: bool = False
    """Whether its answer is an event stream, which is served by ASGI alone."""
    has_head: bool = True
    """Whether it also serves `HEAD`."""
    has_conditions: bool = False
    """Whether it supports `If-Match` and `If-None-Match`."""
    media_type: str = "application/json"
    """The media type of its answers."""
    statuses: Sequence[int] = (200,)
    """The statuses of successful answers."""
    said: Callable[..., Any] | None = None
    """The function whose docstring describes the route, if it is not the endpoint."""
    _of_query: Callable[[bytes], Any] = bytes
    """Reads a short query without a body; made for each route."""

    def __post_init__(self) -> None:
        shape, place = self.shape, self.place
        # The same query always means the same. Errors are not remembered.
        self._of_query = lru_cache(REMEMBERED_QUERIES)(
            lambda query: read_shape(shape, place, query, b"")
        )

    @property
    def has_body(self) -> bool:
        """Whether the body is always read; otherwise only if the request declares one."""
        return self.place is not MemberPlace.QUERY

    def read(self, query: bytes, content: bytes) -> G:
        """Read the shape from query and body. Raises `InvalidInput`."""
        if content and self.place is not MemberPlace.BESIDE_VALUE:
            quick = self.quick
            if quick is not None and not query and (found := quick(content)) is not None:
                return found
        elif len(query) <= SHORT_QUERY:
            given: G = self._of_query(query)
            return given
        return read_shape(self.shape, self.place, query, content)


AnyRoute = Route[Any, Any]

Routes = Mapping[str, Mapping[str, AnyRoute]]
"""Routes by path and method. One segment of a path may vary, as in `/queue/dlq/{id}`."""


async def read_large(
    owner: Owner, store: Store, route: Route[Owner, G], query: bytes, content: bytes
) -> G:
    """Do `Route.read` in steps. Raises `InvalidInput` and `LimitExceeded`."""
    if route.place in (MemberPlace.QUERY, MemberPlace.BESIDE_VALUE):
        return route.read(query, content)
    most = store.limits.request_bytes
    if route.large is None and len(content) > most:
        raise LimitExceeded(f"Body too large: {len(content)} bytes", "requestBytes", most)
    members = {} if route.large is None else route.large(owner)
    body = await store.turns.run(body_steps(content, members, most))
    return read_shape(route.shape, route.place, query, content, body)
