# Made by scripts/unasync from _async/session.py: change that one.
"""Sending calls with httpx2."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TypeVar

import httpx2

from buntime_keyval._calls.atomic import AtomicBuilder, commit
from buntime_keyval._calls.keys import Entry, get_many
from buntime_keyval._core import REQUEST_ID, Call, StreamCall, consistent
from buntime_keyval._errors import ClientClosed, KvError
from buntime_keyval._http import FAILURES, Settings, no_answer, refused_stream
from buntime_keyval._observed import Observed
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import Attempts
from buntime_keyval._sync.concurrency import sleep
from buntime_keyval._sync.connections import Connections, interruptible
from buntime_keyval.wire import Key

R = TypeVar("R")


class _Pool:
    """Connections that belong together."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self.calls = self._client(for_streams=False)
        self._streams: httpx2.Client | None = None

    @property
    def streams(self) -> httpx2.Client:
        """Made when the first event stream is opened."""
        if self._streams is None:
            self._streams = self._client(for_streams=True)
        return self._streams

    def close(self) -> None:
        """Close all of them."""
        self.calls.close()
        if self._streams is not None:
            self._streams.close()

    def _client(self, *, for_streams: bool) -> httpx2.Client:
        options = self._settings.transport_options(for_streams=for_streams)
        return httpx2.Client(
            headers=self._settings.headers,
            timeout=self._settings.timeout,
            transport=self._transport or httpx2.HTTPTransport(**options),
            trust_env=False,
        )


class Session:
    """The connections to one API, whoever asks."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self._settings = settings
        self._connections = Connections(lambda: _Pool(settings, transport))
        self._closed = False

    def send(self, call: Call[R], idempotency_key: str | None = None) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        call = self._settings.keyed(call, idempotency_key)
        attempts = None
        while True:
            try:
                return self._send_once(call)
            except KvError as error:
                if attempts is None:
                    attempts = Attempts(call, self._settings.retries, random.uniform)
                pause = attempts.pause_after(error)
            sleep(pause)

    def read(self, keys: Sequence[Key]) -> list[Entry]:
        """See `Source`."""
        return self.send(consistent(get_many(keys), "strong"))  # a commit rests on it

    def commit(self, atomic: AtomicBuilder, idempotency_key: str | None = None) -> CommitResult:
        """See `Source`."""
        return self.send(commit(atomic), idempotency_key)

    @contextmanager
    def stream(self, call: StreamCall) -> Iterator[Iterator[bytes]]:
        """An open event stream, as chunks. Raises `KvError`, as the chunks do."""
        method, url, options = self._settings.stream_request(call)
        observed = Observed(self._settings, method, call.target, None)
        try:
            with self._pool().streams.stream(method, url, **options) as response:
                if response.status_code != 200:
                    response.read()
                refused = refused_stream(response)
                observed.ended(response, refused)
                if refused is not None:
                    raise refused
                with closing(_chunks(response)) as chunks:
                    yield chunks
        except FAILURES as error:
            lost = no_answer(error, None, via=self._settings.via)
            observed.ended(None, lost)
            raise lost from error

    def heard_of(self, position: str | None) -> None:
        """A stream told how far the store is: what is sent from now on is to see that."""
        self._settings.heard_of(position)

    def close(self) -> None:
        """Close all connections of this process. Idempotent."""
        self._closed = True
        self._connections.close()

    def _pool(self) -> _Pool:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        return self._connections.here()

    def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        request_id = options["headers"].get(REQUEST_ID)
        observed = Observed(self._settings, method, call.target, request_id)
        try:
            response = self._pool().calls.request(method, url, **options)
            return observed.result(call, response)
        except FAILURES as error:
            lost = no_answer(error, call, request_id, via=self._settings.via)
            observed.ended(None, lost)
            raise lost from error


def _chunks(response: httpx2.Response) -> Generator[bytes, None]:
    try:
        with interruptible(response):
            yield from response.iter_bytes()
    except FAILURES as error:
        raise no_answer(error, None) from error
