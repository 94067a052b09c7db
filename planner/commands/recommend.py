"""Make one recommendation from live metrics: what a tick would decide now, or at a moment of the past."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import FILE, Quantity
from planner.commands.options import config_option, output_option, profile_option

if TYPE_CHECKING:
    from models.observation import Gap
    from models.prediction import SignalForecast
    from planner.recommend import Recommendation
    from planner.wiring import Live

CHANGE, HELD = 3, 4
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
@click.option("--cluster-state", type=FILE, help="YAML or JSON with the pools; default: all at their floors.")
@click.option("--history", type=_HISTORY, default="28d", show_default=True, help="How much to read back.")
@click.option("--exit-code", is_flag=True, help="Exit 3 when a change is recommended, 4 when held.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
@output_option("table", "wide", "json", "yaml")
def command(
    config_path: Path,
    deployment: str | None,
    profile_path: Path | None,
    at: float | None,
    cluster_state: Path | None,
    history: float,
    exit_code: bool,
    report: Path | None,
    output: str,
) -> None:
    """Say what would be run, and why, without touching anything.

    Reads the history of demand back from Prometheus, forecasts it, sizes both pools and passes the result
    through the same guards as the scaler. What could not be read is listed as unknown.
    """
    from models.observation import Gap
    from planner import wiring
    from planner.clock import SystemClock
    from planner.commands.resuming import time_to_ready
    from planner.recommend import recommend

    now_s = SystemClock().now_s()
    if at is not None and at > now_s + 60:
        raise click.BadParameter("lies in the future; nothing was measured there yet", param_hint="--at")
    chosen = wiring.deployment(wiring.read_config(config_path), deployment, profile_path)
    live = wiring.live(chosen, cluster_state)
    made = recommend(
        now_s if at is None else at,
        live.observer,
        live.history,
        live.forecaster,
        chosen.policy,
        chosen.served,
        history,
        time_to_ready(chosen) if at is None else None,
    )
    extra = _missing(live, made)
    if cluster_state is None:
        extra += (Gap("pools", "taken at their floors, settled; say --cluster-state FILE for the real ones"),)
    if report is not None:
        from planner.commands.reportfile import write_report

        write_report(_page(made, extra), report)
    click.echo(_written(made, extra, output), nl=False)
    if exit_code:
        sys.exit(_status(made))


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


def _status(made: Recommendation) -> int:
    if made.record.decision.changes:
        return CHANGE
    return HELD if made.record.decision.held else 0


def _written(made: Recommendation, extra: tuple[Gap, ...], output: str) -> str:
    if output == "json":
        return json.dumps(_plain(made, extra), indent=2) + "\n"
    if output == "yaml":
        from config.yamltext import write_yaml

        return write_yaml(_plain(made, extra))
    return _table(made, extra, wide=output == "wide")


def _page(made: Recommendation, extra: tuple[Gap, ...]) -> str:
    """Return the report; it tells everything that is unknown, not only what the tick itself lacked."""
    from models.render.recommendation_page import render

    seen = made.record.observation
    # The tick's own gaps stay in front: the first of them is the one that a held decision names.
    gaps = tuple(dict.fromkeys((*seen.gaps, *made.gaps, *extra)))
    return render(replace(made.record, observation=replace(seen, gaps=gaps)))


def _table(made: Recommendation, extra: tuple[Gap, ...], wide: bool) -> str:
    from models.render.tables import recommendation_table

    lines = [recommendation_table(made.record, wide), *_demand_lines(made)]
    # The table tells what the observation lacked; these come from elsewhere.
    elsewhere = [gap for gap in (*made.gaps, *extra) if gap not in made.record.observation.gaps]
    lines += [f"Unknown: {gap.what}: {gap.reason}" for gap in elsewhere]
    return "\n".join(lines) + "\n"


def _demand_lines(made: Recommendation) -> list[str]:
    """Say what demand was seen, over which window."""
    from models.units import show_count, show_duration

    seen = made.record.observation
    if seen.demand_at_s is None:
        return ["Demand: unknown."]
    window = f"over {show_duration(seen.window_s)} to {_time(seen.demand_at_s)}"
    lines = []
    for name, demand in seen.demand.items():
        parts = [
            f"{show_count(value)} {unit}"
            for value, unit in (
                (demand.arrivals_rps, "requests/s"),
                (demand.prefill_tokens_per_s, "prefill tokens/s"),
                (demand.decode_tokens_per_s, "decode tokens/s"),
            )
            if value is not None
        ]
        lines.append(f"Demand of {name} {window}: {', '.join(parts) or 'unknown'}.")
    return lines


def _plain(made: Recommendation, extra: tuple[Gap, ...]) -> dict[str, Any]:
    """Return the recommendation as plain data: `headgate/recommendation/v1`."""
    from models import codec
    from models.readiness import with_readiness

    record = made.record
    plan = with_readiness(made.policy.plan, record.readiness)
    seen, horizon_s = record.observation, plan.ready_horizon_s()
    return {
        "schema": "headgate/recommendation/v1",
        "deployment": record.deployment,
        "at": _time(seen.at_s),
        "change": bool(record.decision.changes),
        "held": record.decision.held,
        "summary": str(record.decision),
        "demand": {
            "window_s": seen.window_s,
            "measured_at": None if seen.demand_at_s is None else _time(seen.demand_at_s),
            "age_s": seen.demand_age_s,
            "classes": codec.to_plain(dict(seen.demand)),
        },
        "latency": codec.to_plain(dict(seen.latency)),
        "queue": None if seen.queue is None else codec.to_plain(seen.queue),
        "pools": codec.to_plain(dict(seen.pools)),
        "start_up": {
            role: {key: value for key, value in codec.to_plain(each).items() if key != "seen"}
            for role, each in record.readiness.items()
        },
        "history": codec.to_plain({name: dict(one) for name, one in made.history.items()}),
        "forecast": {
            "horizon_s": horizon_s,
            "classes": {
                name: {signal.value: _forecast(path, horizon_s) for signal, path in signals.items()}
                for name, signals in record.forecast.signals.items()
            },
            "reasons": list(record.forecast.reasons),
        },
        "sizing": None if record.sizing is None else codec.to_plain(record.sizing),
        "decision": codec.to_plain(record.decision),
        "outcome": codec.to_plain(record.outcome),
        "gaps": [{"what": gap.what, "reason": gap.reason} for gap in (*made.gaps, *extra)],
        "config_digest": record.config_digest,
        "profile_digest": record.profile_digest,
        "version": record.version,
    }


def _forecast(path: SignalForecast, horizon_s: float) -> dict[str, Any]:
    """Return the quantiles of the highest demand until new capacity could be ready."""
    return {
        "quantiles": dict(zip((f"{level:g}" for level in path.levels), path.peak(horizon_s), strict=True)),
        "model": path.model,
        "why": path.why,
        "fallback": path.fallback,
        "coverage": path.coverage,
    }


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
