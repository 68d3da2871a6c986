"""What a shell completes: keys and the prefixes of indexes, asked of the server.

A shell waits while it asks, so the server gets a second, and whatever goes wrong completes nothing.
"""

from __future__ import annotations

from typing import Any

import click

from buntime_keyval.cli.options import DEFAULT_URL, ServerTarget
from buntime_keyval.cli.output import shown_key
from buntime_keyval.wire import Key, parse_key_path
from buntime_keyval.wire.errors import InvalidInput

PATIENCE = "1s"
MOST = 200
"""Suggestions."""
_PAGE = 1000
_PAGES = 20


def complete_keys(ctx: click.Context, incomplete: str) -> list[str]:
    """Paths that begin so, down to the next slash."""
    above, slash, _ = incomplete.rpartition("/")
    try:
        prefix = parse_key_path(above) if slash else ()
    except InvalidInput:
        return []
    return _ask(ctx, lambda kv: _children(kv, prefix, incomplete))


def complete_index_prefixes(ctx: click.Context, incomplete: str) -> list[str]:
    """Prefixes of indexes that begin so."""
    return _ask(
        ctx,
        lambda kv: [
            path
            for index in kv.list_indexes()
            if (path := shown_key(index.prefix)).startswith(incomplete)
        ],
    )


def _children(kv: Any, prefix: Key, incomplete: str) -> list[str]:
    """The keys and prefixes one part below a prefix; a prefix ends with a slash.

    What is below a text part is skipped, so that a large prefix does not hide the others.
    """
    found: dict[str, None] = {}
    start: Key | None = None
    for _ in range(_PAGES):
        last = None
        for entry in kv.list(prefix, start=start, limit=_PAGE, values=False):
            last = entry.key
            child = shown_key(last[: len(prefix) + 1])
            path = child if len(last) == len(prefix) + 1 else f"{child}/"
            if path.startswith(incomplete) and not path.startswith("["):
                found[path] = None
        if last is None or len(found) >= MOST:
            break
        part = last[len(prefix)]
        start = (*prefix, f"{part}\0") if isinstance(part, str) else (*last, "")
    return list(found)[:MOST]


def _ask(ctx: click.Context, question: Any) -> list[str]:
    from buntime_keyval import Kv, KvError

    target = _target(ctx)
    try:
        with Kv(
            target.url, token=target.token, timeout=PATIENCE, connect_timeout=PATIENCE, retries=0
        ) as kv:
            answer: list[str] = question(kv)
    except (KvError, InvalidInput):
        return []
    return answer


def _target(ctx: click.Context) -> ServerTarget:
    """The server that was typed so far, behind the command or behind the group."""
    url = token = None
    step: click.Context | None = ctx
    while step is not None:
        url = url or step.params.get("url")
        token = token or step.params.get("token")
        step = step.parent
    return ServerTarget(url or DEFAULT_URL, token)
