"""What the first client got wrong, and the tests that say that this one does not."""

from __future__ import annotations

import importlib

import pytest

DEFECTS = {
    "double percent-encoding in queries": "test_answers.test_paths_and_queries_are_encoded_once",
    "types lost in paths": "test_entries.test_keys_keep_their_types_on_every_route",
    "texts of digits, booleans and bigints mixed up": (
        "test_entries.test_what_looks_alike_is_not_mixed_up"
    ),
    "statuses not looked at": "test_answers.test_every_status_is_an_exception",
    "answers not looked at": "test_answers.test_a_success_that_makes_no_sense_is_an_error",
    "an event lost when its frame is split": "test_sse.test_the_cuts_do_not_matter",
    "CR LF not understood": "test_sse.test_byte_by_byte",
    "of several data lines only the last kept": "test_sse.test_the_cuts_do_not_matter",
    "no pause after a clean end": "test_faults.test_reconnecting_is_never_a_hot_loop",
    "bigints not sent": "test_entries.test_python_values_come_back_without_loss",
    "bigints not enqueued, time not resolved": "test_queue.test_messages_by_hand",
    "time sent as an empty object": "test_entries.test_the_server_time_resolves_at_the_server",
    "transaction cache mixes typed keys": "test_atomic.test_typed_keys_in_a_transaction",
    "a stored null conflicts for ever": (
        "test_atomic.test_a_missing_and_a_null_key_can_be_guarded"
    ),
    "retry delay 0 becomes 10": "test_atomic.test_a_retry_delay_of_nothing_is_none",
    "callbacks not awaited": "test_watch.test_one_callback_at_a_time_and_its_failures_are_told",
    "a buffer that is no backpressure": (
        "test_watch.test_a_slow_reader_with_a_buffer_gets_the_latest_of_each_key"
    ),
    "default watch loops on errors": (
        "test_watch.test_weakness_41_what_will_not_pass_ends_the_watch"
    ),
    "list ends after one page": "test_entries.test_weakness_47_list_pages_through_everything",
    "no token, headers or timeouts": "test_answers.test_headers_and_token",
}


@pytest.mark.parametrize("place", sorted(set(DEFECTS.values())))
def test_each_defect_has_its_test(place: str) -> None:
    module, _, name = place.partition(".")
    folder = "client" if module == "test_sse" else "client._async"
    assert callable(getattr(importlib.import_module(f"{folder}.{module}"), name))
