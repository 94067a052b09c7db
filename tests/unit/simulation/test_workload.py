"""Check what a workload refuses, and that cutting, merging and rescaling lose nothing."""

import numpy as np
import pytest

from models.simulation.workload import PrefixBlocks, Workload


def test_columns_are_sorted_by_arrival_together() -> None:
    workload = Workload.of([3.0, 1.0, 2.0], [30, 10, 20], [3, 1, 2])

    assert workload.arrival_s.tolist() == [1.0, 2.0, 3.0]
    assert workload.isl_tokens.tolist() == [10, 20, 30]
    assert workload.osl_tokens.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"isl_tokens": 0, "osl_tokens": 1}, "at least one token"),
        ({"isl_tokens": 1, "osl_tokens": 0}, "at least one token"),
        ({"isl_tokens": 1, "osl_tokens": 1, "cached_tokens": -1}, "at least one token"),
        ({"isl_tokens": 1, "osl_tokens": 1, "class_index": 1}, "outside the classes"),
    ],
)
def test_impossible_requests_are_refused(columns: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Workload.of(
            [0.0, 1.0],
            columns["isl_tokens"],
            columns["osl_tokens"],
            columns.get("cached_tokens", 0),
            columns.get("class_index", 0),
        )


@pytest.mark.parametrize("times", [[float("nan")], [float("inf")]])
def test_times_that_are_not_finite_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Workload.of(times, 1, 1)


def test_merging_keeps_every_request_and_joins_classes_of_one_name() -> None:
    a = Workload.of([0.0, 2.0], 10, 1, class_names=("chat",))
    b = Workload.of([1.0, 3.0], 20, 2, class_index=[0, 1], class_names=("mail", "chat"))

    merged = Workload.merge([a, b])

    assert merged.class_names == ("chat", "mail")
    assert [merged.class_names[i] for i in merged.class_index] == ["chat", "mail", "chat", "chat"]
    assert merged.isl_tokens.tolist() == [10, 20, 10, 20]


def test_slicing_takes_the_start_and_leaves_the_end() -> None:
    workload = Workload.of([0.0, 1.0, 2.0, 3.0], 1, 1)

    assert workload.between(1.0, 3.0).arrival_s.tolist() == [1.0, 2.0]
    assert len(workload.between(5.0, 9.0)) == 0


def test_prefix_blocks_follow_their_requests() -> None:
    blocks = PrefixBlocks(np.array([0, 2, 2, 5]), np.array([1, 2, 7, 8, 9]), 512)

    taken = blocks.take(np.array([2, 0]))

    assert taken.offsets.tolist() == [0, 3, 5]
    assert taken.hashes.tolist() == [7, 8, 9, 1, 2]


@pytest.mark.parametrize("factor", [0.3, 2.5])
def test_a_rescaled_rate_keeps_the_shape_over_time(factor: float) -> None:
    rng = np.random.default_rng(0)
    times = np.sort(np.concatenate((rng.uniform(0, 3600, 20_000), rng.uniform(1200, 1800, 20_000))))
    workload = Workload.of(times, 10, 1)

    scaled = workload.scaled(factor, seed=1)

    bins = np.arange(0, 3601, 600)
    before, after = (np.histogram(w.arrival_s, bins)[0] for w in (workload, scaled))
    # Thinning keeps a share of each bin; its standard deviation is under 2 % of the smallest.
    np.testing.assert_allclose(after, before * factor, rtol=0.06)


def test_copies_do_not_arrive_in_lockstep() -> None:
    workload = Workload.of(np.arange(0.0, 1000.0), 10, 1)

    scaled = workload.scaled(2.0)

    assert len(scaled) == 2000
    assert (np.diff(scaled.arrival_s) > 0).mean() > 0.99


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_cannot_be_scaled_by_nothing(factor: float) -> None:
    with pytest.raises(ValueError, match="factor above zero"):
        Workload.of([0.0], 1, 1).scaled(factor)
