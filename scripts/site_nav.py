"""The navigation of the documentation site: that of `mkdocs.yml`, and all pages that it leaves out.

mkdocs calls `on_config`. A page without a section is in the last one, so that none is
ever missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

REST = "More"


def pages_in(navigation: Any) -> Iterator[str]:
    """The pages that a navigation lists, in its order."""
    if isinstance(navigation, str):
        yield navigation
        return
    items = navigation.values() if isinstance(navigation, dict) else navigation
    for item in items:
        yield from pages_in(item)


def complete(navigation: list[Any], written: Iterable[str]) -> list[Any]:
    """The navigation with all pages that are written."""
    rest = sorted({*written} - {*pages_in(navigation)})
    return [*navigation, {REST: rest}] if rest else navigation


def on_config(config: Any) -> Any:
    """See mkdocs: return the configuration to use."""
    written = [path.name for path in Path(config["docs_dir"]).glob("*.md")]
    config["nav"] = complete(config["nav"], written)
    return config
