"""Search the smallest constant fleet against a known answer."""

from collections.abc import Mapping

import numpy as np
import pytest

from models.simulation.workload import Workload
from models.values import Role
from planner.policies.static_peak import StaticPeak, stretches
from tests.unit.simulation.fleets import decode, pair, prefill

LAYOUTS = pair(prefill(1e-5), decode(0.001, tp=4))
FEW = Workload.of(np.arange(100.0), 10, 1)


def search(prefill_needed: int, decode_needed: int) -> tuple[StaticPeak, list[Mapping[Role, int]]]:
    """Make a search over a world in which each role needs so many replicas."""
    tried: list[Mapping[Role, int]] = []

    def simulate(counts: Mapping[Role, int], workload: Workload) -> Mapping[str, float | None]:
        tried.append(dict(counts))
        enough = counts[Role.PREFILL] >= prefill_needed and counts[Role.DECODE] >= decode_needed
        return {"chat": 0.995 if enough else 0.9, "idle": None}

    return StaticPeak(FEW, LAYOUTS, {"chat": 0.99, "idle": 0.99}, simulate), tried


@pytest.mark.parametrize("seed", [(1, 1), (7, 3), (30, 9), (200, 50)])
@pytest.mark.parametrize("needed", [(1, 1), (7, 3), (23, 6)])
def test_the_smallest_sufficient_fleet_is_found_from_anywhere(
    seed: tuple[int, int], needed: tuple[int, int]
) -> None:
    finder, tried = search(*needed)

    found = finder.find(dict(zip((Role.PREFILL, Role.DECODE), seed, strict=True)))

    assert (found[Role.PREFILL], found[Role.DECODE]) == needed
    assert len(tried) < 40
    assert len({tuple(t.values()) for t in tried}) == len(tried)


def test_a_cheap_replica_more_is_traded_for_a_dear_one_less() -> None:
    def simulate(counts: Mapping[Role, int], workload: Workload) -> Mapping[str, float | None]:
        ok = (counts[Role.PREFILL] >= 5 and counts[Role.DECODE] >= 3) or (
            counts[Role.PREFILL] >= 7 and counts[Role.DECODE] >= 2
        )
        return {"chat": 1.0 if ok else 0.0}

    finder = StaticPeak(FEW, LAYOUTS, {"chat": 0.99}, simulate)

    # Two prefill replicas take 2 GPUs, one decode replica 4.
    assert finder.find({Role.PREFILL: 5, Role.DECODE: 3}) == {Role.PREFILL: 7, Role.DECODE: 2}


def test_a_promise_that_no_count_keeps_ends_the_search() -> None:
    finder, tried = search(10**9, 1)

    assert finder.find({Role.PREFILL: 3, Role.DECODE: 2}) == {Role.PREFILL: 3, Role.DECODE: 2}
    assert finder.exhausted
    assert len(tried) < 40


def test_stretches_sample_the_whole_trace_evenly_at_its_own_rate() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(np.concatenate((rng.uniform(0, 20_000, 100_000), rng.uniform(10_000, 20_000, 100_000))))
    whole = Workload.of(times, np.arange(200_000) % 1000 + 1, 1)

    part = stretches(whole, 20_000)

    assert len(part) == pytest.approx(20_000, rel=0.05)
    # A second half at three times the rate stays so: three quarters of all requests.
    late = part.isl_tokens.size and part.arrival_s > part.start_s + part.span_s / 2
    assert np.mean(late) == pytest.approx(0.75, abs=0.03)
    gaps = np.diff(part.arrival_s)
    assert (gaps > 59).sum() == (gaps > 30).sum() > 50
