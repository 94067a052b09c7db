"""Write a text so that a reader sees the whole file or none of it."""

import os
import tempfile
from pathlib import Path

from models.errors import InputError


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
