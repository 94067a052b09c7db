"""Score a simulated fleet: from what happened to each request to the verdict on a policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.observation import PoolState
from models.simulation.ledger import COMPLETED, LOST, REJECTED, Ledger
from models.simulation.scorecard import ClassResult, Percentiles, PolicyResult, TimelinePoint
from models.simulation.workload import Floats
from models.values import RequestClass, Role

Flags: TypeAlias = NDArray[np.bool_]
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold the fleet at the end of one interval; `until_s` is in simulated seconds from the start."""

    until_s: float
    pools: Mapping[Role, PoolState]
    queued_requests: int
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what one policy's run left behind beside the ledger.

    `gpu_seconds` are simulated, from the first to the last arrival.
    """

    policy: str
    gpu_seconds: Mapping[Role, float]
    samples: tuple[Sample, ...]
    scale_events: int = 0
    decisions: int = 0
    policy_cpu_s: float = 0.0
    wall_s: float = 0.0
    replica_failures: int = 0


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Hold latencies and verdicts of all requests of a ledger; latencies are 0 where not completed."""

    completed: Flags
    met: Flags
    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats

    def percentiles(self, among: Flags) -> tuple[Percentiles, Percentiles, Percentiles]:
        """Return TTFT, TPOT and end-to-end of the completed requests in `among`."""
        done = self.completed & among
        ttft, tpot, e2e = (_percentiles(x[done]) for x in (self.ttft_s, self.tpot_s, self.e2e_s))
        return ttft, tpot, e2e


def score(
    ledger: Ledger,
    classes: Sequence[RequestClass],
    run: Run,
    skipped_rows: int = 0,
    compression: float = 1.0,
) -> PolicyResult:
    """Judge every request of a finished run by its class's promise.

    `compression` is how many seconds of the story one simulated second stands for: GPU-hours, hours of the
    timeline and nothing else are stated in story time. Raises ValueError for a class of the workload that
    `classes` does not name.
    """
    states = ledger.states()
    outcomes = _judge(ledger, states, classes)
    everyone = np.ones(len(states), dtype=np.bool_)
    ttft, tpot, e2e = outcomes.percentiles(everyone)
    completed, rejected = int(outcomes.completed.sum()), int((states == REJECTED).sum())
    lost, span_s = int((states == LOST).sum()), ledger.workload.span_s
    hours = {role: seconds * compression / _HOUR_S for role, seconds in run.gpu_seconds.items()}
    return PolicyResult(
        policy=run.policy,
        requests=len(states),
        completed=completed,
        rejected=rejected,
        in_flight=len(states) - completed - rejected - lost,
        skipped_rows=skipped_rows,
        slo_attainment=_share(outcomes.met),
        goodput_rps=float(outcomes.met.sum()) / span_s if span_s > 0 else 0.0,
        gpu_hours=sum(hours.values()),
        gpu_hours_by_role=hours,
        ttft_s=ttft,
        itl_s=tpot,
        e2e_s=e2e,
        scale_events=run.scale_events,
        decisions=run.decisions,
        policy_cpu_s=run.policy_cpu_s,
        wall_s=run.wall_s,
        classes=_by_class(ledger, outcomes, classes),
        timeline=_timeline(ledger, outcomes, classes, run.samples, compression),
        lost=lost,
        replica_failures=run.replica_failures,
        prefix_hit_ratio=_hit_ratio(ledger),
    )


def attainment(ledger: Ledger, classes: Sequence[RequestClass]) -> dict[str, float | None]:
    """Return the share of each class's requests that kept their promise; `None` for a class without any."""
    outcomes = _judge(ledger, ledger.states(), classes)
    members = _members(ledger, classes)
    return {c.name: _share(outcomes.met[members[c.name]]) for c in classes}


def _judge(ledger: Ledger, states: NDArray[np.uint8], classes: Sequence[RequestClass]) -> _Outcomes:
    completed = states == COMPLETED
    done = np.flatnonzero(completed)
    ttft, tpot, e2e = (np.zeros(len(states)) for _ in range(3))
    ttft[done], tpot[done], e2e[done] = ledger.latencies(done)
    met = completed.copy()
    for request_class in classes:
        kept, slo = completed, request_class.slo
        for limit_s, seen_s in ((slo.ttft_s, ttft), (slo.itl_s, tpot), (slo.e2e_s, e2e)):
            if limit_s is not None:
                kept = kept & (seen_s <= limit_s)
        mine = _members(ledger, classes)[request_class.name]
        met[mine] = kept[mine]
    return _Outcomes(completed, met, ttft, tpot, e2e)


def _members(ledger: Ledger, classes: Sequence[RequestClass]) -> dict[str, Flags]:
    workload = ledger.workload
    unknown = set(workload.class_names) - {c.name for c in classes}
    if unknown:
        raise ValueError(f"the workload has classes without a promise: {', '.join(sorted(unknown))}")
    number = {name: i for i, name in enumerate(workload.class_names)}
    return {c.name: workload.class_index == number.get(c.name, -1) for c in classes}


def _by_class(
    ledger: Ledger, outcomes: _Outcomes, classes: Sequence[RequestClass]
) -> tuple[ClassResult, ...]:
    found = []
    for name, mine in _members(ledger, classes).items():
        ttft, tpot, e2e = outcomes.percentiles(mine)
        found.append(
            ClassResult(
                name=name,
                requests=int(mine.sum()),
                completed=int((mine & outcomes.completed).sum()),
                slo_attainment=_share(outcomes.met[mine]),
                ttft_s=ttft,
                itl_s=tpot,
                e2e_s=e2e,
            )
        )
    return tuple(found)


def _timeline(
    ledger: Ledger,
    outcomes: _Outcomes,
    classes: Sequence[RequestClass],
    samples: Sequence[Sample],
    compression: float,
) -> tuple[TimelinePoint, ...]:
    """Cut the requests at the samples; an interval holds the arrivals since the last one."""
    edges = np.searchsorted(ledger.arrival_s, [s.until_s for s in samples], side="right")
    promised = {c.name for c in classes if c.slo.ttft_s is not None}
    members = _members(ledger, classes)
    judged = np.zeros(len(outcomes.met), dtype=np.bool_)
    for name, mine in members.items():
        if name in promised or not promised:
            judged |= mine
    judged &= outcomes.completed
    points, first, from_s = [], 0, 0.0
    for sample, last in zip(samples, edges.tolist(), strict=True):
        cut = slice(first, last)
        here = {name: flags[cut] for name, flags in members.items()}
        span_s = max(sample.until_s - from_s, 1e-9)
        waits = outcomes.ttft_s[cut][judged[cut]]
        points.append(
            TimelinePoint(
                at_s=ledger.origin_s + sample.until_s * compression,
                arrivals_rps={name: float(flags.sum()) / span_s for name, flags in here.items()},
                attainment={name: _share(outcomes.met[cut][flags]) for name, flags in here.items()},
                ready={role: pool.ready for role, pool in sample.pools.items()},
                starting={role: len(pool.starting) for role, pool in sample.pools.items()},
                draining={role: pool.draining for role, pool in sample.pools.items()},
                queued_requests=sample.queued_requests,
                ttft_p95_s=float(np.quantile(waits, 0.95)) if waits.size else None,
                sentence=sample.sentence,
            )
        )
        first, from_s = last, sample.until_s
    return tuple(points)


def _hit_ratio(ledger: Ledger) -> float:
    """Return the share of all prompt tokens that were not computed."""
    tokens = float(ledger.workload.isl_tokens.sum())
    return float(ledger.cached_tokens.sum()) / tokens if tokens else 0.0


def _share(flags: Flags) -> float | None:
    return float(flags.mean()) if flags.size else None


def _percentiles(seconds: Floats) -> Percentiles:
    if seconds.size == 0:
        return Percentiles()
    p50, p95, p99 = np.quantile(seconds, (0.5, 0.95, 0.99))
    return Percentiles(float(p50), float(p95), float(p99))
