"""Run whole ticks on drawn minute counts: the planner's own tick, pools that start and drain, no requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from models.decision import Decision, Outcome, Record, Status
from models.observation import ClassDemand, Observation, PoolState, StartingReplica
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, TickPolicy
from models.series import Floats, Series
from models.values import Role, Signal
from planner.forecasting import Forecasting
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served, tick
from tests.builders import EMAIL_MIX, PAGES_MIX, layouts
from tests.demand import SUNDAY_S

MINUTE_S = 60.0
MIXES = {"pages": PAGES_MIX, "email": EMAIL_MIX}
# Changes what one look shows, before it is handed on.
Disturb = Callable[[Observation], Observation]


@dataclass(slots=True)
class DrawnPools:
    """Start replicas in `startup_s`; what is released is gone at the next look."""

    ready: dict[Role, int]
    startup_s: float = 120.0
    starting: dict[Role, list[float]] = field(default_factory=dict)

    def look(self, now_s: float) -> dict[Role, PoolState]:
        """Return the pools as they are now."""
        found = {}
        for role in self.ready:
            waiting = self.starting.setdefault(role, [])
            arrived = [since for since in waiting if now_s - since >= self.startup_s]
            self.ready[role] += len(arrived)
            self.starting[role] = [since for since in waiting if now_s - since < self.startup_s]
            left = tuple(StartingReplica(since) for since in self.starting[role])
            found[role] = PoolState(self.ready[role] + len(left), self.ready[role], left)
        return found

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Apply the changes; an Actuator."""
        for role, count in decision.changes.items():
            more = count - self.ready[role] - len(self.starting[role])
            self.starting[role] += [observation.at_s] * max(more, 0)
            while more < 0 and self.starting[role]:
                self.starting[role].pop()
                more += 1
            self.ready[role] += min(more, 0)
        return Outcome(Status.APPLIED if decision.changes else Status.UNCHANGED)


@dataclass(slots=True)
class DrawnWorld:
    """Tick once a minute on Poisson counts around a rate per minute and class, shape (minutes,) each."""

    rates_rps: Mapping[str, Floats]
    pools: DrawnPools
    plan: PlanPolicy
    decide: DecidePolicy = field(default_factory=DecidePolicy)
    forecast: ForecastPolicy = field(default_factory=ForecastPolicy)
    history_minutes: int = 1440
    seed: int = 0
    disturb: Disturb = lambda seen: seen
    counts: dict[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the counts; the first `history_minutes` are history."""
        rng = np.random.default_rng(self.seed)
        self.counts = {n: rng.poisson(r * MINUTE_S) / MINUTE_S for n, r in self.rates_rps.items()}

    def observe(self, now_s: float) -> Observation:
        """Look at the minute that ended now; an Observer."""
        minute = round((now_s - SUNDAY_S) / MINUTE_S) - 1
        demand = {
            name: ClassDemand(
                float(counts[minute]),
                float(counts[minute]) * MIXES[name].mean_prefill_tokens,
                float(counts[minute]) * MIXES[name].mean_osl_tokens,
                MIXES[name],
            )
            for name, counts in self.counts.items()
        }
        return self.disturb(Observation(now_s, MINUTE_S, demand, self.pools.look(now_s), demand_at_s=now_s))

    def run(self) -> list[Record]:
        """Tick through all minutes after the history."""
        policy = TickPolicy("shop", self.forecast, self.plan, self.decide)
        forecaster = Forecasting(self.forecast, list(self.counts), self.plan.hold_horizon_s())
        past = self.history_minutes
        forecaster.seed({name: self._past(name) for name in self.counts})
        memory = Memory()
        ports = Ports(self, forecaster, self.pools, memory)
        minutes = len(next(iter(self.counts.values())))
        for minute in range(past, minutes):
            tick(SUNDAY_S + MINUTE_S * (minute + 1), ports, policy, Served(layouts(), "sha256:0", "test"))
        return memory.records

    def _past(self, name: str) -> dict[Signal, Series]:
        arrivals = Series.of(self.counts[name][: self.history_minutes], SUNDAY_S)
        mix = MIXES[name]
        tokens = {Signal.ARRIVALS: 1.0, Signal.PREFILL_TOKENS: mix.mean_prefill_tokens}
        tokens[Signal.DECODE_TOKENS] = mix.mean_osl_tokens
        return {s: replace(arrivals, values=arrivals.values * each) for s, each in tokens.items()}


def changes(records: list[Record]) -> list[tuple[int, Role, int]]:
    """Return every change: the number of its tick, the role, and by how many replicas."""
    return [
        (number, role, count - record.decision.current[role])
        for number, record in enumerate(records)
        for role, count in record.decision.changes.items()
    ]
