"""Make the pictures of the pages in `docs/images`, of a store with a few entries and messages."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import httpx2
from playwright.sync_api import Page, ViewportSize, expect

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.browser import open_browser  # noqa: E402 - found on the path above
from support.live import DEFAULT_PLUGINS, live_server  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 1100, "height": 700}
GATEWAY = {
    "rateLimit": {"requests": 1000, "window": "1m"},
    "cors": {"origin": "https://app.example"},
    "cache": {"ttl": "30s", "paths": "/shop/**"},
}
CONFIG = {"plugins": [*DEFAULT_PLUGINS, ["@buntime/plugin-gateway", GATEWAY]]}


def main() -> None:
    """Start a server, fill its store, and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, live_server(Path(folder), CONFIG) as server:
        with httpx2.Client(base_url=server.api) as client:
            fill(client)
        with open_browser() as browser:
            page = browser.new_page(viewport=SIZE, locale="en-US")
            for name, view, text in (
                ("entries", "keyval/entries?prefix=shop", "users"),
                ("entry", 'keyval/entry?key=["shop","users",1]', "Versionstamp"),
                ("queue", "keyval/queue?queue=mail", "no such address"),
                ("tasks", "keyval/tasks", "send-mail"),
                (
                    "search",
                    "keyval/search?prefix=posts&query=sug* cream&explain=true",
                    "Explanation",
                ),
                ("gateway", "gateway/", "at the most"),
            ):
                page.goto(f"{server.url}/{view}")
                take(page, name, text)


def fill(client: httpx2.Client) -> None:
    """Store the entries that the pictures show."""
    people = [{"name": "Ada", "born": 1815}, {"name": "Grace", "born": 1906}]
    sets: list[dict[str, object]] = [
        {"key": ["shop", "users", number], "value": person, "metadata": {"source": "form"}}
        for number, person in enumerate(people, 1)
    ]
    sets += [
        {"key": ["shop", "orders", {"__type": "bigint", "value": str(10**18 + number)}], "value": 1}
        for number in range(6)
    ]
    sets += [
        {"key": ["shop", "sessions", name], "value": {"user": 1}, "expiresIn": "30m"}
        for name in "abc"
    ]
    texts = {"Crème brûlée": "A dessert of cream and sugar", "Sugar": "Sweet, as cream never is"}
    sets += [
        {"key": ["posts", number], "value": {"title": title, "body": body}}
        for number, (title, body) in enumerate(texts.items(), 1)
    ]
    client.post("/keys/set-batch", json={"sets": sets}).raise_for_status()
    index = {"prefix": ["posts"], "fields": ["title", "body"]}
    client.post("/indexes", json=index).raise_for_status()
    for name in ("nobody", "ada", "grace"):
        options = {"queue": "mail", "backoffSchedule": []}
        body = {"value": {"to": f"{name}@example.org"}, "options": options}
        client.post("/queue/enqueue", content=json.dumps(body)).raise_for_status()
    message = client.get("/queue/poll?queue=mail").json()["message"]
    refused = {"id": message["id"], "error": "no such address"}
    client.post("/queue/nack", json=refused).raise_for_status()

    for number in range(3):
        task = {"name": "send-mail", "payload": {"to": f"customer-{number}@example.org"}}
        client.post("/tasks", json=task).raise_for_status()
    client.post("/tasks/lease", json={"runner": "w1", "limit": 1}).raise_for_status()


def take(page: Page, name: str, text: str) -> None:
    """Take a picture once a text is there."""
    expect(page.get_by_text(text).first).to_be_visible()
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")


if __name__ == "__main__":
    main()
