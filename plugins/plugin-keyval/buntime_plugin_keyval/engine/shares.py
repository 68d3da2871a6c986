"""Limits on open streams, in total and per client."""

from __future__ import annotations

from collections import Counter

from buntime_plugin_keyval.model.errors import TooManyStreams, TooManyStreamsOfClient


class Shares:
    """The open streams of one kind in this process."""

    def __init__(self, option: str, most: int, most_of_client: int) -> None:
        """`option` names the first limit; with `PerClient` behind it, the second."""
        self._option = option
        self.most = most
        self.most_of_client = most_of_client
        self._open = 0
        self._of_clients: Counter[str] = Counter()

    def take(self, client: str | None) -> None:
        """Count one more stream. None for clients that cannot be told apart: they have no share
        each.

        Raises `TooManyStreams` and `TooManyStreamsOfClient`.
        """
        if self._open >= self.most:
            raise TooManyStreams(self._option, self.most)
        if client is not None:
            if self._of_clients[client] >= self.most_of_client:
                raise TooManyStreamsOfClient(f"{self._option}PerClient", self.most_of_client)
            self._of_clients[client] += 1
        self._open += 1

    def give(self, client: str | None) -> None:
        """One stream is closed."""
        self._open -= 1
        if client is not None:
            self._of_clients[client] -= 1
            if not self._of_clients[client]:
                del self._of_clients[client]
