"""Hrana as bare messages: what a client of the protocol sends and gets."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any, Protocol

import httpx2

from support.database import NO_TLS
from support.live import LiveServer
from support.waiting import PATIENCE

_TENANTS = itertools.count()


def value(plain: object) -> dict[str, Any]:
    """The protocol's object for a Python value."""
    match plain:
        case None:
            return {"type": "null"}
        case int():
            return {"type": "integer", "value": str(plain)}
        case float():
            return {"type": "float", "value": plain}
        case str():
            return {"type": "text", "value": plain}
        case bytes():
            return {"type": "blob", "base64": base64.b64encode(plain).decode()}
        case _:
            raise TypeError(plain)


def stmt(sql: str, *args: object, **fields: Any) -> dict[str, Any]:
    return {"sql": sql, "args": [value(arg) for arg in args], **fields}


def execute(sql: str, *args: object, **fields: Any) -> dict[str, Any]:
    return {"type": "execute", "stmt": stmt(sql, *args, **fields)}


def batch(*steps: tuple[Any, str]) -> dict[str, Any]:
    """A batch of pairs of condition and SQL."""
    return {"steps": [{"condition": condition, "stmt": {"sql": sql}} for condition, sql in steps]}


class HranaHttp:
    """The endpoints of one database."""

    def __init__(self, server: LiveServer, tenant: str | None = None, **headers: str) -> None:
        self.tenant = tenant or f"tenant{next(_TENANTS)}"
        self.base = f"{server.url}/database/api"
        self.client = httpx2.Client(
            headers={"x-database-namespace": self.tenant, **headers},
            timeout=PATIENCE,
            verify=NO_TLS,
        )

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        content = body if isinstance(body, str) else json.dumps(body)
        answer = self.client.post(f"{self.base}/{path}", content=content)
        assert answer.status_code == status, answer.text
        return answer.json()

    def pipeline(
        self, *requests: dict[str, Any], baton: str | None = None, version: str = "v3"
    ) -> tuple[list[Any], str | None]:
        """Results without their wrapping, and the next baton."""
        found = self.post(f"{version}/pipeline", {"baton": baton, "requests": requests})
        assert found.keys() == {"baton", "base_url", "results"}
        results = [
            result["response"] if result["type"] == "ok" else result["error"]
            for result in found["results"]
        ]
        return results, found["baton"]

    def run(self, *requests: dict[str, Any], baton: str | None = None) -> list[Any]:
        """Results of requests on a stream that is closed at the end."""
        results, after = self.pipeline(*requests, {"type": "close"}, baton=baton)
        assert after is None
        return results[:-1]

    def rows(self, sql: str, *args: object) -> list[list[Any]]:
        """Rows of plain values, blobs as base64."""
        (response,) = self.run(execute(sql, *args))
        assert "result" in response, response
        return plain(response["result"]["rows"])

    def legacy(
        self, *requests: dict[str, Any], baton: str | None = None
    ) -> tuple[list[Any], str | None]:
        """Results and baton in the original's dialect."""
        found = self.post("pipeline", {"baton": baton, "requests": requests})
        assert found.keys() == {"baton", "base_url", "results"}
        return found["results"], found["baton"]


def plain(rows: list[list[dict[str, Any]]]) -> list[list[Any]]:
    return [
        [
            int(cell["value"])
            if cell["type"] == "integer"
            else cell.get("value", cell.get("base64"))
            for cell in row
        ]
        for row in rows
    ]


class OpenHrana(Protocol):
    def __call__(self, tenant: str | None = ...) -> HranaHttp: ...
