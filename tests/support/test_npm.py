"""A registry that gives nothing, which no test waits for twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.npm import npm_folder

pytestmark = pytest.mark.slow

PACKAGE = "what-nobody-has"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a registry that is out of order is asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as registry:
        thread = threading.Thread(target=registry.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("BUNTIME_TEST_CACHE", str(tmp_path))
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"http://127.0.0.1:{registry.server_port}/")
        yield paths
        registry.shutdown()
        thread.join()


def test_it_is_asked_twice_for_all_tests(asked: list[str]) -> None:
    for _ in range(3):
        with pytest.raises(pytest.fail.Exception, match=f"{PACKAGE} 1.0.0 is not installed: .*503"):
            npm_folder(PACKAGE, "1.0.0")
    assert asked == [f"/{PACKAGE}"] * 2
