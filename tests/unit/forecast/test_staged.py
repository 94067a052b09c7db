"""Hold slow models to a few fits a day, to their past, and to saying the same with a memory or without."""

from dataclasses import dataclass, field

import numpy as np

from models.forecast.base import Fitted, NotYet
from models.forecast.staged import Memory, Staged
from models.series import Floats, Series
from tests.demand import DAY_S, SUNDAY_S, diurnal


@dataclass(frozen=True)
class LastSeen:
    """Say when what it learned from ended; note each fit."""

    fits: list[float] = field(default_factory=list, repr=False)
    name: str = "last seen"

    def fit(self, series: Series) -> Fitted | NotYet:
        if len(series) < 1440:
            return NotYet("needs 24 h of history")
        self.fits.append(series.end_s)
        return Ends(series.end_s)


@dataclass(frozen=True)
class Ends:
    end_s: float

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        return np.full((len(origins_s), len(horizons_s)), self.end_s)


def learned_until(made: Fitted | NotYet, series: Series, origins_s: Floats) -> Floats:
    assert not isinstance(made, NotYet)
    return np.asarray(made.predict(series, origins_s, np.array([60.0]))[:, 0])


def test_an_origin_is_answered_by_the_latest_fit_that_has_not_seen_past_it() -> None:
    series = diurnal(10.3)
    origins_s = series.end_s - 300.0 * np.arange(1152.0)
    until_s = learned_until(Staged(LastSeen(), 5 * DAY_S, Memory()).fit(series), series, origins_s)

    assert (until_s <= origins_s).all()
    assert (origins_s - until_s < DAY_S).all()
    # 10.3 days end at 07:12; the latest quarter of a day began at 06:00.
    assert until_s[0] == SUNDAY_S + 10.25 * DAY_S


def test_a_day_of_hourly_refits_fits_four_times() -> None:
    model, memory, series = LastSeen(), Memory(), diurnal(31)
    for hour in range(6 * 24, 7 * 24):
        memory.turn()
        Staged(model, 5 * DAY_S, memory).fit(series.window(0.0, SUNDAY_S + 24 * DAY_S + 3600.0 * hour))
    first = len(model.fits)
    for hour in range(7 * 24):
        memory.turn()
        Staged(model, 5 * DAY_S, memory).fit(series.window(0.0, SUNDAY_S + 31 * DAY_S - 3600.0 * hour))

    assert first <= 7 + 4
    assert len(model.fits) - first <= 12 + 4 * 7


def test_a_memory_changes_no_result() -> None:
    model, series = LastSeen(), diurnal(9)
    origins_s = series.end_s - 3600.0 * np.arange(100.0)
    memory = Memory()
    first, again, fresh = (
        learned_until(Staged(model, 5 * DAY_S, m).fit(series), series, origins_s)
        for m in (memory, memory, Memory())
    )

    assert first.tolist() == again.tolist() == fresh.tolist()
    assert memory.fits * 2 == len(model.fits)


def test_what_is_not_asked_for_between_two_turns_is_forgotten() -> None:
    memory, series = Memory(), diurnal(3)
    memory.recall(LastSeen(), series)
    memory.turn()
    memory.turn()
    memory.recall(LastSeen(), series)

    assert memory.fits == 2


def test_a_history_too_short_for_the_latest_stage_is_refused_and_for_earlier_ones_is_silent() -> None:
    short = Staged(LastSeen(), 5 * DAY_S, Memory()).fit(diurnal(0.9))
    assert isinstance(short, NotYet)
    assert "of history" in short.reason

    series = diurnal(2.5)
    at = np.array([SUNDAY_S + 0.5 * DAY_S, series.end_s])
    assert np.isnan(
        learned_until(Staged(LastSeen(), 5 * DAY_S, Memory()).fit(series), series, at)
    ).tolist() == [
        True,
        False,
    ]
