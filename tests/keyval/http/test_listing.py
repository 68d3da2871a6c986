"""Listing, paging and counting: ranges, limits, cursors, and every spelling of a prefix."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")


def fill(api: Api, *prefix: Any, count: int) -> None:
    sets = [{"type": "set", "key": [*prefix, n], "value": n} for n in range(count)]
    api.mutate(*sets)


def found(api: Api, path: str = "/keys", **query: Any) -> list[Any]:
    return [entry["value"] for entry in api.json("GET", path, query=query)]


def test_weakness_01_a_prefix_ends_where_a_part_ends(api: Api) -> None:
    for key in ("user/1", "users/1", "user2", "user\0/1", "userÿ", "user"):
        api.put(key.replace("\0", "%00").replace("ÿ", "%C3%BF"), key)
    assert found(api, prefix="user") == ["user/1"]
    assert found(api, prefix="users") == ["users/1"]
    assert api.json("GET", "/keys/count", query={"prefix": "user"}) == {"count": 1}
    page = api.json("GET", "/keys/paginate", query={"prefix": "user"})
    assert [entry["key"] for entry in page["entries"]] == [["user", 1]]
    assert api.json("DELETE", "/keys/user") == {"deletedCount": 2}
    assert found(api) == ["user\0/1", "user2", "users/1", "userÿ"]


def test_weakness_39_every_type_of_part_sorts_right(api: Api) -> None:
    def big(value: int) -> dict[str, str]:
        return {"__type": "bigint", "value": str(value)}

    def data(text: str) -> dict[str, str]:
        return {"__type": "uint8array", "value": text}

    ordered: list[Any] = [
        data(""), data("AA=="), data("AAA="), data("AAE="), data("AQ=="), data("/w=="),
        "", "\0", "\0\0", "\0a", "a", "a\0", "a\0b", "ab", "ÿ", "🙂",
        -1e300, -100, -2, -1.5, -1, 0, 0.5, 1, 2, 10, 100, 1e300,
        big(-(2**2041)), big(-257), big(-256), big(-255), big(-1), big(0), big(1), big(255),
        big(256), big(2**2041), False, True,
    ]  # fmt: skip
    for part in reversed(ordered):
        api.mutate({"type": "set", "key": [part], "value": None})
    assert api.keys() == [[part] for part in ordered]
    assert api.keys(reverse=True) == [[part] for part in reversed(ordered)]
    api.mutate({"type": "set", "key": [-0.0], "value": "zero"})
    assert api.value(0) == "zero"
    assert len(api.keys()) == len(ordered)


@pytest.mark.parametrize(
    "prefix",
    [["p"], "p", "/p/", '["p"]', "%70"],
    ids=["array", "path", "slashes", "json", "percent"],
)
def test_bodies_take_a_prefix_as_array_or_text(api: Api, prefix: Any) -> None:
    fill(api, "p", count=3)
    fill(api, "q", count=1)
    assert len(api.json("POST", "/keys/list", {"prefix": prefix})) == 3
    assert api.json("POST", "/keys/count", {"prefix": prefix}) == {"count": 3}
    assert len(api.json("POST", "/keys/paginate", {"prefix": prefix})["entries"]) == 3
    if isinstance(prefix, str):
        assert len(found(api, prefix=prefix)) == 3


@pytest.mark.parametrize("prefix", [[], "", None, "[]"])
def test_an_empty_prefix_is_the_whole_store(api: Api, prefix: Any) -> None:
    fill(api, "p", count=2)
    fill(api, "q", count=1)
    assert len(api.json("POST", "/keys/list", {"prefix": prefix})) == 3
    assert api.json("POST", "/keys/count", {"prefix": prefix}) == {"count": 3}
    assert len(api.json("POST", "/keys/paginate", {"prefix": prefix})["entries"]) == 3
    if prefix is not None and prefix != []:
        assert len(found(api, prefix=prefix)) == 3


def test_bounds_and_order(api: Api) -> None:
    fill(api, "p", count=5)
    fill(api, "q", count=2)
    assert found(api, prefix="p", start="p/1", end="p/3") == [1, 2]
    assert found(api, start="p/3", end="q/1") == [3, 4, 0]
    assert found(api, prefix="p", reverse="true") == [4, 3, 2, 1, 0]
    assert found(api, prefix="p", reverse="false") == [0, 1, 2, 3, 4]
    assert found(api, prefix="p", start="p/9") == []
    assert found(api, prefix="p", start="a", end="z", limit="2", reverse="true") == [4, 3]
    assert found(api, prefix="p", end="") == [0, 1, 2, 3, 4]
    body = {"prefix": ["p"], "start": "p/1", "end": ["p", 4], "reverse": True, "limit": 2}
    assert api.keys(**body) == [["p", 3], ["p", 2]]


def test_what_is_ignored(api: Api) -> None:
    fill(api, "p", count=2)
    for consistency in ("strong", "eventual"):
        assert found(api, prefix="p", consistency=consistency) == [0, 1]
        assert api.json("GET", "/keys/p/1", query={"consistency": consistency})["value"] == 1
    assert api.keys(prefix=["p"], consistency="strong") == [["p", 0], ["p", 1]]


def test_a_repeated_parameter_is_refused(api: Api) -> None:
    for query in ("limit=1&limit=1", "prefix=p&prefix=q", "end=&end="):
        name = query.partition("=")[0]
        assert api.error("GET", f"/keys?{query}") == f"{name} is given twice; it may be given once"


@pytest.mark.parametrize("path", ["/keys", "/keys/paginate"])
@pytest.mark.parametrize(
    ("limit", "size"),
    [
        (None, 100), ("1", 1), ("010", 10), ("1000", 1000), ("1001", 1000), ("5000", 1000),
        ("9" * 30, 1000),
    ],
)  # fmt: skip
def test_limit_of_a_query(
    shared_api: Api, thousand: None, path: str, limit: str | None, size: int
) -> None:
    query = {} if limit is None else {"limit": limit}
    answer = shared_api.json("GET", path, query=query)
    assert len(answer if path == "/keys" else answer["entries"]) == size


@pytest.mark.parametrize("path", ["/keys/list", "/keys/paginate"])
@pytest.mark.parametrize(
    ("limit", "size"),
    [(None, 100), (1, 1), (2.0, 2), ("10", 10), (1000, 1000), (1e9, 1000), (10**300, 1000)],
)
def test_limit_of_a_body(
    shared_api: Api, thousand: None, path: str, limit: object, size: int
) -> None:
    answer = shared_api.json("POST", path, {"limit": limit})
    assert len(answer if path == "/keys/list" else answer["entries"]) == size


@pytest.fixture
def thousand(shared_api: Api) -> None:
    """A store of 1010 entries, kept while tests ask for it."""
    if shared_api.json("GET", "/keys/count") != {"count": 1010}:
        shared_api.empty()
        fill(shared_api, "n", count=1010)


@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "-10",
        "invalid",
        "",
        "NaN",
        "0.5",
        "null",
        "10abc",
        "1.9",
        " 5",
        "+7",
        "1e3",
        "-" + "9" * 30,
    ],
)
def test_a_limit_that_is_none(shared_api: Api, limit: str) -> None:
    for path in ("/keys", "/keys/paginate"):
        message = shared_api.error("GET", path, query={"limit": limit})
        assert message.startswith("limit must be a positive number, received ")


@pytest.mark.parametrize("limit", [0, -1, 0.5, 1.9, True, [], {}, "x", "10abc"])
def test_a_limit_of_a_body_that_is_none(shared_api: Api, limit: object) -> None:
    for path in ("/keys/list", "/keys/paginate"):
        message = shared_api.error("POST", path, {"limit": limit})
        assert message.startswith("limit must be a positive number, received ")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_pages_join_up(api: Api, reverse: bool, size: int) -> None:
    fill(api, "p", count=9)
    fill(api, "q", count=3)
    seen: list[Any] = []
    cursor: str | None = None
    for _ in range(12):
        query = {"prefix": "p", "limit": size, "reverse": str(reverse).lower()}
        page = api.json(
            "GET", "/keys/paginate", query=query | ({"cursor": cursor} if cursor else {})
        )
        body = {"prefix": ["p"], "limit": size, "reverse": reverse, "cursor": cursor}
        assert api.json("POST", "/keys/paginate", body) == page
        seen += [entry["value"] for entry in page["entries"]]
        assert page["hasMore"] == (page["cursor"] is not None)
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == (list(reversed(range(9))) if reverse else list(range(9)))


def test_a_cursor_outlives_its_key_and_survives_urls(api: Api) -> None:
    # Chosen so that the cursor holds both + and /.
    for text in ("ûï¾>~?", "ûï¾>~@"):
        api.mutate({"type": "set", "key": [text, "þ"], "value": text})
    page = api.json("GET", "/keys/paginate", query={"limit": 1})
    cursor: str = page["cursor"]
    api.json("POST", "/keys/delete-batch", {"keys": [page["entries"][0]["key"]], "exact": True})
    spellings = {
        cursor, cursor.rstrip("="), cursor.replace("+", " "),
        cursor.replace("+", "-").replace("/", "_"),
    }  # fmt: skip
    assert len(spellings) >= 3, cursor
    for spelling in spellings:
        rest = api.json("GET", "/keys/paginate", query={"cursor": spelling})
        assert [entry["value"] for entry in rest["entries"]] == ["ûï¾>~@"]
    raw = api.json("GET", f"/keys/paginate?cursor={cursor}")  # + arrives as a blank
    assert [entry["value"] for entry in raw["entries"]] == ["ûï¾>~@"]


@pytest.mark.parametrize("cursor", ["AAAA", "!", "A", "é", "AnVzZXJz!", "=", "BAIAAQA="])
def test_an_invalid_cursor(shared_api: Api, cursor: str) -> None:
    query = {"cursor": cursor}
    assert shared_api.error("GET", "/keys/paginate", query=query) == "Invalid cursor"
    assert shared_api.error("POST", "/keys/paginate", query) == "Invalid cursor"
