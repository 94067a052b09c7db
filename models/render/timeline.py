"""Thin a replay's timeline for a chart, and lay it out as columns; what is thinned is said."""

import math
from collections.abc import Callable, Iterable, Sequence

from models.render.figure import Columns, Number
from models.render.misses import held_gpus
from models.simulation.scorecard import PolicyResult, ReplayResult, TimelinePoint
from models.values import Role

# Two pixels a point on a wide screen: more is not seen, and costs bytes.
MOST_POINTS = 480
STATES = ("ready", "starting", "draining")

Gathered = list[Sequence[TimelinePoint]]


def gather(points: Sequence[TimelinePoint], most: int = MOST_POINTS) -> Gathered:
    """Cut a timeline into at most `most` runs of equally many neighbours."""
    size = max(math.ceil(len(points) / most), 1)
    return [points[i : i + size] for i in range(0, len(points), size)]


def thinning(result: ReplayResult) -> str:
    """Say how many intervals one point of the charts stands for."""
    longest = max((len(p.timeline) for p in result.policies), default=0)
    size = max(math.ceil(longest / MOST_POINTS), 1)
    if size == 1:
        return f"Each point is one interval of {result.interval_s:g} s."
    return (
        f"Each point gathers {size} intervals of {result.interval_s:g} s: the mean load, the moment with the "
        "most GPUs held, the attainment over all their requests and the worst TTFT p95."
    )


def load_columns(policy: PolicyResult) -> Columns:
    """Lay out the mean arrivals per second of each class."""
    names = class_names(policy)
    runs = gather(policy.timeline)
    series = {
        n: [_round(sum(p.arrivals_rps.get(n, 0.0) for p in run) / len(run)) for run in runs] for n in names
    }
    return Columns("at", {"load": _times(runs)}, {"load": series})


def held_columns(result: ReplayResult) -> Columns:
    """Lay out the most GPUs held by each policy; one group a policy, since their clocks may differ."""
    return _per_policy(result, lambda run: max(held_gpus(p, result.gpus_per_replica) for p in run))


def ttft_columns(result: ReplayResult) -> Columns:
    """Lay out the worst TTFT p95 of each policy, in milliseconds."""

    def worst(run: Sequence[TimelinePoint]) -> Number:
        seen = [p.ttft_p95_s for p in run if p.ttft_p95_s is not None and p.ttft_p95_s > 0]
        return _round(max(seen) * 1e3) if seen else None

    return _per_policy(result, worst)


def state_columns(result: ReplayResult) -> Columns:
    """Lay out GPUs by role and state, when each run held the most; one group a policy."""
    at, values = {}, {}
    roles = fleet_roles(result)
    for policy in result.policies:
        runs = gather(policy.timeline)
        fullest = [max(run, key=lambda p: held_gpus(p, result.gpus_per_replica)) for run in runs]
        at[policy.policy] = _times(runs)
        values[policy.policy] = {
            f"{role} {state}": [
                getattr(p, state).get(role, 0) * result.gpus_per_replica.get(role, 1) for p in fullest
            ]
            for role in roles
            for state in STATES
        }
    return Columns("at", at, values)


def attainment_columns(result: ReplayResult) -> Columns:
    """Lay out the per cent of each class's requests that kept their promise; one group a policy."""
    at, values = {}, {}
    for policy in result.policies:
        runs = gather(policy.timeline)
        at[policy.policy] = _times(runs)
        values[policy.policy] = {n: [_attained(run, n) for run in runs] for n in class_names(policy)}
    return Columns("at", at, values)


def class_names(policy: PolicyResult) -> list[str]:
    """Return the classes that a policy's timeline mentions, in order of first mention."""
    return list(dict.fromkeys(name for p in policy.timeline for name in p.arrivals_rps))


def fleet_roles(result: ReplayResult) -> list[Role]:
    """Return the roles of the replayed fleet, in the order of a request's way through it."""
    seen = {role for p in result.policies for role in p.gpu_hours_by_role}
    seen |= {role for p in result.policies for point in p.timeline[:1] for role in point.ready}
    return [role for role in Role if role in seen]


def moved_gpus(result: ReplayResult, before: TimelinePoint | None, point: TimelinePoint) -> int:
    """Return the GPUs that were ordered or released between two points."""
    if before is None:
        return 0
    return sum(
        abs(_supply(point, role) - _supply(before, role)) * result.gpus_per_replica.get(role, 1)
        for role in fleet_roles(result)
    )


def _supply(point: TimelinePoint, role: Role) -> int:
    return point.ready.get(role, 0) + point.starting.get(role, 0)


def _attained(run: Iterable[TimelinePoint], name: str) -> Number:
    weights = [(p.arrivals_rps.get(name, 0.0), p.attainment.get(name)) for p in run]
    total = sum(w for w, met in weights if met is not None)
    if total <= 0:
        return None
    kept = sum(w * met for w, met in weights if met is not None) / total
    # Cut, not rounded: 99.999 is not 100.
    return math.floor(kept * 1e4 + 1e-6) / 1e2


def _per_policy(result: ReplayResult, value: Callable[[Sequence[TimelinePoint]], Number]) -> Columns:
    runs = {p.policy: gather(p.timeline) for p in result.policies}
    at = {name: _times(cut) for name, cut in runs.items()}
    return Columns("at", at, {name: {name: [value(run) for run in cut]} for name, cut in runs.items()})


def _times(runs: Gathered) -> list[float]:
    return [round(run[-1].at_s) for run in runs]


def _round(value: float) -> float:
    """Keep four significant digits: what a chart can show."""
    return float(f"{value:.4g}")
