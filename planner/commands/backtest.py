"""Judge forecasters side by side on a measured series: how good each was, and what would be selected."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import FILE, FiniteRange, Quantity
from planner.commands.options import output_option
from planner.commands.recommend import Moment
from planner.commands.reportfile import check_folder, write_report

if TYPE_CHECKING:
    from config.loading import Loaded
    from models.forecast.trial import Trial
    from models.policy import ForecastPolicy, PrometheusPolicy
    from planner.observe.seriesfile import Reading

# Nobody orders capacity further ahead, and the bands of a month rest on too few months.
_AHEAD = Quantity("duration", 1.0, 30 * 86_400.0)
_STEP = Quantity("duration", 1.0, 86_400.0)
_SPAN = Quantity("duration", 3600.0, 2 * 366 * 86_400.0)
# Prometheus keeps a resolution of its own; finer steps than the planner's grid repeat samples.
_QUERY_STEP_S = 60.0


@click.command("backtest")
@click.option("--series", type=FILE, help="CSV of a timestamp and one or more values a row; gzip or plain.")
@click.option("--column", "columns", multiple=True, help="Column to judge; repeat it to judge several.")
@click.option("--prometheus", "url", help="Base URL of a Prometheus API to read from, in place of a file.")
@click.option("--query", help="PromQL of the demand, such as 'sum(rate(requests_total[1m]))'.")
@click.option("--since", type=_SPAN, default="14d", show_default=True, help="How much to read with --query.")
@click.option("--step", type=_STEP, help="Length of a step. [file: the distance of its rows; query: 1m]")
@click.option("--horizon", help="How far ahead, such as 15m,60m. [5m,15m,30m,1h, or 1, 2 and 4 steps]")
@click.option(
    "--quantile",
    type=FiniteRange(0.5, 0.999, min_open=True),
    help="The quantile that is judged. [the operating level of the configuration, 0.9]",
)
@click.option("--train-until", type=Moment(1970), help="End of the training data, RFC 3339. [half way]")
@click.option("--config", "config_path", type=FILE, help="Take forecast settings and Prometheus from here.")
@click.option("--deployment", help="Deployment to take when the file defines several.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
@output_option("table", "wide", "json", "yaml")
def command(
    series: Path | None,
    columns: tuple[str, ...],
    horizon: str | None,
    quantile: float | None,
    train_until: float | None,
    config_path: Path | None,
    deployment: str | None,
    report: Path | None,
    output: str,
    **source: Any,
) -> None:
    """Judge forecasters side by side on a measured series.

    Trains on what came first, then lives through the rest as the planner would: fits on its schedule, sets
    bands by past errors, chooses. Shows what each forecaster cost, how often its quantile held, what would
    be selected and why.
    """
    ahead_s = _horizons(horizon)
    if report is not None:
        check_folder(report, "--report")
    loaded = _loaded(config_path, deployment)
    policy = _policy(loaded, deployment)
    readings = _read(series, columns, loaded, **source)
    trials = _judged(readings, policy, ahead_s, quantile or policy.operating_level, train_until)
    click.echo(_written(trials, output), nl=False)
    if report is not None:
        from models.render import backtest_page

        write_report(backtest_page.render(trials), report)


def _horizons(text: str | None) -> tuple[float, ...] | None:
    """Read `15m,60m`; raises a usage error for anything else."""
    if text is None:
        return None
    found = tuple(_AHEAD.convert(part.strip(), None, None) for part in text.split(",") if part.strip())
    if not found:
        raise click.BadParameter("name at least one horizon, such as 15m,60m", param_hint="--horizon")
    return found


def _loaded(config_path: Path | None, deployment: str | None) -> Loaded | None:
    if config_path is None:
        if deployment is not None:
            raise click.UsageError("--deployment names one of a configuration: give --config as well")
        return None
    from planner.wiring import read_config

    return read_config(config_path)


def _policy(loaded: Loaded | None, deployment: str | None) -> ForecastPolicy:
    from models.policy import FORECASTERS, ForecastPolicy

    if loaded is None:
        return ForecastPolicy(forecasters=FORECASTERS)
    return loaded.deployment(deployment).to_tick_policy(loaded.settings.interval_s).forecast


def _read(
    series: Path | None,
    columns: tuple[str, ...],
    loaded: Loaded | None,
    url: str | None,
    query: str | None,
    since: float,
    step: float | None,
) -> list[Reading]:
    """Read the file or ask the query; raises a usage error where neither or both are given."""
    if (series is None) == (query is None):
        raise click.UsageError("give either --series FILE, or --query PROMQL with --prometheus URL")
    if series is not None:
        if url is not None:
            raise click.UsageError("--prometheus is asked with --query, and not together with --series")
        from planner.observe.seriesfile import read_series

        return read_series(series, columns, step)
    if columns:
        raise click.UsageError("--column chooses from a file; a query says itself what it selects")
    from planner.clock import SystemClock
    from planner.observe.seriesquery import query_series
    from planner.wiring import prometheus_server

    server = prometheus_server(_access(loaded, url))
    step_s = round(step or _QUERY_STEP_S)
    return query_series(server, str(query), SystemClock().now_s(), since, step_s)


def _access(loaded: Loaded | None, url: str | None) -> PrometheusPolicy:
    """Return how to reach Prometheus: as the configuration says, at the URL of the command line if given."""
    from dataclasses import replace

    from pydantic import ValidationError

    from config.sources import PrometheusSettings

    configured = loaded.settings.prometheus if loaded else None
    if url is None:
        if configured is None:
            raise click.UsageError("--query needs --prometheus URL, or a --config with a prometheus section")
        return configured.to_policy()
    try:
        stated = PrometheusSettings(url=url).to_policy()
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(f"{url!r} {why}", param_hint="--prometheus") from None
    return replace(configured.to_policy(), url=stated.url) if configured else stated


def _judged(
    readings: Sequence[Reading],
    policy: ForecastPolicy,
    ahead_s: tuple[float, ...] | None,
    quantile: float,
    train_until_s: float | None,
) -> list[Trial]:
    import time
    from dataclasses import replace

    from models.forecast.trial import judge, usual_horizons

    trials = []
    for reading in readings:
        with _progress(reading.name) as watch:
            trial = judge(
                reading.name,
                reading.series,
                policy,
                ahead_s or usual_horizons(reading.series.step_s),
                quantile,
                time.perf_counter,
                train_until_s,
                watch,
            )
        trials.append(replace(trial, notes=(*reading.notes, *trial.notes)))
    return trials


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while a person watches it."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=1.0)
        yield lambda share: bars.update(task, completed=share)


def _written(trials: Sequence[Trial], output: str) -> str:
    if output in ("json", "yaml"):
        from models.render.backtest_plain import to_plain

        plain = to_plain(trials)
        if output == "json":
            return json.dumps(plain, indent=2, allow_nan=False) + "\n"
        from config.yamltext import write_yaml

        return write_yaml(plain)
    from models.render.backtest_grid import backtest_table

    return "\n".join(backtest_table(trial, wide=output == "wide") for trial in trials)
