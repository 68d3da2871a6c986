"""Answers are read as h11 reads them, wherever they are cut: generated ones, by a fixed seed."""

from __future__ import annotations

import gzip
import random
from typing import NamedTuple, TypeVar

import h11
import pytest
from buntime_keyval._http11 import LONGEST_HEAD, AnswerReader
from buntime_keyval._transport import Failure
from support.sampling import share_of

T = TypeVar("T")

pytestmark = pytest.mark.slow

SEED = 20261127
CASES = share_of(6000)
METHODS = ("GET", "PUT", "HEAD")


class Outcome(NamedTuple):
    """What an answer is, if it is one."""

    status: int
    headers: dict[str, str]
    content: bytes
    reusable: bool


def ours(method: str, data: bytes, cuts: list[int]) -> Outcome | None:
    """What we make of the bytes, in pieces, and of the end after them; None for no answer."""
    answer = AnswerReader(method)
    content = b""
    try:
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if start < end and answer.feed(data[start:end]):
                # What comes later than the answer is seen before the connection is used again.
                reusable = answer.reusable and end == len(data)
                return Outcome(answer.status, answer.headers, content + answer.content(), reusable)
            content += answer.content() if answer.status else b""
        answer.feed(b"")
    except Failure:
        return None
    return Outcome(answer.status, answer.headers, content + answer.content(), answer.reusable)


def theirs(method: str, data: bytes) -> Outcome | None:
    """What h11 makes of all of it, and of the end after it."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    status, content = 0, b""
    headers: dict[str, str] = {}
    try:
        if data:
            connection.receive_data(data)
        ended = False
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA and not ended:
                ended = True
                connection.receive_data(b"")
            elif isinstance(event, h11.Response):
                status = event.status_code
                for name, value in event.headers:
                    text, key = value.decode("latin-1"), name.decode()
                    headers[key] = f"{headers[key]}, {text}" if key in headers else text
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                again = connection.their_state is h11.DONE and not connection.trailing_data[0]
                return Outcome(status, headers, content, again and not ended)
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


NAMES = ["date", "Server", "x-request-id", "X-Buntime-Position", "content-type", "x_y",
         "x!#$%&'*+.^`|~"]  # fmt: skip
ODD_NAMES = ["connection", "Connection", "set-cookie", "set-cookie", "bad name", "bad\xe9", "",
             "keep-alive", "transfer-encoding", "content-length"]  # fmt: skip
VALUES = ["a", "uvicorn", "application/json", "", "a  b", "Thu, 01 Jan 1970 00:00:00 GMT",
          "=;,:\"()<>@/[]?{}"]  # fmt: skip
ODD_VALUES = ["close", "Keep-Alive", "keep-alive, x", "\t", "a\tb", "caf\xe9", "a\0b", "a\x01b",
              "a\x7fb", "5", "chunked", "a\r\n b", "a\x0bb", "\x85a", "a\xa0"]  # fmt: skip


class Maker:
    """Answers of all kinds, most of them nearly right."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._oddness = 0.0

    def answer(self) -> bytes:
        """One, perhaps with what is before and after it."""
        pick = self._random
        self._oddness = pick.choice([0.0, 0.03, 0.2])
        content = pick.randbytes(pick.choice([0, 0, 1, 5, 40, 300]))
        framing = pick.choice([self._length, self._length, self._chunks, self._end])
        lines, body = framing(content)
        fields = [*[self._field() for _ in range(pick.choice([0, 1, 3, 6]))], *lines]
        pick.shuffle(fields)
        version = self._one_of(["1.1"], ["1.0", "1.2", "2.0", "0.9"])
        status = self._one_of(["200", "404", "503"], ["204", "304", "100", "103", "199", "600"])
        reason = self._one_of([" OK", " Not Found", " "], ["", " \xfcber", "  a  "])
        ends = self._one_of(["\r\n"], ["\n"])
        head = ends.join([f"HTTP/{version} {status}{reason}", *fields, "", ""]).encode("latin-1")
        one = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"
        before = self._one_of([b""], [one, one * 2, b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
        after = self._one_of(
            [b""], [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"x", b"\r\n"]
        )
        return self._damaged(before + head + body + after)

    def _one_of(self, usual: list[T], odd: list[T]) -> T:
        return self._random.choice(odd if self._random.random() < self._oddness else usual)

    def _field(self) -> str:
        name = self._one_of(NAMES, ODD_NAMES)
        colon = self._one_of([":"], [" :", ""])
        return name + colon + self._space() + self._one_of(VALUES, ODD_VALUES) + self._space()

    def _space(self) -> str:
        return self._one_of([" ", " ", ""], ["  ", "\t", " \t "])

    def _length(self, content: bytes) -> tuple[list[str], bytes]:
        right = len(content)
        odd = [f"0{right}", f"+{right}", f"-{right}", f"{right}, {right}", f"{right},5",
               f"{right} ", f"{right}.0", "", "1" * 16, "1" * 25, str(right + 3),
               str(max(0, right - 3)), "\xb2"]  # fmt: skip
        name = self._one_of(["content-length"], ["Content-Length", "CONTENT-LENGTH"])
        line = f"{name}:{self._space().replace('  ', '')}{self._one_of([str(right)], odd)}"
        return [line] * self._one_of([1], [2]), content

    def _chunks(self, content: bytes) -> tuple[list[str], bytes]:
        made = b""
        while content:
            size = self._random.randint(1, len(content))
            shown = b"%x" % self._one_of([size], [size + 1, size - 1])
            extension = self._one_of([b""], [b";a", b';a="\r"', b" ", b"\t", b"; ", b"x"])
            made += shown + extension + b"\r\n" + content[:size] + b"\r\n"
            content = content[size:]
        made += self._one_of([b"0\r\n"], [b"000\r\n", b"0;a=b\r\n", b"0\n", b""])
        trailers = [b"bad\r\n", b" a\r\n"]
        made += self._one_of([b"", b"x-sum: 1\r\n", b"a: b\r\nc: d\r\n"], trailers)
        value = self._one_of(["chunked", "Chunked"], ["gzip, chunked", "identity", "chunked,"])
        nothing: list[str] = []
        both = self._one_of([nothing], [["content-length: 5"]])
        return [f"Transfer-Encoding: {value}", *both], made + b"\r\n"

    def _end(self, content: bytes) -> tuple[list[str], bytes]:
        return [], content

    def _damaged(self, data: bytes) -> bytes:
        kind = self._one_of(["none"], ["cut", "change", "drop", "double"])
        if kind == "none":
            return data
        place = self._random.randrange(len(data))
        before, byte, rest = data[:place], data[place : place + 1], data[place + 1 :]
        if kind == "cut":
            return before
        if kind == "drop":
            return before + rest
        if kind == "double":
            return before + byte + byte + rest
        return before + self._random.choice([b"\r", b"\n", b" ", b":", b"\0", b"0", b"\xff"]) + rest

    def cuts(self, size: int) -> list[list[int]]:
        """Ways to cut so many bytes: none, a few, in places of the head, every one."""
        pick = self._random
        few = sorted(pick.randint(0, size) for _ in range(pick.choice([1, 2, 5])))
        return [[], few, [*range(1, size)]]


@pytest.mark.parametrize("cut", [1, 5, 1000])
def test_what_is_compressed_may_not_become_too_much(cut: int) -> None:
    content = gzip.compress(b"0" * 1_000_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(content)}\r\n\r\n"
    for most, fits in ((1_000_000, True), (999_999, False), (10_000, False)):
        answer = AnswerReader("GET", most)
        answer.feed(head.encode())
        for start in range(0, len(content), cut):
            answer.feed(content[start : start + cut])
        if fits:
            assert len(answer.content()) == most
        else:
            with pytest.raises(Failure, match="longer than any answer"):
                answer.content()


def test_lengths_beyond_all_answers_are_refused_at_once() -> None:
    for framing in (b"content-length: 101\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n65\r\n"):
        answer = AnswerReader("GET", 100)
        with pytest.raises(Failure, match="more than 100 bytes"):
            answer.feed(b"HTTP/1.1 200 OK\r\n" + framing + b"x" * 101)


def test_generated_answers() -> None:
    maker = Maker(SEED)
    known = {"answers": 0, "plain": 0, "none": 0}
    for number in range(CASES):
        data = maker.answer()
        for method in METHODS[: 3 if number % 10 == 0 else 1]:
            expected = theirs(method, data)
            for cuts in maker.cuts(len(data)):
                found = ours(method, data, cuts)
                if expected is not None and found is not None and not expected.reusable:
                    # Bytes after the answer may come in a piece of their own.
                    found = found._replace(reusable=False)
                assert found == expected, (method, data, cuts)
        known["answers" if expected is not None else "none"] += 1
        answer = AnswerReader("GET")
        known["plain"] += answer._begin_plain(data) if data else 0
    assert min(known.values()) > CASES // 10, known
