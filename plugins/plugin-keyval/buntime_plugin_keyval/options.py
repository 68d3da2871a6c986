"""What goes with a value when it is stored: how long it lives, and its metadata."""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_keyval.wire import encode_metadata, parse_expires_at, parse_expires_in
from buntime_keyval.wire.limits import MAX_TIMESTAMP_MS


class EntryOptions(NamedTuple):
    """Checked options of a write; `expires_in` wins over `expires_at`."""

    expires_in: int | None = None
    """Milliseconds from the commit on."""
    expires_at: int | None = None
    """Epoch milliseconds."""
    metadata: str | None = None
    """Canonical JSON."""

    def expiry(self, now_ms: int) -> int | None:
        """When an entry that is written now expires, in epoch milliseconds; None for never."""
        if self.expires_in is None:
            return self.expires_at
        return min(now_ms + self.expires_in, MAX_TIMESTAMP_MS)


NO_OPTIONS = EntryOptions()


def make_options(
    expires_in: object, expires_at: object, metadata: Any, now_ms: int
) -> EntryOptions:
    """The options of a Python caller. Raises `InvalidInput`."""
    if expires_in is None and expires_at is None and metadata is None:
        return NO_OPTIONS
    return EntryOptions(
        parse_expires_in(expires_in),
        parse_expires_at(expires_at),
        encode_metadata(metadata, now_ms),
    )
