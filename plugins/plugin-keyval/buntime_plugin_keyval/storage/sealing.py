"""Values as nobody can read them who has the database and not the keys.

A sealed value is a JSON text, so that the statements which put entries together know nothing of it:
a string with its first letter as an escape, which canonical texts never have. It says which key it
was sealed with and which entry it belongs to, and AES-GCM vouches for both.

Needs the extra `encryption` of the package, so nothing loads this where nothing is sealed.
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
"""The part of a versionstamp in a key that the commit may make later: see `versionstamps.py`."""
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class Sealing:
    """The keys of one store, and which entries are sealed with them."""

    def __init__(self, keys: Mapping[str, bytes], ranges: Iterable[KeyRange]) -> None:
        """The first of the keys seals, all of them open. `ranges` say what is to be sealed."""
        self._keys = {name: AESGCM(key) for name, key in keys.items()}
        self.current = next(iter(keys))
        self.ranges = merged(ranges)
        self.unreadable = self.ranges
        """Where values may be sealed, so that no filter and no index can be asked of them."""

    @property
    def names(self) -> Iterable[str]:
        """Which keys there are."""
        return self._keys.keys()

    @property
    def marks(self) -> tuple[str, str]:
        """What texts begin with that are sealed with the current key."""
        return f"{MARK}{self.current}.", f"{MARK}{self.current}~"

    def covers(self, key: bytes) -> bool:
        """Whether the value of a key is to be sealed."""
        return key in self.ranges and not is_reserved(key)

    def widen(self, ranges: Iterable[KeyRange]) -> None:
        """Values may be sealed there as well, until `narrow`."""
        self.unreadable = merged([*self.ranges, *ranges])

    def narrow(self) -> None:
        """All values are as they should be."""
        self.unreadable = self.ranges

    def is_unreadable(self, ranges: Iterable[KeyRange]) -> bool:
        """Whether values may be sealed that lie in one of the ranges."""
        return any(
            one.start < other.end and other.start < one.end
            for one in self.unreadable
            for other in ranges
        )

    def seal(self, bound: bytes, text: str, *, is_stamped: bool = False) -> str:
        """A text for one place: the entry of a key.

        `is_stamped` says that the key has the versionstamp of its commit, which may become later.
        """
        nonce = os.urandom(NONCE_BYTES)
        if is_stamped:
            bound = _STAMP_TIME.sub(b"-", bound)
        sealed = nonce + self._keys[self.current].encrypt(nonce, text.encode(), bound)
        kind = "~" if is_stamped else "."
        return f'{MARK}{self.current}{kind}{_base64(bound)}.{_base64(sealed)}"'

    def open(self, text: str, place: bytes) -> str:
        """A sealed value in the clear; any other text as it is.

        `place` is the key that it was found at. Raises `EncryptionKeyMissing`, and `ValueDamaged`
        for one that was changed, or moved there from somewhere else.
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
        """The entry of a key as JSON, with its value in the clear."""
        members = _decode_members(text)
        value = members.get("value")
        if value is None:
            return text
        members["value"] = msgspec.Raw(self.open(bytes(value).decode(), place).encode())
        return _encode(members).decode()

    def open_entries(self, text: str) -> str:
        """The same of entries as the inside of a JSON array."""
        entries = [bytes(raw).decode() for raw in _decode_entries(f"[{text}]")]
        return ",".join(
            [self.open_entry(one, _key_of(one)) if MARK in one else one for one in entries]
        )

    def name_of(self, text: str) -> str | None:
        """Which key a text was sealed with; None for one that is not."""
        found = _SEALED.fullmatch(text)
        return None if found is None else found["id"]


def _key_of(entry: str) -> bytes:
    return encode_key(check_key(msgspec.json.decode(_decode_members(entry)["key"])))


def is_marked(cell: object) -> bool:
    """Whether there may be a sealed value in what a statement gave."""
    if isinstance(cell, str):
        return MARK in cell
    return isinstance(cell, bytes) and _MARK_BYTES in cell


def merged(ranges: Iterable[KeyRange]) -> DisjointRanges:
    """Ranges of which some may lie in others."""
    kept: list[KeyRange] = []
    for one in sorted(ranges):
        if kept and one.start <= kept[-1].end:
            kept[-1] = KeyRange(kept[-1].start, max(kept[-1].end, one.end))
        else:
            kept.append(one)
    return DisjointRanges(kept)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
