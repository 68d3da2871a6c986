"""Encryption of values below chosen prefixes."""

from buntime_plugin_keyval.features.encryption.part import EncryptionPart
from buntime_plugin_keyval.features.feature import Feature

ENCRYPTION = Feature("encryption", lambda ground: EncryptionPart(ground.store))
