"""Share the options that several commands take, so that they read and behave alike."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Quantity(click.ParamType[float]):
    """Read a quantity with a unit: a duration such as 300ms, or a count such as 8k."""

    def __init__(self, kind: str, least: float = 0.0, most: float = float("inf")) -> None:
        """Choose what to read, `duration` or `count`, from `least` to `most` seconds or pieces."""
        self.name = kind
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds or a plain count; a usage error says what to write instead."""
        from models import units

        if isinstance(value, float):
            return value
        is_duration = self.name == "duration"
        try:
            number = units.duration_s(str(value)) if is_duration else units.count(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        show = units.show_duration if is_duration else units.show_count
        if number < self._least:
            self.fail(f"{value!r} is below {show(self._least)}", param, ctx)
        if number > self._most:
            self.fail(f"{value!r} is above {show(self._most)}", param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """Read a number in a range; "nan" lies in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; a usage error says which there may be."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


# No engine measures less than a microsecond, and nobody waits for a day.
DURATION = Quantity("duration", 1e-6, 86_400.0)
# A request; no engine takes prompts near the upper end.
TOKENS = Quantity("count", 1, 10_000_000)
COUNT = Quantity("count", 0, 10_000_000)
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
