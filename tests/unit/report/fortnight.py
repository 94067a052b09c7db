"""Live through the recorded fortnight of servegen_m-small with several policies, a journal each.

The series is real: rates and mean lengths every ten minutes, scaled so that the builders' layouts carry it.
The fleet does what it is told within a step. No request is simulated: what a track says of promises comes
from the model alone, as it does in a cluster.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np

from models.capacity.load import ClassLoad
from models.decision import Decision, Outcome, Record, Status
from models.mix import RequestMix
from models.observation import ClassDemand, Observation, PoolState
from models.policy import DecidePolicy, ForecastPolicy, JournalPolicy, PoolPolicy, TickPolicy
from models.prediction import Forecast, SignalForecast
from models.values import Role, Signal
from planner.policies.sizing import fleet_for
from planner.ports import Ports
from planner.record.journal import Journal
from planner.record.setting import Setting, write_setting
from planner.tick import Served, tick
from tests import builders
from tests.components import trace

STEP_S = 600.0
BEGIN_S = 1_699_920_000.0
# Mean rate of the shared test fleet; the recorded one is that of a whole service.
_MEAN_RPS = 240.0
_TOKENS = 30.0
_ERROR = 0.05
Counts = Mapping[Role, int]


@dataclass(frozen=True)
class Minute:
    """One step of the series; `None`: an empty window, in which nothing was recorded."""

    at_s: float
    rps: float | None
    isl_tokens: float
    osl_tokens: float

    def load(self) -> list[ClassLoad]:
        mix = RequestMix.constant(self.isl_tokens, self.osl_tokens)
        return [ClassLoad.steady(builders.CHAT, self.rps or 0.0, mix)]


def recorded() -> list[Minute]:
    """Return the fortnight: 2,016 steps of ten minutes, some of them empty."""
    with trace("servegen_m-small_10min_real.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["rps"]) for row in rows]
    scale = _MEAN_RPS * len(rates) / sum(rates)
    return [
        Minute(
            BEGIN_S + STEP_S * (i + 1),
            rate * scale if rate > 0 else None,
            max(float(row["prefill_tok_per_req"]) * _TOKENS, 64.0),
            max(float(row["decode_tok_per_req"]) * 8.0, 8.0),
        )
        for i, (row, rate) in enumerate(zip(rows, rates, strict=True))
    ]


POLICY = TickPolicy(
    "shop",
    ForecastPolicy(grid_s=STEP_S, reach_s=2 * STEP_S),
    replace(
        builders.plan_policy(
            (builders.CHAT,),
            pools={
                role: PoolPolicy(startup_s=300.0, startup_p99_s=900.0) for role in (Role.PREFILL, Role.DECODE)
            },
        ),
        interval_s=STEP_S,
        attainment_window_s=86_400.0,
    ),
    DecidePolicy(max_demand_age_s=STEP_S),
    config_digest="sha256:c",
)
SETTING = Setting(POLICY, builders.layouts(), "sha256:p")


class Instant:
    """A fleet that has what was ordered a step ago, observed as metrics would show it."""

    def __init__(self, begin: Counts) -> None:
        self.ready = dict(begin)
        self.minute: Minute | None = None

    def observe(self, now_s: float) -> Observation:
        assert self.minute is not None
        now, pools = self.minute, {role: PoolState(n, n) for role, n in self.ready.items()}
        if now.rps is None:
            return Observation(now_s, STEP_S, {"chat": ClassDemand(None, None, None)}, pools)
        mix = RequestMix.constant(now.isl_tokens, now.osl_tokens)
        demand = ClassDemand(now.rps, now.rps * now.isl_tokens, now.rps * now.osl_tokens, mix)
        return Observation(now_s, STEP_S, {"chat": demand}, pools, demand_at_s=now_s)

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        self.ready = dict(decision.final)
        return Outcome(Status.APPLIED if decision.changes else Status.UNCHANGED)


class Informed:
    """Say what comes, five per cent off, with bands that are true of that; learning is not what is tested."""

    def __init__(self, series: list[Minute]) -> None:
        self._series, self._chance = series, np.random.default_rng(0)
        self._levels = POLICY.forecast.levels
        self._spread = [1.0 + _ERROR * NormalDist().inv_cdf(level) for level in self._levels]

    def absorb(self, observation: Observation) -> None:
        """Learn nothing."""

    def forecast(self, now_s: float) -> Forecast:
        at = round((now_s - BEGIN_S) / STEP_S)
        coming = [each for each in self._series[at : at + 2] if each.rps is not None]
        if len(coming) < 2:
            return Forecast(now_s, reasons=("nothing is known of what comes",))
        off = [1.0 + _ERROR * z for z in self._chance.standard_normal(2)]
        return Forecast(now_s, {"chat": {signal: self._path(coming, off, signal) for signal in Signal}})

    def _path(self, coming: list[Minute], off: list[float], signal: Signal) -> SignalForecast:
        values = [_value(each, signal) / error for each, error in zip(coming, off, strict=True)]
        paths = tuple(tuple(value * spread for value in values) for spread in self._spread)
        return SignalForecast(
            self._levels, (STEP_S, 2 * STEP_S), paths, "informed", "of this test", max(values)
        )


def _value(minute: Minute, signal: Signal) -> float:
    tokens = {
        Signal.ARRIVALS: 1.0,
        Signal.PREFILL_TOKENS: minute.isl_tokens,
        Signal.DECODE_TOKENS: minute.osl_tokens,
    }
    return (minute.rps or 0.0) * tokens[signal]


class Watched(Instant):
    """A fleet that nobody moves: Headgate only looks at it."""

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        return Outcome(Status.UNCHANGED, "observe")


def headgate(folder: Path, series: list[Minute], acts: bool, begin: Counts) -> None:
    """Live through the series with Headgate's own tick, on a fleet that follows it or is only watched."""
    fleet = Instant(begin) if acts else Watched(begin)
    ports = Ports(fleet, Informed(series), fleet, _journal(folder))
    for minute in series:
        fleet.minute = minute
        tick(minute.at_s, ports, POLICY, Served(SETTING.layouts, SETTING.profile_digest, "0.1.0"))


def other(folder: Path, series: list[Minute], choose: Callable[[int], Counts]) -> None:
    """Live through the series with counts that `choose` names for each step."""
    journal, fleet = _journal(folder), Instant(choose(0))
    for i, minute in enumerate(series):
        fleet.minute = minute
        seen, wanted = fleet.observe(minute.at_s), dict(choose(i))
        decision = Decision(dict(fleet.ready), dict(fleet.ready), wanted)
        outcome = fleet.act(decision, seen)
        reason = Forecast(minute.at_s, reasons=("forecasts nothing",))
        named = f"shop@{minute.at_s:.3f}"
        journal.record(
            Record(named, "shop", seen, reason, None, decision, outcome, "sha256:c", "sha256:p", "0.1.0")
        )


def fleet_of(minute: Minute) -> dict[Role, int]:
    """Return the fleet that a step's load needs at the very least."""
    return fleet_for(minute.load() if minute.rps else [], builders.layouts(), POLICY.plan)


def _journal(folder: Path) -> Journal:
    write_setting(folder, SETTING)
    return Journal(JournalPolicy(str(folder)))
