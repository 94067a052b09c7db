"""Run `headgate`: a group whose commands load only when they are called, so that help answers at once."""

import click

from config.commandline import run
from config.lazygroup import LazyGroup
from models.version import VERSION

# One line a command; its module is imported when it runs.
COMMANDS = {
    "run": "Scale a fleet, tick by tick (today: --dry-run).",
    "recommend": "Make one dry-run recommendation from live metrics.",
    "replay": "Replay a trace on a simulated fleet under several policies.",
    "size": "Answer a capacity question from a profile.",
    "backtest": "Judge forecasters side by side on a measured series.",
    "report": "Score the decisions of a journal: are they ready to be acted on?",
    "explain": "Explain one decision from the journal, and why not another count.",
    "config": "Check and show the configuration.",
}


@click.group(
    cls=LazyGroup,
    package="planner.commands",
    lines=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="headgate")
def headgate() -> None:
    """Forecast LLM traffic and size prefill and decode pools before the demand is there."""


def main() -> None:
    """Run the command line; what is wrong is one line on stderr and exit code 1."""
    run(headgate)
