"""What a search gives back, page by page."""

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
"""How many entries were ranked; when this one expires; its key as JSON; its value, None for a long
one; its versionstamp."""


class FoundPage(NamedTuple):
    """What was found, up to the limit."""

    entries: Text
    """The inside of a JSON array."""
    has_more: bool
    warnings: tuple[str, ...] = ()
    """What the index could not look for."""
    searched_for: str | None = None
    """The query that was answered, where it is not the one that was asked."""
    explained: SearchExplained | None = None
    """How it was found, where that was asked for."""
    limit: int | None = None
    """The limit that was answered, where the one that was asked for is too large an answer."""


def make_search_cursor(options: SearchOptions) -> str:
    """The cursor of the page behind the one with these options."""
    return base64.urlsafe_b64encode(b"search:%d" % (options.offset + options.limit)).decode()


def parse_search_cursor(cursor: str | None) -> int:
    """How many hits a cursor skips. Raises `InvalidInput`."""
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
    """The page that `SearchSql.small` read, or None where it takes more than that.

    That is so if more than `FEW` match, for an expired entry, which took the place of another, and
    for a long value.
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
