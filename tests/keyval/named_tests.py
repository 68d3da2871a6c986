"""Tests by their names: that they are there, and what they run on."""

from __future__ import annotations

from importlib import import_module


def engines_of(place: str) -> set[str]:
    """The engines that a test runs on, which is named as `module.function`.

    Those of its own mark or else of its module's; none without a mark.
    """
    module, _, name = place.rpartition(".")
    home = import_module(module)
    test = getattr(home, name)
    assert callable(test), place
    of_module = getattr(home, "pytestmark", [])
    marks = [*getattr(test, "pytestmark", [])]
    marks += of_module if isinstance(of_module, list) else [of_module]
    return next(({*mark.args} for mark in marks if mark.name == "engines"), set())
