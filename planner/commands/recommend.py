"""Make recommendations from live metrics: what a tick would decide now, or at a moment of the past."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import FILE, Quantity
from planner.commands.options import cluster_options, config_option, output_option, profile_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.errors import ObserveError
    from models.observation import Gap
    from models.plan.outlook import Outlook
    from planner.commands.answer import Answer
    from planner.recommend import Asked, Recommendation
    from planner.wiring import Connected, Deployment, Live

CHANGE, HELD = 3, 4
_AT_FLOORS = (
    "taken at their floors, settled; for the real ones name each pool's `target`, or say --cluster-state"
)
_FIRST_YEAR = 2000
# The default is what a running planner keeps (planner.history.SPAN_S), so that a restart forgets nothing.
_HISTORY = Quantity("duration", 0.0, 366 * 86_400.0)


class Moment(click.ParamType[float]):
    """Read an RFC 3339 time as Unix seconds."""

    name = "rfc3339"

    def __init__(self, first_year: int = _FIRST_YEAR) -> None:
        """Refuse times before a year in which nothing can have been measured."""
        self._first_year = first_year

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return Unix seconds; a time without a zone is a usage error."""
        if isinstance(value, float):
            return value
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail(f"{value!r} is not a time; write for example 2026-11-27T09:30:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no time zone; add Z for UTC", param, ctx)
        if moment.year < self._first_year:
            self.fail(f"{value!r} lies before {self._first_year}, when nothing was measured", param, ctx)
        return moment.timestamp()


@click.command("recommend")
@config_option
@profile_option
@click.option("--at", type=Moment(), help="Moment to look at, RFC 3339, such as 2026-11-27T09:30:00Z. [now]")
@click.option(
    "--cluster-state",
    type=FILE,
    help="YAML or JSON with the pools; default: the cluster's, where the configuration names targets, else "
    "all at their floors.",
)
@cluster_options
@click.option("--history", type=_HISTORY, default="28d", show_default=True, help="How much to read back.")
@click.option("--exit-code", is_flag=True, help="Exit 3 when a change is recommended, 4 when held.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
@output_option("table", "wide", "json", "yaml", "csv", "markdown", "html")
def command(
    config_path: Path,
    deployment: str | None,
    profile_path: Path | None,
    at: float | None,
    cluster_state: Path | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    history: float,
    exit_code: bool,
    report: Path | None,
    output: str,
) -> None:
    """Say what would be run, and why, without touching anything.

    Reads the history of demand back from Prometheus, forecasts it, sizes the pools and passes the result
    through the same guards as the scaler. What could not be read is listed as unknown. Without --deployment
    all deployments of the file are answered; those that share a pool of GPUs divide it.
    """
    from models.errors import ObserveError
    from planner import wiring
    from planner.clock import SystemClock
    from planner.commands.recommended import written
    from planner.recommend import recommend_together

    now_s = SystemClock().now_s()
    if at is not None and at > now_s + 60:
        raise click.BadParameter("lies in the future; nothing was measured there yet", param_hint="--at")
    loaded = wiring.read_config(config_path)
    wanted = [deployment] if deployment else [each.name for each in loaded.settings.deployments]
    if profile_path is not None and len(wanted) > 1:
        raise click.UsageError(f"--profile is for one deployment; say --deployment {'|'.join(wanted)}")
    # Who shares a pool with what is asked for is looked at too: it has a claim on the same GPUs.
    names = wiring.pool_mates(loaded, wanted[0]) if deployment else wanted
    chosen = {n: wiring.deployment(loaded, n, profile_path if n in wanted else None) for n in names}
    # What a cluster holds now says nothing of the past.
    stated = cluster_state is not None or at is not None or not any(map(wiring.has_targets, chosen.values()))
    connected = None if stated else _connected(kubeconfig, context, namespace)
    lives = {name: wiring.live(each, cluster_state, None, connected) for name, each in chosen.items()}
    made = recommend_together(
        now_s if at is None else at, _asked(chosen, lives, connected, at is not None), history
    )
    seen = {name for name, each in chosen.items() if connected is not None and wiring.has_targets(each)}
    answers = [
        replace(
            _answer(name, made[name], lives[name], cluster_state is not None or name in seen),
            checked=name in seen,
            outlook=_outlook(made[name], chosen[name]),
            patches=_patches(made[name], chosen[name], connected) if name in seen else (),
        )
        for name in wanted
    ]
    if not any(each.made for each in answers):
        raise ObserveError(answers[0].error)
    if report is not None:
        _write_report(answers, report)
    click.echo(written(answers, output, alone=len(wanted) == 1), nl=False)
    if exit_code:
        sys.exit(_status(answers))


def _asked(
    chosen: Mapping[str, Deployment], lives: Mapping[str, Live], connected: Connected | None, past: bool
) -> dict[str, Asked]:
    """Gather what each deployment is recommended from; of the past nothing was learned of start-ups.

    A cluster that was asked for the pools checks what would be changed in them, and keeps none of it.
    """
    from planner import wiring
    from planner.act.dryrun import DryRun
    from planner.acting import checking
    from planner.commands.resuming import learner
    from planner.learning.error_budget import ErrorBudget
    from planner.recommend import Asked

    seats = wiring.pool_seats(list(chosen.values()))
    return {
        name: Asked(
            lives[name].observer,
            lives[name].history,
            lives[name].forecaster,
            each.policy,
            each.served,
            None if past else learner(each),
            seats.get(name),
            ErrorBudget(each.served.layouts, lives[name].forecaster.history),
            DryRun()
            if connected is None or not wiring.has_targets(each)
            else checking(each, connected.cluster, connected.namespace),
        )
        for name, each in chosen.items()
    }


def _outlook(made: Recommendation | ObserveError, chosen: Deployment) -> Outlook | None:
    """Return what the recommended change is worth; `None` where it cannot be judged."""
    from models.errors import ObserveError
    from models.plan.outlook import outlook
    from models.speed import corrected
    from planner.tick import planned_with

    if isinstance(made, ObserveError):
        return None
    record, layouts = made.record, chosen.served.layouts
    policy = planned_with(chosen.policy.plan, record.readiness, record.share, record.burn_rate)
    fleets = record.decision.current, record.decision.final
    return outlook(record.observation, record.forecast, corrected(layouts, policy.pools), policy, fleets)


def _patches(
    made: Recommendation | ObserveError, chosen: Deployment, connected: Connected | None
) -> tuple[Mapping[str, Any], ...]:
    """Return the exact patches that would apply the decision, each with what the server says of it."""
    from models.errors import ObserveError
    from planner.acting import checking

    if isinstance(made, ObserveError) or connected is None or not made.record.decision.changes:
        return ()
    asked = checking(chosen, connected.cluster, connected.namespace)
    checked = asked.check(made.record.decision, made.record.observation)
    return tuple(
        {
            "object": str(patch.of),
            "subresource": patch.subresource,
            "operations": [dict(each) for each in patch.operations],
            "command": patch.command(),
            "verdict": verdict,
        }
        for patch, verdict in checked.patches
    )


def _connected(kubeconfig: Path | None, context: str | None, namespace: str | None) -> Connected:
    from models.errors import ConfigError
    from planner import wiring

    try:
        return wiring.connect(kubeconfig, context, namespace)
    except ConfigError as error:
        raise ConfigError(f"{error}, or state the pools with --cluster-state FILE") from None


def _answer(name: str, made: Recommendation | ObserveError, live: Live, pools_known: bool) -> Answer:
    """Return one deployment's answer with all that is unknown."""
    from models.errors import ObserveError
    from models.observation import Gap
    from planner.commands.answer import Answer

    if isinstance(made, ObserveError):
        return Answer(name, None, error=str(made))
    extra = _missing(live, made)
    if not pools_known:
        extra += (Gap("pools", _AT_FLOORS),)
    return Answer(name, made, extra)


def _missing(live: Live, made: Recommendation) -> tuple[Gap, ...]:
    """Return what the preset names and Prometheus lacks, unless the tick has already said so."""
    from models.errors import ObserveError

    try:
        missing = live.check(made.record.observation.at_s)
    except ObserveError:
        # The tick met the same server and told.
        return ()
    told = {gap.what for gap in made.gaps}
    return tuple(gap for gap in missing if gap.what not in told or gap.what.startswith("demand"))


def _status(answers: Sequence[Answer]) -> int:
    decisions = [each.made.record.decision for each in answers if each.made is not None]
    if any(decision.changes for decision in decisions):
        return CHANGE
    return HELD if len(decisions) < len(answers) or any(d.held for d in decisions) else 0


def _write_report(answers: Sequence[Answer], path: Path) -> None:
    from models.render.outlook_lines import outlook_lines
    from models.render.recommendation_page import render
    from planner.commands.reportfile import write_report

    records = [each.whole_record() for each in answers if each.made is not None]
    if records:
        told = {each.deployment: outlook_lines(each.outlook) for each in answers}
        write_report(render(records, told), path)
