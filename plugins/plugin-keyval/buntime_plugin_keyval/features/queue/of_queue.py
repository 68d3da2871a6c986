"""Shared parts of the endpoints of queues and of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import unquote

from buntime_plugin_keyval.requests.asked import Need
from buntime_plugin_keyval.requests.kinds import QUEUE_NAME
from buntime_plugin_keyval.requests.permissions import QUEUE_ADMIN, QUEUE_RECEIVE, QUEUE_SEND
from buntime_plugin_keyval.requests.shape import RequestShape

OK = '{"ok":true}'


class OfQueue(RequestShape, frozen=True, kw_only=True):
    """A request about a queue: the one without a name by default."""

    queue: Annotated[str, QUEUE_NAME] = ""


def needs_of(scope: str, queue: str | None) -> Sequence[Need]:
    """The need for a scope on a queue; on all of them for None or the one without a name."""
    return ((scope, queue),) if queue else _SCOPES[scope]


_SCOPES = {scope: (scope,) for scope in (QUEUE_SEND, QUEUE_RECEIVE, QUEUE_ADMIN)}


def path_id(path: bytes) -> str:
    """The id in `/queue/<kind>/<id>` and `/queue/<kind>/<id>/<verb>`."""
    return unquote(path.split(b"/")[3].decode("latin-1"))
