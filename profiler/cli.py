"""Run `headgate-profiler`: profile a model on a kind of hardware, show and exchange what a profile holds."""

import click

from config.commandline import run
from config.lazygroup import LazyGroup
from models.version import VERSION

# One line a command; its module is imported when it runs. A shard is run by the sweep's own Kubernetes Job.
COMMANDS = {
    "sweep": "Measure every layout in every role, select, and write the profile.",
    "show": "Show what a profile holds.",
    "export": "Write a profile's measurements for other programs.",
    "import": "Make a profile of measurements from elsewhere.",
    "sweep-shard": "",
}


@click.group(
    cls=LazyGroup,
    package="profiler.commands",
    lines=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="headgate-profiler")
def profiler() -> None:
    """Profile a model once, before it goes live: which layouts fit, how fast they are, which to run."""


def main() -> None:
    """Run the command line; what is wrong is one line on stderr and exit code 1."""
    run(profiler)
