"""Checks merge patches against the type of the values, without reading these.

The operand of a mutation is checked. Its result together with the present value is not: a missing
key may get a part of a value.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import (
    Annotated,
    Any,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from msgspec import inspect

from buntime_keyval.wire import NOW_MEMBER
from buntime_keyval.wire.commits import LISTS, NUMERIC
from buntime_keyval.wire.numbers import TYPE_MEMBER
from buntime_keyval.wire.shapes import MutationType

_UNKNOWN = (inspect.AnyType, inspect.RawType, inspect.CustomType)
"""Types that may be any JSON type."""
_NUMBERS = (inspect.IntType, inspect.FloatType, inspect.EnumType, inspect.LiteralType)
_LISTS = (
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
    inspect.CollectionType,
    inspect.VarTupleType,
    inspect.TupleType,
    inspect.NamedTupleType,
)
_OBJECTS = (inspect.StructType, inspect.TypedDictType, inspect.DataclassType, inspect.DictType)
_SEQUENCES = (list, set, frozenset)


class _Member(NamedTuple):
    type: Any
    is_required: bool


def check_merged(wanted: Any, kind: MutationType, operand: Any) -> None:
    """Raise `msgspec.ValidationError` for a patch that no value of the type can take.

    `operand` is data: the result of `msgspec.to_builtins`.
    """
    if kind == "patch":
        _check_patch(wanted, operand, "$")
    elif kind in NUMERIC:
        if not _may_be(wanted, _NUMBERS):
            raise msgspec.ValidationError(f"{kind} is for numbers")
    elif kind in LISTS:
        if not _may_be(wanted, _LISTS):
            raise msgspec.ValidationError(f"{kind} is for lists")
        origin, of_what = get_origin(wanted), get_args(wanted)
        if origin in _SEQUENCES or (origin is tuple and of_what[1:] == (...,)):
            whole = list[of_what[0]]  # type: ignore[valid-type] # that of the store
            msgspec.convert(operand, whole, str_keys=True)


def _check_patch(wanted: Any, patch: Any, place: str) -> None:
    if not isinstance(patch, dict):  # it takes the place of the value
        _check_whole(wanted, patch, place)
    elif NOW_MEMBER in patch:  # a number, once it is stored
        _check_whole(wanted, 0, place)
    elif TYPE_MEMBER in patch or not _may_be(wanted, _OBJECTS):
        _check_whole(wanted, patch, place)
    elif (values := _values_of(wanted)) is not None:
        for name, value in patch.items():
            if value is not None:
                _check_patch(values, value, f"{place}[{name!r}]")
    else:
        only = _only_object(wanted)
        members = _members_of(only) if isinstance(only, type) else None
        if members is not None:
            for name, value in patch.items():
                _check_member(members, name, value, place)


def _check_member(members: Mapping[str, _Member], name: str, value: Any, place: str) -> None:
    member = members.get(name)
    if value is not None:
        if member is None:
            raise msgspec.ValidationError(
                f"There is no member `{name}` (known: {', '.join(members)}) - at `{place}`"
            )
        _check_patch(member.type, value, f"{place}.{name}")
    elif member is not None and member.is_required:
        raise msgspec.ValidationError(
            f"None removes a member, and `{name}` is required - at `{place}`"
        )


def _check_whole(wanted: Any, value: Any, place: str) -> None:
    try:
        msgspec.convert(value, wanted, str_keys=True)
    except msgspec.ValidationError as error:
        reason, _, inner = str(error).partition(" - at `$")
        inner = inner.removesuffix("`")
        raise msgspec.ValidationError(f"{reason} - at `{place}{inner}`") from None


def _may_be(wanted: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value of the type may be of one of these kinds, in JSON."""
    found = inspect.type_info(wanted)
    while isinstance(found, inspect.Metadata):
        found = found.type
    all_found = found.types if isinstance(found, inspect.UnionType) else (found,)
    return any(
        kinds is _LISTS
        if isinstance(it, inspect.StructType) and it.array_like
        else isinstance(it, (*kinds, *_UNKNOWN))
        for it in all_found
    )


def _values_of(wanted: Any) -> Any:
    """The type of the values of a mapping, None if it is not one."""
    only = _only_object(wanted)
    origin, of_what = get_origin(only), get_args(only)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    return of_what[1] if is_mapping and len(of_what) == 2 else None


def _only_object(wanted: Any) -> Any:
    """The one of a union that is an object in JSON, without annotations; Any if there are more."""
    if get_origin(wanted) is Annotated:
        return _only_object(get_args(wanted)[0])
    if get_origin(wanted) in (Union, types.UnionType):
        objects = [it for it in get_args(wanted) if _may_be(it, _OBJECTS)]
        return _only_object(objects[0]) if len(objects) == 1 else Any
    return wanted


@functools.lru_cache
def _members_of(wanted: type) -> Mapping[str, _Member] | None:
    """The members of an object in JSON, None where they are not known."""
    if issubclass(wanted, msgspec.Struct):
        members = {
            it.encode_name: _Member(it.type, it.required) for it in msgspec.structs.fields(wanted)
        }
        tag = wanted.__struct_config__.tag_field
        return members if tag is None else members | {tag: _Member(Any, is_required=True)}
    if dataclasses.is_dataclass(wanted):
        hints = get_type_hints(wanted, include_extras=True)
        missing = dataclasses.MISSING
        return {
            it.name: _Member(hints[it.name], it.default is it.default_factory is missing)
            for it in dataclasses.fields(wanted)
        }
    if is_typeddict(wanted):
        required = wanted.__required_keys__  # type: ignore[attr-defined] # a TypedDict has them
        hints = get_type_hints(wanted)
        return {name: _Member(hint, name in required) for name, hint in hints.items()}
    return None
