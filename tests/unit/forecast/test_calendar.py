"""Hold the calendar to clock changes, holidays and events, and every forecast to what is declared."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.calendar import DAY_S, Calendar, Event, factors
from models.forecast.base import NotYet
from models.forecast.events import told, without
from models.forecast.seasonal_naive import SeasonalNaive
from models.forecast.signal import fit_signal, path
from models.policy import ForecastPolicy
from models.series import Floats, Series
from tests.demand import SUNDAY_S, changed, diurnal, flat

BERLIN = Calendar("Europe/Berlin", ("DE",))
# Zones with clock changes, with odd offsets, with a change of half an hour, with a skipped day.
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "UTC")
AHEAD_S = 60.0 * np.arange(1.0, 31.0)
NAMES = st.sampled_from(["launch", "sale"])


def unix(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def grid(start_s: float, step_s: float, count: int) -> Floats:
    return np.asarray(start_s + step_s * np.arange(count), dtype=np.float64)


@settings(max_examples=200)
@given(st.sampled_from(ZONES), st.integers(0, 2**31 - 1))
@example("Europe/Berlin", int(unix("2024-03-31T03:00")))
@example("Europe/Berlin", int(unix("2024-03-31T03:00")) - 1)
@example("Pacific/Apia", 1_325_239_200)
def test_local_time_is_what_the_clock_on_the_wall_shows(zone: str, time_s: int) -> None:
    calendar, wall = Calendar(zone), datetime.fromtimestamp(time_s, UTC).astimezone(ZoneInfo(zone))
    at = np.array([float(time_s)])

    shown = wall.hour + wall.minute / 60 + wall.second / 3600
    assert calendar.hour(at)[0] == pytest.approx(shown, abs=1e-9)
    assert calendar.weekday(at)[0] == wall.weekday()


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-05-12", 24)])
def test_a_day_may_have_23_or_25_hours(day: str, hours: int) -> None:
    times_s = grid(unix(f"{day}T00:00"), 3600.0, hours)

    assert len(set(np.floor(BERLIN.local_s(times_s) / DAY_S))) == 1
    assert np.floor(BERLIN.local_s(grid(times_s[-1] + 3600.0, 0.0, 1)) / DAY_S) == np.floor(
        BERLIN.local_s(times_s[:1]) / DAY_S + 1
    )
    seen = BERLIN.hour(times_s)
    assert (2.0 in seen) == (hours != 23)
    assert (seen == 2.0).sum() == hours - 23


@settings(max_examples=50)
@given(st.dates(date(2000, 1, 1), date(2040, 12, 31)), st.floats(0, 86_399))
def test_a_holiday_lasts_its_local_day_whole(day: date, second: float) -> None:
    begin_s = unix(day.isoformat())
    end_s = unix((day + timedelta(days=1)).isoformat())
    at = begin_s + (end_s - begin_s) * second / DAY_S

    whole = BERLIN.holiday(np.array([begin_s, at, end_s - 1.0]))
    assert whole.all() or not whole.any()


def test_holidays_are_those_of_the_country_and_its_part() -> None:
    epiphany, unity = unix("2025-01-06T12:00"), unix("2025-10-03T12:00")
    at = np.array([epiphany, unity, unix("2025-07-08T12:00")])

    assert Calendar("Europe/Berlin", ("DE",)).holiday(at).tolist() == [False, True, False]
    assert Calendar("Europe/Berlin", ("DE-BY",)).holiday(at).tolist() == [True, True, False]
    assert Calendar("Europe/Berlin", ("DE", "US")).holiday(np.array([unix("2025-07-04T12:00")])).all()
    assert not Calendar("Europe/Berlin").holiday(at).any()


@pytest.mark.parametrize("code", ["XX", "DE-QQ", "Atlantis"])
def test_an_unknown_country_is_refused_with_what_to_write(code: str) -> None:
    with pytest.raises(ValueError, match="ISO 3166 code such as DE, DE-BY or US"):
        Calendar(holidays=(code,)).check()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Berlin"])
def test_an_unknown_time_zone_is_refused_with_what_to_write(zone: str) -> None:
    with pytest.raises(ValueError, match="IANA time zone"):
        Calendar(zone)


@pytest.mark.parametrize(
    ("start_s", "end_s", "factor"), [(1.0, 1.0, 2.0), (2.0, 1.0, 2.0), (0.0, 1.0, -1.0), (0.0, 1.0, math.nan)]
)
def test_an_event_that_makes_no_sense_is_refused(start_s: float, end_s: float, factor: float) -> None:
    with pytest.raises(ValueError, match="event 'sale'"):
        Event("sale", start_s, end_s, factor)


@st.composite
def events(draw: st.DrawFn) -> tuple[Event, ...]:
    out = []
    for _ in range(draw(st.integers(0, 5))):
        start_s = SUNDAY_S + draw(st.integers(-3600, 7200))
        factor = draw(st.sampled_from([0.0, 0.5, 1.0, 3.0]))
        out.append(Event(draw(NAMES), start_s, start_s + draw(st.integers(1, 5000)), factor))
    return tuple(out)


@settings(max_examples=100)
@given(events(), st.sampled_from([60.0, 300.0, 3600.0]))
def test_the_factor_of_a_step_is_the_mean_product_of_what_overlaps_in_it(
    declared: tuple[Event, ...], step_s: float
) -> None:
    starts_s = SUNDAY_S + step_s * np.arange(-2.0, 3.0)
    seconds = SUNDAY_S - 2 * step_s + 0.5 + np.arange(5 * step_s)
    product = np.ones(len(seconds))
    for event in declared:
        product[(seconds >= event.start_s) & (seconds < event.end_s)] *= event.factor or 0.0

    assert factors(declared, starts_s, step_s) == pytest.approx(product.reshape(5, -1).mean(axis=1), abs=1e-9)


@settings(max_examples=50)
@given(events())
def test_taking_events_out_undoes_putting_them_in(declared: tuple[Event, ...]) -> None:
    truth = flat(0.3, 10.0)
    factor = factors(declared, truth.times_s, 60.0)
    with_events = Series.of(truth.values * factor, truth.start_s)

    plain = without(declared, with_events)
    assert plain.known_values == pytest.approx(np.full(plain.known.sum(), 10.0))
    assert (plain.known == (factor >= 0.05)).all()


def median(series: Series, at_s: float, calendar: Calendar, ahead_s: Floats = AHEAD_S) -> Floats:
    policy = ForecastPolicy(calendar=calendar)
    fit = fit_signal(series, at_s, policy)
    assert not isinstance(fit, NotYet)
    said = path(fit, series.window(at_s - 7200.0, at_s), at_s, ahead_s)
    assert said is not None
    return np.asarray(said.quantiles[policy.levels.index(0.5)])


def test_a_declared_event_is_in_the_path_from_its_first_minute_to_its_last() -> None:
    series = diurnal(5)
    at_s = series.end_s
    friday = Event("black friday", at_s + 600.0, at_s + 1200.0, 3.0)
    usual, told_so = (median(series, at_s, Calendar(events=e)) for e in ((), (friday,)))

    assert told_so[:10] == pytest.approx(usual[:10])
    assert told_so[10:20] == pytest.approx(3.0 * usual[10:20])
    assert told_so[20:] == pytest.approx(usual[20:])


def test_in_the_midst_of_an_event_its_end_is_foreseen() -> None:
    series = diurnal(5)
    event = Event("sale", series.end_s - 3600.0, series.end_s + 900.0, 3.0)
    tripled = changed(series, 5 * 1440 - 60, 60, 3.0)

    usual = median(series, series.end_s, Calendar())
    told_so = median(tripled, series.end_s, Calendar(events=(event,)))
    assert told_so[:15] == pytest.approx(3.0 * usual[:15], rel=0.02)
    assert told_so[15:] == pytest.approx(usual[15:], rel=0.02)


def test_a_past_event_teaches_no_season() -> None:
    series = diurnal(5)
    event = Event("sale", series.end_s - DAY_S, series.end_s - DAY_S + 3600.0, 5.0)
    sold = changed(series, 4 * 1440, 60, 5.0)

    assert median(sold, series.end_s, Calendar(events=(event,))) == pytest.approx(
        median(series, series.end_s, Calendar()), rel=0.02
    )


def test_after_a_maintenance_window_demand_is_expected_back() -> None:
    """Nothing was let through for an hour: the level before it is the latest there is."""
    series = diurnal(5)
    window = Event("maintenance", series.end_s - 3600.0, series.end_s + 600.0, 0.0)
    stopped = changed(series, 5 * 1440 - 60, 60, 0.0)

    said = median(stopped, series.end_s, Calendar(events=(window,)))
    assert said[:10] == pytest.approx(np.zeros(10))
    assert said[10:] == pytest.approx(median(series, series.end_s, Calendar())[10:], rel=0.1)


def test_an_event_of_unknown_factor_is_learned_from_those_of_its_name() -> None:
    series = diurnal(15, swing=0.2)
    first = Event("launch", SUNDAY_S + 10 * DAY_S, SUNDAY_S + 10 * DAY_S + 3600.0)
    second = Event("launch", SUNDAY_S + 12 * DAY_S, SUNDAY_S + 12 * DAY_S + 3600.0)
    coming = Event("launch", series.end_s + 60.0, series.end_s + 3600.0)
    stranger = replace(coming, name="other")
    launched = changed(changed(series, 10 * 1440, 60, 4.0), 12 * 1440, 60, 4.0)

    learned = {(e.name, e.start_s): e.factor for e in told((coming, second, stranger, first), launched)}
    # An hour at 16 requests/s has 58,000 arrivals; the ratio of two such hours moves by 0.6 %.
    assert learned["launch", first.start_s] == pytest.approx(4.0, rel=0.02)
    assert learned["launch", coming.start_s] == pytest.approx(4.0, rel=0.02)
    assert learned["other", coming.start_s] is None


def test_an_event_on_a_holiday_is_an_event_and_a_holiday() -> None:
    unity = unix("2025-10-03T00:00")
    calendar = Calendar("Europe/Berlin", ("DE",), (Event("sale", unity, unity + DAY_S, 2.0),))
    noon = np.array([unity + DAY_S / 2])

    assert calendar.holiday(noon).all()
    assert calendar.during("sale", noon).all()
    assert factors(calendar.events, noon, 60.0).tolist() == [2.0]


@pytest.mark.parametrize("change", ["2024-03-31T03:00", "2024-10-27T02:00"])
def test_a_season_follows_the_clock_of_its_people(change: str) -> None:
    """Work begins at 09:00 Berlin; two days after the clocks changed that is another hour in UTC."""
    start_s = unix(change) - 10 * DAY_S
    start_s -= start_s % DAY_S
    times_s = grid(start_s, 300.0, 12 * 288)
    hour = BERLIN.hour(times_s)
    series = Series(start_s, 300.0, np.where((hour >= 9) & (hour < 17), 200.0, 20.0), np.ones(12 * 288, bool))
    nine = unix((datetime.fromisoformat(change) + timedelta(days=1)).strftime("%Y-%m-%dT09:00"))
    at = np.array([nine - 900.0])
    ahead_s = np.array([600.0, 1500.0, 3600.0])

    for calendar, expected in ((BERLIN, [20.0, 200.0, 200.0]), (Calendar(), None)):
        made = SeasonalNaive(calendar=calendar).fit(series.window(-math.inf, float(at[0])))
        assert not isinstance(made, NotYet)
        said = made.predict(series, at, ahead_s)[0]
        if expected is None:
            # Cut in UTC it is an hour late or an hour early.
            assert said != pytest.approx([20.0, 200.0, 200.0], rel=0.2)
        else:
            assert said == pytest.approx(expected, rel=0.02)


def test_a_holiday_follows_the_sundays_and_teaches_no_weekday() -> None:
    """Friday 3 October 2025 is quiet as a Sunday; the Friday after it is a Friday."""
    start_s = unix("2025-09-08T00:00")
    times_s = grid(start_s, 300.0, 33 * 288)
    quiet = (BERLIN.weekday(times_s) == 6) | BERLIN.holiday(times_s)
    work = np.abs(BERLIN.hour(times_s) - 13.0) < 4.0
    series = Series(start_s, 300.0, np.where(work & ~quiet, 200.0, 20.0), np.ones(len(times_s), bool))
    season = SeasonalNaive(7 * DAY_S, calendar=BERLIN)

    for day, expected in (("2025-10-03", 20.0), ("2025-10-10", 200.0)):
        at_s = unix(f"{day}T08:30")
        made = season.fit(series.window(-math.inf, at_s))
        assert not isinstance(made, NotYet)
        said = made.predict(series, np.array([at_s]), np.array([3600.0]))[0]
        assert said == pytest.approx([expected], rel=0.05), day
