from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from buntime_host.plugins.discovery import GROUP, Catalogue, discover, find_module

if TYPE_CHECKING:
    from host.conftest import AddPlugin


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose code must never run."""
    folder = tmp_path / "site" / "installed_plugin"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def point(value: str = "installed_plugin.plugin:Plugin", name: str = "p") -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


def scan(*folders: Path, points: tuple[EntryPoint, ...] = (), dirs_win: bool = False) -> Catalogue:
    return discover(folders, dirs_win=dirs_win, installed=points)


def test_folders_scopes_and_what_is_skipped(tmp_path: Path, add_plugin: AddPlugin) -> None:
    plugins = tmp_path / "plugins"
    add_plugin("b")
    add_plugin("a")
    add_plugin(".hidden")
    (plugins / "no-manifest").mkdir()
    (plugins / "file.txt").write_text("x")
    for place in ("@scope/c", "a/1.0.0"):
        (plugins / place).mkdir(parents=True)
        (plugins / place / "manifest.yaml").write_text(f'name: "{place}"')
    found = scan(tmp_path / "nope", plugins).found
    assert list(found) == ["@scope/c", "a", "b"]
    assert {one.source for one in found.values()} == {"directory"}


def test_a_plugin_dir_may_itself_be_a_plugin(tmp_path: Path, add_plugin: AddPlugin) -> None:
    assert list(scan(add_plugin("one")).found) == ["one"]


def test_the_first_of_a_name_wins_and_both_are_named(tmp_path: Path) -> None:
    for place in ("x/one", "y/two"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "manifest.yaml").write_text("name: same")
    catalogue = scan(tmp_path / "x", tmp_path / "y")
    assert catalogue.found["same"].manifest.dir == tmp_path / "x/one"
    (warning,) = catalogue.warnings
    assert str(tmp_path / "x/one") in warning
    assert str(tmp_path / "y/two") in warning


def test_a_broken_manifest_does_not_stop_the_scan(tmp_path: Path, add_plugin: AddPlugin) -> None:
    add_plugin("good")
    (add_plugin("bad") / "manifest.yaml").write_text("name: bad\nbase: 5")
    (add_plugin("worse") / "manifest.yaml").write_text("name: [")
    catalogue = scan(tmp_path / "plugins")
    assert list(catalogue.found) == ["good"]
    assert [broken.name for broken in catalogue.broken] == ["bad", None]
    assert "base: must be a string" in catalogue.broken[0].error


@pytest.mark.parametrize("place", [".", ".."])
def test_an_entry_point_is_found_without_importing_it(package: Path, place: str) -> None:
    (package / place / "manifest.yaml").write_text("name: installed")
    catalogue = scan(points=(point(),))
    found = catalogue.found["installed"]
    assert (found.source, found.module) == ("entry point", "installed_plugin.plugin:Plugin")
    assert "installed_plugin" not in sys.modules


def test_an_entry_point_without_manifest_or_package_is_a_warning(package: Path) -> None:
    catalogue = scan(points=(point(), point("does_not_exist:x", "q")))
    assert catalogue.found == {}
    assert len(catalogue.warnings) == 2
    assert all("has no manifest.yaml" in warning for warning in catalogue.warnings)


def test_the_same_manifest_both_ways_is_the_installed_plugin(package: Path) -> None:
    (package.parent / "manifest.yaml").write_text("name: installed")
    catalogue = scan(package.parent, points=(point(), point()), dirs_win=True)
    assert catalogue.found["installed"].source == "entry point"
    assert catalogue.warnings == ()


@pytest.mark.parametrize(("dirs_win", "source"), [(True, "directory"), (False, "entry point")])
def test_a_folder_wins_over_a_package_when_folders_were_chosen(
    package: Path, tmp_path: Path, add_plugin: AddPlugin, dirs_win: bool, source: str
) -> None:
    (package / "manifest.yaml").write_text("name: installed")
    folder = add_plugin("installed")
    catalogue = scan(tmp_path / "plugins", points=(point(),), dirs_win=dirs_win)
    assert catalogue.found["installed"].source == source
    (warning,) = catalogue.warnings
    assert str(folder) in warning
    assert str(package) in warning


def test_a_module_may_be_named_directly(package: Path) -> None:
    found = find_module("installed_plugin.plugin:Plugin")
    assert found is not None
    assert (found.source, found.manifest.base) == ("module", None)
    (package / "manifest.yaml").write_text("name: installed\nbase: /i")
    found = find_module("installed_plugin")
    assert found is not None
    assert (found.manifest.name, found.module) == ("installed", "installed_plugin")


@pytest.mark.parametrize("name", ["@scope/x", "does_not_exist.at.all", "a-b", ""])
def test_other_names_are_no_modules(name: str) -> None:
    assert find_module(name) is None


def test_a_broken_manifest_of_a_package_is_reported(package: Path) -> None:
    (package / "manifest.yaml").write_text("name: installed\nbase: 5")
    catalogue = scan(points=(point(),))
    assert [broken.name for broken in catalogue.broken] == ["installed"]


def test_what_lies_beside_all_packages_belongs_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    (site / "lonely_plugin").mkdir(parents=True)
    (site / "lonely_plugin" / "__init__.py").touch()
    (site / "manifest.yaml").write_text("name: stray")
    monkeypatch.syspath_prepend(str(site))
    assert scan(points=(point("lonely_plugin:x"),)).found == {}
