"""The `config` block of a manifest: which options exist, their types, their environment variables.

The same few rules serve plugins and the host itself, whose settings are those of `settings.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from buntime_host.options.units import parse_duration, parse_size

TYPES = (
    "string",
    "password",
    "number",
    "boolean",
    "enum",
    "array",
    "boolean or array",
    "string or array",
    "object",
    "size",
    "duration",
)
"""`size` and `duration` are ours: a number, or text such as "10mb" and "30s"."""


class OptionField(msgspec.Struct, frozen=True, kw_only=True):
    """One option as the manifest declares it."""

    type: str
    label: str = ""
    description: str = ""
    env: tuple[str, ...] = ()
    """Variables that set this option; the first that is set and not blank wins."""
    required: bool = False
    optional: bool = False
    """For an object: without a value its members have no defaults either, which switches the
    feature off."""
    default: Any = None
    options: tuple[Any, ...] = ()
    """Values that an `enum` allows."""
    min: float | None = None
    max: float | None = None
    properties: Mapping[str, OptionField] = {}


Schema = Mapping[str, OptionField]


def parse_schema(raw: object, path: str, problems: list[str]) -> dict[str, OptionField]:
    """Read a `config` block; append each problem to `problems` as a sentence."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        problems.append(f"{path}: must be a map of option names")
        return {}
    fields = {}
    for name, value in raw.items():
        field = _parse_field(value, f"{path}.{name}", problems)
        if field is not None:
            fields[str(name)] = field
    return fields


def _parse_field(raw: object, path: str, problems: list[str]) -> OptionField | None:
    if not isinstance(raw, dict):
        problems.append(f"{path}: must be a map with a type")
        return None
    if raw.get("type") not in TYPES:
        problems.append(f"{path}.type: must be one of {', '.join(TYPES)}")
        return None
    env = raw.get("env", ())
    names = (env,) if isinstance(env, str) else env
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        problems.append(f"{path}.env: must be the name of an environment variable, or a list")
        names = ()
    options = raw.get("options", ())
    if raw["type"] == "enum" and (not isinstance(options, list) or not options):
        problems.append(f"{path}.options: an enum needs a list of values")
        options = ()
    for bound in ("min", "max"):
        if raw.get(bound) is not None and not _is_number(raw[bound]):
            problems.append(f"{path}.{bound}: must be a number")
            return None
    return OptionField(
        type=raw["type"],
        label=str(raw.get("label", "")),
        description=str(raw.get("description", "")),
        env=tuple(names),
        required=raw.get("required") is True,
        optional=raw.get("optional") is True,
        default=raw.get("default"),
        options=tuple(options) if isinstance(options, list) else (),
        min=raw.get("min"),
        max=raw.get("max"),
        properties=parse_schema(raw.get("properties"), f"{path}.properties", problems),
    )


def undeclared(schema: Schema, options: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Paths of options that the schema does not have; without a schema all options are valid."""
    for name, value in options.items() if schema else ():
        field = schema.get(name)
        if field is None:
            yield above + name
        elif isinstance(value, Mapping):
            yield from undeclared(field.properties, value, f"{above}{name}.")


def defaults(schema: Schema) -> dict[str, Any]:
    """Options that the schema gives a default, nested ones included."""
    found: dict[str, Any] = {}
    for name, field in schema.items():
        if field.default is not None:
            found[name] = field.default
        elif (
            field.type == "object" and not field.optional and (nested := defaults(field.properties))
        ):
            found[name] = nested
    return found


def from_environment(
    schema: Schema, environ: Mapping[str, str], problems: list[str], path: str = ""
) -> dict[str, Any]:
    """Options set by environment variables, converted to the declared type.

    Blank variables count as unset. A value that cannot be converted is a problem that names both
    the option and the variable.
    """
    found: dict[str, Any] = {}
    for name, field in schema.items():
        here = f"{path}{name}"
        variable = next((env for env in field.env if environ.get(env, "").strip()), None)
        if variable is not None:
            try:
                found[name] = _convert(field.type, environ[variable].strip())
            except ValueError as error:
                problems.append(f"{here}: {variable} {error}")
        elif field.type == "object":
            nested = from_environment(field.properties, environ, problems, f"{here}.")
            if nested:
                found[name] = nested
    return found


_TRUE = {"true", "1"}
_FALSE = {"false", "0"}


def _convert(kind: str, text: str) -> Any:
    match kind:
        case "number":
            return _number(text)
        case "boolean":
            return _boolean(text)
        case "boolean or array" if text.lower() in _TRUE | _FALSE:
            return _boolean(text)
        case "array" | "boolean or array" | "string or array":
            return [item for part in re.split(r"[,\n]", text) if (item := part.strip())]
        case "object":
            return _object(text)
        case "size" | "duration":
            return int(text) if text.isdigit() else text
        case _:
            return text


def _number(text: str) -> int | float:
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    except ValueError:
        raise ValueError("must be a number") from None


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("must be true, 1, false or 0")


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise ValueError("must be a JSON object") from None


def check(schema: Schema, values: Mapping[str, Any], problems: list[str], path: str = "") -> None:
    """Append a sentence to the problems for each invalid option of `values`; undeclared options
    pass.
    """
    for name, field in schema.items():
        here = f"{path}{name}"
        value = values.get(name)
        if value is None:
            if field.required:
                hint = f" (or set {' or '.join(field.env)})" if field.env else ""
                problems.append(f"{here}: is required{hint}")
        elif (problem := _misfit(field, value)) is not None:
            problems.append(f"{here}: {problem}")
        elif field.type == "object":
            check(field.properties, value, problems, f"{here}.")


def _misfit(field: OptionField, value: Any) -> str | None:
    match field.type:
        case "string" | "password":
            return None if isinstance(value, str) else "must be a string"
        case "number":
            return _number_misfit(field, value)
        case "boolean":
            return None if isinstance(value, bool) else "must be true or false"
        case "enum":
            allowed = ", ".join(str(option) for option in field.options)
            return None if value in field.options else f"must be one of {allowed}"
        case "array":
            return None if isinstance(value, list) else "must be an array"
        case "string or array":
            return None if isinstance(value, str | list) else "must be a string or an array"
        case "boolean or array":
            return None if isinstance(value, bool | list) else "must be true, false or an array"
        case "object":
            return None if isinstance(value, dict) else "must be an object"
    try:
        parse_size(value) if field.type == "size" else parse_duration(value)
    except ValueError as error:
        return str(error)
    return None


def _number_misfit(field: OptionField, value: Any) -> str | None:
    if not _is_number(value):
        return "must be a number"
    if field.min is not None and value < field.min:
        return f"must be at least {field.min}"
    if field.max is not None and value > field.max:
        return f"must be at most {field.max}"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def split_paths(values: Sequence[str]) -> list[str]:
    """Split each entry of a directory list on commas and on the system's path separator."""
    pattern = f"[,{re.escape(os.pathsep)}]"
    return [part for value in values for item in re.split(pattern, value) if (part := item.strip())]
