"""Make the certificates of test servers: an authority in a folder, and what it signs."""

import subprocess
from pathlib import Path

from tests import components

_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
_HOLDER = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]


def make_authority(folder: Path) -> None:
    """Write `ca.crt` and `ca.key` into the folder."""
    (folder / "openssl.cnf").write_text(_CONFIG)
    _request(folder, "ca", "/CN=authority of one test run", _AUTHORITY)


def issue_server(folder: Path, name: str) -> None:
    """Write `<name>.crt` and `<name>.key` for a server on 127.0.0.1, signed by the folder's authority."""
    _issue(folder, name, "/CN=127.0.0.1", ["extendedKeyUsage=serverAuth", "subjectAltName=IP:127.0.0.1"])


def issue_client(folder: Path, name: str, user: str, group: str | None = None) -> None:
    """Write `<name>.crt` and `<name>.key` for a user, signed by the folder's authority."""
    subject = (f"/O={group}" if group else "") + f"/CN={user}"
    _issue(folder, name, subject, ["extendedKeyUsage=clientAuth"])


def _issue(folder: Path, name: str, subject: str, extensions: list[str]) -> None:
    extensions = [*_HOLDER, "authorityKeyIdentifier=keyid", *extensions]
    signed = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")]
    _request(folder, name, subject, extensions, *signed)


def _request(folder: Path, name: str, subject: str, extensions: list[str], *arguments: str) -> None:
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    named = [part for text in ["subjectKeyIdentifier=hash", *extensions] for part in ("-addext", text)]
    command = [str(components.openssl()), "req", "-x509", "-config", str(folder / "openssl.cnf")]
    command += [*_KEY, "-days", "2", "-subj", subject, *files, *named, *arguments]
    made = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert made.returncode == 0, made.stderr
