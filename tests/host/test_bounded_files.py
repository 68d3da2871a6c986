"""Configuration that would take minutes or gigabytes is refused at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from buntime_host.config import MAX_BYTES, load_config
from buntime_host.errors import ConfigError, ManifestError
from buntime_host.options.units import parse_duration, parse_size
from buntime_host.plugins.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024


def _bomb(first: str, form: str, levels: int) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {form % ','.join([f'*a{n - 1}'] * 9)}" for n in range(1, levels)]
    return "\n".join(lines)


MANIFESTS = {
    "aliases": (_bomb("[x]", "[%s]", 12), "more than 20000 values"),
    "merges": (_bomb("{k: v}", "{<<: [%s]}", 9), "more than 20000 values"),
    "an alias of itself": ("a: &a [*a]", "more than 64 levels"),
    "brackets": ("a: " + "[" * 100_000, "nesting depth"),
    "levels": ("a: " + "[" * 200 + "]" * 200, "more than 64 levels"),
    "levels in aliases": (
        "a0: &a0 " + "[" * 40 + "]" * 40 + "\na1: " + "[" * 40 + "*a0" + "]" * 40,
        "more than 64 levels",
    ),
    "lines": ("\n".join(" " * n + "a:" for n in range(500)), "more than 64 levels"),
    "values": ("a: [" + "1," * 40_000 + "]", "more than 20000 values"),
    "an integer": ("a: " + "9" * 100_000, "line 2: a number of that length"),
    "sexagesimal": ("a: " + "1:" * 100_000 + "1", "line 2: a number of that length"),
    "a float": ("a: 1." + "9" * 100_000, "line 2: a number of that length"),
    "no day": ("a: 2001-99-99", "month must be in"),
    "size": ("a: " + "x" * 256 * KIB, "more than 262144 bytes"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "problem"), MANIFESTS.values(), ids=MANIFESTS)
def test_manifests(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(f"name: x\n{text}\n")
    with pytest.raises(ManifestError, match=problem):
        read_manifest(path)


def test_aliases_have_their_uses(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text("name: x\na: &a {k: [1, 2]}\nb: *a\nc: {<<: *a, l: 3}\n")
    options = read_manifest(path).options
    assert options["b"] == {"k": [1, 2]}
    assert options["c"] == {"k": [1, 2], "l": 3}


CONFIGS = {
    "arrays": "[" * 400 * KIB,
    "objects": '{"a":' * 80 * KIB,
    "comments": "/*" * 200 * KIB,
    "quotes": '"' * (400 * KIB - 1),
    "commas": "[" + "," * 400 * KIB,
    "digits": '{"port":' + "9" * 400 * KIB + "}",
    "size": " " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_configurations(tmp_path: Path, text: str) -> None:
    path = tmp_path / "buntime.jsonc"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"^\[buntime.jsonc\]"):
        load_config(path, environ={})


@pytest.mark.parametrize("text", ["${" * 200 * KIB, "$" * 400 * KIB, "${}" * 100 * KIB])
def test_variables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "buntime.jsonc"
    path.write_text(f'{{"homepage": "{text}"}}')
    assert load_config(path, environ={}).homepage == text


def test_sizes_and_durations_that_are_no_numbers_any_more() -> None:
    for parse in (parse_size, parse_duration):
        with pytest.raises(ValueError, match="must be a number of"):
            parse("9" * 400)
