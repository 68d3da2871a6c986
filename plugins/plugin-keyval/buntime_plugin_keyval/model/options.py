"""What goes with a value when it is stored: how long it lives, and its metadata."""

from __future__ import annotations

from typing import Any, NamedTuple

from buntime_keyval.wire import encode_metadata
from buntime_keyval.wire.limits import MAX_TIMESTAMP_MS
from buntime_keyval.wire.python_options import checked_expires_at, checked_expires_in

from buntime_plugin_keyval.model.clock import Moment


class EntryOptions(NamedTuple):
    """Checked options of a write; `expires_in` wins over `expires_at`."""

    expires_in: int | None = None
    """Milliseconds from the commit on."""
    expires_at: int | None = None
    """Epoch milliseconds, by the clock on the wall."""
    metadata: str | None = None
    """Canonical JSON."""

    def expiry(self, at: Moment) -> int | None:
        """When an entry that is written at this moment expires, in the store's time, or None."""
        if self.expires_in is None:
            if self.expires_at is None:
                return None
            return min(self.expires_at + at.ahead_ms, MAX_TIMESTAMP_MS)
        return min(at.now_ms + self.expires_in, MAX_TIMESTAMP_MS)


NO_OPTIONS = EntryOptions()


def make_options(
    expires_in: object, expires_at: object, metadata: Any, now_ms: int
) -> EntryOptions:
    """The options of a Python caller. Raises `InvalidInput`."""
    if expires_in is None and expires_at is None and metadata is None:
        return NO_OPTIONS
    return EntryOptions(
        checked_expires_in(expires_in),
        checked_expires_at(expires_at),
        encode_metadata(metadata, now_ms),
    )
