"""Administration of keys, for the API and for commands: make, show, revoke and rotate them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from buntime_host.access.grants import compile_grant
from buntime_host.access.keyring import Keyring
from buntime_host.access.keys import (
    CUSTOM,
    MAX_NAME_LENGTH,
    MAX_TEXTS,
    PREFIX,
    ApiKey,
    check_id,
    expiry_of,
    grace_of,
    new_key,
)
from buntime_host.access.permissions import HOST_PERMISSIONS, INVALID_PERMISSION, ROLES
from buntime_host.access.principal import Principal
from buntime_host.access.store import KeptKey, KeyStore, KeysUnavailable
from buntime_host.errors import BadRequest, NotFound, PermissionDenied, ServiceUnavailable

ATTEMPTS = 20
"""Attempts at a change while others change the same key."""

DEFAULT_GRACE = "24h"

T = TypeVar("T")


class Wanted(msgspec.Struct, kw_only=True, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A key to be made. Members are checked by `KeyAdministration.create`."""

    name: str = ""
    description: str | None = None
    role: str | None = None
    permissions: list[str] = []
    expires_in: str | None = None
    limits: dict[str, Any] = {}


class Made(NamedTuple):
    """A new key, and its text, which is shown only this once."""

    text: str
    key: ApiKey


class KeyAdministration:
    """Changes keys in the store, and makes the changes known to this process at once."""

    def __init__(self, keyring: Keyring, changed: Callable[[], Awaitable[None]]) -> None:
        """`changed` is awaited after each change."""
        self._keyring = keyring
        self._changed = changed

    def all(self) -> list[dict[str, Any]]:
        """The public details of all keys, the newest last."""
        stored = sorted(self._keyring.stored.values(), key=lambda s: (s.key.created_at, s.key.id))
        return [self._shown(one) for one in stored]

    def one(self, key_id: str) -> dict[str, Any]:
        """The public details of a key. Raises `BadRequest` and `NotFound`."""
        return self._shown(self._find(key_id))

    def meta(self) -> dict[str, Any]:
        """The roles and permissions that exist."""
        plugins = self._keyring.permissible.plugins
        return {
            "roles": [*ROLES, CUSTOM],
            "permissions": list(HOST_PERMISSIONS),
            "plugins": {name: [*actions, "*"] for name, actions in plugins.items()},
        }

    async def create(self, wanted: Wanted, by: Principal) -> Made:
        """Make a key. A caller can give only permissions of its own.

        Raises `BadRequest` with codes of its own, and `PermissionDenied`.
        """
        name = wanted.name.strip()
        if not name or len(name) > MAX_NAME_LENGTH:
            raise BadRequest(
                f"A key needs a name of at most {MAX_NAME_LENGTH} characters",
                code="MISSING_KEY_NAME",
            )
        role, permissions = _granted(wanted)
        self._keyring.permissible.check_limits(wanted.limits)
        now = time.time()
        made = new_key()
        key = ApiKey(
            id=made.id,
            digest=made.digest,
            name=name,
            description=wanted.description,
            role=role,
            permissions=permissions,
            limits=wanted.limits or dict(by.limits),
            created_at=int(now),
            created_by=by.id or None,
            expires_at=expiry_of(wanted.expires_in, now),
        )
        self._check_gives(key, by)
        # Where keys cannot be read none is made: no host would know of it.
        await _told(self._changed())
        if not await _told(self._store.add(key)):
            raise ServiceUnavailable("This id is taken by chance: try again")
        await _told(self._changed())
        return Made(made.text, key)

    async def revoke(self, key_id: str) -> None:
        """Revoke a key at once; a key that was revoked before stays as it is."""

        def change(key: ApiKey) -> ApiKey:
            revoked_at = int(time.time())
            return key if key.revoked_at else msgspec.structs.replace(key, revoked_at=revoked_at)

        await self._change(key_id, change)

    async def rotate(self, key_id: str, grace: object, by: Principal) -> Made:
        """Give a key another secret; the previous one stays valid for the grace time.

        Raises `BadRequest`, `NotFound` also for a key that was revoked, and `PermissionDenied` for
        a key that may do or use more than `by`, to whom the new secret is given.
        """
        made = new_key(check_id(key_id))
        seconds = grace_of(DEFAULT_GRACE if grace is None else grace)

        def change(key: ApiKey) -> ApiKey:
            if key.revoked_at is not None:
                raise _unknown()
            self._check_gives(key, by)
            return msgspec.structs.replace(
                key,
                digest=made.digest,
                previous_digest=key.digest if seconds else None,
                previous_until=int(time.time()) + seconds if seconds else None,
            )

        return Made(made.text, await self._change(key_id, change))

    @property
    def _store(self) -> KeyStore:
        store = self._keyring.store
        if store is None:
            raise ServiceUnavailable("The keys cannot be read: see the log of the host")
        return store

    def _find(self, key_id: str) -> KeptKey:
        stored = self._keyring.stored.get(check_id(key_id))
        if stored is None:
            raise _unknown()
        return stored

    async def _change(self, key_id: str, change: Callable[[ApiKey], ApiKey]) -> ApiKey:
        for _ in range(ATTEMPTS):
            # Changes made elsewhere are read first: a revoked key must not come back.
            await _told(self._changed())
            old = self._find(key_id).key
            new = change(old)
            if new == old or await _told(self._store.replace(old, new)):
                await _told(self._changed())
                return new
        raise ServiceUnavailable("Others change this key all the time: try again")

    def _check_gives(self, key: ApiKey, by: Principal) -> None:
        """Raise `PermissionDenied` if the key would let `by` do more than now."""
        grant = compile_grant(key.texts, self._keyring.permissible)
        if not by.grant.has_all(grant):
            raise PermissionDenied("Missing permission: what the key permits, or some of it")
        if by.limits and key.limits != by.limits:
            raise PermissionDenied("Missing permission: limits other than one's own")

    def _shown(self, stored: KeptKey) -> dict[str, Any]:
        row = stored.key.shown(stored.last_used_at)
        if stored.key.role in ROLES:
            row["permissions"] = list(ROLES[stored.key.role])
        return row


def _granted(wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    """Return role and scopes of a key. Raises `BadRequest`."""
    permissions = tuple(dict.fromkeys(text.strip() for text in wanted.permissions))
    role = wanted.role if wanted.role is not None else CUSTOM
    if role not in (*ROLES, CUSTOM):
        roles = ", ".join((*ROLES, CUSTOM))
        raise BadRequest(f"Invalid role: {role!r:.40}: use {roles}", code="INVALID_KEY_ROLE")
    if role != CUSTOM:
        if permissions:
            raise BadRequest(
                f"A key with the role {role} has its permissions: leave out permissions, or role",
                code="INVALID_KEY_ROLE",
            )
        return role, ()
    if not permissions:
        raise BadRequest(
            'A key without a role needs permissions, such as "keyval:read"',
            code="MISSING_PERMISSIONS",
        )
    if len(permissions) > MAX_TEXTS:
        raise BadRequest(f"A key has at most {MAX_TEXTS} permissions", code=INVALID_PERMISSION)
    return CUSTOM, permissions


async def _told(change: Awaitable[T]) -> T:
    """Return the result of a change, with its failures turned into errors for the caller."""
    try:
        return await change
    except KeysUnavailable as error:
        raise ServiceUnavailable(f"The keys cannot be changed: {error}") from error


def _unknown() -> NotFound:
    return NotFound("There is no such key", code="API_KEY_NOT_FOUND")


def row_of(made: Made) -> Mapping[str, Any]:
    """The details of a key that was just made."""
    key = made.key
    return {
        "id": key.id,
        "key": made.text,
        "keyPrefix": PREFIX + key.id,
        "name": key.name,
        "role": key.role,
    }
