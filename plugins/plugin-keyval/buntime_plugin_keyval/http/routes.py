"""Which endpoint serves which path and method.

An endpoint returns JSON text; a stream endpoint returns the frames of an event stream. Fixed
paths are keys of a dict. Only keys and ids make paths that vary, and these are told by the
number of their segments.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from buntime_plugin_keyval.http import atomic, keys, metrics, queue, search, watch
from buntime_plugin_keyval.http.answers import Answer, Frames
from buntime_plugin_keyval.http.keys import KEYS_PATH
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.service import KeyValService

Endpoint = Callable[[KeyValService, Request], Awaitable[str | Answer | Frames]]
"""Returns JSON text, which is an answer with status 200, or anything else in full."""
Methods = Mapping[str, Endpoint]

FIXED: Mapping[bytes, Methods] = {
    b"/keys": {"GET": keys.list_keys, "DELETE": keys.delete_prefix},
    b"/keys/list": {"POST": keys.list_keys_by_body},
    b"/keys/count": {"GET": keys.count_keys, "POST": keys.count_keys_by_body},
    b"/keys/paginate": {"GET": keys.paginate_keys, "POST": keys.paginate_keys_by_body},
    b"/keys/batch": {"POST": keys.get_batch},
    b"/keys/delete-batch": {"POST": keys.delete_batch},
    b"/vacuum": {"POST": keys.vacuum_expired},
    b"/atomic": {"POST": atomic.commit_atomic},
    b"/transaction": {"POST": atomic.commit_transaction},
    b"/queue/enqueue": {"POST": queue.enqueue},
    b"/queue/poll": {"GET": queue.poll},
    b"/queue/dequeue": {"GET": queue.poll},
    b"/queue/listen": {"GET": queue.listen},
    b"/queue/ack": {"POST": queue.ack},
    b"/queue/nack": {"POST": queue.nack},
    b"/queue/extend": {"POST": queue.extend},
    b"/queue/stats": {"GET": queue.stats},
    b"/queue/dlq": {"GET": queue.list_dlq, "DELETE": queue.purge_dlq},
    b"/indexes": {
        "POST": search.create_index,
        "GET": search.list_indexes,
        "DELETE": search.remove_index,
    },
    b"/health": {"GET": metrics.health},
    b"/metrics": {"GET": metrics.metrics},
    b"/metrics/prometheus": {"GET": metrics.prometheus},
    b"/search": {"GET": search.search, "POST": search.search_by_body},
    b"/search/paginate": {"POST": search.paginate_search},
    b"/watch": {"GET": watch.watch_keys},
    b"/watch/poll": {"GET": watch.poll_keys, "POST": watch.poll_keys_by_body},
    b"/watch/prefix": {"GET": watch.watch_prefix},
    b"/watch/prefix/poll": {"GET": watch.poll_prefix, "POST": watch.poll_prefix_by_body},
}

# A key of one part may be spelt like a fixed route; the methods that the route lacks reach it.
KEY: Methods = {"GET": keys.get_key, "PUT": keys.put_key, "DELETE": keys.delete_key}

WITH_ID: Mapping[tuple[bytes, bytes], Methods] = {
    (b"ack", b""): {"POST": queue.ack},
    (b"nack", b""): {"POST": queue.nack},
    (b"extend", b""): {"POST": queue.extend},
    (b"dlq", b""): {"GET": queue.get_dlq, "DELETE": queue.delete_dlq},
    (b"dlq", b"requeue"): {"POST": queue.requeue_dlq},
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
