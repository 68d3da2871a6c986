"""A KeyVal API over HTTP, with full control of what goes on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from support.waiting import PATIENCE

NOTHING = object()
JSON_HEADERS = {"Content-Type": "application/json"}


class Api:
    """Requests to one server; `base` is the URL of the API."""

    def __init__(self, base: str, client: httpx2.Client) -> None:
        self.base = base
        self.client = client
        self._prefix = urlsplit(base).path

    def send(
        self,
        method: str,
        path: str,
        body: Any = NOTHING,
        *,
        query: Mapping[str, Any] | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """One request.

        `path` goes on the wire as it is, `query` is encoded. `body` is sent as JSON and said to be,
        unless it is bytes already.
        """
        target = self._prefix + path
        if query:
            target += "?" + urlencode(query, doseq=True, quote_via=quote)
        if isinstance(body, bytes):
            content = body
        elif body is not NOTHING:
            content = json.dumps(body)
            headers = {**JSON_HEADERS, **(headers or {})}
        return self.client.request(
            method,
            self.base,
            content=content,
            headers=headers,
            extensions={"target": target.encode("latin-1")},
        )

    def json(self, method: str, path: str, body: Any = NOTHING, **options: Any) -> Any:
        """The body of an answer that has to be a success."""
        response = self.send(method, path, body, **options)
        assert response.status_code == 200, (
            f"{method} {path}: {response.status_code} {response.text}"
        )
        return response.json()

    def error(self, method: str, path: str, body: Any = NOTHING, **options: Any) -> str:
        """The message of an answer that has to be a refusal with 400."""
        response = self.send(method, path, body, **options)
        assert response.status_code == 400, (
            f"{method} {path}: {response.status_code} {response.text}"
        )
        assert list(response.json()) == ["error"]
        return str(response.json()["error"])

    def put(self, path: str, value: Any, **query: Any) -> str:
        """Store a value and return its versionstamp."""
        return str(self.json("PUT", f"/keys/{path}", value, query=query)["versionstamp"])

    def value(self, *key: Any) -> Any:
        """The value of a key, None where there is none."""
        (entry,) = self.json("POST", "/keys/batch", {"keys": [list(key)]})
        return entry["value"]

    def mutate(self, *mutations: Mapping[str, Any]) -> Any:
        """Commit mutations."""
        return self.json("POST", "/atomic", {"mutations": list(mutations)})

    def keys(self, **options: Any) -> list[Any]:
        """The keys that `POST /keys/list` finds."""
        return [entry["key"] for entry in self.json("POST", "/keys/list", options)]

    def empty(self) -> None:
        """Delete all entries."""
        while keys := self.keys(limit=1000, values=False):
            self.json("POST", "/keys/delete-batch", {"keys": keys, "exact": True})

    def empty_queue(self) -> None:
        """Delete all messages: what an earlier test took comes back once its lease ends."""
        self.json("DELETE", "/queue/messages")
        self.json("DELETE", "/queue/dlq")


@contextmanager
def api_of(base: str) -> Iterator[Api]:
    """An API with a client of its own."""
    with httpx2.Client(trust_env=False, timeout=PATIENCE) as client:
        yield Api(base, client)
