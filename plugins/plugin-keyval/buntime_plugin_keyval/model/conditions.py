"""Conditions of a request on the entry of its key, as HTTP and parameters say them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from buntime_keyval.wire import InvalidInput

ANY = "*"
"""In the place of tags: any entry."""

# A list of entity tags; what is in the quotes is anything but quotes and blanks.
_TAG = re.compile(r'[ \t]*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*')

Tags = frozenset[str]


class Conditions(NamedTuple):
    """What has to be so; None where nothing is said."""

    match: Tags | None = None
    """The entry is there with one of these versionstamps, or with any."""
    none_match: Tags | None = None
    """It is not."""
    revision: int | None = None
    """It has this revision; 0 means that it is missing."""

    def hold(self, versionstamp: str | None, revision: int) -> bool:
        """Whether all of it is so; without an entry the versionstamp is None."""
        if self.match is not None and not matches(self.match, versionstamp):
            return False
        if self.none_match is not None and matches(self.none_match, versionstamp):
            return False
        if self.revision is None:
            return True
        return self.revision == (0 if versionstamp is None else revision)


def matches(tags: Tags, versionstamp: str | None) -> bool:
    """Whether there is an entry, and tags have its versionstamp."""
    return versionstamp is not None and (versionstamp in tags or ANY in tags)


def parse_tags(name: str, values: Sequence[bytes]) -> Tags | None:
    """The tags of all headers of a name; None if there is no such header.

    Weak tags are as good: a versionstamp stands for the value to the byte. Raises `InvalidInput`.
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
            raise InvalidInput(f"{name} must have a comma behind each tag, received {text[:60]}")
        place += 1
