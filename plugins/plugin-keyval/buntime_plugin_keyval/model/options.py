"""The lifetime of an entry, from the options of its write."""

from __future__ import annotations

from buntime_keyval.wire.commits import EntryOptions
from buntime_keyval.wire.limits import MAX_TIMESTAMP_MS

from buntime_plugin_keyval.model.clock import Moment


def expiry(options: EntryOptions, at: Moment) -> int | None:
    """When an entry written at this moment expires, in the store's time; None for never."""
    if options.expires_in is None:
        if options.expires_at is None:
            return None
        return min(options.expires_at + at.ahead_ms, MAX_TIMESTAMP_MS)
    return min(at.now_ms + options.expires_in, MAX_TIMESTAMP_MS)
