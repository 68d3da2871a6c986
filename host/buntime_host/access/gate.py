"""The gate: which credential a request has, and whose it is.

A host that is open asks for none. A caller that was recognised is known by the value of its header
for a while, so that most requests cost a look-up; that table is emptied when any key changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import hmac
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol
from weakref import ref

from buntime_host.access.credentials import Credential
from buntime_host.access.grants import NOTHING, UNLIMITED, compile_grant
from buntime_host.access.keyring import Keyring
from buntime_host.access.keys import taken_apart
from buntime_host.access.principal import Principal
from buntime_host.access.store import KeyStore, KeysUnavailable
from buntime_host.access.throttle import Throttle
from buntime_host.access.trusted_hosts import TrustedHosts, is_exposed
from buntime_host.errors import HttpError, Unauthorized, UntrustedHost

POLL_SECONDS = 1.0
"""Seconds between two checks whether other workers and hosts have changed a key."""

READ_SECONDS = 3.0
"""Seconds that a database may take to say what has changed."""

FOREIGN_SECONDS = 60.0
"""Seconds between two checks whether the issuer of foreign tokens has withdrawn a key."""

AGE_SECONDS = 30.0
"""Seconds that a caller is known without another check; also how soon a use is noted."""

MAX_KNOWN = 4096
MAX_HOSTS = 1000

ANONYMOUS = Principal("", "nobody", NOTHING)
"""An anonymous client that asks for something public."""

MASTER_ID = "(master)"

logger = logging.getLogger("App")


class Foreign(NamedTuple):
    """The owner of a credential that this host did not make."""

    principal: Principal
    ends_at: float | None


class _End(NamedTuple):
    """When the owner is to be forgotten."""

    at: float
    number: int
    """A number that no two owners share, so that comparisons end here."""
    credential: Credential
    principal: ref[Principal]
    """Held by streams, by requests and by the table of recent callers; gone when none of them has
    it.
    """


class ForeignTokens(Protocol):
    """Knows tokens that another issuer has made."""

    def find(self, token: bytes) -> Foreign | None:
        """Return the owner of a token; None if it is not one of these, or not valid."""

    async def learn(self, token: bytes) -> bool:
        """Fetch whatever may be missing to know the token; return whether `find` may succeed
        now.
        """

    async def refresh(self) -> bool:
        """Fetch whatever may have changed; return whether `find` may have another answer now."""


class SessionTokens(Protocol):
    """Knows sessions of web pages."""

    def find(self, token: bytes) -> Principal | None:
        """Return the owner of a session; None if it is none, or over."""


class Gate:
    """Recognises the senders of requests to one host."""

    def __init__(
        self,
        keyring: Keyring,
        *,
        master_key: str | None = None,
        closed: bool = False,
        insecure: bool = False,
        hosts: TrustedHosts | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`closed` demands a credential even while there are no keys, and `insecure` allows a host
        without keys although others may reach it. `hosts` are the names that an open one answers
        to.
        """
        self.keyring = keyring
        self.master = Principal(MASTER_ID, "master key", UNLIMITED)
        self.master_digest = _digest(master_key.encode()) if master_key else None
        self.is_open = self.master_digest is None and not closed
        """Whether no credential is needed. Once the host is closed it stays so until the process
        ends.
        """
        self.known: dict[tuple[bytes, bytes], Principal] = {}
        """Callers that were recognised lately, by header."""
        self.generation = 0
        """Grows with each change of keys."""
        self.client_of: Callable[[Mapping[str, Any]], str | None] = lambda _: None
        """The client that a request with an ASGI scope counts for; the host knows its proxies."""
        self.sessions: SessionTokens | None = None
        self.foreign: ForeignTokens | None = None
        self._tokens: dict[bytes, tuple[str, str]] = {}
        """Tokens that plugins have options for, by digest: their owners and permissions."""
        self._known_before: dict[tuple[bytes, bytes], Principal] = {}
        self._insecure = insecure
        self._hosts = hosts
        self._good_hosts: set[tuple[bytes, str | None]] = set()
        self._throttle = Throttle()
        self._clock = clock
        self._ends: list[_End] = []
        """Ends of foreign tokens, as a heap."""
        self._numbers = itertools.count()
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._has_failed = False

    # Names of the host

    def check_host(self, host: bytes, server: str | None) -> None:
        """Keep strangers out of an open host.

        Raises `UntrustedHost` for a name that is not the host's own, and `Unauthorized` where the
        request came to an address that others may reach. `server` is that address.
        """
        if (host, server) in self._good_hosts:
            return
        if is_exposed(server):
            if not self._insecure:
                raise unauthorized()
        elif self._hosts is not None and not self._hosts.trusts(host, server):
            raise UntrustedHost(
                "This host does not answer to that name: use localhost, or add the name to"
                " trustedHosts"
            )
        if len(self._good_hosts) >= MAX_HOSTS:
            self._good_hosts.clear()
        self._good_hosts.add((host, server))

    # Credentials

    def principal(self, credential: Credential, peer: str) -> Principal:
        """Return the owner of this credential. Raises `Unauthorized` and `TooManyRequests`.

        A peer with too many failures has to wait, if its credential is one that could be guessed.
        """
        found = self.known.get(credential.header)
        if found is None:
            found = self._known_before.get(credential.header)
            if found is None:
                found, lasts = self._recognise(credential, peer)
                if not lasts:
                    return found
            if len(self.known) >= MAX_KNOWN:
                self._age()
            self.known[credential.header] = found
            self.keyring.was_used(found.id)
        return found

    def _recognise(self, credential: Credential, peer: str) -> tuple[Principal, bool]:
        """Return the owner, and whether that holds for more than this request."""
        parts = taken_apart(credential.token)
        if parts is not None:
            found = self.keyring.find(*parts)
            if found is not None:
                return found, True
        elif self._throttle.has_failed_too_often(peer):
            raise self._throttle.refusal(peer)
        elif credential.is_session:
            found = self.sessions.find(credential.token) if self.sessions is not None else None
            if found is not None:
                self.keyring.was_used(found.id)
                return found, False
        elif self._is_master(credential.token):
            return self.master, True
        elif (own := self._own_token(credential.token)) is not None:
            return own, True
        elif self.foreign is not None:
            known = self.foreign.find(credential.token)
            if known is not None:
                if known.ends_at is not None:
                    number = next(self._numbers)
                    end = _End(known.ends_at, number, credential, ref(known.principal))
                    heapq.heappush(self._ends, end)
                    self._woken.set()
                return known.principal, True
        raise self.failed(peer)

    def peer_of(self, scope: Mapping[str, Any]) -> str:
        """The key under which failures are counted: the client of a request, or the peer's
        address.
        """
        client = self.client_of(scope)
        if client is not None:
            return client
        address = scope.get("client")
        return str(address[0]) if isinstance(address, tuple | list) and address else ""

    def failed(self, peer: str) -> HttpError:
        """Count a wrong credential of this peer; return the error to raise."""
        self._throttle.failed(peer)
        if self._throttle.has_failed_too_often(peer):
            return self._throttle.refusal(peer)
        return unauthorized()

    def add_token(self, token: str, plugin: str, scope: str) -> None:
        """Accept a token that `plugin` has an option for, with one scope."""
        self._tokens[_digest(token.encode())] = (plugin, scope)

    def _own_token(self, token: bytes) -> Principal | None:
        given = _digest(token)
        found = None
        for digest, whose in self._tokens.items():
            if hmac.compare_digest(digest, given):
                found = whose
        if found is None:
            return None
        plugin, scope = found
        grant = compile_grant([scope], self.keyring.permissible, lenient=True)
        return Principal(f"(token of {plugin})", f"token of {plugin}", grant)

    async def prepare(self, credential: Credential) -> None:
        """Fetch whatever may be missing to recognise a credential."""
        if self.foreign is not None and credential.header not in self.known:
            await self.foreign.learn(credential.token)

    def _is_master(self, token: bytes) -> bool:
        digest = self.master_digest
        # Digests have one length, so the comparison tells nothing about the key's length either.
        return digest is not None and bool(token) and hmac.compare_digest(_digest(token), digest)

    # Keys that change

    async def open(self, store: KeyStore) -> None:
        """Read the keys, and go on looking for changes."""
        try:
            await self.keyring.open(store)
        except KeysUnavailable as error:
            self.lock(str(error))
            self._has_failed = True
        else:
            self._changed()
        self._tasks = [asyncio.create_task(self._run())]
        if self.foreign is not None:
            self._tasks.append(asyncio.create_task(self._follow(self.foreign)))

    def lock(self, reason: str) -> None:
        """Demand credentials, as there may be keys which cannot be read.

        Without them, the host would be open.
        """
        self.is_open = False
        logger.error("The keys cannot be read, so only the master key is good: %s", reason)

    async def close(self) -> None:
        """Stop looking for changes."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if tasks:
            with suppress(KeysUnavailable):
                await self.keyring.write_uses()

    async def refresh(self) -> None:
        """Apply the changes so far. Raises `KeysUnavailable`."""
        if await self.keyring.refresh() or (self.is_open and self.keyring.has_keys):
            self._changed()

    def _changed(self) -> None:
        self.generation += 1
        # Owners of changed keys are over by now. The others stay known: if they were recognised
        # again, those at an address with too many failures would have to wait.
        self.known = _living(self.known)
        self._known_before = _living(self._known_before)
        if self.keyring.has_keys and self.is_open:
            self.is_open = False
            logger.info("There are keys now: every request needs a credential")

    async def _run(self) -> None:
        aged_at = time.monotonic()
        while True:
            self._end_foreign()
            # Keys that expire do so without the database, too.
            if self.keyring.end_due():
                self._changed()
            if time.monotonic() - aged_at >= AGE_SECONDS:
                aged_at = time.monotonic()
                self._age()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    await self.refresh()
                    await self.keyring.write_uses()
                self._has_failed = False
            except (KeysUnavailable, TimeoutError) as error:
                # Known callers stay: without the database there is little to be had.
                if not self._has_failed:
                    reason = str(error) or f"no answer in {READ_SECONDS:g} s"
                    logger.warning("Changes of keys are not seen: %s", reason)
                self._has_failed = True
            self._woken.clear()
            # Not `wait_for`, which may lose that this task is cancelled.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._woken.wait()

    def _pause(self) -> float:
        ends = [self.keyring.next_end, self._ends[0].at if self._ends else None]
        first = min((end for end in ends if end is not None), default=None)
        if first is None:
            return POLL_SECONDS
        return min(POLL_SECONDS, max(0.01, first - self._clock()))

    async def _follow(self, foreign: ForeignTokens) -> None:
        """End the owners of foreign tokens that are no longer valid."""
        while True:
            await asyncio.sleep(FOREIGN_SECONDS)
            if await foreign.refresh():
                ended = [end for end in self._ends if foreign.find(end.credential.token) is None]
                for end in ended:
                    self._forget(end)

    def _end_foreign(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0].at <= now:
            self._forget(heapq.heappop(self._ends))

    def _forget(self, end: _End) -> None:
        """Forget one owner whose token is no longer valid."""
        for known in (self.known, self._known_before):
            known.pop(end.credential.header, None)
        principal = end.principal()
        if principal is not None:
            principal.life.end()

    def _age(self) -> None:
        """Forget callers that have not come for a while."""
        self._known_before, self.known = self.known, {}
        self._ends = [end for end in self._ends if end.principal() is not None]
        heapq.heapify(self._ends)


def _living(known: dict[tuple[bytes, bytes], Principal]) -> dict[tuple[bytes, bytes], Principal]:
    return {header: principal for header, principal in known.items() if not principal.life.over}


def unauthorized() -> Unauthorized:
    """The error about a credential that is missing or wrong, without saying which."""
    return Unauthorized(headers={"WWW-Authenticate": "Bearer"})


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
