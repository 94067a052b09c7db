"""Lengths and cache hits, whatever a serving stack offers to tell them by; demand of days on one grid."""

from collections.abc import Sequence

import numpy as np
import pytest

from config.metrics import read_metrics
from models.series import Floats
from models.values import Signal
from planner.observe.demand import Arrivals, choose_arrivals, history, recent_lengths
from planner.observe.histograms import named
from planner.observe.samples import Samples, at_true_times, joined, parse

MINUTES = np.arange(0.0, 11 * 60.0, 60.0)


def grid(name: str, values: Sequence[float] | Floats, step_s: float = 60.0, **labels: str) -> Samples:
    at_s = step_s * np.arange(len(values), dtype=np.float64)
    return Samples(
        {"__name__": name, "job": "j", "instance": "a", **labels},
        at_s,
        np.array(values, dtype=np.float64),
        np.full(len(values), step_s),
    )


def rising(name: str, per_minute: float, **labels: str) -> Samples:
    return grid(name, [1e4 + per_minute * i for i in range(11)], 60.0, **labels)


def test_sglang_tells_means_by_totals_and_hits_by_tokens() -> None:
    found = [
        rising("sglang:num_requests_total", 60),
        rising("sglang:prompt_tokens_total", 60 * 1200),
        rising("sglang:generation_tokens_total", 60 * 300),
        rising("sglang:cached_tokens_total", 60 * 300, cache_source="device"),
        rising("sglang:cached_tokens_total", 60 * 180, cache_source="host"),
    ]

    lengths = recent_lengths(read_metrics("sglang"), named(found), 0.0)

    assert lengths is not None
    assert lengths.mean_isl_tokens == pytest.approx(1200)
    assert lengths.mean_osl_tokens == pytest.approx(300)
    assert lengths.cached_ratio == pytest.approx(0.4)
    assert lengths.prefill_tokens == pytest.approx(720)
    # Totals tell no spread.
    assert len(lengths.mix.atoms) == 1


def test_vllm_tells_lengths_by_histograms_and_hits_by_its_cache_counters() -> None:
    found = [
        rising("vllm:prefix_cache_hits_total", 100),
        rising("vllm:prefix_cache_queries_total", 400),
    ]
    for name, mean in (("prompt", 800), ("generation", 150)):
        base = f"vllm:request_{name}_tokens"
        found += [rising(f"{base}_sum", 60 * mean), rising(f"{base}_count", 60)]
        found += [rising(f"{base}_bucket", 40, le="500.0"), rising(f"{base}_bucket", 60, le="+Inf")]

    lengths = recent_lengths(read_metrics("vllm"), named(found), 0.0)

    assert lengths is not None
    assert lengths.cached_ratio == pytest.approx(0.25)
    assert lengths.mix.mean_isl_tokens == pytest.approx(800)
    assert lengths.mix.mean_prefill_tokens == pytest.approx(600)
    assert len(lengths.mix.atoms) == 4


def test_no_completions_tell_no_lengths() -> None:
    names = read_metrics("dynamo")
    flat = [
        grid(f"{base}_{part}", [5.0] * 11)
        for base in (*names.input_tokens, *names.output_tokens)
        for part in ("sum", "count")
    ]

    assert recent_lengths(names, named(flat), 0.0) is None


def test_vllm_arrivals_are_completions_and_what_stays_inside() -> None:
    found = [
        rising("vllm:request_success_total", 30, finished_reason="stop"),
        rising("vllm:request_success_total", 10, finished_reason="length"),
        grid("vllm:num_requests_running", [20.0 * i for i in range(11)]),
        grid("vllm:num_requests_waiting", [5.0 * i for i in range(11)]),
    ]
    arrivals = choose_arrivals(read_metrics("vllm"), named(found))

    assert arrivals is not None
    assert arrivals.bias is not None
    series = history(read_metrics("vllm"), arrivals, [], named([]), MINUTES)[Signal.ARRIVALS]
    assert series.known.all()
    assert series.values == pytest.approx(np.full(10, 65 / 60))


def test_arrivals_without_lengths_are_known_and_their_tokens_are_not() -> None:
    arrivals = Arrivals([rising("started", 60)])

    found = history(read_metrics("dynamo"), arrivals, [], named([]), MINUTES)

    assert found[Signal.ARRIVALS].known.all()
    assert not found[Signal.PREFILL_TOKENS].known.any()


def test_no_arrivals_are_no_tokens_even_without_lengths() -> None:
    found = history(read_metrics("dynamo"), Arrivals([rising("started", 0)]), [], named([]), MINUTES)

    for signal in Signal:
        assert found[signal].known.all()
        assert not found[signal].values.any()


def test_a_grid_that_repeats_a_sample_is_moved_to_when_it_was_taken() -> None:
    values, times = grid("c", [1, 2, 2, 3]), grid("c", [55, 117, 117, 236])

    [moved] = at_true_times([values], [times])

    assert moved.at_s.tolist() == [55, 117, 236]
    assert moved.values.tolist() == [1, 2, 3]


def test_where_a_coarse_grid_meets_a_fine_one_nothing_is_lost_between() -> None:
    coarse = grid("c", [300.0 * i for i in range(3)], step_s=300.0)
    fine = Samples(
        coarse.labels,
        600.0 + 60.0 * np.arange(6, dtype=np.float64),
        600.0 + 60.0 * np.arange(6, dtype=np.float64),
        np.full(6, 60.0),
    )
    edges = np.arange(0.0, 901.0, 60.0)

    found = history(read_metrics("dynamo"), Arrivals(joined([fine, coarse])), [], named([]), edges)

    assert found[Signal.ARRIVALS].known.all()
    assert found[Signal.ARRIVALS].values == pytest.approx(np.ones(15))


@pytest.mark.parametrize(
    "broken",
    [
        {"metric": {}},
        [{"values": [[1, "2"]]}],
        [{"metric": {}, "values": [[1]]}],
        [{"metric": {}, "values": [[1, "x"]]}],
        [{"metric": {}, "values": None}],
        ["text"],
    ],
)
def test_an_answer_of_another_shape_is_refused(broken: object) -> None:
    with pytest.raises(ValueError, match=r"expected a list of series|without metric and values"):
        parse(broken)
