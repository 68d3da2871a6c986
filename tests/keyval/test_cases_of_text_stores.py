"""What users of stores of text keys rely on, case by case, and the tests that show each of them.

All of them run on every engine that may hold a store.
"""

from __future__ import annotations

import pytest
from keyval.named_tests import engines_of

ENGINES = {"sqlite", "libsql", "rqlite", "postgres"}

RECORDS = "keyval.service.test_records_on_engines"
STREAM = "keyval.stream.test_stream"
CONSUMERS = "keyval.consumers.test_consumers"
LOCKS = "keyval.locks.test_locks"
TASKS = "keyval.tasks.test_tasks"
TASK_LISTS = "keyval.tasks.test_task_lists"
RUNNERS = "keyval.tasks.test_runners"

CASES = {
    "get: found and missing, and version 1 after the first put": [
        f"{RECORDS}.test_one_record",
    ],
    "get of several: all, some, none, nothing asked, and more than one statement takes": [
        f"{RECORDS}.test_reading",
    ],
    "prefix, range, list: order, limit, offset, nothing found, a range without its end": [
        f"{RECORDS}.test_reading",
        f"{RECORDS}.test_windows",
        f"{RECORDS}.test_the_order_is_that_of_bytes",
    ],
    "put: whatever is there, only if nothing is, a version that is right and one that is not": [
        f"{RECORDS}.test_one_record",
        f"{RECORDS}.test_versions_and_patches",
    ],
    "patch: one member, a record that is missing, the time of creation, a wrong version": [
        f"{RECORDS}.test_versions_and_patches",
        f"{RECORDS}.test_no_patch_is_lost",
    ],
    "delete: keys, prefix and range, all, missing, limit and offset": [
        f"{RECORDS}.test_deleting",
        f"{RECORDS}.test_windows_of_what_is_deleted",
    ],
    "count: all, prefix, range, and an empty range": [
        f"{RECORDS}.test_reading",
    ],
    "several at once: what each did, null, and all or nothing": [
        f"{RECORDS}.test_several_at_once",
        f"{RECORDS}.test_what_mutations_count",
    ],
    "stream: the order of writes, limit, first position, type, a type that is unknown": [
        f"{RECORDS}.test_changes",
        f"{STREAM}.test_each_change_in_the_order_of_the_commits",
        f"{STREAM}.test_what_was_trimmed_is_said",
    ],
    "consumer: what is not committed comes again, one after the other, nothing left": [
        f"{CONSUMERS}.test_what_is_not_committed_comes_again_and_nothing_else",
    ],
    "consumer: nothing there, held by another one, its type": [
        f"{CONSUMERS}.test_a_fetch_waits_for_a_record",
        f"{CONSUMERS}.test_one_owner_at_a_time_and_the_late_one_changes_nothing",
        f"{CONSUMERS}.test_chosen_records_and_what_lies_between_them",
    ],
    "lock: acquire, conflict, the same owner, release, another one's release, status": [
        f"{LOCKS}.test_one_has_it_at_a_time",
        f"{LOCKS}.test_the_same_owner_prolongs_and_keeps_the_token",
    ],
    "lock: another one's once it is over": [
        f"{LOCKS}.test_it_ends_to_the_millisecond",
    ],
    "task: there and back, missing, lists with filters and pages": [
        f"{TASKS}.test_a_task_from_its_beginning_to_its_end",
        f"{TASK_LISTS}.test_each_status_has_its_list",
        f"{TASK_LISTS}.test_lists_by_status_name_and_parent",
        f"{TASK_LISTS}.test_a_page_of_a_status_is_full",
    ],
    "task: what a lease writes, none for a second runner, only the names asked for": [
        f"{TASKS}.test_a_task_from_its_beginning_to_its_end",
        f"{TASK_LISTS}.test_lists_by_status_name_and_parent",
    ],
    "task: completed, failed and pending again, failed for good, no retries": [
        f"{TASKS}.test_a_failed_attempt_waits_longer_each_time",
        f"{TASKS}.test_no_retries_are_one_attempt",
    ],
    "task: cancelled while it waits, while it runs, and one that is unknown": [
        f"{TASKS}.test_a_cancelled_task_stays_cancelled",
    ],
    "runner: done, failed, over its time, no function for it, from end to end": [
        f"{RUNNERS}.test_a_runner_says_what_came_of_each_task",
    ],
    "runner: goes on when it could not say what came of a task": [
        f"{RUNNERS}.test_a_task_whose_end_could_not_be_told_is_run_again",
    ],
    "graph: both directions, types, walks, shortest, mutual, degree, neighbours, no path": [
        f"{RECORDS}.test_graphs",
        f"{RECORDS}.test_walks_through_graphs",
        f"{RECORDS}.test_a_walk_ends_where_it_is_cancelled",
    ],
    "many at once, without an error": [
        f"{RECORDS}.test_many_at_once",
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_is_shown_on_every_engine(case: str) -> None:
    for place in CASES[case]:
        assert engines_of(place) >= ENGINES, place
