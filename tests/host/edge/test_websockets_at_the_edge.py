"""Handshakes that are wrong, frames that are none, and clients that hold what they should not."""

from __future__ import annotations

import os
import select
import struct
from typing import TYPE_CHECKING

import pytest
from host.conftest import wait_for
from host.edge.conftest import request

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.edge.conftest import Edge, Line

MIB = 1024 * 1024
KEY = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "sec-websocket-version: 13"
UPGRADE = ("connection: Upgrade", "upgrade: websocket")
TEXT, BINARY, CLOSE = 1, 2, 8
INVALID_DATA, TRY_AGAIN_LATER = 1007, 1013


def handshake(path: str = "/edge/echo", *more: str) -> bytes:
    return request("GET", path, *UPGRADE, KEY, VERSION, *more)


def frame(data: bytes, kind: int = TEXT, *, last: bool = True, size: int | None = None) -> bytes:
    """A frame of a client, which may say that it is longer than what is sent."""
    mask = os.urandom(4)
    length = struct.pack("!BBQ", kind | (0x80 if last else 0), 0xFF, size or len(data))
    return length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def opened(edge: Edge, path: str = "/edge/echo", *, small: bool = False) -> Line:
    line = edge.line(handshake(path), small=small)
    assert line.answer(bodiless=True).status == 101
    return line


def received(line: Line) -> tuple[int, bytes]:
    """Kind and content of the next frame of the server."""
    first, size = line.exactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", line.exactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", line.exactly(8))
    return first & 0x0F, line.exactly(size)


def closed_with(line: Line) -> int:
    kind, content = received(line)
    assert kind == CLOSE
    code: int = struct.unpack("!H", content[:2])[0]
    return code


WRONG = {
    "no key": ([*UPGRADE, VERSION], 400, "BAD_REQUEST"),
    "two keys": ([*UPGRADE, VERSION, KEY, KEY], 400, "BAD_REQUEST"),
    "short key": ([*UPGRADE, VERSION, "sec-websocket-key: YQ=="], 400, "BAD_REQUEST"),
    "no base64": ([*UPGRADE, VERSION, "sec-websocket-key: !"], 400, "BAD_REQUEST"),
    "no version": ([*UPGRADE, KEY], 426, "UPGRADE_REQUIRED"),
    "old version": ([*UPGRADE, KEY, "sec-websocket-version: 8"], 426, "UPGRADE_REQUIRED"),
    "a body": ([*UPGRADE, KEY, VERSION, "content-length: 1000000"], 400, "BAD_REQUEST"),
    "chunks": ([*UPGRADE, KEY, VERSION, "transfer-encoding: chunked"], 400, "BAD_REQUEST"),
    "extension": (
        [*UPGRADE, KEY, VERSION, "sec-websocket-extensions: ;;"],
        400,
        "BAD_REQUEST",
    ),
    "protocol": ([*UPGRADE, KEY, VERSION, "sec-websocket-protocol: ,;"], 400, "BAD_REQUEST"),
}


@pytest.mark.parametrize(("headers", "status", "code"), WRONG.values(), ids=WRONG)
def test_a_wrong_handshake(edge: Edge, headers: list[str], status: int, code: str) -> None:
    before = edge.metrics()["handshake"]
    answer = edge.answer(request("GET", "/edge/echo", *headers))
    assert (answer.status, answer.code) == (status, code)
    assert edge.metrics()["handshake"] == before + 1


def test_another_method(edge: Edge) -> None:
    answer = edge.answer(request("PUT", "/edge/echo", *UPGRADE, KEY, VERSION))
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_a_handshake_waits_its_turn(edge: Edge) -> None:
    line = edge.line(request("GET", "/edge/slow") + handshake())
    assert line.answer().body == b"slow"
    assert line.answer().code == "BAD_REQUEST"


def test_half_a_handshake(hasty: Edge) -> None:
    assert hasty.line(handshake()[:-2]).answer().code == "REQUEST_TIMEOUT"


def test_a_path_that_nobody_serves(edge: Edge) -> None:
    answer = edge.answer(handshake("/nowhere"))
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_frames_that_come_with_the_handshake(edge: Edge) -> None:
    line = edge.line(handshake() + frame(b"at once"))
    assert line.answer(bodiless=True).status == 101
    assert received(line) == (TEXT, b"at once")


@pytest.mark.parametrize("split", [False, True])
def test_text_that_is_none(edge: Edge, split: bool) -> None:
    before = edge.metrics()["malformed"]
    line = opened(edge)
    if split:
        line.send(frame(b"a", last=False) + frame(b"\xff", 0))
    else:
        line.send(frame(b"\xff\xfe"))
    assert closed_with(line) == INVALID_DATA
    assert line.rest() == b""
    assert edge.metrics()["malformed"] == before + 1


def test_a_character_in_two_frames(edge: Edge) -> None:
    line = opened(edge)
    line.send(frame(b"\xc3", last=False) + frame(b"\xa4", 0))
    assert received(line) == (TEXT, b"\xc3\xa4")


@pytest.mark.parametrize(
    "sent",
    [b"\xff\xff\xff\xff", frame(b"a", 3), b"\x81\x01a", frame(b"a", 0), frame(b"", size=1 << 40)],
    ids=["noise", "unknown kind", "not masked", "the end of nothing", "far too long"],
)
def test_what_is_no_frame(edge: Edge, sent: bytes) -> None:
    line = opened(edge)
    line.send(sent)
    assert closed_with(line) in (1002, 1009)
    assert line.rest() == b""


def test_messages_that_do_not_end_share_the_room_of_bodies(edge: Edge) -> None:
    first, second = opened(edge), opened(edge)
    first.send(frame(b"a" * (3 * MIB), BINARY, size=4 * MIB))
    wait_for(lambda: edge.metrics()["buntime_upload_bytes"] >= 3 * MIB, "the first message")
    second.send(frame(b"a" * (2 * MIB), BINARY, size=3 * MIB))
    # The one that asks for more is closed, unless the other has not moved for 2 seconds by now.
    readable, _, _ = select.select([first.socket, second.socket], [], [], 15)
    if second.socket in readable:
        assert closed_with(second) == TRY_AGAIN_LATER
    else:
        assert first.rest() == b""
    for line in (first, second):
        line.socket.close()
    wait_for(lambda: edge.metrics()["buntime_upload_bytes"] == 0, "its bytes back")


def test_a_client_that_does_not_read(hasty: Edge) -> None:
    before = hasty.metrics()["send_timeout"]
    opened(hasty, "/edge/pour", small=True)
    wait_for(lambda: hasty.metrics()["send_timeout"] > before, "the end of the connection")
    wait_for(lambda: hasty.metrics()["buntime_connections"] <= 1, "its connection back")
