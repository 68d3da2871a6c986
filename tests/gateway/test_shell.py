"""The shell: which requests it answers, and which first segments it leaves to others."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
from buntime_host import OptionError
from buntime_plugin_gateway.shell.excludes import MOST, PREFIX, StoredExcludes
from buntime_plugin_gateway.shell.files import read_files
from buntime_plugin_gateway.shell.serving import Shell
from gateway.conftest import request_of
from support.store import open_kv
from support.waiting import until

LOGGER = logging.getLogger("test")
BASES = {"api": "host", "health": "host", "keyval": "keyval", "gateway": "gateway"}
DOCUMENT = ("sec-fetch-dest", "document")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("<title>shell</title>")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app ü.js").write_text("1")
    return tmp_path


def shell_of(folder: Path, *excludes: str, stored: Mapping[str, object] | None = None) -> Shell:
    def mounted_at(path: str) -> str | None:
        return "host" if path == "/" else BASES.get(path[1:].partition("/")[0])

    return Shell(folder, read_files(folder), frozenset(excludes), lambda: stored or {}, mounted_at)


def shown(shell: Shell, path: str, *headers: tuple[str, str], method: str = "GET") -> str | None:
    answer = shell.answer(request_of(path, *headers, method=method))
    if answer is None:
        return None
    return {b"<title>shell</title>": "index", b"<svg/>": "icon", b"1": "script"}[answer.content()]


@pytest.mark.parametrize(
    ("path", "destination", "what"),
    [
        ("/", "document", "index"),
        ("/", "", "index"),
        ("/orders", "document", "index"),
        ("/orders/17", "document", "index"),
        ("/orders/17", "empty", None),
        ("/orders", "", "index"),
        ("/orders", "iframe", None),
        ("/orders", "embed", None),
        ("/orders", "object", None),
        ("/keyval/api/keys/a", "document", "index"),
        ("/keyval/api/keys/a", "", None),
        ("/api/plugins", "document", None),
        ("/health", "document", None),
        ("/favicon.svg", "image", "icon"),
        ("/missing.png", "image", None),
        ("/assets/app%20%C3%BC.js", "script", "script"),
        ("/assets/missing.js", "script", None),
        ("/assets/../index.html", "script", None),
    ],
)
def test_what_it_answers(folder: Path, path: str, destination: str, what: str | None) -> None:
    headers = [("sec-fetch-dest", destination)] if destination else []
    assert shown(shell_of(folder), path, *headers) == what
    assert shown(shell_of(folder), path, *headers, method="POST") is None


def test_excludes(folder: Path) -> None:
    shell = shell_of(folder, "cpanel", stored={"admin": 1})
    assert shown(shell, "/cpanel/x", DOCUMENT) is None
    assert shown(shell, "/admin", DOCUMENT) is None
    assert shown(shell, "/cpanels", DOCUMENT) == "index"
    for name in ("gateway_shell_excludes", "GATEWAY_SHELL_EXCLUDES"):
        cookie = ("cookie", f"a=b; {name}=tools%2C%20lab%2C%24bad")
        assert shown(shell, "/tools/1", DOCUMENT, cookie) is None
        assert shown(shell, "/lab", DOCUMENT, cookie) is None
        assert shown(shell, "/$bad", DOCUMENT, cookie) == "index"
        assert shown(shell, "/", DOCUMENT, cookie) == "index"


def test_a_browser_that_has_it_gets_nothing_again(folder: Path) -> None:
    shell = shell_of(folder)
    first = shell.answer(request_of("/", DOCUMENT))
    assert first is not None
    assert first.content_type == "text/html; charset=utf-8"
    assert dict(first.headers)[b"cache-control"] == b"no-cache"
    again = shell.answer(request_of("/", DOCUMENT, ("if-none-match", f'"{first.tag}"')))
    assert again is not None
    assert (again.status, again.content()) == (304, b"")


def test_folders_that_are_none(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OptionError, match=r"shellDir: .*missing is not a folder"):
        read_files(tmp_path / "missing")
    (folder / "index.html").unlink()
    with pytest.raises(OptionError, match=r"has no index\.html"):
        read_files(folder)


def test_links_do_not_lead_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-secret.txt"
    outside.write_text("secret")
    (folder / "link.txt").symlink_to(outside)
    assert b"/link.txt" not in read_files(folder)


async def test_excludes_of_the_store_are_keys_that_all_watch() -> None:
    async with open_kv() as kv:
        one, two = StoredExcludes(kv, LOGGER), StoredExcludes(kv, LOGGER)
        await one.start()
        await two.start()
        assert await one.add("admin")
        assert not await two.add("admin")
        assert one.added_at["admin"] > 1_600_000_000_000
        await until(lambda: two.added_at == one.added_at)
        await kv.set((*PREFIX, "lab"), {"addedAt": 5})
        await kv.set((*PREFIX, "no name"), {})
        await kv.set((*PREFIX, "below", "another"), {})
        await until(lambda: "lab" in one.added_at)
        assert dict(one.added_at) == {"admin": one.added_at["admin"], "lab": 5}
        assert await two.remove("admin")
        assert not await two.remove("admin")
        await until(lambda: set(one.added_at) == {"lab"})
        await one.stop()
        await two.stop()


async def test_two_adds_at_once_lose_nothing() -> None:
    """The original read a list, changed it and wrote it, so that one of two was lost."""
    async with open_kv() as kv:
        one, two = StoredExcludes(kv, LOGGER), StoredExcludes(kv, LOGGER)
        for number in range(10):
            assert await one.add(f"a{number}")
            assert await two.add(f"b{number}")
        await one.read()
        assert len(one.added_at) == 20


async def test_the_list_of_an_older_version_becomes_keys() -> None:
    async with open_kv() as kv:
        await kv.set(PREFIX, ["admin", "lab", "no name", 5])
        excludes = StoredExcludes(kv, LOGGER)
        await excludes.start()
        assert dict(excludes.added_at) == {"admin": 0, "lab": 0}
        assert (await kv.get(PREFIX)).value is None
        await excludes.stop()


async def test_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_kv() as kv:
        commit = kv.atomic()
        for number in range(MOST // 2):
            commit = commit.set((*PREFIX, f"n{number}"), {})
        await commit.commit()
        excludes = StoredExcludes(kv, LOGGER)
        await excludes.read()
        assert len(excludes.added_at) == MOST // 2
        excludes.added_at = {f"n{number}": 0 for number in range(MOST)}
        with pytest.raises(Exception, match=f"at most {MOST} excludes"):
            await excludes.add("more")
