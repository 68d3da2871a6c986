"""Encryption of values below chosen prefixes."""

from __future__ import annotations

from buntime_plugin_keyval.features.encryption.part import EncryptionPart
from buntime_plugin_keyval.features.feature import Feature

ENCRYPTION = Feature("encryption", lambda ground: EncryptionPart(ground.store))
