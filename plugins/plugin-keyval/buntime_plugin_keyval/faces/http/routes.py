"""Which endpoint serves which path and method.

What a route takes is declared beside its endpoint. Fixed paths are keys of a dict. Only keys and
ids make paths that vary, and these are told by the number of their segments.
"""

from __future__ import annotations

from collections.abc import Mapping

from buntime_plugin_keyval.faces.http import atomic, keys, metrics, queue, search, watch
from buntime_plugin_keyval.faces.http.asked import AnyRoute
from buntime_plugin_keyval.faces.http.keys import KEYS_PATH

Methods = Mapping[str, AnyRoute]

FIXED: Mapping[bytes, Methods] = {
    b"/keys": {"GET": keys.LIST, "DELETE": keys.DELETE_BELOW},
    b"/keys/list": {"POST": keys.LIST_BY_BODY},
    b"/keys/count": {"GET": keys.COUNT, "POST": keys.COUNT_BY_BODY},
    b"/keys/paginate": {"GET": keys.PAGINATE, "POST": keys.PAGINATE_BY_BODY},
    b"/keys/batch": {"POST": keys.BATCH},
    b"/keys/delete-batch": {"POST": keys.DELETE_BATCH},
    b"/vacuum": {"POST": keys.VACUUM},
    b"/atomic": {"POST": atomic.COMMIT},
    b"/transaction": {"POST": atomic.TRANSACTION},
    b"/queue/enqueue": {"POST": queue.ENQUEUE},
    b"/queue/poll": {"GET": queue.POLL},
    b"/queue/dequeue": {"GET": queue.POLL},
    b"/queue/listen": {"GET": queue.LISTEN},
    b"/queue/ack": {"POST": queue.ACK},
    b"/queue/nack": {"POST": queue.NACK},
    b"/queue/extend": {"POST": queue.EXTEND},
    b"/queue/stats": {"GET": queue.STATS},
    b"/queue/dlq": {"GET": queue.LIST_DLQ, "DELETE": queue.PURGE_DLQ},
    b"/indexes": {
        "POST": search.CREATE_INDEX,
        "GET": search.LIST_INDEXES,
        "DELETE": search.REMOVE_INDEX,
    },
    b"/health": {"GET": metrics.HEALTH},
    b"/metrics": {"GET": metrics.METRICS},
    b"/metrics/prometheus": {"GET": metrics.PROMETHEUS_METRICS},
    b"/search": {"GET": search.SEARCH, "POST": search.SEARCH_BY_BODY},
    b"/search/paginate": {"POST": search.PAGINATE_SEARCH},
    b"/watch": {"GET": watch.WATCH_KEYS},
    b"/watch/poll": {"GET": watch.POLL_KEYS, "POST": watch.POLL_KEYS_BY_BODY},
    b"/watch/prefix": {"GET": watch.WATCH_PREFIX},
    b"/watch/prefix/poll": {"GET": watch.POLL_PREFIX, "POST": watch.POLL_PREFIX_BY_BODY},
}

# A key of one part may be spelt like a fixed route; the methods that the route lacks reach it.
KEY: Methods = {"GET": keys.GET, "PUT": keys.PUT, "DELETE": keys.DELETE}

WITH_ID: Mapping[tuple[bytes, bytes], Methods] = {
    (b"ack", b""): {"POST": queue.ACK_OF_PATH},
    (b"nack", b""): {"POST": queue.NACK_OF_PATH},
    (b"extend", b""): {"POST": queue.EXTEND_OF_PATH},
    (b"dlq", b""): {"GET": queue.GET_DLQ, "DELETE": queue.DELETE_DLQ},
    (b"dlq", b"requeue"): {"POST": queue.REQUEUE_DLQ},
}
"""Below `/queue`: `<kind>/<id>` and `<kind>/<id>/<verb>`, by kind and verb."""

NOTHING: Methods = {}


def find_methods(path: bytes, method: str) -> Methods:
    """The methods of a path; of a key's path those of keys, unless a fixed route has this one."""
    fixed = FIXED.get(path, NOTHING)
    if method in fixed:
        return fixed
    if path.startswith(KEYS_PATH):
        return {**KEY, **fixed} if fixed else KEY
    if fixed:
        return fixed
    segments = path.split(b"/")
    if len(segments) in (4, 5) and segments[1] == b"queue" and segments[3]:
        return WITH_ID.get((segments[2], b"".join(segments[4:])), NOTHING)
    return NOTHING
