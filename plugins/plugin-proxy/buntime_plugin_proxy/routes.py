"""The API of rules, below `/api`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from buntime_host import Action, BadRequest, Forbidden, NotFound, find_doubled, has_doubled
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from buntime_plugin_proxy.rules.reading import BadRule, rule_from
from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.rules.store import DynamicRules
from buntime_plugin_proxy.rules.table import RuleTable

READ = "proxy:read"
ADMIN = "proxy:admin"
PERMISSIONS: Mapping[str, Action] = {
    "use": Action(doc="send requests through rules"),
    "read": Action(doc="see the rules, with the headers that they set, and try paths"),
    "admin": Action(covers=("*",), doc="all of that, and change the rules"),
}
WITHOUT_STORE = "Dynamic rules not enabled"

Endpoint = Callable[[Request], Awaitable[Response]]


class RuleRoutes:
    """Reads and changes the rules."""

    def __init__(
        self,
        table: Callable[[], RuleTable],
        dynamic: Callable[[], DynamicRules | None],
        reserved: Callable[[bytes], str | None],
    ) -> None:
        """`reserved` says whose a path is that no rule may have; None if rules may."""
        self._table = table
        self._dynamic = dynamic
        self._reserved = reserved

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
        table = self._table()
        return JSONResponse(
            [
                *(rule.to_json(readonly=True) for rule in table.static),
                *(rule.to_json(readonly=False) for rule in table.dynamic),
            ]
        )

    async def _get(self, request: Request) -> Response:
        rule = self._table().find(request.path_params["id"])
        if rule is None:
            raise NotFound("Rule not found")
        return _told(rule, readonly=self._is_static(rule.id))

    async def _create(self, request: Request) -> Response:
        rules = self._store(f"{WITHOUT_STORE} (plugin-keyval not configured)")
        return _told(await rules.create(await _object(request)), status=201)

    async def _update(self, request: Request) -> Response:
        rules = self._of(request, "modify")
        return _told(await rules.update(request.path_params["id"], await _object(request)))

    async def _toggle(self, request: Request) -> Response:
        return _told(await self._of(request, "toggle").toggle(request.path_params["id"]))

    async def _delete(self, request: Request) -> Response:
        await self._of(request, "delete").delete(request.path_params["id"])
        return JSONResponse({"success": True})

    async def _reorder(self, request: Request) -> Response:
        rules = self._store(WITHOUT_STORE)
        ids = (await _object(request)).get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(it, str) for it in ids):
            raise BadRule("ids must be a non-empty array")
        for one in ids:
            if self._is_static(one):
                raise Forbidden(f"Cannot reorder static rule: {one}")
        moved = await rules.reorder(ids)
        return JSONResponse([rule.to_json(readonly=False) for rule in moved])

    async def _test(self, request: Request) -> Response:
        """Which rule a path would come to and where that leads, or a rule that is not kept."""
        given = await _object(request)
        path = given.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            raise BadRequest("path has to be a text that begins with /")
        raw, _, query = path.encode().partition(b"?")
        method = given.get("method", "GET")
        if not isinstance(method, str):
            raise BadRequest("method has to be a text")
        table = self._table()
        if given.get("rule") is not None:
            if not isinstance(given["rule"], dict):
                raise BadRequest("rule has to be an object")
            table = RuleTable([rule_from(given["rule"], "test")])
        match = table.match(raw, websocket=method == "WEBSOCKET")
        whose = self._reserved(raw)
        answer: dict[str, Any] = {"matched": match is not None and whose is None}
        if whose is not None:
            answer["reservedBy"] = whose
        if match is not None:
            rule = match.ready.rule
            url = urlsplit(rule.target)
            target = match.path + (b"?" + query if query else b"")
            answer["rule"] = rule.to_json(readonly=self._is_static(rule.id))
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
    async def guarded(request: Request) -> Response:
        request.state.principal.require(scope)
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


def _told(rule: Rule, *, readonly: bool = False, status: int = 200) -> Response:
    return JSONResponse(rule.to_json(readonly=readonly), status_code=status)
