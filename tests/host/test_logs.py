from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest
from buntime_host.observe.logs import REQUEST_ID, configure_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    uvicorn_level = logging.getLogger("uvicorn").level
    yield root
    root.handlers[:], root.level = handlers, level
    logging.getLogger("uvicorn").setLevel(uvicorn_level)
    logging.captureWarnings(capture=False)


def test_json_lines(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    token = REQUEST_ID.set("id-1")
    logger = logging.getLogger("plugin:x")
    logger.debug("hidden")
    logger.warning("a %s", "b", extra={"action": "go", "odd": object})
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("failed")
    REQUEST_ID.reset(token)
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry.pop("odd") == "<class 'object'>"
    assert entry == {
        "level": "warn",
        "context": "plugin:x",
        "message": "a b",
        "action": "go",
        "requestId": "id-1",
    }
    error = json.loads(captured.err)
    assert (error["level"], error["message"]) == ("error", "failed")
    assert "ValueError: bad" in error["stack"]


def test_text(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "text")
    logging.getLogger("App").debug("hello", extra={"n": 1})
    out = capsys.readouterr().out
    assert out.endswith(" DBG [App] hello n=1\n")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("App").exception("failed")
    err = capsys.readouterr().err
    assert " ERR [App] failed\nTraceback" in err


def test_auto_is_json_unless_a_terminal(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logging("info", "auto")
    logging.getLogger("App").info("x")
    assert capsys.readouterr().out.startswith("{")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    configure_logging("info", "auto")
    logging.getLogger("App").info("x")
    assert "INF [App] x" in capsys.readouterr().out


def test_uvicorn_does_not_chat(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logging.getLogger("uvicorn.error").info("Started server process")
    assert capsys.readouterr().out == ""
