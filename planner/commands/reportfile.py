"""Place a report: look at its folder before the work, write it after."""

import os
from pathlib import Path

import click

from config.textfile import replace_text


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
    """Write a report whole, and say on stderr where it is; raises InputError when it cannot be written."""
    replace_text(html, path)
    click.echo(f"Report: {path}", err=True)
