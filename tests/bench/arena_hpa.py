"""Tune the HorizontalPodAutoscaler as an expert would: a load test, eight settings, a day of that service.

The load test gives what a pod of the smallest sufficient fleet carries at the day's mean load. Settings aim
at a share of that. The cheapest that keeps 99 % on the development day is taken; where none does, the one
that misses it least. The day that it is judged on is another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.policy import PlanPolicy
from models.values import Role
from planner.contest import Setup
from planner.policies import sizing
from planner.policies.hpa import Hpa, HpaSettings, Metric
from planner.replay import Stage
from tests.bench.arena_scenarios import TARGET

# Fleets that scale begin with one for the first minutes.
FIRST_S = 600.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """Hold one setting: targets per pod as shares of what the load test showed.

    `prefill` and `decode` are of tokens a second that arrive; `in_flight` of requests in a pod, a second
    metric beside the first (`None`: not used).
    """

    prefill: float
    decode: float
    in_flight: float | None = None
    average_s: float = 60.0
    down_window_s: float = 300.0

    def __str__(self) -> str:
        """Say the setting in few words."""
        queue = "" if self.in_flight is None else f", in flight x{self.in_flight:g}"
        work = f"tokens/s per pod x{self.prefill:g} prefill, x{self.decode:g} decode"
        return f"{work}{queue}, mean of {self.average_s:.0f} s, down after {self.down_window_s:.0f} s"

    def settings(self) -> HpaSettings:
        """Return the controller's parameters."""
        return HpaSettings(average_s=self.average_s, down_window_s=self.down_window_s)


# Found in a search over some 40 settings of one development day: the work that arrives beats requests in
# flight everywhere, shares near 1 are what 99 % takes, and the controller's own windows are the best ones.
TUNINGS = (
    Tuning(1.05, 1.05),
    Tuning(1.05, 1.0),
    Tuning(1.0, 1.05),
    Tuning(1.0, 1.0),
    Tuning(1.0, 1.0, in_flight=2.0),
    Tuning(0.95, 0.95),
    Tuning(0.9, 0.9),
    Tuning(0.8, 0.8),
)


@dataclass(frozen=True, slots=True)
class LoadTest:
    """Hold what a pod of each role carries at the promise: tokens a second that arrive, requests in it."""

    work: Mapping[Role, float]
    in_flight: Mapping[Role, float]


@dataclass(frozen=True, slots=True)
class Tried:
    """Hold what a setting did on the development day."""

    tuning: Tuning
    attainment: float
    gpu_hours: float


def load_test(stage: Stage, plan: PlanPolicy) -> LoadTest:
    """Measure the smallest fleet that is sufficient at the mean load of a stage."""
    workload = stage.workload
    fleet = sizing.mean_fleet(workload, stage.layouts, plan)
    tokens = {
        Role.PREFILL: float(workload.prefill_tokens().sum()),
        Role.DECODE: float(workload.osl_tokens.sum()),
    }
    work = {role: tokens[role] / workload.span_s / fleet[role] for role in fleet}
    return LoadTest(work, sizing.in_flight_targets(workload, stage.layouts, plan))


def autoscaler(tuning: Tuning, measured: LoadTest, stage: Stage, setup: Setup) -> Hpa:
    """Configure the autoscaler of one stage from what the load test of the development day showed."""
    plan = setup.policy.plan
    targets: dict[Role, dict[Metric, float]] = {role: {} for role in stage.layouts}
    for role, by_metric in targets.items():
        share = tuning.decode if role is Role.DECODE else tuning.prefill
        by_metric[Metric.WORK] = share * measured.work[role]
        if tuning.in_flight is not None:
            by_metric[Metric.IN_FLIGHT] = tuning.in_flight * measured.in_flight[role]
    initial = sizing.first_fleet(stage.workload, stage.layouts, plan, FIRST_S)
    return Hpa(targets, plan.pools, initial, tuning.settings())


def best(tried: Sequence[Tried]) -> Tried:
    """Return the cheapest that keeps the target, else the one that misses it least."""
    keep = [t for t in tried if t.attainment >= TARGET]
    if keep:
        return min(keep, key=lambda t: t.gpu_hours)
    return max(tried, key=lambda t: t.attainment)
