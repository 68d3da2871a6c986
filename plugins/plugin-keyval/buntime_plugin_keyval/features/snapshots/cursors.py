"""The cursor of a snapshot: where its next page begins, and which state it shows."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import msgspec
from buntime_keyval.wire import InvalidInput, decode_key

from buntime_plugin_keyval.engine.cursors import decode_cursor
from buntime_plugin_keyval.model.changes import Place

_MARK = b"\x00"
"""Marks the cursor of a snapshot: no encoded key begins with this byte, so no plain cursor does."""


class Cursor(NamedTuple):
    """The page after a key, of the store as it was after a change in its log."""

    key: bytes
    place: Place
    now_ms: int
    """When the snapshot was taken: nothing expires in it."""
    worker: int
    """The worker that may hold the snapshot."""
    id: str
    """The id under which it is held; empty if it never was."""

    @property
    def text(self) -> str:
        content = (self.key.hex(), *self.place, self.now_ms, self.worker, self.id)
        return base64.b64encode(_MARK + msgspec.json.encode(content)).decode("ascii")


_decode = msgspec.json.Decoder(tuple[str, str, int, str, int, int, str]).decode


def parse_cursor(text: str) -> Cursor | None:
    """The cursor of a text; None for a plain cursor. Raises `InvalidInput`."""
    content = decode_cursor(text)
    if not content.startswith(_MARK):
        return None
    try:
        key, log, seq, mark, now_ms, worker, id_ = _decode(content[len(_MARK) :])
        code = bytes.fromhex(key)
        decode_key(code)
    except (msgspec.MsgspecError, ValueError, binascii.Error):
        raise InvalidInput("Invalid cursor") from None
    if not (0 <= seq < 2**63 and 0 <= now_ms < 2**63):
        raise InvalidInput("Invalid cursor")
    return Cursor(code, Place(log, seq, mark), now_ms, worker, id_)
