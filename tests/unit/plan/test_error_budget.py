"""A promise over a day may be spent where demand is at its worst, and only as far as the day keeps it."""

from dataclasses import replace

import numpy as np
import pytest

from models.capacity.fleet import FleetModel
from models.capacity.load import Loads
from models.plan.error_budget import MOST_BURN, burn_rate
from models.plan.scenarios import scenarios
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.values import RequestClass, Slo
from planner.history import History
from planner.learning.error_budget import HOUR_S, ErrorBudget
from tests import builders
from tests.builders import PAGES, PAGES_MIX, forecast, layouts, observation, plan_policy

DAY = replace(plan_policy([PAGES]), attainment_window_s=86_400.0)
STEPS = 6


def _usual(
    rates_rps: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Make steady spells of one class at these rates, shape (spells, steps, 3, 1)."""
    return np.broadcast_to(rates_rps[:, None, None, None], (rates_rps.size, STEPS, 3, 1)).copy()


def _burn(usual: np.ndarray[tuple[int, ...], np.dtype[np.float64]], policy: PlanPolicy = DAY) -> float:
    ahead = scenarios(observation({"pages": 100.0}), forecast({"pages": 100.0}, 0.01), [PAGES], 195.0)
    assert ahead is not None
    return burn_rate(usual, ahead, layouts(), policy)


def _kept(usual: np.ndarray[tuple[int, ...], np.dtype[np.float64]], burn: float) -> float:
    """Compute what the day keeps by sizing each spell for itself, without the code that is tested."""
    ahead = scenarios(observation({"pages": 100.0}), forecast({"pages": 100.0}, 0.01), [PAGES], 195.0)
    assert ahead is not None
    aims = {"pages": 1.0 - burn * (1.0 - DAY.targets()["pages"])}
    met = 0.0
    for rate in usual[:, 0, 0, 0]:
        ratio = rate / ahead.loads.rate_rps[2]
        doubted = Loads((PAGES,), (PAGES_MIX,), *(ahead.loads.rate_rps * ratio,) * 3)
        search = FleetSearch(FleetModel(layouts(), doubted, DAY.router), ahead.weights, aims)
        fleet = search.cheapest({role: search.alone(role) for role in search.roles})
        sure = Loads((PAGES,), (PAGES_MIX,), *(np.array([[rate]]),) * 3)
        met += rate * float(FleetModel(layouts(), sure, DAY.router).attainment(fleet)[0, 0])
    return met / float(usual[:, 0, 0, 0].sum())


def test_a_day_that_moves_lets_its_worst_moments_miss_more_and_keeps_the_promise() -> None:
    usual = _usual(np.linspace(40.0, 160.0, 24))
    burn = _burn(usual)
    assert 1.2 < burn <= MOST_BURN
    assert _kept(usual, burn) >= 0.99
    # At the promise itself the day would keep more than it was promised.
    assert _kept(usual, 1.0) > _kept(usual, burn)


def test_a_day_that_shook_its_fleets_leaves_nothing_to_spend() -> None:
    usual = _usual(np.full(24, 100.0))
    usual[:, -1] *= 1.6
    assert _burn(usual) == 1.0


def test_a_burn_rate_multiplies_the_misses_of_each_promise_and_no_other() -> None:
    strict = RequestClass("strict", Slo(ttft_s=0.3, attainment=0.999))
    policy = replace(plan_policy([PAGES, strict, builders.EMAIL]), burn_rate=3.0)
    assert policy.targets() == pytest.approx({"pages": 0.97, "strict": 0.997, "email": 0.97})


def _remembered(hours: int) -> History:
    """Remember pages by the minute, between 40 and 160 a second over a day, up to `builders.AT_S`."""
    history = History()
    rng = np.random.default_rng(3)
    minutes = hours * 60
    for i in range(minutes):
        at_s = builders.AT_S - 60.0 * (minutes - i)
        rate = 100.0 + 60.0 * np.sin(2 * np.pi * at_s / 86_400.0) + rng.normal(0.0, 0.5)
        history.absorb(observation({"pages": float(rate)}, at_s=at_s))
    return history


def test_what_was_remembered_of_a_day_sets_the_burn_rate_until_the_next_hour() -> None:
    budget = ErrorBudget(layouts(), _remembered(26))
    seen, ahead = observation({"pages": 100.0}), forecast({"pages": 100.0}, 0.01)
    first = budget.burn_rate(seen, ahead, DAY)
    assert first > 1.2
    # Within the hour the answer stands, whatever is asked.
    other = forecast({"pages": 400.0}, 0.2)
    assert budget.burn_rate(replace(seen, at_s=seen.at_s + 60.0), other, DAY) == first
    assert budget.burn_rate(replace(seen, at_s=seen.at_s + HOUR_S), other, DAY) != first


@pytest.mark.parametrize(
    ("hours", "policy", "fallback"),
    [
        (26, replace(DAY, attainment_window_s=0.0), None),
        (26, DAY, "the last value"),
        (8, DAY, None),
        (0, DAY, None),
    ],
    ids=["every moment", "forecast not trusted", "a third of a day", "nothing remembered"],
)
def test_nothing_is_spent_where_it_was_not_asked_or_is_not_known(
    hours: int, policy: PlanPolicy, fallback: str | None
) -> None:
    budget = ErrorBudget(layouts(), _remembered(hours))
    ahead = forecast({"pages": 100.0}, 0.01, fallback=fallback)
    assert budget.burn_rate(observation({"pages": 100.0}), ahead, policy) == 1.0
