"""Sealed values, which cannot be read from the database without the keys.

A sealed value is JSON text, so that statements which build entries need not know of it: a string
whose first letter is an escape, which canonical texts never have. It names the key that it was
sealed with and is bound to its entry; AES-GCM authenticates both.

Needs the extra `encryption` of the package, so it is not imported unless values are sealed.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping

import msgspec
from buntime_keyval.wire import check_key, encode_key
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from buntime_plugin_keyval.model.errors import EncryptionKeyMissing, ValueDamaged
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange
from buntime_plugin_keyval.storage.reserved import is_reserved

NONCE_BYTES = 12

MARK = '"\\u0041'
_MARK_BYTES = MARK.encode()
_SEALED = re.compile(
    r'"\\u0041(?P<id>[A-Za-z0-9_-]{1,32})(?P<kind>[.~])(?P<bound>[A-Za-z0-9+/=]*)\.'
    r'(?P<sealed>[A-Za-z0-9+/=]+)"'
)
_STAMP_TIME = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-")
"""The part of a versionstamp in a key that the commit may change: see `versionstamps.py`."""
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Sealing:
    """The encryption keys of one store, and the ranges of entries whose values are sealed."""

    def __init__(self, keys: Mapping[str, bytes], ranges: Iterable[KeyRange]) -> None:
        """The first of the keys seals, all of them open. Values in `ranges` are to be sealed."""
        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self.current = next(iter(keys))
        self.ranges = merged(ranges)
        self.unreadable = self.ranges
        """Ranges where values may be sealed, so that filters and indexes cannot use them."""

    @property
    def names(self) -> Iterable[str]:
        return self._keys.keys()

    @property
    def marks(self) -> tuple[str, str]:
        """The beginnings of texts that are sealed with the current key."""
        return f"{MARK}{self.current}.", f"{MARK}{self.current}~"

    def covers(self, key: bytes) -> bool:
        """Whether the value of a key is sealed when it is written."""
        return key in self.ranges and not is_reserved(key)

    def widen(self, ranges: Iterable[KeyRange]) -> None:
        """Note that values may be sealed in these ranges as well, until `narrow`."""
        self.unreadable = merged([*self.ranges, *ranges])

    def narrow(self) -> None:
        """Note that all values are as the options say."""
        self.unreadable = self.ranges

    def is_unreadable(self, ranges: Iterable[KeyRange]) -> bool:
        """Whether values in one of the ranges may be sealed."""
        return any(
            one.start < other.end and other.start < one.end
            for one in self.unreadable
            for other in ranges
        )

    def seal(self, bound: bytes, text: str, *, is_stamped: bool = False) -> str:
        """Seal a text, bound to the entry of a key.

        `is_stamped` tells that the key has the versionstamp of its commit, which may still change.
        """
        nonce = os.urandom(NONCE_BYTES)
        if is_stamped:
            bound = _STAMP_TIME.sub(b"-", bound)
        sealed = nonce + self._keys[self.current].encrypt(nonce, text.encode(), bound)
        kind = "~" if is_stamped else "."
        return f'{MARK}{self.current}{kind}{_base64(bound)}.{_base64(sealed)}"'

    def open(self, text: str, place: bytes) -> str:
        """Open a sealed value; any other text is returned as it is.

        `place` is the key of its entry. Raises `EncryptionKeyMissing`, and `ValueDamaged` for a
        value that was changed, or moved from another entry.
        """
        found = _SEALED.fullmatch(text)
        if found is None:
            return text
        key = self._keys.get(found["id"])
        if key is None:
            raise EncryptionKeyMissing(found["id"])
        bound, sealed = b64decode(found["bound"]), b64decode(found["sealed"])
        if bound != (_STAMP_TIME.sub(b"-", place) if found["kind"] == "~" else place):
            raise ValueDamaged("an encrypted value is not of the entry that it stands in")
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound).decode()
        except InvalidTag as error:
            raise ValueDamaged(
                f"an encrypted value was changed, or the key {found['id']!r} is not that one"
            ) from error

    def open_entry(self, text: str, place: bytes) -> str:
        """The entry of a key as JSON, with its value opened."""
        members = _decode_members(text)
        value = members.get("value")
        if value is None:
            return text
        members["value"] = msgspec.Raw(self.open(bytes(value).decode(), place).encode())
        return _encode(members).decode()

    def open_entries(self, text: str) -> str:
        """The same for entries as the inside of a JSON array."""
        entries = [bytes(raw).decode() for raw in _decode_entries(f"[{text}]")]
        return ",".join(
            [self.open_entry(one, _key_of(one)) if MARK in one else one for one in entries]
        )

    def name_of(self, text: str) -> str | None:
        """The name of the key that a text was sealed with; None if it is not sealed."""
        found = _SEALED.fullmatch(text)
        return None if found is None else found["id"]


def _key_of(entry: str) -> bytes:
    return encode_key(check_key(msgspec.json.decode(_decode_members(entry)["key"])))


def is_marked(cell: object) -> bool:
    """Whether a value of a row may contain a sealed value."""
    if isinstance(cell, str):
        return MARK in cell
    return isinstance(cell, bytes) and _MARK_BYTES in cell


def merged(ranges: Iterable[KeyRange]) -> DisjointRanges:
    """Disjoint ranges from ranges that may overlap."""
    kept: list[KeyRange] = []
    for one in sorted(ranges):
        if kept and one.start <= kept[-1].end:
            kept[-1] = KeyRange(kept[-1].start, max(kept[-1].end, one.end))
        else:
            kept.append(one)
    return DisjointRanges(kept)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
