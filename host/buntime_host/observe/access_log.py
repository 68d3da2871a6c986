"""A line for each request, in the Common Log Format with two more fields, or as JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from buntime_host.observe.logs import ACCESS

logger = logging.getLogger(ACCESS)


class AccessEntry(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """The content of a line. A path is as it was sent, without its query, which may hold
    secrets.
    """

    time: str
    """Time of the line, in UTC, with milliseconds."""
    request_id: str
    client: str
    method: str
    path: str
    route: str
    """The template that the path fits, such as `/keyval/api/keys/{key}`."""
    status: int
    """499 where the client left before there was an answer."""
    bytes: int
    """Size of the answer's body, before it is put into chunks."""
    ms: float
    """Time from the head of the request to the end of the answer."""
    key: str = ""
    """Id of its key; empty where no credential was needed."""
    trace_id: str = ""
    """The trace id of the header `traceparent`, where `observe.tracing` is on."""


def common_line(entry: AccessEntry) -> str:
    """`client - key [time] "method path HTTP" status bytes`, then milliseconds and request id."""
    time = datetime.fromisoformat(entry.time)
    path = entry.path.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"{entry.client or '-'} - {entry.key or '-'} [{time:%d/%b/%Y:%H:%M:%S %z}]"
        f' "{entry.method} {path} HTTP/1.1" {entry.status} {entry.bytes}'
        f" {entry.ms:.3f} {entry.request_id}"
    )


def json_line(entry: AccessEntry) -> str:
    """The same as one JSON object."""
    return msgspec.json.encode(entry).decode()


LINES: dict[str, Callable[[AccessEntry], str]] = {"common": common_line, "json": json_line}
"""The formatter of entries, by the name of the form."""


def utc_now() -> str:
    """The time of a line."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
