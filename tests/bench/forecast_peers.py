"""Set our forecasts beside those of peers: `python -m tests.bench.forecast_peers [--quick] [SERIES ...]`.

The peers are Dynamo's four load predictors and statsforecast's automatic models, on real series. All get the
conformal bands that ours get, so that only the forecast differs. Ratios are pinball losses at 0.9, ours over
the other's, on the origins that both answered: under 1 is better.
"""

import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.forecast.backtest import pinball
from models.forecast.outages import without_outages
from models.forecast.trial import Trial, judge
from models.policy import FORECASTERS, USUAL_FORECASTERS, ForecastPolicy
from models.series import Floats, Series
from planner.observe.seriesfile import read_series
from tests.bench.peer_points import Peer, peers
from tests.components import trace

LEVEL = 0.9
# Leaves out the peers that take minutes.
QUICK = "--quick"
# Leaves out all peers, and lets those models compete that do where a configuration names none.
USUAL = "--usual"
DAY_S = 86_400.0
MINUTE_S, HOUR_S = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Case:
    """Name a series, how to read it, how far ahead it is judged, and how much of its end (`None`: half)."""

    read: Callable[[], Series]
    horizons_s: tuple[float, ...]
    judged_s: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Hold the verdict on ours, and by peer and horizon our loss over its loss, and its coverage."""

    trial: Trial
    ratio: dict[str, Floats]
    coverage: dict[str, Floats]


def conversation() -> Series:
    """Return azure_llm_2024_conv: requests per minute of a week (digitised)."""
    return read_series(trace("azure_llm_2024_conv_week_1min.csv.gz"))[0].series


def servegen() -> Series:
    """Return servegen_m-small at its real ten minutes; its outages are gaps for peers as well."""
    return without_outages(read_series(trace("servegen_m-small_10min_real.csv"), ["rps"])[0].series)[0]


def burstgpt() -> Series:
    """Return the hourly conversation counts of BurstGPT; its days carry no date."""
    with trace("burstgpt_hourly_days_0_34.csv").open(newline="") as file:
        return Series.of([float(row["conversation"]) for row in csv.DictReader(file)], step_s=HOUR_S)


def nyc_taxi() -> Series:
    """Return the half-hourly taxi counts of New York."""
    return read_series(trace("nyc_taxi.csv.gz"))[0].series


CASES = {
    "conv": Case(conversation, (5 * MINUTE_S, 15 * MINUTE_S, 30 * MINUTE_S, HOUR_S)),
    "servegen": Case(servegen, (20 * MINUTE_S, 30 * MINUTE_S, HOUR_S)),
    "burstgpt": Case(burstgpt, (HOUR_S, 2 * HOUR_S, 4 * HOUR_S)),
    # Seven months at half hours: the last thirty days are enough.
    "nyc_taxi": Case(nyc_taxi, (30 * MINUTE_S, HOUR_S, 2 * HOUR_S), 30 * DAY_S),
}


def measure(name: str, policy: ForecastPolicy, quick: bool | None = False) -> Result:
    """Judge ours on one series, and every peer beside it; none where `quick` is not said."""
    case = CASES[name]
    series = case.read()
    from_s = None if case.judged_s is None else series.end_s - case.judged_s
    trial = judge(name, series, policy, case.horizons_s, LEVEL, time.perf_counter, from_s)
    ratio, coverage = {}, {}
    for peer in () if quick is None else peers(series, trial.lived, policy, LEVEL, quick):
        ratio[peer.name], coverage[peer.name] = beside(trial, peer)
    return Result(trial, ratio, coverage)


def beside(trial: Trial, peer: Peer) -> tuple[Floats, Floats]:
    """Return, per horizon, our loss over the peer's on common origins, and the peer's coverage there."""
    lived = trial.lived
    _, ours, theirs = np.intersect1d(np.rint(lived.origins_s), np.rint(peer.origins_s), return_indices=True)
    actual, mine, other = lived.actual[ours], lived.selected.high[ours], peer.high[theirs]
    unknown = np.isnan(actual + mine + other)
    lost = [
        np.where(unknown, np.nan, pinball(actual, quantile, trial.quantile)) for quantile in (mine, other)
    ]
    hit = np.where(unknown, np.nan, actual <= other)
    return np.nanmean(lost[0], axis=0) / np.nanmean(lost[1], axis=0), np.nanmean(hit, axis=0)


def run(names: Sequence[str] = (), quick: bool = False, usual: bool = False) -> dict[str, str]:
    """Measure the named series, or all; `quick` without the peers that take minutes, `usual` without any."""
    policy = ForecastPolicy(forecasters=USUAL_FORECASTERS if usual else FORECASTERS)
    figures, results = {}, []
    for name in names or CASES:
        result = measure(name, policy, None if usual else quick)
        results.append(result)
        figures.update(_figures(result))
    return {**figures, **_summary(results)}


def _figures(result: Result) -> dict[str, str]:
    trial, found = result.trial, {}
    for j, cell in enumerate(trial.cells):
        best = cell.best()
        assert best is not None
        assert best.pinball is not None
        assert trial.mean is not None
        assert cell.selected.pinball is not None
        key = f"{trial.name} at {cell.horizon_s / MINUTE_S:.0f} min"
        found[key] = (
            f"pinball {100 * cell.selected.pinball / trial.mean:.2f} % of mean, coverage "
            f"{cell.selected.coverage:.3f}, {cell.versus_best():.3f} of the best in hindsight "
            f"({best.model}), {cell.origins} origins"
        )
        for peer, ratio in result.ratio.items():
            found[f"{key} over {peer}"] = f"{ratio[j]:.3f} (it covers {result.coverage[peer][j]:.3f})"
    return found


def _summary(results: Sequence[Result]) -> dict[str, str]:
    found = {}
    versus = [v for r in results for c in r.trial.cells if (v := c.versus_best()) is not None]
    found["over the best candidate, all cells"] = f"mean {np.mean(versus):.3f}, worst {max(versus):.3f}"
    for peer in results[0].ratio:
        cells = np.concatenate([r.ratio[peer] for r in results])
        found[f"over {peer}, all cells"] = f"geometric mean {_geometric(cells):.3f}, worst {cells.max():.3f}"
    return found


def _geometric(ratios: Floats) -> float:
    return float(np.exp(np.log(ratios).mean()))


def main(names: Sequence[str]) -> None:
    """Print one line a figure."""
    quick, usual = QUICK in names, USUAL in names
    names = [name for name in names if name not in (QUICK, USUAL)]
    if unknown := set(names) - set(CASES):
        sys.exit(f"no series {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    for figure, value in run(names, quick, usual).items():
        print(f"  {figure:<48} {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
