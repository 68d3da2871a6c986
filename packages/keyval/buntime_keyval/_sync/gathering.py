# Made by scripts/unasync from _async/gathering.py: change that one.
"""Sending calls that begin at once in one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from buntime_keyval._calls.gathered import AskedTogether, deliver, deliver_error, divided, joined
from buntime_keyval._core import REQUEST_ID, Call
from buntime_keyval._http import Settings
from buntime_keyval._sync.lanes import Lanes
from buntime_keyval._transport import OutgoingRequest

R = TypeVar("R")

SendCall = Callable[[Call[Any], OutgoingRequest], Any]
"""Sends a request once. Raises `KvError`."""


class Gathering:
    """The calls of one session that may travel together."""

    def __init__(self, settings: Settings, exchange: SendCall) -> None:
        self._settings = settings
        self._exchange = exchange
        self._lanes = Lanes(self._deliver)
        self._knows_sets = True
        """Whether the server has not said yet that it does not know sets of several."""

    def send(self, asked: AskedTogether[R]) -> R:
        """The result of one attempt, as if it had been sent alone. Raises `KvError`."""
        asked.begin()
        if not asked.alone and (self._knows_sets or not asked.lane.sets):
            self._lanes.go(asked.lane, asked)
            if not asked.apart:
                return asked.outcome()
        asked.alone = asked.lane.sets
        request = self._settings.request(asked.call, asked.ends)
        result: R = self._exchange(asked.call, request)
        return result

    def close(self) -> None:
        """Wait for running requests, once the connections are closed."""
        self._lanes.close()

    def _deliver(self, asked: list[AskedTogether[Any]]) -> None:
        for part in divided(asked):
            if len(part) > 1 or (part[0].lane.sets and part[0].together):
                self._send_joined(part)
            else:
                self._send_alone(part[0])

    def _send_joined(self, part: list[AskedTogether[Any]]) -> None:
        call = joined(part)
        # By the end of the first one: those with a later one ask again.
        ends = min((each.ends for each in part if each.ends is not None), default=None)
        request = self._settings.request(call, ends)
        request_id = request.headers.get(REQUEST_ID)
        try:
            results = self._exchange(call, request)
        except Exception as error:  # noqa: BLE001 - each of them gets it
            if deliver_error(part, error, request_id, self._settings.server.via):
                self._knows_sets = not part[0].lane.sets
        else:
            deliver(part, results, request_id)

    def _send_alone(self, asked: AskedTogether[Any]) -> None:
        asked.alone = asked.lane.sets
        try:
            request = self._settings.request(asked.call, asked.ends)
            result = self._exchange(asked.call, request)
        except Exception as error:  # noqa: BLE001 - it is told
            asked.failed(error)
        else:
            asked.brought(result)
