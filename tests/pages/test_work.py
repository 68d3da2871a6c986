"""Tasks, schedules and consumers in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from pages.conftest import MASTER
from playwright.sync_api import Browser, Page, expect
from support.live import LiveServer
from support.pages import violations, watched_page

MARKUP = '<img src=x onerror="document.title=1">'


@pytest.fixture
def api(open_server: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=open_server.api) as client:
        yield client


def test_tasks_are_made_and_followed(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    page.goto(f"{open_server.url}/keyval/tasks")
    page.get_by_text("Make a task").click()
    page.get_by_label("Name", exact=True).fill("print")
    page.get_by_label("Payload as JSON").fill('{"book": 90071992547409931}')
    page.get_by_text("When and how it is run").click()
    page.get_by_label("Id", exact=True).fill("book-1")
    page.get_by_label("Attempts at the most").fill("1")
    page.get_by_label("Pauses before").fill("1s")
    page.get_by_role("button", name="Make", exact=True).click()
    expect(page.get_by_text("Made as book-1")).to_be_visible()
    row = page.get_by_role("region", name="Tasks", exact=True).get_by_role("row")
    expect(row.filter(has_text="book-1")).to_contain_text("pending")
    assert api.get("/tasks/book-1").json()["backoffSchedule"] == [1000]
    assert violations(page) == []
    (leased,) = api.post("/tasks/lease", json={"runner": "w", "names": ["print"]}).json()["tasks"]
    told = {"token": leased["token"], "progress": {"page": 7}}
    api.post("/tasks/book-1/heartbeat", json=told)
    page.get_by_role("link", name="book-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Task")
    expect(page.get_by_text("running", exact=True)).to_be_visible()
    expect(page.locator("pre").first).to_contain_text("90071992547409931")
    expect(page.locator("pre").last).to_contain_text('"page": 7')
    api.post("/tasks/book-1/fail", json={"token": leased["token"], "error": MARKUP})
    expect(page.locator("pre").first).to_have_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert violations(page) == []
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("pending", exact=True)).to_be_visible()
    page.get_by_role("button", name="Cancel the task").click()
    expect(page.get_by_text("cancelled", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
    assert api.get("/tasks/book-1").status_code == 404


def test_schedules_are_made_changed_and_run(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    page.goto(f"{open_server.url}/keyval/schedules")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_label("Cron expression").fill("0 3 * *")
    dialog.get_by_label("Task as JSON").fill('{"name": "report", "payload": 90071992547409931}')
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("cron")
    assert violations(page) == []
    dialog.get_by_label("Cron expression").fill("0 3 * * *")
    dialog.get_by_label("Time zone").fill("Europe/Lisbon")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("row").filter(has_text="nightly")
    expect(row).to_contain_text("0 3 * * * (Europe/Lisbon)")
    page.get_by_role("button", name="Run now: nightly").click()
    expect(page.get_by_text("Started as")).to_be_visible()
    assert api.get("/tasks/stats").json()["tasks"]["report"] == {"pending": 1}
    page.get_by_role("button", name="Pause nightly").click()
    expect(row).to_contain_text("paused")
    assert "90071992547409931" in api.get("/schedules/nightly").text, "as it was written"
    page.get_by_role("button", name="Edit nightly").click()
    dialog.get_by_label("Cron expression").fill("")
    dialog.get_by_label("Or a pause").fill("10m")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("every 10 min")
    page.get_by_role("button", name="Resume nightly").click()
    expect(row).not_to_contain_text("paused")
    assert violations(page) == []
    page.get_by_role("button", name="Delete nightly").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing is started at times yet")).to_be_visible()


def test_consumers_are_looked_at_and_placed(
    page: Page, open_server: LiveServer, api: httpx2.Client
) -> None:
    seq = api.get("/stream/seq").json()["seq"]
    api.put("/consumers/mailer/position", json={"seq": seq})
    api.put("/keys/mails/1", json=1)
    api.put("/keys/mails/2", json=2)
    batch = api.post("/consumers/mailer/fetch", json={"owner": MARKUP}).json()
    failed = {"token": batch["token"], "seq": batch["records"][0]["seq"], "error": MARKUP}
    api.post("/consumers/mailer/nack", json={**failed, "maxAttempts": 1})
    page.goto(f"{open_server.url}/keyval/consumers")
    row = page.get_by_role("row").filter(has_text="mailer")
    expect(row).to_contain_text(MARKUP)
    assert violations(page) == []
    page.get_by_role("link", name="mailer").click()
    coming = page.get_by_role("region", name="Changes")
    expect(coming).to_contain_text('"mails"2')
    letters = page.get_by_role("region", name="Dead letters").get_by_role("row")
    expect(letters.nth(1)).to_contain_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert violations(page) == []
    assert api.get("/consumers/mailer").json()["lag"] == 1, "looking takes nothing"
    page.goto(f"{open_server.url}/keyval/consumer?name=mailer&after={failed['seq']}")
    expect(page.get_by_text("No dead letters")).to_be_visible()
    page.get_by_role("link", name="First page").click()
    letters.nth(1).get_by_role("button", name="again").click()
    expect(letters.nth(1)).to_contain_text("comes again")
    letters.nth(1).get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No dead letters")).to_be_visible()
    page.get_by_label("Go on behind the position").fill(str(seq + 1000))
    page.get_by_role("button", name="Set").click()
    expect(page.locator("main .problem").last).to_contain_text("position")
    page.get_by_label("Go on behind the position").fill(str(seq))
    page.get_by_role("button", name="Set").click()
    expect(coming).to_contain_text('"mails"1')
    page.get_by_role("button", name="Forget").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.get_by_text("No consumers")).to_be_visible()


def test_a_key_for_some_names_sees_what_it_may(browser: Browser, closed_server: LiveServer) -> None:
    made = httpx2.post(
        f"{closed_server.url}/api/keys",
        headers={"x-api-key": MASTER},
        json={
            "name": "k",
            "permissions": [
                "keyval:task:send:mail-", "keyval:consume:mail-", 'keyval:read:["mails"]',
            ],
        },
    )  # fmt: skip
    with watched_page(browser, viewport={"width": 390, "height": 800}) as page:
        page.goto(f"{closed_server.url}/keyval/consumers")
        page.get_by_role("dialog").get_by_label("Key").fill(made.json()["data"]["key"])
        page.keyboard.press("Enter")
        # Signing in draws the page anew, with what the key permits.
        expect(page.get_by_label("Names that begin with")).to_have_value("mail-")
        expect(page.get_by_text("No consumers")).to_be_visible()
        page.goto(f"{closed_server.url}/keyval/consumer?name=other")
        expect(page.get_by_text("names that begin with: mail-")).to_be_visible()
        expect(page.get_by_role("button", name="Forget")).to_have_count(0)
        page.goto(f"{closed_server.url}/keyval/tasks")
        expect(page.get_by_text("This key does not permit to look at it.")).to_be_visible()
        expect(page.get_by_text("Make a task")).to_be_visible()
        page.goto(f"{closed_server.url}/keyval/schedules")
        expect(page.get_by_text("This key does not permit to look at it.")).to_be_visible()
        expect(page.get_by_role("button", name="New schedule")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
