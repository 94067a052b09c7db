"""Measure burstiness from counts: what users make of a window, apart from what the day makes of it."""

from collections.abc import Callable

import numpy as np
import pytest

from models.series import Floats
from planner.observe.bursts import STEPS, Bursts

HALF_MINUTE_S = 30.0


def measured(counts: Floats, gap_after: int | None = None) -> float | None:
    bursts = Bursts()
    for i, count in enumerate(counts.tolist()):
        begin_s = HALF_MINUTE_S * i + (3600.0 if gap_after is not None and i > gap_after else 0.0)
        bursts.add(begin_s, begin_s + HALF_MINUTE_S, count)
    return bursts.cv2()


def poisson(rates: Floats, seed: int) -> Floats:
    return np.random.default_rng(seed).poisson(rates).astype(float)


def steady(rate: float) -> Floats:
    return np.full(480, rate)


def ramp(rate: float) -> Floats:
    return np.linspace(rate, 8.0 * rate, 480)


@pytest.mark.parametrize("rates", [steady, ramp], ids=["steady", "a ramp to eight times the rate"])
@pytest.mark.parametrize("mean", [3.0, 60.0, 3000.0])
def test_independent_users_are_poisson_whatever_the_hour_does(
    rates: Callable[[float], Floats], mean: float
) -> None:
    # 24 draws: an estimate of 480 windows strays by 8 %, a step begins at 22 % over 1.
    assert {measured(poisson(rates(mean), seed)) for seed in range(24)} == {1.0}


@pytest.mark.parametrize("batch", [2.0, 4.0])
def test_users_who_come_in_batches_of_one_size_are_as_bursty_as_it(batch: float) -> None:
    found = [measured(batch * poisson(steady(40.0), seed)) for seed in range(24)]
    # Counts of equal batches vary by the size of the batch (index of dispersion).
    assert np.median([one for one in found if one is not None]) == batch
    assert all(one is not None and batch / 1.6 < one < batch * 1.6 for one in found)


def test_one_wild_window_makes_no_habit() -> None:
    counts = poisson(steady(60.0), 3)
    counts[200] = 6000.0
    assert measured(counts) == 1.0


def test_a_pause_is_no_burst() -> None:
    counts = np.concatenate([poisson(steady(20.0)[:200], 1), poisson(steady(400.0)[:200], 2)])
    assert measured(counts, gap_after=199) == 1.0


def test_few_windows_say_little_and_none_say_nothing() -> None:
    assert Bursts().cv2() is None
    assert measured(np.zeros(100)) is None
    assert measured(np.array([10.0, 14.0, 9.0])) == 1.0


def test_bursts_beyond_the_last_step_stay_there() -> None:
    assert measured(100.0 * poisson(steady(2.0), 5)) == STEPS[-1]


def test_a_window_that_was_known_changes_nothing() -> None:
    bursts = Bursts()
    bursts.add(0.0, 30.0, 10.0)
    bursts.add(30.0, 60.0, 12.0)
    before = bursts.cv2()
    bursts.add(30.0, 60.0, 900.0)
    bursts.add(0.0, 30.0, 900.0)
    assert bursts.cv2() == before
