"""Write the version of the product to all places where tools want a copy of it.

It is said in the `pyproject.toml` of the root. The distributions of `packages/` and the manifests
have copies, and so have the pins by which one distribution needs another; the host has one since
a command should not have to ask for the metadata of a distribution when it starts.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "pyproject.toml"
COPIES = (
    "pyproject.toml",
    "packages/*/pyproject.toml",
    "host/buntime_host/version.py",
    "manifest.yaml",
    "plugins/*/manifest.yaml",
)
VERSIONS = {
    "pyproject.toml": re.compile(r'(?m)(^version = "|"buntime-[a-z-]+==)[^"]+'),
    "version.py": re.compile(r'(?m)(^__version__ = ")[^"]+'),
    "manifest.yaml": re.compile(r"(?m)(^version: ).+$"),
}


def with_version(name: str, text: str, version: str) -> str:
    """A file of that name with this version in all its copies."""
    written, count = VERSIONS[name].subn(lambda found: f"{found[1]}{version}", text)
    if not count:
        raise ValueError(f"{name}: no version was found where one is expected")
    return written


def main(check: bool) -> int:
    """Write the copies, or say which ones differ; the exit code."""
    version = tomllib.loads(SOURCE.read_text(encoding="utf-8"))["project"]["version"]
    wrong = []
    for place in COPIES:
        for path in sorted(ROOT.glob(place)):
            text = path.read_text(encoding="utf-8")
            written = with_version(path.name, text, version)
            if written != text:
                wrong.append(path)
                if not check:
                    path.write_text(written, encoding="utf-8")
    for path in wrong:
        print(f"{path.relative_to(ROOT)}: {'not ' if check else 'now '}version {version}")
    if check and wrong:
        print("run scripts/version")
    return int(check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
