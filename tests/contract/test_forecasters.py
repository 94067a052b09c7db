"""Hold every forecaster to one contract: a new one joins by being in the list of candidates."""

import numpy as np
import pytest

from models.forecast.base import Fitted, Forecaster, NotYet
from models.forecast.candidates import candidates
from models.forecast.staged import Memory
from models.policy import FORECASTERS as NAMES
from models.policy import ForecastPolicy
from models.series import Floats, Series
from tests.demand import DAY_S, SUNDAY_S, changed, diurnal, flat, nightly_batch, with_gap

HORIZONS_S = 60.0 * np.array([1.0, 5.0, 15.0, 30.0, 60.0])
DAYS = 15
NOW_S = SUNDAY_S + DAYS * DAY_S
MEMORY = Memory()
SLOW = ("AR + Fourier", "ETS (day)", "Prophet", "boosting")
FORECASTERS = candidates(ForecastPolicy(forecasters=NAMES), memory=MEMORY)


SEASONS = [f for f in FORECASTERS if f.name.startswith("seasonal")]


@pytest.fixture(params=FORECASTERS, ids=lambda f: f.name)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return request.param  # type: ignore[no-any-return]


def slack(forecaster: Forecaster, without: float) -> float:
    """Return the tolerance on a smooth day: 5 % for a model of it, `without` for one that knows no season.

    Trees aim at the 0.9 quantile, which stands 9 % above the mean of 12 requests/s over a minute.
    """
    if forecaster.name == "boosting":
        return 0.15
    return 0.05 if forecaster.name in SLOW or "season" in forecaster.name else without


def fitted(forecaster: Forecaster, series: Series) -> Fitted:
    made = forecaster.fit(series)
    assert not isinstance(made, NotYet), made.reason
    return made


def predict(forecaster: Forecaster, series: Series, at_s: float = NOW_S) -> Floats:
    made = fitted(forecaster, series.window(-np.inf, at_s))
    return np.asarray(made.predict(series.window(at_s - 7200.0, at_s), np.array([at_s]), HORIZONS_S)[0])


def test_a_constant_stays_what_it_is(forecaster: Forecaster) -> None:
    # The level of a constant is exact; only the rounding of running sums is left.
    assert predict(forecaster, flat(DAYS, 7.0)) == pytest.approx(np.full(5, 7.0), rel=1e-6)


def test_nothing_but_zeros_forecasts_no_demand(forecaster: Forecaster) -> None:
    made = forecaster.fit(flat(DAYS, 0.0))

    if not isinstance(made, NotYet):
        said = made.predict(flat(DAYS, 0.0), np.array([NOW_S]), HORIZONS_S)
        assert np.nan_to_num(said).max() == 0.0


def test_a_daily_swing_is_forecast_within_its_noise(forecaster: Forecaster) -> None:
    # 09:00, the steepest hour: demand rises by 16 % within the hour, which the last value cannot know.
    at_s = NOW_S - DAY_S + 9 * 3600.0
    said = predict(forecaster, diurnal(DAYS), at_s)
    truth = 20.0 * (1 + 0.6 * np.sin(2 * np.pi * HORIZONS_S / DAY_S))

    assert said == pytest.approx(truth, rel=slack(forecaster, 0.20))


def test_the_same_series_gives_the_same_forecast(forecaster: Forecaster) -> None:
    assert predict(forecaster, diurnal(DAYS)).tolist() == predict(forecaster, diurnal(DAYS)).tolist()


def test_a_prediction_reads_nothing_after_its_origin(forecaster: Forecaster) -> None:
    """Backtests ask one fit about many origins: each must see only its past, or the choice is rigged."""
    truth = diurnal(DAYS)
    origins_s = NOW_S - 3600.0 * np.array([30.0, 20.0, 5.0])
    other = changed(truth, round((DAYS - 30 / 24) * 1440), 10_000, 5.0)

    before, after = (fitted(forecaster, s).predict(s, origins_s[:1], HORIZONS_S) for s in (truth, other))
    assert before == pytest.approx(after, rel=1e-9)


def test_a_batch_of_origins_says_what_each_alone_says(forecaster: Forecaster) -> None:
    series = with_gap(diurnal(DAYS), 20_000, 500)
    made = fitted(forecaster, series)
    origins_s = NOW_S - 300.0 * np.arange(0.0, 200.0)

    together = made.predict(series, origins_s, HORIZONS_S)
    alone = np.array([made.predict(series, origins_s[i : i + 1], HORIZONS_S)[0] for i in range(200)])
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_a_short_recent_past_is_enough_to_predict(forecaster: Forecaster) -> None:
    """A tick hands over two hours, a backtest all of it: both must say the same."""
    series = diurnal(DAYS)
    made = fitted(forecaster, series)
    at = np.array([NOW_S])

    whole = made.predict(series, at, HORIZONS_S)
    short = made.predict(series.window(NOW_S - 7200.0, NOW_S), at, HORIZONS_S)
    np.testing.assert_allclose(whole, short, rtol=1e-12)


@pytest.mark.parametrize("minutes", [3, 45, 14 * 60])
def test_an_outage_never_trains_as_zero(forecaster: Forecaster, minutes: int) -> None:
    """Yesterday's outage at this hour, recorded as a gap, must not be forecast again."""
    series = diurnal(DAYS)
    at_s = NOW_S - DAY_S / 2
    outage = with_gap(series, round((DAYS - 1.5) * 1440) + 10 - minutes // 2, minutes)

    # One season of fourteen less: the profile moves by its noise.
    assert predict(forecaster, outage, at_s) == pytest.approx(predict(forecaster, series, at_s), rel=0.05)


def test_a_gap_just_before_now_is_bridged(forecaster: Forecaster) -> None:
    series = with_gap(diurnal(DAYS), DAYS * 1440 - 3, 3)
    whole = predict(forecaster, diurnal(DAYS))

    # Two known minutes are left in the shortest window: their noise at 8 requests/s is 3 %.
    assert predict(forecaster, series) == pytest.approx(whole, rel=0.10)


def test_nothing_known_lately_is_said_as_nothing(forecaster: Forecaster) -> None:
    series = with_gap(diurnal(DAYS), DAYS * 1440 - 120, 120)

    assert np.isnan(predict(forecaster, series)).all()


def test_one_spike_of_ten_times_does_not_poison(forecaster: Forecaster) -> None:
    series = diurnal(DAYS)
    calm = predict(forecaster, series)
    just_now = predict(forecaster, changed(series, DAYS * 1440 - 3, 1, 10.0))
    yesterday = predict(forecaster, changed(series, (DAYS - 1) * 1440 + 4, 1, 10.0))

    # A minute counts for at most three times its window's median: (4 + 3) / 5 of the last five minutes. With
    # it AR + Fourier carries what these minutes differ by anyway, which fades on a calm day.
    assert (just_now <= (1.5 if forecaster.name in SLOW else 1.45) * calm).all()
    assert yesterday == pytest.approx(calm, rel=0.01)


@pytest.mark.parametrize("ratio", [2.0, 0.5])
def test_a_level_shift_is_followed_within_its_window(forecaster: Forecaster, ratio: float) -> None:
    series = diurnal(DAYS)
    shifted = changed(series, DAYS * 1440 - 30, 30, ratio)

    # Trees ask whether such a level was ever left again, and where the day before stood.
    rel = 0.25 if forecaster.name == "boosting" else 0.10 if forecaster.name in SLOW else 0.05
    assert predict(forecaster, shifted) == pytest.approx(ratio * predict(forecaster, series), rel=rel)


def test_a_nightly_batch_is_foreseen_to_the_minute() -> None:
    """Ten minutes before 22:00 a season knows that 300 requests/s begin at 22:00 and not earlier."""
    at_s = NOW_S - 2 * 3600.0 - 600.0
    horizons_s = 60.0 * np.array([9.0, 12.0, 20.0])
    series = nightly_batch(DAYS)

    for forecaster in FORECASTERS:
        if not forecaster.name.startswith("seasonal"):
            continue
        made = fitted(forecaster, series.window(-np.inf, at_s))
        said = made.predict(series, np.array([at_s]), horizons_s)[0]
        assert said == pytest.approx([20.0, 300.0, 300.0], rel=0.1), forecaster.name


@pytest.mark.parametrize("step_s", [300.0, 600.0, 1800.0, 3600.0])
def test_longer_steps_are_as_good(forecaster: Forecaster, step_s: float) -> None:
    """What was measured every ten minutes, or every hour, is forecast as it is."""
    series = diurnal(DAYS).resample(step_s)
    at_s = NOW_S - DAY_S + 9 * 3600.0
    horizons_s = step_s * np.array([1.0, 2.0, 4.0])
    made = fitted(forecaster, series.window(-np.inf, at_s))
    said = made.predict(series.window(at_s - 7200.0, at_s), np.array([at_s]), horizons_s)[0]
    middle_s = horizons_s - step_s / 2
    truth = 20.0 * (1 + 0.6 * np.sin(2 * np.pi * middle_s / DAY_S))

    # Without a season an hourly level is half an hour old and knows nothing of the four to come.
    assert said == pytest.approx(truth, rel=slack(forecaster, 0.5))


def test_a_first_day_has_no_season_and_says_so(forecaster: Forecaster) -> None:
    made = forecaster.fit(diurnal(0.5))

    if forecaster.name != "last value":
        assert isinstance(made, NotYet)
        assert "of history" in made.reason
    else:
        assert not isinstance(made, NotYet)


def test_no_history_at_all_is_refused_with_a_reason(forecaster: Forecaster) -> None:
    for empty in (Series.empty(), Series.of([np.nan] * 5000)):
        made = forecaster.fit(empty)
        assert isinstance(made, NotYet)
        assert made.reason


def test_the_clock_change_of_a_country_is_no_event(forecaster: Forecaster) -> None:
    """Seasons are cut in UTC: 31 March 2024, 01:00 UTC is Europe's change, and nothing happens there."""
    shift = 1_711_843_200.0 - 10 * DAY_S - SUNDAY_S
    series = diurnal(DAYS)
    moved = Series(series.start_s + shift, series.step_s, series.values, series.known)
    made = fitted(forecaster, moved)

    said = made.predict(moved, np.array([NOW_S + shift]), HORIZONS_S)[0]
    # Ten days on, the same minutes lie on other days of the week, which some models tell apart.
    rel = 0.02 if forecaster.name in SLOW else 1e-9
    assert said == pytest.approx(predict(forecaster, series), rel=rel)


def test_sparse_demand_never_explodes(forecaster: Forecaster) -> None:
    """At one request in five minutes a season is noise over noise; the selection then leaves it."""
    rng = np.random.default_rng(3)
    series = Series.of(rng.poisson(0.2, DAYS * 1440) / 60.0, SUNDAY_S)
    said = fitted(forecaster, series).predict(series, NOW_S - 300.0 * np.arange(0.0, 500.0), HORIZONS_S)

    # Nine of ten minutes have at most one request: trees that aim there say as much.
    assert np.nanmean(said) <= (1.0 if forecaster.name == "boosting" else 2.5 * 0.2) / 60.0
    assert np.nanmax(said) <= 10 * series.values.max()


def test_demand_that_the_season_does_not_expect_is_carried_and_not_multiplied() -> None:
    """20 requests/s at 06:00, where a class has always rested until 22:00, are no hundredfold evening."""
    series = nightly_batch(DAYS, day_rps=0.0)
    at_s = NOW_S - 18 * 3600.0
    begin = round((at_s - SUNDAY_S) / 60.0) - 30
    values = series.values.copy()
    values[begin : begin + 30] = 20.0
    awake = Series(series.start_s, series.step_s, values, series.known)

    assert predict(SEASONS[1], awake, at_s) == pytest.approx(np.full(5, 20.0), rel=0.05)
    assert predict(SEASONS[0], awake, at_s) == pytest.approx(np.full(5, 20.0), rel=0.05)


def test_a_resting_class_is_foreseen_to_wake_by_the_clock() -> None:
    series = nightly_batch(DAYS, day_rps=0.0)
    at_s = NOW_S - 2 * 3600.0 - 600.0
    for forecaster in FORECASTERS:
        if forecaster.name.startswith("seasonal"):
            said = predict(forecaster, series, at_s)
            assert said[:2] == pytest.approx([0.0, 0.0], abs=1.0)
            assert said[2:] == pytest.approx([300.0] * 3, rel=0.1)


def test_a_jump_is_believed_after_two_minutes(forecaster: Forecaster) -> None:
    series = changed(flat(DAYS, 20.0), DAYS * 1440 - 5, 5, 5.0)
    before = predict(forecaster, series, NOW_S - 300.0)
    # Two of the five minutes that are averaged: (3 * 20 + 2 * 100) / 5.
    after_two = predict(forecaster, series, NOW_S - 180.0)[0]

    assert before[0] == pytest.approx(20.0)
    assert after_two == pytest.approx(52.0, rel=0.05)
