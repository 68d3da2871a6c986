"""The API of rules, below `/api`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

import msgspec
from buntime_host import (
    Action,
    BadRequest,
    Forbidden,
    HttpError,
    NotFound,
    check_parameters,
    find_doubled,
    has_doubled,
)
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from buntime_plugin_proxy.rules.methods import METHODS, WEBSOCKET
from buntime_plugin_proxy.rules.reading import BadRule, rule_from
from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.rules.store import DynamicRules
from buntime_plugin_proxy.rules.table import RuleMatch, RuleTable

READ = "proxy:read"
ADMIN = "proxy:admin"
PERMISSIONS: Mapping[str, Action] = {
    "use": Action(doc="send requests through rules"),
    "read": Action(doc="see the rules, with the headers that they set, and try paths"),
    "admin": Action(covers=("*",), doc="all of that, and change the rules"),
}
WITHOUT_STORE = "Dynamic rules not enabled"

RULE = {"type": "object", "description": "A rule: pattern, target and options"}

Endpoint = Callable[[Request], Awaitable[Response]]


class RuleRoutes:
    """Endpoints that show and change the rules."""

    def __init__(
        self,
        table: Callable[[], RuleTable],
        dynamic: Callable[[], DynamicRules | None],
        reserved: Callable[[bytes], str | None],
        refusal: Callable[[str, bytes, RuleMatch], HttpError | None],
    ) -> None:
        """`reserved` returns the owner of a path that no rule may have; None if rules may.

        `refusal` returns the refusal of a request by a method for a path of a rule.
        """
        self._table = table
        self._dynamic = dynamic
        self._reserved = reserved
        self._refusal = refusal

    def routes(self) -> list[Route]:
        """All of them, each with its permission."""
        return [
            Route("/api/rules", _guarded(self._list, READ), methods=["GET"]),
            Route("/api/rules", _guarded(self._create, ADMIN), methods=["POST"]),
            Route("/api/rules/reorder", _guarded(self._reorder, ADMIN), methods=["PUT"]),
            Route("/api/rules/{id}", _guarded(self._get, READ), methods=["GET"]),
            Route("/api/rules/{id}", _guarded(self._update, ADMIN), methods=["PUT", "PATCH"]),
            Route("/api/rules/{id}", _guarded(self._delete, ADMIN), methods=["DELETE"]),
            Route("/api/rules/{id}/toggle", _guarded(self._toggle, ADMIN), methods=["PATCH"]),
            Route("/api/test", _guarded(self._test, READ), methods=["POST"]),
        ]

    async def _list(self, _: Request) -> Response:
        """Show all rules in their order, those of the configuration first."""
        table = self._table()
        return JSONResponse(
            [
                *(rule.to_json(readonly=True) for rule in table.static),
                *(rule.to_json(readonly=False) for rule in table.dynamic),
            ]
        )

    async def _get(self, request: Request) -> Response:
        """Show one rule."""
        rule = self._table().find(request.path_params["id"])
        if rule is None:
            raise NotFound("Rule not found")
        return _told(rule, readonly=self._is_static(rule.id))

    @described(body=RULE, status=201)
    async def _create(self, request: Request) -> Response:
        """Make a rule, behind all others."""
        rules = self._store(f"{WITHOUT_STORE} (plugin-keyval not configured)")
        return _told(await rules.create(await _object(request)), status=201)

    @described(body=RULE)
    async def _update(self, request: Request) -> Response:
        """Change members of a rule."""
        rules = self._of(request, "modify")
        return _told(await rules.update(request.path_params["id"], await _object(request)))

    async def _toggle(self, request: Request) -> Response:
        """Switch a rule off, or on again."""
        return _told(await self._of(request, "toggle").toggle(request.path_params["id"]))

    async def _delete(self, request: Request) -> Response:
        """Remove a rule."""
        await self._of(request, "delete").delete(request.path_params["id"])
        return JSONResponse({"success": True})

    @described(body={"type": "object", "required": ["ids"]})
    async def _reorder(self, request: Request) -> Response:
        """Put the rules with the given ids into the given order."""
        rules = self._store(WITHOUT_STORE)
        given = await _object(request)
        _refuse_others(given, ("ids",))
        ids = given.get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(it, str) for it in ids):
            raise BadRule("ids must be a non-empty array")
        for one in ids:
            if self._is_static(one):
                raise Forbidden(f"Cannot reorder static rule: {one}")
        moved = await rules.reorder(ids)
        return JSONResponse([rule.to_json(readonly=False) for rule in moved])

    @described(body={"type": "object", "required": ["path"]})
    async def _test(self, request: Request) -> Response:
        """Which rule a path would come to and where that leads, or a rule that is not kept."""
        given = await _object(request)
        _refuse_others(given, ("path", "method", "rule"))
        path = given.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            raise BadRequest("path has to be a text that begins with /")
        raw, _, query = path.encode().partition(b"?")
        method = given.get("method", "GET")
        if method != WEBSOCKET and method not in METHODS:
            raise BadRequest(
                f"method has to be one such as GET, in capitals, or {WEBSOCKET},"
                f" received {method!r:.50}"
            )
        table = self._table()
        if given.get("rule") is not None:
            if not isinstance(given["rule"], dict):
                raise BadRequest("rule has to be an object")
            table = RuleTable([rule_from(given["rule"], "test")])
        match = table.match(raw, websocket=method == WEBSOCKET)
        whose = self._reserved(raw)
        refused = None if match is None else self._refusal(method, raw, match)
        matched = match is not None and whose is None and refused is None
        answer: dict[str, Any] = {"matched": matched}
        if whose is not None:
            answer["reservedBy"] = whose
        if refused is not None:
            answer["refused"] = {
                "status": refused.status, "code": refused.code, "error": refused.message,
            }  # fmt: skip
        if match is not None:
            rule = match.ready.rule
            answer["rule"] = rule.to_json(readonly=self._is_static(rule.id))
        if match is not None and refused is None:
            url = urlsplit(rule.target)
            target = match.path + (b"?" + query if query else b"")
            answer["url"] = f"{url.scheme}://{match.ready.authority.decode()}{target.decode()}"
        answer["public"] = table.is_public(method, raw)
        return JSONResponse(answer)

    def _is_static(self, id: str) -> bool:
        return any(rule.id == id for rule in self._table().static)

    def _store(self, otherwise: str) -> DynamicRules:
        rules = self._dynamic()
        if rules is None:
            raise BadRule(otherwise)
        return rules

    def _of(self, request: Request, change: str) -> DynamicRules:
        rules = self._store(WITHOUT_STORE)
        if self._is_static(request.path_params["id"]):
            raise Forbidden(f"Cannot {change} static rules")
        return rules


def _guarded(endpoint: Endpoint, scope: str) -> Endpoint:
    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        request.state.principal.require(scope)
        check_parameters(request, ())
        try:
            return await endpoint(request)
        except BadRule as error:
            body = {
                "error": error.said, "code": error.code, "success": False, "message": error.message,
            }  # fmt: skip
            return JSONResponse(body, status_code=error.status)

    return guarded


async def _object(request: Request) -> dict[str, Any]:
    """The body, a JSON object. Raises `BadRequest`."""
    body = await request.body()
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"The body has to be a JSON object: {error}") from error
    if not isinstance(given, dict):
        raise BadRequest("The body has to be a JSON object")
    if has_doubled(body, given) and (doubled := find_doubled(body)) is not None:
        raise BadRequest(f"{doubled.name!r} is there twice")
    return given


def _refuse_others(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise `BadRequest` for a member of a body that is not known."""
    for name in given:
        if name not in known:
            raise BadRequest(f"the body has no {name[:50]!r}; it has {', '.join(known)}")


def _told(rule: Rule, *, readonly: bool = False, status: int = 200) -> Response:
    return JSONResponse(rule.to_json(readonly=readonly), status_code=status)
