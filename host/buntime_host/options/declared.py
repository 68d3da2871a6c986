"""Options of a plugin, declared once: a struct with annotations.

The plugin reads its options with the struct. `scripts/options` generates the `config` block of its
manifest and the tables of the documents from it.

    class MyOptions(Options):
        ttl: Annotated[Duration, option("Time that an answer is kept")] = Duration("30s")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple, Self, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import inspect

from buntime_host.blame import hint_at
from buntime_host.options.schema import OptionField, Schema
from buntime_host.options.units import parse_duration, parse_size

OptionsT = TypeVar("OptionsT", bound="Options")


class OptionError(ValueError):
    """The options of a plugin are wrong; the message says which, and what would be right."""


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Options of a plugin, or a section of them. Names are in camel case in files."""


class Duration(float):
    """A duration in seconds. Written as milliseconds or as text such as `"30s"`."""

    written: object

    def __new__(cls, written: object) -> Self:
        """Raises `ValueError` for an invalid duration."""
        duration = super().__new__(cls, parse_duration(written))
        duration.written = written
        return duration

    @property
    def milliseconds(self) -> int:
        """The duration in whole milliseconds."""
        return round(self * 1000)


class Size(int):
    """A number of bytes. Written as such or as text such as `"10mb"`."""

    written: object

    def __new__(cls, written: object) -> Self:
        """Raises `ValueError` for an invalid size."""
        size = super().__new__(cls, parse_size(written))
        size.written = written
        return size


class Secret(str):
    """Text that must not appear in a log: its `repr` hides it."""

    __slots__ = ()

    def __new__(cls, written: object) -> Self:
        """Raises `ValueError` for a value that is not text."""
        if not isinstance(written, str):
            raise ValueError("must be a string")  # noqa: TRY004 - as msgspec asks of a hook
        return super().__new__(cls, written)

    def __repr__(self) -> str:
        """Whether there is one."""
        return "Secret('***')" if self else "Secret('')"


def option(
    label: str,
    description: str = "",
    *,
    doc: str = "",
    env: str | tuple[str, ...] = (),
    secret: bool = False,
    least: float | None = None,
    most: float | None = None,
) -> msgspec.Meta:
    """The description of an option, beside its type.

    `label` is a few words and `description` a sentence more, both for the manifest; `doc` replaces
    the description in the table of the documents. `env` are variables that set it, `secret` hides
    its value. `least` and `most` bound a number; those of durations are milliseconds.
    """
    names = [env] if isinstance(env, str) else [*env]
    extra = {"doc": doc, "env": names, "secret": secret, "least": least, "most": most}
    return msgspec.Meta(title=label, description=description, extra=extra)


def read_options(kind: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Convert raw options to the struct.

    Unknown options are ignored, unless the struct forbids them. Raises `OptionError` with the path
    of the option.
    """
    try:
        said = {name: value for name, value in given.items() if value is not None}
        if not said and _is_all_defaults(kind):  # looking at all its types would take a while
            return kind()
        options = msgspec.convert(said, kind, dec_hook=_read_value)
    except msgspec.ValidationError as error:
        raise OptionError(_explained(error, kind)) from error
    problem = _out_of_bounds(options) if said else None  # defaults are within their bounds
    if problem is not None:
        raise OptionError(problem)
    return options


def _is_all_defaults(kind: type[Options]) -> bool:
    """Whether every option of a struct has a default."""
    defaults = kind.__struct_defaults__
    return len(defaults) == len(kind.__struct_fields__) and msgspec.NODEFAULT not in defaults


class Declared(NamedTuple):
    """One option as the struct declares it."""

    name: str
    type: str
    """A type of the manifest, see `schema.TYPES`."""
    label: str
    description: str
    doc: str
    env: tuple[str, ...]
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    default: object
    """The default as it would be written; None without one."""
    properties: tuple[Declared, ...]
    optional: bool
    """Whether it is a section that may be left out, with all its defaults."""


def declared(kind: type[Options]) -> Iterator[Declared]:
    """The options of a struct in their order. Raises `TypeError` for a type without a name in
    manifests.
    """
    for field in _fields(kind):
        meta = field.type if isinstance(field.type, inspect.Metadata) else None
        texts = (meta.extra_json_schema or {}) if meta else {}
        extra = (meta.extra or {}) if meta else {}
        name, choices, properties = _named(_plain(field.type), extra)
        if choices:  # in the order in which they are written
            choices = tuple(map(str, get_args(get_type_hints(kind)[field.name])))
        yield Declared(
            field.encode_name,
            name,
            texts.get("title", ""),
            texts.get("description", ""),
            extra.get("doc", ""),
            tuple(extra.get("env", ())),
            extra.get("least"),
            extra.get("most"),
            choices,
            _written(field.default) if name != "object" else None,
            properties,
            bool(properties) and field.default is None,
        )


def schema_of(kind: type[Options]) -> Schema:
    """The options of a struct as a manifest would declare them."""
    return {one.name: _field_of(one) for one in declared(kind)}


def _field_of(one: Declared) -> OptionField:
    return OptionField(
        type=one.type,
        label=one.label,
        description=one.description,
        env=one.env,
        default=one.default,
        options=one.choices,
        min=one.least if one.type == "number" else None,
        max=one.most if one.type == "number" else None,
        properties={inner.name: _field_of(inner) for inner in one.properties},
        optional=one.optional,
    )


@cache  # made from the annotations, which takes a millisecond for each struct
def _fields(kind: type[Options]) -> tuple[inspect.Field, ...]:
    struct = inspect.type_info(kind)
    return struct.fields if isinstance(struct, inspect.StructType) else ()


def _plain(kind: inspect.Type) -> inspect.Type:
    """A type without its annotation, and without None, which stands for an option that is not
    set.
    """
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType) and (
            _is_all_or_some(kind) or _is_one_or_some(kind)
        ):
            return kind
        elif isinstance(kind, inspect.UnionType):
            # Of several types, people are shown the first.
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        else:
            return kind


def _is_all_or_some(kind: inspect.UnionType) -> bool:
    """Whether it is a list, or true or false for all or nothing."""
    kinds = {type(one) for one in kind.types if not isinstance(one, inspect.NoneType)}
    return kinds == {inspect.BoolType, inspect.VarTupleType}


def _is_one_or_some(kind: inspect.UnionType) -> bool:
    """Whether it is a list of texts, or one of them."""
    kinds = {type(one) for one in kind.types if not isinstance(one, inspect.NoneType)}
    return kinds == {inspect.StrType, inspect.VarTupleType}


def _named(
    kind: inspect.Type, extra: Mapping[str, Any]
) -> tuple[str, tuple[str, ...], tuple[Declared, ...]]:
    """The manifest's name of a type, its choices, and the options that an object has."""
    match kind:
        case inspect.StrType():
            return "password" if extra.get("secret") else "string", (), ()
        case inspect.BoolType():
            return "boolean", (), ()
        case inspect.IntType() | inspect.FloatType():
            return "number", (), ()
        case inspect.LiteralType(values=values):
            return "enum", tuple(str(value) for value in values), ()
        case inspect.VarTupleType():
            return "array", (), ()
        case inspect.UnionType() if _is_all_or_some(kind):
            return "boolean or array", (), ()
        case inspect.UnionType() if _is_one_or_some(kind):
            return "string or array", (), ()
        case inspect.StructType(cls=section) if issubclass(section, Options):
            return "object", (), tuple(declared(section))
        case inspect.DictType():
            return "object", (), ()
        case inspect.CustomType(cls=custom) if custom is Duration:
            return "duration", (), ()
        case inspect.CustomType(cls=custom) if custom is Size:
            return "size", (), ()
        case inspect.CustomType(cls=custom) if custom is Secret:
            return "password", (), ()
    raise TypeError(f"no option can be a {kind}")


def _written(default: object) -> object:
    if isinstance(default, Duration | Size):
        return default.written
    if default is msgspec.NODEFAULT or default is None or default == ():
        return None
    return [*default] if isinstance(default, tuple) else default


def _read_value(kind: type, value: object) -> object:
    """A value of one of our types. Raises `ValueError`."""
    if kind is Duration or kind is Size or kind is Secret:
        return kind(value)
    raise NotImplementedError(kind)  # as msgspec asks of a hook for unknown types


def _explained(error: msgspec.ValidationError, kind: type[Options]) -> str:
    """Put the path first, as in all messages about options; of a misspelt one suggest the right
    one.
    """
    text, _, path = str(error).partition(" - at `")
    path = path.rstrip("`").removeprefix("$").lstrip(".")
    if path:
        return f"{path}: {text}"
    name = text.removeprefix("Object contains unknown field `").rstrip("`")
    return text + (hint_at(name, kind.__struct_encode_fields__) if name != text else "")


def _out_of_bounds(options: Options, above: str = "") -> str | None:
    """The error about a number out of bounds, with its path; None if it is within."""
    for field in _fields(type(options)):
        value = getattr(options, field.name)
        path = above + field.encode_name
        if isinstance(value, Options):
            problem = _out_of_bounds(value, f"{path}.")
            if problem is not None:
                return problem
        elif isinstance(field.type, inspect.Metadata) and value is not None:
            extra = field.type.extra or {}
            least, most = extra.get("least"), extra.get("most")
            number, unit = (value * 1000, " ms") if isinstance(value, Duration) else (value, "")
            if least is not None and number < least:
                return f"{path}: must be at least {least}{unit}, received {_written(value)!r}"
            if most is not None and number > most:
                return f"{path}: must be at most {most}{unit}, received {_written(value)!r}"
    return None
