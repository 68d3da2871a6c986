"""Bodies that name keys as most clients write them, read in one step.

Those have nothing but plain keys. A body that is accepted here means the same as when it is read in
full; all others are left to that, and so are all errors.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import (
    MAX_KEY_PART_LENGTH,
    MAX_KEY_PARTS,
    MAX_KEYS_PER_BATCH,
    MAX_SAFE_INTEGER,
)

# The length of a text is that in UTF-16 code units; a character has at most two.
_Text = Annotated[str, msgspec.Meta(max_length=MAX_KEY_PART_LENGTH // 2)]
PlainInteger = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]
"""A number that is stored as it is."""
PlainKey = Annotated[
    tuple[_Text | PlainInteger, ...], msgspec.Meta(min_length=1, max_length=MAX_KEY_PARTS)
]
"""A key of short texts and such numbers."""


class _Keys(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    keys: Annotated[list[PlainKey], msgspec.Meta(min_length=1, max_length=MAX_KEYS_PER_BATCH)]


_read_keys = msgspec.json.Decoder(_Keys).decode


def plain_keys(content: bytes) -> list[Key] | None:
    """The keys of a body with no other members; None for one that is to be read in full."""
    # The only member is given once: neither does its name come again, nor another spelling of it.
    if b"\\" in content or content.count(b'"keys"') != 1:
        return None
    try:
        return _read_keys(content).keys  # type: ignore[return-value] # no part is of another type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
