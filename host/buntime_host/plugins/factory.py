"""Calls a plugin's factory with its options, in the form that it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from buntime_host.blame import describe, hint_at, place_of_function
from buntime_host.errors import HookFailed, InvalidOptions, InvalidPlugin
from buntime_host.options.declared import OptionError, Options, read_options, schema_of
from buntime_host.options.effective import deepmerge
from buntime_host.options.schema import from_environment, undeclared

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


async def call_factory(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> object:
    """Call a factory, plain or async, and return its result.

    It gets the options as the struct that its parameter is annotated with, else as a dict; or no
    options, if it takes no argument. `warn` gets a sentence for options that the struct does not
    know. Raises `InvalidPlugin` for a factory that wants more, `InvalidOptions` if the struct
    refuses the options, and `HookFailed` for whatever the factory raises.
    """
    arguments = _arguments(factory, options, environ, warn)
    try:
        plugin = factory(*arguments)
        return await plugin if inspect.isawaitable(plugin) else plugin
    except Exception as error:
        raise HookFailed(f"factory failed: {describe(error)}") from error


def _arguments(
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> tuple[object, ...]:
    try:
        parameters = [*inspect.signature(factory).parameters.values()]
    except ValueError:  # of callables written in C, not everything is known
        return (_copy(options),)
    needed = [
        one
        for one in parameters
        if one.default is one.empty and one.kind in (*_POSITIONAL, one.KEYWORD_ONLY)
    ]
    if len(needed) > 1 or any(one.kind is one.KEYWORD_ONLY for one in needed):
        raise InvalidPlugin(
            "the factory is called with the options alone, and wants"
            f" {', '.join(one.name for one in needed)}{_place(factory)}"
        )
    taken = [one for one in parameters if one.kind in (*_POSITIONAL, one.VAR_POSITIONAL)]
    if not taken:
        return ()
    kind = _annotation(factory, taken[0].name)
    if inspect.isclass(kind) and issubclass(kind, Options):
        return (_as_struct(kind, options, environ, warn),)
    return (_copy(options),)


def _annotation(factory: Callable[..., Any], parameter: str) -> object:
    """The annotation of a parameter; None if only type checkers can resolve it."""
    try:
        return inspect.signature(factory, eval_str=True).parameters[parameter].annotation
    except (NameError, AttributeError, TypeError, SyntaxError):
        return None


def _as_struct(
    kind: type[Options],
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    warn: Callable[[str], None],
) -> Options:
    """The options as a struct, with the environment variables that it declares."""
    schema = schema_of(kind)
    problems: list[str] = []
    given = deepmerge(options, from_environment(schema, environ, problems))
    if problems:
        raise InvalidOptions("; ".join(problems))
    for name in undeclared(schema, given):
        warn(f"option {name} has no effect: there is none of that name{hint_at(name, schema)}")
    try:
        return read_options(kind, given)
    except OptionError as error:
        raise InvalidOptions(str(error)) from None


def _copy(value: Any) -> Any:
    # The factory's changes to its options must not be seen by others.
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _place(factory: Callable[..., Any]) -> str:
    return place_of_function(factory.__init__ if inspect.isclass(factory) else factory)
