"""Check that the embedded day tells the story that it claims to tell."""

from datetime import UTC, datetime

import numpy as np
import pytest

from models.simulation.story import Story
from models.values import Signal

STORY = Story(day_s=86_400 / 24)


def rate(name: str, hour: float, story: Story = STORY) -> float:
    """Return a class's expected rate at an hour after the midnight before the story."""
    midnight = story.start_s - 6 * 3600
    return float(story.rates_rps(np.array([midnight + hour * 3600]))[name][0])


def test_the_day_is_black_friday_from_six_in_the_morning() -> None:
    begin = datetime.fromtimestamp(STORY.start_s, UTC)

    assert (begin.strftime("%A %d %B %Y %H:%M")) == "Friday 27 November 2026 06:00"


def test_pages_peak_near_180_and_half_as_much_again_in_the_surge() -> None:
    ordinary = STORY.rates_rps(np.array([STORY.start_s + 9 * 3600]), surge=False)["pages"][0]

    assert ordinary == pytest.approx(180)
    assert rate("pages", 15) == pytest.approx(270)
    assert rate("pages", 12.9) == pytest.approx(
        STORY.rates_rps(np.array([STORY.start_s + 6.9 * 3600]), surge=False)["pages"][0]
    )


def test_the_surge_ramps_over_twenty_minutes() -> None:
    times = STORY.start_s + 7 * 3600 + np.array([0.0, 600.0, 1200.0])
    ratio = STORY.rates_rps(times)["pages"] / STORY.rates_rps(times, surge=False)["pages"]

    assert ratio == pytest.approx([1.0, 1.25, 1.5])


@pytest.mark.parametrize(
    ("hour", "rps"), [(12, 20), (21.9, 20), (22, 300), (28, 300), (28.9, 300), (29, 0), (31, 0)]
)
def test_email_runs_by_night_and_rests_after(hour: float, rps: float) -> None:
    assert rate("email", hour) == rps


def test_requests_arrive_at_the_true_rate_whatever_the_compression() -> None:
    for compression in (24, 60):
        story = Story(day_s=86_400 / compression)
        workload = story.workload(seed=1)
        from_s = story.start_s + 8 * 3600 / compression
        hour = workload.between(from_s, from_s + 3600 / compression)
        pages = (hour.class_index == 0).sum() / (3600 / compression)
        assert story.compression == pytest.approx(compression)
        # The surge hour, 266 requests/s on average; four standard deviations of its count.
        expected = 266.4
        assert pages == pytest.approx(expected, abs=4 * np.sqrt(expected * compression / 3600))


def test_lengths_are_those_of_pages_and_email() -> None:
    workload = STORY.workload(seed=1)

    for number, (isl, osl) in enumerate(((8000, 50), (600, 700))):
        mine = workload.class_index == number
        assert workload.isl_tokens[mine].mean() == pytest.approx(isl, rel=0.01)
        assert workload.osl_tokens[mine].mean() == pytest.approx(osl, rel=0.01)


def test_the_same_seed_tells_the_same_day_and_another_one_does_not() -> None:
    story = Story(day_s=600)
    first, again, other = story.workload(3), story.workload(3), story.workload(4)

    assert np.array_equal(first.arrival_s, again.arrival_s)
    assert np.array_equal(first.isl_tokens, again.isl_tokens)
    assert not np.array_equal(first.arrival_s[:100], other.arrival_s[:100])


def test_the_history_is_a_week_of_ordinary_days_up_to_the_story() -> None:
    history = STORY.history(seed=1)

    for signals in history.values():
        series = signals[Signal.ARRIVALS]
        assert (len(series), series.step_s) == (7 * 1440, 60.0)
        assert series.end_s == STORY.start_s
        assert series.known.all()
    afternoon = history["pages"][Signal.ARRIVALS].at(STORY.start_s - 15 * 3600)
    assert afternoon == pytest.approx(180, rel=0.15)  # yesterday at 15:00: no surge
    tokens = history["pages"][Signal.PREFILL_TOKENS].values / history["pages"][Signal.ARRIVALS].values
    assert tokens.mean() == pytest.approx(8000, rel=0.01)


@pytest.mark.parametrize("day_s", [0.0, -5.0, 90_000.0])
def test_time_is_never_stretched(day_s: float) -> None:
    with pytest.raises(ValueError, match="story day"):
        Story(day_s=day_s)
