"""Put demand together from samples: arrivals from counters, tokens from arrivals and recent lengths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.metric_names import MetricNames, Ratio
from models.mix import RequestMix
from models.observation import LatencyReading
from models.series import Flags, Floats, Series
from models.values import Signal
from planner.observe import counters
from planner.observe.histograms import Point, buckets, increases, mix, points, quantile
from planner.observe.samples import Samples

Lookup = Callable[[str], list[Samples]]

# History: lengths are means over this many minutes before each one, and then last this many more.
MEAN_STEPS = 10
LASTING_STEPS = 60


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Hold the counters that arrivals are read from, and the gauges that correct completions for it."""

    counters: Sequence[Samples]
    gauges: Sequence[Samples] = ()
    bias: str | None = None


@dataclass(frozen=True, slots=True)
class Lengths:
    """Hold recent request lengths: means in tokens, the cached share of prompts, and the mix."""

    mean_isl_tokens: float
    mean_osl_tokens: float
    cached_ratio: float
    mix: RequestMix

    @property
    def prefill_tokens(self) -> float:
        """Mean prompt tokens to compute per request."""
        return self.mean_isl_tokens * (1 - self.cached_ratio)


def first_with_data(names: Sequence[str], find: Lookup) -> list[Samples]:
    """Return the series of the first name that has any."""
    return next((found for name in names if (found := find(name))), [])


def choose_arrivals(names: MetricNames, find: Lookup) -> Arrivals | None:
    """Prefer requests started; otherwise completions and the change of what is inside, which is biased."""
    started = first_with_data(names.started, find)
    if started:
        return Arrivals(started)
    completed = first_with_data(names.completed, find)
    if not completed:
        return None
    inside = [s for name in names.in_flight for s in find(name)]
    how = "and the change of requests inside" if inside else "only"
    return Arrivals(
        completed,
        inside,
        f"read from {completed[0].name} {how}, since nothing counts requests as they start: "
        "late and low while a queue grows",
    )


def latest_window(
    arrivals: Arrivals, up: Sequence[Samples], targets: Sequence[str], window_s: float
) -> tuple[float, float] | None:
    """Return the end of the latest window that is wholly known (Unix seconds) and its arrivals per second."""
    ends = np.unique(np.concatenate([s.at_s for s in arrivals.counters]))[::-1]
    for end_s in ends:
        edges = np.array([end_s - window_s, end_s])
        total, known = arrivals_on(arrivals, up, targets, edges)
        if known[0]:
            return float(end_s), float(total[0]) / window_s
    return None


def arrivals_on(
    arrivals: Arrivals, up: Sequence[Samples], targets: Sequence[str], edges_s: Floats
) -> tuple[Floats, Flags]:
    """Return arrivals in each interval between edges and whether they are known."""
    found = counters.counts(arrivals.counters, up, edges_s, targets)
    if not arrivals.gauges:
        return found.values, found.known
    inside = np.diff(counters.levels(arrivals.gauges, edges_s))
    return np.where(found.known, np.maximum(found.values + inside, 0.0), 0.0), found.known


def recent_lengths(names: MetricNames, find: Lookup, begin_s: float) -> Lengths | None:
    """Return the lengths of requests that completed while these samples were taken; `None` without."""
    isl = _mean(names.input_ratios(), find, begin_s)
    osl = _mean(names.output_ratios(), find, begin_s)
    if isl is None or osl is None or isl <= 0:
        return None
    cached = cached_ratio(names, find, begin_s)
    both = [
        _points(histograms, mean, find, begin_s)
        for histograms, mean in ((names.input_tokens, isl), (names.output_tokens, osl))
    ]
    return Lengths(isl, osl, cached, mix(both[0], both[1], cached))


def cached_ratio(names: MetricNames, find: Lookup, begin_s: float) -> float:
    """Return the share of prompt tokens found in the prefix cache; 0 where nothing says so."""
    found = _mean(names.cached, find, begin_s)
    if found is None:
        gauges = first_with_data(names.cached_ratios, find)
        found = float(np.mean([s.values[-1] for s in gauges])) if gauges else 0.0
    return min(max(found, 0.0), 1.0)


def latency(names: MetricNames, find: Lookup, begin_s: float, from_s: float) -> LatencyReading:
    """Return latency quantiles of the requests after `from_s`."""

    def read(histograms: Sequence[str], q: float) -> float | None:
        series = first_with_data([f"{name}_bucket" for name in histograms], find)
        return quantile(buckets(series, begin_s, from_s), q)

    return LatencyReading(
        ttft_p50_s=read(names.ttft, 0.5),
        ttft_p90_s=read(names.ttft, 0.9),
        itl_p50_s=read(names.itl, 0.5),
        itl_p90_s=read(names.itl, 0.9),
        ttft_mean_s=_histogram_mean(names.ttft, find, begin_s, from_s),
        itl_mean_s=_histogram_mean(names.itl, find, begin_s, from_s),
    )


def _histogram_mean(histograms: Sequence[str], find: Lookup, begin_s: float, from_s: float) -> float | None:
    count = increases(first_with_data([f"{name}_count" for name in histograms], find), begin_s, from_s)
    total = increases(first_with_data([f"{name}_sum" for name in histograms], find), begin_s, from_s)
    return total / count if count > 0 and total > 0 else None


def history(
    names: MetricNames,
    arrivals: Arrivals,
    up: Sequence[Samples],
    find: Lookup,
    edges_s: Floats,
) -> Mapping[Signal, Series]:
    """Return the three signals on the grid of the edges; tokens are arrivals times recent mean lengths."""
    step_s = float(edges_s[1] - edges_s[0])
    total, known = arrivals_on(arrivals, up, names.target_labels, edges_s)
    rate = total / step_s
    isl = _moving(names.input_ratios(), find, edges_s)
    osl = _moving(names.output_ratios(), find, edges_s)
    cached = np.nan_to_num(_moving(names.cached, find, edges_s)).clip(0.0, 1.0)
    # Without arrivals there are no tokens, whatever their lengths would have been.
    none = known & (rate == 0)
    signals = {
        Signal.ARRIVALS: rate,
        Signal.PREFILL_TOKENS: isl * (1 - cached) * rate,
        Signal.DECODE_TOKENS: osl * rate,
    }
    return {
        signal: Series(
            float(edges_s[0]), step_s, np.where(none, 0.0, values), known & (none | np.isfinite(values))
        )
        for signal, values in signals.items()
    }


def _points(histograms: Sequence[str], mean: float, find: Lookup, begin_s: float) -> list[Point]:
    series = first_with_data([f"{name}_bucket" for name in histograms], find)
    return points(buckets(series, begin_s), mean)


def _mean(ratios: Sequence[Ratio], find: Lookup, begin_s: float) -> float | None:
    for ratio in ratios:
        whole = increases(find(ratio.whole), begin_s)
        if whole > 0 and find(ratio.part):
            return increases(find(ratio.part), begin_s) / whole
    return None


def _moving(ratios: Sequence[Ratio], find: Lookup, edges_s: Floats) -> Floats:
    """Return the ratio over the minutes before each step, NaN where nothing completed for long."""
    steps = len(edges_s) - 1
    for ratio in ratios:
        if not find(ratio.part) or not find(ratio.whole):
            continue
        part, whole = (_trailing(counters.rises(find(name), edges_s)) for name in (ratio.part, ratio.whole))
        found = np.divide(part, whole, out=np.full(steps, np.nan), where=whole > 1e-9)
        latest = np.maximum.accumulate(np.where(np.isfinite(found), np.arange(steps), -1))
        lasts = (latest >= 0) & (np.arange(steps) - latest <= LASTING_STEPS)
        return np.where(lasts, found[latest], np.nan)
    return np.full(steps, np.nan)


def _trailing(values: Floats) -> Floats:
    total = np.concatenate(([0.0], np.cumsum(values)))
    begin = np.maximum(np.arange(len(values)) + 1 - MEAN_STEPS, 0)
    return total[1:] - total[begin]
