"""Hold the bands to what they promise, whatever the errors were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forecast.backtest import ORIGIN_STEP_S, Backtest, horizons
from models.forecast.conformal import PRIOR_SCORES, Calibration, calibrate
from models.series import Floats

LEVELS = (0.05, 0.5, 0.9, 0.995)
HORIZONS_S = np.array([60.0, 300.0, 1800.0])
PATH_S = 60.0 * np.arange(1.0, 41.0)


def calibration(forecast: Floats, actual: Floats, window: int = 288) -> Calibration:
    origins_s = ORIGIN_STEP_S * np.arange(len(forecast), dtype=np.float64)
    return calibrate([Backtest(origins_s, HORIZONS_S, forecast, actual)], LEVELS, 0.9, window)[0]


@st.composite
def backtests(draw: st.DrawFn) -> tuple[Floats, Floats]:
    rows = draw(st.integers(2, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 1e-9, 1.0, 1e6]))
    forecast = scale * rng.gamma(2.0, size=(rows, 3))
    actual = scale * rng.gamma(draw(st.sampled_from([0.1, 2.0, 50.0])), size=(rows, 3))
    for array in (forecast, actual):
        array[rng.random((rows, 3)) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    return forecast, actual


@settings(max_examples=60)
@given(backtests(), st.floats(0, 1e6))
def test_paths_never_cross_and_are_never_negative(case: tuple[Floats, Floats], level: float) -> None:
    paths = calibration(*case).paths(np.full(40, level), PATH_S)

    assert np.isfinite(paths).all()
    assert (paths >= 0).all()
    assert (np.diff(paths, axis=0) >= 0).all()


@settings(max_examples=30)
@given(backtests())
def test_the_same_errors_give_the_same_bands(case: tuple[Floats, Floats]) -> None:
    first, second = calibration(*case), calibration(*case)

    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.issued, second.issued)


@pytest.mark.parametrize("bias", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_a_biased_model_is_covered_as_promised(bias: float, sigma: float) -> None:
    rng = np.random.default_rng(1)
    forecast = np.repeat(rng.uniform(10, 30, (1200, 1)), 3, axis=1)
    actual = bias * forecast * rng.lognormal(0, sigma, (1200, 3))
    made = calibration(forecast, actual, 576)
    judged = slice(624, None)

    seen = ~np.isnan(made.issued[judged])
    covered = (actual[judged] <= made.issued[judged])[seen].mean()
    # 1,700 independent misses of one in ten: 0.7 points standard error.
    assert covered == pytest.approx(0.9, abs=0.02)
    path = made.paths(np.full(40, 20.0), PATH_S)
    assert path[1, 4] == pytest.approx(bias * 20.0, rel=0.15)


def test_feedback_counts_only_once_its_horizon_has_passed() -> None:
    """A forecast half an hour ahead must not learn from errors that nobody has seen yet."""
    forecast = np.full((400, 3), 10.0)
    actual = forecast.copy()
    actual[-6:, 2] = 40.0
    actual[-1:, 1] = 40.0

    # The last six half-hour targets lie at or after the moment of the fit.
    calm, fresh = calibration(forecast, forecast.copy()), calibration(forecast, actual)
    np.testing.assert_allclose(calm.scores, fresh.scores, atol=1e-12)


def test_a_longer_spell_of_misses_widens_the_band() -> None:
    rng = np.random.default_rng(2)
    forecast = np.full((600, 3), 10.0)
    calm = 10.0 * rng.lognormal(0, 0.05, (600, 3))
    rough = calm.copy()
    rough[-120:] *= rng.lognormal(0, 0.3, (120, 3))

    at = np.full(40, 10.0)
    assert (
        calibration(forecast, rough).paths(at, PATH_S)[2, 9]
        > 1.1 * calibration(forecast, calm).paths(at, PATH_S)[2, 9]
    )


def test_without_feedback_a_prior_widens_with_the_horizon() -> None:
    nothing = np.full((2, 3), np.nan)
    path = calibration(nothing, nothing).paths(np.full(40, 10.0), PATH_S)

    assert calibration(nothing, nothing).feedback == 0
    assert path[1] == pytest.approx(np.full(40, 10.0))
    assert (np.diff(path[2]) > 0).all()
    assert 10.5 < path[2, 0] < path[3, 0] < 20.0


def test_the_prior_is_gone_when_two_hours_of_errors_are_in() -> None:
    forecast = np.full((PRIOR_SCORES + 10, 3), 10.0)
    made = calibration(forecast, forecast.copy())

    # Errors of nothing leave bands of nothing: any spread left would be the prior's.
    assert made.feedback >= PRIOR_SCORES
    assert made.paths(np.full(40, 10.0), PATH_S) == pytest.approx(np.full((4, 40), 10.0))


def test_past_the_last_judged_horizon_the_band_goes_on_growing() -> None:
    rng = np.random.default_rng(4)
    forecast = np.full((400, 3), 10.0)
    made = calibration(forecast, 10.0 * rng.lognormal(0, 0.1, (400, 3)))
    path = made.paths(np.full(2, 10.0), np.array([1800.0, 7200.0]))

    assert path[2, 1] - 10.0 == pytest.approx(2.0 * (path[2, 0] - 10.0))


def test_judged_horizons_end_at_the_reach() -> None:
    assert horizons(1800.0, 60.0).tolist() == [60, 120, 300, 600, 900, 1800]
    assert horizons(60.0, 60.0).tolist() == [60]
    assert horizons(5000.0, 60.0).tolist() == [60, 120, 300, 600, 900, 1800, 3600, 5040]
    assert horizons(20_000.0, 60.0)[-3:].tolist() == [7200, 14_400, 20_040]
