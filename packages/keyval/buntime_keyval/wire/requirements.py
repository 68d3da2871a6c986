"""What has to be so of an entry that is written, as Python code says it."""

from __future__ import annotations

from typing import NamedTuple

from buntime_keyval.wire.errors import InvalidInput


class EntryRequirement(NamedTuple):
    """What has to be so; one of the two is given."""

    versionstamp: str | None
    """Of the entry as it has to be."""
    revision: int | None
    """Of the entry as it has to be; 0 for a key that is missing."""

    @property
    def is_missing(self) -> bool:
        """Whether the key has to be missing."""
        return self.revision == 0

    def members(self) -> dict[str, str | int | None]:
        """As members of a query or a body."""
        return {"ifVersion": self.versionstamp, "ifRevision": self.revision}


def requirement(
    if_match: object, if_revision: object, *, create_only: object = False
) -> EntryRequirement | None:
    """What a call asks for; None for nothing. Raises `InvalidInput`."""
    if if_match is None and if_revision is None and create_only is False:
        return None
    if not isinstance(create_only, bool):
        raise InvalidInput(f"create_only must be True or False, received {create_only!r:.50}")
    if (if_match is not None) + (if_revision is not None) + create_only > 1:
        raise InvalidInput("give only one of create_only, if_match and if_revision")
    if if_match is not None:
        if not isinstance(if_match, str) or not if_match:
            raise InvalidInput(f"if_match must be a versionstamp, received {if_match!r:.50}")
        return EntryRequirement(if_match, None)
    if create_only:
        return EntryRequirement(None, 0)
    if not isinstance(if_revision, int) or isinstance(if_revision, bool) or if_revision < 0:
        raise InvalidInput(
            f"if_revision must be a whole number, 0 for a key that is missing, received"
            f" {if_revision!r:.50}"
        )
    return EntryRequirement(None, if_revision)
