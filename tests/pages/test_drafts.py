"""What is typed and not saved, in a browser: in no form is it lost without a question."""

from __future__ import annotations

import pytest
from pages.conftest import MASTER
from playwright.sync_api import Locator, Page, expect
from support.live import LiveServer


def question(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Discard what is not saved?")


@pytest.mark.parametrize(
    ("view", "opener", "label", "text"),
    [
        ("keyval/atomic", None, "Value as JSON", "[1]"),
        ("keyval/queue", "Send a message", "Message as JSON", "[1]"),
        ("keyval/tasks", "Make a task", "Payload as JSON", "[1]"),
        ("keyval/search", "New index", "Fields", "title"),
        ("database/console", None, "Statement", "SELECT 1"),
    ],
)
def test_no_form_loses_what_is_typed(
    page: Page, open_server: LiveServer, view: str, opener: str | None, label: str, text: str
) -> None:
    page.goto(f"{open_server.url}/{view}")
    if opener is not None:
        page.get_by_text(opener, exact=True).click()
    typed = page.get_by_label(label, exact=True)
    typed.fill(text)
    page.get_by_role("link", name="Locks").click()
    question(page).get_by_role("button", name="Cancel").click()
    expect(typed).to_have_value(text)
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    asked.value.dismiss()
    expect(typed).to_have_value(text)
    page.get_by_role("link", name="Locks").click()
    question(page).get_by_role("button", name="Discard").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Locks")


def test_another_choice_of_the_same_page_asks_and_what_is_sent_does_not(
    page: Page, open_server: LiveServer
) -> None:
    page.goto(f"{open_server.url}/keyval/queue?queue=drafts")
    page.get_by_text("Send a message", exact=True).click()
    message = page.get_by_label("Message as JSON")
    message.fill("[1]")
    page.get_by_label("Delay").fill("1h")
    page.get_by_label("Queue", exact=True).fill("other")
    page.get_by_role("button", name="Show").click()
    question(page).get_by_role("button", name="Cancel").click()
    expect(message).to_have_value("[1]")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(message).to_have_value("")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/queue?queue=other")


def test_what_is_committed_or_run_is_no_draft(page: Page, open_server: LiveServer) -> None:
    page.goto(f"{open_server.url}/keyval/atomic")
    page.get_by_label("Key", exact=True).fill("drafts/1")
    page.get_by_label("Value as JSON").fill("1")
    page.get_by_role("button", name="Commit").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    page.get_by_role("link", name="SQL console").click()
    statement = page.get_by_label("Statement")
    statement.fill("SELECT 1 AS one")
    statement.press("Control+Enter")
    expect(page.get_by_text("1 rows,")).to_be_visible()
    # One of the past takes the place of what is typed, if that may go.
    statement.fill("SELECT 2")
    page.get_by_text("History", exact=True).click()
    page.get_by_role("button", name="SELECT 1 AS one").click()
    question(page).get_by_role("button", name="Cancel").click()
    expect(statement).to_have_value("SELECT 2")
    page.get_by_role("button", name="SELECT 1 AS one").click()
    question(page).get_by_role("button", name="Discard").click()
    expect(statement).to_have_value("SELECT 1 AS one")
    page.get_by_role("link", name="Locks").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Locks")


def test_a_dialog_keeps_what_is_typed_from_escape_and_the_way_back(
    page: Page, open_server: LiveServer
) -> None:
    page.goto(f"{open_server.url}/keyval/locks")
    page.get_by_role("link", name="Schedules").click()
    add = page.get_by_role("button", name="New schedule")
    dialog = page.get_by_role("dialog", name="New schedule")
    add.click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    add.click()
    dialog.get_by_label("Name").fill("nightly")
    for leave in (lambda: page.keyboard.press("Escape"), page.go_back):
        leave()
        question(page).get_by_role("button", name="Cancel").click()
        expect(dialog.get_by_label("Name")).to_have_value("nightly")
    page.keyboard.press("Escape")
    question(page).get_by_role("button", name="Discard").click()
    expect(dialog).to_have_count(0)
    # Nothing is typed: the way back closes what would be about another page.
    add.click()
    expect(dialog).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Locks")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_way_back_that_is_gone_twice_is_asked_for_once(
    page: Page, open_server: LiveServer
) -> None:
    page.goto(f"{open_server.url}/keyval/metrics")
    for view in ("Locks", "Atomic"):
        page.get_by_role("link", name=view).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(view)
    page.get_by_label("Value as JSON").fill("1")
    page.go_back()
    expect(question(page)).to_be_visible()
    page.go_back()
    expect(question(page)).to_have_count(1)
    question(page).get_by_role("button", name="Discard").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Locks")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Metrics")


def test_signing_in_keeps_what_is_typed(page: Page, closed_server: LiveServer) -> None:
    page.goto(f"{closed_server.url}/keyval/atomic")
    value = page.get_by_label("Value as JSON")
    value.fill("[1]")
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog", name="Sign in")
    dialog.get_by_label("Key").fill("half a")
    # A key is no draft.
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Sign in").click()
    dialog.get_by_label("Key").fill(MASTER)
    page.keyboard.press("Enter")
    question(page).get_by_role("button", name="Cancel").click()
    expect(value).to_have_value("[1]")
