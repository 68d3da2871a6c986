"""Options that a struct declares: reading them, and what is told of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from buntime_host import Duration, OptionError, Options, Size, option, read_options
from buntime_host.options.declared import declared

ROOT = Path(__file__).parents[2]


class Section(Options, frozen=True):
    max_age: Annotated[Duration, option("How old", least=1)] = Duration("24h")
    max_size: Annotated[Size, option("How large", most=2048)] = Size("1kb")


class Example(Options, frozen=True):
    """Options of every kind."""

    name: Annotated[str, option("HTTP name", "Not empty")] = "x"
    secret: Annotated[str | None, option("Key", env=("KEY", "OLD_KEY"), secret=True)] = None
    mode: Annotated[Literal["on", "off"], option("Mode")] = "on"
    many: Annotated[tuple[str, ...], option("Names", doc="a [list](x.md)")] = ()
    count: Annotated[int, option("How many", least=1, most=9)] = 5
    ready: Annotated[bool, option("Whether")] = False
    some: Annotated[bool | tuple[str, ...], option("All or some")] = False
    section: Annotated[Section, option("Together")] = Section()
    unseen: str = ""


class Loose(Options, frozen=True):
    one: Annotated[str | tuple[str, ...], option("One or some")] = ()
    section: Annotated[Section | None, option("Off unless it is written")] = None


class Strict(Options, frozen=True, forbid_unknown_fields=True):
    a: int = 1


def test_what_is_not_said_is_the_default() -> None:
    options = read_options(Example, {"secret": None, "mode": "off", "something": "else"})
    assert options == Example(mode="off")
    assert [*map(float, (options.section.max_age, options.section.max_size))] == [86_400, 1024]


def test_sizes_and_durations_are_numbers() -> None:
    section = {"maxAge": "1.5 minutes", "maxSize": 7}
    options = read_options(Example, {"section": section})
    assert [*map(float, (options.section.max_age, options.section.max_size))] == [90, 7]
    assert options.section.max_age.milliseconds == 90_000
    assert read_options(Example, {"section": {"maxAge": 250}}).section.max_age == 0.25


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": 5}, "name: Expected `str`, got `int`"),
        ({"mode": "maybe"}, "mode: Invalid enum value 'maybe'"),
        ({"many": ["a", 1]}, "many[1]: Expected `str`, got `int`"),
        ({"count": 0}, "count: must be at least 1, received 0"),
        ({"count": 10}, "count: must be at most 9, received 10"),
        ({"section": []}, "section: Expected `object`, got `array`"),
        ({"section": {"maxAge": "soon"}}, "section.maxAge: must be a number of milliseconds or"),
        ({"section": {"maxAge": 0}}, "section.maxAge: must be at least 1 ms, received 0"),
        (
            {"section": {"maxSize": "1 gb"}},
            "section.maxSize: must be at most 2048, received",
        ),
        ({"section": {"maxSize": True}}, "section.maxSize: must be a number of bytes"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{re.escape(message)}"):
        read_options(Example, given)


def test_a_struct_may_forbid_what_it_does_not_know() -> None:
    with pytest.raises(OptionError, match=r"^Object contains unknown field `b`"):
        read_options(Strict, {"b": 1})


def test_what_is_declared() -> None:
    found = {one.name: one for one in declared(Example)}
    assert {name: one.type for name, one in found.items()} == {
        "name": "string",
        "secret": "password",
        "mode": "enum",
        "many": "array",
        "some": "boolean or array",
        "count": "number",
        "ready": "boolean",
        "section": "object",
        "unseen": "string",
    }
    assert (found["mode"].choices, found["mode"].default) == (("on", "off"), "on")
    assert found["secret"].env == ("KEY", "OLD_KEY")
    assert [(one.name, one.type, one.default) for one in found["section"].properties] == [
        ("maxAge", "duration", "24h"),
        ("maxSize", "size", "1kb"),
    ]
    assert not found["section"].optional


def test_a_section_that_nobody_writes_has_no_defaults() -> None:
    assert read_options(Loose, {}).section is None
    assert read_options(Loose, {"section": {}}).section == Section()
    assert [(one.type, one.optional) for one in declared(Loose)] == [
        ("string or array", False),
        ("object", True),
    ]


def test_one_text_or_some() -> None:
    assert read_options(Loose, {"one": "a"}).one == "a"
    assert read_options(Loose, {"one": ["a", "b"]}).one == ("a", "b")


def test_a_type_that_no_manifest_has() -> None:
    class Odd(Options, frozen=True):
        moment: Annotated[bytes, option("Bytes")] = b""

    with pytest.raises(TypeError, match="no option can be"):
        [*declared(Odd)]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/options` on a folder of its own."""
    spec = importlib.util.spec_from_file_location("options_script", ROOT / "scripts/options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    return module


def test_manifest_and_table_are_made_of_it(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{__name__}:Example"
    manifest, page = tmp_path / "manifest.yaml", tmp_path / "docs" / "page.md"
    head = f"name: x\n\n# Made by scripts/options from {source}\n"
    manifest.write_text(f"{head}config:\n  old:\n    type: string\nlast: 1\n")
    mark = f"# Page\n\n<!-- Made by scripts/options from {source} -->\n"
    page.write_text(f"{mark}\n| old |\n|---|\n\nAfter.\n")
    monkeypatch.setattr("sys.argv", ["options", "--check"])
    with pytest.raises(SystemExit, match=r"manifest\.yaml, docs/page\.md; run scripts/options"):
        script.main()
    monkeypatch.setattr("sys.argv", ["options"])
    script.main()
    assert manifest.read_text().startswith(f"{head}config:\n  name:\n    type: string\n")
    end = "default: 1kb\n  unseen:\n    type: string\nlast: 1\n"
    assert manifest.read_text().endswith(end)
    assert (
        page.read_text()
        == f"""{mark}
| option | default | meaning |
|---|---|---|
| `name` | `x` | HTTP name; not empty |
| `secret` | – | key; variable `KEY`, `OLD_KEY` |
| `mode` | `on` | mode: on, off |
| `many` | – | a [list](x.md) |
| `count` | `5` | how many |
| `ready` | `false` | whether |
| `some` | `false` | all or some |
| `section.maxAge` | `24h` | how old |
| `section.maxSize` | `1kb` | how large |

After.
"""
    )
    monkeypatch.setattr("sys.argv", ["options", "--check"])
    script.main()
