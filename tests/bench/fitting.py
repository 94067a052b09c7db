"""Measure the fitting worker: what a day of fits costs, and whether ticks feel a worker that is busy."""

import resource
import time

import numpy as np

from models.policy import USUAL_FORECASTERS, ForecastPolicy
from models.series import Floats, Series
from models.values import Signal
from planner.fitting import Due, Subject
from planner.forecasting import Forecasting
from planner.worker import FittingWorker
from tests.demand import DAY_S, diurnal, everywhere, seen

POLICY = ForecastPolicy(forecasters=USUAL_FORECASTERS)
HOUR_S, MINUTE_S = 3600.0, 60.0
DEPLOYMENTS = 50
# What a planner remembers.
DAYS = 28
TICKS = 300


def run() -> dict[str, str]:
    """Measure the fits of one deployment, at first and over a day; then ticks beside them."""
    first_s, peak_mib = _fits(hours=0)
    day_s, _ = _fits(hours=24)
    share = DEPLOYMENTS * (day_s - first_s) / DAY_S
    idle, busy = _ticks(crowd=0), _ticks(crowd=40)
    ratio = float(np.median(busy) / np.median(idle))
    return {
        "first fits of a deployment, 3 signals of 28 days": f"{first_s:.1f} s of CPU, {peak_mib:.0f} MiB",
        "its fits of the next day": f"{day_s - first_s:.1f} s of CPU",
        f"worker of {DEPLOYMENTS} deployments": f"{100 * share:.1f} % of a core",
        "forecast of a tick, worker idle": _said(idle),
        "forecast of a tick, worker at work": f"{_said(busy)}, {ratio:.2f} times the median",
    }


def _fits(hours: int) -> tuple[float, float]:
    """Return CPU seconds and peak MiB of a worker that makes the first fits and those of some hours."""
    histories = {signal: diurnal(DAYS + 1, seed=i) for i, signal in enumerate(Signal)}
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    fitter = FittingWorker()
    for hour in range(hours + 1):
        for signal, series in histories.items():
            due = Due(series.start_s + DAYS * DAY_S + hour * HOUR_S)
            _await(fitter, Subject("shop", "chat", signal), due, series)
    fitter.stop()
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime, end.ru_maxrss / 1024


def _await(fitter: FittingWorker, subject: Subject, due: Due, series: Series) -> None:
    known = series.window(series.start_s, due.at_s)
    while fitter.pending(subject, due):
        assert fitter.fit(subject, due, lambda: known, POLICY).trouble is None
        time.sleep(0.01)


def _ticks(crowd: int) -> Floats:
    """Return milliseconds of each forecast, while the worker fits for a crowd of other subjects."""
    series = diurnal(DAYS + 1)
    end_s = series.start_s + DAYS * DAY_S
    fitter = FittingWorker()
    made = Forecasting(POLICY, ["chat"], 600.0, fitter=fitter, deployment="shop")
    made.seed(everywhere(series.window(series.start_s, end_s)))
    while not made.forecast(end_s).trusted:
        time.sleep(0.05)
    for signal in Signal:
        _await(fitter, Subject("shop", "chat", signal), Due(end_s, 1), series)
    for i in range(crowd):
        fitter.fit(Subject(f"other {i}", "chat", Signal.ARRIVALS), Due(end_s), lambda: series, POLICY)
    taken = []
    for i in range(TICKS):
        now_s = end_s + MINUTE_S * (i % 59 + 1)
        made.absorb(seen(now_s, 20.0))
        begin_s = time.perf_counter()
        made.forecast(now_s)
        taken.append(1e3 * (time.perf_counter() - begin_s))
    fitter.stop()
    return np.array(taken)


def _said(taken: Floats) -> str:
    return f"median {np.median(taken):.1f} ms, p99 {np.quantile(taken, 0.99):.1f} ms"
