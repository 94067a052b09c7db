"""Hold the backtest to origins and horizons that the steps of a series can be judged at."""

import numpy as np
import pytest

from models.forecast.backtest import horizons, look_back, origin_step, origins
from models.forecast.base import NotYet
from models.forecast.signal import fit_signal
from models.policy import ForecastPolicy
from tests.demand import DAY_S, SUNDAY_S, diurnal


def test_nothing_is_judged_finer_than_it_was_measured() -> None:
    assert horizons(3600.0, 300.0).tolist() == [300, 600, 900, 1800, 3600]
    assert horizons(3600.0, 600.0).tolist() == [600, 1200, 1800, 3600]
    assert horizons(14_400.0, 3600.0).tolist() == [3600, 7200, 14_400]
    assert horizons(900.0, 3600.0).tolist() == [3600]


def test_origins_lie_where_steps_end() -> None:
    assert origin_step(60.0) == 300.0
    assert origin_step(200.0) == 400.0
    assert origin_step(3600.0) == 3600.0
    assert origins(SUNDAY_S + 1000.0, 2, 3600.0, 900.0).tolist() == [SUNDAY_S - 2700.0, SUNDAY_S + 900.0]


def test_coarse_steps_look_back_longer_for_as_much_evidence() -> None:
    assert look_back(2 * DAY_S, 300.0) == 576
    assert look_back(2 * DAY_S, 600.0) == 288
    assert look_back(2 * DAY_S, 3600.0) == 288
    assert look_back(3600.0, 3600.0) == 12


@pytest.mark.parametrize("step_s", [300.0, 600.0, 3600.0])
def test_a_signal_of_any_step_is_fitted_and_covered(step_s: float) -> None:
    series = diurnal(35).resample(step_s)
    made = fit_signal(series, series.end_s, ForecastPolicy(reach_s=4 * step_s, forecasters=()))

    assert not isinstance(made, NotYet)
    assert made.fallback is None
    assert "season" in made.why.split(";")[0] or "season" in made.why.split("made of")[-1]
    # 288 to 576 origins, of which those at the longest horizons are a quarter independent: 3 points.
    assert made.coverage == pytest.approx(0.9, abs=0.04)
    assert np.isfinite([c.bands.scores for c in made.contenders]).all()
