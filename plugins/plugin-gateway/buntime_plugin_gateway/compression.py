"""Compression of large JSON answers, in an encoding that the client accepts."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from buntime_host import Answer, DirectRequest

from buntime_plugin_gateway.config import CompressionConfig

GZIP, ZSTD = "gzip", "zstd"
_GZIP_WINDOW = 31
_MOST_ENCODINGS = 1_000
_VARY = b"vary: accept-encoding\r\n"

Encoder = Callable[[bytes], bytes]


class Compression:
    """Compresses answers in a thread; never streams."""

    def __init__(self, config: CompressionConfig) -> None:
        self.min_size = int(config.min_size)
        self._encoders: dict[str, Encoder] = {}
        """Encoders by name, the best one first."""
        zstd = _zstd(config.zstd_level)
        if zstd is not None:
            self._encoders[ZSTD] = zstd
        self._encoders[GZIP] = _gzip(config.gzip_level)
        self._accepted: dict[bytes, str] = {}

    @property
    def encodings(self) -> list[str]:
        """The names of the encodings, the best one first."""
        return [*self._encoders]

    def is_for(self, answer: Answer) -> bool:
        """Whether an answer can be compressed."""
        return (
            len(answer.body) >= self.min_size
            and answer.status == 200
            and answer.content_type.partition(";")[0].rstrip().endswith(("/json", "+json"))
            and not any(name in _FORBIDDING for name, _ in answer.headers)
        )

    def accepted(self, request: DirectRequest) -> str:
        """The encoding for a client by its `Accept-Encoding`; empty for none."""
        if request.method == "HEAD":
            return ""
        said = b",".join(value for name, value in request.headers if name == b"accept-encoding")
        known = self._accepted.get(said)
        if known is None:
            if len(self._accepted) >= _MOST_ENCODINGS:
                self._accepted.clear()
            known = self._accepted[said] = self._best(said.decode("latin-1"))
        return known

    async def compressed(self, answer: Answer, encoding: str) -> Answer:
        """The answer in an encoding. Its entity tag becomes weak, since the bytes differ."""
        body = await asyncio.to_thread(self._encoders[encoding], answer.content())
        headers = [*answer.headers, (b"content-encoding", encoding.encode())]
        if answer.tag:
            headers.append((b"etag", b'W/"%b"' % answer.tag.encode("latin-1")))
        return msgspec.structs.replace(
            answer, body=body, headers=tuple(headers), tag="", lines=answer.lines + _VARY
        )

    def plain(self, answer: Answer) -> Answer:
        """The answer for a client without an encoding, marked as varying by it."""
        return msgspec.structs.replace(answer, lines=answer.lines + _VARY)

    def _best(self, said: str) -> str:
        accepted = dict(map(_weighed, said.split(",")))
        names = [*self._encoders]
        weights = {name: accepted.get(name, accepted.get("*", 0.0)) for name in names}
        best = max(names, key=lambda name: (weights[name], -names.index(name)))
        return best if weights[best] > 0 else ""


class _Weighed(NamedTuple):
    name: str
    weight: float


_FORBIDDING = frozenset({b"content-encoding", b"content-range", b"etag", b"set-cookie"})
"""Headers of answers that are not compressed: those that have an encoding already, are a part, have
an entity tag of their plugin, or have a secret next to text that others may choose."""


def _weighed(part: str) -> _Weighed:
    name, _, parameter = part.strip().lower().partition(";")
    key, _, value = parameter.strip().partition("=")
    try:
        weight = float(value) if key.strip() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return _Weighed(name.strip(), weight)


def _gzip(level: int) -> Encoder:
    def encode(data: bytes) -> bytes:
        encoder = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)
        return encoder.compress(data) + encoder.flush()

    return encode


def _zstd(level: int) -> Encoder | None:
    """The encoder, or None if the library, which is an extra, is not installed."""
    try:
        import zstandard
    except ImportError:
        return None

    def encode(data: bytes) -> bytes:
        return zstandard.ZstdCompressor(level=level).compress(data)

    return encode
