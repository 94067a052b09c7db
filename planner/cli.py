"""Run `headgate`: a group whose commands load only when they are called, so that help answers at once."""

import importlib

import click

from config.commandline import run
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
    run(headgate)
