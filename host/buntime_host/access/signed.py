"""Sessions of web pages and tickets of streams: credentials that a host derives from a key.

They are not stored. Each names its key and its end, signed with a secret of the running host and
the digest of the key: so it ends with the key, with its rotation, and with the host.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from buntime_host.access.gate import MASTER_ID, Gate
from buntime_host.access.principal import Principal
from buntime_host.errors import Forbidden
from buntime_host.workers import Workers

SESSION_SECONDS = 12 * 3600
TICKET_SECONDS = 60
TICKET_SLOTS = 1024
"""Tickets of one worker that can be unused at a time; older ones become invalid."""

TICKET_NUMBERS = "host.tickets"
_MASTER = "master"
_PARTS = 4


class _Found(NamedTuple):
    principal: Principal
    nonce: str


class Signed:
    """Makes and verifies sessions and tickets. All workers of a host have the same secret."""

    def __init__(
        self, gate: Gate, workers: Workers, clock: Callable[[], float] = time.time
    ) -> None:
        self._gate = gate
        self._workers = workers
        self._clock = clock
        self._slots = workers.numbers(TICKET_NUMBERS, TICKET_SLOTS)
        self._next_slot = 0

    def new_session(self, principal: Principal) -> tuple[str, int]:
        """Make a session for the owner of a key; return it and its end. Raises `Forbidden` without
        a key.
        """
        return self._sign("session", "", principal, SESSION_SECONDS, secrets.token_hex(8))

    def find(self, token: bytes) -> Principal | None:
        """Return the owner of a session; None if it is none, or over."""
        found = self._find("session", "", token)
        return None if found is None else found.principal

    def new_ticket(self, principal: Principal, path: str) -> tuple[str, int]:
        """Make a ticket for one request for a path; return it and its end. Raises `Forbidden` as
        above.
        """
        slot = self._next_slot
        number = secrets.randbits(50) + 1
        nonce = f"{self._workers.number}-{slot}-{number}"
        made = self._sign("ticket", path, principal, TICKET_SECONDS, nonce)
        self._next_slot = (slot + 1) % TICKET_SLOTS
        self._slots.own[slot] = number
        return made

    def use_ticket(self, ticket: bytes, path: str) -> Principal | None:
        """Return the owner of a ticket for a path, and use it up; None if it was not valid."""
        found = self._find("ticket", path, ticket)
        if found is None:
            return None
        worker, slot, number = (int(part) for part in found.nonce.split("-"))
        numbers = dict(self._slots.others()) | {self._workers.number: self._slots.own}
        slots = numbers.get(worker)
        if slots is None or slots[slot] != number:
            return None
        slots[slot] = 0
        return found.principal

    def _sign(
        self, kind: str, bound_to: str, principal: Principal, seconds: int, nonce: str
    ) -> tuple[str, int]:
        if principal.id == MASTER_ID:
            who, digest = _MASTER, self._master_digest()
        else:
            digests = self._gate.keyring.by_digest(principal.id)
            who = principal.id
            digest = next((d for d, whose in digests.items() if whose is principal), None)
        if digest is None:
            raise Forbidden(
                f"A {kind} is made from a key: send a key", code=f"{kind.upper()}_NEEDS_KEY"
            )
        ends_at = int(self._clock()) + seconds
        said = f"{who}.{ends_at}.{nonce}"
        return f"{said}.{self._mac(kind, bound_to, said, digest)}", ends_at

    def _find(self, kind: str, bound_to: str, token: bytes) -> _Found | None:
        parts = token.decode("latin-1").split(".")
        if len(parts) != _PARTS or not parts[1].isascii() or not parts[1].isdigit():
            return None
        who, ends_at, nonce, mac = parts
        if len(ends_at) > len(str(2**53)) or int(ends_at) <= self._clock():
            return None
        candidates = self._gate.keyring.by_digest(who)
        if who == _MASTER and (master := self._master_digest()) is not None:
            candidates = {master: self._gate.master}
        said = f"{who}.{ends_at}.{nonce}"
        for digest, principal in candidates.items():
            # As bytes: texts that are not ASCII cannot be compared.
            if hmac.compare_digest(self._mac(kind, bound_to, said, digest).encode(), mac.encode()):
                return _Found(principal, nonce)
        return None

    def _master_digest(self) -> str | None:
        digest = self._gate.master_digest
        return None if digest is None else digest.hex()

    def _mac(self, kind: str, bound_to: str, said: str, digest: str) -> str:
        # No part can hold a newline, but the path, which is last.
        text = f"{kind}\n{said}\n{digest}\n{bound_to}".encode("utf-8", "surrogateescape")
        return hmac.new(self._workers.secret, text, hashlib.sha256).hexdigest()
