"""Batons: signed names of streams, good for one request each.

With several workers a baton begins with the number of the one that has the stream.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct

from buntime_host import Workers

_FIELDS = struct.Struct(">QQ")
_MAC_BYTES = 16


class Batons:
    """Signs and checks batons with a key that lives and dies with the process."""

    def __init__(self, workers: Workers) -> None:
        self._key = secrets.token_bytes(32)
        self._workers = workers
        self._prefix = f"{workers.number}." if workers.count > 1 else ""

    def worker_of(self, baton: str) -> int | None:
        """The other worker that a baton belongs to; None for our own, and for an invalid one."""
        number, dot, _ = baton.partition(".")
        for other in range(self._workers.count):
            if dot and number == str(other) and other != self._workers.number:
                return other
        return None

    def issue(self, stream: int, sequence: int) -> str:
        """The baton for the next request of a stream."""
        fields = _FIELDS.pack(stream, sequence)
        text = base64.urlsafe_b64encode(fields + self._mac(fields)).decode().rstrip("=")
        return self._prefix + text

    def read(self, baton: str) -> tuple[int, int] | None:
        """Stream and sequence of a baton; None if we did not issue it."""
        try:
            text = baton.removeprefix(self._prefix)
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            stream, sequence = _FIELDS.unpack_from(raw)
            given = baton.encode()
        except (ValueError, struct.error):
            return None
        # The whole text, since base64 has several spellings of the same bytes.
        genuine = hmac.compare_digest(given, self.issue(stream, sequence).encode())
        return (stream, sequence) if genuine else None

    def _mac(self, fields: bytes) -> bytes:
        return hmac.digest(self._key, fields, hashlib.sha256)[:_MAC_BYTES]
