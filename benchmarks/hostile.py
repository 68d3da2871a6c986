"""What strangers send in the group `stall`: a plain table of names and bytes.

Each row opens some connections and sends on all of them what its function gives, piece by piece,
for as long as the server takes it and the row is measured. Most never read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from client import Request

MIB = 1024 * 1024
PIECE = b"a" * 65536


class Hostile(NamedTuple):
    """One thing to send."""

    name: str
    title: str
    send: Callable[[str], Iterable[bytes]]
    """The pieces that one connection sends, given the host and port of the server."""
    connections: int = 1
    reads: bool = False
    """Whether it reads what is answered."""
    again: bool = False
    """Whether a connection that the server closed is opened anew."""
    prepare: Sequence[Request] = ()
    """What has to be in the store before."""
    stays: float | None = None
    """Seconds after which a connection is closed by who opened it."""
    most_ms: float = 50
    """What another client may have to wait."""
    most_write_ms: float | None = None
    """The same for its writes, where these may have to wait for longer."""


def start(method: str, path: str, netloc: str, *headers: str) -> bytes:
    """The head of a request, without its end."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {netloc}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode()


def whole(method: str, path: str, netloc: str, body: bytes = b"", *headers: str) -> bytes:
    """A request."""
    length = f"content-length: {len(body)}"
    return start(method, path, netloc, length, *headers) + b"\r\n" + body


def pieces(count: int) -> Iterator[bytes]:
    """So many times the same."""
    return itertools.repeat(PIECE, count)


def _one_header(mib: int) -> Callable[[str], Iterable[bytes]]:
    def send(netloc: str) -> Iterator[bytes]:
        yield start("GET", "/health", netloc) + b"x-long: "
        yield from pieces(mib * 16)
        yield b"\r\n\r\n"

    return send


def _endless_url(_: str) -> Iterator[bytes]:
    yield b"GET /"
    yield from itertools.repeat(PIECE)


def _many_headers(netloc: str) -> Iterator[bytes]:
    yield start("GET", "/health", netloc)
    for first in range(0, 400_000, 4_000):
        yield b"".join(b"x-%d: a\r\n" % number for number in range(first, first + 4_000))
    yield b"\r\n"


def _chunked(netloc: str) -> bytes:
    return start("PUT", "/keyval/api/keys/stall/a", netloc, "transfer-encoding: chunked") + b"\r\n"


def _endless_trailers(netloc: str) -> Iterator[bytes]:
    yield _chunked(netloc) + b"1\r\n1\r\n0\r\n"
    yield from itertools.repeat(b"x-trailer: a\r\n" * 4_000)


def _one_trailer(netloc: str) -> Iterator[bytes]:
    yield _chunked(netloc) + b"1\r\n1\r\n0\r\nx-trailer: "
    yield from itertools.repeat(PIECE)


def _endless_extension(netloc: str) -> Iterator[bytes]:
    yield _chunked(netloc) + b"1;"
    yield from itertools.repeat(PIECE)


def _tiny_chunks(netloc: str) -> Iterator[bytes]:
    yield _chunked(netloc)
    yield from itertools.repeat(b"1\r\n1\r\n" * 10_000)


def _half_sent(netloc: str) -> Iterator[bytes]:
    yield start("GET", "/health", netloc)


def _nothing(_: str) -> Iterator[bytes]:
    return iter(())


def _upgrade_with_body(netloc: str) -> Iterator[bytes]:
    headers = ("connection: upgrade", "upgrade: websocket", "content-length: 1000000")
    yield start("GET", "/health", netloc, *headers) + b"\r\n" + b"a" * 1000


def _unfinished_upload(netloc: str) -> Iterator[bytes]:
    length = f"content-length: {10 * MIB}"
    yield start("PUT", "/keyval/api/keys/stall/upload", netloc, length) + b"\r\n" + b'"'
    yield from pieces(156)


def _unread(netloc: str) -> Iterator[bytes]:
    yield whole("GET", "/keyval/api/keys/stall/large", netloc)


def _pipelined(netloc: str) -> Iterator[bytes]:
    return itertools.repeat(whole("GET", "/health", netloc) * 1_000)


def _malformed(_: str) -> Iterator[bytes]:
    yield b"NONSENSE / HTTP/1.1\r\n\r\n"


LARGE = Request("PUT", "/keys/stall/large", '"' + "v" * (9 * MIB + 900_000) + '"')

ROWS = (
    Hostile("header-40", "one header of 40 MB", _one_header(40)),
    Hostile("header-200", "one header of 200 MB", _one_header(200)),
    Hostile("url", "an endless URL", _endless_url),
    Hostile("headers", "400,000 headers", _many_headers),
    Hostile("trailers", "endless trailers", _endless_trailers),
    Hostile("trailer", "one endless trailer", _one_trailer),
    Hostile("extension", "an endless chunk extension", _endless_extension),
    Hostile("tiny-chunks", "a body in chunks of one byte, 8 times", _tiny_chunks, 8),
    Hostile("half-sent", "2,000 half-sent requests", _half_sent, 2_000),
    Hostile("idle", "10,000 connections that send nothing", _nothing, 10_000),
    Hostile("upgrade", "a websocket handshake with a body, 100 times", _upgrade_with_body, 100),
    Hostile("uploads", "150 uploads that stop at 9.8 MB", _unfinished_upload, 150),
    Hostile("unread", "100 that GET 9.9 MB and never read", _unread, 100, prepare=(LARGE,)),
    Hostile("pipeline", "4 that pipeline without an end", _pipelined, 4, reads=True),
    Hostile("pipeline-unread", "100 that pipeline and never read", _pipelined, 100),
    Hostile("malformed", "what is not HTTP, again and again", _malformed, 4, True, again=True),
)
