"""Read lengths and latencies from the increases of histogram buckets."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.mix import RequestAtom, RequestMix
from planner.observe.counters import increase
from planner.observe.samples import Samples

# Atoms kept of each length: sizing cost grows with their product, and promises break in the longest.
MAX_POINTS = 6

# The open bucket has no upper bound; its requests are taken to reach this far beyond the last one.
OPEN_STRETCH = 2.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Hold how many values fell in (low, high]; `high` is infinite in the last bucket."""

    low: float
    high: float
    count: float


@dataclass(frozen=True, slots=True)
class Point:
    """Stand for a share `weight` of the values."""

    value: float
    weight: float


def increases(series: Sequence[Samples], begin_s: float, from_s: float | None = None) -> float:
    """Return how much counters rose together after `from_s` (default: over all samples), restarts handled.

    A series that appears after `begin_s`, when others were already there, counts from its first value:
    what it counts made it appear.
    """
    total = 0.0
    for s in series:
        start_s = float(s.at_s[0]) if from_s is None else from_s
        first = max(int(np.searchsorted(s.at_s, start_s, side="right")) - 1, 0)
        tail = Samples(s.labels, s.at_s[first:], s.values[first:], s.step_s[first:])
        born = float(s.at_s[0]) > begin_s and float(s.at_s[0]) >= start_s
        total += increase(tail, counted_from_zero=born)
    return total


def buckets(series: Sequence[Samples], begin_s: float, from_s: float | None = None) -> list[Bucket]:
    """Return the increase of each bucket from `_bucket` series, over all processes, in order of bounds.

    Processes with different bounds are added at every bound that any of them has. A bound that is not a
    number is left out. Times as in `increases`.
    """
    by_bound: dict[float, list[Samples]] = defaultdict(list)
    for s in series:
        bound = _bound(s.labels.get("le", ""))
        if bound is not None:
            by_bound[bound].append(s)
    found, low, below = [], 0.0, 0.0
    for high in sorted(by_bound):
        # Cumulative counts may disagree by a scrape; a bucket is never negative.
        reached = max(increases(by_bound[high], begin_s, from_s), below)
        found.append(Bucket(low, high, reached - below))
        low, below = max(high, 0.0), reached
    return found


def quantile(found: Sequence[Bucket], q: float) -> float | None:
    """Return the `q` quantile, linear inside its bucket; `None` without values.

    In the open bucket it is the last finite bound: at least so much.
    """
    total = sum(b.count for b in found)
    if total <= 0:
        return None
    rest = q * total
    for bucket in found:
        if bucket.count > 0 and rest <= bucket.count:
            if bucket.high == float("inf"):
                return bucket.low if bucket.low > 0 else None
            return bucket.low + (bucket.high - bucket.low) * rest / bucket.count
        rest -= bucket.count
    return None


def points(found: Sequence[Bucket], mean: float) -> list[Point]:
    """Return a few weighted values whose mean is `mean`: buckets at points moved within their bounds.

    Every bucket's middle moves by the same share of its way to one of its bounds. Where even the bounds
    cannot reach `mean`, all values are scaled.
    """
    total = sum(b.count for b in found)
    if total <= 0:
        return [Point(mean, 1.0)]
    held = [b for b in found if b.count > 0]
    high = [b.high if b.high != float("inf") else max(OPEN_STRETCH * b.low, mean) for b in held]
    middle = [(b.low + h) / 2 for b, h in zip(held, high, strict=True)]
    weight = [b.count / total for b in held]
    centre = sum(w * m for w, m in zip(weight, middle, strict=True))
    bound = high if mean > centre else [b.low for b in held]
    reach = sum(w * (to - m) for w, m, to in zip(weight, middle, bound, strict=True))
    share = min((mean - centre) / reach, 1.0) if reach else 0.0
    values = [m + share * (to - m) for m, to in zip(middle, bound, strict=True)]
    reached = sum(w * v for w, v in zip(weight, values, strict=True))
    scale = mean / reached if reached > 0 else 1.0
    return _fewer([Point(v * scale, w) for v, w in zip(values, weight, strict=True)])


def mix(input_points: Sequence[Point], output_points: Sequence[Point], cached_ratio: float) -> RequestMix:
    """Combine prompt and output lengths as if independent, each prompt cached to the same ratio.

    Counters tell no pairs; where long prompts go with long answers E[ISL*OSL] is understated.
    """
    atoms = [
        RequestAtom(i.value, o.value, i.value * cached_ratio, i.weight * o.weight)
        for i in input_points
        for o in output_points
    ]
    total = sum(a.weight for a in atoms)
    return RequestMix(
        tuple(RequestAtom(a.isl_tokens, a.osl_tokens, a.cached_tokens, a.weight / total) for a in atoms)
    )


def named(series: Sequence[Samples]) -> Callable[[str], list[Samples]]:
    """Return a look-up of series by metric name."""
    groups: dict[str, list[Samples]] = defaultdict(list)
    for s in series:
        groups[s.name].append(s)
    return lambda name: groups.get(name, [])


def _fewer(found: list[Point]) -> list[Point]:
    """Join the two neighbours that weigh least together until `MAX_POINTS` are left; the mean is kept."""
    while len(found) > MAX_POINTS:
        i = min(range(len(found) - 1), key=lambda k: found[k].weight + found[k + 1].weight)
        a, b = found[i], found[i + 1]
        weight = a.weight + b.weight
        found[i : i + 2] = [Point((a.value * a.weight + b.value * b.weight) / weight, weight)]
    return found


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
