"""Measure forecasts: time of a fit and of a tick, coverage and loss on recorded traffic."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from models.forecast.backtest import pinball
from models.forecast.base import NotYet
from models.forecast.signal import SignalFit, fit_signal, path
from models.forecast.staged import Memory
from models.policy import FORECASTERS, ForecastPolicy
from models.series import Floats, Series
from planner.forecasting import Forecasting
from tests.demand import DAY_S, changed, conversation_week, diurnal, everywhere, seen, two_real_weeks

POLICY = ForecastPolicy(forecasters=FORECASTERS)
HOUR = replace(POLICY, reach_s=3600.0)
HORIZONS_S = (300.0, 900.0, 1800.0, 3600.0)
ORIGIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Walk:
    """Hold what was forecast at the operating level and what came, shape (origins, horizons)."""

    quantile: Floats
    actual: Floats

    @property
    def coverage(self) -> Floats:
        """Share of actuals at or under the quantile, per horizon."""
        known = ~np.isnan(self.quantile + self.actual)
        return np.array(
            [(self.actual <= self.quantile)[known[:, j], j].mean() for j in range(known.shape[1])]
        )

    def loss(self, level: float) -> Floats:
        """Mean pinball loss per horizon, in percent of the mean demand."""
        return np.asarray(
            100 * np.nanmean(pinball(self.actual, self.quantile, level), axis=0) / np.nanmean(self.actual)
        )


def walk(series: Series, from_s: float, until_s: float, policy: ForecastPolicy = HOUR) -> Walk:
    """Live through a series: refit on schedule, forecast every five minutes, wait and compare."""
    operating = policy.levels.index(policy.operating_level)
    ahead_s = np.array([h for h in HORIZONS_S if h <= policy.reach_s])
    quantile, actual = [], []
    for now_s, fit in _fits(series, from_s, until_s, policy):
        said = path(fit, series.window(now_s - 7200.0, now_s), now_s, ahead_s)
        if said is not None:
            quantile.append(said.quantiles[operating])
            came = [series.at(now_s + h - series.step_s) for h in ahead_s]
            actual.append([np.nan if value is None else value for value in came])
    return Walk(np.array(quantile), np.array(actual))


def _fits(
    series: Series, from_s: float, until_s: float, policy: ForecastPolicy
) -> Iterator[tuple[float, SignalFit]]:
    fit, fitted_s, memory = None, -1.0, Memory()
    for now_s in np.arange(from_s, until_s, ORIGIN_S):
        due_s = policy.refit_s * np.floor(now_s / policy.refit_s)
        if due_s != fitted_s:
            memory.turn()
            fit, fitted_s = fit_signal(series, float(due_s), policy, memory), due_s
        if fit is not None and not isinstance(fit, NotYet):
            yield float(now_s), fit


def coverage_after_shift(ratio: float, positions: int = 100, ahead_s: float = 900.0) -> float:
    """Return the coverage of forecasts issued two horizons after demand changed its level.

    Each position is another history; models that are fitted to what came before the shift are fitted once.
    """
    week, memory = conversation_week(), Memory()
    hits = []
    for i in range(positions):
        at_s = week.start_s + 4 * DAY_S + i * (2.9 * DAY_S / positions) // 60.0 * 60.0
        minute = round((at_s - week.start_s) / 60.0)
        shifted = changed(week, minute, len(week), ratio)
        now_s = at_s + 2 * ahead_s
        fit = fit_signal(shifted, POLICY.refit_s * np.floor(now_s / POLICY.refit_s), POLICY, memory)
        assert not isinstance(fit, NotYet)
        offsets_s = 60.0 * np.arange(1.0, ahead_s / 60.0 + 1.0)
        said = path(fit, shifted.window(now_s - 7200.0, now_s), now_s, offsets_s)
        assert said is not None
        came = shifted.values[round((now_s - week.start_s) / 60.0) :][: len(offsets_s)]
        hits.append(came <= said.quantiles[POLICY.levels.index(POLICY.operating_level)])
    return float(np.mean(hits))


def _millis(call: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - begin))
    return median(taken)


def run() -> dict[str, str]:
    """Measure all of it; the recorded series are found through HEADGATE_TRACES."""
    return {**_speed(), **_costs(), **_recorded()}


def _speed() -> dict[str, str]:
    series = diurnal(14)
    fit = fit_signal(series, series.end_s, POLICY)
    assert not isinstance(fit, NotYet)
    recent = series.window(series.end_s - 7200.0, series.end_s)
    offsets_s = 60.0 * np.arange(1.0, 31.0)
    plain = replace(POLICY, forecasters=())
    fit_ms = _millis(lambda: fit_signal(series, series.end_s, plain), 15)
    path_ms = _millis(lambda: path(fit, recent, series.end_s, offsets_s), 200)
    made = Forecasting(POLICY, ["chat"], 600.0)
    made.seed(everywhere(series.window(0.0, series.end_s - DAY_S)))
    begin = time.process_time()
    for value, time_s in zip(series.values[-1440:], series.times_s[-1440:], strict=True):
        made.absorb(seen(float(time_s) + 60.0, float(value)))
        made.forecast(float(time_s) + 60.0)
    day_s = time.process_time() - begin
    return {
        "fit without slow models, 14 days of minutes": f"{fit_ms:.0f} ms",
        "path of one signal": f"{path_ms:.2f} ms",
        "day of one-minute ticks, 3 signals": f"{day_s:.1f} s of CPU",
    }


def _costs() -> dict[str, str]:
    """Fit one deployment, three signals of 14 days, with each slow model alone and with all of them."""
    figures = {}
    for step_s in (300.0, 60.0):
        histories = [diurnal(14, seed=i).resample(step_s) for i in range(3)]
        for names in (*((name,) for name in FORECASTERS), FORECASTERS):
            policy = replace(HOUR, forecasters=names)
            memories = [Memory() for _ in histories]
            first_s, again_s = (_deployment_s(histories, policy, memories) for _ in range(2))
            label = "all" if len(names) > 1 else names[0]
            figures[f"3 signals, 14 days at {step_s:.0f} s, {label}"] = (
                f"{first_s:.1f} s of CPU at first, {again_s:.2f} s again"
            )
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**figures, "peak memory of it": f"{peak_mib:.0f} MiB"}


def _deployment_s(histories: list[Series], policy: ForecastPolicy, memories: list[Memory]) -> float:
    begin_s = _cpu_s()
    for series, memory in zip(histories, memories, strict=True):
        fit_signal(series, series.end_s, policy, memory)
    return _cpu_s() - begin_s


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _recorded() -> dict[str, str]:
    figures = {}
    for name, series, first_day in (
        ("azure_llm_2024_conv", conversation_week(), 3),
        ("servegen_m-small", two_real_weeks(), 7),
    ):
        begin_s, end_s = series.start_s + first_day * DAY_S, series.end_s - 3600.0
        chosen = walk(series, begin_s, end_s)
        plain = walk(series, begin_s, end_s, replace(HOUR, enabled=False))
        level = HOUR.operating_level
        for j, horizon_s in enumerate(HORIZONS_S):
            lost, base = chosen.loss(level)[j], plain.loss(level)[j]
            figures[f"{name} at {horizon_s / 60:.0f} min"] = (
                f"coverage {chosen.coverage[j]:.3f} of 0.9, pinball {lost:.2f} % of mean, "
                f"last value {base:.2f} % ({100 * (lost / base - 1):+.0f} %)"
            )
    for ratio in (2.0, 0.5):
        figures[f"coverage 30 min after a shift of x{ratio:g}"] = f"{coverage_after_shift(ratio):.3f} of 0.9"
    return figures
