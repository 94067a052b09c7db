"""Read demand of days back from Prometheus, so that a restart forgets nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import ObserveError
from models.metric_names import MetricNames
from models.observation import Gap
from models.series import Floats, Series
from models.values import Signal
from planner.observe import queries
from planner.observe.counters import needs_targets
from planner.observe.demand import choose_arrivals, history
from planner.observe.histograms import named
from planner.observe.live import Target, target_matchers
from planner.observe.prometheus import PrometheusServer
from planner.observe.queries import Chunk, Matcher
from planner.observe.samples import Samples, at_true_times, joined

GRID_S = 60.0

# Restarts that are looked at closely; a process that restarts more often has other troubles.
MOST_RESTARTS = 100


class PrometheusHistory:
    """Implement the HistorySource port.

    `gaps` says what the last reading lacked, `failed` whether some of it was for want of an answer, so that
    trying again may tell more.
    """

    def __init__(self, server: PrometheusServer, names: MetricNames, target: Target) -> None:
        """Prepare to read; raises ObserveError for classes that Prometheus cannot tell apart."""
        self._server = server
        self._names = names
        self._matchers = target.matchers(names)
        self.gaps: tuple[Gap, ...] = ()
        self.failed = False

    def history(self, until_s: float, span_s: float) -> Mapping[str, Mapping[Signal, Series]]:
        """Return per class and signal a one-minute series; what could not be read is unknown.

        A range that fails leaves a hole and a Gap; a class of which nothing could be read is not there.
        """
        edges = np.arange(
            (until_s - span_s) // GRID_S * GRID_S, until_s // GRID_S * GRID_S + GRID_S / 2, GRID_S
        )
        found: dict[str, Mapping[Signal, Series]] = {}
        gaps: list[Gap] = []
        self.failed = False
        if len(edges) > 1:
            plan = queries.chunks(until_s, span_s)
            for name, matchers in self._matchers.items():
                reading = _Reading(self._server, plan, f"history of {name}", gaps)
                series = self._read(reading, matchers, edges)
                self.failed |= reading.failed
                if series is not None:
                    found[name] = series
        notes = self._server.forget_notes()
        gaps += [Gap("prometheus", f"warning: {warning}") for warning in notes.warnings]
        if notes.not_finite:
            gaps.append(Gap("samples", f"{notes.not_finite} were NaN or infinite and were left out"))
        self.gaps = tuple(gaps)
        return found

    def _read(
        self, reading: "_Reading", matchers: Sequence[Matcher], edges: Floats
    ) -> Mapping[Signal, Series] | None:
        names = self._names
        counted = list(dict.fromkeys((*names.started, *names.completed, *names.in_flight)))
        values = reading.ranges(queries.selector(counted, matchers))
        first = choose_arrivals(names, named(_flat(values)))
        if first is None:
            counters = " or ".join((*names.started, *names.completed))
            reading.gaps.append(Gap(reading.what, f"no samples of {counters}"))
            return None
        chosen = dict.fromkeys(s.name for s in (*first.counters, *first.gauges))
        placed = reading.at_true_times(values, list(chosen), matchers)
        arrivals = choose_arrivals(names, named(reading.with_restarts(placed, matchers)))
        if arrivals is None:
            return None
        up: list[Samples] = []
        if needs_targets(arrivals.counters):
            targets = target_matchers(arrivals.counters, names.target_labels)
            scrapes = reading.ranges(queries.selector(["up"], targets))
            up = reading.at_true_times(scrapes, ["up"], targets)
        means = reading.ranges(queries.selector(list(names.mean_counters()), matchers))
        return history(names, arrivals, up, named(joined(_flat(means))), edges)


@dataclass(slots=True)
class _Reading:
    """Read the same chunks again and again; a chunk that fails is a gap and reads as nothing."""

    server: PrometheusServer
    plan: Sequence[Chunk]
    what: str
    gaps: list[Gap]
    failed: bool = False

    def ranges(self, query: str) -> list[list[Samples]]:
        """Return, per chunk, the answer to a query."""
        return [self._range(query, chunk) for chunk in self.plan]

    def at_true_times(
        self, values: Sequence[list[Samples]], metrics: Sequence[str], matchers: Sequence[Matcher]
    ) -> list[Samples]:
        """Return the series of some metrics with each sample at the time when it was taken."""
        placed: list[Samples] = []
        for metric in metrics:
            query = queries.sample_times(metric, matchers)
            for chunk, part in zip(self.plan, values, strict=True):
                mine = [s for s in part if s.name == metric]
                # The function takes the name away.
                times = [t.renamed(metric) for t in self._range(query, chunk)] if mine else []
                placed += at_true_times(mine, times)
        return joined(placed)

    def with_restarts(self, series: Sequence[Samples], matchers: Sequence[Matcher]) -> list[Samples]:
        """Add every stored sample around a restart that was read coarsely: it shows what came before."""
        more: list[Samples] = []
        for s in series:
            for i in np.flatnonzero((np.diff(s.values) < 0) & (s.step_s[1:] > GRID_S)):
                if len(more) >= MOST_RESTARTS:
                    break
                from_s, until_s = float(s.at_s[i]), float(s.at_s[i + 1])
                more += self._stored(s, matchers, from_s, until_s)
        return joined([*series, *more])

    def _stored(
        self, series: Samples, matchers: Sequence[Matcher], from_s: float, until_s: float
    ) -> list[Samples]:
        query = queries.latest([series.name], matchers, until_s - from_s)
        try:
            found = self.server.instant(query, until_s)
        except ObserveError as error:
            self._failed(error)
            return []
        return [
            Samples(s.labels, s.at_s, s.values, np.full(len(s.at_s), GRID_S))
            for s in found
            if s.key() == series.key()
        ]

    def _range(self, query: str, chunk: Chunk) -> list[Samples]:
        try:
            return self.server.range(query, chunk)
        except ObserveError as error:
            self._failed(error)
            return []

    def _failed(self, error: ObserveError) -> None:
        self.failed = True
        gap = Gap(self.what, str(error))
        if gap not in self.gaps:
            self.gaps.append(gap)


def _flat(parts: Sequence[list[Samples]]) -> list[Samples]:
    return [s for part in parts for s in part]
