"""Large JSON answers in smaller ones."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
import zstandard
from buntime_host import Answer, read_options
from buntime_plugin_gateway.compression import Compression
from buntime_plugin_gateway.config import GatewayConfig
from gateway.conftest import request_of

LARGE = '{"text": "' + "abc " * 10_000 + '"}'


def compression(**options: Any) -> Compression:
    config = read_options(GatewayConfig, {"compression": options}).compression
    assert config is not None
    return Compression(config)


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        (None, ""),
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("GZIP ; q=0.1", "gzip"),
        ("gzip;q=0", ""),
        ("*", "zstd"),
        ("*;q=0, gzip", "gzip"),
        ("zstd;q=0, *", "gzip"),
        ("br", ""),
        ("gzip;q=x", ""),
        ("identity", ""),
        ("", ""),
    ],
)
def test_the_encoding_is_one_that_the_client_takes(accepted: str | None, encoding: str) -> None:
    headers = [] if accepted is None else [("accept-encoding", accepted)]
    for _ in range(2):
        assert compression().accepted(request_of("/", *headers)) == encoding
    assert compression().accepted(request_of("/", *headers, method="HEAD")) == ""


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        (Answer(200, LARGE), True),
        (Answer(200, LARGE, "application/json; charset=utf-8"), True),
        (Answer(200, LARGE, "application/problem+json"), True),
        (Answer(200, "{}"), False),
        (Answer(200, LARGE, "text/html"), False),
        (Answer(200, LARGE, "application/octet-stream"), False),
        (Answer(500, LARGE), False),
        (Answer(200, LARGE, headers=((b"content-encoding", b"gzip"),)), False),
        (Answer(200, LARGE, headers=((b"set-cookie", b"a=b"),)), False),
    ],
)
def test_what_gets_smaller(answer: Answer, fits: bool) -> None:
    assert compression().is_for(answer) is fits


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_the_same_in_fewer_bytes(encoding: str) -> None:
    answer = Answer(200, LARGE, tag="abc")
    small = await compression().compressed(answer, encoding)
    body = small.content()
    plain = gzip.decompress(body) if encoding == "gzip" else zstandard.decompress(body)
    assert plain == LARGE.encode()
    assert len(body) < len(LARGE) / 10
    headers = dict(small.all_headers(len(body)))
    assert headers[b"content-encoding"] == encoding.encode()
    assert headers[b"vary"] == b"accept-encoding"
    assert headers[b"etag"] == b'W/"abc"'
    assert headers[b"content-length"] == b"%d" % len(body)


def test_caches_are_told_where_nothing_got_smaller() -> None:
    plain = compression().plain(Answer(200, LARGE, tag="abc"))
    assert plain.content() == LARGE.encode()
    assert (b"vary", b"accept-encoding") in plain.all_headers(1)


def test_gzip_is_there_without_the_library_of_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    only = compression()
    assert only.encodings == ["gzip"]
    assert only.accepted(request_of("/", ("accept-encoding", "zstd, gzip;q=0.1"))) == "gzip"
