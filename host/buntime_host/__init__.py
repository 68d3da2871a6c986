"""Buntime's plugin host: loads plugins in dependency order and serves them over HTTP.

A plugin needs `hookimpl` and `PluginContext`; an application that embeds the host needs `Host`
or `create_app`. Of the modules `described` is for plugins and `testing` for their tests. Everything
else is private.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from buntime_host.access import Action, Principal, principal_of
from buntime_host.access.trusted_hosts import is_loopback
from buntime_host.errors import (
    AnswerBrokenOff,
    BadRequest,
    BuntimeError,
    ConfigError,
    Forbidden,
    HttpError,
    MethodNotAllowed,
    MissingService,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PluginError,
    ServiceUnavailable,
    StartupError,
    Unauthorized,
)
from buntime_host.plugins.context import AppInfo, PluginContext, Runtime
from buntime_host.plugins.fallback import Fallback
from buntime_host.plugins.hookspecs import hookimpl
from buntime_host.version import __version__
from buntime_host.workers import Numbers, Signal, Workers

if TYPE_CHECKING:
    from buntime_host.config import parse_config
    from buntime_host.host import Host, create_app
    from buntime_host.http.direct import (
        Answer,
        AsgiRequest,
        DirectApp,
        DirectRequest,
        NotDirect,
        Promised,
        Reply,
        at_once,
        send_answer,
        settled,
    )
    from buntime_host.http.doubled import find_doubled, has_doubled
    from buntime_host.http.noticed import Noticed, noticed_of, refuse_foreign
    from buntime_host.http.parameters import check_parameters, choice_of, flag_of, unknown_parameter
    from buntime_host.http.passage import Companion, RequestPassage
    from buntime_host.http.problem import problem_response
    from buntime_host.http.relay import hand_over
    from buntime_host.in_process import InProcess
    from buntime_host.options.declared import (
        Duration,
        OptionError,
        Options,
        Secret,
        Size,
        option,
        read_options,
    )
    from buntime_host.plugins.followed import Followed, Watchable
    from buntime_host.routes.metrics import metrics_text

__all__ = [
    "Action",
    "Answer",
    "AnswerBrokenOff",
    "AppInfo",
    "AsgiRequest",
    "BadRequest",
    "BuntimeError",
    "Companion",
    "ConfigError",
    "DirectApp",
    "DirectRequest",
    "Duration",
    "Fallback",
    "Followed",
    "Forbidden",
    "Host",
    "HttpError",
    "InProcess",
    "MethodNotAllowed",
    "MissingService",
    "NotDirect",
    "NotFound",
    "Noticed",
    "Numbers",
    "OptionError",
    "Options",
    "PayloadTooLarge",
    "PermissionDenied",
    "PluginContext",
    "PluginError",
    "Principal",
    "Promised",
    "Reply",
    "RequestPassage",
    "Runtime",
    "Secret",
    "ServiceUnavailable",
    "Signal",
    "Size",
    "StartupError",
    "Unauthorized",
    "Watchable",
    "Workers",
    "__version__",
    "at_once",
    "check_parameters",
    "choice_of",
    "create_app",
    "find_doubled",
    "flag_of",
    "hand_over",
    "has_doubled",
    "hookimpl",
    "is_loopback",
    "metrics_text",
    "noticed_of",
    "option",
    "parse_config",
    "principal_of",
    "problem_response",
    "read_options",
    "refuse_foreign",
    "send_answer",
    "settled",
    "unknown_parameter",
]


# A plugin, and `buntime --version`, should not pay for importing the whole host.
_LATER = {
    "buntime_host.config": ("parse_config",),
    "buntime_host.host": ("Host", "create_app"),
    "buntime_host.http.direct": (
        *("Answer", "AsgiRequest", "DirectApp", "DirectRequest", "NotDirect", "Promised", "Reply"),
        *("at_once", "send_answer", "settled"),
    ),
    "buntime_host.http.doubled": ("find_doubled", "has_doubled"),
    "buntime_host.http.noticed": ("Noticed", "noticed_of", "refuse_foreign"),
    "buntime_host.http.parameters": (
        *("check_parameters", "choice_of", "flag_of", "unknown_parameter"),
    ),
    "buntime_host.http.passage": ("Companion", "RequestPassage"),
    "buntime_host.http.problem": ("problem_response",),
    "buntime_host.http.relay": ("hand_over",),
    "buntime_host.in_process": ("InProcess",),
    "buntime_host.options.declared": (
        *("Duration", "OptionError", "Options", "Secret", "Size", "option", "read_options"),
    ),
    "buntime_host.plugins.followed": ("Followed", "Watchable"),
    "buntime_host.routes.metrics": ("metrics_text",),
}

if not TYPE_CHECKING:  # else every misspelt name would be an `Any`

    def __getattr__(name: str) -> Any:
        for module, names in _LATER.items():
            if name in names:
                return getattr(importlib.import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
