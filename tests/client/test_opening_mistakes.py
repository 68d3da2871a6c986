"""What `open_kv` says of stores that it does not open, and what it keeps to itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import CannotOpen, InvalidInput, open_kv, open_kv_sync
from buntime_keyval.embedded import Location

UNQUOTED = ("hu:/sh", "hu@sh", "hu#sh", "hu?sh", "hu[sh", "12/hush")
"""Passwords that do not stand in a URL as they are."""


class BytesPath(os.PathLike[bytes]):
    """A path that is no text, such as one of `os.scandir(b".")`."""

    def __fspath__(self) -> bytes:
        return b"a.db"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": ""}, "url is empty"),
        ({"url": "file:"}, "url names no file"),
        ({"url": "file:///"}, "url names no file"),
        ({"url": 7}, "url must be a text or a path, received one of type int"),
        ({"url": "redis://x"}, "redis:// is not known; use http://"),
        ({"url": "http://[::"}, "is not a URL"),
        ({"url": "a\0.db"}, "holds a character that no path"),
        ({"url": Path("a\0.db")}, "holds a character that no path"),
        ({"url": "caf\udce9.db"}, "holds a character that no path"),
        ({"url": Path("caf\ud800.db")}, "holds a character that no path"),
        ({"url": BytesPath()}, "url must be a text or a path, received one of type bytes"),
        ({"url": "what?.db"}, r"a path with a \? in it"),
        ({"url": Path("why?") / "a.db"}, r"a path with a \? in it"),
        ({"url": "memory:"}, r"did you mean :memory:\?"),
        ({"url": ":memory"}, r"did you mean :memory:\?"),
        ({"url": "file::memory:"}, "a store in memory is :memory:"),
        ({"url": "localhost:8000"}, r"did you mean http://localhost:8000\?"),
        ({"url": "127.0.0.1:8000/keyval/api"}, r"mean http://127\.0\.0\.1:8000/keyval/api\?"),
        ({"url": "localhost:8000", "token": "secret"}, r"did you mean http://localhost:8000\?"),
        ({"url": "[::1]:8000"}, r"did you mean http://\[::1\]:8000\?"),
        ({"url": "http:/x"}, r"did you mean http://x\?"),
        ({"url": "HTTPS:x/y"}, r"did you mean https://x/y\?"),
        ({"url": "postgres:/user:hush@x"}, r"'postgres:…' .*; did you mean postgres://…\?$"),
        ({"url": "sqlite:a.db"}, r"did you mean a\.db\?"),
        ({"url": "a:b.db"}, r"neither a URL nor a path\. A file of this name is \./a:b\.db"),
        ({"url": "http://x", "keyval": {}}, "a server has its own options"),
        ({"url": "a.db", "token": "secret"}, "token is for a server"),
    ],
)
def test_mistakes_are_told_at_once(arguments: dict[str, Any], told: str) -> None:
    for opening in (open_kv, open_kv_sync):
        with pytest.raises(InvalidInput, match=told):
            opening(**arguments)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keyval": {"queue": {"lockDuration": "soon"}}}, r"\.db: queue\.lockDuration: must be"),
        (
            {"keyval": {"queu": {}}},
            r"\.db: there are no such options: queu \(did you mean queue\?\)",
        ),
        ({"database": {"type": "mysql"}}, "mysql"),
        ({"database": {"synchronus": "off"}}, r"\.db: .*`synchronus` \(did you mean synchronous\?"),
        ({"keyval": {"lockDuration": "1s"}}, "no such options: lockDuration"),
        ({"keyval": {"queue": {"lockDurations": "1s"}}}, r"options: queue\.lockDurations"),
    ],
)
def test_wrong_options_are_told_by_the_first_request(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    kv = open_kv_sync(tmp_path / "app.db", **options)
    with pytest.raises(CannotOpen, match=told):
        kv.get(["a"])
    kv.close()


@pytest.mark.parametrize(
    ("scheme", "variable", "told"),
    [
        ("rqlite", "RQLITE_URL", "at least one URL"),
        ("libsql", "LIBSQL_URL", "at least one URL"),
        ("postgresql", "POSTGRES_URL", "URL is required"),
    ],
)
def test_no_variable_says_where_a_store_is(
    monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with open_kv_sync(f"{scheme}://") as kv, pytest.raises(CannotOpen, match=told):
        kv.get(["a"])


def test_a_file_that_is_none_is_told_by_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be one\n" * 100)
    kv = open_kv_sync(tmp_path / "text.db")
    with pytest.raises(CannotOpen, match=r"text\.db"):
        kv.get(["a"])
    kv.close()
    assert (tmp_path / "text.db").read_text().startswith("not a database")


@pytest.mark.parametrize(
    "url",
    [
        "libsql://user:hush@127.0.0.1:9/?authToken=hush",
        "libsql://127.0.0.1:9?authToken=hu@sh",
        "postgresql://user:hush@127.0.0.1:9/app",
        *(f"postgresql://user:{password}@127.0.0.1:9/app" for password in UNQUOTED),
    ],
)
def test_no_secret_is_in_a_message(url: str) -> None:
    options = {"queue": {"lockDuration": "soon"}}
    entry = {"authToken": "hush"} if url.startswith("libsql") else {}
    kv = open_kv_sync(url, database=entry, keyval=options)
    with pytest.raises(CannotOpen) as caught:
        kv.get(["a"])
    kv.close()
    assert not re.search("hu|sh", str(caught.value).partition(": ")[0])
    assert "hush" not in str(caught.value)
    assert "sh" not in Location(url).shown


def test_what_is_shown_of_a_url() -> None:
    assert (
        Location("postgresql://a:b@c:5432,[::1]:1/d?e=f").shown == "postgresql://c:5432,[::1]:1/d"
    )
    assert Location("file:/srv/a@b.db?c").shown == "file:/srv/a@b.db"
    assert Location("postgresql://a:b/c@d/e").shown == "postgresql://…"


@pytest.mark.parametrize("password", UNQUOTED)
def test_a_password_with_characters_that_are_not_quoted(password: str) -> None:
    kv = open_kv_sync(f"postgresql://user:{password}@127.0.0.1:9/app")
    with pytest.raises(CannotOpen, match=r"written as|is written %23") as caught:
        kv.get(["a"])
    kv.close()
    assert "hush" not in str(caught.value)


def test_a_folder_is_not_made(tmp_path: Path) -> None:
    """Of a path that was misspelt; a file is, and one that is there may be in any folder."""
    for path in (tmp_path / "none" / "a.db", str(tmp_path / "none" / "a.db"), tmp_path):
        kv = open_kv_sync(path)
        with pytest.raises(CannotOpen, match=r"there is no folder .*none: create it|is a folder"):
            kv.set(["a"], 1)
        kv.close()
    assert [*tmp_path.iterdir()] == []
    with open_kv_sync(tmp_path / "a.db") as kv:
        kv.set(["a"], 1)


@pytest.mark.parametrize("path", ["a" * 300, "a" * 300 + "/a.db"])
def test_a_name_that_is_too_long(tmp_path: Path, path: str) -> None:
    with (
        open_kv_sync(tmp_path / path) as kv,
        pytest.raises(CannotOpen, match="File name too long"),
    ):
        kv.get(["a"])


def test_it_is_the_database_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    kv = open_kv_sync(tmp_path / "text.db")
    with pytest.raises(CannotOpen, match="not a database") as caught:
        kv.get(["a"])
    kv.close()
    assert "plugin" not in str(caught.value)
