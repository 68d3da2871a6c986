"""Descriptions of routes, beside their code, for the OpenAPI document of a host.

The text of a route is the docstring of its endpoint. Parameters, body and answer are declared with
a decorator on an endpoint of Starlette:

    @described(body=NewThing, query={"limit": "how many at most"}, answer=Thing, status=201)
    async def create(request: Request) -> Response:
        \"\"\"Make a thing.\"\"\"
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, TypeVar, Unpack

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

JsonSchema = Mapping[str, Any]
"""A schema as JSON Schema 2020-12 has it."""


class _Said(TypedDict, total=False):
    body: type | JsonSchema
    query: Mapping[str, str | JsonSchema]
    answer: type | JsonSchema
    status: int
    media_type: str


_ATTRIBUTE = "__described__"
_ROUTE_NAME = re.compile(r"`[A-Z]+ [^`]*`(, `[A-Z]+ [^`]*`)*[:.]?\s*")
_CONVERTOR = re.compile(r"\{(\w+):?(\w*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a request."""

    name: str
    place: str = "query"
    """`query`, `path` or `header`."""
    schema: JsonSchema = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    """The path below the base of the plugin, with `{name}` for variable parts."""
    text: str
    """A first sentence as a summary, and perhaps more. Markdown."""
    parameters: Sequence[Parameter] = ()
    body: type | JsonSchema | None = None
    """A type that msgspec decodes, or a schema; None without a body."""
    body_required: bool = True
    answer: type | JsonSchema | None = None
    """The same for the answer; None for any JSON."""
    statuses: Sequence[int] = (200,)
    """The statuses that the answer may have."""
    media_type: str = "application/json"
    """The type of the answer: `text/event-stream` for a stream, empty where there is no content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    body: type | JsonSchema | None = None
    query: Mapping[str, str | JsonSchema] = field(default_factory=dict)
    answer: type | JsonSchema | None = None
    status: int = 200
    media_type: str = "application/json"


def described(**said: Unpack[_Said]) -> Callable[[Endpoint], Endpoint]:
    """Declare what an endpoint takes and answers, beyond its docstring. See `Operation`.

    `query` has the parameters of the query string, each with a text or a schema. If the same is
    declared twice, as on an endpoint and on a wrapper around it, the outer one counts.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        before: _Described = getattr(endpoint, _ATTRIBUTE, _Described())
        setattr(endpoint, _ATTRIBUTE, replace(before, **said))
        return endpoint

    return decorate


def text_of(endpoint: object) -> str:
    """The docstring of an endpoint, without the name of the route before it."""
    text = _ROUTE_NAME.sub("", inspect.getdoc(endpoint) or "", count=1).strip()
    return text[:1].upper() + text[1:]


def operation_of(method: str, path: str, endpoint: Callable[..., Any]) -> Operation:
    """The description of an endpoint, for one method and path, as Starlette writes paths."""
    said: _Described = getattr(endpoint, _ATTRIBUTE, _Described())
    parameters = [
        Parameter(name=name, place="path", required=True, schema=_of_convertor(convertor))
        for name, convertor in _CONVERTOR.findall(path)
    ]
    parameters += [_in_query(name, what) for name, what in said.query.items()]
    return Operation(
        method=method,
        path=_CONVERTOR.sub(r"{\1}", path),
        text=text_of(endpoint),
        parameters=parameters,
        body=None if method in ("GET", "HEAD") else said.body,
        answer=said.answer,
        statuses=(said.status,),
        media_type=said.media_type,
    )


def operations_of(routes: object) -> Iterator[Operation]:
    """The descriptions of the routes of a plugin; none for an application, which does not tell."""
    from starlette.routing import Route  # without a server nothing is described

    for route in routes if isinstance(routes, Sequence) else ():
        if isinstance(route, Route) and route.include_in_schema:
            for method in sorted(route.methods or ("GET",)):
                if method != "HEAD":
                    yield operation_of(method, route.path, route.endpoint)


def _in_query(name: str, what: str | JsonSchema) -> Parameter:
    if isinstance(what, str):
        return Parameter(name=name, text=what)
    return Parameter(name=name, schema=what)


def _of_convertor(name: str) -> JsonSchema:
    if name == "int":
        return {"type": "integer", "minimum": 0}
    if name == "float":
        return {"type": "number", "minimum": 0}
    if name == "uuid":
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1}
