"""Bookmarks: how far the client of a watch has come, as text that it sends back."""

from __future__ import annotations

import re
from typing import NamedTuple

from buntime_plugin_keyval.model.changes import Place

_PLACE = r"([0-9]{1,18})-([0-9A-Za-z-]{0,12})"
_TEXT = re.compile(rf"([0-9a-f]{{16}})-{_PLACE}(?:\+{_PLACE})?")


class Bookmark(NamedTuple):
    """A position in the change log: the client knows every change up to `place`.

    With `until`, the client is in the middle of an event that was too large, and also knows some
    later changes, none of them after that place.
    """

    place: Place
    until: Place | None = None

    @property
    def text(self) -> str:
        """The text that is sent as the id of an event."""
        log, seq, mark = self.place
        if self.until is None:
            return f"{log}-{seq}-{mark}"
        return f"{log}-{seq}-{mark}+{self.until.seq}-{self.until.mark}"


NOWHERE = Bookmark(Place("", 0, ""))
"""A place in no log, for clients that have no bookmark."""


def parse_bookmark(text: str) -> Bookmark:
    """The bookmark of a text; `NOWHERE` for any other text."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return NOWHERE
    log, seq, mark, until_seq, until_mark = found.groups()
    until = None if until_seq is None else Place(log, int(until_seq), until_mark)
    return Bookmark(Place(log, int(seq), mark), until)
