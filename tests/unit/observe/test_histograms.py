"""What histogram buckets say about lengths and latencies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.observe.histograms import MAX_POINTS, Bucket, buckets, mix, points, quantile
from planner.observe.samples import Samples

INF = float("inf")


def bucket_series(le: str, values: list[float], pod: str = "a", start_s: float = 0.0) -> Samples:
    at_s = start_s + 60.0 * np.arange(len(values), dtype=np.float64)
    labels = {"__name__": "isl_bucket", "le": le, "instance": pod}
    return Samples(labels, at_s, np.array(values), np.full(len(values), 60.0))


def test_buckets_hold_increases_over_all_pods() -> None:
    series = [
        bucket_series("100", [10, 14, 20]),
        bucket_series("+Inf", [30, 40, 50]),
        bucket_series("100.0", [5, 5, 7], pod="b"),
        bucket_series("+Inf", [5, 6, 8], pod="b"),
    ]

    assert buckets(series, 0.0) == [Bucket(0.0, 100.0, 12.0), Bucket(100.0, INF, 11.0)]


def test_a_restart_does_not_make_a_bucket_negative() -> None:
    series = [bucket_series("100", [10, 14, 2]), bucket_series("+Inf", [30, 40, 5])]

    assert buckets(series, 0.0) == [Bucket(0.0, 100.0, 6.0), Bucket(100.0, INF, 9.0)]


def test_a_bucket_series_that_appears_counts_from_its_first_value() -> None:
    series = [bucket_series("100", [7, 9], start_s=60.0), bucket_series("+Inf", [0, 8, 10])]

    assert buckets(series, begin_s=0.0)[0] == Bucket(0.0, 100.0, 9.0)


def test_only_what_came_after_a_moment_counts_when_asked() -> None:
    series = [bucket_series("100", [10, 14, 20]), bucket_series("+Inf", [30, 40, 50])]

    assert buckets(series, 0.0, from_s=60.0) == [Bucket(0.0, 100.0, 6.0), Bucket(100.0, INF, 4.0)]


def test_a_quantile_is_linear_in_its_bucket_and_never_beyond_the_last_bound() -> None:
    found = [Bucket(0.0, 0.1, 50.0), Bucket(0.1, 0.3, 40.0), Bucket(0.3, INF, 10.0)]

    assert quantile(found, 0.25) == pytest.approx(0.05)
    assert quantile(found, 0.7) == pytest.approx(0.2)
    assert quantile(found, 0.99) == pytest.approx(0.3)


def test_no_values_have_no_quantile() -> None:
    assert quantile([], 0.5) is None
    assert quantile([Bucket(0.0, INF, 0.0)], 0.5) is None


@given(
    counts=st.lists(st.integers(0, 1000), min_size=2, max_size=12).filter(any),
    share=st.floats(0.01, 0.99),
)
def test_points_keep_the_mean_and_stay_in_their_buckets(counts: list[int], share: float) -> None:
    bounds = [0.0, *(64.0 * 2**i for i in range(len(counts) - 1)), INF]
    found = [Bucket(bounds[i], bounds[i + 1], float(n)) for i, n in enumerate(counts)]
    # A mean that the buckets allow: between all values at their lower and at their upper bounds.
    total = sum(counts)
    low = sum(b.low * b.count for b in found) / total
    high = sum((b.high if b.high < INF else 2 * b.low) * b.count for b in found) / total
    mean = low + share * (high - low)

    kept = points(found, mean)

    assert len(kept) <= MAX_POINTS
    assert sum(p.weight for p in kept) == pytest.approx(1.0)
    assert sum(p.weight * p.value for p in kept) == pytest.approx(mean, rel=1e-6)
    held = [b for b in found if b.count]
    assert min(p.value for p in kept) >= held[0].low
    assert max(p.value for p in kept) <= max(2 * held[-1].low, held[-1].high if held[-1].high < INF else mean)


def test_without_buckets_all_lengths_are_the_mean() -> None:
    only = points([], 800.0)

    assert [(p.value, p.weight) for p in only] == [(800.0, 1.0)]


def test_the_mix_keeps_both_means_and_the_cached_share() -> None:
    isl = points([Bucket(0.0, 1000.0, 3.0), Bucket(1000.0, 8000.0, 1.0)], 1500.0)
    osl = points([Bucket(0.0, 100.0, 1.0), Bucket(100.0, 400.0, 1.0)], 150.0)

    found = mix(isl, osl, cached_ratio=0.25)

    assert found.mean_isl_tokens == pytest.approx(1500.0)
    assert found.mean_osl_tokens == pytest.approx(150.0)
    assert found.mean_prefill_tokens == pytest.approx(1125.0)
    assert found.mean_isl_osl == pytest.approx(1500.0 * 150.0)
