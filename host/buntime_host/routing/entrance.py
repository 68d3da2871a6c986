"""The sender of an ASGI request: its credential, and the paths that need none."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope

from buntime_host.access import EVERYONE, Principal
from buntime_host.access.credentials import TICKET, Credential, credential_of, without_ticket
from buntime_host.access.gate import ANONYMOUS, Gate, unauthorized
from buntime_host.access.public import SHARED_FILES, own_check_paths, public_paths
from buntime_host.access.signed import Signed
from buntime_host.errors import TooManyRequests, Unauthorized
from buntime_host.routing.headers import Said
from buntime_host.routing.mounts import Mount


class Entrance:
    """Recognises the senders of requests and websockets."""

    def __init__(self, gate: Gate, tickets: Signed | None, api: str) -> None:
        """`api` is the path of the host's own API, of which a part is public."""
        self._gate = gate
        self._tickets = tickets
        self._public = public_paths(api) | own_check_paths(api)

    async def principal(
        self, scope: Scope, mount: Mount | None, said: Said, cookie: bytes | None
    ) -> Principal:
        """Return the sender of a request, and remove the ticket from its query.

        `cookie` is that of the request, if it counts. Raises `Unauthorized`, `TooManyRequests` and
        `PermissionDenied`, and on an open host `UntrustedHost` for a name that it does not answer
        to.
        """
        if self._gate.is_open:
            self._gate.check_host(said.host, _server_of(scope))
            if TICKET in scope["query_string"]:
                _take_ticket(scope)
            return EVERYONE
        return await self._recognised(scope, mount, credential_of(said.key, said.token, cookie))

    async def _recognised(
        self, scope: Scope, mount: Mount | None, said: Credential | None
    ) -> Principal:
        """The same on a host with keys.

        On public paths, senders without a credential, or with a wrong one, are anonymous.
        """
        is_public = self.is_public(scope, mount)
        ticket = _take_ticket(scope) if TICKET in scope["query_string"] else None
        if said is None and ticket is None:
            if is_public:
                return ANONYMOUS
            raise unauthorized()
        peer = self._gate.peer_of(scope)
        try:
            if said is not None:
                await self._gate.prepare(said)
                principal = self._gate.principal(said, peer)
            else:
                principal = self._ticket_holder(ticket or b"", scope, peer)
        except (Unauthorized, TooManyRequests):
            if is_public:
                return ANONYMOUS
            raise
        if mount is not None and mount.asks_for is not None and not is_public:
            principal.require(mount.asks_for)
        return principal

    def _ticket_holder(self, ticket: bytes, scope: Scope, peer: str) -> Principal:
        path = scope["path"].removeprefix(scope.get("root_path") or "")
        found = self._tickets.use_ticket(ticket, path) if self._tickets is not None else None
        if found is None:
            raise self._gate.failed(peer)
        return found

    def is_public(self, scope: Scope, mount: Mount | None) -> bool:
        """Whether the path is public."""
        if mount is None:
            return False
        if mount.info is None:
            path: str = scope["path"]
            path = path.removeprefix(scope.get("root_path") or "")
            return (path.rstrip("/") or "/") in self._public or path.startswith(SHARED_FILES)
        if not mount.public:
            return False
        raw: bytes | None = scope.get("raw_path")
        root: str = scope.get("root_path") or ""
        path_as_sent = raw if raw is not None else quote(scope["path"]).encode()
        method = scope.get("method", "WEBSOCKET")
        return mount.public.has(method, path_as_sent.removeprefix(root.encode()))


def _take_ticket(scope: Scope) -> bytes | None:
    """Take the ticket out of the query of a request that may have one; None if there is none."""
    if scope["type"] == "http":
        accepted = [value for name, value in scope["headers"] if name == b"accept"]
        if scope["method"] != "GET" or not any(b"text/event-stream" in v for v in accepted):
            return None
    ticket, scope["query_string"] = without_ticket(scope["query_string"])
    return ticket


def _server_of(scope: Scope) -> str | None:
    """The address that a request came to, where the server says it."""
    server = scope.get("server")
    return server[0] if server else None
