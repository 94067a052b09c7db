"""Read measured series from Prometheus with a query of the user's own."""

import math
from itertools import pairwise

import numpy as np

from models.errors import ObserveError
from planner.observe.prometheus import PrometheusServer
from planner.observe.queries import MAX_CHUNK_S, MAX_POINTS, Chunk
from planner.observe.samples import Samples, joined
from planner.observe.seriesfile import Reading, gridded

# Side by side more than these are no longer read; a query that matches more wants a sum().
MOST_SERIES = 10


def query_series(
    server: PrometheusServer, promql: str, until_s: float, span_s: float, step_s: int
) -> list[Reading]:
    """Evaluate a query at every step of the last `span_s` seconds; one Reading a series.

    The value at a time is that of the step which ends there, as rate() over one step is.

    Raises ObserveError when the server does not answer usably, or the query matches nothing or too much.
    """
    found: list[Samples] = []
    for chunk in cut(until_s, span_s, step_s):
        found += server.range(promql, chunk)
    series = joined(found)
    if not series:
        raise ObserveError(f"Prometheus at {server.url} has nothing for {promql!r} in that time")
    if len(series) > MOST_SERIES:
        raise ObserveError(
            f"{promql!r} matches {len(series)} series; narrow it, or aggregate it, as with sum(...)"
        )
    notes = server.forget_notes()
    said = [f"Prometheus warns: {warning}" for warning in notes.warnings]
    if notes.not_finite:
        said.append(f"{notes.not_finite} samples were NaN or infinite")
    readings = [gridded(_name(s, promql), s.at_s - step_s, s.values, float(step_s)) for s in series]
    return [Reading(r.name, r.series, (*said, *r.notes)) for r in readings]


def cut(until_s: float, span_s: float, step_s: int) -> list[Chunk]:
    """Cut the span before `until_s` into range queries of one step that Prometheus answers, oldest first."""
    last = math.floor(until_s / step_s) * step_s
    first = math.floor((until_s - span_s) / step_s) * step_s
    most_s = max(min(MAX_CHUNK_S, MAX_POINTS * step_s) // step_s, 1) * step_s
    edges = [*np.arange(first, last, most_s).tolist(), last]
    # Both ends are asked for, so that neighbours share a point; it is joined again.
    return [Chunk(int(a), int(b), step_s) for a, b in pairwise(edges)]


def _name(series: Samples, promql: str) -> str:
    labels = ", ".join(f"{label}={value}" for label, value in series.key())
    return labels or series.name or promql
