"""Nodes replicate statements as texts: one that says something else on each is none of ours."""

from __future__ import annotations

import re
from pathlib import Path

import buntime_plugin_database.shared.witness
import buntime_plugin_keyval.features
import buntime_plugin_keyval.storage.dialects.sqlite

# Times, identities and chance are bound by whoever decides them.
FORBIDDEN = re.compile(
    r"CURRENT_(?:TIME|DATE)|\brandom(?:blob)?\(|'now'|\b(?:julianday|unixepoch|strftime|datetime)\(",
    re.IGNORECASE,
)


def test_no_text_depends_on_where_it_runs() -> None:
    roots = [
        Path(buntime_plugin_keyval.storage.dialects.sqlite.__path__[0]),
        Path(buntime_plugin_keyval.features.__path__[0]),
    ]
    files = [Path(str(buntime_plugin_database.shared.witness.__file__))]
    for root in roots:
        files += [*root.rglob("*.sql"), *root.rglob("*.py")]
    sql = [file for file in files if file.suffix == ".sql" or "sqlite" in file.parts]
    assert len(sql) > 20
    for file in [files[0], *sql]:
        assert not FORBIDDEN.search(file.read_text()), file
