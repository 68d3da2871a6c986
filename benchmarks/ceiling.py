"""What a GET and a durable PUT cost at the least in Python: no layers, no limits, no checks.

uvloop, httptools, the product's key codec, canonical JSON, schema and SQL, and one commit with its
sync of the disk for all writes that wait. It knows no access, no limits, no conditions, no watchers
and no errors: a lower bound, not a server. Run as a program it serves a database that has the
product's schema, on a free port of the loopback interface, and prints its address.
"""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate
from queue import SimpleQueue
from threading import Thread
from typing import cast

import apsw
import httptools
import uvloop
from buntime_host.processes.server import spare_the_collector
from buntime_keyval.wire import canonical_value, encode_key, key_to_json, parse_key_path
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.effects import Put
from buntime_plugin_keyval.storage.entry_json import entry_json

PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "wal_autocheckpoint = 4000",
    "cache_size = -65536",
)
BASE = len("/keyval/api/keys/")
"""Of a path, what is in front of the key."""

_GET, _PUT = SQLITE.reads.get, SQLITE.writes.put


class Store:
    """One connection; writes that come while a commit waits for the disk share the next one."""

    def __init__(self, path: str) -> None:
        self._connection = _open(path)
        self._reading = _open(path).cursor()
        self._writing = self._connection.cursor()
        self._stamps = Stamps()
        self._waiting: list[tuple[asyncio.Transport, str, bytes]] = []
        self._is_committing = False
        self._groups: SimpleQueue[list[tuple[asyncio.Transport, str]]] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        Thread(target=self._commit, daemon=True).start()

    def get(self, transport: asyncio.Transport, path: str) -> None:
        """Answer with the entry; where there is none the connection ends, which fails the run."""
        key = parse_key_path(path)
        args = (encode_key(key), time.time_ns() // 1_000_000)
        ((value, stamp),) = self._reading.execute(_GET, args)
        text = entry_json(key_to_json(key), cast("str", value), cast("str", stamp))
        transport.write(answer(text))

    def put(self, transport: asyncio.Transport, path: str, body: bytes) -> None:
        """Write it with the next commit, and answer then."""
        self._waiting.append((transport, path, body))
        if not self._is_committing:
            self._is_committing = True
            self._loop.call_soon(self._write)  # with all that this turn of the loop brings

    def _write(self) -> None:
        if not self._waiting:
            self._is_committing = False
            return
        group, self._waiting = self._waiting, []
        now = time.time_ns() // 1_000_000
        execute = self._writing.execute
        execute("BEGIN IMMEDIATE")
        written = []
        for transport, path, body in group:
            key = parse_key_path(path)
            encoded, stamp = encode_key(key), self._stamps.make(now)
            value = canonical_value(body, now)
            put = Put(encoded, key_to_json(key), value)
            for statement in _PUT(put, stamp, Moment(now, now), True):
                execute(*statement)
            written.append((transport, stamp))
        self._groups.put(written)

    def _commit(self) -> None:
        while True:
            group = self._groups.get()
            self._connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._committed, group)

    def _committed(self, group: list[tuple[asyncio.Transport, str]]) -> None:
        for transport, stamp in group:
            if not transport.is_closing():
                transport.write(answer(f'{{"ok":true,"versionstamp":"{stamp}"}}'))
        self._write()


class Protocol(asyncio.Protocol):
    """One connection; whoever asks waits for the answer before asking again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parser = httptools.HttpRequestParser(self)
        self._path = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Of the parser."""
        self._path, self._body = url, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the parser: headers are taken apart, and nobody looks at them."""

    def on_body(self, body: bytes) -> None:
        """Of the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Of the parser."""
        path = self._path[BASE:].decode()
        if self._parser.get_method() == b"GET":
            self._store.get(self._transport, path)
        else:
            self._store.put(self._transport, path, self._body)


_DATE = f"date: {formatdate(usegmt=True)}\r\n".encode()
_HEAD = b"HTTP/1.1 200 OK\r\n" + _DATE + b"content-type: application/json\r\n"


def answer(text: str) -> bytes:
    """An answer with this JSON."""
    body = text.encode()
    return b"%scontent-length: %d\r\n\r\n%s" % (_HEAD, len(body), body)


def _open(path: str) -> apsw.Connection:
    connection = apsw.Connection(path, apsw.SQLITE_OPEN_READWRITE)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


async def serve(path: str) -> None:
    """Serve until a signal."""
    store = Store(path)
    spare_the_collector()
    server = await asyncio.get_running_loop().create_server(lambda: Protocol(store), "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
