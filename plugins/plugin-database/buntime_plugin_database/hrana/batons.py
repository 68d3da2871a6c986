"""Batons: signed names of streams, good for one request each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct

_FIELDS = struct.Struct(">QQ")
_MAC_BYTES = 16


class Batons:
    """Signs and checks batons with a key that lives and dies with the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def issue(self, stream: int, sequence: int) -> str:
        """The baton for the next request of a stream."""
        fields = _FIELDS.pack(stream, sequence)
        return base64.urlsafe_b64encode(fields + self._mac(fields)).decode().rstrip("=")

    def read(self, baton: str) -> tuple[int, int] | None:
        """Stream and sequence of a baton; None if we did not issue it."""
        try:
            raw = base64.urlsafe_b64decode(baton + "=" * (-len(baton) % 4))
            stream, sequence = _FIELDS.unpack_from(raw)
            given = baton.encode()
        except (ValueError, struct.error):
            return None
        # The whole text, since base64 has several spellings of the same bytes.
        genuine = hmac.compare_digest(given, self.issue(stream, sequence).encode())
        return (stream, sequence) if genuine else None

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._key, fields, hashlib.sha256)[:_MAC_BYTES]
