"""Replay a trace on a simulated fleet under several policies, and say what each took and attained."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planner.commands.options import FILE, config_option, output_option, profile_option

if TYPE_CHECKING:
    from models.policy import PlanPolicy, TickPolicy
    from models.simulation.scorecard import PolicyResult, ReplayResult
    from models.values import Role
    from planner.replay import Stage
    from planner.wiring import Deployment

Value = TypeVar("Value")
_POLICIES = "headgate,static-peak,static-mean,hpa"


@click.command("replay")
@config_option
@profile_option
@click.option(
    "--trace",
    required=True,
    help="CSV or JSON lines, gzip or plain; or `demo`, the embedded day (`demo:N`: N times compressed).",
)
@click.option("--history", type=FILE, help="CSV of demand per minute from before the trace begins.")
@click.option(
    "--policy", default=_POLICIES, show_default=True, help="Policies; static:P,D is a constant fleet."
)
@click.option(
    "--rate-scale",
    type=click.FloatRange(1e-6, 1e6),
    default=1.0,
    show_default=True,
    help="Scale the request rate; its shape stays.",
)
@click.option("--startup", help="Start-up times, such as prefill=120s,decode=3m; override the configuration.")
@click.option("--initial", help="Fleet at the start, such as prefill=2,decode=2; default: sized.")
@click.option("--router", type=click.Choice(["load", "round-robin", "random"]), help="Override the router.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seed.")
@click.option("--jobs", type=click.IntRange(1), help="Policies replayed at once; default: one per core.")
@click.option("--out", type=FILE, help="Write an HTML report to this file.")
@output_option("table", "wide", "json")
def command(output: str, out: Path | None, policy: str, jobs: int | None, **asked: Any) -> None:
    """Replay a trace on a simulated fleet under several policies."""
    from planner.contest import Setup, contest, split_names

    names = split_names(policy)
    if not names:
        raise click.BadParameter("name at least one policy", param_hint="--policy")
    if out is not None and not out.parent.is_dir():
        raise click.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    deployment, tick_policy, stage = _prepare(**asked)
    initial = _per_role("--initial", asked["initial"], tuple(stage.layouts), _count)
    missing = [role for role in stage.layouts if initial and role not in initial]
    if missing:
        raise click.BadParameter(f"say a count for {missing[0]} as well", param_hint="--initial")
    setup = Setup(tick_policy, deployment.served, initial or None)
    with _progress(names) as watch:
        results = contest(names, stage, setup, watch, jobs)
    result = _gather(deployment, tick_policy, stage, results, _settings(stage, asked["rate_scale"]))
    if out is not None:
        from models.render import replay_page

        out.write_text(replay_page.render(result), encoding="utf-8")
        click.echo(f"Report: {out}", err=True)
    if output == "json":
        click.echo(json.dumps(_plain(result), indent=2))
        return
    from models.render.tables import replay_table

    click.echo(replay_table(result, wide=output == "wide"), nl=False)


def _prepare(
    config_path: Path, deployment: str | None, profile_path: Path | None, **asked: Any
) -> tuple[Deployment, TickPolicy, Stage]:
    """Read configuration, profile, trace and history into what a contest takes."""
    from planner.staging import Asked, stage_for
    from planner.wiring import deployment as build
    from planner.wiring import read_config

    found = build(read_config(config_path), deployment, profile_path)
    plan = _overridden(found.policy.plan, asked["startup"], asked["router"])
    # A longer start-up needs a longer look ahead than the file's own times did.
    reach_s = max(found.policy.forecast.reach_s, plan.least_reach_s())
    policy = replace(found.policy, plan=plan, forecast=replace(found.policy.forecast, reach_s=reach_s))
    wanted = Asked(asked["trace"], asked["history"], asked["rate_scale"], asked["seed"])
    stage, notes = stage_for(wanted, policy, found.served.layouts, found.settings.matches())
    for note in notes:
        click.echo(note, err=True)
    return found, policy, stage


def _overridden(plan: PlanPolicy, startup: str | None, router: str | None) -> PlanPolicy:
    """Apply --startup and --router, for the fleet and for what the planner believes of it."""
    from models.values import Router

    times = _per_role("--startup", startup, tuple(plan.pools), _seconds)
    pools = {
        role: replace(pool, startup_s=times[role], startup_p99_s=max(times[role], pool.startup_p99_s))
        if role in times
        else pool
        for role, pool in plan.pools.items()
    }
    return replace(plan, pools=pools, router=Router(router) if router else plan.router)


def _per_role(
    option: str, text: str | None, roles: Sequence[Role], read: Callable[[str], Value]
) -> dict[Role, Value]:
    """Read `prefill=A,decode=B`; raises a usage error for anything else."""
    found = {}
    known = {role.value: role for role in roles}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            found[known[name]] = read(value)
        except KeyError:
            raise click.BadParameter(
                f"{part.strip()!r} is not ROLE=VALUE with {' or '.join(known)}", param_hint=option
            ) from None
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from None
    return found


def _seconds(text: str) -> float:
    from models.units import duration_s

    return duration_s(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a count of at least 1")
    return int(text)


@contextmanager
def _progress(names: Sequence[str]) -> Iterator[Callable[[str, float], None]]:
    """Show a bar per policy on stderr while a person watches it."""
    if not sys.stderr.isatty():
        yield lambda name, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {name: bars.add_task(name, total=1.0) for name in names}
        yield lambda name, share: bars.update(tasks[name], completed=share)


def _gather(
    deployment: Deployment,
    policy: TickPolicy,
    stage: Stage,
    results: tuple[PolicyResult, ...],
    settings: Mapping[str, str],
) -> ReplayResult:
    from models.simulation.scorecard import ReplayResult

    artifact = deployment.profile.artifact
    return ReplayResult(
        deployment=deployment.name,
        trace=stage.trace,
        model=deployment.model,
        hardware=artifact.hardware,
        layouts={role: layout.parallelism.name for role, layout in stage.layouts.items()},
        gpus_per_replica={role: layout.gpus for role, layout in stage.layouts.items()},
        budget_gpus=stage.budget_gpus,
        start_s=stage.scale.origin_s,
        end_s=stage.scale.story_s(stage.workload.span_s),
        interval_s=stage.interval_s,
        seed=stage.seed,
        policies=results,
        config_digest=policy.config_digest,
        profile_digest=deployment.profile.digest,
        version=deployment.served.version,
        settings=settings,
        classes=stage.classes,
        target_attainment=policy.plan.attainment,
    )


def _settings(stage: Stage, rate_scale: float) -> dict[str, str]:
    """Say what a reader needs to repeat and to judge the replay."""
    from models.units import show_duration

    found = {
        "router": stage.router.value,
        "start-up": ", ".join(f"{role} {show_duration(s)}" for role, s in stage.startup_s.items()),
        "history": "from before the trace" if stage.history else "none",
    }
    if rate_scale != 1.0:
        found["rate scale"] = f"{rate_scale:g}"
    if stage.compression > 1:
        found["time"] = (
            f"each minute is {60 / stage.compression:.3g} s of traffic at its true rate; start-up and drain "
            "are compressed alike, and so is the time in which a queue builds up; demand is counted on "
            "as many fewer requests"
        )
    return found


def _plain(result: ReplayResult) -> dict[str, Any]:
    """Return what `-o json` writes: the verdict without the timelines, which the report draws."""
    from models import codec

    whole = codec.to_plain(replace(result, policies=tuple(replace(p, timeline=()) for p in result.policies)))
    for policy in whole["policies"]:
        del policy["timeline"]
    return {"schema": "headgate/replay/v1", **whole}
