"""Entries in a browser: found, made, changed without a loss, deleted, moved by files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import LiveServer
from support.pages import violations, watched_page

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
HUGE = "12345678901234567890"


@pytest.fixture
def api(open_server: LiveServer) -> Iterator[httpx2.Client]:
    """The API of the store, which is empty at first."""
    with httpx2.Client(base_url=open_server.api) as client:
        for entry in client.get("/keys?limit=1000&values=false").json():
            client.request("DELETE", "/keys", params={"prefix": json.dumps(entry["key"][:1])})
        yield client


def entry_url(server: LiveServer, *key: object) -> str:
    return f"{server.url}/keyval/entry?key={quote(json.dumps(key))}"


def test_made_changed_and_deleted(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    page.goto(f"{open_server.url}/keyval/entries")
    page.get_by_role("link", name="New entry").click()
    page.get_by_label("Key", exact=True).fill("users/1")
    expect(page.locator(".understood .chip.number")).to_have_text("1")
    value = page.get_by_label("Value as JSON")
    value.fill('{"n": }')
    expect(page.get_by_text("Line 1, column 7")).to_be_visible()
    value.fill(f'{{"n": {HUGE}}}')
    page.get_by_label("Expires in").fill("1h")
    page.get_by_label("Metadata as JSON").fill('{"by": "me"}')
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("in 59 min")).to_be_visible()
    assert violations(page) == []
    # Nothing that was not touched is lost: a life, metadata, the digits of a number.
    text = page.get_by_label("Value as JSON").input_value()
    page.get_by_label("Value as JSON").fill(text.replace('"n"', '"m"'))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    stored = api.get("/keys/users/1?details=true")
    assert f'"value":{{"m":{HUGE}}}' in stored.text
    assert stored.json()["metadata"] == {"by": "me"}
    assert stored.json()["expiresAt"] is not None
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No entries here")).to_be_visible()
    assert api.get("/keys/users/1").status_code == 404


def test_a_conflict_shows_both(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    api.put("/keys/doc", json={"a": 1, "b": 1})
    page.goto(entry_url(open_server, "doc"))
    page.get_by_label("Value as JSON").fill('{\n  "a": 1,\n  "b": 2\n}')
    api.put("/keys/doc", json={"a": 1, "b": 3})
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Somebody else")).to_be_focused()
    expect(page.locator("tr.gone")).to_contain_text('"b": 3')
    expect(page.locator("tr.new")).to_contain_text('"b": 2')
    assert api.get("/keys/doc").json()["value"]["b"] == 3, "nothing was overwritten"
    page.get_by_role("button", name="Overwrite with mine").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    assert api.get("/keys/doc").json()["value"]["b"] == 2


def test_pages_and_selections(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    sets = [{"key": ["n", number], "value": number} for number in range(120)]
    api.post("/keys/set-batch", json={"sets": sets})
    page.goto(f"{open_server.url}/keyval/entries?prefix=n")
    rows = page.get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_role("link", name='"n" 50')).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name='"n" 0')).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("link", name='"n" 50')).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name='"n" 50')).to_be_visible()
    page.get_by_label('Select ["n",50]').check()
    page.get_by_role("button", name="Delete selected").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("1 entries deleted")).to_be_visible()
    expect(page.get_by_label('Select ["n",50]')).to_have_count(0)  # the page was drawn anew
    page.get_by_label("Filter of values").fill('{"$": {"$gte": 118}}')
    page.keyboard.press("Enter")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Delete all below").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text("Delete 119 entries?")
    dialog.get_by_role("button", name="Cancel").click()
    assert api.get("/keys/count?prefix=n").json()["count"] == 119
    page.get_by_role("button", name="Delete all below").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No entries here")).to_be_visible()


def test_a_tree_tells_types_apart(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    bytes_part = {"__type": "uint8array", "value": "AP8="}
    keys: list[list[object]] = [["t", "1", "x"], ["t", 1, "y"], ["t", bytes_part, "z"], ["t", True]]
    api.post("/keys/set-batch", json={"sets": [{"key": key, "value": 0} for key in keys]})
    page.goto(f"{open_server.url}/keyval/entries?as=tree")
    page.get_by_text('"t"').click()
    chips = page.locator("ul.tree ul .chip")
    expect(chips).to_have_text(["AP8= bytes", '"1"', "1", "true boolean"])
    page.locator("summary").filter(has=page.locator(".chip.number")).focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name='"y"').click()
    expect(page.get_by_role("heading", name="Entry")).to_be_visible()
    expect(page.locator("main .chip.number")).to_have_text("1")


def test_files_out_and_in(
    page: Page, open_server: LiveServer, api: httpx2.Client, tmp_path: Path
) -> None:
    api.put("/keys/f/1?type=T", content=HUGE)
    api.put("/keys/f/2?metadata=%7B%22a%22%3A1%7D", json=MARKUP)
    page.goto(f"{open_server.url}/keyval/entries?prefix=f")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export").click()
    file = tmp_path / "entries.ndjson"
    waiting.value.save_as(file)
    before = api.get("/keys?prefix=f&details=true").json()
    api.request("DELETE", "/keys?prefix=f")
    page.get_by_label("File to import").set_input_files(file)
    expect(page.get_by_text("2 entries imported")).to_be_visible()
    after = api.get("/keys?prefix=f&details=true").json()
    kept = ("key", "value", "metadata", "type")
    assert [[entry[name] for name in kept] for entry in after] == [
        [entry[name] for name in kept] for entry in before
    ]
    file.write_text('{"key": ["f", 3], "value": 1}\n{"key": ["f", 4]}\n')
    page.reload()  # otherwise the page is drawn again after the import, and drops the next file
    page.get_by_label("File to import").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("Line 2 of the file")


def test_markup_is_text(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    key = ["x", MARKUP]
    value = {"v": MARKUP, MARKUP: 1}
    meta = json.dumps({MARKUP: MARKUP})
    api.post("/keys/set-batch", json={"sets": [{"key": key, "value": value}]})
    path = "/".join(quote(part, safe="") for part in key)
    api.put(f"/keys/{path}", params={"metadata": meta, "type": MARKUP}, json=value)
    for view in (
        "entries?prefix=x", "entries?prefix=x&as=tree", f"entry?key={quote(json.dumps(key))}",
        f"entries?prefix={quote(MARKUP)}", f"entry?key={quote(json.dumps([MARKUP]))}",
        f"entries?prefix={quote('[' + MARKUP)}", f"entries?cursor={quote(MARKUP)}",
        f"{quote(MARKUP)}",
    ):  # fmt: skip
        page.goto(f"{open_server.url}/keyval/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("main[aria-busy]")).to_have_count(0)
        assert page.locator("main img, main script").count() == 0, view
        assert page.title() not in ("1", "2"), view
    page.goto(f"{open_server.url}/keyval/entry?key={quote(json.dumps(key))}")
    expect(page.get_by_label("Value as JSON")).to_have_value(json.dumps(value, indent=2))


def test_a_viewer_has_no_buttons_to_change(page: Page, closed_server: LiveServer) -> None:
    root = {"x-api-key": MASTER}
    httpx2.put(f"{closed_server.api}/keys/team/1", json=1, headers=root)
    wanted = {"name": "viewer", "permissions": ['keyval:read:["team"]']}
    made = httpx2.post(f"{closed_server.url}/api/keys", json=wanted, headers=root).json()
    page.goto(f"{closed_server.url}/keyval/entries")
    page.get_by_role("dialog").get_by_label("Key").fill(made["data"]["key"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/keyval/entries")
    page.reload()
    expect(page.get_by_label("Keys below")).to_have_value('["team"]')
    expect(page.get_by_role("button", name="Export")).to_be_visible()
    for name in ("Import", "Delete all below", "Delete selected"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_role("link", name='"team" 1').click()
    expect(page.locator("main pre").first).to_have_text("1")
    expect(page.get_by_role("button", name="Save")).to_have_count(0)
    page.goto(f"{closed_server.url}/keyval/entries?prefix=others")
    expect(page.get_by_text("This key permits to look at what is below:")).to_be_visible()


def test_the_history_of_a_key(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    for value in ([1], {"name": "Ada"}):
        api.put("/keys/past", json=value)
    api.put("/keys/past/below", json=1)
    page.goto(f"{open_server.url}/keyval/entry?key=past")
    shown = page.locator(".code").first
    expect(shown.locator(".json-name")).to_have_text('"name"')
    expect(shown.locator(".json-string")).to_have_text('"Ada"')
    page.get_by_label("Value as JSON").fill("[7, <")
    expect(shown.locator(".json-number")).to_have_text("7")
    page.get_by_text("History", exact=True).click()
    rows = page.get_by_role("region", name="History").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("update")
    expect(rows.nth(2)).to_contain_text("create")
    expect(page.get_by_text("The log keeps no values of this key")).to_be_visible()
    assert violations(page) == []


def test_what_is_not_saved_is_not_lost(
    browser: Browser, open_server: LiveServer, api: httpx2.Client
) -> None:
    for key in ("one", "two"):
        api.put(f"/keys/draft/{key}", json=key)
    with watched_page(browser, locale="pt-BR") as page:
        page.goto(f"{open_server.url}/keyval/entries?prefix=draft")
        page.get_by_role("link", name='"draft" "one"').click()
        value = page.get_by_label("Valor em JSON")
        question = page.get_by_role("dialog", name="Descartar o que não foi guardado?")
        value.fill('"mine"')
        # By keyboard: a link of this page, the way back, a page of another plugin.
        for leave in (
            lambda: page.get_by_role("link", name="Todas as entradas ao lado").press("Enter"),
            page.go_back,
            lambda: page.get_by_role("link", name="Início").press("Enter"),
        ):
            leave()
            expect(question).to_be_visible()
            page.keyboard.press("Escape")
            expect(question).to_have_count(0)
            expect(value).to_have_value('"mine"')
        assert "/keyval/entry?" in page.url
        # The browser asks by itself before it closes a page.
        with page.expect_event("dialog") as asked:
            page.close(run_before_unload=True)
        assert asked.value.type == "beforeunload"
        asked.value.dismiss()
        expect(value).to_have_value('"mine"')
        page.go_back()
        question.get_by_role("button", name="Descartar").press("Enter")
        page.get_by_role("link", name='"draft" "two"').click()
        expect(value).to_have_value('"two"')
        # What is saved, or as it was, goes without a question.
        value.fill('"ours"')
        page.get_by_role("button", name="Guardar").click()
        expect(page.get_by_text("Guardada", exact=True)).to_be_visible()
        value.fill('"other"')
        value.fill('"ours"')
        page.get_by_role("link", name="Todas as entradas ao lado").click()
        page.get_by_role("link", name="Nova entrada").click()
        page.get_by_label("Chave", exact=True).fill("draft/three")
        page.get_by_role("link", name="Início").click()
        question.get_by_role("button", name="Descartar").click()
        page.wait_for_url(f"{open_server.url}/")
    assert [entry["value"] for entry in api.get("/keys?prefix=draft").json()] == ["one", "ours"]


def test_narrow_pages_scroll_only_down(
    browser: Browser, open_server: LiveServer, api: httpx2.Client
) -> None:
    api.put(f"/keys/wide/{'k' * 300}", json="v" * 500)
    with watched_page(browser, viewport={"width": 390, "height": 700}) as page:
        for view in ("entries?prefix=wide", f"entry?key={quote(json.dumps(['wide', 'k' * 300]))}"):
            page.goto(f"{open_server.url}/keyval/{view}")
            expect(page.locator("main .chip").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, view
            assert violations(page) == []


def test_the_first_content_takes_five_rounds(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    """However many entries there are: the page, all it is made of, where the API is, who asks, and
    one page of them.

    Nothing else is asked for before there is content, and no number of entries at all.
    """
    sets = [{"key": ["many", number], "value": number} for number in range(60)]
    api.post("/keys/set-batch", json={"sets": sets})
    with page.expect_event("requestfinished", lambda it: it.url.endswith("/keys/paginate")):
        page.goto(f"{open_server.url}/keyval/entries?prefix=many", wait_until="commit")
    expect(page.get_by_role("row")).to_have_count(51)
    spans = page.evaluate(
        "performance.getEntriesByType('resource').map((it) => [it.name, it.initiatorType])"
    )
    modules = [name for name, by in spans if name.endswith(".js")]
    told = "[...document.querySelectorAll('script, link[rel=modulepreload]')]"
    at_once = page.evaluate(f"{told}.map((it) => it.href ?? it.src)")
    assert set(modules) == set(at_once), "one is asked for only when another has come"
    assert len(modules) < 40
    asked = [name.partition(open_server.url)[2] for name, by in spans if by == "fetch"]
    assert asked[0] == "/.well-known/buntime"
    assert sorted(asked[1:3]) == ["/api/admin/session", "/api/plugins/loaded"]
    assert asked[3:] == ["/keyval/api/keys/paginate"]


def test_a_page_holds_no_more_after_many(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    sets = [{"key": ["many", number], "value": "v" * 200} for number in range(18 * 50)]
    api.post("/keys/set-batch", json={"sets": sets})
    browser = page.context.new_cdp_session(page)
    browser.send("Performance.enable")

    def held() -> dict[str, float]:
        browser.send("HeapProfiler.collectGarbage")
        metrics = browser.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}

    def go_through(first: int, last: int) -> None:
        for number in range(first, last):
            page.get_by_role("link", name="Next page").click()
            expect(page.get_by_role("link", name=f'"many" {number * 50}')).to_be_visible()

    page.goto(f"{open_server.url}/keyval/entries?prefix=many")
    go_through(1, 4)
    before = held()
    go_through(4, 17)
    after = held()
    # One page of entries is 900 nodes, and more than 100 KB.
    assert after["Nodes"] < before["Nodes"] + 2_000
    assert after["JSHeapUsedSize"] < before["JSHeapUsedSize"] + 600_000
