"""The selectors of a call, for the store."""

from __future__ import annotations

from buntime_keyval import Where
from buntime_keyval.shared import Selector
from buntime_keyval.wire import encode_key, encode_pattern

from buntime_plugin_keyval.faces.local.part import filter_of
from buntime_plugin_keyval.model.where import Wanted, wanted_of
from buntime_plugin_keyval.storage.ranges import Selectors


def ranges_of(keys: Selector) -> Selectors:
    """The encoded selectors of a call."""
    return Selectors(
        encode_key(keys.prefix),
        None if keys.prefixes is None else [encode_key(key) for key in keys.prefixes],
        None if keys.starts_with is None else encode_key(keys.starts_with),
        None if keys.start is None else encode_key(keys.start),
        None if keys.end is None else encode_key(keys.end),
        None if keys.pattern is None else encode_pattern(keys.pattern),
    )


def wanted_of_call(keys: Selector, where: Where | None) -> Wanted | None:
    """What is wanted of entries, in addition to where their keys are."""
    pattern = None if keys.pattern is None else encode_pattern(keys.pattern)
    return wanted_of(filter_of(where), keys.type, pattern)
