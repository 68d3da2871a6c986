"""Answers that were compressed on their way, as proxies do: gzip and deflate, piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from buntime_keyval._transport import Failure

ACCEPTED = "gzip, deflate"

_EITHER = 32 + zlib.MAX_WBITS
"""A header of gzip or of zlib, whichever is there."""
_BARE = -zlib.MAX_WBITS
"""No header: what some servers call deflate."""


class Inflater:
    """Takes the content of one answer in order."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_EITHER)
        self._begun = False

    def take(self, data: bytes, most: int) -> bytes:
        """Decompress a piece. Raises `Failure` if it is damaged, or becomes larger than `most`."""
        made = []
        while data:
            if self._inflate.eof:  # one more after the first, as `cat` makes of two files
                self._inflate = zlib.decompressobj(_EITHER)
            piece = self._decompressed(data, most)
            self._begun = True
            most -= len(piece)
            made.append(piece)
            if most < 0:
                raise Failure("what was compressed is longer than any answer")
            data = self._inflate.unused_data
        return b"".join(made)

    def end(self) -> None:
        """No more comes. Raises `Failure` if there should."""
        if self._begun and not self._inflate.eof:
            raise Failure("what was compressed is cut off")

    def _decompressed(self, data: bytes, most: int) -> bytes:
        try:
            return self._inflate.decompress(data, most + 1)
        except zlib.error as error:
            if self._begun:
                raise Failure(f"what was compressed is damaged: {error}") from error
        self._inflate = zlib.decompressobj(_BARE)
        try:
            return self._inflate.decompress(data, most + 1)
        except zlib.error as error:
            raise Failure(f"what was compressed is damaged: {error}") from error


def inflaters(content_encoding: str) -> Sequence[Inflater]:
    """The decompressors of a content, in their order; none if an encoding is unknown."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name and name != "identity"]
    if not all(name in ("gzip", "x-gzip", "deflate") for name in names):
        return ()
    return [Inflater() for _ in names]
