"""Rules of the API, in the store of plugin-keyval: one key each, below `proxy`, `rules`.

Every process has them in memory and watches the keys, so that a change is in force everywhere a
moment later, and at once in the process that has answered it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from buntime_host import Followed, HttpError, NotFound, Watchable
from msgspec.structs import replace

from buntime_plugin_proxy.rules.reading import BadRule, changed, rule_from
from buntime_plugin_proxy.rules.rule import Rule

PREFIX = ("proxy", "rules")
MOST_RULES = 1000
TRIES = 5
"""How often a change is tried again after another one came in between."""


class RuleStore(Watchable, Protocol):
    """The part of plugin-keyval's service that is needed."""

    async def get(self, key: Any) -> Any:
        """One entry."""

    def list(self, prefix: Any) -> AsyncIterator[Any]:
        """All entries below a key."""

    def atomic(self) -> Any:
        """A commit with checks."""


class RulesChanged(HttpError):
    """Another process has changed the rules in between."""

    status = 409
    code = "CONFLICT"
    default_message = "The rules were changed at the same time; read them and try again"


class DynamicRules:
    """The rules of the store, in memory."""

    def __init__(
        self,
        kv: RuleStore,
        changed: Callable[[Sequence[Rule]], Awaitable[None]],
        logger: logging.Logger,
    ) -> None:
        """`changed` applies the rules, whenever they may have changed."""
        self._kv = kv
        self._changed = changed
        self._logger = logger
        self._followed = Followed(kv, PREFIX, self._read, what="The rules", logger=logger)

    async def start(self) -> None:
        """Read the rules, and follow changes from now on. Raises the store's exceptions."""
        await self._followed.start()
        await self._number_unordered()
        await self.read()

    async def stop(self) -> None:
        """Stop watching."""
        await self._followed.stop()

    async def read(self) -> list[Rule]:
        """Read the rules that the store has now, and put them in force."""
        return await self._followed.read()

    async def create(self, given: Mapping[str, Any]) -> Rule:
        """Add a rule after all others. Raises `BadRule`."""
        rules = await self.read()
        if len(rules) >= MOST_RULES:
            raise BadRule(f"There may be at most {MOST_RULES} rules")
        order = max((rule.order for rule in rules), default=-1) + 1
        rule = rule_from(given, str(uuid4()), order=order)
        await self._commit([(rule, None)])
        return rule

    async def update(self, id: str, given: Mapping[str, Any]) -> Rule:
        """Change fields of a rule. Raises `BadRule`, `NotFound`, `RulesChanged`."""
        return await self._change(id, lambda rule: changed(rule, given))

    async def toggle(self, id: str) -> Rule:
        """Switch a rule on or off. Raises `NotFound`, `RulesChanged`."""
        return await self._change(id, lambda rule: changed(rule, {"enabled": not rule.enabled}))

    async def delete(self, id: str) -> None:
        """Remove a rule, but no keys below its own. Raises `NotFound`."""
        entry = await self._kv.get((*PREFIX, id))
        if entry.versionstamp is None:
            raise NotFound("Rule not found")
        await self._kv.atomic().delete((*PREFIX, id)).commit()  # deletes exactly this key
        await self.read()

    async def reorder(self, ids: Sequence[str]) -> list[Rule]:
        """Give all rules the order of their ids. Raises `BadRule`, `NotFound`, `RulesChanged`."""
        found = {rule.id: (rule, stamp) for rule, stamp in await self._entries()}
        for one in ids:
            if one not in found:
                raise NotFound(f"Rule not found: {one}")
        if len(ids) != len(found) or len(set(ids)) != len(ids):
            raise BadRule("ids must include all dynamic rule IDs")
        seen = [found[one] for one in ids]
        moved = [(replace(rule, order=order), stamp) for order, (rule, stamp) in enumerate(seen)]
        await self._commit(moved)
        return [rule for rule, _ in moved]

    async def _read(self) -> list[Rule]:
        rules = [rule for rule, _ in await self._entries()]
        if len(rules) > MOST_RULES:
            self._logger.warning(
                "Of %d rules in the store only the first %d count", len(rules), MOST_RULES
            )
            rules = sorted(rules, key=lambda rule: (rule.order, rule.id))[:MOST_RULES]
        await self._changed(rules)
        return rules

    async def _change(self, id: str, change: Callable[[Rule], Rule]) -> Rule:
        for _ in range(TRIES):
            entry = await self._kv.get((*PREFIX, id))
            rule = None if entry.versionstamp is None else self._readable(id, entry.value)
            if rule is None:
                raise NotFound("Rule not found")
            made = change(rule)
            with contextlib.suppress(RulesChanged):
                await self._commit([(made, entry.versionstamp)])
                return made
        raise RulesChanged

    async def _commit(self, rules: Sequence[tuple[Rule, str | None]]) -> None:
        """Write rules, unless one has changed since it was read. Raises `RulesChanged`."""
        commit = self._kv.atomic()
        for rule, stamp in rules:
            key = (*PREFIX, rule.id)
            commit = commit.check((key, stamp)).set(key, rule.to_json())
        result = await commit.commit()
        if not result.ok:
            raise RulesChanged
        await self.read()

    async def _entries(self) -> list[tuple[Rule, str]]:
        """All rules with their versionstamps."""
        found = []
        async for entry in self._kv.list(PREFIX):
            if len(entry.key) != len(PREFIX) + 1:
                continue  # below the key of a rule, and so none itself
            rule = self._readable(str(entry.key[-1]), entry.value)
            if rule is not None:
                found.append((rule, entry.versionstamp))
        return found

    def _readable(self, id: str, value: Any) -> Rule | None:
        """A rule from the store, which may be malformed."""
        if not isinstance(value, Mapping):
            self._logger.warning("Rule %s in the store is no object and is left out", id)
            return None
        order = value.get("order")
        try:
            return rule_from(value, id, order=order if type(order) is int else 0)
        except BadRule as error:
            self._logger.warning("Rule %s in the store is left out: %s", id, error)
            return None

    async def _number_unordered(self) -> None:
        """Give rules of older versions, which have no order, the one of their keys."""
        entries = [entry async for entry in self._kv.list(PREFIX)]
        commit, count = self._kv.atomic(), 0
        for index, entry in enumerate(entries):
            value = entry.value
            if isinstance(value, Mapping) and "order" not in value:
                commit = commit.check(entry)
                commit = commit.set(entry.key, {**value, "order": index})
                count += 1
        if count:
            await (
                commit.commit()
            )  # a failed check means that another process has just done the same
