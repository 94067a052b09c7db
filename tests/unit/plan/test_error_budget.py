"""A promise over a day may be spent where demand is at its worst, and only as far as the day keeps it."""

from dataclasses import replace

import numpy as np
import pytest

from models.capacity.fleet import FleetModel
from models.capacity.load import Loads
from models.mix import RequestMix
from models.plan.error_budget import MOST_AT_FIRST, MOST_BURN, burn_rate, lost, steered
from models.plan.scenarios import Scenarios, scenarios
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.values import RequestClass, Role, Slo
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
    assert 1.2 < burn <= MOST_AT_FIRST
    assert _kept(usual, burn) >= 0.99
    # At the promise itself the day would keep more than it was promised.
    assert _kept(usual, 1.0) > _kept(usual, burn)


def test_demand_that_wavers_by_what_only_caution_covers_leaves_less_to_spend() -> None:
    usual = _usual(np.linspace(40.0, 160.0, 24))
    wavering = usual.copy()
    wavering[:, -1] *= 1.03
    assert _burn(wavering) < _burn(usual)


def test_a_day_that_shook_its_fleets_leaves_nothing_to_spend() -> None:
    usual = _usual(np.full(24, 100.0))
    usual[:, -1] *= 1.6
    assert _burn(usual) == 1.0


ALLOWED = np.array([0.006])


def test_an_hour_without_a_loss_raises_the_burn_rate_and_one_that_loses_lowers_it() -> None:
    assert steered(3.0, np.array([0.0]), ALLOWED) > 3.0
    assert steered(3.0, ALLOWED, ALLOWED) == pytest.approx(3.0)
    assert steered(3.0, 2.0 * ALLOWED, ALLOWED) < 3.0
    # One bad hour takes three quarters of it at most.
    assert steered(8.0, np.array([1.0]), ALLOWED) == pytest.approx(2.0)
    # The class that lost most counts, and the rate stays in its bounds.
    assert steered(3.0, np.array([0.0, 0.02]), np.array([0.006, 0.006])) < 3.0
    assert steered(1.0, np.array([1.0]), ALLOWED) == 1.0
    assert steered(MOST_BURN, np.array([0.0]), ALLOWED) == MOST_BURN


def test_in_the_long_run_as_much_is_lost_as_may_be() -> None:
    # Losses grow with the burn rate and come by chance: one hour in twenty loses twenty times as much.
    rng = np.random.default_rng(4)
    burn, spent = 1.0, []
    for _ in range(4_000):
        now = 0.0006 * burn * float(rng.choice([0.0, 20.0], p=[0.95, 0.05]))
        spent.append(now)
        burn = steered(burn, np.array([now]), ALLOWED)
    assert np.mean(spent) == pytest.approx(0.006, rel=0.1) or burn == MOST_BURN


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


def _ticked(budget: ErrorBudget, ready: int, rate_rps: float = 100.0) -> list[float]:
    """Return the burn rates of the ticks of two hours in which a fleet meets a demand foreseen as 100 rps."""
    first_s = HOUR_S * np.ceil(builders.AT_S / HOUR_S)
    found = []
    for i in range(121):
        at_s = first_s + 60.0 * i
        seen = observation({"pages": rate_rps}, {Role.PREFILL: ready, Role.DECODE: ready}, at_s=at_s)
        found.append(budget.burn_rate(seen, forecast({"pages": 100.0}, 0.05), DAY))
    return found


def test_the_day_before_sets_the_burn_rate_and_a_fleet_that_keeps_all_raises_it_by_the_hour() -> None:
    rates = _ticked(ErrorBudget(layouts(), _remembered(26)), ready=60)
    assert rates[0] > 1.2
    assert rates[:60] == [rates[0]] * 60
    assert rates[0] < rates[60] < rates[120] or rates[60] == MOST_BURN


def test_a_fleet_that_lost_what_was_foreseen_lowers_the_burn_rate() -> None:
    rates = _ticked(ErrorBudget(layouts(), _remembered(26)), ready=4)
    assert 1.0 <= rates[60] < rates[0]


def test_losses_to_demand_that_nobody_foresaw_do_not() -> None:
    rates = _ticked(ErrorBudget(layouts(), _remembered(26)), ready=4, rate_rps=180.0)
    assert rates[60] == rates[0]


def test_what_was_lost_is_judged_by_the_lengths_that_came() -> None:
    # Twice as many prompts of half the length were foreseen: as many tokens.
    now = scenarios(observation({"pages": 100.0}), forecast({"pages": 100.0}, 0.05), [PAGES], 195.0)
    assert now is not None
    half = RequestMix.constant(PAGES_MIX.mean_isl_tokens / 2, PAGES_MIX.mean_osl_tokens / 2)
    said = now.loads
    twice = Loads((PAGES,), (half,), 2.0 * said.rate_rps, 2.0 * said.prefill_rps, 2.0 * said.decode_rps)
    came = 100.0 * np.array([[1.0], [PAGES_MIX.mean_prefill_tokens], [PAGES_MIX.mean_osl_tokens]])
    fleet = {Role.PREFILL: 8, Role.DECODE: 4}
    told, foreseen = (
        lost(came, fleet, each, now, layouts(), DAY) for each in (Scenarios(twice, now.weights), now)
    )
    assert told is not None
    assert foreseen is not None
    assert 0.001 < told[0] < 0.9
    assert told[0] == foreseen[0]


def test_burn_rates_are_the_same_however_often_a_look_is_repeated() -> None:
    once, twice = (ErrorBudget(layouts(), _remembered(26)) for _ in range(2))
    first_s = HOUR_S * np.ceil(builders.AT_S / HOUR_S)
    ahead = forecast({"pages": 100.0}, 0.05)
    for i in range(61):
        at_s = first_s + 60.0 * i
        seen = observation({"pages": 100.0}, {Role.PREFILL: 4, Role.DECODE: 4}, at_s=at_s)
        expected = once.burn_rate(seen, ahead, DAY)
        assert [twice.burn_rate(seen, ahead, DAY) for _ in range(2)] == [expected] * 2


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
