"""What the key-value service raises, in process and over HTTP.

    KeyValError
    ├── KeyNotFound         404  the key does not exist
    ├── IndexNotFound       404  the prefix has no full-text index
    ├── LetterNotFound      404  there is no such dead letter
    ├── StaleLease          409  the message was delivered again, or settled, meanwhile
    ├── TooManyStreams      503  watch.maxWatchers or queue.maxListeners streams are open
    ├── KeyValUnavailable   503  the plugin is not ready: before its start, after its shutdown
    └── DatabaseDown        503  the database refused or failed; trying again later is right

Input that breaks the contract is `buntime_keyval.wire.InvalidInput`, status 400.
"""

from __future__ import annotations

from typing import ClassVar


class KeyValError(Exception):
    """Base of the service's errors."""

    status: ClassVar[int] = 500
    code: ClassVar[str | None] = None
    """Goes into the body beside the message; None where the contract fixes a body without it."""


class KeyNotFound(KeyValError):
    """The key does not exist, or has expired."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Key not found")


class IndexNotFound(KeyValError):
    """No full-text index was created for exactly this prefix."""

    status = 404

    def __init__(self, prefix_json: str) -> None:
        super().__init__(f"No index found for prefix: {prefix_json}")


class LetterNotFound(KeyValError):
    """There is no dead letter with this id."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Message not found in DLQ")


class StaleLease(KeyValError):
    """The lease that was given is not the message's current one."""

    status = 409
    code = "STALE_LEASE"

    def __init__(self) -> None:
        super().__init__("Lease is not current: the message was settled or delivered again")


class TooManyStreams(KeyValError):
    """As many streams are open as the configuration allows."""

    status = 503
    code = "KEYVAL_TOO_MANY_STREAMS"

    def __init__(self, option: str, limit: int) -> None:
        super().__init__(f"Too many open streams ({option} is {limit})")


class KeyValUnavailable(KeyValError):
    """The plugin is not initialised or has shut down."""

    status = 503
    code = "KEYVAL_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("KeyVal storage not initialized")


class DatabaseDown(KeyValError):
    """The database cannot serve the request now. Nothing of the request was written."""

    status = 503
    code = "KEYVAL_DB_DOWN"

    def __init__(self, detail: str) -> None:
        super().__init__(f"KeyVal storage unavailable: {detail}")
