"""Hold the blend to its weights, to its past and to what it does when a member cannot say."""

from dataclasses import dataclass

import numpy as np
import pytest

from models.forecast.backtest import Backtest
from models.forecast.conformal import calibrate
from models.forecast.pool import Contender, Pool, pool
from models.series import Floats, Series
from tests.demand import SUNDAY_S

HORIZONS_S = np.array([300.0, 900.0])
ROWS = 400
LEVELS = (0.5, 0.9)


@dataclass(frozen=True)
class Says:
    """Predict one value, whatever came before."""

    value: float

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        return np.full((len(origins_s), len(horizons_s)), self.value)


def contenders(*values: float) -> list[Contender]:
    origins_s = np.asarray(SUNDAY_S + 300.0 * np.arange(ROWS), dtype=np.float64)
    shape = (ROWS, len(HORIZONS_S))
    tests = [Backtest(origins_s, HORIZONS_S, np.full(shape, v), np.full(shape, v)) for v in values]
    bands = [calibrate([test], LEVELS, 0.9, ROWS // 2)[0] for test in tests]
    return [Contender(str(v), Says(v), b) for v, b in zip(values, bands, strict=True)]


def losses(*each: float) -> Floats:
    return np.stack([np.full((ROWS // 2, len(HORIZONS_S)), loss) for loss in each])


def said(made: Pool) -> Floats:
    quantiles = made.quantiles(Series.empty(), SUNDAY_S, HORIZONS_S)
    assert quantiles is not None
    return quantiles


def test_who_lost_the_same_counts_the_same() -> None:
    made = pool(contenders(10.0, 20.0), losses(1.0, 1.0), 300.0)

    assert said(made) == pytest.approx(np.full((2, 2), 15.0))
    assert made.shares == "10.0 50%, 20.0 50%"


def test_a_tenth_more_loss_counts_for_a_tenth_and_much_more_for_nothing() -> None:
    made = pool(contenders(10.0, 20.0, 1000.0), losses(1.0, 1.1, 2.0), 300.0)

    # 1.1 ** -24 = 0.1015, of 1.1015 in all; 2 ** -24 is below a twentieth and not asked.
    assert made.weights[:, 0] == pytest.approx([0.9078, 0.0922, 0.0], abs=1e-4)
    assert said(made)[1] == pytest.approx([10.922] * 2, abs=1e-3)


def test_each_horizon_has_weights_of_its_own() -> None:
    loss = losses(1.0, 1.0)
    loss[0, :, 1] = 9.0
    loss[1, :, 0] = 9.0

    assert said(pool(contenders(10.0, 20.0), loss, 300.0))[0] == pytest.approx([10.0, 20.0])


def test_the_past_of_the_blend_knows_no_loss_before_it_was_measured() -> None:
    """At 900 s ahead a loss counts three origins after its forecast was made, at 300 s one."""
    calm, late = losses(1.0, 1.0), losses(1.0, 1.0)
    late[0, 100:] = 5000.0
    before, after = (pool(contenders(10.0, 20.0), loss, 300.0).issued for loss in (calm, late))

    assert np.array_equal(before[:101, 0], after[:101, 0], equal_nan=True)
    assert np.array_equal(before[:103, 1], after[:103, 1], equal_nan=True)
    assert after[101, 0] > before[101, 0]
    assert after[103, 1] > before[103, 1]


def test_a_young_model_makes_all_weigh_the_same() -> None:
    loss = losses(1.0, 9.0)
    loss[1, :-23] = np.nan

    assert pool(contenders(10.0, 20.0), loss, 300.0).weights == pytest.approx(np.full((2, 2), 0.5))


def test_the_blend_is_not_judged_before_its_parts_were_compared() -> None:
    issued = pool(contenders(10.0, 20.0), losses(1.0, 9.0), 300.0).issued

    assert np.isnan(issued[:24, 0]).all()
    # Of the last origin nothing has come yet.
    assert issued[24:-1, 0] == pytest.approx(np.full(ROWS // 2 - 25, 10.0))


def test_a_member_that_cannot_say_leaves_it_to_the_others() -> None:
    one, two = contenders(10.0, 20.0)
    made = pool([one, Contender("silent", Says(np.nan), two.bands)], losses(1.0, 1.0), 300.0)

    assert said(made) == pytest.approx(np.full((2, 2), 10.0))
    alone = pool([Contender("silent", Says(np.nan), two.bands)] * 2, losses(1.0, 1.0), 300.0)
    assert alone.quantiles(Series.empty(), SUNDAY_S, HORIZONS_S) is None
