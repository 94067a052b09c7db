"""Requests that may wait fill troughs: what is idle serves them first, and yet they are done in time."""

from dataclasses import replace
from datetime import time

import numpy as np
import pytest

from models.decision import Record
from models.deferral import Backlog, Deferral
from models.gpu_pool import Membership
from models.mix import RequestMix
from models.observation import Observation
from models.plan.claims import make_claim
from models.plan.deferrable import Deferred
from models.plan.sizing import size
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, TickPolicy
from models.prediction import Forecast
from models.series import Floats
from models.values import RequestClass, Role, Signal, Slo
from planner.act.dryrun import DryRun
from planner.record.line import from_line, to_line
from planner.tick import plan
from tests.builders import AT_S, PAGES, forecast, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
MINUTES = 720


def mail(within_s: float = 8 * 3600.0) -> RequestClass:
    return RequestClass("email", Slo(), 0, deferral=Deferral(within_s=within_s))


def policy(within_s: float = 8 * 3600.0, *classes: RequestClass) -> PlanPolicy:
    return plan_policy((*(classes or (PAGES,)), mail(within_s)))


def seen(requests: float | None, oldest_s: float = 0.0, pages: float = 100.0) -> Observation:
    found = observation({"pages": pages, "email": 20.0})
    if requests is None:
        return found
    email = replace(found.demand["email"], backlog=Backlog(requests, oldest_s))
    return replace(found, demand={**found.demand, "email": email})


def swinging(pages: Floats) -> Forecast:
    """Expect pages along a path of minutes, at every level alike."""
    flat = forecast({"pages": 1.0, "email": 20.0})
    offsets = tuple(60.0 * (i + 1) for i in range(len(pages)))
    signals = {
        signal: replace(
            one, offsets_s=offsets, paths=tuple(tuple((one.recent_peak * pages).tolist()) for _ in one.paths)
        )
        for signal, one in flat.signals["pages"].items()
    }
    return Forecast(AT_S, {"pages": signals, "email": flat.signals["email"]})


def rate(found: Deferred) -> float:
    return found.forecast.signals["email"][Signal.ARRIVALS].paths[0][0]


def test_without_a_backlog_that_is_known_nothing_changes() -> None:
    expected = forecast({"pages": 100.0, "email": 20.0})
    unknown = Deferred.over(seen(None), expected, layouts(), policy())
    nobody = Deferred.over(seen(5000), expected, layouts(), plan_policy())

    assert unknown.forecast is expected
    assert nobody.forecast is expected
    assert unknown.sentences == ()


def test_what_the_promises_leave_idle_serves_a_small_backlog_without_a_gpu_more() -> None:
    expected = forecast({"pages": 100.0, "email": 20.0})
    small = size(seen(20_000), expected, layouts(), policy())
    without = size(seen(0), expected, layouts(), policy())

    assert small is not None
    assert without is not None
    assert small.replicas() == without.replicas()
    assert (
        "20k of email wait, due within 8h: idle replicas serve them by then" in small.roles[DECODE].sentence
    )


def test_a_large_backlog_is_spread_over_the_time_that_is_left() -> None:
    expected = forecast({"pages": 100.0, "email": 20.0})
    found = Deferred.over(seen(5e6), expected, layouts(), policy())
    assert rate(found) == pytest.approx(5e6 / (8 * 3600.0), rel=0.01)
    sizing = size(seen(5e6), expected, layouts(), policy())
    without = size(seen(0), expected, layouts(), policy())
    assert sizing is not None
    assert without is not None
    assert sizing.roles[DECODE].target > without.roles[DECODE].target
    assert "of them now" in sizing.roles[DECODE].sentence


def test_less_time_asks_for_a_higher_rate() -> None:
    expected = forecast({"pages": 100.0, "email": 20.0})
    rates = [
        rate(Deferred.over(seen(2e6, oldest_s), expected, layouts(), policy()))
        for oldest_s in (0.0, 4 * 3600.0, 6 * 3600.0, 7.5 * 3600.0)
    ]

    assert rates == sorted(rates)
    assert rates[-1] > 4 * rates[0]


@pytest.mark.parametrize("requests", [1e6, 2e6])
def test_it_waits_for_the_trough_while_demand_is_high(requests: float) -> None:
    """Pages fall from 200 to 20 a second in an hour: long prompts that wait twelve hours come after that."""

    def found(pages: Floats) -> float:
        look = seen(requests, pages=float(pages[0]))
        long = replace(look.demand["email"], mix=RequestMix.constant(8000, 20))
        look = replace(look, demand={**look.demand, "email": long})
        return rate(Deferred.over(look, swinging(pages), layouts(), policy(12 * 3600.0)))

    high = np.concatenate([np.full(60, 200.0), np.full(MINUTES - 60, 20.0)])

    assert found(high) == 0.0
    assert found(np.full(MINUTES, 20.0)) == pytest.approx(requests / (12 * 3600.0), rel=0.01)


@pytest.mark.parametrize("requests", [3e5, 3e6, 2e7])
def test_what_is_served_as_it_says_is_done_in_time(requests: float) -> None:
    """Replan every ten minutes over a day of pages, and serve what was counted and what is idle."""
    hours, step_s, left = 12, 600.0, requests
    pages = 110.0 + 90.0 * np.cos(2 * np.pi * np.arange(3 * MINUTES) / (24 * 60))
    alone = replace(policy(hours * 3600.0), classes=(PAGES,))
    served_rps = []
    for begin in range(0, hours * 60, 10):
        ahead = pages[begin : begin + MINUTES]
        look = seen(left, 60.0 * begin, float(ahead[0]))
        here = Deferred.over(look, swinging(ahead), layouts(), policy(hours * 3600.0))
        sizing = size(look, swinging(ahead), layouts(), alone)
        assert sizing is not None
        # At no more than the rate that decode is sized for beyond pages, or else what it leaves idle.
        counted = rate(here)
        rest = max(0.97 * sizing.roles[DECODE].target * 60.0 - float(ahead[0]) * 50 / 700, 0.0)
        served_rps.append(max(counted, min(rest, 20.0)) if counted == 0.0 else counted)
        left = max(left - served_rps[-1] * step_s, 0.0)

    assert left <= 0.02 * requests


def test_work_of_an_earlier_end_comes_first_and_its_place_is_taken() -> None:
    late = RequestClass("late", Slo(), 0, deferral=Deferral(within_s=8 * 3600.0))
    both = policy(2 * 3600.0, PAGES, late)
    look = seen(1e6)
    look = replace(look, demand={**look.demand, "late": replace(look.demand["email"], backlog=Backlog(1e6))})
    expected = forecast({"pages": 100.0, "email": 20.0})
    one = Deferred.over(look, expected, layouts(), both)
    alone = Deferred.over(seen(1e6), expected, layouts(), policy(2 * 3600.0))

    assert rate(one) == pytest.approx(rate(alone))
    assert one.sentences[0].startswith("1M of email wait, due within 2h")
    assert one.sentences[1].startswith("1M of late wait, due within")


def test_a_batch_alone_is_spread_evenly() -> None:
    only = plan_policy((mail(3600.0),))
    found = Deferred.over(seen(3.6e6), forecast({"email": 20.0}), layouts(), only)

    assert rate(found) == pytest.approx(1000.0, rel=0.01)


def test_a_time_of_the_day_ends_a_wait_on_the_clock_of_its_zone() -> None:
    by_six = Deferral(done_by=time(6), timezone="Europe/Berlin")
    # AT_S is 22:13:20 UTC, 23:13:20 in Berlin.
    assert by_six.left_s(AT_S, None) == 6 * 3600 + 46 * 60 + 40
    assert by_six.left_s(AT_S + by_six.left_s(AT_S, None) + 1.0, None) == pytest.approx(24 * 3600 - 1.0)


def test_a_wait_that_is_over_is_due_at_once() -> None:
    assert Deferral(within_s=3600.0).left_s(AT_S, 7200.0) == 60.0
    assert Deferral(within_s=3600.0).left_s(AT_S, None) == 1800.0


@pytest.mark.parametrize("stated", [{}, {"done_by": time(6), "within_s": 60.0}])
def test_a_wait_ends_in_one_way(stated: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="one of the two"):
        Deferral(**stated)  # type: ignore[arg-type]


def test_a_decision_with_a_backlog_replays_from_its_line() -> None:
    tick_policy = TickPolicy("shop", ForecastPolicy(), policy(), DecidePolicy())
    look, expected = seen(5e6), forecast({"pages": 100.0, "email": 20.0})
    sizing, decision = plan(look, expected, tick_policy, layouts())
    outcome = DryRun().act(decision, look)
    back = from_line(to_line(Record("t", "shop", look, expected, sizing, decision, outcome, "", "", "")))

    assert plan(back.observation, back.forecast, tick_policy, layouts()) == (sizing, decision)


def test_a_pool_is_asked_for_what_a_backlog_needs_now() -> None:
    expected, member = forecast({"pages": 100.0, "email": 20.0}), Membership("shop")
    bounded = replace(policy(), budget_gpus=200)
    asked = [
        make_claim(member, seen(requests), expected, layouts(), bounded, DecidePolicy(), 200).needed_gpus
        for requests in (0.0, 5e6)
    ]

    assert asked[1] > asked[0]
