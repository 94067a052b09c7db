"""Read texts, packed or not, and write them so that a reader sees the whole file or none of it."""

import gzip
import os
import tempfile
import zlib
from pathlib import Path

from models.errors import InputError

_GZIP = b"\x1f\x8b"


def read_text(path: Path) -> str:
    """Return a file's text, unpacked where it is gzip: a ConfigMap holds a large profile that way.

    Raises OSError, also for a packed file that is damaged, and UnicodeDecodeError.
    """
    data = path.read_bytes()
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error):
            raise OSError(0, "is a damaged gzip file") from None
    return data.decode("utf-8")


def replace_text(text: str, path: Path) -> None:
    """Replace a file's text in one step, its folder made if need be.

    A link keeps its place, and what it leads to is replaced; a pipe or a device is written to. Raises
    InputError when the place cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(text, path.resolve())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _replace(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; reports are handed on, profiles read by another user.
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
