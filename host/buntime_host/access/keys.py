"""Keys: their text, their stored form, and their lifetime."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any, NamedTuple

import msgspec

from buntime_host.errors import BadRequest

PREFIX = "btk_"
ID_LENGTH = 8
SECRET_BYTES = 32
MAX_NAME_LENGTH = 200
MAX_TEXTS = 1000
"""Scopes and roles of one grant."""

_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""The alphabet, without letters that are easily mistaken for each other."""
_ID = re.compile(rf"[{_ID_LETTERS}]{{{ID_LENGTH}}}")
_DAY = 86_400
_UNITS = {"d": _DAY, "w": 7 * _DAY, "m": 30 * _DAY, "y": 365 * _DAY}
_DURATION = re.compile(r"([0-9]{1,5})([dwmy])")
_GRACE = re.compile(r"([0-9]{1,7})(s|m|h|d)")
_GRACE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY}


class ApiKey(msgspec.Struct, kw_only=True, frozen=True, rename="camel", omit_defaults=True):
    """The stored form of a key. Times are seconds since 1970."""

    id: str
    digest: str
    """SHA-256 of the secret, in hex: it has 256 random bits, so it cannot be guessed from its
    digest.
    """
    name: str
    description: str | None = None
    role: str
    permissions: tuple[str, ...]
    """Scopes; those of a role are looked up when the key is used."""
    limits: dict[str, Any] = {}
    """How much its user may use, by the plugin that these limits belong to."""
    created_at: int
    created_by: str | None = None
    """The id of the key that made it, or another word for its maker."""
    expires_at: int | None = None
    revoked_at: int | None = None
    previous_digest: str | None = None
    """The digest of the secret before the last rotation."""
    previous_until: int | None = None
    """When that secret ends."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The scopes and roles of its grant."""
        return self.permissions if self.role == CUSTOM else (self.role,)

    def ends(self) -> dict[str, int | None]:
        """When each secret ends, by digest; None for no end. Empty if the key is revoked."""
        if self.revoked_at is not None:
            return {}
        ends = {self.digest: self.expires_at}
        if self.previous_digest is not None and self.previous_until is not None:
            until = self.previous_until
            if self.expires_at is not None:
                until = min(until, self.expires_at)
            ends[self.previous_digest] = until
        return ends

    def shown(self, last_used_at: int | None) -> dict[str, Any]:
        """Its public details: everything but digests."""
        row = msgspec.to_builtins(self)
        for name in ("digest", "previousDigest"):
            row.pop(name, None)
        row["keyPrefix"] = PREFIX + self.id
        if last_used_at is not None:
            row["lastUsedAt"] = last_used_at
        return dict(row)


CUSTOM = "custom"
"""The role of a key that has scopes of its own."""


class NewKey(NamedTuple):
    """A key that was just made: the only moment at which its text is known."""

    text: str
    id: str
    digest: str


def new_key(id: str | None = None) -> NewKey:
    """Make a key, or another secret for the one with this id."""
    key_id = id or "".join(secrets.choice(_ID_LETTERS) for _ in range(ID_LENGTH))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return NewKey(f"{PREFIX}{key_id}_{secret}", key_id, digest_of(secret.encode()))


def digest_of(secret: bytes) -> str:
    """The digest that is stored of a secret."""
    return hashlib.sha256(secret).hexdigest()


def taken_apart(token: bytes) -> tuple[str, bytes] | None:
    """Split the text of a key into id and secret; None if it is not one."""
    end = len(PREFIX) + ID_LENGTH
    if not token.startswith(PREFIX.encode()) or token[end : end + 1] != b"_":
        return None
    key_id = token[len(PREFIX) : end].decode("latin-1")
    return (key_id, token[end + 1 :]) if _ID.fullmatch(key_id) else None


def check_id(id: str) -> str:
    """Return the id if it is well formed. Raises `BadRequest` with the code `INVALID_KEY_ID`."""
    if not _ID.fullmatch(id):
        raise BadRequest(
            f"Invalid key id: it has {ID_LENGTH} letters and digits, those after {PREFIX}",
            code="INVALID_KEY_ID",
        )
    return id


def expiry_of(expires_in: object, now: float) -> int | None:
    """Return when a key ends that is valid for `never`, `90d`, `2w`, `6m` or `1y`; None for never.

    Raises `BadRequest` with the code `INVALID_EXPIRATION`.
    """
    if expires_in is None or expires_in == "never":
        return None
    match = _DURATION.fullmatch(expires_in) if isinstance(expires_in, str) else None
    if match is None or int(match[1]) == 0:
        raise BadRequest(
            f'Invalid expiration: {expires_in!r:.40}: use "never", or a number and d, w, m or y,'
            ' such as "90d"',
            code="INVALID_EXPIRATION",
        )
    return int(now) + int(match[1]) * _UNITS[match[2]]


def grace_of(grace: object) -> int:
    """Seconds that the secret before a rotation stays valid, from `0`, `30s`, `10m`, `24h` or `7d`.

    Raises `BadRequest` with the code `INVALID_EXPIRATION`.
    """
    if grace in ("0", 0):
        return 0
    match = _GRACE.fullmatch(grace) if isinstance(grace, str) else None
    if match is None:
        raise BadRequest(
            f'Invalid grace time: {grace!r:.40}: use "0", or a number and s, m, h or d, such as'
            ' "24h"',
            code="INVALID_EXPIRATION",
        )
    return int(match[1]) * _GRACE_UNITS[match[2]]
