"""Turn raw counter samples into how much was counted in each interval, and say which intervals are known.

Nothing is extrapolated. A counter's increase between two samples is its difference, or the later value
alone where it fell: the process restarted at zero. Between samples the increase is spread evenly, which
moves a request by less than one scrape interval.

An interval is known when some series was sampled right across it and none that should have been was
silent. Series come and go with pods:

* one that appears while Prometheus was scraping counts from its first value, because a counter series is
  created by what it first counts; one that appears out of an outage only serves as a baseline, since its
  first value may hold weeks;
* one that ends with its target (nothing more on `up`) is complete; one whose target reports `up` 0 is
  silent, and unknown until `GRACE_S` has passed: longer than that it serves nobody, and must not block
  the rest for ever;
* one that is missing while its target answers (`up` 1) was not exported: nothing was counted, provided
  that it comes back smaller, from a restart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.series import Flags, Floats
from planner.observe.samples import Samples

GRACE_S = 300.0

# Two scrapes may fail and the counter still tells how many came in between; only when is lost.
MISSED_SCRAPES = 2.2

# Without two samples of anything, the interval of a common scrape configuration.
DEFAULT_SCRAPE_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Hold the increase in each of n intervals, and whether it is known; both of shape (n,)."""

    values: Floats
    known: Flags


@dataclass(frozen=True, slots=True, eq=False)
class _Life:
    """One series as a running total at n moments; whether each of the n - 1 stretches is known."""

    at_s: Floats
    total: Floats
    covered: Flags
    silent: tuple[tuple[float, float], ...] = ()


def scrape_interval_s(series: Sequence[Samples]) -> float:
    """Estimate the time between samples: the median over what was read at the finest grid."""
    finest = min((float(s.step_s.min()) for s in series), default=0.0)
    spaces = [np.diff(s.at_s[s.step_s == finest]) for s in series]
    every = np.concatenate(spaces) if spaces else np.zeros(0)
    return float(np.median(every)) if every.size else DEFAULT_SCRAPE_S


def counts(
    series: Sequence[Samples], up: Sequence[Samples], edges_s: Floats, targets: Sequence[str]
) -> Counts:
    """Return what the series counted together between neighbouring edges, shape (n + 1,).

    `up` holds the scrape results of the targets, which are recognised by the labels `targets`.
    """
    width = len(edges_s) - 1
    if not series or width < 1:
        return Counts(np.zeros(max(width, 0)), np.zeros(max(width, 0), dtype=np.bool_))
    scrape_s = scrape_interval_s(series)
    health = _health(up, targets)
    moments = np.unique(np.concatenate([*(s.at_s for s in series), *(s.at_s for s in up)]))
    lives = [_live(s, health.get(target_of(s, targets)), moments, scrape_s, edges_s) for s in series]
    values = np.sum([np.diff(np.interp(edges_s, life.at_s, life.total)) for life in lives], axis=0)
    alive = [(a, b) for life in lives for a, b in _stretches(life, True)]
    silent = [(a, b) for life in lives for a, b in (*_stretches(life, False), *life.silent)]
    spans = np.diff(edges_s)
    known = (_overlap(alive, edges_s) >= spans * (1 - 1e-6)) & (_overlap(silent, edges_s) <= spans * 1e-6)
    return Counts(np.where(known, values, 0.0), known)


def needs_targets(series: Sequence[Samples]) -> bool:
    """Whether a series came, went or paused while others were there, so that `up` has to say why."""
    if not series:
        return False
    scrape_s = scrape_interval_s(series)
    first_s = min(float(s.at_s[0]) for s in series)
    last_s = max(float(s.at_s[-1]) for s in series)
    for s in series:
        allowed = s.step_s + MISSED_SCRAPES * scrape_s
        if s.at_s[0] - first_s > allowed[0] or last_s - s.at_s[-1] > allowed[-1]:
            return True
        if (np.diff(s.at_s) > allowed[1:]).any():
            return True
    return False


def levels(series: Sequence[Samples], edges_s: Floats) -> Floats:
    """Return the sum of gauges at each edge, shape (n,); a series is nothing outside its samples."""
    total = np.zeros(len(edges_s))
    for s in series:
        total += np.interp(edges_s, s.at_s, s.values, left=0.0, right=0.0)
    return total


def rises(series: Sequence[Samples], edges_s: Floats) -> Floats:
    """Return what counters rose together in each interval, shape (n,), gaps bridged: enough for a mean.

    A series that comes later than the first one counts from its first value.
    """
    total = np.zeros(len(edges_s) - 1)
    begin_s = min((float(s.at_s[0]) for s in series), default=0.0)
    for s in series:
        steps = np.diff(s.values, prepend=0.0 if s.at_s[0] > begin_s else s.values[0])
        rise = np.cumsum(np.where(steps >= 0, steps, s.values))
        total += np.diff(np.interp(edges_s, s.at_s, rise, left=0.0))
    return total


def increase(series: Samples, counted_from_zero: bool) -> float:
    """Return how much one counter rose over its samples, restarts handled."""
    steps = np.diff(series.values)
    rise = float(np.where(steps >= 0, steps, series.values[1:]).sum())
    return rise + (float(series.values[0]) if counted_from_zero else 0.0)


def answering_since(health: Samples | None, until_s: float, allowed: float) -> float:
    """Return since when a target answered without a break until `until_s`; `until_s` when it did not."""
    since_s = until_s
    if health is not None:
        for at_s, value in zip(health.at_s[::-1], health.values[::-1], strict=True):
            if at_s >= until_s:
                continue
            if value != 1 or since_s - at_s > allowed:
                break
            since_s = float(at_s)
    return since_s


def target_of(series: Samples, targets: Sequence[str]) -> tuple[str, ...]:
    """Return the values of the labels that tell the scraped process of a series; "" where one is absent."""
    return tuple(series.labels.get(label, "") for label in targets)


def _live(s: Samples, health: Samples | None, moments: Floats, scrape_s: float, edges_s: Floats) -> _Life:
    steps = np.diff(s.values)
    rise = np.where(steps >= 0, steps, s.values[1:])
    allowed = s.step_s[1:] + MISSED_SCRAPES * scrape_s
    covered = np.diff(s.at_s) <= allowed
    for i in np.flatnonzero(~covered):
        covered[i] = steps[i] < 0 and _answered(health, s.at_s[i], s.at_s[i + 1], allowed[i])
    at_s, total = s.at_s, np.concatenate(([0.0], np.cumsum(rise)))
    silent = _ending(s, health, moments[-1], scrape_s, edges_s[-1])
    first_s, reach_s = s.at_s[0], s.step_s[0] + MISSED_SCRAPES * scrape_s
    if first_s - moments[0] > reach_s:
        before = moments[(moments < first_s) & (moments >= first_s - reach_s)]
        if before.size:
            # Prometheus was scraping and the series was not there: it began with its first value.
            idle_s = answering_since(health, first_s, reach_s)
            at_s = np.concatenate(([min(idle_s, before[-1]), before[-1]], at_s))
            total = np.concatenate(([0.0, 0.0], total + s.values[0]))
            covered = np.concatenate(([True, True], covered))
        else:
            silent.append((first_s - reach_s, first_s))
    return _Life(at_s, total, covered, tuple(silent))


def _ending(
    s: Samples, health: Samples | None, newest_s: float, scrape_s: float, end_s: float
) -> list[tuple[float, float]]:
    """Return when a series that stopped should still have been there."""
    last_s, allowed = float(s.at_s[-1]), float(s.step_s[-1]) + MISSED_SCRAPES * scrape_s
    if newest_s - last_s <= allowed:
        # Its next sample is merely not due yet.
        return [(last_s, end_s)] if end_s > last_s else []
    failing = (
        health.at_s[(health.at_s > last_s) & (health.values == 0)] if health is not None else np.zeros(0)
    )
    if failing.size == 0:
        return []
    return [(last_s, min(float(failing[-1]) + allowed, last_s + GRACE_S))]


def _answered(health: Samples | None, from_s: float, until_s: float, allowed: float) -> bool:
    """Whether a target answered every scrape between two samples of a series."""
    if health is None:
        return False
    inside = (health.at_s >= from_s) & (health.at_s <= until_s)
    seen = np.concatenate(([from_s], health.at_s[inside], [until_s]))
    return bool((health.values[inside] == 1).all() and (np.diff(seen) <= allowed).all())


def _health(up: Sequence[Samples], targets: Sequence[str]) -> dict[tuple[str, ...], Samples]:
    return {target_of(u, targets): u for u in up}


def _stretches(life: _Life, covered: bool) -> list[tuple[float, float]]:
    """Return the stretches that are covered, or those that are not, neighbours joined."""
    flag = np.concatenate(([False], life.covered == covered, [False])).astype(np.int8)
    begins, ends = np.flatnonzero(np.diff(flag) > 0), np.flatnonzero(np.diff(flag) < 0)
    return [(float(life.at_s[a]), float(life.at_s[b])) for a, b in zip(begins, ends, strict=True)]


def _overlap(stretches: Sequence[tuple[float, float]], edges_s: Floats) -> Floats:
    """Return how many seconds of each interval the union of stretches covers, shape (n,)."""
    if not stretches:
        return np.zeros(len(edges_s) - 1)
    starts, ends = np.array(sorted(stretches)).T
    reach = np.maximum.accumulate(ends)
    begins = np.concatenate(([True], starts[1:] > reach[:-1]))
    left, right = starts[begins], reach[np.append(begins[1:], True)]
    points = np.column_stack((left, right)).ravel()
    covered = np.repeat(np.cumsum(right - left), 2)
    covered[::2] -= right - left
    return np.diff(np.interp(edges_s, points, covered))
