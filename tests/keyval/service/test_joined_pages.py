"""Pages that are put together: one that others follow says behind which key."""

from __future__ import annotations

import pytest
from buntime_plugin_keyval.storage.within import JoinedPage, page_of


def test_a_page_that_is_cut_off_says_where_it_goes_on() -> None:
    whole = JoinedPage(limit=3, most=100)
    assert whole.take(page_of("1,2", b"b", 2, has_more=False))
    assert whole.left == 1
    assert not whole.take(page_of("3", b"c", 1, has_more=True))
    assert whole.page(has_more=True) == page_of("1,2,3", b"c", 3, has_more=True)


def test_no_list_ends_where_more_follows() -> None:
    """A page without entries has no last key: whoever asked would take it for the end."""
    with pytest.raises(RuntimeError, match="has no last key"):
        page_of("", None, 0, has_more=True)
    whole = JoinedPage(limit=3, most=100)
    assert whole.take(page_of("", None, 0, has_more=False))
    with pytest.raises(RuntimeError, match="has no last key"):
        whole.page(has_more=True)
