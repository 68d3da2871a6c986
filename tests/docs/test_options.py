"""The tables of plugin options are those of the manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from buntime_host.options.units import parse_duration as of_options
from buntime_keyval.wire.durations import parse_duration as of_wire

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `([\w.]+)` \| (?:`([^`]*)`|–) \|", re.MULTILINE)


def shown(default: object) -> str:
    if isinstance(default, list):
        return json.dumps(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def options(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str | None]]:
    """Name and default of every option, those of objects by their path."""
    for name, field in schema.items():
        if "properties" in field:
            yield from options(field["properties"], f"{above}{name}.")
        elif "default" in field:
            default = field["default"]
            yield above + name, shown(default)
        else:
            yield above + name, None


@pytest.mark.parametrize(
    "plugin", ["plugin-database", "plugin-gateway", "plugin-keyval", "plugin-proxy"]
)
def test_every_option_is_in_its_table_with_its_default(plugin: str) -> None:
    manifest = yaml.safe_load((ROOT / "plugins" / plugin / "manifest.yaml").read_text())
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.partition(f"## {plugin}\n")[2].partition("\n## ")[0]
    documented = {name: default or None for name, default in _ROW.findall(section)}
    assert documented == dict(options(manifest["config"]))


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.stem)
def test_tables_end_with_an_empty_line(page: Path) -> None:
    """What follows without one is a row."""
    assert not re.findall(r"^\|.*\n(?!\||\n).+", page.read_text(), re.MULTILINE)


DURATIONS = [
    *("5", "5ms", "1.5 hours", "2H", ".5s", "1y", "1 week", "3 msecs", "0", "7 mins", "1.25days"),
    *("", "5 lightyears", "1h30m", "s", "1.s", "1,5s", "٣s", "1e3", "five", "5 s s"),
]


@pytest.mark.parametrize("text", DURATIONS)
def test_durations_have_one_grammar(text: str) -> None:
    def read(parse: Callable[[object], float]) -> float | None:
        try:
            return parse(text)
        except ValueError:
            return None

    of_host, of_requests = read(of_options), read(of_wire)
    assert (of_host is None) == (of_requests is None)
    if of_host is not None and of_requests is not None:
        assert of_host * 1000 == pytest.approx(of_requests)
