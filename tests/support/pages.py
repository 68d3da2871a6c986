"""The pages as browsers get them: their files, a page that watches over itself, and axe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from support.npm import npm_folder
from support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "host" / "buntime_host" / "pages" / "ui"
AXE = "4.14.1"
SERIOUS = ("serious", "critical")

expect.set_options(timeout=PATIENCE * 1000)

TYPE_CHECKS = {
    "allowJs": True,
    "checkJs": True,
    "lib": ["es2023", "dom", "dom.iterable"],
    "module": "esnext",
    "moduleResolution": "bundler",
    "noEmit": True,
    "noUnusedLocals": True,
    "noUnusedParameters": True,
    "strict": True,
    "target": "es2022",
    "types": [],
}


def folders_of_pages() -> dict[str, Path]:
    """The folders with pages of plugins, by the base that they are served at."""
    found = {path.parent.name: path for path in ROOT.glob("plugins/*/ui")}
    return {name.removeprefix("plugin-"): path for name, path in sorted(found.items())}


def as_served(folder: Path) -> Path:
    """Lay all files out as they are served, so that imports lead to each other."""
    shutil.copytree(SHARED, folder / ".well-known" / "buntime" / "ui")
    for base, path in folders_of_pages().items():
        shutil.copytree(path, folder / base)
    (folder / "package.json").write_text('{"type": "module"}')
    include = ["**/*.js", ".well-known/**/*.js"]
    config = {"compilerOptions": TYPE_CHECKS, "include": include}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    return folder


@contextmanager
def watched_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a context of its own. What its console tells of errors fails the test at the end:
    a script that raises, and what the policy of the page did not permit."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Answers such as 401 are told as well; what the page makes of them is for the test.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            said.append(message.text)

    context = browser.new_context(**{"locale": "en-US", **options})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert not said, said


def violations(page: Page) -> list[str]:
    """What axe finds on a page that keeps people from using it, light and dark."""
    source = npm_folder("axe-core", AXE) / "node_modules" / "axe-core" / "axe.min.js"
    page.evaluate(source.read_text("utf-8"))
    found: list[str] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found += [
            f"{scheme}: {violation['id']}: {node['html']}: {node['failureSummary']}"
            for violation in result["violations"]
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
    return found
