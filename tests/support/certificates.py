"""Certificates with authorities that are made here."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """Files of an authority and of what it vouches for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = str(folder / "authority.pem")
        self._run(
            "req",
            "-x509",
            "-subj",
            "/CN=authority",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-out",
            self.authority,
            *self._key("authority"),
        )

    def signed(self, name: str) -> tuple[str, str]:
        """The certificate of a host, or of a client, and its key."""
        request, made = self._folder / f"{name}.csr", self._folder / f"{name}.pem"
        extension = self._folder / f"{name}.ext"
        # From Python 3.13 on, a certificate has to name the key of its authority.
        extension.write_text(
            f"subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n"
        )
        key = self._key(name)
        self._run("req", "-subj", f"/CN={name}", "-out", str(request), *key)
        self._run(
            "x509", "-req", "-in", str(request), "-out", str(made), "-CA", self.authority,
            "-CAkey", str(self._folder / "authority.key"), "-CAcreateserial",
            "-extfile", str(extension),
        )  # fmt: skip
        return str(made), str(self._folder / f"{name}.key")

    def _key(self, name: str) -> list[str]:
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*kind, "-keyout", str(self._folder / f"{name}.key")]

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
