"""The modules of the pages without a browser: their types, their logic, their texts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.npm import NODE_SECONDS, TYPESCRIPT, npm_folder
from support.pages import SHARED, as_served, folders_of_pages

SCRIPTS = Path(__file__).parent / "scripts"

_TEXT = r"""(?:"([^"\\\n]+)"|'([^'\\\n]+)')"""
_USED = re.compile(rf"(?:\bt\(\s*|\b(?:title|label): ){_TEXT}")
_TABLE = re.compile(rf"^  (?:{_TEXT}|(\w+)):", re.MULTILINE)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_served(tmp_path_factory.mktemp("served"))


def test_types(served: Path) -> None:
    tsc = npm_folder("typescript", TYPESCRIPT) / "node_modules" / ".bin" / "tsc"
    done = subprocess.run(
        [tsc, "--project", served], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_wrong_type_would_be_found(served: Path, tmp_path: Path) -> None:
    folder = as_served(tmp_path / "served")
    (folder / "wrong.js").write_text(
        'import { count } from "./.well-known/buntime/ui/format.js";\ncount("one");\n'
    )
    tsc = npm_folder("typescript", TYPESCRIPT) / "node_modules" / ".bin" / "tsc"
    done = subprocess.run(
        [tsc, "--project", folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert "wrong.js(2,7)" in done.stdout


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.test.js")))
def test_logic(served: Path, script: str) -> None:
    """Tests in JavaScript: they import the modules as they are served."""
    copied = served / script
    copied.write_text((SCRIPTS / script).read_text("utf-8"))
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", copied],
        capture_output=True, text=True, timeout=NODE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "# pass 0" not in done.stdout, "it has no tests"


@pytest.mark.parametrize("base", ["", *folders_of_pages()])
def test_every_text_is_there_in_portuguese(base: str) -> None:
    shared = _table(SHARED)
    folder = folders_of_pages()[base] if base else SHARED
    known = shared | _table(folder)
    used = {
        text
        for path in folder.rglob("*.js")
        if path.name != "pt.js"
        for texts in _USED.findall(path.read_text("utf-8"))
        for text in texts
        if text
    }
    assert used, "no text found"
    assert used <= known, f"without a translation: {sorted(used - known)}"
    own = _table(folder)
    all_code = "".join(path.read_text("utf-8") for path in folder.rglob("*.js"))
    unused = {text for text in own if all_code.count(text) < 2}
    assert not unused, "translated, and not used"


def _table(folder: Path) -> set[str]:
    """The English texts of a folder's table."""
    text = (folder / "pt.js").read_text("utf-8")
    return {text for texts in _TABLE.findall(text) for text in texts if text}


@pytest.mark.parametrize("base", ["", *folders_of_pages()])
def test_no_module_makes_html_of_text(base: str) -> None:
    folder = folders_of_pages()[base] if base else SHARED
    for path in folder.rglob("*.js"):
        code = path.read_text("utf-8")
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in code, f"{path.name}: {way}"
        # Addresses begin at the base of the page, or at the host's: they work below a path.
        assert not re.search(r"""fetch\(\s*["'`]/""", code), path.name
