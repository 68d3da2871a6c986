"""Reads rules as people and programs write them, and explains refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from buntime_host import HttpError
from buntime_host.access.public import ALL_METHODS
from buntime_host.blame import hint_at

from buntime_plugin_proxy.rules.methods import METHODS, WEBSOCKET, like
from buntime_plugin_proxy.rules.patterns import PatternProblem, compiled
from buntime_plugin_proxy.rules.rule import IGNORED, SETTABLE, Rule

SCHEMES = ("http", "https", "ws", "wss")
LONGEST_TEXT = 2048
"""The most characters of a target, a rewritten path, a base, a name, or the value of a header."""
MOST_HEADERS = 50
_MOST_SHOWN = 50
"""The most characters of an unknown name in messages."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")
_URL_PATH = re.compile(r"[!-~]*")
_GROUP = re.compile(r"\$[0-9]{1,2}")
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_PUBLIC_METHODS = (METHODS - {"CONNECT", "TRACE"}) | {ALL_METHODS, WEBSOCKET}
_OF_THE_CONNECTION = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that frame a message, which rules may not set."""


class BadRule(HttpError):
    """A rule is refused. `said` is the API's short text, the message explains what is wrong."""

    status = 400
    code = "INVALID_RULE"

    def __init__(self, message: str, *, said: str | None = None) -> None:
        super().__init__(message)
        self.said = said or message


def rule_from(given: Mapping[str, Any], id: str, *, order: int = 0) -> Rule:
    """A new rule. Raises `BadRule`."""
    said = _said(given)  # an unknown member may be a misspelt required one
    if not given.get("pattern") or not given.get("target"):
        raise BadRule("pattern and target are required")
    return _checked({**said, "id": id, "order": order})


def changed(rule: Rule, given: Mapping[str, Any]) -> Rule:
    """A rule with changed fields; null resets a field to its default. Raises `BadRule`."""
    for name in ("pattern", "target"):
        if name in given and not given[name]:
            raise BadRule("pattern and target are required")
    kept = {name: value for name, value in rule.to_json().items() if name not in given}
    return _checked({**kept, **_said(given), "id": rule.id, "order": rule.order})


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(given) - SETTABLE.keys() - IGNORED)
    if unknown:
        name = unknown[0][:_MOST_SHOWN]
        hint = hint_at(name, SETTABLE)
        raise BadRule(f"a rule has no {name!r}{hint}; it has {', '.join(sorted(SETTABLE))}")
    return {name: value for name, value in given.items() if value is not None}


def _checked(fields: Mapping[str, Any]) -> Rule:
    try:
        rule = msgspec.convert(fields, Rule)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise BadRule(f"{path.rstrip('`')}: {text}" if path else text) from error
    try:
        compiled(rule.pattern)
    except PatternProblem as error:
        raise BadRule(f"Invalid regex pattern: {error}", said="Invalid regex pattern") from error
    for check in (_check_target, _check_texts, _check_headers, _check_public):
        check(rule)
    return rule


def _check_target(rule: Rule) -> None:
    target = rule.target
    try:
        url = urlsplit(target)
        port = url.port
    except ValueError as error:
        raise BadRule(f"target: {error}") from error
    if url.scheme not in SCHEMES or not url.hostname or port == 0:
        raise BadRule(f"target has to be a URL that begins with {', '.join(SCHEMES)}: and a host")
    if url.username is not None or url.password is not None:
        raise BadRule("target must not have a user; set the header authorization in its place")
    if url.query or url.fragment or "?" in target or "#" in target:
        raise BadRule("target must have neither a query nor a fragment")
    if not _URL_PATH.fullmatch(target) or "\\" in target or len(target) > LONGEST_TEXT:
        raise BadRule("target has characters that no URL has, or too many: percent-encode them")


def _check_texts(rule: Rule) -> None:
    for name, text in (("rewrite", rule.rewrite), ("base", rule.base)):
        if text is None:
            continue
        if len(text) > LONGEST_TEXT or not _URL_PATH.fullmatch(text):
            raise BadRule(
                f"{name} has characters that no path has, or too many: percent-encode them"
            )
        if "#" in text or (name == "rewrite" and "?" in text):
            raise BadRule(f"{name} must be a path, without a query and a fragment")
    if rule.base and (not rule.base.startswith("/") or rule.base.startswith("//")):
        raise BadRule("base must be a path that begins with one /")
    for filling in ("", "/"):  # texts that a group may have matched
        if rule.rewrite and _DOTS.search(_GROUP.sub(filling, rule.rewrite)):
            raise BadRule("rewrite has a segment . or .., and paths with one are refused")
    if rule.name is not None and len(rule.name) > LONGEST_TEXT:
        raise BadRule(f"name has more than {LONGEST_TEXT} characters")


def _check_headers(rule: Rule) -> None:
    headers = rule.headers or {}
    if len(headers) > MOST_HEADERS:
        raise BadRule(f"headers has more than {MOST_HEADERS}")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise BadRule(f"headers: {name!r} is not the name of a header")
        if not _HEADER_VALUE.fullmatch(value) or len(value) > 4 * LONGEST_TEXT:
            raise BadRule(f"headers: the value of {name} must be printable ASCII on one line")
        if name.lower() in _OF_THE_CONNECTION:
            raise BadRule(f"headers: {name} belongs to the connection and cannot be set")


def _check_public(rule: Rule) -> None:
    routes = rule.public_routes
    by_method = routes if isinstance(routes, dict) else {ALL_METHODS: routes or ()}
    for method, patterns in by_method.items():
        if method not in _PUBLIC_METHODS:
            raise BadRule(
                f"publicRoutes: {method[:50]!r} is not a method that passes"
                f"{like(method, _PUBLIC_METHODS)}; write it in capitals, or {WEBSOCKET}, or"
                f" {ALL_METHODS}"
            )
        for pattern in patterns:
            if not pattern.startswith("/") or len(pattern) > LONGEST_TEXT:
                raise BadRule(f"publicRoutes: {pattern!r} has to be a path that begins with /")
