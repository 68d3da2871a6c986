"""The headers of a request that matter to the host, found in one look at each of them.

Uncommon ones for plugins go to `noticed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any

import msgspec
from uuid_utils import uuid4

from buntime_host.access.credentials import HEADERS as CREDENTIALS
from buntime_host.http.below import FORWARDED_PREFIX
from buntime_host.http.noticed import notice
from buntime_host.observe.logs import REQUEST_ID

SPOOFABLE = frozenset(
    {b"x-identity", b"x-base", b"x-not-found", b"x-buntime-internal", b"x-vhost-tenant"}
)
"""Headers that plugins set for each other; those from outside are removed."""
LOOKED_AT = (
    SPOOFABLE
    | CREDENTIALS
    | {
        b"content-encoding",
        b"content-length",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"x-request-id",
        FORWARDED_PREFIX,
    }
)
"""All headers that matter to the host."""
REQUEST_ID_HEADER = b"x-request-id"
GOOD_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
"""The form of request ids that are accepted from outside."""
_PRECONDITIONS = {b"if-match": "If-Match", b"if-none-match": "If-None-Match"}
_MAX_LENGTH_DIGITS = 18


class Said(msgspec.Struct, gc=False):
    """The headers of one request. None stands for an absent header.

    If a header is repeated the last one counts, but the first one of ids; encodings and prefixes
    are joined with commas.
    """

    host: bytes = b""
    origin: bytes | None = None
    site: bytes | None = None
    """`Sec-Fetch-Site`: where its page comes from, as the browser sees it."""
    key: bytes | None = None
    token: bytes | None = None
    """`Authorization`, with its scheme."""
    cookie: bytes | None = None
    length: bytes | None = None
    """`Content-Length`, as it was sent."""
    chunked: bool = False
    encoding: bytes | None = None
    prefix: bytes | None = None
    """The prefix that a proxy has removed from the path."""
    request_id: bytes = b""
    """The id that the request came with, or was given."""

    def fits(self, limit: int) -> bool:
        """Whether the body has at most so many bytes, according to a length that is present."""
        length = self.length or b""
        return length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS and int(length) <= limit


def read_headers(scope: MutableMapping[str, Any]) -> Said:
    """Read all headers of a request or a handshake.

    After that its scope has none of `SPOOFABLE`, and one request id, the same as its lines in the
    log.
    """
    said = Said()
    given_id: bytes | None = None
    dirty = False
    for name, value in scope["headers"]:
        if name in LOOKED_AT:
            if name == b"host":
                said.host = value
            elif name == b"content-length":
                said.length = value
            elif name == b"origin":
                said.origin = value
            elif name == b"transfer-encoding":
                said.chunked = True
            elif name == b"sec-fetch-site":
                said.site = value
            elif name == b"idempotency-key":
                notice(scope).idempotency_keys += (value,)
            elif name == b"authorization":
                said.token = value
            elif name == b"x-api-key":
                said.key = value
            elif name == b"cookie":
                said.cookie = value
            elif name in _PRECONDITIONS:
                notice(scope).precondition = _PRECONDITIONS[name]
            elif name == b"content-encoding":
                said.encoding = value if said.encoding is None else said.encoding + b"," + value
            elif name == FORWARDED_PREFIX:
                said.prefix = value if said.prefix is None else said.prefix + b"," + value
            elif name == REQUEST_ID_HEADER and given_id is None and GOOD_ID.fullmatch(value):
                given_id = value
            else:
                dirty = True
    if dirty:
        scope["headers"] = _cleaned(scope["headers"], given_id)
    said.request_id = _new_id(scope) if given_id is None else given_id
    REQUEST_ID.set(said.request_id.decode())
    return said


def of_plain_body(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a body that was inflated, so that its length is unknown."""
    return [pair for pair in headers if pair[0] not in (b"content-encoding", b"content-length")]


def _new_id(scope: MutableMapping[str, Any]) -> bytes:
    made = str(uuid4()).encode()
    headers = scope["headers"]
    if type(headers) is list:
        headers.append((REQUEST_ID_HEADER, made))
    else:
        scope["headers"] = [*headers, (REQUEST_ID_HEADER, made)]
    return made


def _cleaned(
    headers: Iterable[tuple[bytes, bytes]], request_id: bytes | None
) -> list[tuple[bytes, bytes]]:
    kept = [
        (name, value)
        for name, value in headers
        if name not in SPOOFABLE and name != REQUEST_ID_HEADER
    ]
    if request_id is not None:
        kept.append((REQUEST_ID_HEADER, request_id))
    return kept
