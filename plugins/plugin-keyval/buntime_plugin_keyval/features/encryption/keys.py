"""Encryption keys, from the options, a file or the environment."""

from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING

from buntime_host import OptionError

from buntime_plugin_keyval.config import EncryptionConfig
from buntime_plugin_keyval.storage.prefixes import ranges_of

if TYPE_CHECKING:
    from buntime_plugin_keyval.storage.sealing import Sealing

KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_RIGHT = "name:key, the key 32 bytes in base64, such as `openssl rand -base64 32` makes"


def open_sealing(config: EncryptionConfig, base_dir: Path) -> Sealing | None:
    """The keys of a store; None if none are given. Raises `OptionError`, which shows no key."""
    keys = read_keys(_texts(config, base_dir))
    ranges = ranges_of("encryption.prefixes", config.prefixes)
    if not keys:
        if ranges:
            raise OptionError(
                "encryption.prefixes needs keys: set KEYVAL_ENCRYPTION_KEYS or"
                " encryption.keyFile to lines of " + _RIGHT
            )
        return None
    try:
        from buntime_plugin_keyval.storage.sealing import Sealing
    except ImportError as error:
        raise OptionError(
            "encryption needs the package cryptography: install buntime[encryption]"
        ) from error
    return Sealing(keys, ranges)


def _texts(config: EncryptionConfig, base_dir: Path) -> list[str]:
    text = config.keys or ""
    if config.key_file:
        path = base_dir / config.key_file
        try:
            text += "\n" + path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"encryption.keyFile cannot be read: {path}: {error}") from error
    lines = (line.partition("#")[0].strip() for line in text.replace(",", "\n").splitlines())
    return [line for line in lines if line]


def read_keys(texts: list[str]) -> dict[str, bytes]:
    """Parse keys, in order: the first one is used to encrypt."""
    keys: dict[str, bytes] = {}
    for number, text in enumerate(texts, 1):
        name, colon, encoded = text.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise OptionError(f"encryption: key {number} has to be {_RIGHT}")
        try:
            key = b64decode(encoded, altchars=b"-_" if "-" in encoded or "_" in encoded else None,
                            validate=True)  # fmt: skip
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise OptionError(f"encryption: the key {name!r} has to be {_RIGHT}")
        if name in keys:
            raise OptionError(f"encryption: there are two keys with the name {name!r}")
        keys[name] = key
    return keys
