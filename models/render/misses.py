"""Find the spells of a replay in which a class missed its target, and say what the fleet was doing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from models.render.formats import plural, words
from models.simulation.scorecard import PolicyResult, ReplayResult, TimelinePoint
from models.values import Role

# A spell ends when its class keeps its promise for longer than this.
CALM_S = 600.0


@dataclass(frozen=True, slots=True)
class Miss:
    """One spell of missed promises of one class; times in Unix seconds, `attainment` over its arrivals."""

    start_s: float
    end_s: float
    request_class: str
    missed_requests: float
    attainment: float
    arrivals_rps: float
    circumstance: str


def worst_misses(result: ReplayResult, policy: PolicyResult, at_most: int = 6) -> tuple[Miss, ...]:
    """Return the spells with the most missed requests, the worst first."""
    goals = {c.name: c.slo.target for c in result.classes if not c.slo.throughput_only}
    for name in {n for p in policy.timeline for n in p.arrivals_rps}:
        if not result.classes and result.target_attainment is not None:
            goals[name] = result.target_attainment
    found = [miss for name, goal in goals.items() for miss in _spells(result, policy, name, goal)]
    return tuple(sorted(found, key=lambda m: -m.missed_requests)[:at_most])


def held_gpus(point: TimelinePoint, gpus_per_replica: Mapping[Role, int]) -> int:
    """Return the GPUs that all replicas hold at a point, starting and draining included."""
    return sum(
        n * gpus_per_replica.get(role, 1)
        for state in (point.ready, point.starting, point.draining)
        for role, n in state.items()
    )


def missed_at_budget(result: ReplayResult, policy: PolicyResult) -> tuple[float, float] | None:
    """Return the share of missed requests that fell into times without a GPU to spare, and those seconds.

    `None` without a budget or without a miss. A GPU is to spare when the smallest replica still fits.
    """
    if result.budget_gpus is None:
        return None
    smallest = min(result.gpus_per_replica.values(), default=1)
    full_s = missed = missed_full = 0.0
    for point in policy.timeline:
        short = sum(
            rate * (1 - met)
            for name, rate in point.arrivals_rps.items()
            if (met := point.attainment.get(name)) is not None
        )
        full = held_gpus(point, result.gpus_per_replica) > result.budget_gpus - smallest
        missed += short
        missed_full += short * full
        full_s += result.interval_s * full
    return (missed_full / missed, full_s) if missed > 0 else None


def _spells(result: ReplayResult, policy: PolicyResult, name: str, goal: float) -> Iterator[Miss]:
    short = [
        p
        for p in policy.timeline
        if (met := p.attainment.get(name)) is not None and met < goal and p.arrivals_rps.get(name, 0) > 0
    ]
    group = 0
    numbered = []
    for before, point in zip([None, *short], short, strict=False):
        group += before is not None and point.at_s - before.at_s > CALM_S + result.interval_s
        numbered.append((group, point))
    for _, spell in groupby(numbered, key=lambda pair: pair[0]):
        yield _miss(result, name, [point for _, point in spell])


def _miss(result: ReplayResult, name: str, spell: list[TimelinePoint]) -> Miss:
    arrived = sum(p.arrivals_rps[name] for p in spell) * result.interval_s
    missed = sum(p.arrivals_rps[name] * (1 - (p.attainment[name] or 0.0)) for p in spell) * result.interval_s
    return Miss(
        spell[0].at_s - result.interval_s,
        spell[-1].at_s,
        name,
        missed,
        1 - missed / arrived,
        arrived / (len(spell) * result.interval_s),
        _circumstance(result, spell),
    )


def _circumstance(result: ReplayResult, spell: list[TimelinePoint]) -> str:
    """Say what held the fleet back: replicas still starting, the budget, or neither."""
    said = []
    starting = [r.value for r in Role if any(p.starting.get(r, 0) for p in spell)]
    if starting:
        said.append(f"{words(starting)} replicas were starting")
    peak = max(held_gpus(p, result.gpus_per_replica) for p in spell)
    smallest = min(result.gpus_per_replica.values(), default=1)
    if result.budget_gpus is not None and peak > result.budget_gpus - smallest:
        said.append(f"the budget of {result.budget_gpus} GPUs was used up")
    waiting = max(p.queued_requests for p in spell)
    if waiting:
        said.append(f"up to {plural(waiting, 'request')} waited")
    return (
        "; ".join(said)
        if said
        else "nothing was starting, below the budget, no queue: replicas too few or too slow"
    )
