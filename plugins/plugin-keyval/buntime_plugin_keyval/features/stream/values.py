"""The values that the change log keeps."""

from __future__ import annotations

from buntime_plugin_keyval.config import ChangesConfig
from buntime_plugin_keyval.storage.prefixes import ranges_of
from buntime_plugin_keyval.storage.ranges import DisjointRanges, descendants, joined
from buntime_plugin_keyval.storage.reserved import RESERVED


def logged_ranges(config: ChangesConfig) -> DisjointRanges | None:
    """The ranges of keys whose values are kept in the log, never those of the store itself.

    None if there are none. Raises `OptionError`.
    """
    values = config.values
    if isinstance(values, bool):
        ranges = [descendants(b"")] if values else []
    else:
        ranges = ranges_of("changes.values", values)
    parts = [
        part
        for keys in ranges
        for part in (keys.before(RESERVED.start), keys.from_key(RESERVED.end))
    ]
    found = joined(parts)
    return DisjointRanges(found) if found else None
