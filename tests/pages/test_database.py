"""The pages of databases: adapters and tenants, tables and their rows, statements."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, Route, expect
from support.database import Api, database_server
from support.live import LiveServer, live_server
from support.pages import violations, watched_page

MARKUP = "<img src=x onerror=alert(1)>"
QUOTED = f'"{MARKUP}"'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of databases that lets everybody write."""
    with database_server(tmp_path_factory.mktemp("databases"), api={"write": True}) as running:
        yield running


@pytest.fixture
def api(server: LiveServer) -> Iterator[Api]:
    """The API of it, with tables as of old."""
    with Api(server) as api:
        for name in ("people", "pairs", "plain"):
            api.sql(f"DROP TABLE IF EXISTS {name}")
        for sql in (
            f"DROP TABLE IF EXISTS {QUOTED}",
            "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo BLOB)",
            "CREATE TABLE pairs (a TEXT, b INTEGER, c, PRIMARY KEY (a, b)) WITHOUT ROWID",
            "CREATE TABLE plain (x)",
            f"CREATE TABLE {QUOTED} ({QUOTED} TEXT PRIMARY KEY)",
            "INSERT INTO people (name, photo) VALUES ('Ada', x'414200ff'), (NULL, NULL)",
            "INSERT INTO people (name) VALUES ('')",
            "INSERT INTO pairs VALUES ('a', 1, 'x'), ('a', 2, 'y')",
            "INSERT INTO plain VALUES ('same'), ('same')",
        ):
            api.sql(sql)
        api.sql(f"INSERT INTO {QUOTED} VALUES (?)", MARKUP)
        yield api


def studio(page: Page, server: LiveServer, **query: str) -> None:
    page.goto(f"{server.url}/database/studio?{urlencode(query)}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Studio")


def cell(page: Page, row: int, column: int) -> Any:
    """A cell of the grid; in column 0 is the box."""
    return page.locator("table.grid tbody tr").nth(row).locator("td").nth(column)


def change(page: Page, row: int, column: int, kind: str, text: str | None) -> None:
    cell(page, row, column).get_by_role("button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Kind").select_option(kind)
    if text is not None:
        dialog.get_by_label("Value").fill(text)
    dialog.get_by_role("button", name="Take over").click()
    expect(dialog).to_have_count(0)


def test_adapters_and_tenants(page: Page, server: LiveServer) -> None:
    page.goto(f"{server.url}/database/")
    row = page.get_by_role("region", name="Adapters").get_by_role("row").nth(1)
    expect(row).to_contain_text("sqlite")
    expect(row).to_contain_text("healthy")
    expect(row).to_contain_text("ms")
    page.get_by_role("button", name="New tenant").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Id").fill("../x")
    dialog.get_by_role("button", name="Create").click()
    expect(dialog.get_by_role("alert")).to_contain_text("invalid tenant id")
    assert violations(page) == []
    dialog.get_by_label("Id").fill("acme")
    dialog.get_by_role("button", name="Create").click()
    expect(page.get_by_role("link", name="acme")).to_be_visible()
    page.get_by_role("button", name="Delete acme").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog.get_by_role("alert")).to_have_text("That is not acme")
    dialog.get_by_label("Write acme to go on").fill("acme")
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("link", name="acme")).to_have_count(0)
    assert violations(page) == []


def test_with_tenancy_the_default_tenant_is_named(page: Page, tmp_path: Path) -> None:
    tenancy = {"enabled": True, "defaultTenant": "main"}
    with (
        database_server(tmp_path, api={"write": True}, tenancy=tenancy) as server,
        httpx2.Client(base_url=f"{server.url}/database/api") as client,
    ):
        assert client.post("/tenants", json={"id": "acme"}).is_success
        studio(page, server)
        expect(page.get_by_text("Tenant not found: main")).to_be_visible()
        tenant = page.get_by_label("Tenant")
        expect(tenant).to_have_value("main")
        tenant.select_option("acme")
        expect(page.get_by_text("Choose a table.")).to_be_visible()

        assert client.post("/tenants", json={"id": "main"}).is_success
        sql = {"sql": "CREATE TABLE of_main (x)"}
        assert client.post("/execute?tenant=main", json=sql).is_success
        studio(page, server)
        expect(page.get_by_role("link", name="of_main")).to_be_visible()
        expect(page.get_by_label("Tenant").locator("option")).to_have_text(["acme", "main"])


def test_edited_rows_are_written_together(page: Page, server: LiveServer, api: Api) -> None:
    studio(page, server, table="people")
    expect(cell(page, 0, 2)).to_have_text("Ada")
    expect(cell(page, 1, 2)).to_have_text("NULL")
    expect(cell(page, 2, 2)).to_have_text("empty")
    change(page, 0, 2, "text", "Grace")
    change(page, 1, 2, "text", "")
    change(page, 2, 2, "null", None)
    assert api.rows("SELECT name FROM people") == [["Ada"], [None], [""]]
    page.get_by_role("button", name="Save (3)").click()
    expect(page.get_by_text("Saved: 3 rows")).to_be_visible()
    assert api.rows("SELECT name FROM people") == [["Grace"], [""], [None]]
    # Somebody else was faster: nothing of this is written.
    expect(cell(page, 0, 2)).to_have_text("Grace")
    change(page, 0, 2, "text", "mine")
    change(page, 1, 2, "text", "mine too")
    api.sql("UPDATE people SET name = 'theirs' WHERE id = 2")
    page.get_by_role("button", name="Save (2)").click()
    expect(page.get_by_role("alert").filter(has_text="not as it was")).to_be_visible()
    assert api.rows("SELECT name FROM people") == [["Grace"], ["theirs"], [None]]
    page.get_by_role("link", name="pairs").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(cell(page, 0, 3)).to_have_text("x")


def test_the_way_back_asks_for_drafts(page: Page, server: LiveServer, api: Api) -> None:
    httpx2.post(f"{server.url}/database/api/tenants", json={"id": "other"})
    studio(page, server, table="pairs")
    page.get_by_role("link", name="people").click()
    expect(cell(page, 0, 2)).to_have_text("Ada")
    change(page, 0, 2, "text", "Grace")
    dialog = page.get_by_role("dialog")
    page.go_back()
    dialog.get_by_role("button", name="Cancel").click()
    expect(cell(page, 0, 2)).to_have_text("Grace")
    assert "table=people" in page.url
    tenant = page.get_by_label("Tenant")
    tenant.select_option(index=1)
    dialog.get_by_role("button", name="Cancel").click()
    expect(tenant).to_have_value("")
    page.go_back()
    dialog.get_by_role("button", name="Discard").click()
    expect(cell(page, 0, 1)).to_have_text("a")
    assert api.rows("SELECT name FROM people") == [["Ada"], [None], [""]]


def test_by_keyboard_alone(page: Page, server: LiveServer, api: Api) -> None:
    studio(page, server)
    page.get_by_role("link", name="people").focus()
    page.keyboard.press("Enter")
    expect(cell(page, 0, 2)).to_have_text("Ada")
    cell(page, 0, 2).get_by_role("button").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Value").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Grace")
    dialog.get_by_role("button", name="Take over").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save (1)").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved: 1 rows")).to_be_visible()
    assert api.rows("SELECT name FROM people") == [["Grace"], [None], [""]]


def test_nothing_is_edited_that_the_next_rows_would_not_have(
    page: Page, server: LiveServer, api: Api
) -> None:
    studio(page, server, table="people")
    change(page, 0, 2, "text", "Grace")
    meanwhile: list[tuple[str, int]] = []

    def look(route: Route) -> None:
        # The request waits for this: it is what somebody sees until it is answered.
        closed = page.locator("[inert] table.grid").count()
        meanwhile.append((route.request.method, closed))
        route.continue_()

    page.route(re.compile("/tables/people/(changes|rows)"), look)
    page.get_by_role("button", name="Save (1)").click()
    expect(page.get_by_role("button", name="Save (0)")).to_be_disabled()
    expect(page.locator("[inert]")).to_have_count(0)
    assert meanwhile == [("POST", 1), ("GET", 1)]
    # What was refused can be edited again, from where it was.
    change(page, 0, 2, "text", "mine")
    api.sql("UPDATE people SET name = 'theirs' WHERE id = 1")
    page.get_by_role("button", name="Save (1)").click()
    expect(page.get_by_role("alert").filter(has_text="not as it was")).to_be_visible()
    expect(page.get_by_role("button", name="Save (1)")).to_be_focused()
    assert meanwhile[2:] == [("POST", 1)]
    change(page, 1, 2, "text", "more")
    # Rows are not deleted without a word about drafts, which would be gone with them.
    page.get_by_role("checkbox", name="Choose row 3").check()
    page.get_by_role("button", name="Delete (1)").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Save (2)")).to_be_enabled()
    assert api.rows("SELECT name FROM people") == [["theirs"], [None], [""]]


def test_composite_keys_and_rows_without_one(page: Page, server: LiveServer, api: Api) -> None:
    studio(page, server, table="pairs")
    change(page, 1, 3, "number", "1.5")
    page.get_by_role("button", name="Save (1)").click()
    expect(page.get_by_text("Saved: 1 rows")).to_be_visible()
    assert api.rows("SELECT c FROM pairs") == [["x"], [1.5]]
    studio(page, server, table="plain")
    change(page, 1, 1, "text", "other")
    page.get_by_role("button", name="Save (1)").click()
    expect(page.get_by_role("button", name="Save (0)")).to_be_disabled()
    assert api.rows("SELECT x FROM plain") == [["same"], ["other"]]
    page.get_by_role("checkbox", name="Choose row 1").check()
    page.get_by_role("button", name="Delete (1)").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted: 1 rows")).to_be_visible()
    assert api.rows("SELECT x FROM plain") == [["other"]]


def test_a_new_row_and_bytes(page: Page, server: LiveServer, api: Api) -> None:
    studio(page, server, table="people")
    page.get_by_role("button", name="New row").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("group", name="id").get_by_label("Kind").select_option("number")
    dialog.get_by_role("group", name="id").get_by_label("Value").fill("one")
    dialog.get_by_role("button", name="Insert").click()
    expect(dialog.get_by_role("alert")).to_contain_text("A number is written as")
    dialog.get_by_role("group", name="id").get_by_label("Value").fill("7")
    dialog.get_by_role("group", name="photo").get_by_label("Kind").select_option("blob")
    dialog.get_by_role("group", name="photo").get_by_label("File").set_input_files(
        {"name": "a.bin", "mimeType": "application/octet-stream", "buffer": b"\x00\x01<b>"}
    )
    assert violations(page) == []
    dialog.get_by_role("button", name="Insert").click()
    expect(page.get_by_text("The row is there")).to_be_visible()
    assert api.rows("SELECT hex(photo) FROM people WHERE id = 7") == [["00013C623E"]]
    cell(page, 0, 3).get_by_role("button", name="Look").click()
    expect(dialog).to_contain_text("41 42 00 ff")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_bytes() == b"AB\x00\xff"


def test_the_server_sorts_filters_and_pages(page: Page, server: LiveServer, api: Api) -> None:
    numbers = ", ".join(f"({number}, 'n{number % 10}')" for number in range(10, 110))
    api.sql(f"INSERT INTO people (id, name) VALUES {numbers}")
    studio(page, server, table="people", size="25")
    expect(page.get_by_role("status").filter(has_text="1 to 25 of 103")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("status").filter(has_text="26 to 50 of 103")).to_be_visible()
    page.get_by_role("button", name="id", exact=True).click()
    page.get_by_role("button", name="id ↑").click()
    expect(cell(page, 0, 1)).to_have_text("109")
    page.get_by_label("Column").select_option("name")
    page.get_by_label("Value").fill("n3")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="1 to 10 of 10")).to_be_visible()
    expect(cell(page, 0, 1)).to_have_text("103")
    page.reload()
    expect(cell(page, 0, 1)).to_have_text("103")
    page.get_by_role("button", name='Take away name = "n3"').click()
    expect(cell(page, 0, 1)).to_have_text("109")
    page.go_back()
    expect(cell(page, 0, 1)).to_have_text("103")
    assert violations(page) == []


def test_a_schema_and_markup_as_text(page: Page, server: LiveServer, api: Api) -> None:
    studio(page, server, table=MARKUP)
    expect(cell(page, 0, 1)).to_have_text(MARKUP)
    page.get_by_role("link", name="Schema").click()
    expect(page.locator("pre")).to_contain_text(f"CREATE TABLE {QUOTED}")
    page.goto(f"{server.url}/database/console")
    page.get_by_label("Statement").fill(f"SELECT x AS {QUOTED} FROM {QUOTED}")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert").filter(has_text="no such column")).to_be_visible()
    assert page.locator("img").count() == 0


def test_statements(page: Page, server: LiveServer, api: Api) -> None:
    page.goto(f"{server.url}/database/console")
    statement = page.get_by_label("Statement")
    statement.fill("SELECT id, name, photo FROM people WHERE id > ?;")
    page.get_by_label("Arguments").fill("[0]")
    page.get_by_label("Most rows").fill("2")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("The first 2 rows")).to_be_visible()
    result = page.get_by_role("region", name="Result")
    expect(result.get_by_role("row").nth(2)).to_contain_text("NULL")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    expected = "id,name,photo\r\n1,Ada,QUIA/w==\r\n2,,\r\n"
    assert Path(download.value.path()).read_bytes().decode() == expected
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    assert json.loads(Path(download.value.path()).read_text())[0]["name"] == "Ada"
    page.get_by_role("button", name="Explain").click()
    expect(result).to_contain_text("SEARCH people")
    statement.fill("DELETE FROM people")
    page.get_by_label("Arguments").fill("")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert").filter(has_text="not authorized")).to_be_visible()
    expect(page.get_by_role("button", name="Run")).to_be_focused()  # after it was disabled
    page.get_by_label("May write").check()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("3 rows changed")).to_be_visible()
    statement.fill(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    )
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Stopped")).to_be_visible()
    page.reload()
    page.get_by_text("History").click()
    page.get_by_role("button", name="DELETE FROM people").click()
    expect(statement).to_have_value("DELETE FROM people")
    assert violations(page) == []


def test_who_may_read_sees_no_buttons(browser: Browser, tmp_path: Path) -> None:
    with (
        live_server(tmp_path, environ={"RUNTIME_MASTER_KEY": MASTER}) as server,
        httpx2.Client(base_url=server.url, headers={"x-api-key": MASTER}) as admin,
        watched_page(browser, viewport={"width": 390, "height": 800}) as page,
    ):
        sql = {"sql": "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)"}
        assert admin.post("/database/api/execute", json=sql).is_success
        assert admin.post("/database/api/tenants", json={"id": "acme"}).is_success
        assert admin.post("/database/api/execute?tenant=acme", json=sql).is_success

        def sign_in(*permissions: str) -> None:
            made = admin.post("/api/keys", json={"name": "k", "permissions": permissions})
            page.context.clear_cookies()
            page.goto(f"{server.url}/database/")
            page.get_by_role("dialog").get_by_label("Key").fill(made.json()["data"]["key"])
            page.keyboard.press("Enter")
            expect(page.get_by_role("region", name="Adapters")).to_contain_text("sqlite")

        sign_in("database:read")
        expect(page.get_by_role("button", name="New tenant")).to_have_count(0)
        studio(page, server, table="people")
        expect(page.get_by_text("Read only")).to_be_visible()
        expect(page.get_by_role("button", name="New row")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.goto(f"{server.url}/database/console")
        expect(page.get_by_role("button", name="Run")).to_be_visible()
        expect(page.get_by_label("May write")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

        sign_in("database:write:sqlite/acme")
        expect(page.get_by_role("link", name="acme")).to_be_visible()
        expect(page.get_by_role("button", name="New tenant")).to_have_count(0)
        studio(page, server)  # which begins with what may be seen
        expect(page.get_by_label("Tenant")).to_have_value("acme")
        expect(page.get_by_role("link", name="people")).to_be_visible()
        studio(page, server, type="sqlite", tenant="acme", table="people")
        expect(page.get_by_role("button", name="New row")).to_be_visible()
