"""Set the stages of the contest: recorded hours undisturbed, at night, in a crowd, after an outage.

Demand is scaled so that the busiest ten minutes of the undisturbed span hold `PEAK_RPS` requests a second of
16,000 tokens in and 700 out: about 11 prefill replicas of 20,000 tokens/s and 7 decode replicas of two GPUs.
Everything recorded before the span is the history, at least four days of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from models.policy import (
    USUAL_FORECASTERS,
    DecidePolicy,
    ForecastPolicy,
    PlanPolicy,
    PoolPolicy,
    TickPolicy,
)
from models.series import Floats
from models.values import RequestClass, Role, Slo
from planner.contest import Setup
from planner.replay import Stage
from planner.tick import Served
from tests import builders
from tests.bench.recorded_load import (
    CLASS_NAME,
    CONVERSATION,
    OSL,
    SERVEGEN,
    Minutes,
    conversation,
    measured,
    requests,
    servegen,
)
from tests.components import trace
from tests.demand import DAY_S, MINUTES_PER_DAY

# As a configuration that states none.
WINDOW_S = 86_400.0
TARGET = 0.99
PEAK_RPS = 11.0
LONGER_OUTPUTS = 700.0 / OSL
# A prompt of 16,000 tokens takes 0.8 s; of lengths that vary by 0.4 the longest in 1,000 takes 2.3 s.
PROMISED = RequestClass(CLASS_NAME, Slo(ttft_s=4.0, itl_s=0.05))
PEAK_WINDOW = 10

# Long answers begin within an hour in the evening and end within one in the morning.
NIGHT_BEGINS_H, NIGHT_ENDS_H, NIGHT_OUTPUTS_RATIO = 22.0, 7.0, 2.5
# A crowd comes within two minutes, brings 1.5 times the usual demand besides it, and leaves as fast.
CROWD_MINUTES, CROWD_EDGE_MINUTES, CROWD_RATIO = 40, 2.0, 1.5
# Nobody reaches the fleet for 20 minutes. Half of those turned away come back, on average after 5 minutes.
OUTAGE_MINUTES, RETRIED_RATIO, RETRY_MINUTES = 20, 0.5, 5.0


class Kind(StrEnum):
    """By which criteria a scenario is judged."""

    DAY = "day"
    SHOCK = "shock"


@dataclass(frozen=True, slots=True)
class Shape:
    """Hold a service's minutes, the ones to replay, and when in them a shock comes.

    `onset_min` counts from the first replayed minute.
    """

    minutes: Minutes
    first: int
    last: int
    onset_min: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Name a stage and the development day of its service, on which an autoscaler may be tuned."""

    key: str
    name: str
    kind: Kind
    service: str
    shape: Callable[[], Shape]


def scenarios() -> tuple[Scenario, ...]:
    """Return the judged ones; skips, as tests.components does, where recorded traffic is absent."""
    for recorded in (CONVERSATION, SERVEGEN):
        trace(recorded)
    return (
        Scenario("day", "conversation, a Thursday", Kind.DAY, "conversation", _day),
        Scenario("ramp", "conversation, Sunday evening to Monday", Kind.DAY, "conversation", _ramp),
        Scenario("night", "servegen, a decode-heavy night", Kind.DAY, "servegen-nights", _night),
        Scenario("crowd", "servegen, a flash crowd", Kind.SHOCK, "servegen", _crowd),
        Scenario(
            "flood", "conversation, an outage and the flood after it", Kind.SHOCK, "conversation", _flood
        ),
    )


def development(service: str) -> Scenario:
    """Return an undisturbed day of a service that is not judged."""
    days = {
        "conversation": _conversation_tuesday,
        "servegen": _servegen_friday,
        "servegen-nights": _night_before,
    }
    return Scenario(f"tuning-{service}", f"{service}, tuning", Kind.DAY, service, days[service])


def stage(scenario: Scenario, startup_s: float, seed: int) -> Stage:
    """Draw history and requests from a seed and set them on the contest's fleet."""
    shape = scenario.shape()
    layouts = {
        Role.PREFILL: builders.prefill_layout(20_000.0),
        Role.DECODE: builders.decode_layout(0.012, 0.0006, tp=2),
    }
    return Stage(
        trace=scenario.key,
        workload=requests(shape.minutes, slice(shape.first, shape.last), seed),
        layouts=layouts,
        classes=(PROMISED,),
        startup_s=dict.fromkeys(layouts, startup_s),
        history={CLASS_NAME: measured(shape.minutes, shape.first, seed)},
        seed=seed,
    )


def setup(on: Stage, attainment: float = TARGET) -> Setup:
    """Configure the contestants as a user would: true start-up times, the usual forecasters, no budget."""
    pools = {role: PoolPolicy(startup_s=s, startup_p99_s=max(600.0, s)) for role, s in on.startup_s.items()}
    plan = PlanPolicy(on.classes, pools, attainment=attainment, attainment_window_s=WINDOW_S)
    reach_s = max(ForecastPolicy().reach_s, plan.least_reach_s())
    forecast = ForecastPolicy(reach_s=reach_s, forecasters=USUAL_FORECASTERS)
    return Setup(TickPolicy(on.trace, forecast, plan, DecidePolicy()), Served(on.layouts, "", ""))


def _at(day: int, hour: float) -> int:
    return round(day * MINUTES_PER_DAY + hour * 60)


def _shape(minutes: Minutes, first: int, last: int) -> Shape:
    """Scale so that the busiest minutes of the span reach the peak."""
    longer = replace(minutes, osl_tokens=minutes.osl_tokens * LONGER_OUTPUTS)
    return Shape(replace(longer, rps=longer.rps * PEAK_RPS / busiest(longer.rps[first:last])), first, last)


def busiest(per_minute: Floats) -> float:
    """Return the highest mean of `PEAK_WINDOW` minutes."""
    known = np.nan_to_num(per_minute)
    return float(np.lib.stride_tricks.sliding_window_view(known, PEAK_WINDOW).mean(axis=1).max())


def _conversation_tuesday() -> Shape:
    return _shape(conversation(), _at(2, 0), _at(3, 0))


def _servegen_friday() -> Shape:
    return _shape(servegen(), _at(5, 0), _at(6, 0))


def _day() -> Shape:
    return _shape(conversation(), _at(4, 0), _at(5, 0))


def _ramp() -> Shape:
    """Put the recorded Sunday and Monday behind the recorded Saturday: else no Monday had a history."""
    week = conversation()

    def turned(values: Floats) -> Floats:
        days = values.reshape(-1, MINUTES_PER_DAY)
        return np.concatenate([days[2:], days[:2]]).ravel()

    tuesday_s = week.start_s + 2 * DAY_S
    later = Minutes(turned(week.rps), turned(week.isl_tokens), turned(week.osl_tokens), tuesday_s)
    return _shape(later, _at(5, 18), _at(6, 15))


def _night() -> Shape:
    return _shape(_long_nights(), _at(6, 18), _at(7, 14))


def _night_before() -> Shape:
    return _shape(_long_nights(), _at(4, 18), _at(5, 14))


def _long_nights() -> Minutes:
    """Lay long answers over every recorded night: outputs 2.5 times as long.

    As recorded requests halve at night and outputs per prompt token rise 1.6-fold; with it prefill falls to
    40 % of the evening's while decode doubles.
    """
    recorded = servegen()
    hour = np.arange(recorded.rps.size) / 60.0 % 24.0
    since, length = (hour - NIGHT_BEGINS_H) % 24.0, (NIGHT_ENDS_H - NIGHT_BEGINS_H) % 24.0
    edge = np.clip(np.minimum(since, length - since), 0.0, 1.0)
    return replace(recorded, osl_tokens=recorded.osl_tokens * (1.0 + (NIGHT_OUTPUTS_RATIO - 1.0) * edge))


def _crowd() -> Shape:
    """Send a crowd at 11:20 of a day on which nothing had announced it."""
    shape = _shape(servegen(), _at(8, 6), _at(8, 18))
    onset = 5 * 60 + 20
    since = np.arange(shape.minutes.rps.size) - (shape.first + onset)
    edge = np.clip(np.minimum(since, CROWD_MINUTES - since) / CROWD_EDGE_MINUTES, 0.0, 1.0)
    rps = shape.minutes.rps * (1.0 + CROWD_RATIO * edge)
    return replace(shape, minutes=replace(shape.minutes, rps=rps), onset_min=onset)


def _flood() -> Shape:
    """Let no request through for a while in a Wednesday's morning; then many come again, beside the usual.

    Demand at the fleet is truly zero and telemetry says so: what failed stands in front of it.
    """
    shape = _shape(conversation(), _at(3, 4), _at(3, 16))
    back = shape.first + 6 * 60
    rps = shape.minutes.rps.copy()
    turned_away = 60.0 * float(rps[back - OUTAGE_MINUTES : back].sum())
    rps[back - OUTAGE_MINUTES : back] = 0.0
    after = np.arange(rps.size - back) / RETRY_MINUTES
    share = np.exp(-after) - np.exp(-after - 1.0 / RETRY_MINUTES)
    rps[back:] += RETRIED_RATIO * turned_away * share / 60.0
    return replace(shape, minutes=replace(shape.minutes, rps=rps), onset_min=back - shape.first)
