"""A backtest lives through the past as the planner would, and its figures are what they say."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from models.errors import InputError
from models.forecast.base import NotYet
from models.forecast.signal import fit_signal, path
from models.forecast.trial import Trial, judge, usual_horizons, whole_steps
from models.forecast.trial_roll import Said
from models.forecast.trial_score import Scale, scale_of, score
from models.policy import ForecastPolicy
from models.series import Series
from tests.demand import DAY_S, SUNDAY_S, diurnal, with_gap

# The models that take seconds have tests of their own; what is claimed here holds for any.
QUICK = ForecastPolicy(forecasters=(), seasons_s=(DAY_S,), refit_s=6 * 3600.0)
HOUR_S = 3600.0


def ticking() -> Callable[[], float]:
    """Return a clock that is a second later at each reading."""
    readings = count()
    return lambda: float(next(readings))


def hourly(days: int, seed: int = 1) -> Series:
    return diurnal(days, seed=seed).resample(HOUR_S)


def tried(series: Series, *horizons_s: float, train_until_s: float | None = None) -> Trial:
    return judge("demand", series, QUICK, horizons_s, 0.9, ticking(), train_until_s)


@pytest.fixture(scope="module")
def trial() -> Trial:
    return tried(hourly(28), HOUR_S, 4 * HOUR_S)


def test_what_is_scored_is_what_a_planner_was_told_at_that_time(trial: Trial) -> None:
    series = hourly(28)
    lived = trial.lived
    i = len(lived.origins_s) // 2
    origin_s = float(lived.origins_s[i])
    policy = replace(QUICK, levels=(0.1, 0.5, 0.9), reach_s=4 * HOUR_S)

    fit = fit_signal(series, trial.refit_s * np.floor(origin_s / trial.refit_s), policy)
    assert not isinstance(fit, NotYet)
    told = path(fit, series.window(origin_s - DAY_S, origin_s), origin_s, lived.horizons_s)
    assert told is not None

    said = (lived.selected.low[i], lived.selected.middle[i], lived.selected.high[i])
    assert np.array_equal(told.quantiles, np.stack(said))
    came = [series.at(origin_s + h - HOUR_S) for h in lived.horizons_s]
    assert lived.actual[i].tolist() == came


def test_no_forecast_knows_what_came_after_its_origin() -> None:
    series = hourly(21)
    cut = len(series) - 48
    values = series.values.copy()
    values[cut:] *= 7
    other = Series(series.start_s, series.step_s, values, series.known)
    until_s = series.start_s + 10 * DAY_S

    as_was = tried(series, HOUR_S, 4 * HOUR_S, train_until_s=until_s).lived
    as_might = tried(other, HOUR_S, 4 * HOUR_S, train_until_s=until_s).lived

    before = as_was.origins_s <= series.start_s + cut * HOUR_S
    assert before.sum() > 200
    assert (~before).sum() > 20
    for one, two in ((as_was.selected, as_might.selected), *_pairs(as_was.models, as_might.models)):
        assert np.array_equal(one.high[before], two.high[before], equal_nan=True)
        assert not np.array_equal(one.high[~before], two.high[~before])


def _pairs(ones: dict[str, Said], others: dict[str, Said]) -> list[tuple[Said, Said]]:
    return [(ones[name], others[name]) for name in ones]


def test_figures_are_those_of_the_textbook() -> None:
    actual = np.array([[10.0], [20.0], [30.0], [40.0]])
    said = Said(
        low=actual - 5,
        middle=np.array([[12.0], [18.0], [30.0], [44.0]]),
        high=np.array([[15.0], [15.0], [35.0], [40.0]]),
        own=np.array([True, True, False, True]),
        fit_s=1.5,
        path_s=0.25,
    )

    found = score("model", said, actual, np.full(4, True), 0, 0.9, Scale(4.0, "step before"))

    # Losses 0.1*5, 0.9*5, 0.1*5 and 0; three of four at or under; errors 2, 2, 0, 4 of 100.
    assert found.pinball == pytest.approx((0.5 + 4.5 + 0.5 + 0.0) / 4)
    assert found.coverage == 0.75
    assert found.wape == pytest.approx(0.08)
    assert found.mase == pytest.approx(2.0 / 4.0)
    assert (found.answered, found.fit_s, found.predict_s) == (0.75, 1.5, 0.25)


def test_mase_is_scaled_by_the_day_before_once_two_days_were_measured() -> None:
    two_days = Series.of([float(i % 24 + 3 * (i // 24)) for i in range(49)], SUNDAY_S, HOUR_S)
    one_day = two_days.window(two_days.start_s, two_days.start_s + DAY_S)

    assert scale_of(two_days) == Scale(3.0, "value of a day before")
    assert scale_of(one_day) == Scale(1.0, "step before")
    assert scale_of(Series.of([5.0], SUNDAY_S, HOUR_S)).error == 0.0


def test_each_candidate_is_judged_as_the_only_one_and_the_best_is_found_in_hindsight(trial: Trial) -> None:
    for cell in trial.cells:
        names = [s.model for s in cell.models]
        assert names[0] == "last value"
        assert len(set(names)) == len(names) == 3
        best = cell.best()
        assert best is not None
        assert best.pinball == min(s.pinball for s in cell.models if s.pinball is not None)
        # Half a thousand smooth hours: the season is seen, and the selected forecast follows it.
        assert best.model != "last value"
        versus = cell.versus_best()
        assert versus is not None
        assert versus < 1.05
        # Two weeks teach the season more than one did: bands that remember the errors of then cover too much.
        assert cell.selected.coverage is not None
        assert 0.87 <= cell.selected.coverage <= 0.98


def test_the_share_of_answers_adds_up_and_the_last_choice_says_why(trial: Trial) -> None:
    assert sum(trial.selection.shares.values()) == pytest.approx(1.0)
    assert trial.selection.why
    assert trial.selection.changes[0].at_s <= trial.lived.origins_s[0]
    assert len(trial.lived.fits) <= 250


def test_a_candidate_without_a_season_yet_is_stood_in_for_by_the_last_value() -> None:
    series = hourly(3)
    policy = replace(QUICK, seasons_s=(7 * DAY_S,))

    found = judge("demand", series, policy, (HOUR_S,), 0.9, ticking())

    by_name = {s.model: s for s in found.cells[0].models}
    week = by_name["seasonal naive (week)"]
    assert week.answered == 0.0
    assert week.pinball == by_name["last value"].pinball
    assert by_name["last value"].answered == 1.0


def test_nothing_is_scored_in_a_gap() -> None:
    # Of 168 judged hours 24 have no outcome, and the first one after the gap has no level to start from.
    series = with_gap(hourly(14), 10 * 24, 24)

    found = tried(series, HOUR_S, train_until_s=SUNDAY_S + 7 * DAY_S)

    assert len(found.lived.origins_s) == 168
    assert found.cells[0].origins == 143
    assert all(s.pinball is not None and np.isfinite(s.pinball) for s in found.cells[0].models)


def test_horizons_are_rounded_up_to_what_was_measured_and_it_is_told() -> None:
    found, notes = whole_steps((900.0, 1200.0, 3600.0), 600.0)

    assert found.tolist() == [1200.0, 3600.0]
    assert notes == ["15m ahead is judged at 20m: the series has one value every 10m"]
    assert usual_horizons(60.0) == (300.0, 900.0, 1800.0, 3600.0)
    assert usual_horizons(600.0) == (900.0, 1800.0, 3600.0)
    assert usual_horizons(3600.0) == (3600.0, 7200.0, 14400.0)


def test_half_a_series_trains_and_less_where_too_few_origins_would_be_left(trial: Trial) -> None:
    assert trial.train_until_s == SUNDAY_S + 14 * DAY_S
    # Ten days have 240 hours: a quarter trains, and 180 are left.
    short = tried(hourly(10), HOUR_S)
    assert short.train_until_s == SUNDAY_S + 2.5 * DAY_S
    assert short.cells[0].origins == 180


def test_a_long_series_is_fitted_less_often_and_it_is_told() -> None:
    policy = replace(QUICK, refit_s=600.0)

    found = judge("demand", hourly(5), policy, (HOUR_S,), 0.9, ticking(), SUNDAY_S + 3 * DAY_S)

    assert found.refit_s == 1200.0
    assert found.notes == ("models are fitted every 20m, not every 10m",)


def test_demand_that_never_was_is_judged_without_a_division_by_zero() -> None:
    found = tried(Series.of(np.zeros(24 * 10), SUNDAY_S, HOUR_S), HOUR_S)

    zero = found.cells[0].selected
    assert (zero.pinball, zero.coverage) == (0.0, 1.0)
    assert (zero.wape, zero.mase) == (None, None)
    assert found.cells[0].versus_best() is None


@pytest.mark.parametrize(
    ("series", "until_s", "said"),
    [
        (Series.of(np.ones(20), SUNDAY_S), None, "20 steps of 1m were measured; a backtest needs 24"),
        (Series.of(np.full(99, np.nan), SUNDAY_S), None, "0 steps"),
        (Series.of(np.ones(30), SUNDAY_S), None, "too short"),
        (hourly(7), SUNDAY_S - 1, "training cannot end at 2024-05-11T23:59:59Z"),
        (hourly(7), SUNDAY_S + 7 * DAY_S, "the last forecast that can be scored starts at"),
    ],
)
def test_what_cannot_be_judged_says_why(series: Series, until_s: float | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tried(series, HOUR_S, train_until_s=until_s)


def test_progress_is_told_up_to_the_end() -> None:
    shares: list[float] = []

    judge("demand", hourly(7), QUICK, (HOUR_S,), 0.9, ticking(), None, shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0
