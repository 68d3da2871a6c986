"""Make the blocking half of the client from the one for asyncio: `scripts/unasync`.

Every module of an `_async` folder becomes one of the `_sync` folder beside it: words are replaced,
in code and in comments, and ruff formats the result. A module of `_sync` that does not
begin with `MARK` is written by hand, since the two differ there, and stays as it is.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("packages/keyval/buntime_keyval", "tests/client", "tests/keyval/libsql")
MARK = "# Made by scripts/unasync from"

WORDS = [
    (r"async (def|with|for)\b", r"\1"),
    (r"await ", ""),
    (r"\b(_?)Async(?=[A-Z])", r"\1"),
    (r"\bAbstractAsync(?=[A-Z])", "Abstract"),
    (r"\b_async\b", "_sync"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\ba(close|closing|iter|iter_bytes|next|read)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\benter_async_context\b", "enter_context"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bopen_kv\b", "open_kv_sync"),
    (r"for asyncio\.", "for blocking code; threads may share it."),
    (r"Ends with `stop`, or", "Ends with `stop`, which any thread may call, or"),
]
"""Patterns and what takes their place; one that is nowhere is an error."""

# Sorted imports, without unused ones, and shorter forms where nothing is awaited.
FIXED = "I001,F401,UP028,C416"


def main() -> None:
    """Write all modules, or say which of them are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args().check
    used: Counter[str] = Counter()
    wrong = []
    for folder in FOLDERS:
        for path, text in blocking_modules(ROOT / folder, used).items():
            if path.exists() and path.read_text() == text:
                continue
            wrong.append(path.relative_to(ROOT))
            if not check:
                path.write_text(text)
                print(f"made {wrong[-1]}")
        for path in (ROOT / folder / "_sync").glob("*.py"):
            if is_made(path) and not (ROOT / folder / "_async" / path.name).exists():
                wrong.append(path.relative_to(ROOT))
                if not check:
                    path.unlink()
                    print(f"removed {wrong[-1]}")
    if unused := [pattern for pattern, _ in WORDS if not used[pattern]]:
        sys.exit(f"These patterns are nowhere: {unused}")
    if check and wrong:
        sys.exit("Run scripts/unasync, it would change " + ", ".join(map(str, wrong)))


def blocking_modules(folder: Path, used: Counter[str]) -> dict[Path, str]:
    """The blocking module of each one for asyncio in a folder, but for those written by hand."""
    made = {}
    for source in sorted((folder / "_async").glob("*.py")):
        path = folder / "_sync" / source.name
        if not path.exists() or is_made(path):
            head = f"{MARK} _async/{source.name}: change that one.\n"
            made[path] = formatted(head + blocking(source.read_text(), used), path)
    return made


def is_made(path: Path) -> bool:
    """Whether a module is of this program, and not written by hand."""
    return path.read_text().startswith(MARK)


def blocking(text: str, used: Counter[str]) -> str:
    """A module without what waits; counts the patterns that were found."""
    for pattern, replacement in WORDS:
        text, count = re.subn(pattern, replacement, text)
        used[pattern] += count
    return without_awaitables(text)


def without_awaitables(text: str) -> str:
    """`Awaitable[X]` as `X`; the import goes as one that is not used."""
    while (found := re.search(r"\bAwaitable\[", text)) is not None:
        end, depth = found.end(), 1
        while depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + text[found.end() : end - 1] + text[end:]
    return text


def formatted(text: str, path: Path) -> str:
    """A module in the style of all others."""
    fix = ["check", f"--select={FIXED}", "--fix-only", "--unsafe-fixes", "--quiet"]
    for command in (fix, ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, f"--stdin-filename={path}", "-"]
        done = subprocess.run(ruff, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{path}: {done.stderr}")
        text = done.stdout
    return text


if __name__ == "__main__":
    main()
