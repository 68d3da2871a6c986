"""Weaknesses of the original in search, whose tests run here a second time, on a libSQL server."""

from __future__ import annotations

from keyval.search.test_search_weaknesses import (
    indexed,
    test_weakness_27_every_kind_of_write_keeps_the_index,
    test_weakness_27_the_values_of_undelivered_messages,
    test_weakness_28_filters_and_liveness_come_before_the_limit,
    test_weakness_29_a_process_that_wrote_nothing_yet_finds,
    test_weakness_30_no_query_is_an_error_and_nested_fields_work,
    test_weakness_31_creating_again_replaces_the_table,
    test_weakness_32_all_overlapping_indexes_are_kept,
)

__all__ = [
    "indexed",
    "test_weakness_27_every_kind_of_write_keeps_the_index",
    "test_weakness_27_the_values_of_undelivered_messages",
    "test_weakness_28_filters_and_liveness_come_before_the_limit",
    "test_weakness_29_a_process_that_wrote_nothing_yet_finds",
    "test_weakness_30_no_query_is_an_error_and_nested_fields_work",
    "test_weakness_31_creating_again_replaces_the_table",
    "test_weakness_32_all_overlapping_indexes_are_kept",
]
