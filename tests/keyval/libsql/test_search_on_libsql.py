"""Full-text search and metrics, whose tests run here a second time, on a libSQL server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.metrics.test_metrics_formats import (
    test_json_holds_operations_in_both_places,
    test_reset,
)
from keyval.search.test_search_building import (
    test_an_equal_index_is_left_alone,
    test_an_index_of_an_older_format_is_built_anew,
    test_nothing_is_missing_when_others_write_meanwhile,
    test_removing_while_building,
    test_searches_go_on_while_indexes_are_replaced,
    test_the_last_of_several_creations_wins,
)
from keyval.search.test_search_fields import test_fields, test_hostile_names_are_names
from keyval.search.test_search_results import (
    indexed,
    test_everything_that_decides_comes_before_the_limit,
    test_highlight_and_snippet,
    test_pages_are_the_whole_in_order,
    test_texts_can_be_html,
    test_the_best_come_first_and_equally_good_ones_by_key,
    test_values_come_back_as_they_were,
    test_weights,
    test_what_has_expired_is_not_found,
)
from keyval.search.test_search_similar import (
    filled,
    test_pages_of_a_fuzzy_search,
    test_similar_words,
)
from keyval.search.test_search_tokenizers import (
    test_what_cannot_be_looked_for_is_said,
    test_words,
)

__all__ = [
    "filled",
    "indexed",
    "test_an_equal_index_is_left_alone",
    "test_an_index_of_an_older_format_is_built_anew",
    "test_everything_that_decides_comes_before_the_limit",
    "test_fields",
    "test_highlight_and_snippet",
    "test_hostile_names_are_names",
    "test_json_holds_operations_in_both_places",
    "test_nothing_is_missing_when_others_write_meanwhile",
    "test_pages_are_the_whole_in_order",
    "test_pages_of_a_fuzzy_search",
    "test_removing_while_building",
    "test_reset",
    "test_searches_go_on_while_indexes_are_replaced",
    "test_similar_words",
    "test_texts_can_be_html",
    "test_the_best_come_first_and_equally_good_ones_by_key",
    "test_the_last_of_several_creations_wins",
    "test_values_come_back_as_they_were",
    "test_weights",
    "test_what_cannot_be_looked_for_is_said",
    "test_what_has_expired_is_not_found",
    "test_words",
]


async def test_a_server_has_no_tokenizer_of_ours(kv: LocalKv) -> None:
    with pytest.raises(InvalidInput, match="no tokenizer cjk: trigram"):
        await kv.create_index(["t"], fields=["text"], tokenize="cjk")


async def test_a_filter_that_sql_cannot_decide_comes_before_the_limit(indexed: LocalKv) -> None:
    for number in range(10):
        value = {"text": "word", "name": "STRASSE" if number % 2 else "x"}
        await indexed.set(["d", number], value)
    where: dict[str, Any] = {"name": {"$containsi": "straße"}}
    for reverse, numbers in ((False, [1, 3, 5]), (True, [9, 7, 5])):
        found = indexed.search(["d"], "word", where=where, limit=3, reverse=reverse)
        assert [hit.key[1] async for hit in found] == numbers
    found = indexed.search(["d"], "word", where=where)
    assert [hit.key[1] async for hit in found] == [1, 3, 5, 7, 9]
