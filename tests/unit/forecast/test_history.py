"""Hold the history to one-minute steps, to its gaps and to its length."""

import math

import numpy as np
import pytest

from models.mix import RequestMix
from models.observation import ClassDemand, Observation
from models.series import Series
from models.values import Signal
from planner.history import History
from tests.demand import SUNDAY_S, diurnal, everywhere, seen, with_gap

T0 = SUNDAY_S


def arrivals(history: History) -> Series:
    return history.series("chat", Signal.ARRIVALS)


def test_one_tick_a_minute_is_one_step_each() -> None:
    history = History()
    for i, rps in enumerate([3.0, 4.0, 5.0]):
        history.absorb(seen(T0 + 60.0 * (i + 1), rps))

    assert list(arrivals(history).points()) == [(T0, 3.0), (T0 + 60, 4.0), (T0 + 120, 5.0)]


def test_shorter_ticks_are_averaged_by_time() -> None:
    history = History()
    for i, rps in enumerate([1.0, 2.0, 3.0, 6.0]):
        history.absorb(seen(T0 + 15.0 * (i + 1), rps, window_s=15.0))

    assert arrivals(history).at(T0) == pytest.approx(3.0)


def test_a_longer_tick_fills_all_its_minutes() -> None:
    history = History()
    history.absorb(seen(T0 + 300.0, 7.0, window_s=300.0))

    assert list(arrivals(history).points()) == [(T0 + 60.0 * i, 7.0) for i in range(5)]


def test_ticks_that_do_not_begin_on_the_minute_share_it_by_time() -> None:
    history = History()
    history.absorb(seen(T0 + 80.0, 3.0))
    history.absorb(seen(T0 + 140.0, 6.0))

    # Minute T0+60 holds 20 s of the first window and 40 s of the second.
    assert arrivals(history).at(T0 + 60.0) == pytest.approx((20 * 3.0 + 40 * 6.0) / 60)


def test_overlapping_windows_count_only_what_is_new() -> None:
    """A rate over the last minute, read every 15 seconds, must not count a minute four times."""
    history = History()
    for i, rps in enumerate([4.0, 8.0, 8.0, 8.0, 8.0]):
        history.absorb(seen(T0 + 60.0 + 15.0 * i, rps, window_s=60.0))

    assert arrivals(history).at(T0) == pytest.approx(4.0)
    assert arrivals(history).at(T0 + 60.0) == pytest.approx(8.0)


def test_the_same_tick_twice_changes_nothing() -> None:
    once, twice = History(), History()
    for i in range(10):
        tick = seen(T0 + 60.0 * (i + 1), float(i))
        once.absorb(tick)
        twice.absorb(tick)
        twice.absorb(tick)

    assert arrivals(once) == arrivals(twice)
    assert once.revision("chat", Signal.ARRIVALS) == twice.revision("chat", Signal.ARRIVALS)


def test_a_late_arrival_from_the_past_does_not_rewrite_it() -> None:
    history = History()
    history.absorb(seen(T0 + 120.0, 5.0, window_s=120.0))
    history.absorb(seen(T0 + 60.0, 99.0))

    assert arrivals(history).known_values.tolist() == [5.0, 5.0]


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -1.0])
def test_what_is_unknown_or_impossible_is_a_gap(unknown: float | None) -> None:
    history = History()
    history.absorb(seen(T0 + 60.0, 5.0))
    history.absorb(seen(T0 + 120.0, unknown))
    history.absorb(seen(T0 + 180.0, 6.0))

    assert list(arrivals(history).points()) == [(T0, 5.0), (T0 + 60, None), (T0 + 120, 6.0)]


def test_an_observation_without_demand_is_a_gap() -> None:
    history = History()
    history.absorb(Observation(T0, 60.0, {"chat": ClassDemand(1.0, 1.0, 1.0)}, {}, demand_at_s=None))

    assert len(arrivals(history)) == 0
    assert history.known_span_s("chat", Signal.ARRIVALS) is None


def test_signals_have_gaps_of_their_own() -> None:
    history = History()
    demand = ClassDemand(2.0, None, 30.0)
    history.absorb(Observation(T0 + 60.0, 60.0, {"chat": demand}, {}, demand_at_s=T0 + 60.0))

    assert len(history.series("chat", Signal.PREFILL_TOKENS)) == 0
    assert history.series("chat", Signal.DECODE_TOKENS).at(T0) == 30.0


def test_less_than_half_a_minute_is_not_known() -> None:
    history = History()
    history.absorb(seen(T0 + 20.0, 5.0, window_s=20.0))

    assert arrivals(history).at(T0) is None


def test_seeded_history_is_read_back_and_joined_by_what_follows() -> None:
    past = with_gap(diurnal(2), 1000, 30)
    history = History()
    history.seed(everywhere(past))
    history.absorb(seen(past.end_s + 60.0, 11.0))

    assert arrivals(history) == past.append(11.0)


def test_coarse_history_is_held_over_its_minutes() -> None:
    history = History()
    history.seed(everywhere(Series.of([2.0, np.nan, 4.0], T0, 600.0)))

    assert arrivals(history).known_values.tolist() == pytest.approx([2.0] * 10 + [4.0] * 10)
    assert arrivals(history).gaps() == [(T0 + 600.0, T0 + 1200.0)]


def test_seeding_late_keeps_what_was_measured_and_fills_its_gaps() -> None:
    history = History()
    for i, rps in enumerate([5.0, None, 7.0]):
        history.absorb(seen(T0 + 60.0 * (i + 1), rps))
    history.seed(everywhere(Series.of([1.0, 1.0, 1.0, 1.0], T0 - 60.0)))

    assert arrivals(history).known_values.tolist() == [1.0, 5.0, 1.0, 7.0]


def test_the_oldest_is_forgotten_past_the_span() -> None:
    history = History(span_s=3600.0)
    for i in range(500):
        history.absorb(seen(T0 + 60.0 * (i + 1), float(i)))

    kept = arrivals(history)
    assert kept.known_values.tolist() == [float(i) for i in range(440, 500)]
    assert history.known_span_s("chat", Signal.ARRIVALS) is not None


def test_a_month_of_silence_leaves_room_for_what_comes_after() -> None:
    history = History(span_s=3600.0)
    history.absorb(seen(T0 + 60.0, 1.0))
    history.absorb(seen(T0 + 30 * 86_400.0, 2.0))

    assert arrivals(history).known_values.tolist() == [2.0]
    assert len(arrivals(history)) <= 60


def test_the_span_of_what_is_known_ignores_gaps_at_both_ends() -> None:
    history = History()
    history.seed(everywhere(Series.of([np.nan, 1.0, np.nan, 2.0, np.nan], T0)))

    assert history.known_span_s("chat", Signal.ARRIVALS) == (T0 + 60.0, T0 + 240.0)


def test_a_slice_begins_where_it_is_asked_to() -> None:
    history = History()
    history.seed(everywhere(diurnal(1)))

    cut = history.series("chat", Signal.ARRIVALS, T0 + 3600.0)
    assert cut == diurnal(1).window(T0 + 3600.0, math.inf)


def test_the_last_lengths_of_a_class_are_kept_through_a_gap() -> None:
    history = History()
    mix = RequestMix.constant(100, 10)
    history.absorb(Observation(T0, 60.0, {"chat": ClassDemand(1.0, 1.0, 1.0, mix)}, {}, demand_at_s=T0))
    history.absorb(seen(T0 + 60.0, None))

    assert history.mix("chat") == mix
    assert history.mix("pages") is None
