"""Leave a fleet alone for a day in which demand is the same and only chance moves the minutes."""

import math
from itertools import pairwise

import numpy as np
import pytest

from models.decision import Record
from models.values import Role
from tests.builders import plan_policy
from tests.drawn import DrawnPools, DrawnWorld, changes

HISTORY, DAY, SETTLED = 720, 1440, 120
# Beyond counting noise each minute differs from the mean by this much, one standard deviation.
NOISE = 0.01
# Here one decode replica needs some more prefill than two, for about as many GPUs, and 2 % of demand decide.
RATES = {"pages": 175.0, "email": 77.5}


@pytest.fixture(scope="module")
def day() -> list[Record]:
    """Tick through a day on minute counts drawn around a constant rate."""
    drawn = np.random.default_rng(11).standard_normal((len(RATES), HISTORY + DAY))
    noise = np.exp(NOISE * drawn - NOISE**2 / 2)
    rates = {name: rate * noise[i] for i, (name, rate) in enumerate(RATES.items())}
    pools = DrawnPools({Role.PREFILL: 20, Role.DECODE: 2})
    return DrawnWorld(rates, pools, plan_policy(), history_minutes=HISTORY).run()


def test_a_day_of_constant_noisy_load_changes_at_most_two_counts_after_two_hours(day: list[Record]) -> None:
    late = [change for change in changes(day) if change[0] >= SETTLED]
    assert len(day) == DAY
    assert len(late) <= 2, late


def test_prefill_and_decode_do_not_take_turns(day: list[Record]) -> None:
    decode = [change for change in changes(day) if change[1] is Role.DECODE]
    assert len(decode) <= 1, decode


def test_an_autoscaler_on_the_last_minute_would_have_moved_all_day(day: list[Record]) -> None:
    """The ground that the claims stand on: replicas for 80 % utilisation by each minute's own arrivals."""
    rates = [r.observation.demand["pages"].arrivals_rps or 0.0 for r in day]
    naive = [math.ceil(rate * 8000 / 110_000 / 0.8) for rate in rates]
    assert sum(a != b for a, b in pairwise(naive)) > 100


def test_the_fleet_that_stays_is_not_much_more_than_the_need(day: list[Record]) -> None:
    gpus = {Role.PREFILL: 1, Role.DECODE: 4}

    def mean(counts: list[dict[Role, int]]) -> float:
        return sum(gpus[role] * n for each in counts for role, n in each.items()) / len(counts)

    held = mean([dict(r.decision.final) for r in day[SETTLED:]])
    needed = mean([r.sizing.replicas() for r in day[SETTLED:] if r.sizing])
    # One prefill replica of about twenty.
    assert held <= needed + 1.5
