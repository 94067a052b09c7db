"""Hold the forecast of a tick to what it says about itself, and to saying it again after a restart."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.calendar import Calendar, Event
from models.policy import FORECASTERS, ForecastPolicy
from models.prediction import PAST_LEVELS, Forecast, SignalForecast
from models.series import Series
from models.values import Signal
from planner.forecasting import Forecasting, recent_peak
from planner.ports import Forecaster
from tests.demand import DAY_S, SUNDAY_S, changed, diurnal, everywhere, flat, nightly_batch, seen, with_gap

POLICY = ForecastPolicy()
HOLD_S = 600.0


def forecasting(past: Series | None = None, policy: ForecastPolicy = POLICY) -> Forecasting:
    made = Forecasting(policy, ["chat"], HOLD_S)
    if past is not None:
        made.seed(everywhere(past))
    return made


def live(made: Forecasting, values: Sequence[float | None], from_s: float) -> Forecast:
    """Tick once a minute; return the last forecast."""
    said = Forecast(from_s)
    for i, value in enumerate(values):
        now_s = from_s + 60.0 * (i + 1)
        made.absorb(seen(now_s, value))
        said = made.forecast(now_s)
    return said


def arrivals(said: Forecast) -> SignalForecast:
    return said.signals["chat"][Signal.ARRIVALS]


def test_it_is_the_forecaster_that_a_tick_wants() -> None:
    port: Forecaster = forecasting()

    assert port.forecast(SUNDAY_S).signals == {}


def test_with_nothing_seen_the_forecast_is_empty_and_says_why() -> None:
    said = forecasting().forecast(SUNDAY_S)

    assert said.signals == {}
    assert said.reasons == tuple(f"chat {s}: no demand was measured yet" for s in Signal)
    assert not said.trusted


def test_one_minute_is_enough_for_a_wide_forecast_that_is_not_trusted() -> None:
    said = arrivals(live(forecasting(), [10.0], SUNDAY_S))

    median, high = said.paths[2], said.paths[4]
    assert median[0] == pytest.approx(10.0)
    assert high[29] > 1.25 * median[29]
    assert said.fallback is not None
    assert "prior" in said.fallback


def test_paths_reach_as_far_as_the_policy_says_on_its_grid() -> None:
    policy = ForecastPolicy(grid_s=300.0, reach_s=3600.0)
    said = arrivals(forecasting(diurnal(1), policy).forecast(SUNDAY_S + DAY_S))

    assert said.offsets_s == tuple(300.0 * i for i in range(1, 13))
    assert all(len(path) == 12 for path in said.paths)
    assert said.levels == policy.levels


def test_paths_reach_further_and_back_when_start_ups_turn_out_longer() -> None:
    past = nightly_batch(4)
    made = forecasting(past)
    before = arrivals(made.forecast(past.end_s))

    made.reach(3600.0, HOLD_S)
    further = arrivals(made.forecast(past.end_s))

    assert len(before.offsets_s) == 30
    assert further.offsets_s == tuple(60.0 * i for i in range(1, 61))
    assert tuple(path[:30] for path in further.paths) == before.paths
    # The same fit, and the band does not narrow where it was not judged yet.
    assert further.paths[4][-1] - further.paths[2][-1] >= before.paths[4][-1] - before.paths[2][-1]

    made.reach(1800.0, HOLD_S)
    assert arrivals(made.forecast(past.end_s)) == further


def test_the_recent_peak_is_taken_over_the_hold_time_that_start_ups_ask_for() -> None:
    past = nightly_batch(4)
    until_s = SUNDAY_S + 3 * DAY_S + 8.0 * 3600.0
    made = forecasting(past.window(-math.inf, until_s))
    short = arrivals(made.forecast(until_s)).recent_peak

    made.reach(1800.0, 10 * 3600.0)

    assert short < 50.0
    assert arrivals(made.forecast(until_s)).recent_peak > 250.0


def test_every_class_and_signal_is_forecast_and_absent_ones_are_named() -> None:
    made = Forecasting(POLICY, ["chat", "email"], HOLD_S)
    said = live(made, [5.0, 5.0], SUNDAY_S)

    assert set(said.signals) == {"chat"}
    assert set(said.signals["chat"]) == set(Signal)
    assert [r.split(":")[0] for r in said.reasons] == [f"email {s}" for s in Signal]


def test_a_season_is_chosen_once_it_has_proved_itself_and_says_by_how_much() -> None:
    said = arrivals(forecasting(nightly_batch(4)).forecast(SUNDAY_S + 4 * DAY_S))

    assert said.model == "blend of all"
    assert "pinball loss against last value -" in said.why
    # Demand jumps by the clock: what follows the last value, by half even, has little part in the answer.
    assert re.search(r"made of seasonal naive \(day\) ([89]\d|100)%", said.why), said.why
    assert said.fallback is None
    # Its own backtest over two days; the promise is 0.9.
    assert said.coverage == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("forecasters", [(), FORECASTERS], ids=["seasons", "all"])
def test_a_jump_by_the_clock_is_in_the_path_before_it_happens(forecasters: tuple[str, ...]) -> None:
    past = nightly_batch(4)
    at_s = SUNDAY_S + 3 * DAY_S + 21.75 * 3600.0
    policy = replace(POLICY, forecasters=forecasters)
    said = arrivals(forecasting(past.window(-math.inf, at_s), policy).forecast(at_s))

    median = said.paths[2]
    assert median[13] == pytest.approx(20.0, rel=0.1)
    assert median[16] == pytest.approx(300.0, rel=0.1)
    assert said.recent_peak == pytest.approx(20.0, rel=0.1)


def test_a_restart_forgets_nothing() -> None:
    """A process that starts now and reads the same history says what the old one says, to the last digit."""
    truth = diurnal(3.2)
    begin = 3 * 1440
    old = forecasting(truth.window(-math.inf, SUNDAY_S + 3 * DAY_S))
    said = live(old, truth.values[begin:].tolist(), SUNDAY_S + 3 * DAY_S)

    new = forecasting(truth)
    assert new.forecast(truth.end_s) == said


def test_the_first_hours_survive_a_restart_too() -> None:
    truth = diurnal(0.2)
    said = live(forecasting(), truth.values.tolist(), SUNDAY_S)

    assert forecasting(truth).forecast(truth.end_s) == said


def test_the_same_input_gives_the_same_forecast() -> None:
    first, second = forecasting(diurnal(2)), forecasting(diurnal(2))

    assert first.forecast(SUNDAY_S + 2 * DAY_S) == second.forecast(SUNDAY_S + 2 * DAY_S)


def test_asking_twice_changes_nothing() -> None:
    made = forecasting(diurnal(2))

    assert made.forecast(SUNDAY_S + 2 * DAY_S) == made.forecast(SUNDAY_S + 2 * DAY_S)


def test_forecasting_switched_off_falls_back_visibly() -> None:
    made = forecasting(nightly_batch(4), ForecastPolicy(enabled=False))
    said = arrivals(made.forecast(SUNDAY_S + 4 * DAY_S))

    assert said.model == "last value"
    assert said.fallback == "forecasting is off"
    # The last value is flat; only its median error differs from horizon to horizon.
    assert said.paths[2] == pytest.approx([said.paths[2][0]] * 30, rel=0.01)


def test_an_outage_of_the_feed_is_not_read_as_silence() -> None:
    made = forecasting(flat(3, 10.0))
    said = arrivals(live(made, [None] * 40, SUNDAY_S + 3 * DAY_S))

    assert said.paths[2] == pytest.approx([10.0] * 30, rel=0.01)
    assert said.fallback == "no demand was measured for 40m"
    assert said.recent_peak == pytest.approx(10.0)


def test_bands_widen_while_the_feed_is_silent() -> None:
    made = forecasting(diurnal(3))
    before = arrivals(made.forecast(SUNDAY_S + 3 * DAY_S))
    after = arrivals(live(made, [None] * 60, SUNDAY_S + 3 * DAY_S))

    def width(said: SignalForecast) -> float:
        return said.paths[4][9] / said.paths[2][9]

    assert width(after) > width(before)


def test_a_day_of_silence_is_no_forecast() -> None:
    made = forecasting(diurnal(3))
    said = made.forecast(SUNDAY_S + 5 * DAY_S)

    assert said.signals == {}
    assert said.reasons[0] == "chat arrivals: no demand was measured for 48h"


def test_the_first_demand_after_a_long_outage_counts_at_once() -> None:
    made = forecasting(with_gap(diurnal(4), 2 * 1440, 14 * 60))
    said = arrivals(made.forecast(SUNDAY_S + 4 * DAY_S))

    assert said.fallback is None
    truth = 20.0 * (1 - 0.6 * np.sin(2 * np.pi * 9 / 24))
    assert said.paths[2][0] == pytest.approx(truth, rel=0.1)


def test_a_month_of_zeros_forecasts_zero_and_follows_the_first_request() -> None:
    made = forecasting(flat(28, 0.0))
    end_s = SUNDAY_S + 28 * DAY_S
    assert max(map(max, arrivals(made.forecast(end_s)).paths)) == 0.0

    said = arrivals(live(made, [5.0] * 5, end_s))
    assert said.paths[2][0] == pytest.approx(5.0, rel=0.05)


def test_a_sparse_class_keeps_its_mean() -> None:
    rng = np.random.default_rng(3)
    said = arrivals(
        forecasting(Series.of(rng.poisson(2.0, 4320) / 60.0, SUNDAY_S)).forecast(SUNDAY_S + 3 * DAY_S)
    )

    # Two arrivals a minute: the mean of five minutes moves by a third from one minute to the next.
    assert 0.3 < said.paths[2][10] / (2 / 60.0) < 2.0
    assert said.paths[4][10] >= 2 / 60.0


def test_shorter_ticks_see_a_surge_within_the_minute() -> None:
    made = forecasting(flat(1, 10.0))
    t0 = SUNDAY_S + DAY_S
    for i in range(1, 21):
        made.absorb(seen(t0 + 15.0 * i, 20.0, window_s=15.0))

    assert arrivals(made.forecast(t0 + 300.0)).paths[2][0] == pytest.approx(20.0, rel=0.02)


def test_the_recent_peak_is_what_two_of_three_minutes_held() -> None:
    values = [10.0] * 10 + [100.0] + [10.0] * 10

    assert recent_peak(Series.of(values), 0.0, 1260.0) == 10.0
    assert recent_peak(Series.of([*values, 30.0, 40.0]), 0.0, 1380.0) == 30.0


def test_the_recent_peak_looks_back_exactly_the_hold_time() -> None:
    values = [50.0] * 10 + [10.0] * 10

    assert recent_peak(Series.of(values), 0.0, 1200.0) == 50.0
    assert recent_peak(Series.of(values), 600.0, 1200.0) == 10.0


def test_the_recent_peak_of_a_silent_hold_time_is_the_latest_known() -> None:
    values = [10.0] * 10 + [np.nan] * 20

    assert recent_peak(Series.of(values), 1200.0, 1800.0) == 10.0
    assert recent_peak(Series.of([np.nan]), 0.0, 60.0) == 0.0


def test_after_a_long_maintenance_window_demand_is_expected_back() -> None:
    """Four hours of nothing, declared: the level of before is in the path from the minute the window ends."""
    end_s = SUNDAY_S + 3 * DAY_S
    window = Event("maintenance", end_s - 4 * 3600.0, end_s + 300.0, 0.0)
    policy = ForecastPolicy(calendar=Calendar(events=(window,)))
    stopped = changed(flat(3, 10.0), 3 * 1440 - 240, 240, 0.0)
    said = arrivals(forecasting(stopped, policy).forecast(end_s))

    assert said.paths[2][:5] == pytest.approx([0.0] * 5)
    assert said.paths[2][5:] == pytest.approx([10.0] * 25, rel=0.01)


def test_a_sale_is_in_the_path_of_every_signal() -> None:
    end_s = SUNDAY_S + 2 * DAY_S
    policy = ForecastPolicy(calendar=Calendar(events=(Event("sale", end_s, end_s + DAY_S, 3.0),)))
    said = forecasting(flat(2, 10.0), policy).forecast(end_s)

    for signal in Signal:
        assert said.signals["chat"][signal].paths[2] == pytest.approx([30.0] * 30, rel=0.01)


def test_the_last_day_is_summed_up_by_quarters_of_an_hour() -> None:
    # Two days: one that is forgotten, then a day that rises from 0 to 95, a step every quarter of an hour.
    day = np.repeat(np.arange(96.0), 15)
    made = Forecasting(ForecastPolicy(enabled=False), ["chat"], 600.0)
    made.seed({"chat": {Signal.ARRIVALS: Series.of([*np.full(1440, 500.0), *day])}})

    said = arrivals(made.forecast(2 * 86_400.0))
    later = arrivals(made.forecast(2 * 86_400.0 + 600.0))

    assert said.past_day == pytest.approx([95 * q for q in PAST_LEVELS])
    assert later.past_day == said.past_day


def test_less_than_half_a_day_says_nothing_about_the_day() -> None:
    for known, told in ((700, False), (740, True)):
        made = Forecasting(ForecastPolicy(enabled=False), ["chat"], 600.0)
        values = [*np.full(1440 - known, np.nan), *np.full(known, 10.0)]
        made.seed({"chat": {Signal.ARRIVALS: Series.of(values)}})

        assert bool(arrivals(made.forecast(86_400.0)).past_day) == told
