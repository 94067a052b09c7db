"""Check the verdict on a run against figures that a person can count."""

import pytest

from models.simulation.fleet import Fleet
from models.simulation.scorecard import PolicyResult
from models.simulation.scoring import Run, Sample, score
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from tests.unit.simulation.fleets import decode, fleet, pair, prefill

CHAT = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.0015, e2e_s=1.0))
BATCH = RequestClass("batch", Slo())
# 10 us a prompt token, 1 ms a step, and a prompt over 200,000 tokens fits nowhere.
LAYOUTS = pair(prefill(1e-5, kv_tokens=200_000), decode(0.001))


def run(workload: Workload, until_s: float = 100.0) -> Fleet:
    """Serve a workload on one replica a role."""
    opened = fleet(workload, LAYOUTS)
    opened.advance(until_s)
    return opened


def judged(opened: Fleet, samples: tuple[Sample, ...] = (), compression: float = 1.0) -> PolicyResult:
    """Score a run of 3,600 GPU-seconds a role."""
    spent = Run("some", {Role.PREFILL: 3600.0, Role.DECODE: 7200.0}, samples, scale_events=3, decisions=9)
    return score(opened.ledger, (CHAT, BATCH), spent, skipped_rows=2, compression=compression)


def chat(times: list[float], isl: object, osl: object) -> Workload:
    return Workload.of(times, isl, osl, class_names=("chat",))


def test_each_broken_limit_is_a_miss_and_an_unserved_request_too() -> None:
    # Kept; TTFT of 0.6 s; end-to-end of 1.01 s; never finished before the run ends; rejected.
    workload = chat(
        [0.0, 10.0, 20.0, 30.0, 99.0], [1000, 60_000, 1000, 300_000, 1000], [10, 10, 1000, 10, 5000]
    )
    result = judged(run(workload))

    assert (result.completed, result.rejected, result.in_flight) == (3, 1, 1)
    assert result.slo_attainment == pytest.approx(1 / 5)
    assert result.goodput_rps == pytest.approx(1 / 99.0)
    assert result.skipped_rows == 2


def test_a_slow_stream_breaks_the_itl_promise() -> None:
    # A step takes 1.4 ms alone and 1.8 ms as two; 1.5 ms are promised.
    slow = pair(prefill(1e-9), decode(0.001, per_sequence_s=0.0004))
    opened = fleet(chat([0.0, 0.0, 5.0], 10, 100), slow)
    opened.advance(50.0)

    result = judged(opened)

    assert result.slo_attainment == pytest.approx(1 / 3)


def test_a_class_without_a_promise_only_has_to_be_served() -> None:
    workload = Workload.of([0.0, 1.0], [60_000, 300_000], 10, class_names=("batch",))
    result = judged(run(workload))

    assert result.slo_attainment == pytest.approx(0.5)
    batch = next(c for c in result.classes if c.name == "batch")
    assert (batch.requests, batch.completed, batch.slo_attainment) == (2, 1, 0.5)


def test_a_class_without_requests_has_no_attainment() -> None:
    result = judged(run(chat([0.0], 10, 10)))

    batch = next(c for c in result.classes if c.name == "batch")
    assert (batch.requests, batch.slo_attainment, batch.ttft_s.p50) == (0, None, None)


def test_gpu_hours_are_stated_in_story_time() -> None:
    result = judged(run(chat([0.0], 10, 10)), compression=4.0)

    assert result.gpu_hours_by_role == {Role.PREFILL: 4.0, Role.DECODE: 8.0}
    assert result.gpu_hours == 12.0


def test_the_timeline_counts_each_arrival_once_and_judges_it_where_it_arrived() -> None:
    opened = run(chat([0.0, 10.0, 20.0, 25.0], [1000, 60_000, 1000, 1000], 10))
    pools = opened.pools()
    samples = tuple(Sample(s, pools, 0) for s in (10.0, 20.0, 30.0))

    points = judged(opened, samples, compression=2.0).timeline

    # The first arrival is at 0; arrivals on an edge belong to the interval that ends there.
    assert [p.arrivals_rps["chat"] * 10 for p in points] == pytest.approx([2, 1, 1])
    assert [p.attainment["chat"] for p in points] == [0.5, 1.0, 1.0]
    assert [p.at_s for p in points] == [20.0, 40.0, 60.0]
    assert points[1].ttft_p95_s == pytest.approx(0.011)
    assert points[0].ready == {Role.PREFILL: 1, Role.DECODE: 1}


def test_an_interval_without_arrivals_has_no_attainment() -> None:
    opened = run(chat([0.0, 50.0], 10, 10))
    samples = tuple(Sample(s, opened.pools(), 0) for s in (20.0, 40.0))

    empty = judged(opened, samples).timeline[1]

    assert (empty.attainment["chat"], empty.ttft_p95_s, empty.arrivals_rps["chat"]) == (None, None, 0.0)


def test_a_class_without_a_promise_entry_is_refused() -> None:
    opened = run(Workload.of([0.0], 10, 10, class_names=("other",)))

    with pytest.raises(ValueError, match="other"):
        judged(opened)
