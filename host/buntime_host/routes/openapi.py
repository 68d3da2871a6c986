"""The OpenAPI 3.1 document of a host, made from the descriptions of `described.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from buntime_host.described import JsonSchema, Operation, Parameter
from buntime_host.options.declared import Duration, Secret, Size
from buntime_host.version import __version__

REF = "#/components/schemas/{name}"

ERROR: JsonSchema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "What is wrong, and what would be right"},
        "code": {"type": "string", "description": "The same for programs: it does not change"},
        "message": {"type": "string", "description": "The same as error"},
        "success": {"type": "boolean", "const": False},
    },
    "examples": [
        {
            "error": "limit must be a positive number, received 0",
            "code": "BAD_REQUEST",
            "success": False,
            "message": "limit must be a positive number, received 0",
        }
    ],
}
"""The body of every error of the host and its plugins; a plugin may add members."""

_REFUSALS = {
    "400": "The request is wrong; the message says what is wrong and what would be right",
    "401": "No credential, or none that is known",
    "403": "The credential does not permit this: the text names the missing permission",
    "503": "Not now: the host starts or stops, or a database does not answer",
    "default": "Another error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPart:
    """The part of one plugin, or of the host."""

    name: str
    """The description of the tag under which its routes stand."""
    base: str
    operations: Sequence[Operation]
    text: str = ""


def document(parts: Sequence[ApiPart], *, is_open: bool) -> dict[str, Any]:
    """The document without its `servers`, which depend on the request.

    On a host that is not `is_open` everything needs a credential.
    """
    types = _types(parts)
    shapes, components = msgspec.json.schema_components(
        types, schema_hook=_schema_of_ours, ref_template=REF
    )
    schemas = dict(zip(types, shapes, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for part in parts:
        base = "" if part.base == "/" else part.base
        for operation in part.operations:
            path = f"{base}{operation.path}" or "/"
            methods = paths.setdefault(path, {})
            methods[operation.method.lower()] = _operation(operation, part, schemas, path)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Buntime",
            "version": __version__,
            "description": "What this host serves: its own routes and those of its plugins.",
        },
        "tags": [
            {"name": part.name, **({"description": part.text} if part.text else {})}
            for part in parts
            if part.operations
        ],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR, **components},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    if not is_open:
        found["security"] = [{"key": []}, {"bearer": []}]
    return found


def _types(parts: Iterable[ApiPart]) -> list[type]:
    """The types of all bodies and answers, each once."""
    found: dict[type, None] = {}
    for part in parts:
        for operation in part.operations:
            for shape in (operation.body, operation.answer):
                if shape is not None and not isinstance(shape, Mapping):
                    found[shape] = None
    return [*found]


def _operation(
    operation: Operation, part: ApiPart, schemas: Mapping[type, JsonSchema], path: str
) -> dict[str, Any]:
    summary, _, rest = operation.text.partition("\n\n")
    summary = " ".join(summary.split())
    found: dict[str, Any] = {
        "tags": [part.name],
        "operationId": _identifier(operation.method, path),
        "summary": summary.rstrip(".").partition(". ")[0],
        "description": f"{summary}\n\n{rest}" if rest else summary,
        "parameters": [_parameter(one) for one in operation.parameters],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        found["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": _shape(operation.body, schemas)}},
        }
    return found


def _responses(operation: Operation, schemas: Mapping[type, JsonSchema]) -> dict[str, Any]:
    schema: JsonSchema = {}
    if operation.media_type != "application/json":
        schema = {"type": "string"}
    elif operation.answer is not None:
        schema = _shape(operation.answer, schemas)
    what = "Events, as they come" if operation.media_type == "text/event-stream" else "Done"
    good: dict[str, Any] = {"description": what}
    if operation.media_type:
        good["content"] = {operation.media_type: {"schema": schema}}
    error = {"application/json": {"schema": {"$ref": REF.format(name="Error")}}}
    refusals = {
        status: {"description": text, "content": error} for status, text in _REFUSALS.items()
    }
    return {**{str(status): good for status in operation.statuses}, **refusals}


def _shape(shape: type | JsonSchema, schemas: Mapping[type, JsonSchema]) -> JsonSchema:
    return shape if isinstance(shape, Mapping) else schemas[shape]


def _parameter(one: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": one.name, "in": one.place, "schema": one.schema}
    if one.required:
        found["required"] = True
    if one.text:
        found["description"] = one.text
    return found


def _identifier(method: str, path: str) -> str:
    """A name for generated clients, such as `getKeyvalApiKeysKey`."""
    words = re.findall(r"[A-Za-z0-9]+", path)
    return method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def _schema_of_ours(kind: type) -> dict[str, Any]:
    """The schemas of types that msgspec does not know."""
    if kind is Duration:
        return {"type": ["integer", "string"], "examples": ["30s", 500]}
    if kind is Size:
        return {"type": ["integer", "string"], "examples": ["10mb", 1024]}
    if kind is Secret:
        return {"type": "string", "writeOnly": True}
    raise NotImplementedError(kind)
