"""What the documents for maintainers say of the code: every name is there, every way is gone.

They are `docs/architecture.md` and the `DESIGN.md` beside each package. A way is a text block whose
lines are numbered hops: module, function, and what it does there.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_host import Host, create_app
from buntime_host.processes.server import uvicorn_config
from buntime_keyval import AsyncKv
from support.names import (
    ROOT,
    all_names,
    names_of,
    options,
    packages,
    sources,
    tables_and_columns,
)
from support.waiting import PATIENCE
from support.ways import Hop, Way, Ways, recorded
from uvicorn.server import ServerState

pytestmark = pytest.mark.slow

ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = [ARCHITECTURE, *sorted((*ROOT.glob("*/DESIGN.md"), *ROOT.glob("*/*/DESIGN.md")))]
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HOP = re.compile(r"^ *(\d+) +(buntime_[\w/]+\.py) +([\w.]+)", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"[\w./*-]+(?:\.(?:py|md|sql|yaml|toml|jsonc)|/)")
_DRAWN = re.compile(r"(?<![\w/.])[\w./-]+\.(?:py|sql)\b")
_STANDS_FOR = {"ctx": "PluginContext", "adapter": "Adapter"}
"""What a lower-case name before a dot is an instance of."""


def ways_of(document: Path) -> list[Way]:
    """The ways that a document draws."""
    blocks = [_HOP.findall(block) for block in _BLOCK.findall(document.read_text("utf-8"))]
    for hops in blocks:
        assert [number for number, _, _ in hops] == [str(n + 1) for n in range(len(hops))]
    return [tuple(Hop(module, name) for _, module, name in hops) for hops in blocks if hops]


def unknown_names(document: Path, text: str) -> Iterator[str]:
    """What is written as code in a text, looks like a name of ours, and is none."""
    drawn = "".join(_FENCED.findall(text))
    for file in _DRAWN.findall(drawn):
        if not _is_file(document, file):
            yield file
    for code in _CODE.findall(_FENCED.sub("", text)):
        if not _is_known(document, code):
            yield code


def _is_known(document: Path, code: str) -> bool:
    if _FILE.fullmatch(code):
        return code.startswith("/") or _is_file(document, code)
    if not re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)*", code):
        return True  # a statement, a request, a command
    first, dot, rest = code.partition(".")
    if dot and first.startswith("buntime_"):
        return _is_module(code) or _is_module(code.rpartition(".")[0], code.rpartition(".")[2])
    if dot:
        return f"{_STANDS_FOR.get(first, first)}.{rest}" in all_names() or code in options()
    if code.startswith("kv_"):
        return code in tables_and_columns()
    if code.islower() and "_" not in code:
        return True  # a word
    if code.isupper() and "_" not in code:
        return True  # of SQL or HTTP
    known = (all_names(), options(), tables_and_columns())
    return any(code in names for names in known) or _is_module(code)


def _is_file(document: Path, name: str) -> bool:
    """Whether it is there: from the root, beside the document, or in an import package.

    A file name alone may be anywhere in the folder of the document's package.
    """
    if "/" not in name and document != ARCHITECTURE and any(document.parent.rglob(name)):
        return True
    own = [path for path in packages() if document in (ARCHITECTURE, path.parent / "DESIGN.md")]
    folders = {ROOT, document.parent, *own, *(path.parent for path in packages())}
    return any(True for folder in folders for _ in folder.glob(name.rstrip("/")))


def _is_module(dotted: str, name: str | None = None) -> bool:
    ends = (f"/{dotted.replace('.', '/')}.py", f"/{dotted.replace('.', '/')}/__init__.py")
    paths = [path for path in sources() if path.as_posix().endswith(ends)]
    if name is None:
        return bool(paths)
    return any(name in names_of(path) or name in path.read_text("utf-8") for path in paths)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_is_there(document: Path) -> None:
    assert not list(unknown_names(document, document.read_text("utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_hop_is_there(document: Path) -> None:
    for hop in {hop for way in ways_of(document) for hop in way}:
        paths = [path for path in sources() if path.as_posix().endswith(f"/{hop.module}")]
        assert any(hop.function in names_of(path) for path in paths), hop


@pytest.mark.parametrize(
    "text",
    [
        "`engine/nothing.py`",
        "`Store.nothing`",
        "`ctx.nothing`",
        "`NothingOfThatName`",
        "`no_function`",
        "`kv_nothing`",
        "`limits.nothing`",
        "`buntime_keyval.nothing`",
        "`tests/keyval/test_nothing.py`",
        "```text\n1  nothing.py\n```",
    ],
)
def test_a_wrong_name_is_noticed(text: str) -> None:
    assert list(unknown_names(ARCHITECTURE, text)) == [text.strip("`").split()[-1]]


async def test_every_way_is_gone(tmp_path: Path) -> None:
    drawn = ways_of(ARCHITECTURE)
    assert len(drawn) > 10
    with recorded() as ways:
        async with create_app(_configuration(tmp_path)) as host:
            deadline = time.monotonic() + PATIENCE
            # A write may join a group that another one began; then its way begins there.
            while time.monotonic() < deadline and not all(map(ways.has, drawn)):
                async with asyncio.timeout(PATIENCE):
                    await _calls(host)
    not_gone = [way for way in drawn if not ways.has(way)]
    assert not ways.has((drawn[0][0], drawn[0][-1])), "what leaves hops out is not a way"
    assert not not_gone, "\n\n".join(_differing(ways, way) for way in not_gone)


def _differing(ways: Ways, drawn: Way) -> str:
    """A way that is not gone, beside those between the same two functions."""
    lines = ["drawn:", *map(_shown, drawn)]
    for way in ways.to(drawn[-1].function):
        if drawn[0] in way:
            lines += ["gone:", *map(_shown, way[way.index(drawn[0]) :])]
    return "\n".join(lines)


def _shown(hop: Hop) -> str:
    return f"  {hop.module}  {hop.function}"


def _configuration(folder: Path) -> Path:
    database = {"adapters": [{"type": "sqlite", "baseDir": str(folder)}], "api": {"write": True}}
    plugins = [["@buntime/plugin-database", database], "@buntime/plugin-keyval"]
    file = folder / "buntime.jsonc"
    file.write_text(json.dumps({"plugins": plugins}))
    return file


async def _calls(host: Host) -> None:
    """What `docs/architecture.md` draws."""
    transport = httpx2.ASGITransport(app=host)
    async with AsyncKv("http://127.0.0.1/keyval/api", transport=transport) as kv:
        await kv.set(("a",), 1)
        await kv.get(("a",))
    await _direct_calls(host)
    listener = _Stream(host, "/keyval/api/queue/listen", b"", b'"value":"sent"')
    watcher = _Stream(host, "/keyval/api/watch", b"keys=b", b'"value":"changed"')
    async with listener, watcher:
        await _call(host, "POST", "/keyval/api/queue/enqueue", {"value": "sent"})
        await _call(host, "PUT", "/keyval/api/keys/b", "changed")
        await listener.found.wait()
        await watcher.found.wait()
        # Once more: the stream says that the one before has left.
        await _call(host, "POST", "/keyval/api/queue/enqueue", {"value": "more"})
    statement = {"sql": "SELECT 1"}
    await _call(host, "POST", "/database/api/query", statement)
    requests = [{"type": "execute", "stmt": statement}, {"type": "close"}]
    await _call(host, "POST", "/database/api/v2/pipeline", {"requests": requests})


async def _direct_calls(host: Host) -> None:
    """The same of a key, over a connection with the host's own server."""
    config = uvicorn_config(host)
    config.load()
    config.loaded_app = host.dispatcher
    make: Any = config.http_protocol_class
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    await loop.connect_accepted_socket(
        lambda: make(config=config, server_state=ServerState(), app_state={}), near
    )
    reader, writer = await asyncio.open_connection(sock=far)
    head = "%s /keyval/api/keys/a HTTP/1.1\r\nhost: localhost\r\n%s\r\n"
    get = head % ("GET", "")
    for request in (head % ("PUT", "content-length: 1\r\n") + "1", get, get):
        writer.write(request.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer, answer
        await reader.readuntil(b"}")
    writer.close()
    await writer.wait_closed()


async def _call(host: Host, method: str, path: str, body: object) -> None:
    """A request whose answer has to be a success."""
    content = json.dumps(body).encode()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    length = (b"content-length", b"%d" % len(content))
    await host(_scope(method, path, length), receive, send)
    assert sent[0]["status"] == 200, sent


class _Stream:
    """An open event stream, until the body; `found` is set once a text came."""

    def __init__(self, host: Host, path: str, query: bytes, text: bytes) -> None:
        self.found = asyncio.Event()
        self._opened = asyncio.Event()
        self._over = asyncio.Event()
        self._text = text
        self._scope = _scope("GET", path, query=query)
        self._host = host

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._host(self._scope, self._receive, self._send))
        await self._opened.wait()

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task

    async def _receive(self) -> dict[str, Any]:
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        body = message.get("body", b"")
        if body:
            self._opened.set()
        if self._text in body:
            self.found.set()


def _scope(
    method: str, path: str, *headers: tuple[bytes, bytes], query: bytes = b""
) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }
