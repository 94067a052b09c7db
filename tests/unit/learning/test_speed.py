"""Learn a role's speed from single looks: slowly, within bounds, and from no wild one."""

import math

import numpy as np
import pytest

from models.policy import PoolPolicy, SurfacePolicy
from models.speed import KEPT_LOOKS, LEAST_LOOKS, Speed, corrected, learned
from models.values import Role
from tests import builders

BOUNDS = SurfacePolicy(0.8, 1.5)


def after(*looks: float, before: Speed | None = None) -> Speed:
    speed = before or Speed()
    for look in looks:
        speed = learned(speed, look, BOUNDS)
    return speed


def noisy(ratio: float, count: int, noise: float = 0.05, seed: int = 0) -> list[float]:
    drawn = np.random.default_rng(seed).normal(0.0, noise, count)
    return [math.log(ratio) + float(one) for one in drawn]


@pytest.mark.parametrize("ratio", [0.85, 1.2, 1.4])
def test_a_steady_difference_is_learned(ratio: float) -> None:
    # Shrunk by 1 of 49 looks and told in steps of 0.02.
    assert after(*noisy(ratio, KEPT_LOOKS)).ratio == pytest.approx(ratio, abs=0.05)


def test_few_looks_say_nothing() -> None:
    speed = after(*noisy(1.4, LEAST_LOOKS - 1))
    assert (speed.ratio, speed.sentence) == (1.0, "")


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_the_profile_leaves_it_as_it_is(seed: int) -> None:
    assert after(*noisy(1.0, KEPT_LOOKS, 0.1, seed)).ratio == 1.0


def test_cold_samples_do_not_move_it() -> None:
    warm = after(*noisy(1.0, 30))
    cold = after(*[math.log(8.0)] * (LEAST_LOOKS - 1), before=warm)
    assert (cold.ratio, cold.looks) == (warm.ratio, warm.looks)
    assert after(0.0, before=cold).doubted == ()


def test_a_change_that_lasts_is_taken_up() -> None:
    warm = after(*noisy(1.0, KEPT_LOOKS))
    changed = after(*noisy(1.35, LEAST_LOOKS, 0.02), before=warm)
    assert changed.ratio > 1.2
    assert len(changed.looks) == LEAST_LOOKS


@pytest.mark.parametrize(("look", "bound"), [(math.log(30.0), 1.5), (math.log(0.1), 0.8)])
def test_it_stays_within_its_bounds(look: float, bound: float) -> None:
    assert after(*[look] * KEPT_LOOKS).ratio == bound


def test_it_says_what_it_rests_on() -> None:
    assert after(*[math.log(1.2)] * KEPT_LOOKS).sentence == (
        "its replicas are 20% slower than profiled (median of 48 looks)"
    )
    assert "faster than profiled" in after(*[math.log(0.9)] * KEPT_LOOKS).sentence


def test_a_look_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        learned(Speed(), math.nan, BOUNDS)


def test_layouts_are_as_slow_as_their_pools_say_and_otherwise_the_same() -> None:
    layouts = builders.layouts()
    pools = {Role.PREFILL: PoolPolicy(surface_ratio=1.25), Role.DECODE: PoolPolicy()}
    found = corrected(layouts, pools)
    before, now = layouts[Role.PREFILL].prefill, found[Role.PREFILL].prefill
    assert before is not None
    assert now is not None
    assert now.at(2048.0, 4.0) == pytest.approx(1.25 * before.at(2048.0, 4.0))
    assert found[Role.DECODE] is layouts[Role.DECODE]
