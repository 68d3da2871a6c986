"""What a request asks for, known before anything of it runs.

An endpoint is a function that reads a request into `Asked`: which operation, what it touches,
what it may cost, and the call itself. Whoever has to decide about a request (may its sender do
this, to these keys; is it too much) decides by this value, in one place, before `run`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence, Set
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
"""Whether a request changes nothing, changes what is stored, or changes the store itself."""

Ran = Text | Answer | Future[Any] | Coroutine[Any, Any, Text | Answer | Frames]
"""JSON text is an answer with status 200; a future, which no task waits for, is told by
`Asked.answer`; anything else is in full, now or later."""


class Somewhere(msgspec.Struct, frozen=True, gc=False):
    """A scope on some resource at least: on which one `Asked.run` finds out, and looks itself."""

    scope: str


Need = str | tuple[str, str | None] | Somewhere
"""A scope, on everything that it has, or on the resource beside it."""


class Keys(msgspec.Struct, frozen=True, gc=False):
    """Encoded keys, and ranges of them."""

    keys: Sequence[bytes] = ()
    ranges: Sequence[KeyRange] = ()


NO_KEYS = Keys()


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What a request may take, as far as it can be told from the request alone."""

    entries: int | None = 1
    """Entries that it reads or writes at the most; None where the size of a range decides."""
    conditions: int = 0
    """Conditions of its filter, each of which is tested on every entry that it looks at."""
    passed: int = 0
    """Entries that it passes over before those."""


CHEAP = Cost()


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What one request asks for."""

    operation: str
    """Its name, such as `set`: the part of the API, and a verb where there are several."""
    access: Access
    run: Callable[[], Ran]
    reads: Keys = NO_KEYS
    """What is read of the entries, a check of a commit included."""
    writes: Keys = NO_KEYS
    """What may be written or deleted."""
    cost: Cost = CHEAP
    needs: Sequence[Need] | None = None
    """Scopes beside those of its keys. None for what is about its keys alone; what then has none
    needs everything, so that nothing is open which does not say so."""
    read_scope: str = READ
    write_scope: str = WRITE
    extends: Callable[[], Set[bytes]] = frozenset
    """Of the keys that are written the ones whose values are not replaced, but computed from what
    is there. It is asked where that matters, which is seldom."""
    answer: Callable[[Future[Any]], Answer] = Future.result
    """Where `run` gives a future: what is said once that is done. May raise what that holds."""

    def require(self, principal: Principal, *, guarded: bool = False) -> None:
        """Raise `PermissionDenied` unless somebody may ask for that.

        `guarded` is as in `require_ranges`.
        """
        # Most requests are about one key: what there is none of costs no call.
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
    """What a request asks for as the audit tells it, made when that wants to know."""

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
    """One request below `/keyval/api`, whole, with its members read by the route's shape."""

    path: bytes
    """Raw path behind the API's base, still percent-encoded."""
    given: Given
    content: bytes
    """The body as it came."""
    head: bool
    """Whether only the head of the answer is wanted."""
    source: DirectRequest
    """What it was made of."""
    once: Once | None = None
    """For a write that came with an idempotency key; every endpoint that writes heeds it."""

    def segment(self, place: int, what: str) -> str:
        """A segment of the path, decoded; `what` is what it names. Raises `InvalidInput`."""
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


class Route(Generic[Owner, G]):
    """An endpoint with what it takes. It gets what owns it: the service, or a part of it."""

    __slots__ = (
        "_of_nothing",
        "ask",
        "has_body",
        "has_conditions",
        "has_head",
        "is_stream",
        "large",
        "media_type",
        "place",
        "quick",
        "said",
        "shape",
        "statuses",
    )

    def __init__(
        self,
        ask: Callable[[Owner, Request[G]], Asked],
        shape: type[G],
        place: MemberPlace = MemberPlace.QUERY,
        large: Callable[[Owner], LargeMembers] | None = None,
        *,
        quick: Callable[[bytes], G | None] | None = None,
        is_stream: bool = False,
        has_head: bool = True,
        has_conditions: bool = False,
        media_type: str = "application/json",
        statuses: Sequence[int] = (200,),
        said: Callable[..., Any] | None = None,
    ) -> None:
        self.said = said or ask
        """The function whose docstring people read of it."""
        self.media_type = media_type
        """Of its answers."""
        self.statuses = statuses
        """Those that its answers may have where it is done."""
        self.ask = ask
        """Raises `InvalidInput` or another error of the service for what cannot be asked."""
        self.shape = shape
        self.place = place
        self.large = large
        """For a body that may be large, since it holds values: how to read these."""
        self.quick = quick
        """Reads bodies as most clients send them; None for one that is to be read in full."""
        self.is_stream = is_stream
        """Whether its answer is an event stream, which needs ASGI."""
        self.has_head = has_head
        """Whether a GET may come as a HEAD, too."""
        self.has_body = place is not MemberPlace.QUERY
        """Whether the body is looked for; otherwise only when the request says that it has one."""
        self.has_conditions = has_conditions
        """Whether it heeds `If-Match` and `If-None-Match`."""
        self._of_nothing: G | None = None

    def read(self, query: bytes, content: bytes) -> G:
        """What query and body give of the shape. Raises `InvalidInput`."""
        if query or (content and self.place is not MemberPlace.BESIDE_VALUE):
            quick = self.quick
            if quick is not None and not query and (found := quick(content)) is not None:
                return found
            return read_shape(self.shape, self.place, query, content)
        given = self._of_nothing
        if given is None:
            # Kept: it is the same every time, and what raises is not kept.
            given = self._of_nothing = read_shape(self.shape, self.place, query, content)
        return given


AnyRoute = Route[Any, Any]

Routes = Mapping[str, Mapping[str, AnyRoute]]
"""By path and method. One segment of a path may vary: `/queue/dlq/{id}`."""


async def read_large(
    owner: Owner, store: Store, route: Route[Owner, G], query: bytes, content: bytes
) -> G:
    """What `Route.read` gives, read in steps. Raises `InvalidInput` and `LimitExceeded`."""
    if route.place in (MemberPlace.QUERY, MemberPlace.BESIDE_VALUE):
        return route.read(query, content)
    most = store.limits.request_bytes
    if route.large is None and len(content) > most:
        raise LimitExceeded(f"Body too large: {len(content)} bytes", "requestBytes", most)
    members = {} if route.large is None else route.large(owner)
    body = await store.turns.run(body_steps(content, members, most))
    return read_shape(route.shape, route.place, query, content, body)
