"""Keeping the audit log of the host in the store."""

from __future__ import annotations

from buntime_plugin_keyval.features.audit.part import AuditPart
from buntime_plugin_keyval.features.feature import Feature, Ground


def _make(ground: Ground) -> AuditPart | None:
    keep_ms = ground.config.audit_keep.milliseconds
    return AuditPart(ground.store, keep_ms) if keep_ms else None


AUDIT = Feature("audit", _make)
