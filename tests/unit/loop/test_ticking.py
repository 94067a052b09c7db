"""A deployment's ticks begin with its history, and catch up after a pause."""

import logging
from collections.abc import Mapping

import pytest

from models.decision import Record
from models.errors import ObserveError
from models.observation import QUEUE_GAP, Gap, Observation
from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.prediction import Forecast
from models.series import Series
from models.values import Signal
from planner.act.dryrun import DryRun
from planner.history import SPAN_S
from planner.loop import RETRY_S, Ticking
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served
from tests import builders

START_S = builders.AT_S
PAST: Mapping[str, Mapping[Signal, Series]] = {"pages": {Signal.ARRIVALS: Series.of([1.0, 2.0])}}


class Observing:
    def observe(self, now_s: float) -> Observation:
        return builders.observation(at_s=now_s)


class Forecasting:
    def __init__(self) -> None:
        self.seeded: list[Mapping[str, Mapping[Signal, Series]]] = []

    def seed(self, past: Mapping[str, Mapping[Signal, Series]]) -> None:
        self.seeded.append(past)

    def absorb(self, observation: Observation) -> None:
        return

    def forecast(self, now_s: float) -> Forecast:
        return builders.forecast({"pages": 100.0, "email": 20.0}, at_s=now_s)


class Source:
    """Answer, or fail as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[tuple[float, float]] = []
        self.gaps: tuple[Gap, ...] = ()
        self.failed = False
        self._failures = failures

    def history(self, until_s: float, span_s: float) -> Mapping[str, Mapping[Signal, Series]]:
        self.asked.append((until_s, span_s))
        self.failed = len(self.asked) <= self._failures
        self.gaps = (Gap("history of pages", "no answer"),) if self.failed else ()
        return {} if self.failed else PAST


def ticking(source: Source, checks: list[float] | None = None, check_fails: bool = False) -> Ticking:
    def check(now_s: float) -> tuple[Gap, ...]:
        if checks is not None:
            checks.append(now_s)
        if check_fails:
            raise ObserveError("no answer")
        return (Gap(QUEUE_GAP, "no waiting gauge: a backlog is not seen"),)

    forecasting = Forecasting()
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy(), DecidePolicy())
    ports = Ports(Observing(), forecasting, DryRun(), Memory())
    return Ticking(ports, forecasting, source, check, policy, Served(builders.layouts(), "sha256:0", "0"))


def run(one: Ticking, *after_s: float) -> list[Record]:
    made = [one(START_S + after) for after in after_s]
    return [record for record in made if record is not None]


def test_history_is_read_back_once_before_the_first_tick() -> None:
    source = Source()

    records = run(ticking(source), 0, 60, 120)

    assert source.asked == [(START_S, SPAN_S)]
    assert [r.observation.at_s for r in records] == [START_S, START_S + 60, START_S + 120]


def test_a_server_that_did_not_answer_is_asked_again_later_while_ticks_go_on() -> None:
    source = Source(failures=1)

    records = run(ticking(source), 0, 60, 120, RETRY_S, RETRY_S + 60)

    assert [until - START_S for until, _ in source.asked] == [0, RETRY_S]
    assert len(records) == 5


def test_after_a_pause_the_missed_minutes_are_read_back_and_no_more() -> None:
    source = Source()

    run(ticking(source), 0, 60, 3600, 3660)

    assert [until - START_S for until, _ in source.asked] == [0, 3600]
    assert 3540 < source.asked[1][1] < SPAN_S


def test_what_the_preset_lacks_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    checks: list[float] = []

    with caplog.at_level(logging.WARNING):
        run(ticking(Source(), checks), 0, 60, 120)

    assert len(checks) == 1
    assert [r.getMessage() for r in caplog.records] == ["queue: no waiting gauge: a backlog is not seen"]


def test_a_check_that_fails_stops_no_tick_and_is_made_again() -> None:
    checks: list[float] = []

    records = run(ticking(Source(), checks, check_fails=True), 0, 60)

    assert len(checks) == len(records) == 2
