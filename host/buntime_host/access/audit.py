"""The audit trail: who did what, from where, with which result. It has no values and no
credentials.
"""

from __future__ import annotations

import logging
from typing import Any

from buntime_host.access.principal import principal_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

DETAILS = "audit"
"""Under this name of a request's state, its plugin may add details: a dictionary of texts."""

logger = logging.getLogger("audit")


class Audit:
    """Writes a line for each request that is audited."""

    def __init__(self, kind: str) -> None:
        """`kind` is `off`, `writes` or `all`."""
        self.of_reads = kind == "all"
        self.of_writes = kind != "off"

    def wants(self, method: str) -> bool:
        """Whether requests with this method are audited; `WEBSOCKET` is a handshake."""
        return self.of_reads or (self.of_writes and method not in SAFE)

    def note(self, scope: dict[str, Any], status: int, peer: str) -> None:
        """Write the line of a request that is answered with this status."""
        principal = principal_of(scope)
        # As it was sent, without the query: nothing in it can look like another line.
        raw: bytes = scope.get("raw_path") or scope["path"].encode("unicode_escape")
        method = scope.get("method", "WEBSOCKET")
        path = raw.decode("ascii", "backslashreplace")
        state = scope["state"]
        more = {
            "who": principal.id or principal.name,
            "method": method,
            "path": path,
            "status": status,
            "peer": peer,
            "requestId": state["request_id"],
            **state.get(DETAILS, {}),
        }
        logger.info("%s %s %d", method, path, status, extra=more)
