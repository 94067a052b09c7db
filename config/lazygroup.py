"""Offer commands whose modules load only when they are called, so that help answers at once."""

import importlib
import keyword
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """List commands without importing them.

    `package` holds one module per command, each with a `command`: `sweep-shard` lives in `sweep_shard`, and
    `import` in `import_`. `lines` says each command in one line; one whose line is empty is not listed.
    """

    def __init__(self, *args: Any, package: str, lines: Mapping[str, str], **kwargs: Any) -> None:
        """Bind the group to its package."""
        super().__init__(*args, **kwargs)
        self._package = package
        self._lines = lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [name for name, line in self._lines.items() if line]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's module and return its `command`."""
        if cmd_name not in self._lines:
            return None
        name = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        command: click.Command = importlib.import_module(f"{self._package}.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table, without imports."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, line in self._lines.items() if line])
