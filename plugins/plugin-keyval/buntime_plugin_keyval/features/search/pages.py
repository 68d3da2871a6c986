"""Pages of search results."""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from buntime_keyval import SearchExplained
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.storage.entry_json import entry_json
from buntime_plugin_keyval.storage.searching import EVERYTHING, FEW, SearchOptions
from buntime_plugin_keyval.storage.within import Text

_OFFSET = re.compile(rb"[0-9]{1,9}")

SmallHit = tuple[int, int | None, str, str | None, str]
"""The number of entries that were ranked; when this one expires; its key as JSON; its value, None
if it is long; its versionstamp."""


class FoundPage(NamedTuple):
    """The entries that were found, up to the limit."""

    entries: Text
    """The inside of a JSON array."""
    has_more: bool
    warnings: tuple[str, ...] = ()
    """Parts of the query that the index could not look for."""
    searched_for: str | None = None
    """The query that was answered, if it is not the one that was given."""
    explained: SearchExplained | None = None
    """How the entries were found, if that was asked for."""
    limit: int | None = None
    """The limit that was applied, if the answer would be too large with the one given."""


def make_search_cursor(options: SearchOptions) -> str:
    """The cursor of the page after the one with these options."""
    return base64.urlsafe_b64encode(b"search:%d" % (options.offset + options.limit)).decode()


def parse_search_cursor(cursor: str | None) -> int:
    """The number of hits that a cursor skips. Raises `InvalidInput`."""
    if not cursor:
        return 0
    try:
        name, _, number = base64.urlsafe_b64decode(cursor).partition(b":")
    except (binascii.Error, ValueError):
        name, number = b"", b""
    if name != b"search" or not _OFFSET.fullmatch(number):
        raise InvalidInput("Invalid cursor")
    return int(number)


def small_page(rows: list[SmallHit], options: SearchOptions, now_ms: int) -> FoundPage | None:
    """The page that `SearchSql.small` has read, or None if that is not enough.

    It is not if more than `FEW` match, if an expired entry took the place of another one, or if a
    value is long.
    """
    if not rows:
        # Nothing matches, unless what was ranked is not what was asked for.
        is_all = not options.is_narrowed and not options.offset
        return FoundPage("", has_more=False) if is_all else None
    if rows[0][0] > FEW or any(row[1] is not None and row[1] <= now_ms for row in rows):
        return None
    page = rows if options.limit == EVERYTHING else rows[: options.limit]
    entries = []
    for _, _, key, value, versionstamp in page:
        if value is None:
            return None
        entries.append(entry_json(key, value, versionstamp))
    return FoundPage(",".join(entries), len(page) < len(rows))
