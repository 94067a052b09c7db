"""Write a report so that a reader sees the whole file or none of it."""

import os
import tempfile
from pathlib import Path

import click

from models.errors import InputError


def write_report(html: str, path: Path) -> None:
    """Replace a file in one step, its folder made if need be, and say on stderr where it is.

    Raises InputError when the place cannot be written.
    """
    try:
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
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    click.echo(f"Report: {path}", err=True)
