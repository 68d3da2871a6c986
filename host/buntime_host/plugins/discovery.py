"""Find plugins in folders and among installed packages, without running any of their code."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from buntime_host.errors import ManifestError
from buntime_host.names import known_name
from buntime_host.plugins.manifest import Manifest, find_manifest, read_manifest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "buntime.plugins"
"""Entry-point group; a value is `package.module:Factory`."""


class FoundPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that could be loaded."""

    manifest: Manifest
    source: str
    """`entry point`, `directory` or `module`, or `given` by an application."""
    module: str | None = None
    """`package.module[:attr]` to import; None for a folder, whose manifest names the file."""
    entry: Any = None
    """The factory, the module or the object with hooks, where an application passes it in."""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that cannot be used."""

    error: str
    name: str | None = None
    """The plugin's name, if that much could be read."""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """All plugins found, by name and in order of discovery."""

    found: dict[str, FoundPlugin]
    broken: tuple[Broken, ...] = ()
    warnings: tuple[str, ...] = ()

    def find(self, name: str) -> FoundPlugin | None:
        """The plugin called `name`, also by its short form."""
        known = known_name(name, self.found)
        return self.found[known] if known is not None else None


def discover(
    plugin_dirs: Sequence[Path], *, dirs_win: bool, installed: Sequence[EntryPoint] | None = None
) -> Catalogue:
    """Scan folders, then entry points (sorted by name: their own order is that of installation).

    The same manifest reached both ways is one plugin, loaded as the installed package. Of two
    different plugins with one name the folder's wins when `dirs_win`, else the installed one, with
    a warning that names both; within each kind the first wins.
    """
    broken: list[Broken] = []
    warnings: list[str] = []
    if installed is None:
        from importlib.metadata import entry_points  # large, and unneeded where all are given

        installed = tuple(entry_points(group=GROUP))
    from_packages: dict[str, FoundPlugin] = {}
    for point in sorted(installed, key=lambda point: point.name):
        _add(from_packages, _from_entry_point(point, broken, warnings), warnings)
    from_dirs: dict[str, FoundPlugin] = {}
    for folder in plugin_dirs:
        for candidate in _candidates(folder, warnings):
            _add(from_dirs, _from_directory(candidate, broken), warnings)
    merged = dict(from_dirs)
    for name, package in from_packages.items():
        local = from_dirs.get(name)
        if local is None or _same_file(local.manifest.path, package.manifest.path):
            merged[name] = package
        else:
            winner, loser = (local, package) if dirs_win else (package, local)
            merged[name] = winner
            warnings.append(_twice(name, winner, loser))
    once = tuple(dict.fromkeys(broken))  # a manifest may be reached both ways
    return Catalogue(found=merged, broken=once, warnings=tuple(warnings))


def find_module(name: str) -> FoundPlugin | None:
    """A plugin that `buntime.jsonc` names as an importable module, `package.module[:attr]`.

    It may lack a manifest; then its name is the entry as written, and it serves nothing without a
    `base`.
    """
    module = name.partition(":")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None  # of any folder on sys.path, Python would make a namespace package
    path = _package_manifest(spec)
    if path is not None:
        return FoundPlugin(manifest=read_manifest(path), source="module", module=name)
    manifest = Manifest(name=name, path=Path(spec.origin).parent / "manifest.yaml")
    return FoundPlugin(manifest=manifest, source="module", module=name)


def _add(into: dict[str, FoundPlugin], found: FoundPlugin | None, warnings: list[str]) -> None:
    if found is None:
        return
    first = into.setdefault(found.manifest.name, found)
    if first is not found and not _same_file(first.manifest.path, found.manifest.path):
        warnings.append(_twice(found.manifest.name, first, found))


def _twice(name: str, winner: FoundPlugin, loser: FoundPlugin) -> str:
    return (
        f"{name} exists twice: using {winner.manifest.path} ({winner.source}),"
        f" ignoring {loser.manifest.path} ({loser.source})"
    )


def _same_file(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _from_entry_point(
    point: EntryPoint, broken: list[Broken], warnings: list[str]
) -> FoundPlugin | None:
    # Of a top-level name, find_spec imports nothing.
    try:
        spec = importlib.util.find_spec(point.module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    path = _package_manifest(spec) if spec is not None else None
    if path is None:
        warnings.append(
            f"entry point {point.name} ({point.value}) has no manifest.yaml, ignoring it"
        )
        return None
    try:
        manifest = read_manifest(path)
    except ManifestError as error:
        broken.append(_broken(path, error))
        return None
    return FoundPlugin(manifest=manifest, source="entry point", module=point.value)


def _package_manifest(spec: importlib.machinery.ModuleSpec) -> Path | None:
    for location in spec.submodule_search_locations or ():
        folder = Path(location)
        # A wheel carries the manifest inside the package, a checkout has it beside the package; but
        # a file beside all packages of an installation belongs to none of them.
        shared = folder.parent.name in ("site-packages", "dist-packages")
        for place in (folder,) if shared else (folder, folder.parent):
            path = find_manifest(place)
            if path is not None:
                return path
    return None


def _candidates(folder: Path, warnings: list[str]) -> Iterator[Path]:
    """Folders within `folder` that have a manifest; `@scope` folders are looked into."""
    if not folder.is_dir():
        return
    if find_manifest(folder) is not None:
        yield folder
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        warnings.append(f"cannot read plugin folder {folder}: {error.strerror}")
        return
    for child in children:
        if child.name.startswith(".") or not child.is_dir():
            continue
        if child.name.startswith("@"):
            yield from _candidates(child, warnings)
        elif find_manifest(child) is not None:
            yield child


def _from_directory(folder: Path, broken: list[Broken]) -> FoundPlugin | None:
    path = find_manifest(folder)
    if path is None:
        return None
    try:
        return FoundPlugin(manifest=read_manifest(path), source="directory")
    except ManifestError as error:
        broken.append(_broken(path, error))
        return None


def _broken(path: Path, error: ManifestError) -> Broken:
    from buntime_host.options.yaml_file import read_yaml

    try:
        raw = read_yaml(path)
    except ManifestError:
        raw = None
    name = raw.get("name") if isinstance(raw, dict) else None
    return Broken(error=str(error), name=name if isinstance(name, str) else None)
