"""Read what a person types: quantities with units, and the exit codes that both programs share."""

import math
import sys
from pathlib import Path
from typing import Any

import click

from models import units
from models.errors import HeadgateError


class Quantity(click.ParamType[float]):
    """Read a quantity with a unit: a duration such as 300ms, or a count such as 8k."""

    def __init__(self, kind: str, least: float = 0.0, most: float = float("inf")) -> None:
        """Choose what to read, `duration` or `count`, from `least` to `most` seconds or pieces."""
        self.name = kind
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds or a plain count; a usage error says what to write instead."""
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
RATE = Quantity("count", 1e-6, 1e9)
# The share that a promise is kept for, where the analysis of tails still holds.
QUANTILE = FiniteRange(0.5, 0.9999)
FILE = click.Path(path_type=Path, dir_okay=False)


def run(group: click.Group) -> None:
    """Run a program and exit: 0 fine, 1 with one line on stderr that says what is wrong, 2 usage."""
    try:
        # Without its standalone mode click returns what `Context.exit` was given.
        code = group.main(standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HeadgateError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        # Input and output files are looked after where they are used; this is a full or closed stdout.
        click.echo(f"Error: {error.strerror or error}", err=True)
        sys.exit(1)
    except MemoryError:
        click.echo("Error: there is not enough memory for this", err=True)
        sys.exit(1)
