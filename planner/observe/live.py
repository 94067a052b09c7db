"""Observe demand through Prometheus and pools through whoever knows them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from models.errors import ObserveError
from models.metric_names import MetricNames
from models.observation import PARTIAL_GAP, ClassDemand, Gap, LatencyReading, Observation, PoolState
from models.policy import ClassMatch
from models.units import show_duration
from models.values import Role, Signal
from planner.observe import queries
from planner.observe.bursts import Bursts
from planner.observe.counters import MISSED_SCRAPES, needs_targets, scrape_interval_s
from planner.observe.demand import (
    Arrivals,
    Lengths,
    Lookup,
    arrivals_on,
    choose_arrivals,
    first_with_data,
    latency,
    latest_window,
    recent_lengths,
)
from planner.observe.histograms import named
from planner.observe.prometheus import PrometheusServer
from planner.observe.queries import Chunk, Matcher
from planner.observe.samples import Samples
from planner.observe.vanished import doubt
from planner.observe.waiting import Waiting, queue, waiting

# Raw samples read at each look, beside the window: enough to tell a pod that paused from one that is new.
LOOKBACK_S = 840.0

# Lengths come from completions of the last minutes, further back only when there were none.
LENGTHS_S = (600, 3600)
LENGTHS_STEP_S = 60

# Arrivals are counted in windows of at least this to tell how bursty they are.
BURST_S = 30.0

# Latency quantiles over less than two of those steps would often rest on nothing.
LATENCY_S = 120.0


class PoolSource(Protocol):
    """Know the pools."""

    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        """Return the pools per role; raises ObserveError when they cannot be seen."""
        ...


@runtime_checkable
class Doubting(Protocol):
    """Say what the last look at the pools lacked; an optional power of a PoolSource."""

    def gaps(self) -> tuple[Gap, ...]:
        """Return what was missing besides counts."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Say whose series are read: the served model, its classes, and labels that narrow every query."""

    model: str
    classes: Sequence[ClassMatch]
    labels: Mapping[str, str]

    def matchers(self, names: MetricNames) -> dict[str, tuple[Matcher, ...]]:
        """Return each class's matchers; a model label among the stated ones replaces the model's name."""
        return queries.class_matchers(self.classes, {names.model_label: self.model, **self.labels})


_UNREAD = Waiting(doubt="its demand is unknown")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one class showed: its demand and the moment at which that was true."""

    demand: ClassDemand
    at_s: float | None = None
    latency: LatencyReading | None = None
    waiting: Waiting = _UNREAD
    absent: bool = False

    @property
    def complete(self) -> bool:
        """Whether every signal is known; half a demand must not count as fresh."""
        return all(self.demand.value(signal) is not None for signal in Signal)


_NOTHING = _Seen(ClassDemand(None, None, None))


class PrometheusObserver:
    """Implement the Observer port; keeps each class's last known lengths for quiet hours."""

    def __init__(
        self,
        server: PrometheusServer,
        names: MetricNames,
        target: Target,
        pools: PoolSource,
        window_s: float = 60.0,
    ) -> None:
        """Prepare to look; raises ObserveError for classes that Prometheus cannot tell apart."""
        self._server = server
        self._names = names
        self._matchers = target.matchers(names)
        self._pools = pools
        self._window_s = window_s
        self._lookback_s = LOOKBACK_S + window_s
        self._lengths: dict[str, tuple[float, Lengths]] = {}
        self._bursts: dict[str, Bursts] = {}

    def observe(self, now_s: float) -> Observation:
        """Return demand over the latest complete window and the pools; what failed is a Gap.

        Raises ObserveError when the pools cannot be seen.
        """
        pools = self._pools.pools(now_s)
        gaps: list[Gap] = []
        seen: dict[str, _Seen] = {}
        for name in self._matchers:
            try:
                seen[name] = self._look(name, now_s, gaps)
            except ObserveError as error:
                # The next class would wait for the same server as long again.
                gaps.append(Gap("demand", str(error)))
                break
        self._settle_absent(seen, now_s, gaps)
        queued, unread = queue(
            self._names.waiting, {name: seen.get(name, _NOTHING).waiting for name in self._matchers}
        )
        gaps += [] if unread is None else [unread]
        gaps += self._noted()
        gaps += self._pools.gaps() if isinstance(self._pools, Doubting) else ()
        known = [s.at_s for s in seen.values() if s.at_s is not None and s.complete]
        return Observation(
            at_s=now_s,
            window_s=self._window_s,
            demand={name: seen.get(name, _NOTHING).demand for name in self._matchers},
            pools=pools,
            latency={name: s.latency for name, s in seen.items() if s.latency is not None},
            queue=queued,
            demand_at_s=min(known) if len(known) == len(self._matchers) else None,
            gaps=tuple(gaps),
        )

    def _look(self, name: str, now_s: float, gaps: list[Gap]) -> _Seen:
        names, matchers, back = self._names, self._matchers[name], show_duration(self._lookback_s)
        counted = (*names.started, *names.completed, *names.in_flight, *names.waiting)
        raw = named(
            self._server.instant(
                queries.latest(list(dict.fromkeys(counted)), matchers, self._lookback_s), now_s
            )
        )
        arrivals = choose_arrivals(names, raw)
        if arrivals is None:
            tried = " or ".join((*names.started, *names.completed))
            where = ", ".join(map(str, matchers))
            gaps.append(Gap(f"demand of {name}", f"no samples of {tried} with {where} in the last {back}"))
            return replace(_NOTHING, absent=True)
        if arrivals.bias is not None:
            gaps.append(Gap(f"arrivals of {name}", arrivals.bias))
        up = self._up(arrivals.counters, now_s)
        found = latest_window(arrivals, up, names.target_labels, self._window_s)
        if found is None:
            reason = f"no {show_duration(self._window_s)} without missing samples in the last {back}"
            gaps.append(Gap(f"demand of {name}", reason))
            return _NOTHING
        at_s, rate = found
        late_s = now_s - at_s - self._window_s - MISSED_SCRAPES * scrape_interval_s(arrivals.counters)
        if late_s > 0:
            ago = show_duration(now_s - at_s)
            gaps.append(Gap(f"demand of {name}", f"samples are missing since {ago} ago"))
        recent, begin_s, lengths = self._recent(name, now_s, gaps)
        held = waiting(first_with_data(names.waiting, raw), arrivals.counters, up, names.target_labels, now_s)
        return _Seen(
            ClassDemand(
                rate,
                _product(rate, lengths.prefill_tokens if lengths else None),
                _product(rate, lengths.mean_osl_tokens if lengths else None),
                lengths.mix if lengths else None,
                self._arrival_cv2(name, arrivals, up, at_s),
            ),
            at_s,
            latency(names, recent, begin_s, now_s - max(self._window_s, LATENCY_S)),
            _in_tokens(held, lengths),
        )

    def _arrival_cv2(
        self, name: str, arrivals: Arrivals, up: Sequence[Samples], until_s: float
    ) -> float | None:
        """Count arrivals in windows of two scrapes since the last look, and tell how bursty they are.

        Completions follow the batches of decode, not those of users: they tell nothing.
        """
        if arrivals.bias is not None:
            return None
        bursts = self._bursts.setdefault(name, Bursts())
        width_s = max(2.0 * scrape_interval_s(arrivals.counters), BURST_S)
        begin_s = max(bursts.ended_s or 0.0, until_s - self._lookback_s + width_s)
        first, last = math.ceil(begin_s / width_s - 1e-6), math.floor(until_s / width_s + 1e-6)
        if last > first:
            edges_s = width_s * np.arange(first, last + 1, dtype=np.float64)
            total, known = arrivals_on(arrivals, up, self._names.target_labels, edges_s)
            for i in np.flatnonzero(known).tolist():
                bursts.add(float(edges_s[i]), float(edges_s[i + 1]), float(total[i]))
        return bursts.cv2()

    def _recent(self, name: str, now_s: float, gaps: list[Gap]) -> tuple[Lookup, float, Lengths | None]:
        """Read histograms of recent completions; returns them, when they begin, and the lengths they tell."""
        names = self._names
        histograms = (*names.input_tokens, *names.output_tokens, *names.ttft, *names.itl)
        means = (f"{h}_{part}" for h in (*names.ttft, *names.itl) for part in ("sum", "count"))
        wanted = (*names.mean_counters(), *(f"{h}_bucket" for h in histograms), *means, *names.cached_ratios)
        selector = queries.selector(list(dict.fromkeys(wanted)), self._matchers[name])
        first: tuple[Lookup, float] | None = None
        for span_s in LENGTHS_S:
            end = int(now_s)
            try:
                series = self._server.range(selector, Chunk(end - span_s, end, LENGTHS_STEP_S))
            except ObserveError as error:
                # Arrivals are known all the same; the lengths of a while ago are better than nothing.
                gaps.append(Gap(f"request lengths of {name}", str(error)))
                series = []
            find, begin_s = named(series), min((float(s.at_s[0]) for s in series), default=now_s)
            first = first or (find, begin_s)
            lengths = recent_lengths(names, find, begin_s)
            if lengths is not None:
                self._lengths[name] = (now_s, lengths)
                return (*first, lengths)
        kept_s, kept = self._lengths.get(name, (now_s, None))
        reason = "no request completed in the last hour"
        if kept is not None:
            reason += f"; those of {show_duration(max(now_s - kept_s, 1.0))} ago are used"
        gaps.append(Gap(f"request lengths of {name}", reason))
        return (*(first or (named([]), now_s)), kept)

    def _settle_absent(self, seen: dict[str, _Seen], now_s: float, gaps: list[Gap]) -> None:
        """Take a class for idle when its series are gone and those who exported them still answer."""
        known = [s.at_s for s in seen.values() if s.at_s is not None]
        for name in [n for n, s in seen.items() if s.absent and known]:
            window = (min(known) - self._window_s, min(known))
            try:
                why = doubt(self._server, self._names, self._matchers[name], window, now_s)
            except ObserveError as error:
                why = str(error)
            if why is None:
                seen[name] = _Seen(ClassDemand(0.0, 0.0, 0.0), window[1], waiting=Waiting())
                why = "taken as none: its targets answer, it is idle"
            gaps.append(Gap(f"demand of {name}", why))

    def _up(self, series: Sequence[Samples], now_s: float) -> list[Samples]:
        """Ask how the scrapes of these targets went, when their series leave it open."""
        if not needs_targets(series):
            return []
        matchers = target_matchers(series, self._names.target_labels)
        return self._server.instant(queries.latest(["up"], matchers, self._lookback_s), now_s)

    def _noted(self) -> list[Gap]:
        notes = self._server.forget_notes()
        gaps = [Gap(PARTIAL_GAP, f"warning: {warning}") for warning in notes.warnings]
        if notes.not_finite:
            gaps.append(Gap("samples", f"{notes.not_finite} were NaN or infinite and were left out"))
        return gaps


def target_matchers(series: Sequence[Samples], labels: Sequence[str]) -> tuple[Matcher, ...]:
    """Return matchers for `up` of the targets that these series came from."""
    return tuple(queries.one_of(label, {s.labels.get(label, "") for s in series}) for label in labels)


def _product(rate: float, tokens: float | None) -> float | None:
    """Return tokens per second; no arrivals need no tokens, whatever a request's length would be."""
    if rate == 0:
        return 0.0
    return None if tokens is None else rate * tokens


def _in_tokens(held: Waiting, lengths: Lengths | None) -> Waiting:
    if lengths is None:
        return replace(held, doubt="the lengths of its requests are unknown") if held.requests else held
    return replace(held, tokens=held.requests * lengths.prefill_tokens)
