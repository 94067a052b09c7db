"""What a counter counted: resets, pods that come and go, holes, and real zeros."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.observe.counters import GRACE_S, Counts, counts, needs_targets
from planner.observe.samples import Samples

TARGETS = ("job", "instance")
EDGES = np.arange(0.0, 1201.0, 60.0)


def samples(
    values: Sequence[float],
    start_s: float = 0.0,
    every_s: float = 15.0,
    pod: str = "a",
    name: str = "started",
) -> Samples:
    at_s = start_s + every_s * np.arange(len(values), dtype=np.float64)
    labels = {"__name__": name, "job": "frontend", "instance": pod}
    return Samples(labels, at_s, np.array(values, dtype=np.float64), np.zeros(len(values)))


def steady(count: int = 81, rate: float = 2.0, **where: object) -> Samples:
    """A counter that was sampled every 15 s over the whole window and rises by `rate` a second."""
    return samples([1000 + rate * 15 * i for i in range(count)], **where)  # type: ignore[arg-type]


def up(values: Sequence[float], **where: object) -> Samples:
    return samples(values, name="up", **where)  # type: ignore[arg-type]


def count(*series: Samples, health: Sequence[Samples] = ()) -> Counts:
    return counts(series, health, EDGES, TARGETS)


def without(series: Samples, from_s: float, until_s: float) -> Samples:
    keep = (series.at_s <= from_s) | (series.at_s >= until_s)
    return Samples(series.labels, series.at_s[keep], series.values[keep], series.step_s[keep])


def test_a_steady_counter_is_counted_exactly() -> None:
    found = count(steady())

    assert found.known.all()
    assert found.values == pytest.approx(np.full(20, 120.0))


def test_what_a_counter_held_before_the_window_is_not_demand() -> None:
    assert count(steady()).values.sum() == pytest.approx(2.0 * 1200)


def test_a_flat_counter_is_a_real_zero() -> None:
    found = count(samples([5000.0] * 81))

    assert found.known.all()
    assert found.values.tolist() == [0.0] * 20


def test_a_restart_counts_from_zero() -> None:
    before, after = [1000 + 30.0 * i for i in range(40)], [30.0 * i for i in range(1, 42)]

    found = count(samples(before + after))

    # From 1000 to 2170 before it, then from nothing to 1230.
    assert found.known.all()
    assert found.values.sum() == pytest.approx(1170 + 1230)


def test_two_pods_are_counted_apart_so_that_one_restart_does_not_hide_in_the_sum() -> None:
    restarted = samples([9000 + 30.0 * i for i in range(40)] + [30.0 * i for i in range(1, 42)], pod="b")

    found = count(steady(), restarted)

    assert found.values.sum() == pytest.approx(2400 + 39 * 30 + 41 * 30)


def test_a_hole_in_the_samples_is_unknown_and_not_zero() -> None:
    found = count(without(steady(), 300.0, 600.0))

    assert found.known.tolist() == [True] * 5 + [False] * 5 + [True] * 10
    assert found.values[found.known] == pytest.approx(np.full(15, 120.0))


def test_one_missed_scrape_is_bridged() -> None:
    assert count(without(steady(), 300.0, 330.0)).known.all()


def test_a_hole_of_one_pod_makes_the_sum_unknown_and_not_smaller() -> None:
    found = count(steady(), without(steady(pod="b"), 300.0, 600.0))

    assert not found.known[5:10].any()
    assert found.values[found.known] == pytest.approx(np.full(15, 240.0))


def test_a_pod_that_appears_counts_from_its_first_value() -> None:
    new = samples([70.0, 100.0, 130.0] + [130.0] * 38, start_s=600.0, pod="b")

    found = count(steady(), new)

    assert found.known.all()
    assert found.values.sum() == pytest.approx(2400 + 130)


def test_a_pod_first_seen_after_an_outage_is_only_a_baseline() -> None:
    """Its first value may hold weeks: nobody was looking when it was counted."""
    old = without(steady(), 300.0, 600.0)
    unseen = samples([1e6 + 30.0 * i for i in range(41)], start_s=600.0, pod="b")

    found = count(old, unseen)

    assert not found.known[5:10].any()
    assert found.values[10:] == pytest.approx(np.full(10, 240.0))


def test_a_series_that_its_answering_process_first_exports_counts_from_zero() -> None:
    """A labelled series appears with the first request that it counts."""
    late = samples([12.0] * 41, start_s=600.0)

    found = count(late, health=[up([1.0] * 81)])

    assert found.known.all()
    assert found.values.sum() == pytest.approx(12.0)


def test_a_pod_that_was_removed_no_longer_counts_and_blocks_nothing() -> None:
    gone = steady(count=41, pod="b")

    found = count(steady(), gone, health=[up([1.0] * 81), up([1.0] * 41, pod="b")])

    assert found.known.all()
    assert found.values[:10] == pytest.approx(np.full(10, 240.0))
    assert found.values[11:] == pytest.approx(np.full(9, 120.0))


def test_a_pod_that_stopped_answering_makes_demand_unknown_at_first() -> None:
    silent = steady(count=41, pod="b")

    found = count(steady(), silent, health=[up([1.0] * 41 + [0.0] * 40, pod="b")])

    first = 10
    assert found.known[:first].all()
    assert not found.known[first : first + int(GRACE_S / 60)].any()


def test_a_pod_that_stays_silent_does_not_block_the_rest_for_ever() -> None:
    silent = steady(count=41, pod="b")

    found = count(steady(), silent, health=[up([1.0] * 41 + [0.0] * 40, pod="b")])

    assert found.known[-4:].all()


def test_a_series_missing_while_its_process_answers_counted_nothing() -> None:
    restarted = samples([1000 + 30.0 * i for i in range(20)] + [0.0] * 21 + [6.0 * i for i in range(1, 41)])
    exported = without(restarted, 285.0, 615.0)

    found = count(exported, health=[up([1.0] * 81)])

    assert found.known.all()
    assert found.values.sum() == pytest.approx(19 * 30 + 240)


def test_minutes_after_the_last_sample_are_unknown() -> None:
    found = count(steady(count=61))

    assert found.known.tolist() == [True] * 15 + [False] * 5


def test_no_series_is_no_knowledge() -> None:
    assert not count().known.any()


def test_up_is_asked_for_only_where_something_came_or_went() -> None:
    assert not needs_targets([steady(), steady(pod="b", start_s=7.0)])
    assert needs_targets([steady(), steady(count=41, pod="b")])
    assert needs_targets([steady(), samples([1.0] * 41, start_s=600.0, pod="b")])
    assert needs_targets([without(steady(), 300.0, 600.0)])


@given(
    rises=st.lists(st.integers(0, 500), min_size=80, max_size=80),
    restarts=st.sets(st.integers(1, 79), max_size=3),
    before=st.integers(0, 10**9),
)
def test_every_request_is_counted_once_whatever_restarts(
    rises: list[int], restarts: set[int], before: int
) -> None:
    """A restart between two samples hides nothing here: the process was sampled just before it."""
    shown, value = [float(before)], before
    for i, rise in enumerate(rises):
        # A restart that is followed by more requests than were ever counted cannot be told from none.
        value = rise if i in restarts and rise < value else value + rise
        shown.append(float(value))

    found = count(samples(shown))

    assert found.known.all()
    assert found.values.sum() == pytest.approx(sum(rises), abs=1e-6)
