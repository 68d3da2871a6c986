# Made by scripts/unasync from _async/opening.py: change that one.
"""Opens a store, wherever it is, in one line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from buntime_keyval._opening import is_server, location_of, server_url
from buntime_keyval._sync.client import Kv
from buntime_keyval._tokens import TokenSource
from buntime_keyval.embedded import Embedded


def open_kv_sync(
    url: str | os.PathLike[str],
    *,
    token: str | TokenSource | None = None,
    database: Mapping[str, Any] | None = None,
    keyval: Mapping[str, Any] | None = None,
    clock: Callable[[], float] | None = None,
) -> Kv:
    """A store, on a server or in this process: `with open_kv_sync("app.db") as kv`.

    `url` is the URL of a server (`http://127.0.0.1:8000`, with `token` if it needs one), or the
    place of the data of a store in this process: the path of a file, `file:app.db`, `:memory:`, or
    the URL of a database server (`libsql://…`, `rqlite://…`, `postgresql://…`). Such a store needs
    the distribution `buntime`. It is opened by its first request and works in the background until
    `close`; several processes may have the same one open, but for one in memory.

    `database` and `keyval` are further options of the database engine and of the store, as in a
    configuration. `clock` tells the time of a store in this process, in epoch seconds as
    `time.time` does: a test lets time pass with it, but never go back.

    Raises `InvalidInput`, and `CannotOpen` where no store can be in this process; the first request
    raises `CannotOpen` where there is none to open.
    """
    if is_server(url):
        return Kv(server_url(url, database, keyval, clock), token=token)
    location = location_of(url, token, database, keyval, clock)
    return Kv("http://localhost/keyval/api", transport=Embedded(location))
