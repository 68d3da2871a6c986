"""Names of statuses as in RFC 9110: before 3.13 Python has some of an older one."""

from __future__ import annotations

from http import HTTPStatus

_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

PHRASES = {int(status): _RENAMED.get(status, status.phrase) for status in HTTPStatus}

STATUS_LINES = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, PHRASES.get(status, "").encode())
    for status in range(100, 1000)  # servers behind a proxy also use what RFC 9110 leaves out
}
