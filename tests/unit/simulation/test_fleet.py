"""Follow single requests through a small fleet, by hand."""

import numpy as np
import pytest

from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.values import Role, Router
from tests.unit.simulation.fleets import aggregated, decode, fleet, pair, prefill


def finish(opened: Fleet, until_s: float = 1e4) -> tuple[list[float], list[float], list[float]]:
    """Run a fleet empty and return TTFT, TPOT and end-to-end of all requests."""
    opened.advance(until_s)
    assert opened.in_flight == 0
    ttft, tpot, e2e = opened.ledger.latencies(np.arange(len(opened.ledger.workload)))
    return ttft.tolist(), tpot.tolist(), e2e.tolist()


def test_ttft_is_wait_prefill_overhead_handover_and_first_step() -> None:
    layouts = pair(prefill(1e-5, overhead_s=0.03, handover_s_per_token=1e-6), decode(0.002))

    ttft, tpot, e2e = finish(fleet(Workload.of([0.0], 1000, 11), layouts))

    assert ttft == pytest.approx([0.010 + 0.03 + 0.001 + 0.002])
    assert tpot == pytest.approx([0.002])
    assert e2e == pytest.approx([0.010 + 0.03 + 0.001 + 11 * 0.002])


def test_a_single_token_request_has_no_tpot_and_ends_with_its_first_token() -> None:
    ttft, tpot, e2e = finish(fleet(Workload.of([0.0], 1000, 1), pair(prefill(1e-5), decode(0.002))))

    assert tpot == [0.0]
    assert ttft == pytest.approx(e2e)


def test_prompts_that_wait_share_the_next_iteration_up_to_its_token_limit() -> None:
    layouts = pair(prefill(1e-5, fixed_s=0.1, batched_tokens=2500), decode(1e-6))
    opened = fleet(Workload.of([0.0, 0.01, 0.02, 0.03], 1000, 1), layouts)

    ttft, _, _ = finish(opened)

    # 0.11 for the first alone, 0.12 for two together, 0.11 for the fourth, that did not fit any more.
    assert ttft == pytest.approx([0.11, 0.22, 0.21, 0.31], abs=1e-4)


def test_a_prompt_over_the_token_limit_runs_alone_rather_than_never() -> None:
    layouts = pair(prefill(1e-5, batched_tokens=500), decode(1e-6))

    ttft, _, _ = finish(fleet(Workload.of([0.0, 0.0], 1000, 1), layouts))

    assert ttft == pytest.approx([0.01, 0.02], abs=1e-4)


def test_cached_tokens_need_no_prefill() -> None:
    layouts = pair(prefill(1e-5), decode(1e-6))

    ttft, _, _ = finish(fleet(Workload.of([0.0, 10.0], 1000, 1, cached_tokens=[0, 900]), layouts))

    assert ttft == pytest.approx([0.01, 0.001], abs=1e-5)


def test_every_sequence_of_a_batch_steps_at_the_pace_of_the_whole_batch() -> None:
    layouts = pair(prefill(1e-9), decode(0.0, per_sequence_s=0.001))
    opened = fleet(Workload.of([0.0, 0.0], 1, [10, 20]), layouts)

    _, _, e2e = finish(opened)

    # Ten steps of two at 2 ms, then ten of one at 1 ms. The second joins a step after the first has begun.
    assert e2e == pytest.approx([0.019, 0.030], abs=0.0021)


def test_a_sequence_waits_while_the_kv_cache_is_spoken_for() -> None:
    layouts = pair(prefill(1e-9), decode(0.001, kv_tokens=150.0))
    opened = fleet(Workload.of([0.0, 0.0], 50, 50), layouts)

    ttft, tpot, e2e = finish(opened)

    assert e2e == pytest.approx([0.05, 0.10], abs=1e-6)
    assert ttft == pytest.approx([0.001, 0.051], abs=1e-6)
    assert tpot == pytest.approx([0.001, 0.001])


def test_a_batch_never_exceeds_the_sequence_limit() -> None:
    layouts = pair(prefill(1e-9), decode(0.001, seqs=2))

    _, _, e2e = finish(fleet(Workload.of([0.0] * 6, 1, 10), layouts))

    assert sorted(e2e) == pytest.approx([0.01, 0.01, 0.02, 0.02, 0.03, 0.03], abs=0.0011)


def test_what_no_replica_could_hold_is_rejected_and_nothing_else() -> None:
    layouts = pair(prefill(1e-9, kv_tokens=500.0), decode(0.001, kv_tokens=600.0))
    opened = fleet(Workload.of([0.0, 1.0, 2.0, 3.0], [400, 501, 400, 10], [100, 1, 201, 10]), layouts)

    opened.advance(1.5)
    assert (opened.arrivals, opened.rejected) == (2, 1)
    opened.advance(100.0)
    assert (opened.ledger.completed, opened.rejected, opened.in_flight) == (2, 2, 0)


def test_requests_wait_for_a_fleet_that_is_still_starting() -> None:
    layouts = pair(prefill(1e-5), decode(0.001))
    nothing = {Role.PREFILL: 0, Role.DECODE: 0}
    opened = fleet(Workload.of([0.0, 1.0], 1000, 1), layouts, nothing, startup_s=5.0)
    opened.scale(Role.PREFILL, 1)
    opened.advance(2.0)
    opened.scale(Role.DECODE, 1)

    ttft, _, _ = finish(opened)

    # Prefill is ready at 5 s, decode at 7 s.
    assert ttft == pytest.approx([7.001, 6.001], abs=1e-6)


def test_an_aggregated_replica_gives_the_first_token_with_its_prefill() -> None:
    layouts = {Role.AGGREGATED: aggregated(1e-5, base_s=0.002)}

    ttft, tpot, e2e = finish(fleet(Workload.of([0.0], 1000, 11), layouts))

    assert ttft == pytest.approx([0.010])
    assert tpot == pytest.approx([0.002])
    assert e2e == pytest.approx([0.010 + 10 * 0.002])


def test_running_sequences_gain_one_token_per_chunk_while_a_prompt_is_mixed_in() -> None:
    layouts = {Role.AGGREGATED: aggregated(1e-5, base_s=0.001, batched_tokens=1001)}
    # The second prompt takes four chunks of 1,000 tokens, one token less than the limit for the running one.
    opened = fleet(Workload.of([0.0, 0.05], [1000, 4000], [101, 1]), layouts)

    ttft, _, e2e = finish(opened)

    assert ttft[1] == pytest.approx(0.04, abs=0.0011)
    # 100 steps: four of them take 10 ms of prefill instead of 1 ms each.
    assert e2e[0] == pytest.approx(0.010 + 96 * 0.001 + 0.04, abs=0.0011)


def test_a_long_prompt_slows_the_steps_of_an_aggregated_replica() -> None:
    alone = {Role.AGGREGATED: aggregated(1e-5, base_s=0.001)}
    quiet = finish(fleet(Workload.of([0.0], 100, 200), alone))
    busy = finish(fleet(Workload.of([0.0, 0.05], [100, 8000], [200, 1]), alone))

    assert busy[1][0] > quiet[1][0] * 1.3


@pytest.mark.parametrize(
    "roles",
    [(Role.PREFILL,), (Role.DECODE,), (Role.PREFILL, Role.AGGREGATED), ()],
)
def test_a_fleet_without_both_phases_is_refused(roles: tuple[Role, ...]) -> None:
    known = {**pair(prefill(1e-5), decode(0.001)), Role.AGGREGATED: aggregated(1e-5, 0.001)}
    layouts = {role: known[role] for role in roles}

    with pytest.raises(ValueError, match="prefill and decode, or aggregated"):
        FleetPlan(layouts, dict.fromkeys(roles, 1), dict.fromkeys(roles, 1.0))


def test_a_layout_without_the_surface_of_its_role_is_refused() -> None:
    layouts = {Role.PREFILL: decode(0.001), Role.DECODE: decode(0.001)}

    with pytest.raises(ValueError, match="no prefill surface"):
        fleet(Workload.of([0.0], 1, 1), layouts)


@pytest.mark.parametrize("router", list(Router))
def test_the_same_seed_replays_the_same_latencies(router: Router) -> None:
    rng = np.random.default_rng(5)
    workload = Workload.of(np.cumsum(rng.exponential(0.01, 500)), rng.integers(1, 4000, 500), 20)
    layouts = pair(prefill(1e-5), decode(0.001, 1e-5))
    counts = {Role.PREFILL: 4, Role.DECODE: 2}

    first, second = (finish(fleet(workload, layouts, counts, router=router, seed=3)) for _ in range(2))

    assert first == second


def test_a_load_aware_router_waits_least_and_a_random_one_most() -> None:
    rng = np.random.default_rng(5)
    lengths = rng.lognormal(6.6, 0.8, 20_000)
    workload = Workload.of(np.cumsum(rng.exponential(0.0036, 20_000)), lengths, 1)
    layouts = pair(prefill(1e-5, seqs=1), decode(1e-6))
    counts = {Role.PREFILL: 4, Role.DECODE: 1}

    p99 = {
        router: float(np.quantile(finish(fleet(workload, layouts, counts, router=router))[0], 0.99))
        for router in Router
    }

    assert p99[Router.LOAD] < p99[Router.ROUND_ROBIN] < p99[Router.RANDOM]
