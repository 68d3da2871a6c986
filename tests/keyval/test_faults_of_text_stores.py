"""What stores of text keys got wrong, by number, and the tests that say that this one does not."""

from __future__ import annotations

import importlib

import pytest

FAULTS = {
    (1, "prefixes read everything"): (
        "client._async.test_records.test_fault_1_a_prefix_is_meant_to_the_letter"
    ),
    (2, "times do not sort"): "client._async.test_records.test_fault_2_times_are_numbers_that_sort",
    (3, "a crashed runner leaves its task running"): (
        "keyval.tasks.test_tasks.test_a_lease_that_ends_gives_the_task_back"
    ),
    (4, "a start is never written down"): (
        "keyval.tasks.test_tasks.test_a_task_from_its_beginning_to_its_end"
    ),
    (5, "a cancelled task comes back when its runner is done"): (
        "keyval.tasks.test_tasks.test_a_cancelled_task_stays_cancelled"
    ),
    (6, "a task whose time is over is stranded"): "client.test_runner.test_a_timeout_cancels",
    (7, "a consumer that comes back reads on from an old position"): (
        "keyval.consumers.test_consumers.test_one_owner_at_a_time_and_the_late_one_changes_nothing"
    ),
    (8, "versions come again"): (
        "client._async.test_records.test_fault_8_a_record_that_was_made_anew_is_another_one"
    ),
    (9, "a patch loses the type"): (
        "client._async.test_records.test_fault_9_a_patch_keeps_the_type"
    ),
    (10, "changes have no time"): (
        "keyval.stream.test_stream.test_fault_10_each_change_has_its_time"
    ),
    (11, "the stream grows for ever"): (
        "keyval.service.test_changelog.test_trimming_by_age_keeps_what_is_young_enough"
    ),
    (12, "commands show base64, take objects alone, and tell errors on stdout"): (
        "client.cli.test_direct.test_fault_12_values_are_json_and_errors_are_not_output"
    ),
}


@pytest.mark.parametrize(
    "place", FAULTS.values(), ids=[f"{number} {words}" for number, words in FAULTS]
)
def test_each_fault_has_its_test(place: str) -> None:
    module, _, name = place.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
