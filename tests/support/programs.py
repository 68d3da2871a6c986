"""Programs that the machine has to have for a test, which is skipped elsewhere, but never in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needed_program(*names: str) -> str:
    """The path of a program: of the first that is there of its names, or of its usual places."""
    found = next((path for name in names if (path := shutil.which(name)) is not None), None)
    return found or lacking(names[0])


def lacking(program: str) -> NoReturn:
    """End a test for want of a program."""
    if os.environ.get("CI"):
        pytest.fail(f"{program} is needed in CI")
    pytest.skip(f"{program} is not installed: what needs it is NOT tested")
