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

from config.commandline import FILE, FiniteRange
from planner.commands.options import config_option, output_option, profile_option
from planner.commands.reportfile import check_folder, write_report

if TYPE_CHECKING:
    from models.equipping import EnginePolicy
    from models.policy import PlanPolicy, TickPolicy
    from models.simulation.failures import Failures
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
    "--policy",
    default=_POLICIES,
    show_default=True,
    help="Policies, with commas between them. static:P,D is a constant fleet; headgate-reactive is headgate "
    "without its forecast, headgate-perfect headgate that knows the future; oracle is the cheapest path that "
    "keeps the promises, found by replaying some ten.",
)
@click.option(
    "--rate-scale",
    type=FiniteRange(1e-6, 1e6),
    default=1.0,
    show_default=True,
    help="Scale the request rate; its shape stays.",
)
@click.option("--startup", help="Start-up times, such as prefill=120s,decode=3m; override the configuration.")
@click.option("--initial", help="Fleet at the start, such as prefill=2,decode=2; default: sized.")
@click.option("--router", type=click.Choice(["load", "round-robin", "random"]), help="Override the router.")
@click.option(
    "--prefix-cache/--no-prefix-cache",
    default=None,
    help="Honour the block hashes of the trace, or ignore them; default: as engine.prefix_cache says.",
)
@click.option(
    "--mtbf", help="Mean time to failure of a replica, such as prefill=12h,decode=6h; default: none."
)
@click.option(
    "--on-failure",
    type=click.Choice(["retry", "lose"]),
    default="retry",
    show_default=True,
    help="What becomes of requests whose replica dies.",
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seed.")
@click.option("--jobs", type=click.IntRange(1), help="Policies replayed at once; default: one per core.")
@click.option("--out", type=FILE, help="Write an HTML report to this file.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the records of each policy in a folder of its name in here, to be read by `headgate report` "
    "and `headgate explain`; static-peak and the oracle keep none.",
)
@output_option("table", "wide", "json")
def command(
    output: str, out: Path | None, journal: Path | None, policy: str, jobs: int | None, **asked: Any
) -> None:
    """Replay a trace on a simulated fleet under several policies."""
    from planner.contest import Setup, contest, split_names

    names = split_names(policy)
    if not names:
        raise click.BadParameter("name at least one policy", param_hint="--policy")
    if out is not None:
        check_folder(out, "--out")
    # What was mistyped is told before a long trace is read.
    deployment, tick_policy = _deployment(**asked)
    roles = tuple(deployment.served.layouts)
    _check_policies(names, roles)
    if journal is not None:
        _check_journal(journal, names)
    criteria = deployment.settings.readiness.to_policy()
    setup = Setup(tick_policy, deployment.served, _initial(asked["initial"], roles), journal, criteria)
    stage = _stage(deployment, tick_policy, **asked)
    with _progress(names) as watch:
        results = contest(names, stage, setup, watch, jobs)
    result = _gather(deployment, tick_policy, stage, results, _settings(stage, asked["rate_scale"]))
    _show(result, output)
    if out is not None:
        from models.render import replay_page

        # Last: a disk that is full then costs the report alone.
        write_report(replay_page.render(result), out)


def _deployment(
    config_path: Path, deployment: str | None, profile_path: Path | None, **asked: Any
) -> tuple[Deployment, TickPolicy]:
    """Read configuration and profile, and apply what the command line overrides."""
    from planner.wiring import deployment as build
    from planner.wiring import read_config

    overrides = _prefix_cache(asked["prefix_cache"])
    found = build(read_config(config_path), deployment, profile_path, overrides)
    plan = _overridden(found.policy.plan, asked["startup"], asked["router"])
    # A longer start-up needs a longer look ahead than the file's own times did.
    reach_s = max(found.policy.forecast.reach_s, plan.least_reach_s())
    policy = replace(found.policy, plan=plan, forecast=replace(found.policy.forecast, reach_s=reach_s))
    return found, policy


def _stage(found: Deployment, policy: TickPolicy, **asked: Any) -> Stage:
    """Read trace and history into what a contest takes."""
    from planner.staging import Asked, stage_for

    wanted = Asked(asked["trace"], asked["history"], asked["rate_scale"], asked["seed"])
    stage, notes = stage_for(wanted, policy, found.served.layouts, found.settings.matches())
    if found.pool is not None:
        alone = f"{found.name} has the whole pool {found.pool.name} here: what it shares with is not replayed"
        notes = (*notes, alone)
    for note in (*notes, *_idle_caches(stage)):
        click.echo(note, err=True)
    return replace(stage, failures=_failures(asked["mtbf"], asked["on_failure"], tuple(stage.layouts)))


def _prefix_cache(asked: bool | None) -> Callable[[EnginePolicy], EnginePolicy]:
    """Return what the command line makes of the stated engines."""
    from models.equipping import PrefixPolicy

    def change(stated: EnginePolicy) -> EnginePolicy:
        if asked is None:
            return stated
        return replace(stated, prefix_cache=(stated.prefix_cache or PrefixPolicy()) if asked else None)

    return change


def _idle_caches(stage: Stage) -> tuple[str, ...]:
    """Say when there is a prefix cache and nothing that could be found in it."""
    caches = any(layout.features.prefix_cache is not None for layout in stage.layouts.values())
    if not caches or stage.workload.blocks is not None:
        return ()
    return (f"{stage.trace} carries no block hashes: nothing is found in the prefix caches",)


def _failures(mtbf: str | None, on_failure: str, roles: Sequence[Role]) -> Failures | None:
    from models.simulation.failures import Failures

    means_s = _per_role("--mtbf", mtbf, roles, _lifetime)
    return Failures(mtbf_s=means_s, retried=on_failure == "retry") if means_s else None


def _check_policies(names: Sequence[str], roles: Sequence[Role]) -> None:
    from models.errors import ConfigError
    from planner.contest import check_name

    try:
        for name in names:
            check_name(name, roles)
    except ConfigError as error:
        raise click.BadParameter(str(error), param_hint="--policy") from None


def _check_journal(journal: Path, names: Sequence[str]) -> None:
    """Refuse to mix a replay's records with those of another."""
    from planner.contest import journal_name
    from planner.record.rotation import journal_files

    for name in names:
        folder = journal / journal_name(name)
        if journal_files(folder):
            raise click.BadParameter(
                f"{folder} holds a journal already; name another folder", param_hint="--journal"
            )


def _initial(text: str | None, roles: Sequence[Role]) -> dict[Role, int] | None:
    initial = _per_role("--initial", text, roles, _count)
    missing = [role for role in roles if initial and role not in initial]
    if missing:
        raise click.BadParameter(f"say a count for {missing[0]} as well", param_hint="--initial")
    return initial or None


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
    found: dict[Role, Value] = {}
    known = {role.value: role for role in roles}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in known:
            raise click.BadParameter(
                f"{part.strip()!r} is not ROLE=VALUE with {' or '.join(known)}", param_hint=option
            )
        if known[name] in found:
            raise click.BadParameter(f"{name} is given twice", param_hint=option)
        try:
            found[known[name]] = read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from None
    return found


def _seconds(text: str) -> float:
    from models.policy import LONGEST_STARTUP_S
    from models.units import duration_s, show_duration

    seconds = duration_s(text)
    if seconds > LONGEST_STARTUP_S:
        raise ValueError(f"{text!r} is longer than {show_duration(LONGEST_STARTUP_S)}, the longest start-up")
    return seconds


def _lifetime(text: str) -> float:
    from models.units import duration_s

    seconds = duration_s(text)
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time to live")
    return seconds


def _count(text: str) -> int:
    from models.policy import MOST_REPLICAS

    # The length first: Python refuses to read numbers of thousands of digits.
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_REPLICAS:
        raise ValueError(f"{text[:40]!r} is not a count from 1 to {MOST_REPLICAS}")
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
    from models.units import show_count, show_duration

    found = {
        "router": stage.router.value,
        "start-up": ", ".join(f"{role} {show_duration(s)}" for role, s in stage.startup_s.items()),
        "history": "from before the trace" if stage.history else "none",
    }
    caches = [x.features.prefix_cache for x in stage.layouts.values() if x.features.prefix_cache is not None]
    if caches and stage.workload.blocks is not None:
        found["prefix cache"] = f"{show_count(caches[0].tokens)} tokens a replica, block hashes honoured"
    if stage.failures is not None:
        means = ", ".join(f"{role} {show_duration(s)}" for role, s in stage.failures.mtbf_s.items())
        fate = "begin anew" if stage.failures.retried else "are lost"
        found["failures"] = f"mean time to one: {means}; requests {fate}"
    if rate_scale != 1.0:
        found["rate scale"] = f"{rate_scale:g}"
    if stage.compression > 1:
        found["time"] = (
            f"each minute is {60 / stage.compression:.3g} s of traffic at its true rate; start-up and drain "
            "are compressed alike, and so is the time in which a queue builds up; demand is counted on "
            "as many fewer requests"
        )
    return found


def _show(result: ReplayResult, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(_plain(result), indent=2))
        return
    from models.render.tables import replay_table

    click.echo(replay_table(result, wide=output == "wide"), nl=False)


def _plain(result: ReplayResult) -> dict[str, Any]:
    """Return what `-o json` writes: the verdict without the timelines, which the report draws."""
    from models import codec

    whole = codec.to_plain(replace(result, policies=tuple(replace(p, timeline=()) for p in result.policies)))
    for policy in whole["policies"]:
        del policy["timeline"]
    return {"schema": "headgate/replay/v1", **whole}
