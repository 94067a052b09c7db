"""Run `headgate`: a group whose commands load only when they are called, so that help answers at once."""

import importlib
import sys

import click

from models.errors import HeadgateError
from models.version import VERSION

# One line a command; its module is imported when it runs.
COMMANDS = {
    "run": "Scale a fleet, tick by tick (today: --dry-run).",
    "recommend": "Make one dry-run recommendation from live metrics.",
    "replay": "Replay a trace on a simulated fleet under several policies.",
    "size": "Answer a capacity question from a profile.",
    "config": "Check and show the configuration.",
}


class LazyGroup(click.Group):
    """List commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command's module and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"planner.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table, without imports."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="headgate")
def headgate() -> None:
    """Forecast LLM traffic and size prefill and decode pools before the demand is there."""


def main() -> None:
    """Run the command line; what is wrong is one line on stderr and exit code 1."""
    try:
        headgate.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
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
