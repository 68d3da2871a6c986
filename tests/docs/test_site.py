"""The documentation site: every page is in its navigation, and it can be built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from site_nav import REST, complete, pages_in

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "mkdocs.yml"


def test_every_page_is_in_the_navigation_once() -> None:
    written = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    said = yaml.safe_load(CONFIGURATION.read_text("utf-8"))["nav"]
    listed = [*pages_in(said)]
    assert set(listed) <= set(written), "mkdocs.yml lists a page that is not there"
    assert sorted(pages_in(complete(said, written))) == written
    assert len(said) < len(listed), "pages stand in sections"


def test_a_page_that_nobody_listed_is_there_all_the_same() -> None:
    navigation = complete(["index.md", {"Store": ["a.md"]}], ["index.md", "a.md", "c.md", "b.md"])
    assert navigation[-1] == {REST: ["b.md", "c.md"]}
    assert complete(["index.md"], ["index.md"]) == ["index.md"]


@pytest.mark.slow
def test_the_site_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "site" / "queue.html").read_text("utf-8")
    assert 'href="locks.html"' in page
