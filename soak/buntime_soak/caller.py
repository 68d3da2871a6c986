"""One client of the store: sends a request, times it, and says what is known of its outcome."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from buntime_soak.connection import Answer, Connection, NoAnswer, NotSent
from buntime_soak.history import History, Op, Outcome, Violation

BASE = "/keyval/api"
UNKNOWN = "KEYVAL_OUTCOME_UNKNOWN"
POSITION = "x-buntime-position"


class Place(NamedTuple):
    """A host to ask: its name, and where it listens, also after a restart."""

    name: str
    address: str


class Reply(NamedTuple):
    """What came of a request."""

    outcome: Outcome
    body: Any
    """Decoded JSON of a good answer."""
    status: int
    """0 without an answer."""
    call: float
    end: float
    host: str
    note: str


class Caller:
    """One client; its requests follow one another."""

    def __init__(
        self,
        name: str,
        places: Sequence[Place],
        history: History,
        dice: random.Random,
        *,
        replicated: bool = False,
        carries: bool = False,
        position: str | None = None,
    ) -> None:
        """With several places each request goes to one of them, at random.

        `replicated` says that reads may come from replicas, unless they ask for the newest state.
        `position` is what all of its reads have to show at least. Who `carries` brings to each
        place the position that the one before told.
        """
        self.name = name
        self.places = places
        self.history = history
        self.dice = dice
        self._replicated = replicated
        self._carries = carries
        self.position = position
        self._connections = {place.name: Connection(place.address) for place in places}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        good: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> Reply:
        """Send one request. `good` are the statuses whose bodies say what was done.

        A `fresh` read has to show the newest state.
        """
        if fresh and self._replicated:
            if body is None:
                path += f"{'&' if '?' in path else '?'}consistency=strong"
            else:
                body = {**body, "consistency": "strong"}
        place = self.dice.choice(self.places)
        connection = self._connections[place.name]
        if self.dice.random() < 0.1:
            connection.close()  # of several workers another one may take the next
        if self.position is not None:
            headers = {**(headers or {}), POSITION: self.position}
        call = self.history.now()
        answer: Answer | None = None
        note = ""
        try:
            answer = await connection.request(method, BASE + path, body, headers)
            outcome, note = _judge(answer, good)
            if self._carries:
                self.position = answer.headers.get(POSITION, self.position)
        except NotSent as error:
            outcome, note = "failed", str(error)
        except NoAnswer as error:
            outcome, note = "unknown", str(error)
        end = self.history.now()
        content: Any = None
        if answer is not None and outcome == "ok":
            try:
                content = answer.json()
            except ValueError:
                outcome, note = "unknown", f"no JSON: {answer.body[:100]!r}"
        reply = Reply(outcome, content, answer.status if answer else 0, call, end, place.name, note)
        if answer is not None and _is_odd(answer, good):
            self._complain(method, path, body, reply)
        return reply

    def record(
        self,
        kind: str,
        subject: str,
        reply: Reply,
        *,
        asked: Any = None,
        got: Any = None,
        stamp: str | None = None,
        fresh: bool = True,
    ) -> Op:
        """Keep what came of a request as an operation."""
        op = Op(
            kind, subject, self.name, reply.host, reply.call, reply.end, reply.outcome, asked,
            got, stamp, fresh, reply.note,
        )  # fmt: skip
        self.history.add(op)
        return op

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _complain(self, method: str, path: str, body: Any, reply: Reply) -> None:
        request = f"{method} {path} {'' if body is None else body}"
        self.history.oddities.append(
            Violation("answers", f"{request[:300]}: {reply.status} {reply.note}")
        )


def _judge(answer: Answer, good: Sequence[int]) -> tuple[Outcome, str]:
    if answer.status in good:
        return "ok", ""
    text = answer.body[:300].decode("utf-8", "replace")
    if answer.status >= 500 and answer.status != 503:
        return "unknown", text
    if UNKNOWN in text:
        return "unknown", text
    return "failed", text


def _is_odd(answer: Answer, good: Sequence[int]) -> bool:
    """Whether no request of ours should be answered like that, whatever happens to servers."""
    return answer.status not in (*good, 503, 409)
