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


class PrometheusHistory:
    """Implement the HistorySource port; `gaps` says what the last reading lacked."""

    def __init__(self, server: PrometheusServer, names: MetricNames, target: Target) -> None:
        """Prepare to read; raises ObserveError for classes that Prometheus cannot tell apart."""
        self._server = server
        self._names = names
        self._matchers = target.matchers(names)
        self.gaps: tuple[Gap, ...] = ()

    def history(self, until_s: float, span_s: float) -> Mapping[str, Mapping[Signal, Series]]:
        """Return per class and signal a one-minute series; what could not be read is unknown.

        A range that fails leaves a hole and a Gap; a class of which nothing could be read is not there.
        """
        edges = np.arange(
            (until_s - span_s) // GRID_S * GRID_S, until_s // GRID_S * GRID_S + GRID_S / 2, GRID_S
        )
        found: dict[str, Mapping[Signal, Series]] = {}
        gaps: list[Gap] = []
        if len(edges) > 1:
            plan = queries.chunks(until_s, span_s)
            for name, matchers in self._matchers.items():
                series = self._read(name, matchers, plan, edges, gaps)
                if series is not None:
                    found[name] = series
        notes = self._server.forget_notes()
        gaps += [Gap("prometheus", f"warning: {warning}") for warning in notes.warnings]
        if notes.not_finite:
            gaps.append(Gap("samples", f"{notes.not_finite} were NaN or infinite and were left out"))
        self.gaps = tuple(gaps)
        return found

    def _read(
        self, name: str, matchers: Sequence[Matcher], plan: Sequence[Chunk], edges: Floats, gaps: list[Gap]
    ) -> Mapping[Signal, Series] | None:
        names = self._names
        reading = _Reading(self._server, plan, f"history of {name}", gaps)
        counted = list(dict.fromkeys((*names.started, *names.completed, *names.in_flight)))
        values = reading.ranges(queries.selector(counted, matchers))
        first = choose_arrivals(names, named(_flat(values)))
        if first is None:
            gaps.append(Gap(reading.what, f"no samples of {' or '.join((*names.started, *names.completed))}"))
            return None
        chosen = dict.fromkeys(s.name for s in (*first.counters, *first.gauges))
        arrivals = choose_arrivals(names, named(reading.at_true_times(values, list(chosen), matchers)))
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

    def _range(self, query: str, chunk: Chunk) -> list[Samples]:
        try:
            return self.server.range(query, chunk)
        except ObserveError as error:
            gap = Gap(self.what, str(error))
            if gap not in self.gaps:
                self.gaps.append(gap)
            return []


def _flat(parts: Sequence[list[Samples]]) -> list[Samples]:
    return [s for part in parts for s in part]
