"""Declared shapes of requests: structs whose fields define how each member is read.

A member is a parameter of the query string or a member of the JSON body. Members that are not
declared, and those given twice, are refused by name; all else is up to the member's `Kind`.

    class PageRequest(RequestShape, frozen=True, kw_only=True):
        limit: Annotated[int, LIMIT] = DEFAULT_LIMIT
        expires_in: Annotated[int | None, EXPIRES_IN, Alias("expireIn")] = None
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar, get_args
from urllib.parse import unquote_plus

import msgspec
from buntime_host import find_doubled, has_doubled
from buntime_keyval.wire import InvalidInput, decode_json
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import MOST_AROUND_VALUE
from buntime_keyval.wire.members import unknown_member

S = TypeVar("S", bound="RequestShape")


class Kind(NamedTuple):
    """How members of one kind are read.

    Both readers are called with the member's name, and raise `InvalidInput`.
    """

    expected: str
    """What is valid, in words that follow "must be"."""
    of_text: Callable[[str, str], Any] | None
    """Reads a query parameter; None if only a body can have such members."""
    of_json: Callable[[str, Any], Any] | None
    """Reads a decoded member of a body; None if only a query can have such members."""
    nullable: bool = False
    """Whether null is a value; otherwise it counts as an absent member."""
    repeatable: bool = False
    """Whether a query may repeat it; the lists that are read are concatenated."""
    inner: tuple[str, ...] = ()
    """Members of its value, an object, for hints when they are given in the wrong place."""
    schema: Mapping[str, Any] = MappingProxyType({})
    """Its JSON Schema; empty where that cannot express it."""

    def __hash__(self) -> int:
        """The hash of all but the schema, which is not hashable."""
        return hash(self[:6])


class Alias(NamedTuple):
    """Another name of a member, for older clients."""

    name: str


class Member(NamedTuple):
    """One declared member."""

    name: str
    """As clients write it."""
    attribute: str
    kind: Kind
    required: bool


class RequestShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base of declared shapes; by itself the shape of a route that takes nothing."""

    OVERRIDES: ClassVar[str | None] = None
    """The member of a body that is an object with members of this shape, which take precedence."""
    OVERRIDING: ClassVar[frozenset[str]] = frozenset()
    """The members that this object may have."""


class MemberPlace(Enum):
    """The place of a route's members."""

    QUERY = auto()
    BODY = auto()
    """In a JSON object, which is required."""
    OPTIONAL_BODY = auto()
    EITHER = auto()
    """In the query or in the body, which may be absent."""
    BESIDE_VALUE = auto()
    """In the query; the body is the value itself."""


def members_of(shape: type[RequestShape]) -> Mapping[str, Member]:
    """The declared members by name, aliases included."""
    return _table_of(shape).members


class _Table(NamedTuple):
    members: Mapping[str, Member]
    required: tuple[Member, ...]


@functools.cache
def _table_of(shape: type[RequestShape]) -> _Table:
    found: dict[str, Member] = {}
    aliases: dict[str, Member] = {}
    for field in msgspec.structs.fields(shape):
        kind, *others = [
            note for note in get_args(field.type)[1:] if isinstance(note, Kind | Alias)
        ]
        if not isinstance(kind, Kind):
            raise TypeError(f"{shape.__name__}.{field.name} names no kind")
        member = Member(field.encode_name, field.name, kind, field.required)
        found[member.name] = member
        aliases |= {alias.name: member for alias in others if isinstance(alias, Alias)}
    required = tuple([member for member in found.values() if member.required])
    return _Table(found | aliases, required)


def read_object(shape: type[S], item: Mapping[str, Any], within: str) -> S:
    """Read a shape from an object inside of a body; `within` is its place.

    Raises `InvalidInput` for members that are not declared.
    """
    found: dict[str, Any] = {}
    _read_body(shape, item, found, within)
    _require(shape, found, partial(_missing_member, within=within))
    return shape(**found)


def read_shape(
    shape: type[S], place: MemberPlace, query: bytes, content: bytes, body: object = msgspec.UNSET
) -> S:
    """Read a shape from a request; `body` is the content if that is decoded already.

    Raises `InvalidInput` for members that are not declared.
    """
    found: dict[str, Any] = {}
    if query:
        _read_query(members_of(shape), query, found, place)
    if place in (MemberPlace.QUERY, MemberPlace.BESIDE_VALUE):
        if content and place is MemberPlace.QUERY:
            _refuse_body(shape, content)
        _require(shape, found, _missing_parameter)
        return shape(**found)
    if content or place is MemberPlace.BODY:
        if body is msgspec.UNSET:
            body = decode_json(content, MOST_AROUND_VALUE)
            if has_doubled(content, body):
                refuse_doubled(content)
        _read_body(shape, checked_object(body), found)
    _require(shape, found, _missing_member)
    return shape(**found)


def checked_object(value: object) -> dict[str, Any]:
    """A decoded JSON object. Raises `InvalidInput` for anything else."""
    if not isinstance(value, dict):
        raise InvalidInput(f"Body must be a JSON object, received {describe(value)}")
    return value


def refuse_doubled(text: bytes) -> None:
    """Raise `InvalidInput` for members that a JSON text has twice, outside of stored values."""
    doubled = find_doubled(text, VALUES)
    if doubled is not None:
        raise given_twice(*doubled)


def given_twice(name: str, place: str = "") -> InvalidInput:
    """The error for a member that is given twice."""
    where = f" in {place}" if place else ""
    return InvalidInput(f"{name[:_SHOWN]} is given twice{where[:_SHOWN]}; it may be given once")


def parse_parameters(query: bytes) -> list[tuple[str, str]]:
    """Names and values of a query string, in order. Raises `InvalidInput` for invalid UTF-8.

    Like `urllib.parse.parse_qsl` with blank values, in a third of the time if nothing is encoded.
    """
    pairs = []
    try:
        for field in query.decode("latin-1").split("&"):
            if field:
                name, _, value = field.partition("=")
                pairs.append((_decoded(name), _decoded(value)))
    except UnicodeDecodeError:
        raise InvalidInput("Query string is not valid UTF-8") from None
    return pairs


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def _read_query(
    members: Mapping[str, Member], query: bytes, found: dict[str, Any], place: MemberPlace
) -> None:
    names: dict[str, str] = {}
    nothing = place in (MemberPlace.BODY, MemberPlace.OPTIONAL_BODY)
    for name, text in parse_parameters(query):
        member = members.get(name)
        if member is None:
            raise unknown_member(name, [] if nothing else _query_names(members))
        if nothing or member.kind.of_text is None:
            raise InvalidInput(f"Unknown parameter: '{name}' (it is a member of JSON bodies)")
        attribute = member.attribute
        if attribute not in found:
            found[attribute] = member.kind.of_text(member.name, text)
            names[attribute] = name
        elif member.kind.repeatable:
            found[attribute] = [*found[attribute], *member.kind.of_text(member.name, text)]
        else:
            raise _given_twice(member, names[attribute], name)


def _read_body(
    shape: type[RequestShape], body: Mapping[str, Any], found: dict[str, Any], within: str = ""
) -> None:
    members = _table_of(shape).members
    before = f"{within}." if within else ""
    overriding: object = None
    for name, raw in body.items():
        member = members.get(name)
        if member is None or (read := member.kind.of_json) is None:
            if name != shape.OVERRIDES:
                raise unknown_member(name, _body_names(shape), within)
            overriding = raw
        elif raw is not None or member.kind.nullable:
            if member.attribute in found:
                # Names within an object differ, so the member has an alias as well, or two places.
                others = [other for other in body if members.get(other) is member and other != name]
                raise _given_twice(member, others[0] if others else "in the query", name)
            found[member.attribute] = read(before + member.name, raw)
    if overriding is not None:
        _override(shape, overriding, found)


def _override(shape: type[RequestShape], raw: object, found: dict[str, Any]) -> None:
    place = str(shape.OVERRIDES)
    if not isinstance(raw, dict):
        raise InvalidInput(f"{place} must be an object, received {describe(raw)}")
    members = {
        name: member for name, member in members_of(shape).items() if name in shape.OVERRIDING
    }
    own: dict[str, Any] = {}
    for name, value in raw.items():
        member = members.get(name)
        if member is None or member.kind.of_json is None:
            raise unknown_member(name, list(members), place)
        if value is not None or member.kind.nullable:
            own[member.attribute] = member.kind.of_json(member.name, value)
    if found.get("where") is not None and own.get("where") is not None:
        # Either filter alone would select other entries than the client meant.
        raise InvalidInput(f"where is given twice: in {place} and beside it")
    found.update(own)


def _query_names(members: Mapping[str, Member]) -> list[str]:
    return [name for name, one in members.items() if one.name == name and one.kind.of_text]


def _body_names(shape: type[RequestShape]) -> list[str]:
    members = members_of(shape)
    names = [name for name, one in members.items() if one.name == name and one.kind.of_json]
    names += [f"{name}.{inner}" for name, one in members.items() for inner in one.kind.inner]
    return [*names, shape.OVERRIDES] if shape.OVERRIDES else names


def _refuse_body(shape: type[RequestShape], content: bytes) -> None:
    """Refuse a body if the members are in the query, unless it is empty."""
    if content.isspace() or content in (b"{}", b"null"):
        return
    known = ", ".join(member.name for member in members_of(shape).values())
    where = f", its parameters are in the query ({known})" if known else ""
    raise InvalidInput(f"This route takes no body{where}; received {content[:_SHOWN]!r}")


_SHOWN = 50
VALUES = re.compile(
    r"(?:(?:mutations|sets|tasks)\[[0-9]*\]\.)?(?:value|metadata|payload|result|progress)"
)
"""Members whose values are stored as they are."""


def _require(
    shape: type[RequestShape], found: Mapping[str, Any], missing: Callable[[Member], InvalidInput]
) -> None:
    for member in _table_of(shape).required:
        if member.attribute not in found:
            raise missing(member)


def _missing_parameter(member: Member) -> InvalidInput:
    return InvalidInput(f"Missing '{member.name}' query parameter")


def _missing_member(member: Member, within: str = "") -> InvalidInput:
    name = f"{within}.{member.name}" if within else member.name
    if member.kind.of_json is not None and not member.kind.nullable:
        try:
            member.kind.of_json(name, None)
        except InvalidInput as error:
            return error
    return InvalidInput(f"{name} is required: {member.kind.expected}")


def _given_twice(member: Member, first: str, second: str) -> InvalidInput:
    if first == second == member.name:
        return given_twice(member.name)
    return InvalidInput(f"{member.name} is given twice: as {first} and as {second}")
