# Made by scripts/unasync from _async/session.py: change that one.
"""Sending calls, again where that is safe, and reading their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, TypeVar

from buntime_keyval._calls.atomic import AtomicBuilder, commit
from buntime_keyval._calls.gathered import asked_of
from buntime_keyval._calls.keys import Entry, get_many
from buntime_keyval._core import REQUEST_ID, Call, StreamCall, consistent
from buntime_keyval._errors import AccessDenied, ClientClosed, KvError
from buntime_keyval._held import refuse_lost
from buntime_keyval._http import Settings, no_answer, refused_stream
from buntime_keyval._observed import Observed
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import Attempts
from buntime_keyval._sync.concurrency import call as call_user
from buntime_keyval._sync.concurrency import lock, sleep, waking
from buntime_keyval._sync.connections import Connections
from buntime_keyval._sync.gathering import Gathering
from buntime_keyval._sync.transport import Opened, Transport
from buntime_keyval._tokens import AUTHORIZATION, GivenToken
from buntime_keyval._transport import Failure, OutgoingRequest, within
from buntime_keyval.wire import Key

R = TypeVar("R")

LONGEST_WAIT_S = 4.0
"""Longest wait of one request: a place in a line outlives that, but not a client that is gone."""

_EXPIRED = 401
"""Code of an answer about a token that is invalid or was revoked."""


class Session:
    """The connections to one API, an `Source`, whichever code uses them."""

    def __init__(
        self, settings: Settings, make: Callable[[], Transport], *, coalesce: bool = False
    ) -> None:
        """`make` makes the connections of one place; `coalesce` is as in `Kv`."""
        self._settings = settings
        self._given_token = settings.given_token
        self._token_turn = lock()
        self._once = self._exchange if self._given_token is None else self._signed_exchange
        """Sends a request once, but for a token that has expired."""
        self._gathering = Gathering(settings, self._once) if coalesce else None
        self._connections = Connections(make)
        self._closed = False

    @property
    def longest_wait(self) -> float:
        """Seconds that a request may have the server wait, so that no pause is too long."""
        pause = self._settings.timeouts.pause
        return LONGEST_WAIT_S if pause is None else min(LONGEST_WAIT_S, pause / 2)

    def send(self, call: Call[R], idempotency_key: str | None = None) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        refuse_lost()
        call = self._settings.keyed(call, idempotency_key)
        asked = attempts = None
        ends = self._settings.end_of_call()
        if self._gathering is not None:
            asked = asked_of(call, own_key=idempotency_key is not None, ends=ends)
        while True:
            try:
                if self._gathering is not None and asked is not None:
                    return self._gathering.send(asked)
                return self._once(call, self._settings.request(call, ends))
            except KvError as error:
                if attempts is None:
                    attempts = Attempts(call, self._settings.retries, random.uniform)
                pause = attempts.pause_after(error, within(None, ends))
            sleep(pause)

    def read(self, keys: Sequence[Key]) -> list[Entry]:
        return self.send(consistent(get_many(keys), "strong"))  # a commit rests on it

    def commit(
        self,
        atomic: AtomicBuilder[Any],
        idempotency_key: str | None = None,
        *,
        results: bool = False,
    ) -> CommitResult:
        return self.send(commit(atomic, results=results), idempotency_key)

    @contextmanager
    def stream(self, call: StreamCall) -> Iterator[Iterator[bytes]]:
        """An open event stream, as chunks. Raises `KvError`, as the chunks do."""
        request = self._settings.stream_request(call)
        given = self._given_token
        if given is not None:
            request = self._signed(given, request, None)
        with ExitStack() as stack:
            try:
                opened = stack.enter_context(self._opened(call, request))
            except AccessDenied as error:
                if given is None or error.status != _EXPIRED:
                    raise
                again = self._signed(given, request, request.headers[AUTHORIZATION])
                opened = stack.enter_context(self._opened(call, again))
            with closing(_chunks(opened)) as chunks:
                yield chunks

    def heard_of(self, position: str | None) -> None:
        """A stream reported the store's position: later requests have to see it."""
        self._settings.heard_of(position)

    def close(self) -> None:
        """Close all connections of this process. Idempotent."""
        self._closed = True
        self._connections.close()
        if self._gathering is not None:
            self._gathering.close()

    def _transport(self) -> Transport:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        return self._connections.here()

    @contextmanager
    def _opened(self, call: StreamCall, request: OutgoingRequest) -> Iterator[Opened]:
        observed = Observed(self._settings, request, call)
        try:
            with self._transport().stream(request) as opened:
                refused = refused_stream(opened.reply)
                observed.ended(opened.reply, refused)
                if refused is not None:
                    raise refused
                yield opened
        except Failure as failure:
            lost = no_answer(failure, None, via=self._settings.server.via)
            observed.ended(None, lost)
            raise lost from failure

    def _signed_exchange(self, call: Call[R], request: OutgoingRequest) -> R:
        given = self._given_token
        if given is None:
            return self._exchange(call, request)
        signed = self._signed(given, request, None)
        try:
            return self._exchange(call, signed)
        except AccessDenied as error:
            if error.status != _EXPIRED:
                raise
        # Not a further attempt: nothing of the request was done, whatever it is.
        again = self._signed(given, request, signed.headers[AUTHORIZATION])
        return self._exchange(call, again)

    def _signed(
        self, given: GivenToken, request: OutgoingRequest, refused: str | None
    ) -> OutgoingRequest:
        """The request with the token; with a new one, if the one that was refused is the last."""
        with self._token_turn:
            if not given.serves(refused):
                given.take(call_user(given.source))
            return given.sign(request)

    def _exchange(self, call: Call[R], request: OutgoingRequest) -> R:
        observed = Observed(self._settings, request, call)
        try:
            return self._transport().send(request, partial(observed.result, call))
        except Failure as failure:
            request_id = request.headers.get(REQUEST_ID)
            lost = no_answer(failure, call, request_id, via=self._settings.server.via)
            observed.ended(None, lost)
            raise lost from failure


def _chunks(opened: Opened) -> Generator[bytes, None]:
    try:
        with closing(opened.chunks()) as chunks:
            with waking(opened.interrupt):
                yield from chunks
    except Failure as failure:
        raise no_answer(failure, None) from failure
