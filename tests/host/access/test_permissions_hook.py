"""What plugins say of their permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from buntime_host.errors import RequiredPluginFailed

if TYPE_CHECKING:
    from host.conftest import AddPlugin, MakeHost


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("return ['read']", "must return a mapping of names to Action"),
        ("return {'read': None}", "must return a mapping of names to Action"),
        ("return {'a': Action(covers=('b',))}", "names actions that are not there: ['b']"),
    ],
)
async def test_what_is_no_mapping_of_actions(
    add_plugin: AddPlugin, make_host: MakeHost, code: str, reason: str
) -> None:
    head = "from buntime_host import Action\n@hookimpl\ndef permissions():\n    "
    add_plugin("p", head + code)
    with pytest.raises(RequiredPluginFailed) as caught:
        await make_host({"required": ["p"]}).start()
    assert reason in str(caught.value)
