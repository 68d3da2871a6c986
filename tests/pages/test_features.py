"""Queue, search, watch, atomic commits, the log, locks and metrics in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Page, expect
from support.live import LiveServer
from support.pages import violations

MARKUP = '<img src=x onerror="document.title=1">'


@pytest.fixture
def api(open_server: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=open_server.api) as client:
        yield client


def test_messages_are_sent_and_looked_at(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    page.goto(f"{open_server.url}/keyval/queue?queue=mail")
    page.get_by_text("Send a message").click()
    page.get_by_label("Message as JSON").fill('{"to": "ada"}')
    page.get_by_label("Id", exact=True).fill("m-1")
    page.get_by_label("Pauses before").fill("none")
    page.get_by_label("Keys that get it").fill('["given-up"]')
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Sent as m-1")).to_be_visible()
    row = page.get_by_role("row").filter(has=page.get_by_text("m-1", exact=True))
    expect(row).to_contain_text('{"to":"ada"}')
    expect(row).to_contain_text("0 / 1")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("No messages are delivered any more")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert api.get("/queue/poll?queue=mail").json() == {"message": None}
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert api.get("/queue/stats?queue=mail").json()["pending"] == 1, "looking takes nothing"
    page.get_by_role("button", name="Remove all messages").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("1 messages removed")).to_be_visible()


def test_dead_letters_are_sent_again(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    options = {"queue": "dead", "backoffSchedule": []}
    for number in range(21):
        value = number or MARKUP
        api.post("/queue/enqueue", json={"value": value, "options": options})
        message = api.get("/queue/poll?queue=dead").json()["message"]
        api.post("/queue/nack", json={"id": message["id"], "error": MARKUP, "queue": "dead"})
    page.goto(f"{open_server.url}/keyval/queue?queue=dead")
    letters = page.get_by_role("region", name="Dead letters").get_by_role("row")
    expect(letters).to_have_count(21)
    page.get_by_role("link", name="Next page").click()
    row = letters.nth(1)
    expect(row).to_contain_text(json.dumps(MARKUP))
    expect(row).to_contain_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert violations(page) == []
    row.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("No dead letters")).to_be_visible()
    page.get_by_role("link", name="First page").click()
    expect(letters).to_have_count(21)
    assert api.get("/queue/stats?queue=dead").json()["pending"] == 1


def test_indexes_find_and_mark(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    api.put("/keys/posts/1", json={"title": f"Cream and {MARKUP} sugar"})
    page.goto(f"{open_server.url}/keyval/search")
    page.get_by_text("New index").click()
    page.get_by_label("Prefix").fill("posts")
    page.get_by_label("Fields").fill("title")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("1 / 1")).to_be_visible()
    page.get_by_label("Query").fill("sugar")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("sugar")
    expect(page.get_by_text("Cream and <img")).to_be_visible()
    page.get_by_label("Query").fill(f"sugar OR {MARKUP}")
    page.get_by_label("Explain").check()
    page.get_by_role("button", name="Search", exact=True).click()
    explanation = page.get_by_role("region", name="Explanation")
    expect(explanation).to_contain_text("unicode61")
    expect(explanation.get_by_role("row").filter(has_text="sugar")).to_contain_text("any1")
    expect(explanation).to_contain_text("VIRTUAL TABLE INDEX")
    expect(page.get_by_role("columnheader", name="Score")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert violations(page) == []
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("There is no index yet").first).to_be_visible()


def test_commits_say_which_check_failed(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    page.goto(f"{open_server.url}/keyval/atomic")
    page.get_by_role("button", name="Add a check").click()
    page.get_by_label("Key").first.fill("atomic/taken")
    page.get_by_label("Mutation").select_option("sum")
    page.get_by_label("Key").last.fill("atomic/count")
    page.get_by_label("Value as JSON").fill("2")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("pre").first).to_contain_text('"versionstamp": null')
    commit = page.get_by_role("button", name="Commit")
    commit.click()
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    assert api.get("/keys/atomic/count").json()["value"] == 2
    api.put("/keys/atomic/taken", json=1)
    commit.click()
    expect(page.get_by_text("conflict", exact=True)).to_be_visible()
    expect(page.get_by_role("status").get_by_text('"taken"')).to_be_visible()
    assert api.get("/keys/atomic/count").json()["value"] == 2
    assert violations(page) == []


def test_commits_send_messages_and_tasks(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    seq = api.get("/stream/seq").json()["seq"]
    api.put("/consumers/together/position", json={"seq": seq})
    api.put("/keys/together", json=1)
    batch = api.post("/consumers/together/fetch", json={"owner": "w"}).json()
    page.goto(f"{open_server.url}/keyval/atomic")
    mutation = page.get_by_label("Mutation")
    mutation.select_option("enqueue")
    page.get_by_label("Queue").fill("together")
    page.get_by_label("Message as JSON").fill("90071992547409931")
    page.get_by_role("button", name="Add a mutation").click()
    mutation.last.select_option("task")
    page.get_by_label("Name", exact=True).fill("together")
    page.get_by_role("button", name="Add a mutation").click()
    mutation.last.select_option("consumer")
    page.get_by_label("Consumer", exact=True).fill("together")
    page.get_by_label("Token").fill(batch["token"])
    page.get_by_label("It is done up to").fill(str(batch["records"][-1]["seq"]))
    assert violations(page) == []
    page.get_by_role("button", name="Commit").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    assert "90071992547409931" in api.get("/queue/peek?queue=together").text
    assert api.get("/tasks/stats?name=together").json()["tasks"]["together"] == {"pending": 1}
    assert api.get("/consumers/together").json()["position"] == batch["records"][-1]["seq"]


def test_the_log_goes_on(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    api.put("/keys/log/1", json=1)
    page.goto(f"{open_server.url}/keyval/streams?prefix=log")
    expect(page.get_by_role("row").filter(has_text='"log"')).to_contain_text("create")
    api.request("DELETE", "/keys/log/1")
    expect(page.get_by_role("row").nth(1)).to_contain_text("delete")
    assert violations(page) == []


def test_locks_are_shown_and_released(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    wanted = {"owner": MARKUP, "duration": "5m", "metadata": {"a": MARKUP}}
    api.post(f"/locks/{quote('<b>', safe='')}/acquire", json=wanted)
    page.goto(f"{open_server.url}/keyval/locks")
    row = page.get_by_role("row").filter(has=page.get_by_text("<b>", exact=True))
    expect(row).to_contain_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert violations(page) == []
    row.get_by_role("button", name="Release").click()
    page.get_by_role("dialog").get_by_role("button", name="Release").click()
    expect(page.get_by_text("Nobody has a lock")).to_be_visible()
    assert api.get("/locks").json() == {"locks": []}


def test_metrics_and_overview(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    api.get("/keys/none")
    page.goto(f"{open_server.url}/keyval/metrics")
    expect(page.get_by_role("row").filter(has_text="get").first).to_be_visible()
    assert violations(page) == []
    page.goto(f"{open_server.url}/keyval/")
    expect(page.locator(".card").filter(has_text="Entries")).to_be_visible()
    expect(page.locator(".sparkline").first).to_be_visible()
    watchers = page.locator(".card").filter(has_text="Watchers").locator("dd").first
    expect(watchers).to_have_text("0")
    with httpx2.stream("GET", f"{open_server.api}/watch?keys=none") as stream:
        events = stream.iter_raw()  # it ends with what reads it
        next(events)
        expect(watchers).to_have_text("1")
    expect(watchers).to_have_text("0")
    assert violations(page) == []


def test_what_others_wrote_is_text_on_every_page(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    key = quote(MARKUP, safe="")
    api.put(f"/keys/{key}?type={key}", json=MARKUP)
    # Streams: keys and types of changes, and the prefix of the address.
    page.goto(f"{open_server.url}/keyval/streams?prefix={quote(json.dumps([MARKUP]), safe='')}")
    row = page.get_by_role("row").nth(1)
    expect(row.get_by_role("cell").last).to_have_text(MARKUP)
    expect(row.get_by_role("link")).to_contain_text("<img src=x")
    no_markup(page)
    # Numbers have no names in them, but there may be somebody between who answers in their place.
    refusal = {"error": MARKUP, "code": "INTERNAL_ERROR"}
    page.route("**/keyval/api/metrics", lambda route: route.fulfill(status=502, json=refusal))
    for path in ("metrics", ""):
        page.goto(f"{open_server.url}/keyval/{path}")
        expect(page.locator(".problem")).to_contain_text(MARKUP)
        no_markup(page)
    # Atomic: what was typed, in the preview, and the key whose check does not hold.
    page.goto(f"{open_server.url}/keyval/atomic")
    page.get_by_role("button", name="Add a check").click()
    for field in (page.get_by_label("Key").first, page.get_by_label("Key").last):
        field.fill(json.dumps([MARKUP]))
    page.get_by_label("Value as JSON").fill(json.dumps(MARKUP))
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("pre").first).to_contain_text("<img src=x")
    page.get_by_role("button", name="Commit").click()
    expect(page.get_by_text("conflict", exact=True)).to_be_visible()
    expect(page.get_by_role("status").get_by_role("listitem")).to_contain_text("<img src=x")
    no_markup(page)


def no_markup(page: Page) -> None:
    """Nothing of what others wrote is a part of the page, or has run."""
    assert page.locator("main img").count() == 0
    assert page.title() != "1"


def test_a_hidden_page_asks_for_nothing(page: Page, open_server: LiveServer) -> None:
    # A browser without windows hides no page, and the hours pass by a clock of the test.
    page.add_init_script("""
        let isHidden = false, asked = 0;
        const fetched = window.fetch;
        window.fetch = (...what) => { asked += 1; return fetched(...what); };
        Object.defineProperty(document, "hidden", { get: () => isHidden });
        window.askedSoFar = () => asked;
        window.hide = (hidden) => {
          isHidden = hidden;
          document.dispatchEvent(new Event("visibilitychange"));
        };
    """)
    page.clock.install()
    page.goto(f"{open_server.url}/keyval/")
    expect(page.locator(".card").filter(has_text="Entries")).to_be_visible()
    with page.expect_response("**/keyval/api/metrics") as seen:
        page.clock.run_for(10_000)
    seen.value.finished()
    page.evaluate("hide(true)")
    page.clock.run_for(10_000)  # what was under way ends
    before = page.evaluate("askedSoFar()")
    page.clock.run_for(3_600_000)
    assert page.evaluate("askedSoFar()") == before
    with page.expect_response("**/keyval/api/metrics"):
        page.evaluate("hide(false)")


def test_a_watch_sees_the_writes_of_others(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    api.put("/keys/seen/1", json=MARKUP)
    page.goto(f"{open_server.url}/keyval/watch")
    for nothing in ("", "[]"):
        page.get_by_label("Keys, one in each line").fill(nothing)
        page.get_by_role("button", name="Watch").click()
        expect(page.get_by_role("alert").filter(has_text="Name a key")).to_be_visible()
    page.get_by_label("Keys, one in each line").fill("seen")
    page.get_by_role("button", name="Watch").click()
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text("<img src=x")
    assert page.locator("main img").count() == 0
    api.put("/keys/seen/2", json="new")
    expect(rows.first).to_contain_text('"new"')
    api.request("DELETE", "/keys/seen/2")
    expect(rows.first).to_contain_text("deleted")
    page.get_by_role("button", name="Pause").click()
    api.put("/keys/seen/3", json="later")
    page.get_by_role("button", name="Pause").click()
    expect(rows.first).to_contain_text('"later"')
    expect(rows).to_have_count(4)
    assert violations(page) == []


def test_a_sender_sees_no_messages(page: Page, closed_server: LiveServer) -> None:
    root = {"x-api-key": MASTER}
    wanted = {"name": "sender", "permissions": ["keyval:queue:send:mail"]}
    made = httpx2.post(f"{closed_server.url}/api/keys", json=wanted, headers=root).json()
    page.goto(f"{closed_server.url}/health")
    key = {"key": made["data"]["key"]}
    assert page.request.post(f"{closed_server.url}/api/admin/session", data=key).ok
    page.goto(f"{closed_server.url}/keyval/queue?queue=mail")
    expect(page.get_by_text("Send a message")).to_be_visible()
    for name in ("Pause", "Remove all messages", "Send again"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.goto(f"{closed_server.url}/keyval/queue?queue=others")
    expect(page.get_by_label("Queue")).to_have_value("others")
    expect(page.get_by_text("Send a message")).to_have_count(0)


def test_by_keyboard_alone(page: Page, open_server: LiveServer, api: httpx2.Client) -> None:
    page.goto(f"{open_server.url}/keyval/entry?new=%5B%5D")
    page.get_by_label("Key", exact=True).focus()
    page.keyboard.type("keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Value as JSON")).to_be_focused()
    page.keyboard.type("1")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Create":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_text("Versionstamp", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No entries here").or_(page.get_by_role("row").first)).to_be_visible()
    page.wait_for_url("**/keyval/entries")
    assert api.get("/keys/keyboard").status_code == 404


def test_the_focus_stays_near_what_was_done(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    """Not at the top of the page, from where somebody without a mouse would begin again."""
    api.post("/keys/set-batch", json={"sets": [{"key": ["near", n], "value": n} for n in (1, 2)]})
    page.goto(f"{open_server.url}/keyval/entries?prefix=near")
    page.get_by_label('Select ["near",1]').focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Delete selected").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label('Select ["near",1]')).to_have_count(0)
    expect(page.get_by_role("main")).to_be_focused()
    for name in ("near-1", "near-2"):
        api.post(f"/locks/{name}/acquire", json={"owner": "somebody", "duration": "1h"})
    page.goto(f"{open_server.url}/keyval/locks?prefix=near")
    row = page.get_by_role("row").filter(has_text="near-1")
    row.get_by_role("button", name="Release").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Release").focus()
    page.keyboard.press("Enter")
    expect(row).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Locks")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Release")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Release").focus()
    (lock,) = api.get("/locks?prefix=near").json()["locks"]
    api.post("/locks/near-2/release", json={"owner": "somebody", "token": lock["token"]})
    page.keyboard.press("Enter")
    expect(page.get_by_text("Somebody else has it by now, or nobody")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("button", name="Release")).to_be_focused()
