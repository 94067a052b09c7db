"""Hold every forecaster to what bad days do to it: spikes, holes, a long silence, clocks that change."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.calendar import Calendar
from models.forecast.base import Forecaster, NotYet
from models.forecast.candidates import candidates
from models.forecast.staged import Memory
from models.policy import FORECASTERS as NAMES
from models.policy import ForecastPolicy
from models.series import Floats, Series
from tests.contract.test_forecasters import DAYS, FORECASTERS, HORIZONS_S, predict
from tests.demand import DAY_S, MINUTES_PER_DAY, SUNDAY_S, arrivals, changed, diurnal, flat

END = DAYS * MINUTES_PER_DAY
BERLIN = Calendar("Europe/Berlin")
LOCAL = candidates(ForecastPolicy(forecasters=NAMES, calendar=BERLIN), memory=Memory())
BY_NAME = {f.name: f for f in LOCAL}


@pytest.fixture(params=FORECASTERS, ids=lambda f: f.name)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("minutes", [1, 5, 20])
def test_an_hour_after_a_spike_of_ten_times_the_forecast_is_what_it_was(
    forecaster: Forecaster, minutes: int
) -> None:
    """One wild minute moves nothing, five or twenty that were 6 % or 25 % of the hour next to nothing."""
    series = diurnal(DAYS)
    said = predict(forecaster, changed(series, END - 60 - minutes, minutes, 10.0))

    # ETS takes a spike of five minutes for a level that sinks again: 6 % low. The others stay within 2 %.
    rel = 0.01 if minutes == 1 else 0.08 if forecaster.name.startswith("ETS") else 0.03
    assert said == pytest.approx(predict(forecaster, series), rel=rel)


# A day later models that learn from steps of minutes expect a longer spike again, for as long as it was.
EXPECTED_AGAIN = {"ETS (day)": 1.8, "boosting": 2.4}


@pytest.mark.parametrize("minutes", [1, 5, 20])
def test_a_day_after_a_spike_it_is_hardly_expected_again(forecaster: Forecaster, minutes: int) -> None:
    series = diurnal(DAYS)
    said = predict(forecaster, changed(series, END - MINUTES_PER_DAY + 20, minutes, 10.0))
    calm = predict(forecaster, series)

    most = EXPECTED_AGAIN.get(forecaster.name, 1.04) if minutes > 1 else 1.01
    assert (said <= most * calm).all()
    assert (said >= 0.97 * calm).all()
    # Twenty minutes from END - DAY + 20 min on are over an hour ahead.
    assert said[-1] == pytest.approx(calm[-1], rel=0.02)


def test_missing_minutes_all_over_the_history_change_little(forecaster: Forecaster) -> None:
    """Every tenth minute is NaN, at random."""
    series = diurnal(DAYS)
    values = np.where(np.random.default_rng(4).random(END) < 0.1, np.nan, series.values)
    said = predict(forecaster, Series.of(values, SUNDAY_S))

    assert said == pytest.approx(predict(forecaster, series), rel=0.04)


# From when demand returned: nothing is known of a season, there is one day that is none, there are three.
@pytest.mark.parametrize("after_minutes", [10, 3 * 60, 27 * 60, 75 * 60])
def test_demand_that_returns_after_a_month_of_zeros_is_followed(
    forecaster: Forecaster, after_minutes: int
) -> None:
    returned = np.concatenate([np.zeros(30 * MINUTES_PER_DAY), diurnal(4, swing=0.3).values])
    series = Series.of(returned, SUNDAY_S).window(SUNDAY_S + 2 * DAY_S, np.inf)
    at = 28 * MINUTES_PER_DAY + after_minutes
    made = forecaster.fit(series.window(-np.inf, SUNDAY_S + 2 * DAY_S + 60.0 * at))
    if isinstance(made, NotYet):
        assert forecaster.name != "last value"
        return
    at_s = series.start_s + 60.0 * at
    said = made.predict(series.window(at_s - 7200.0, at_s), np.array([at_s]), HORIZONS_S)[0]
    truth = series.values[at - 10 : at + 60].mean()

    # Within an hour demand turns by 8 %; a model of so few days may be a third off, and never as far as zero.
    assert said == pytest.approx(np.full(5, truth), rel=0.35)


@pytest.mark.parametrize("change", ["2024-03-31", "2024-10-27"])
@pytest.mark.parametrize("name", list(BY_NAME))
def test_the_day_after_clocks_changed_is_forecast_by_the_new_hour(name: str, change: str) -> None:
    """People come by the clock on their wall, and on Monday that is another hour in UTC."""
    start_s = local_s(change, 0) - 15 * DAY_S
    start_s -= start_s % DAY_S
    times_s = start_s + 60.0 * np.arange(18.0 * MINUTES_PER_DAY)
    rate = 20.0 * (1.0 + 0.6 * np.sin(2 * np.pi * (BERLIN.hour(times_s) - 9.0) / 24.0))
    series = Series.of(arrivals(rate), start_s)
    nine_s = local_s(change, 9) + DAY_S
    at = round((nine_s - start_s) / 60.0)
    said = said_by(BY_NAME[name], series, nine_s)
    truth = rate[at + np.rint(HORIZONS_S / 60.0).astype(int) - 1]

    # At nine demand rises by 16 % in the hour, which the last value cannot know; trees aim at 0.9.
    rel = {"last value": 0.17, "boosting": 0.12}.get(name, 0.05)
    assert said == pytest.approx(truth, rel=rel)


def local_s(day: str, hour: int) -> float:
    moment = datetime.fromisoformat(day).replace(hour=hour, tzinfo=ZoneInfo("Europe/Berlin"))
    return moment.timestamp()


def said_by(forecaster: Forecaster, series: Series, at_s: float) -> Floats:
    made = forecaster.fit(series.window(-np.inf, at_s))
    assert not isinstance(made, NotYet), made.reason
    return np.asarray(made.predict(series.window(at_s - 7200.0, at_s), np.array([at_s]), HORIZONS_S)[0])


def test_a_constant_with_holes_stays_what_it_is(forecaster: Forecaster) -> None:
    series = flat(DAYS, 7.0)
    known = np.random.default_rng(5).random(END) > 0.3
    holed = Series(series.start_s, series.step_s, series.values, known)

    assert predict(forecaster, holed) == pytest.approx(np.full(5, 7.0), rel=1e-6)
