"""JSON Web Tokens of another issuer, which say what their owners may do.

The algorithms are those of the configuration, for one kind of key: a token's own claim about them
decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from buntime_host.access.gate import Foreign
from buntime_host.access.grants import compile_grant
from buntime_host.access.keyring import Keyring
from buntime_host.access.principal import Principal
from buntime_host.access.trusted_hosts import is_loopback
from buntime_host.errors import ConfigError
from buntime_host.options.settings import JwtOptions

if TYPE_CHECKING:
    import jwt

MAX_TOKEN_BYTES = 16 * 1024
MAX_SUBJECT = 200
LEARN_SECONDS = 30.0
"""Least number of seconds between two fetches of keys."""

FETCH_SECONDS = 5
SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
ASYMMETRIC = frozenset(
    {*("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), *("ES256", "ES384", "ES512", "EdDSA")}
)
MIN_SECRET_BYTES = 32

logger = logging.getLogger("App")


class JwtTokens:
    """`ForeignTokens` by a secret, a public key, or the keys at a URL."""

    def __init__(self, options: JwtOptions, keyring: Keyring) -> None:
        """Raises `ConfigError` for options that do not belong together."""
        try:
            import jwt
        except ImportError:
            raise ConfigError("auth.jwt needs PyJWT: install buntime[jwt]") from None
        self._jwt = jwt
        self._options = options
        self._keyring = keyring
        self._fixed = _fixed_key(options)
        self._fetched: dict[str | None, jwt.PyJWK] = {}
        """By their `kid`."""
        self._fetched_at = -LEARN_SECONDS
        self._fetching = asyncio.Lock()

    def find(self, token: bytes) -> Foreign | None:
        if len(token) > MAX_TOKEN_BYTES or token.count(b".") != 2:
            return None
        options = self._options
        try:
            key = self._fixed or self._fetched[self._jwt.get_unverified_header(token).get("kid")]
            said: dict[str, Any] = self._jwt.decode(
                token,
                key,
                algorithms=list(options.algorithms),
                issuer=options.issuer,
                audience=options.audience,
                options={"require": ["exp"]},
            )
        except (self._jwt.PyJWTError, KeyError, TypeError, ValueError):
            return None
        claim = said.get(options.claim)
        texts = [claim] if isinstance(claim, str) else claim
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return None
        subject = "".join(c if c.isprintable() else "?" for c in str(said.get("sub", "")))
        name = subject[:MAX_SUBJECT]
        grant = compile_grant(texts, self._keyring.permissible, lenient=True)
        return Foreign(Principal(f"jwt:{name}", name, grant), float(said["exp"]))

    async def learn(self, token: bytes) -> bool:
        """See `ForeignTokens`: fetch the keys, if this one is not among them."""
        if self._options.jwks_url is None or token.count(b".") != 2:
            return False
        try:
            kid = self._jwt.get_unverified_header(token).get("kid")
        except self._jwt.PyJWTError:
            return False
        async with self._fetching:
            if kid in self._fetched or time.monotonic() < self._fetched_at + LEARN_SECONDS:
                return False
            return await self._fetch_keys(self._options.jwks_url)

    async def refresh(self) -> bool:
        """See `ForeignTokens`: fetch the keys again, if they come from a URL; one may have been
        withdrawn.
        """
        if self._options.jwks_url is None or not self._fetched:
            return False
        async with self._fetching:
            return await self._fetch_keys(self._options.jwks_url)

    async def _fetch_keys(self, url: str) -> bool:
        self._fetched_at = time.monotonic()
        try:
            keys = await asyncio.to_thread(self._fetch, url)
        except (self._jwt.PyJWTError, OSError, ValueError) as error:
            logger.warning("auth.jwt: the keys cannot be fetched: %s", error)
            return False
        self._fetched = {key.key_id: key for key in keys}
        return True

    def _fetch(self, url: str) -> list[jwt.PyJWK]:
        client = self._jwt.PyJWKClient(url, cache_keys=False, timeout=FETCH_SECONDS)
        return client.get_signing_keys(refresh=True)


def _fixed_key(options: JwtOptions) -> Any:
    """The one key that tokens are signed with; None if the keys are fetched."""
    given = [options.jwks_url, options.public_key, options.secret]
    if sum(text is not None for text in given) != 1:
        raise ConfigError("auth.jwt: give one of jwksUrl, publicKey and secret")
    known = SYMMETRIC if options.secret is not None else ASYMMETRIC
    if not options.algorithms or not set(options.algorithms) <= known:
        raise ConfigError(
            f"auth.jwt.algorithms: must be some of {', '.join(sorted(known))} for such a key"
        )
    if options.secret is not None:
        secret = options.secret.encode()
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"auth.jwt.secret: must have at least {MIN_SECRET_BYTES} bytes")
        return secret
    if options.jwks_url is not None:
        url = urlsplit(options.jwks_url)
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            raise ConfigError("auth.jwt.jwksUrl: must begin with https://")
        return None
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key((options.public_key or "").encode())
    except ValueError as error:
        raise ConfigError(f"auth.jwt.publicKey: is not a public key in PEM: {error}") from None
