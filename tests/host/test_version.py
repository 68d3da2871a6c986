"""The version is said once; what tools need a copy of agrees with it."""

from __future__ import annotations

import pytest
import version


def test_all_copies_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert version.main(check=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("pyproject.toml", 'version = "1"\n"buntime-x==1",', 'version = "2"\n"buntime-x==2",'),
        ("pyproject.toml", 'version = "1"\n"other==1",', 'version = "2"\n"other==1",'),
        ("manifest.yaml", "name: a\nversion: 1\n", "name: a\nversion: 2\n"),
        ("version.py", '__version__ = "1"\n', '__version__ = "2"\n'),
    ],
)
def test_a_copy_follows(name: str, text: str, written: str) -> None:
    assert version.with_version(name, text, "2") == written


def test_a_file_that_says_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no version was found"):
        version.with_version("manifest.yaml", "name: a\n", "2")
