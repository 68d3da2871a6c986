"""From decoded JSON to a checked, frozen filter.

Whatever is not understood is refused: a filter that silently loses a condition would let a
delete with a typing mistake remove everything below its prefix.
"""

from __future__ import annotations

from buntime_plugin_keyval.model.where import nodes
from buntime_plugin_keyval.model.where.budget import MAX_DEPTH, FilterBudget
from buntime_plugin_keyval.model.where.operands import (
    OPERATORS,
    is_scalar_object,
    parse_operand,
    parse_scalar,
)
from buntime_plugin_keyval.model.where.paths import parse_path


def parse_where(raw: object) -> nodes.Where:
    """Return the filter that a decoded JSON value describes; `{}` matches everything.

    `$now` stays a symbol, so that one parsed filter can run at different times.
    Raises InvalidWhere with a text for the client.
    """
    return _parse_object(raw, "where", 0, FilterBudget())


def _parse_object(raw: object, name: str, depth: int, budget: FilterBudget) -> nodes.Where:
    if not isinstance(raw, dict):
        raise nodes.InvalidWhere(f"{name} expects an object of conditions")
    if depth > MAX_DEPTH:
        raise nodes.InvalidWhere(f"where is nested more than {MAX_DEPTH} levels deep")
    members: list[nodes.Where] = []
    for field, operand in raw.items():
        if not isinstance(field, str):
            raise nodes.InvalidWhere(f"Invalid field path: {field!r} is not a string")
        if field in ("$and", "$or"):
            members.append(_parse_logical(field, operand, depth, budget))
        elif field == "$not":
            members.append(nodes.Not(_parse_object(operand, field, depth + 1, budget)))
        else:
            members += _parse_field(field, operand, budget)
    if not members:
        budget.take_condition()
    return members[0] if len(members) == 1 else nodes.And(tuple(members))


def _parse_logical(name: str, raw: object, depth: int, budget: FilterBudget) -> nodes.Where:
    if not isinstance(raw, list | tuple):
        raise nodes.InvalidWhere(f"{name} expects an array of filters")
    if not raw:
        if name == "$or":
            raise nodes.InvalidWhere("$or expects at least one filter")
        budget.take_condition()
    members = [_parse_object(member, f"{name} member", depth + 1, budget) for member in raw]
    return (nodes.And if name == "$and" else nodes.Or)(tuple(members))


def _parse_field(field: str, raw: object, budget: FilterBudget) -> list[nodes.Comparison]:
    if field.startswith("$") and field != "$" and not field.startswith(("$.", "$[")):
        raise nodes.InvalidWhere(f"Unknown operator: {field}")
    path = parse_path(field)
    if not isinstance(raw, dict) or is_scalar_object(raw):
        budget.take_condition()
        return [nodes.Comparison(path, "$eq", parse_scalar(field, raw, budget))]
    return [
        _parse_condition(path, operator, operand, budget) for operator, operand in _operators(raw)
    ]


def _operators(raw: dict[object, object]) -> list[tuple[str, object]]:
    # An empty object is what JavaScript makes of values that JSON cannot hold: never a condition.
    operators = [(name, operand) for name, operand in raw.items() if isinstance(name, str)]
    if not operators or any(not name.startswith("$") for name, _ in operators):
        raise nodes.InvalidWhere("Nested objects are not supported, use dot notation")
    return operators


def _parse_condition(
    path: nodes.Path, operator: str, operand: object, budget: FilterBudget
) -> nodes.Comparison:
    budget.take_condition()
    if operator not in OPERATORS:
        raise nodes.InvalidWhere(f"Unknown operator: {operator}")
    return nodes.Comparison(path, operator, parse_operand(operator, operand, budget))
