"""TLS of `buntime serve`: a certificate from files, read again when they change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from buntime_host.errors import ConfigError

logger = logging.getLogger("App")


class Certificate:
    """A certificate with its key, for connections that begin from now on."""

    def __init__(self, chain: Path, key: Path | None) -> None:
        """`chain` is a PEM file, which has the key as well unless `key` has it.

        Raises `ConfigError` for files that cannot be read, or do not belong together.
        """
        self._chain = chain
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._read_at = self._changed_at()
        self._read(self.context)

    def renew(self, *, always: bool = False) -> None:
        """Read the files again if they have changed; errors are logged.

        Open connections keep the certificate that they began with.
        """
        try:
            changed_at = self._changed_at()
            if changed_at == self._read_at and not always:
                return
            self._read_at = changed_at  # whatever comes of it, it is tried once
            # First into a context that nobody uses: half a renewal would be in force otherwise.
            self._read(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._read(self.context)
        except ConfigError as error:
            logger.error("The certificate stays what it was: %s", error)  # noqa: TRY400 - no bug
        else:
            logger.info("The certificate was read again: %s", self._chain)

    def _read(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except ssl.SSLError as error:
            files = f"{self._chain}" if self._key is None else f"{self._chain} with {self._key}"
            reason = (error.reason or "they are not PEM files").replace("_", " ").lower()
            raise ConfigError(f"tls: {files} cannot be used: {reason}") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"tls: {self._chain} cannot be read: {error}") from None

    def _changed_at(self) -> list[int]:
        files = [self._chain] if self._key is None else [self._chain, self._key]
        try:
            return [path.stat().st_mtime_ns for path in files]
        except OSError as error:
            raise ConfigError(f"tls: {error.filename} cannot be read: {error.strerror}") from None


def _no_password() -> str:
    """OpenSSL would ask at a terminal, and a server would wait there for ever."""
    raise ValueError("its key has a password, which a server cannot be asked for")
