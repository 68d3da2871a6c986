"""The options of an index, checked."""

from __future__ import annotations

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.searching import TOKENIZERS

from buntime_plugin_keyval.model.where import InvalidWhere
from buntime_plugin_keyval.model.where.paths import parse_path
from buntime_plugin_keyval.storage.searching import IndexOptions, is_element

MAX_FIELDS = 50
"""The most fields of one index."""

MAX_ELEMENT_STEPS = 3
"""The most numbers in the path of a field: each one doubles the places where it may be."""


def parse_options(fields: object, tokenize: object) -> IndexOptions:
    """Check the options of an index. Raises `InvalidInput` in the words of the contract."""
    if not isinstance(fields, (list, tuple)):
        raise InvalidInput("options.fields must be a non-empty array")
    if not fields:
        raise InvalidInput("At least one field must be specified")
    if len(fields) > MAX_FIELDS:
        raise InvalidInput(f"Too many fields: {len(fields)} (max {MAX_FIELDS})")
    for field in fields:
        if not isinstance(field, str):
            raise InvalidInput(f"A field must be a path, received {describe(field)}")
        try:
            path = parse_path(field)
        except InvalidWhere as error:
            raise InvalidInput(str(error)) from None
        if sum(is_element(step) for step in path) > MAX_ELEMENT_STEPS:
            raise InvalidInput(f"Too many numbers in {field} (max {MAX_ELEMENT_STEPS})")
    if tokenize is None:
        tokenize = "unicode61"
    if tokenize not in TOKENIZERS:
        raise InvalidInput(
            f"tokenize must be one of {', '.join(TOKENIZERS)}, received {describe(tokenize)}"
        )
    return IndexOptions(tuple(dict.fromkeys(fields)), str(tokenize))
