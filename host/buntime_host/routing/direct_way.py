"""What is answered without ASGI: which mounts, and whom they let in by what his headers say.

This is the hot path of the direct way; all that is not common goes by `RequestDispatcher`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from buntime_host.access import EVERYONE
from buntime_host.access.credentials import KEY_HEADER, TOKEN_HEADER
from buntime_host.access.gate import Gate
from buntime_host.http.below import FORWARDED_PREFIX
from buntime_host.http.cors import VARY, Header
from buntime_host.http.direct_mounts import Admitted, Answering, DirectMount, Heads
from buntime_host.http.noticed import NOTHING, Noticed
from buntime_host.http.origin import OriginPolicy
from buntime_host.http.passage import GuardedPassage, PassedApp
from buntime_host.routing.headers import GOOD_ID, LOOKED_AT
from buntime_host.routing.mount_table import MountTable
from buntime_host.routing.mounts import Mount

NOTED = (LOOKED_AT | {b"upgrade"}) - {b"content-length", b"host", b"transfer-encoding"}
"""Headers that `DirectWay.admit` wants to see."""

BODY_BYTES = 64 * 1024
"""Larger bodies come by ASGI, which holds back whoever sends faster than he is read."""

COMMON = Admitted(b"", NOTHING)
"""What a request is admitted with that says nothing which matters here."""

_SECRETS = (TOKEN_HEADER, KEY_HEADER)


class DirectWay:
    """The mounts that answer requests without ASGI."""

    def __init__(
        self,
        table: MountTable,
        rest: Mount | None,
        gate: Gate,
        origins: OriginPolicy,
        passage: GuardedPassage | None,
        *,
        is_open: bool,
        only_reads: bool,
    ) -> None:
        """`rest` is the mount of what is below no base.

        `only_reads` says that what may write goes by ASGI, and unless `is_open` everything does.
        """
        self._gate = gate
        self._origins = origins
        self._passage = passage
        self._only_reads = only_reads
        self.mounts: Mapping[bytes, DirectMount] = {
            base.encode(): direct
            for base, mount in table.by_segment.items()
            if is_open and (direct := self._direct_mount(mount)) is not None
        }
        """By the first segment of a path."""
        self.rest = None if rest is None or not is_open else self._direct_mount(rest)
        """What is below no base; see `rest_for`."""
        self._bases = frozenset(base.encode() for base in table.first_segments)
        said: list[Header] = [VARY] if origins.trusts_others else []
        self.heads = Heads(said, behind_passage=passage is not None)
        """How answers begin."""

    def __bool__(self) -> bool:
        """Whether anything is answered so."""
        return bool(self.mounts) or self.rest is not None

    def rest_for(self, url: bytes) -> DirectMount | None:
        """Who answers a URL that is below no base, beyond doubt; None for others."""
        path = url.partition(b"?")[0]
        end = path.find(b"/", 1)
        segment = path if end < 0 else path[:end]
        if segment in self._bases or b"%" in segment or not segment.startswith(b"/"):
            return None
        return self.rest

    def admit(self, headers: Sequence[Header], host: bytes, mount: DirectMount) -> Admitted | None:
        """What `NOTED` headers say of a request on the direct way; None if it has to go by ASGI.

        What is refused, and what is not common, goes there: `RequestDispatcher` sees to all of it.
        """
        gate = self._gate
        if len(headers) == 1:
            # The common request with a key, be it its sender's or its own, pays for nothing else.
            name, value = headers[0]
            if name in _SECRETS:
                if gate.is_open:
                    return COMMON
                known = gate.known.get(headers[0])
                asks_for = mount.asks_for
                if known is None or (asks_for is not None and not known.allows(asks_for)):
                    return None
                return Admitted(b"", NOTHING, known)
            if name == b"idempotency-key" and gate.is_open:
                return Admitted(b"", Noticed(idempotency_keys=(value,)))
        origin = site = key = token = cookie = None
        given_id = b""
        keys: tuple[bytes, ...] = ()
        for pair in headers:
            name, value = pair
            if name == b"idempotency-key":
                keys += (value,)
            elif name == b"x-api-key":
                key = pair
            elif name == b"authorization":
                token = pair
            elif name == b"cookie":
                cookie = pair
            elif name == b"x-request-id":
                if not given_id and GOOD_ID.fullmatch(value):
                    given_id = value
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
            elif name != FORWARDED_PREFIX or mount is self.rest:
                return None
        if origin is not None or site is not None:
            origins = self._origins
            if not origins.permits(origin, site, host):
                return None
            if origin is not None and origins.trusts(origin):
                return None
            if cookie is not None and not origins.takes_cookies(origin, host):
                return None
        principal = EVERYONE
        if not gate.is_open:
            header = key or token or cookie
            known = gate.known.get(header) if header is not None else None
            if known is None:
                return None
            if mount.asks_for is not None and not known.allows(mount.asks_for):
                return None
            principal = known
        noticed = Noticed(idempotency_keys=keys) if keys else NOTHING
        return Admitted(given_id, noticed, principal)

    def _direct_mount(self, mount: Mount) -> DirectMount | None:
        if mount.direct is None:
            return None
        app: Answering = mount.direct
        if self._passage is not None:
            root = mount.root_path.encode()
            app = PassedApp(mount.direct, root, self._passage, strips=self._origins.trusts_others)
        return DirectMount(
            app,
            min(mount.limit, BODY_BYTES),
            mount.route_of,
            mount.asks_for,
            only_reads=self._only_reads,
        )
