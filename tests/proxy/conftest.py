"""A target, and servers that pass requests on to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from proxy.upstream_app import running_app
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.waiting import PATIENCE

PROXY = "@buntime/plugin-proxy"
Serve = Callable[..., AbstractContextManager[LiveServer]]


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """The URL of a target that all tests share."""
    with running_app() as port:
        yield f"http://127.0.0.1:{port}"


def config_with(*rules: dict[str, Any], stored: bool = True, **options: Any) -> dict[str, Any]:
    """A configuration with rules; without a store if not `stored`."""
    plugins = [*DEFAULT_PLUGINS] if stored else []
    return {"plugins": [*plugins, [PROXY, {"rules": list(rules), **options}]]}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Starts a server with rules and options of the plugin, and perhaps with other plugins."""

    @contextmanager
    def start(
        *rules: dict[str, Any],
        stored: bool = False,
        folder: Path | None = None,
        workers: int = 1,
        environ: dict[str, str] | None = None,
        others: Sequence[str] = (),
        **options: Any,
    ) -> Iterator[LiveServer]:
        config = config_with(*rules, stored=stored, **options)
        config["plugins"] += others
        where = folder or tmp_path_factory.mktemp("proxy")
        with live_server(where, config, environ, workers=workers) as running:
            yield running

    return start


@pytest.fixture(scope="module")
def proxy(serve: Serve, target: str) -> Iterator[LiveServer]:
    """A server with a rule for everything below `/up`, and a store for others."""
    with serve({"pattern": "^/up(/.*)$", "rewrite": "$1", "target": target}, stored=True) as it:
        yield it


def client_for(server: LiveServer) -> httpx2.Client:
    """A client that sends everything to one server."""
    return httpx2.Client(base_url=server.url, trust_env=False, timeout=PATIENCE)


@pytest.fixture(scope="module")
def shared_client(proxy: LiveServer) -> Iterator[httpx2.Client]:
    with client_for(proxy) as made:
        yield made


@pytest.fixture
def client(shared_client: httpx2.Client) -> Iterator[httpx2.Client]:
    """A client of `proxy`. What rules a test adds are not there for the next one."""
    yield shared_client
    for rule in shared_client.get("/redirects/api/rules").json():
        if not rule["readonly"]:
            shared_client.delete(f"/redirects/api/rules/{rule['id']}")
