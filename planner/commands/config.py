"""Check a configuration, show what it resolves to, and describe what may stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.commands.options import output_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.loading import Loaded
    from config.schema import DeploymentSettings
    from models.policy import ClassMatch
    from models.values import RequestClass, Slo

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.group("config")
def command() -> None:
    """Check and show the configuration.

    Defaults come first, then the file, then the environment, then flags. HEADGATE_PROMETHEUS__URL sets
    prometheus.url; an item of a list goes by its name or its number, as in
    HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS.
    """


@command.command("check")
@_FILE
@click.option(
    "--profile", "profiles", is_flag=True, help="Check the profile of each deployment against it, too."
)
def check(file: Path, profiles: bool) -> None:
    """Say what a file defines, or everything that is wrong with it."""
    from config.loading import load

    loaded = load(file)
    _check_metrics(loaded)
    if profiles:
        _check_profiles(loaded)
    click.echo(f"{file}: ok")
    for pool in loaded.settings.gpu_pools:
        shares = ((each.name, each.share) for each in loaded.settings.deployments)
        members = [name for name, share in shares if share is not None and share.pool == pool.name]
        click.echo(f"  pool {pool.name}: {pool.gpus} GPUs for {', '.join(members) or 'nobody yet'}")
    for deployment in loaded.settings.deployments:
        for line in _deployment(deployment):
            click.echo(f"  {line}")
    click.echo(f"  digest {loaded.digest}")
    for note in _notes(loaded, profiles):
        click.echo(f"note: {note}", err=True)


@command.command("show")
@_FILE
@click.option("--origin", is_flag=True, help="Say where each value comes from: default, file:line, variable.")
@output_option("yaml", "json")
def show(file: Path, origin: bool, output: str) -> None:
    """Show what a file resolves to.

    Defaults are filled in, the environment is applied, header values are masked. The YAML loads again, as the
    same configuration.
    """
    from config.loading import load
    from config.showing import as_json, as_yaml

    loaded = load(file)
    click.echo((as_json if output == "json" else as_yaml)(loaded, origin), nl=False)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of the file.

    Draft 2020-12, with a description of every key: for editors, and for checks in a pipeline.
    """
    import json

    from config.jsonschema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _check_metrics(loaded: Loaded) -> None:
    from config.metrics import read_metrics

    if loaded.settings.prometheus is not None:
        read_metrics(loaded.settings.prometheus.preset, loaded.path.parent)


def _check_profiles(loaded: Loaded) -> None:
    """Read every profile; raises ConfigError with all that does not fit."""
    from models.errors import ConfigError, InputError
    from planner.wiring import deployment

    problems = []
    for settings in loaded.settings.deployments:
        try:
            deployment(loaded, settings.name)
        except InputError as error:
            problems.append(f"deployment {settings.name}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))


def _deployment(settings: DeploymentSettings) -> Iterator[str]:
    pools = settings.pools.by_role()
    fleet = " + ".join(f"{role} {pool.layout}" if pool.layout else role.value for role, pool in pools.items())
    gpus = settings.budget.gpus
    budget = "no GPU budget" if gpus is None else f"at most {gpus} GPUs"
    if isinstance(gpus, Mapping):
        budget = "at most " + " and ".join(f"{most} GPUs of {name}" for name, most in gpus.items())
    bounds = f"{budget}{_share(settings)}"
    yield f"deployment {settings.name}: {settings.model}, mode {settings.mode}, {fleet}, {bounds}"
    for each, match in zip(settings.classes, settings.matches(), strict=True):
        yield f"  class {each.name}: {_promise(each.to_policy())}; {_members(match)}"


def _share(settings: DeploymentSettings) -> str:
    share = settings.share
    if share is None:
        return ""
    own = f", {share.guaranteed_gpus} of them guaranteed" if share.guaranteed_gpus else ""
    return f", shares pool {share.pool}{own}, priority {share.priority}"


def _promise(request_class: RequestClass) -> str:
    from models.units import show_duration

    slo: Slo = request_class.slo
    limits = [("TTFT", slo.ttft_s), ("ITL", slo.itl_s), ("end-to-end", slo.e2e_s)]
    stated = [f"{name} {show_duration(limit_s)}" for name, limit_s in limits if limit_s is not None]
    promise = f"{', '.join(stated)} for {slo.quantile:.6g} of requests" if stated else "throughput only"
    waits = request_class.deferral
    if waits is not None and waits.done_by is not None:
        promise += f", may wait until {waits.done_by:%H:%M}"
    elif waits is not None and waits.within_s is not None:
        promise += f", may wait {show_duration(waits.within_s)}"
    return f"{promise}, priority {request_class.priority}"


def _members(match: ClassMatch) -> str:
    if match.rest:
        return "takes all other requests"
    asked = [f"{name}={value}" for name, value in match.labels.items()]
    if match.min_input_tokens is not None:
        asked.append(f"at least {match.min_input_tokens:,} input tokens")
    if match.max_input_tokens is not None:
        asked.append(f"at most {match.max_input_tokens:,} input tokens")
    return f"takes requests of {', '.join(asked)}"


def _notes(loaded: Loaded, profiles_checked: bool) -> Iterator[str]:
    settings = loaded.settings
    for each in settings.deployments:
        if each.profile is None:
            yield f"deployment {each.name} names no profile; pass --profile to the commands that need one"
        elif not profiles_checked and not each.profile.path.is_file():
            yield (
                f"deployment {each.name}: no profile at {each.profile.path} yet; make one with "
                f"headgate-profiler sweep --model {each.model} --hardware NAME --out {each.profile.path}"
            )
    if settings.prometheus is None:
        yield "no prometheus section: enough to replay a trace, too little to recommend or run"
        return
    files = (settings.prometheus.bearer_token_file, settings.prometheus.tls.ca_file)
    yield from (f"no file at {place.path} here" for place in files if place and not place.path.is_file())
    for each in settings.deployments:
        unlabelled = [match.request_class for match in each.matches() if not match.labels]
        if len(unlabelled) > 1:
            yield (
                f"deployment {each.name}: Prometheus cannot tell the classes {', '.join(unlabelled)} apart; "
                "give all but one of them match.labels"
            )
