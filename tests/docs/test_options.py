"""The tables of plugin options are those of the manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `([\w.]+)` \| (?:`([^`]*)`|–) \|", re.MULTILINE)


def options(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str | None]]:
    """Name and default of every option, those of objects by their path."""
    for name, field in schema.items():
        if "properties" in field:
            yield from options(field["properties"], f"{above}{name}.")
        elif "default" in field:
            default = field["default"]
            yield above + name, str(default).lower() if isinstance(default, bool) else str(default)
        else:
            yield above + name, None


@pytest.mark.parametrize("plugin", ["plugin-database", "plugin-keyval"])
def test_every_option_is_in_its_table_with_its_default(plugin: str) -> None:
    manifest = yaml.safe_load((ROOT / "plugins" / plugin / "manifest.yaml").read_text())
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.partition(f"## {plugin}\n")[2].partition("\n## ")[0]
    documented = {name: default or None for name, default in _ROW.findall(section)}
    assert documented == dict(options(manifest["config"]))
