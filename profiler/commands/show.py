"""Show what a profile holds: layouts, their speeds, the selection and what was left out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from config.commandline import FILE


@click.command("show")
@click.argument("file", type=FILE)
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", show_default=True
)
def command(file: Path, output: str) -> None:
    """Show what a profile holds: layouts, their speeds, the selection and what was left out."""
    from models.artifact import parse
    from models.render.tables import profile_table
    from profiler.commands.profilefile import read_text

    text = read_text(file)
    published = parse(text, str(file))
    if output == "json":
        click.echo(text, nl=False)
    elif output == "yaml":
        from config.yamltext import write_yaml

        click.echo(write_yaml(json.loads(text)), nl=False)
    else:
        click.echo(profile_table(published, output == "wide"), nl=False)
