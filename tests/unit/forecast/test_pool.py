"""Hold the blend to its weights, to its past and to what it does when a member cannot say."""

from dataclasses import dataclass

import numpy as np
import pytest

from models.forecast.backtest import Backtest, pinball
from models.forecast.conformal import calibrate
from models.forecast.pool import Contender, Pool, pool
from models.series import Floats, Series
from tests.demand import SUNDAY_S

HORIZONS_S = np.array([300.0, 900.0])
ROWS = 1152
WINDOW = ROWS // 2
LEVELS = (0.1, 0.5, 0.9)
ORIGINS_S = np.asarray(SUNDAY_S + 300.0 * np.arange(ROWS), dtype=np.float64)


@dataclass(frozen=True)
class Says:
    """Predict one value, whatever came before."""

    value: float

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        return np.full((len(origins_s), len(horizons_s)), self.value)


def noise(seed: int, size: float) -> Floats:
    return np.random.default_rng(seed).normal(0.0, size, (ROWS, len(HORIZONS_S)))


def pooled(came: Floats, *points: Floats, now: tuple[float, ...] | None = None) -> Pool:
    """Blend models that said `points` in the backtest and say `now` next."""
    tests = [Backtest(ORIGINS_S, HORIZONS_S, said, came) for said in points]
    bands = calibrate(tests, LEVELS, 0.9, WINDOW)
    values = now or tuple(100.0 + i for i in range(len(points)))
    made = [Contender(str(v), Says(v), b) for v, b in zip(values, bands, strict=True)]
    return pool(made, tests, LEVELS, 0.9, WINDOW)


def said(made: Pool) -> Floats:
    quantiles = made.quantiles(Series.empty(), SUNDAY_S, HORIZONS_S)
    assert quantiles is not None
    return quantiles


def lost(came: Floats, issued: Floats) -> float:
    return float(np.nanmean(pinball(came, issued, 0.9)[-WINDOW:]))


def test_errors_that_have_nothing_in_common_cancel() -> None:
    """Two models that miss by 10 each, independently: their mean misses by 7, and its band is as narrow."""
    came = np.full((ROWS, 2), 100.0)
    a, b = 100.0 + noise(1, 10.0), 100.0 + noise(2, 10.0)
    made = pooled(came, a, b)

    alone = [c.issued for c in made.members]
    # 0.71 with equal weights; two days settle the weights of models that are as good to within a third.
    assert lost(came, made.issued) < 0.85 * min(lost(came, issued) for issued in alone)
    width = made.bands.scores[2] - made.bands.scores[0]
    for member in made.members:
        assert width.mean() < 0.9 * (member.bands.scores[2] - member.bands.scores[0]).mean()


def test_who_never_saves_anything_is_not_asked() -> None:
    came = 100.0 + noise(1, 10.0)
    made = pooled(came, came + noise(2, 2.0), came + noise(3, 40.0))

    assert made.weights[1] == pytest.approx([0.0, 0.0], abs=0.02)
    assert made.shares == "100.0 100%"


def test_each_horizon_has_weights_of_its_own() -> None:
    came = 100.0 + noise(1, 10.0)
    good, bad = came + noise(2, 1.0), came + noise(3, 40.0)
    made = pooled(came, np.stack([good[:, 0], bad[:, 1]], axis=1), np.stack([bad[:, 0], good[:, 1]], axis=1))

    assert np.diag(made.weights) == pytest.approx([1.0, 1.0], abs=0.02)


def test_the_weights_know_nothing_that_was_not_measured() -> None:
    """At 900 s ahead what came is known three origins later: of the last three nothing may be learned."""
    came = 100.0 + noise(1, 10.0)
    for column, lag in enumerate((1, 3)):
        unknown = came.copy()
        unknown[-lag:, column] = np.nan
        a, b = came + noise(2, 5.0), came + noise(3, 5.0)
        spoilt = b.copy()
        spoilt[-lag:, column] = 1e6

        one, other = pooled(unknown, a, b), pooled(unknown, a, spoilt)
        assert one.weights[:, column] == pytest.approx(other.weights[:, column], rel=1e-12)


def test_a_newcomer_weighs_little_until_it_has_saved_something() -> None:
    came = 100.0 + noise(1, 10.0)
    young = came + noise(2, 0.5)
    young[:-12] = np.nan
    made = pooled(came, came + noise(3, 5.0), came + noise(4, 5.0), young)

    # Its bands still rest on a prior: it has issued nothing that could be judged.
    assert made.weights[2] == pytest.approx([0.0, 0.0])


def test_before_anything_came_all_weigh_the_same() -> None:
    nothing = np.full((ROWS, 2), np.nan)

    assert pooled(nothing, nothing, nothing).weights == pytest.approx(np.full((2, 2), 0.5))


def test_a_member_that_cannot_say_leaves_it_to_the_others() -> None:
    came = np.full((ROWS, 2), 100.0)
    a, b = 100.0 + noise(1, 10.0), 100.0 + noise(2, 10.0)

    assert said(pooled(came, a, b, now=(100.0, np.nan))) == pytest.approx(
        said(pooled(came, a, b, now=(100.0, 100.0)))
    )
    silent = pooled(came, a, b, now=(np.nan, np.nan))
    assert silent.quantiles(Series.empty(), SUNDAY_S, HORIZONS_S) is None


def test_what_a_path_is_read_from_says_the_same() -> None:
    came = 100.0 + noise(1, 10.0)
    made = pooled(came, came + noise(2, 2.0), came + noise(3, 3.0), came + noise(4, 80.0))

    assert said(made.lean()) == pytest.approx(said(made))
    assert len(made.lean().members) < 3
