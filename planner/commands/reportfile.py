"""Write a report so that a reader sees the whole file or none of it."""

import os
import tempfile
from pathlib import Path

import click

from models.errors import InputError


def check_folder(path: Path, option: str) -> None:
    """Raise a usage error unless there is a folder that takes the file: before the work, not after it."""
    try:
        there, replaced = path.parent.is_dir(), path.is_file() or not path.exists()
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint=option) from None
    if not there:
        raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint=option)
    if not os.access(path.parent if replaced else path, os.W_OK):
        raise click.BadParameter(f"{path} may not be written by this user", param_hint=option)


def write_report(html: str, path: Path) -> None:
    """Replace a file in one step, its folder made if need be, and say on stderr where it is.

    A link keeps its place, and what it leads to is replaced; a pipe or a device is written to. Raises
    InputError when the place cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(html, encoding="utf-8")
        else:
            _replace(html, path.resolve())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    click.echo(f"Report: {path}", err=True)


def _replace(html: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(html)
        # mkstemp makes private files; a report is there to be handed on.
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
