"""Requests that are sent as they are, however wrong."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from support.waiting import PATIENCE


class Asker:
    """One connection, made anew where the server closes it."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body; of an endless stream no body."""
        for attempt in range(2):
            connection = self._connection or http.client.HTTPConnection(
                self._address, timeout=PATIENCE
            )
            try:
                connection.putrequest(method, target, skip_accept_encoding=True)
                for name, text in headers.items():
                    connection.putheader(name, text.encode("latin-1", "replace"))
                if body is not None:
                    connection.putheader("content-length", str(len(body)))
                connection.endheaders(body)
                response = connection.getresponse()
                content = b""
                kind = response.headers.get("content-type", "")
                is_endless = kind.startswith("text/event-stream")
                if not is_endless:
                    content = response.read()
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                self._connection = None
                if attempt:
                    raise
            except TimeoutError:
                raise AssertionError(f"no answer in {PATIENCE} s: {method} {target}") from None
            else:
                self._connection = connection
                if is_endless or response.will_close:
                    self.close()
                return response.status, response.headers, content
        raise AssertionError

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
