"""The endpoint that removes expired entries."""

from __future__ import annotations

from typing import Annotated

from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.features.expiry.sweeper import Sweeper, vacuum
from buntime_plugin_keyval.requests.answers import truth
from buntime_plugin_keyval.requests.asked import Asked, Cost, Request, Route, Routes
from buntime_plugin_keyval.requests.kinds import LIMIT
from buntime_plugin_keyval.requests.permissions import ADMIN
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape


class VacuumRequest(RequestShape, frozen=True, kw_only=True):
    limit: Annotated[int, LIMIT] = DEFAULT_LIMIT


def vacuum_expired(part: Sweeper, request: Request[VacuumRequest]) -> Asked:
    """`POST /vacuum`: remove expired entries, at most `limit` of the body."""
    limit = request.given.limit

    async def run() -> str:
        count, has_more = await vacuum(part.store, limit, request.once)
        return f'{{"count":{count},"hasMore":{truth(has_more)}}}'

    return Asked("vacuum", "admin", run, cost=Cost(limit), needs=(ADMIN,))


ROUTES: Routes = {
    "/vacuum": {"POST": Route(vacuum_expired, VacuumRequest, MemberPlace.OPTIONAL_BODY)}
}
