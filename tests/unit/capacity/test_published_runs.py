"""Hold predictions of published runs to what the README states; no measured latency goes into them."""

from statistics import fmean

import pytest

from tests.bench import calibrate, published
from tests.bench.closed_runs import ClosedRun, Figures, predict_run, profiles, read_closed, saturated
from tests.components import fact

TRTLLM, SGLANG = calibrate.TARGETS


@pytest.fixture(scope="module")
def runs() -> list[tuple[ClosedRun, Figures]]:
    return predicted(TRTLLM)


def predicted(target: calibrate.Target) -> list[tuple[ClosedRun, Figures]]:
    found = read_closed(fact("gb200_measured.csv"), target.model)
    surfaces = profiles(published.benches(target, "roofline"), found)
    said = [(run, predict_run(run, surfaces)) for run in found]
    return [(run, figures) for run, figures in said if figures is not None]


def error(runs: list[tuple[ClosedRun, Figures]], column: str) -> float:
    return fmean(abs(said.errors(run.measured)[column]) for run, said in runs if not run.stalled)


def test_every_published_run_is_predicted(runs: list[tuple[ClosedRun, Figures]]) -> None:
    assert len(runs) == 21
    assert not any(run.stalled for run, _ in runs)


def test_throughput_tpot_and_the_burst_are_near(runs: list[tuple[ClosedRun, Figures]]) -> None:
    # Seen: 4.9, 6.5, 7.4 and 13.1 %; the aims are 15 % for the first two.
    assert error(runs, "tokens_per_s_per_gpu") < 0.07
    assert error(runs, "tpot_s") < 0.09
    assert error(runs, "ttft_p99_s") < 0.10
    assert error(runs, "ttft_mean_s") < 0.17


def test_the_median_first_token_is_near_where_no_queue_stands(runs: list[tuple[ClosedRun, Figures]]) -> None:
    measured = {run.name: run.measured.ttft_p50_s for run, _ in runs}
    loaded = saturated([run for run, _ in runs], measured, published.LOADED)
    calm = [said.errors(run.measured)["ttft_p50_s"] for run, said in runs if run.name not in loaded]
    assert len(calm) == 14
    assert max(map(abs, calm)) < 0.25


def test_the_saturated_runs_are_the_ones_that_saturate(runs: list[tuple[ClosedRun, Figures]]) -> None:
    every = [run for run, _ in runs]
    measured = saturated(every, {run.name: run.measured.ttft_p50_s for run in every}, published.SATURATED)
    expected = saturated(every, {run.name: said.ttft_p50_s for run, said in runs}, published.SATURATED)
    assert len(measured) == 3
    assert measured == expected


def test_wide_expert_parallelism_keeps_its_throughput_if_not_its_first_token() -> None:
    wide = predicted(SGLANG)
    # Seen 4.7 and 5.8 %. The first token is not predicted: 45 % off, always early.
    assert error(wide, "tokens_per_s_per_gpu") < 0.07
    assert error(wide, "tpot_s") < 0.08
    assert all(said.errors(run.measured)["ttft_p50_s"] < 0.05 for run, said in wide)
    assert sum(run.stalled for run, _ in wide) == 1
