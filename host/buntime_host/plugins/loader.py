"""Imports a plugin's code and makes the object that carries its hooks."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from buntime_host.blame import describe, hint_at
from buntime_host.errors import HookFailed, InvalidPlugin
from buntime_host.plugins.factory import call_factory
from buntime_host.plugins.hookspecs import HOOKS
from buntime_host.plugins.selection import Selected

ATTRIBUTES = ("plugin", "Plugin", "default")
"""Names under which a module without hooks may have its factory or plugin object."""


async def make_plugin(
    selected: Selected,
    carries_hooks: Callable[[object], bool],
    warn: Callable[[str], None],
    environ: Mapping[str, str],
) -> object:
    """Import the plugin and return the object with its hooks; a factory is called with the options.

    `warn` gets a sentence when `pluginEntry` is missing and another file is used instead, and for
    options without effect. Raises `InvalidPlugin` if there is nothing usable, `HookFailed` if the
    plugin's code raises, and what `call_factory` raises.
    """
    try:
        entry = _import(selected, warn)
    except InvalidPlugin:
        raise
    except (Exception, SystemExit) as error:
        raise HookFailed(f"import failed: {describe(error)}") from error
    if isinstance(entry, ModuleType) and not carries_hooks(entry):
        entry = _from_module(entry)
    if not inspect.isclass(entry) and carries_hooks(entry):
        return entry
    if not callable(entry):
        raise InvalidPlugin(
            f"{entry!r} is not a plugin: it has no method marked @hookimpl and cannot be called"
        )
    plugin = await call_factory(entry, selected.options, environ, warn)
    if not carries_hooks(plugin):
        named = hook_names(plugin)
        hint = f": mark {', '.join(named)}" if named else ""
        raise InvalidPlugin(
            f"the factory returned an object without any method marked @hookimpl{hint}"
        )
    return plugin


def hook_names(plugin: object) -> list[str]:
    """The functions of an object that have names of hooks, marked or not."""
    return [name for name in HOOKS if inspect.isroutine(getattr(plugin, name, None))]


def _from_module(module: ModuleType) -> object:
    for name in ATTRIBUTES:
        if hasattr(module, name):
            return getattr(module, name)
    named = hook_names(module)
    raise InvalidPlugin(
        f"{_file_of(module)} has no function marked @hookimpl and none of {', '.join(ATTRIBUTES)}"
        + (f": mark {', '.join(named)}" if named else "")
    )


def _import(selected: Selected, warn: Callable[[str], None]) -> object:
    folder = selected.manifest.dir
    if selected.entry is not None:
        return selected.entry
    if selected.module is not None:
        name, _, attribute = selected.module.partition(":")
        return _attribute(importlib.import_module(name), attribute)
    entry = selected.manifest.plugin_entry
    if entry is not None:
        target, _, attribute = entry.partition(":")
        file = (folder / target).resolve()
        if file.is_file() and file.is_relative_to(folder.resolve()):
            return _attribute(_load_file(folder, file), attribute)
        if attribute and all(part.isidentifier() for part in target.split(".")):
            return _attribute(_load_module(folder, target), attribute)
    for name in ("plugin.py", "__init__.py"):
        if (folder / name).is_file():
            if entry is not None:
                warn(f"pluginEntry {entry} does not exist, using {name}")
            return _load_file(folder, folder / name)
    missing = f"pluginEntry {entry} does not exist, and " if entry else ""
    raise InvalidPlugin(f"{missing}{folder} has neither plugin.py nor __init__.py")


def _attribute(module: ModuleType, path: str) -> object:
    value: object = module
    for name in path.split(".") if path else ():
        if not hasattr(value, name):
            hint = hint_at(name, [one for one in dir(value) if not one.startswith("_")])
            raise InvalidPlugin(f"{_file_of(module)} has no attribute {path}{hint}")
        value = getattr(value, name)
    return value


def _file_of(module: ModuleType) -> str:
    return f"module {module.__file__ or module.__name__}"


def _load_module(folder: Path, name: str) -> ModuleType:
    """Import `name` of a `module:attr` entry: from the folder, else as an installed module."""
    place = folder.joinpath(*name.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file() and not _is_installed_from(folder, name):
            return _load_file(folder, file)
    return importlib.import_module(name)


def _is_installed_from(folder: Path, name: str) -> bool:
    """Whether Python would import `name` from this very folder: then one copy is enough."""
    spec = importlib.util.find_spec(name.partition(".")[0])
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve().is_relative_to(folder.resolve())


def _load_file(folder: Path, file: Path) -> ModuleType:
    """Load a file as a module of a private package that stands for `folder`.

    The private package lets files of one plugin import each other (`from . import other`) while two
    plugins may both have a `server.py`; `sys.path` stays as it is.
    """
    folder, file = folder.resolve(), file.resolve()
    package = _private_package(folder)
    parts = file.relative_to(folder).with_suffix("").parts
    if parts == ("__init__",):
        return _execute(package, file, [str(folder)])
    if parts[-1] == "__init__":
        parts = parts[:-1]
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    if all(part.isidentifier() for part in parts):
        return importlib.import_module(".".join((package, *parts)))
    return _execute(f"{package}.{re.sub(r'[^a-zA-Z0-9]', '_', '_'.join(parts))}", file, None)


def _private_package(folder: Path) -> str:
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return f"_buntime_plugin_{re.sub(r'[^a-zA-Z0-9]', '_', folder.name)}_{digest}"


def _execute(name: str, file: Path, search: list[str] | None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise InvalidPlugin(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
