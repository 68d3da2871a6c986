"""Errors between here and a target, in the form for a client: without inner addresses."""

from __future__ import annotations

from buntime_host import HttpError


class BadGateway(HttpError):
    """The target cannot be reached, or its answer is invalid."""

    status = 502
    code = "BAD_GATEWAY"

    def __init__(self, message: str) -> None:
        super().__init__(f"Proxy error: {message}")


class StaleConnection(BadGateway):
    """A kept connection has ended before anything of an answer came."""


class GatewayTimeout(HttpError):
    """The target took too long."""

    status = 504
    code = "GATEWAY_TIMEOUT"

    def __init__(self, message: str) -> None:
        super().__init__(f"Proxy error: {message}")


class TargetBusy(HttpError):
    """All connections that a target may have are in use."""

    status = 503
    code = "TARGET_BUSY"
    default_message = "Proxy error: all connections to the target are in use"


class TargetRefused(HttpError):
    """The target's address is one that rules may not lead to."""

    status = 502
    code = "TARGET_NOT_ALLOWED"
    default_message = "Proxy error: the target is not allowed"


class LoopDetected(HttpError):
    """The request has passed here too often."""

    status = 508
    code = "LOOP_DETECTED"
    default_message = "Proxy error: the request goes round in circles"
