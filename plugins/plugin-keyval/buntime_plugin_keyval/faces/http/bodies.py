"""The body of a request."""

from __future__ import annotations

from starlette.types import Receive

from buntime_plugin_keyval.requests.answers import ClientGone


async def read_body(receive: Receive) -> bytes:
    """The whole body; the host limits its size. Raises `ClientGone`."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if message["type"] == "http.disconnect":
            raise ClientGone
        return body
    chunks = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
    return b"".join(chunks)
