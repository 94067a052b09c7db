"""Share the options that several commands take, so that they read and behave alike."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from config.commandline import FILE

Command = TypeVar("Command", bound=Callable[..., Any])


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


def cluster_options(function: Command) -> Command:
    """Add -n, --context and --kubeconfig, as kubectl has them."""
    for option in (
        click.option(
            "--kubeconfig", type=FILE, help="Default: KUBECONFIG, ~/.kube/config, the pod's own account."
        ),
        click.option("--context", help="Context of the kubeconfig; default: the current one."),
        click.option(
            "-n", "--namespace", help="Namespace of targets that state none; default: the context's."
        ),
    ):
        function = option(function)
    return function
