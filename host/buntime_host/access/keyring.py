"""The keys of a store in memory, as principals, kept up to date when keys change."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from buntime_host.access.grants import compile_grant
from buntime_host.access.keys import ApiKey, digest_of
from buntime_host.access.permissions import Permissible
from buntime_host.access.principal import Principal
from buntime_host.access.store import KeptKey, KeyStore

USED_SECONDS = 60
"""Least number of seconds between two writes of a key's last use."""


class _Secret(NamedTuple):
    """One valid secret of a key."""

    principal: Principal
    ends_at: int | None


class Keyring:
    """All known keys. Reads them again when asked; see `Gate.run`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.permissible = Permissible()
        """What can be permitted; set once the plugins have declared theirs."""
        self._clock = clock
        self.store: KeyStore | None = None
        """The store; None before it is open, and where it cannot be read."""
        self.stored: Mapping[str, KeptKey] = {}
        """All keys as they were last read, by id."""
        self._secrets: dict[str, dict[str, _Secret]] = {}
        """Valid secrets, by the id of the key and their digest."""
        self._used: dict[str, int] = {}
        """Uses that are not written yet."""
        self.next_end: float | None = None
        """When the next secret ends."""
        self._written: dict[str, int] = {}

    @property
    def has_keys(self) -> bool:
        """Whether there is a key that was not revoked, even if it has expired."""
        return any(stored.key.revoked_at is None for stored in self.stored.values())

    async def open(self, store: KeyStore) -> None:
        """Read all keys, now and later. Raises `KeysUnavailable`; a later attempt may succeed."""
        self.store = store
        self.stored = await store.changed() or {}
        self._take_in()

    async def refresh(self) -> bool:
        """Read changes and end expired keys; return whether anything changed.

        Raises `KeysUnavailable`; keys known before stay known then.
        """
        if self.store is None:
            return self.end_due()
        stored = await self.store.changed()
        if stored is None:
            return self.end_due()
        self.stored = stored
        return self._take_in()

    def end_due(self) -> bool:
        """End expired keys, for which nothing has to be read; return whether there were any."""
        end = self.next_end
        return end is not None and end <= self._clock() and self._take_in()

    def find(self, id: str, secret: bytes) -> Principal | None:
        """Return the owner of the key with this id and secret. Takes the same time for all
        secrets.
        """
        given = digest_of(secret)
        found = None
        for digest, good in self._secrets.get(id, {}).items():
            if hmac.compare_digest(digest, given):
                found = good
        if found is None or (found.ends_at is not None and found.ends_at <= self._clock()):
            return None
        return found.principal

    def by_digest(self, id: str) -> Mapping[str, Principal]:
        """Owners of the key with this id, by the digests of its valid secrets."""
        now = self._clock()
        return {
            digest: secret.principal
            for digest, secret in self._secrets.get(id, {}).items()
            if secret.ends_at is None or secret.ends_at > now
        }

    def was_used(self, id: str) -> None:
        """Note that a key was used."""
        if id in self._secrets:
            self._used[id] = int(self._clock())

    async def write_uses(self) -> None:
        """Write when keys were used last, each at most once a minute. Raises `KeysUnavailable`."""
        now = self._clock()
        due = {
            key_id: used
            for key_id, used in self._used.items()
            if now - self._written.get(key_id, 0) >= USED_SECONDS
        }
        if due and self.store is not None:
            for key_id in due:
                del self._used[key_id]
            self._written |= due
            await self.store.used(due)

    def _take_in(self) -> bool:
        """Make principals of the stored keys, and end those that are no longer valid."""
        now = self._clock()
        before, self._secrets = self._secrets, {}
        for key_id, (key, _) in self.stored.items():
            good = {
                digest: ends_at
                for digest, ends_at in key.ends().items()
                if ends_at is None or ends_at > now
            }
            if good:
                known = before.get(key_id, {})
                self._secrets[key_id] = {
                    digest: self._secret(key, ends_at, known.get(digest))
                    for digest, ends_at in good.items()
                }
        ends = [
            secret.ends_at
            for secrets in self._secrets.values()
            for secret in secrets.values()
            if secret.ends_at is not None
        ]
        self.next_end = min(ends, default=None)
        ended = False
        for key_id, secrets in before.items():
            left = {secret.principal for secret in self._secrets.get(key_id, {}).values()}
            for secret in secrets.values():
                if secret.principal not in left:
                    secret.principal.life.end()
                    ended = True
        return ended or self._secrets.keys() != before.keys()

    def _secret(self, key: ApiKey, ends_at: int | None, known: _Secret | None) -> _Secret:
        if known is not None:
            same = known.principal.grant.texts == key.texts
            if same and known.principal.limits == key.limits and known.principal.name == key.name:
                return _Secret(known.principal, ends_at)
        grant = compile_grant(key.texts, self.permissible, lenient=True)
        return _Secret(Principal(key.id, key.name, grant, limits=key.limits), ends_at)
