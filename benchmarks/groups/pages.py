"""`pages`: from going to a page to what it is for, in a browser, on a large store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import bulk
from client import BenchmarkError
from group import Group, Plan, Selection, Settings, job
from results import Measurement, Row, Section

from groups.growth import Grown

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

ENTRIES = 1_000_000
PAGE = 50
"""Entries that the page shows at first."""
RUNS = 5
"""Visits in one round, each in a browser that knows nothing of the ones before."""
WAIT_MS = 60_000
MOST_MS = 1_000
OURS = "Buntime"
TITLES = {
    "cold": "first rows, nothing in the cache of the browser",
    "warm": "first rows, by a browser that has been there",
}
_WATCHED = """
window.drawn = new Promise((tell) => {
  new MutationObserver((_, observer) => {
    if (document.querySelector("main tbody tr") === null) return;
    observer.disconnect();
    // Behind the next frame: it is drawn by then.
    requestAnimationFrame(() => setTimeout(() => tell(performance.now())));
  }).observe(document, { childList: true, subtree: true });
});
"""
"""Notes when rows are drawn, in milliseconds from the moment that the page was gone to."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None or find_spec("playwright") is None:
        settings.say("pages: skipped; apt-get install chromium, pip install playwright")
        yield Plan([], [])
        return
    store = Grown(ENTRIES)
    settings.say(f"pages: makes {store.name} entries")
    with store.running(folder, []):
        visits = {"cold": _visited, "warm": _visited_again}
        yield Plan(
            [
                job((name, OURS), partial(_measured, store, program, visits[name]))
                for name in chosen["pages"]
            ],
            [SECTION],
        )


def _measured(
    store: Grown, program: str, visit: Callable[[BrowserContext, str], float]
) -> Measurement:
    from playwright.sync_api import sync_playwright

    # It keeps an event loop while it runs, and other groups have their own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            _in_new_context(browser, store, _visited)  # code of the browser itself is read
            taken = [_in_new_context(browser, store, visit) for _ in range(RUNS)]
        finally:
            browser.close()
    return Measurement(median(taken))


def _in_new_context(
    browser: Browser, store: Grown, visit: Callable[[BrowserContext, str], float]
) -> float:
    with browser.new_context() as context:
        return visit(context, f"{store.client.origin}/keyval/entries?prefix={bulk.PREFIX[0]}")


def _visited(context: BrowserContext, url: str) -> float:
    """Milliseconds until rows are drawn."""
    page = context.new_page()
    page.add_init_script(_WATCHED)
    page.goto(url, wait_until="commit")
    shown = page.locator("main tbody tr")
    shown.first.wait_for(timeout=WAIT_MS)
    rows = shown.count()
    if rows != PAGE:
        raise BenchmarkError(f"{rows} rows instead of {PAGE} at {url}")
    return float(page.evaluate("window.drawn"))


def _visited_again(context: BrowserContext, url: str) -> float:
    _visited(context, url)
    return _visited(context, url)


SECTION = Section(
    "pages",
    f"Entries of a store of {ENTRIES:,}, in a browser",
    [Row((name, OURS), title, "ms", most=MOST_MS) for name, title in TITLES.items()],
)
GROUP = Group({"pages": tuple(TITLES)}, opened, needs_wrk=False)
