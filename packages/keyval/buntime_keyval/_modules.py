"""Users' modules with functions that run tasks, each by the name that `import` knows."""

from __future__ import annotations

import importlib
import traceback
from types import ModuleType

from buntime_keyval._async.runner import AsyncRunner
from buntime_keyval.wire import InvalidInput

MAKE_RUNNER = "make_runner"
"""The function by which a module says its runner: it is given the store."""


def runner_of_module(name: str, kv: object) -> AsyncRunner:
    """The runner that the function `make_runner` of a module makes for a store.

    Raises `InvalidInput` if the module cannot be imported or has no such function, or if the result
    is not a runner with functions.
    """
    make = getattr(_imported(name), MAKE_RUNNER, None)
    if not callable(make):
        raise InvalidInput(
            f"The module {name} has no function {MAKE_RUNNER}(kv) that makes the runner of its"
            " tasks with kv.runner()"
        )
    try:
        runner = make(kv)
    except Exception as error:
        raise InvalidInput(f"{MAKE_RUNNER} of the module {name} failed: {_told(error)}") from error
    if not isinstance(runner, AsyncRunner):
        raise InvalidInput(
            f"{MAKE_RUNNER} of the module {name} must return what kv.runner() made, and returned"
            f" one of type {type(runner).__name__}"
        )
    if not runner.names:
        raise InvalidInput(f"The runner of the module {name} has no functions")
    return runner


def _imported(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise InvalidInput(f"{name!r:.100} is not the name of a module, such as my.tasks")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InvalidInput(f"The module {name} cannot be imported: {_told(error)}") from error
        raise InvalidInput(
            f"There is no module {error.name}: install it, or add its folder to PYTHONPATH"
        ) from error
    except Exception as error:
        raise InvalidInput(f"The module {name} cannot be imported: {_told(error)}") from error


def _told(error: Exception) -> str:
    """The exception, and where it was raised: the traceback is not printed elsewhere."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
