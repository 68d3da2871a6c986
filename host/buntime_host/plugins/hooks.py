"""Registration through pluggy, and calls of one plugin's hook at a time.

pluggy checks names and arguments and keeps the registrations. It does not make the calls: it is
synchronous, calls the last registered first, and stops everything at the first exception.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import msgspec
import pluggy

from buntime_host.blame import describe, hint_at, place_of_function
from buntime_host.errors import HookFailed, HookTimeout, InvalidPlugin, PluginError
from buntime_host.plugins import hookspecs
from buntime_host.plugins.hookspecs import HOOKS
from buntime_host.plugins.loader import hook_names

CANCEL_GRACE_SECONDS = 1.0
"""Time for a cancelled hook to clean up before it is abandoned."""


class Hook(msgspec.Struct, frozen=True):
    """One plugin's implementation of one hook."""

    function: Callable[..., Any]
    argnames: tuple[str, ...]
    rank: int
    """-1 for `tryfirst`, 1 for `trylast`, else 0."""

    def __call__(self, **arguments: Any) -> Any:
        """Call it with those of the arguments that it takes."""
        return self.function(*(arguments[name] for name in self.argnames))


class _Manager(pluggy.PluginManager):
    """Skips the attributes that every object of Python has."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> pluggy.HookspecOpts | None:
        is_hook = name in HOOKS
        return super().parse_hookspec_opts(module_or_class, name) if is_hook else None


class HookRegistry:
    """The plugins of one host, by manifest name."""

    def __init__(self) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def carries_hooks(self, plugin: object) -> bool:
        """Whether any attribute of `plugin` is marked with `@hookimpl`."""
        return any(self.is_marked(plugin, name) for name in dir(plugin))

    def register(self, name: str, plugin: object) -> None:
        """Register `plugin` under its manifest name.

        Raises `InvalidPlugin` for an unknown hook, for an argument that the hook does not have,
        and for a hook wrapper, which host-driven calls could not honour.
        """
        self._check_marked(plugin)
        try:
            self._manager.register(plugin, name)
        except (ValueError, pluggy.PluginValidationError) as error:
            self.unregister(name)
            raise InvalidPlugin(" ".join(str(error).split())) from error
        for caller in self._manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and (impl.wrapper or impl.hookwrapper):
                    self.unregister(name)
                    raise InvalidPlugin(f"{caller.name}: hook wrappers are not supported")

    def _check_marked(self, plugin: object) -> None:
        """As pluggy would, but with the right spelling, and where the hook is written."""
        for name in dir(plugin):
            options = self._manager.parse_hookimpl_opts(plugin, name)
            if options is None:
                continue
            function = getattr(plugin, name)
            place = place_of_function(function)
            hook = options.get("specname") or name
            if hook not in HOOKS:
                raise InvalidPlugin(
                    f"there is no hook {hook}{hint_at(hook, HOOKS)}{place}; the hooks are"
                    f" {', '.join(HOOKS)}"
                )
            known = [*inspect.signature(getattr(hookspecs, hook)).parameters]
            wrong = [one for one in inspect.signature(function).parameters if one not in known]
            if wrong and not options.get("wrapper") and not options.get("hookwrapper"):
                takes = f"may take {', '.join(known)}" if known else "takes no argument"
                raise InvalidPlugin(f"the hook {hook} {takes}, and not {', '.join(wrong)}{place}")

    def is_marked(self, plugin: object, name: str) -> bool:
        """Whether an attribute of `plugin` is marked with `@hookimpl`."""
        return self._manager.parse_hookimpl_opts(plugin, name) is not None

    def unregister(self, name: str) -> None:
        """Forget a plugin, if it is registered."""
        if self._manager.get_plugin(name) is not None:
            self._manager.unregister(name=name)

    def get(self, name: str, hook: str) -> Hook | None:
        """The implementation of `hook` by plugin `name`, or None."""
        for impl in getattr(self._manager.hook, hook).get_hookimpls():
            if impl.plugin_name == name:
                return Hook(impl.function, impl.argnames, impl.trylast - impl.tryfirst)
        return None

    def names(self, plugin: str) -> tuple[str, ...]:
        """Names of the hooks that `plugin` implements."""
        callers = self._manager.get_hookcallers(self._manager.get_plugin(plugin)) or ()
        return tuple(caller.name for caller in callers)


def unmarked_problems(hooks: HookRegistry, plugin: object) -> list[str]:
    """A sentence for each function that has the name of a hook and lacks its mark."""
    return [
        f"{name} is named like a hook and never called: mark it with @hookimpl"
        f"{place_of_function(getattr(plugin, name))}"
        for name in hook_names(plugin)
        if not hooks.is_marked(plugin, name)
    ]


async def run_hook(
    hook: Callable[[], Any], *, what: str, timeout: float, late: str | None = None
) -> Any:
    """Call `hook`, await the result where it is awaitable, give up after `timeout` seconds.

    On timeout its task is cancelled; if it ignores that, it is left behind. A hook that blocks the
    event loop cannot be interrupted. Raises `HookFailed` and `HookTimeout`, whose texts start with
    `what` (or `late`); a `PluginError` of the hook is raised as it is.
    """
    task = asyncio.create_task(_call(hook))
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_GRACE_SECONDS)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        raise HookTimeout(f"{late or what} timed out after {round(timeout * 1000)}ms")
    if task.cancelled():
        raise HookFailed(f"{what} cancelled itself")
    result, error = task.result()
    if isinstance(error, PluginError):
        raise error
    if error is not None:
        raise HookFailed(f"{what} failed: {describe(error)}") from error
    return result


async def _call(hook: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    # Errors travel as values: a SystemExit that leaves a task would stop the whole event loop.
    try:
        result = hook()
        if inspect.isawaitable(result):
            result = await result
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        return None, error
    return result, None
