"""Conditions of a request on the entry of its key, from HTTP headers and parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from buntime_keyval.wire import InvalidInput

ANY = "*"
"""In place of tags: any entry."""

# A list of entity tags; quotes and blanks are not allowed within the quotes.
_TAG = re.compile(r'[ \t]*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*')

Tags = frozenset[str]


class Conditions(NamedTuple):
    """The conditions; None for those that are not given."""

    match: Tags | None = None
    """The entry must exist with one of these versionstamps, or with any."""
    none_match: Tags | None = None
    """The entry must not exist with one of these versionstamps, or at all."""
    revision: int | None = None
    """The entry must have this revision; 0 means that it must be missing."""

    def hold(self, versionstamp: str | None, revision: int) -> bool:
        """Whether all conditions hold; the versionstamp of a missing entry is None."""
        if self.match is not None and not matches(self.match, versionstamp):
            return False
        if self.none_match is not None and matches(self.none_match, versionstamp):
            return False
        if self.revision is None:
            return True
        return self.revision == (0 if versionstamp is None else revision)


def matches(tags: Tags, versionstamp: str | None) -> bool:
    """Whether the entry exists and its versionstamp is among the tags."""
    return versionstamp is not None and (versionstamp in tags or ANY in tags)


def parse_tags(name: str, values: Sequence[bytes]) -> Tags | None:
    """The tags of all headers with a name; None if there is no such header.

    Weak tags count like strong ones, since a versionstamp identifies the exact value. Raises
    `InvalidInput`.
    """
    if not values:
        return None
    text = b",".join(values).decode("latin-1")
    if text.strip(" \t") == ANY:
        return frozenset((ANY,))
    tags: list[str] = []
    place = 0
    while True:
        tag = _TAG.match(text, place)
        if tag is None:
            raise InvalidInput(
                f"{name} must be *, or versionstamps in quotes with commas between them, received"
                f" {text[:60]}"
            )
        tags.append(tag[1])
        place = tag.end()
        if place == len(text):
            return frozenset(tags)
        if text[place] != ",":
            raise InvalidInput(f"{name} must have a comma after each tag, received {text[:60]}")
        place += 1
