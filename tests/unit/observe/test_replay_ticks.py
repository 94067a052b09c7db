"""Snapshots of Dynamo's replay become observations: arrivals now, lengths late, absence never a zero."""

import numpy as np
import pytest

from models.errors import ObserveError
from models.observation import QUEUE_GAP, Observation
from models.values import Role
from planner.observe.replay_lengths import ENOUGH, FEWEST_PROMPTS, LONGEST_S
from planner.observe.replay_ticks import ReplayTicks
from tests.replay_snapshots import TICK_S, batch, prompt, snapshot, window, worker

ORIGIN_S = 1_000_000_020.0


def look(ticks: ReplayTicks, at_s: float, **said: object) -> Observation:
    return ticks.observe(ticks.take(snapshot(at_s, **said)))  # type: ignore[arg-type]


@pytest.fixture
def ticks() -> ReplayTicks:
    return ReplayTicks("chat", ORIGIN_S)


def test_demand_is_what_arrived_and_its_work_the_lengths_of_what_completed(ticks: ReplayTicks) -> None:
    seen = look(ticks, 15.0, traffic=window(arrived=150, completed=90, isl=1000.0, osl=300.0))

    demand = seen.demand["chat"]
    assert (seen.at_s, seen.window_s, seen.demand_at_s) == (ORIGIN_S + 15.0, 15.0, ORIGIN_S + 15.0)
    assert demand.arrivals_rps == 10.0
    assert demand.prefill_tokens_per_s == pytest.approx(10_000.0)
    assert demand.decode_tokens_per_s == pytest.approx(3000.0)
    assert not seen.gaps


def test_a_window_without_a_completion_leaves_lengths_as_they_were(ticks: ReplayTicks) -> None:
    look(ticks, 15.0, traffic=window(isl=1000.0))
    seen = look(ticks, 30.0, traffic=window(arrived=300, completed=0))

    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(20.0 * 1000.0)


def test_before_the_first_completion_tokens_are_a_gap_and_no_zero(ticks: ReplayTicks) -> None:
    demand = look(ticks, 15.0, traffic=window(arrived=30, completed=0)).demand["chat"]

    assert demand.arrivals_rps == 2.0
    assert (demand.prefill_tokens_per_s, demand.decode_tokens_per_s, demand.mix) == (None, None, None)


def test_silence_is_a_demand_of_zero(ticks: ReplayTicks) -> None:
    demand = look(ticks, 15.0, traffic=window(arrived=0)).demand["chat"]

    assert (demand.arrivals_rps, demand.prefill_tokens_per_s) == (0.0, 0.0)


@pytest.mark.parametrize("traffic", [{}, window(arrived=0, seconds=0.0)])
def test_no_window_is_unknown_demand(ticks: ReplayTicks, traffic: dict[str, object]) -> None:
    seen = look(ticks, 15.0, traffic=traffic)

    assert seen.demand["chat"].arrivals_rps is None
    assert seen.demand_at_s is None
    assert [gap.what for gap in seen.gaps] == ["demand of chat"]


def test_windows_are_merged_by_their_counts_and_forgotten_once_there_are_enough(ticks: ReplayTicks) -> None:
    look(ticks, 15.0, traffic=window(completed=100, isl=1000.0))
    seen = look(ticks, 30.0, traffic=window(completed=300, isl=3000.0))
    # (100 * 1000 + 300 * 3000) / 400, at 10 requests a second.
    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(25_000.0)

    seen = look(ticks, 45.0, traffic=window(completed=ENOUGH, isl=5000.0))
    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(50_000.0)


def test_an_old_window_does_not_outlive_a_newer_one(ticks: ReplayTicks) -> None:
    look(ticks, 15.0, traffic=window(completed=20, isl=1000.0))
    seen = look(ticks, 30.0 + LONGEST_S, traffic=window(completed=1, isl=5000.0))

    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(50_000.0)


def test_prefix_hits_are_no_prefill_work(ticks: ReplayTicks) -> None:
    seen = look(ticks, 15.0, traffic=window(isl=1000.0, cached_ratio=0.25))

    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(7500.0)


@pytest.mark.parametrize("raw", [False, True], ids=["as prefill", "as the simulator reports it"])
def test_single_prompts_show_the_spread_around_the_mean(ticks: ReplayTicks, raw: bool) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.lognormal(7.0, 0.8, (60, 4)).astype(int) + 1
    seen = None
    for k, row in enumerate(lengths, 1):
        shown = [
            worker(i, num_decode_requests=1, sum_decode_kv_tokens=int(n)) if raw else prompt(i, int(n))
            for i, n in enumerate(row)
        ]
        seen = look(ticks, TICK_S * k, traffic=window(isl=1600.0), prefill=shown)
    assert seen is not None
    mix = seen.demand["chat"].mix
    assert mix is not None

    assert mix.mean_isl_tokens == pytest.approx(1600.0)
    spread = np.sqrt(sum(a.weight * (a.isl_tokens - 1600.0) ** 2 for a in mix.atoms)) / 1600.0
    # Atoms are means of bins: they keep some nine tenths of the spread that the prompts have.
    assert spread == pytest.approx(lengths.std() / lengths.mean(), rel=0.2)


def test_a_repeated_pass_of_an_idle_worker_counts_once(ticks: ReplayTicks) -> None:
    for k in range(1, FEWEST_PROMPTS + 20):
        look(ticks, TICK_S * k, prefill=[prompt(0, 900)])
    seen = look(ticks, 1e4, prefill=[prompt(0, 900)])

    # One prompt is no distribution: all requests are taken for the mean one.
    assert [a.isl_tokens for a in seen.demand["chat"].mix.atoms] == [2000.0]  # type: ignore[union-attr]


def test_the_context_of_running_batches_tells_how_outputs_spread(ticks: ReplayTicks) -> None:
    rng = np.random.default_rng(2)
    # Outputs with a squared coefficient of variation of 1.6: m = 2000 + 200 * (1 + 1.6) / 2.
    for k in range(1, 61):
        shown = [prompt(i, int(n)) for i, n in enumerate(rng.integers(1500, 2500, 4))]
        look(ticks, TICK_S * k, prefill=shown, decode=[batch(0, 10, 22_600), batch(1, 10, 22_600)])
    seen = look(ticks, 1e3)
    mix = seen.demand["chat"].mix

    assert mix is not None
    assert mix.mean_osl_tokens == pytest.approx(200.0)
    assert mix.decode_context_tokens == pytest.approx(2260.0, rel=0.02)


def test_what_waits_for_prefill_is_counted_over_the_workers(ticks: ReplayTicks) -> None:
    shown = [prompt(0, 900, num_queued_prefill=3, sum_queued_prefill_tokens=4000), prompt(1, 800)]
    queue = look(ticks, 15.0, prefill=shown).queue

    assert queue is not None
    assert (queue.requests, queue.prefill_tokens) == (3, 4000.0)


def test_no_pass_of_any_worker_is_a_queue_that_nobody_saw(ticks: ReplayTicks) -> None:
    seen = look(ticks, 15.0, prefill=[])

    assert seen.queue is None
    assert QUEUE_GAP in [gap.what for gap in seen.gaps]


def test_a_replica_starts_since_the_tick_that_ordered_it(ticks: ReplayTicks) -> None:
    look(ticks, 15.0)
    look(ticks, 30.0, starting=([4], []))
    seen = look(ticks, 45.0, starting=([4, 5], []), draining=(0, 1))

    pool, decode = seen.pools[Role.PREFILL], seen.pools[Role.DECODE]
    assert [s.since_s - ORIGIN_S for s in pool.starting] == [15.0, 30.0]
    assert (pool.desired, pool.ready, pool.draining) == (6, 4, 0)
    assert (decode.desired, decode.ready, decode.draining) == (2, 2, 1)


def test_a_cancelled_start_leaves_no_trace(ticks: ReplayTicks) -> None:
    look(ticks, 15.0, starting=([4], []))
    look(ticks, 30.0)
    seen = look(ticks, 45.0, starting=([5], []))

    assert [s.since_s - ORIGIN_S for s in seen.pools[Role.PREFILL].starting] == [30.0]


@pytest.mark.parametrize("key", ["now_ms", "active_decode_count", "non_draining_prefill_count"])
@pytest.mark.parametrize("value", [None, float("nan"), "3"])
def test_a_snapshot_of_another_kind_is_refused_by_name(ticks: ReplayTicks, key: str, value: object) -> None:
    told = snapshot(15.0) | {key: value}

    with pytest.raises(ObserveError, match=key):
        ticks.observe(ticks.take(told))
