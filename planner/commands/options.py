"""Share the options that several commands take, so that they read and behave alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Quantity(click.ParamType[float]):
    """Read a quantity with a unit: a duration such as 300ms, or a count such as 8k."""

    def __init__(self, kind: str) -> None:
        """Choose what to read: `duration` or `count`."""
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds or a plain count; a usage error says what to write instead."""
        from models import units

        if isinstance(value, float):
            return value
        try:
            return units.duration_s(str(value)) if self.name == "duration" else units.count(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


DURATION = Quantity("duration")
COUNT = Quantity("count")
FILE = click.Path(path_type=Path, dir_okay=False)


def config_option(function: Command) -> Command:
    """Add --config and --deployment."""
    function = click.option("--deployment", help="Deployment to take when the file defines several.")(
        function
    )
    return click.option("--config", "config_path", type=FILE, required=True, help="Configuration file.")(
        function
    )


def profile_option(function: Command) -> Command:
    """Add --profile, which overrides the configuration's."""
    return click.option(
        "--profile", "profile_path", type=FILE, help="Profile artifact; overrides the configuration's."
    )(function)


def output_option(*formats: str) -> Callable[[Command], Command]:
    """Add -o with the formats that a command can write."""
    return click.option(
        "-o", "--output", type=click.Choice(formats), default=formats[0], show_default=True, help="Format."
    )
