"""Hold what the capacity model knows of engines' features to the event simulation of them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.decode import decode_curve
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, predict
from models.equipping import EnginePolicy, OffloadPolicy, equip
from models.features import Features, KvTier
from models.mix import RequestMix
from models.simulation.closed_loop import run_closed
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from tests.builders import aggregated_layout, decode_layout, layouts, prefill_layout

CLASS = RequestClass("all", Slo(ttft_s=1.0, itl_s=0.02))
WARM_S = 40.0


def simulated(
    chosen: dict[Role, LayoutProfile], counts: dict[Role, int], workload: Workload
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return TTFT and TPOT of all requests that came after the warm-up."""
    fleet = Fleet(workload, FleetPlan(chosen, counts, dict.fromkeys(counts, 1.0)))
    fleet.advance(workload.span_s + 600.0)
    assert fleet.in_flight == 0
    ttft, tpot, _ = fleet.ledger.latencies(np.flatnonzero(workload.arrival_s > WARM_S))
    return ttft, tpot


def poisson(rate_rps: float, isl: int, osl: NDArray[np.int64] | int, span_s: float = 300.0) -> Workload:
    rng = np.random.default_rng(11)
    times = np.sort(rng.uniform(0.0, span_s, rng.poisson(rate_rps * span_s)))
    lengths = osl if isinstance(osl, int) else rng.choice(osl, times.size)
    return Workload.of(times, isl, lengths)


def said(
    chosen: dict[Role, LayoutProfile], counts: dict[Role, int], rate_rps: float, mix: RequestMix
) -> Prediction:
    load = ClassLoad.steady(CLASS, rate_rps, mix)
    return predict([load], {role: (chosen[role], n) for role, n in counts.items()})


@pytest.mark.parametrize("accepted", [2.0, 2.5])
@pytest.mark.parametrize("together", [False, True])
def test_a_step_that_emits_more_tokens_divides_itl_in_model_and_simulation(
    accepted: float, together: bool
) -> None:
    plain = {Role.AGGREGATED: aggregated_layout()} if together else layouts()
    chosen = {role: equip(one, EnginePolicy(accepted_tokens=accepted)) for role, one in plain.items()}
    counts = {Role.AGGREGATED: 1} if together else {Role.PREFILL: 4, Role.DECODE: 1}
    rate_rps, mix = (
        (20.0, RequestMix.constant(4000, 300)) if together else (60.0, RequestMix.constant(2000, 400))
    )
    workload = poisson(rate_rps, int(mix.mean_isl_tokens), int(mix.mean_osl_tokens))

    ttft, tpot = simulated(chosen, counts, workload)
    model = said(chosen, counts, rate_rps, mix)
    without = said(plain, counts, rate_rps, mix)

    # Fewer sequences run at a time when each is faster, so that more than the accepted length is won.
    assert model.itl_s.mean < without.itl_s.mean / accepted
    assert model.batch < without.batch / accepted
    assert model.itl_s.mean == pytest.approx(float(tpot.mean()), rel=0.12 if together else 0.05)
    assert model.ttft_s.p50 == pytest.approx(float(np.quantile(ttft, 0.5)), rel=0.15)


def test_the_first_token_waits_for_a_whole_step_of_several_tokens() -> None:
    slow = replace(decode_layout(base_s=0.03), features=Features(accepted_tokens=3.0))
    chosen = {Role.PREFILL: prefill_layout(), Role.DECODE: slow}
    counts = {Role.PREFILL: 2, Role.DECODE: 1}
    plain = {**chosen, Role.DECODE: decode_layout(base_s=0.03)}
    mix = RequestMix.constant(1000, 100)
    first = said(chosen, counts, 1.0, mix).ttft_s.mean - said(plain, counts, 1.0, mix).ttft_s.mean
    ttft, _ = simulated(chosen, counts, poisson(1.0, 1000, 100))
    before, _ = simulated(plain, counts, poisson(1.0, 1000, 100))

    # Two tokens' time more. The model leaves out that whoever finds a batch joins at its next boundary, half
    # a step later, with speculation as without.
    assert first == pytest.approx(2 * 0.03, rel=0.05)
    assert first < float(ttft.mean() - before.mean()) < first + 0.03


# 80 sequences of 3,000 tokens on the device, 160 behind it; a restore of one takes 3 ms, once in 64 tokens.
DEVICE = 240_000.0
TIER = KvTier(2 * DEVICE, 1e-6)
SMALL = replace(decode_layout(0.004, 0.0001, tp=1), kv_capacity_tokens=DEVICE)
BEHIND = replace(SMALL, features=Features(tier=TIER))


def users_kept(layout: LayoutProfile, itl_s: float) -> int:
    """Return the most users at once, in tens, whose first token comes within 1 s and the others in time."""
    chosen = {Role.PREFILL: prefill_layout(), Role.DECODE: layout}
    plan = FleetPlan(chosen, {Role.PREFILL: 8, Role.DECODE: 1}, dict.fromkeys(chosen, 1.0))
    kept = 0
    for users in range(40, 301, 10):
        count = 6 * users
        rng = np.random.default_rng(users)
        isl, osl = rng.integers(2000, 3000, count), rng.integers(300, 700, count)
        run = run_closed(plan, users, isl.astype(np.int32), osl.astype(np.int32), np.zeros(count, np.int32))
        # The start, when all come at once, is left out.
        settled = slice(2 * users, None)
        good = (run.ttft_s[settled] <= 1.0) & (run.tpot_s[settled] <= itl_s)
        if good.mean() < 0.95:
            break
        kept = users
    return kept


def test_a_tier_of_twice_the_device_admits_as_many_more_as_the_promise_leaves_time_for() -> None:
    # A full device steps in 12.4 ms: a promise of 20 ms leaves time for half as many again, 60 ms for all.
    alone, brief, long = users_kept(SMALL, 0.06), users_kept(BEHIND, 0.02), users_kept(BEHIND, 0.06)

    assert 70 <= alone <= 90
    assert 1.3 * alone <= brief <= 1.8 * alone
    assert long >= 2.4 * alone


def test_with_a_tier_the_tail_of_the_batch_fits_where_it_had_to_wait() -> None:
    mix = RequestMix.constant(2500, 500)
    counts = {Role.PREFILL: 8, Role.DECODE: 1}
    rate_rps = 11.9
    both = {}
    for name, layout in (("device", SMALL), ("tier", BEHIND)):
        chosen = {Role.PREFILL: prefill_layout(), Role.DECODE: layout}
        ttft, tpot = simulated(chosen, counts, poisson(rate_rps, 2500, 500, 900.0))
        load = ClassLoad.steady(RequestClass("all", Slo(ttft_s=0.12, itl_s=0.02)), rate_rps, mix)
        model = predict([load], {role: (chosen[role], n) for role, n in counts.items()})
        both[name] = (model, float(np.mean((ttft <= 0.12) & (tpot <= 0.02))), float(tpot.mean()))

    # Eight in ten places are taken on average: the device alone makes some wait, in model and simulation.
    (device, seen, _), (tier, seen_tier, itl_s) = both["device"], both["tier"]
    assert device.attainment["all"] < tier.attainment["all"]
    assert seen < seen_tier
    assert tier.attainment["all"] == pytest.approx(seen_tier, abs=0.03)
    assert tier.itl_s.mean == pytest.approx(itl_s, rel=0.05)
    # Three times the tokens may be held, but no more are made.
    assert tier.kv_occupancy == pytest.approx(device.kv_occupancy / 3, rel=0.05)
    assert tier.utilisation[Role.DECODE] == pytest.approx(device.utilisation[Role.DECODE], rel=0.06)


def test_past_the_device_a_sequence_waits_its_turn_in_model_and_simulation() -> None:
    chosen = {Role.PREFILL: prefill_layout(), Role.DECODE: BEHIND}
    plan = FleetPlan(chosen, {Role.PREFILL: 8, Role.DECODE: 1}, dict.fromkeys(chosen, 1.0))
    count, users = 1600, 160
    isl, osl, none = (np.full(count, n, dtype=np.int32) for n in (2750, 500, 0))
    run = run_closed(plan, users, isl, osl, none)
    curve = decode_curve(BEHIND, [(1.0, RequestMix.constant(2750, 500))])
    # Nearly all users decode at once: their prompts take a twentieth of the time.
    batch = users * 0.97
    assert float(np.mean(run.tpot_s[400:1200])) == pytest.approx(curve.at(batch), rel=0.05)
    assert curve.busiest == pytest.approx(80.0)
    assert curve.limit == pytest.approx(720_000 / 3250)


def test_who_may_be_thrown_out_takes_a_place_for_what_it_has_so_far() -> None:
    mix = RequestMix.constant(500, 2000)
    preempting = replace(SMALL, features=Features(preempts=True))
    counts = {Role.PREFILL: 4, Role.DECODE: 1}
    kept = {}
    for name, layout in (("reserve", SMALL), ("preempt", preempting)):
        chosen = {Role.PREFILL: prefill_layout(), Role.DECODE: layout}
        # 160 sequences of 1,500 tokens, the mean, have a place; 96 by whole requests of 2,500.
        rate_rps = 3.3
        ttft, _ = simulated(chosen, counts, poisson(rate_rps, 500, 2000, 900.0))
        model = said(chosen, counts, rate_rps, mix)
        kept[name] = (model, float(np.mean(ttft <= 1.0)))

    (reserve, seen), (preempt, seen_preempting) = kept["reserve"], kept["preempt"]
    assert preempt.kv_occupancy == pytest.approx(reserve.kv_occupancy * 1500 / 2500, rel=0.02)
    assert reserve.attainment["all"] < preempt.attainment["all"]
    assert seen < seen_preempting


def test_a_hand_over_takes_bytes_over_bandwidth_in_model_and_simulation() -> None:
    policy = EnginePolicy(kv_bytes_per_token=40_000.0, handover_bytes_per_s=5e9)
    chosen = {role: equip(layout, policy) for role, layout in layouts().items()}
    counts = {Role.PREFILL: 4, Role.DECODE: 1}
    mix = RequestMix.constant(8000, 50)
    ttft, _ = simulated(chosen, counts, poisson(5.0, 8000, 50))
    before, _ = simulated(layouts(), counts, poisson(5.0, 8000, 50))

    longer = said(chosen, counts, 5.0, mix).ttft_s.mean - said(layouts(), counts, 5.0, mix).ttft_s.mean
    # 8,000 tokens of 40 kB are 320 MB: 64 ms at 5 GB/s.
    assert longer == pytest.approx(0.064, rel=1e-6)
    assert float(ttft.mean() - before.mean()) == pytest.approx(0.064, rel=0.02)


def test_prefix_hits_lower_the_work_of_prefill_in_model_and_simulation() -> None:
    counts = {Role.PREFILL: 4, Role.DECODE: 1}
    cached = replace(poisson(30.0, 8000, 50))
    cached = replace(cached, cached_tokens=np.full(len(cached), 6000, dtype=np.int32))
    ttft, _ = simulated(layouts(), counts, cached)
    model = said(layouts(), counts, 30.0, RequestMix.constant(8000, 50, 6000))
    plain = said(layouts(), counts, 30.0, RequestMix.constant(8000, 50))

    # 2,000 tokens of 8,000; 1 ms of each iteration is not by the token.
    assert model.utilisation[Role.PREFILL] == pytest.approx(plain.utilisation[Role.PREFILL] / 4, rel=0.05)
    assert model.ttft_s.p50 == pytest.approx(float(np.quantile(ttft, 0.5)), rel=0.10)


def test_an_engine_of_which_nothing_is_stated_is_left_as_it_was() -> None:
    for layout in (*layouts().values(), aggregated_layout()):
        assert equip(layout, EnginePolicy()) is layout


def test_bytes_that_nobody_states_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"kv_offload needs the bytes .* set kv_bytes_per_token"):
        equip(decode_layout(), EnginePolicy(offload=OffloadPolicy(4e11, 5e10)))


def test_a_tier_is_sized_by_what_each_gpu_holds() -> None:
    wide = replace(decode_layout(), kv_bytes_per_token=20_000.0)
    tier = equip(wide, EnginePolicy(offload=OffloadPolicy(4e11, 5e10, 32.0))).features.tier

    assert tier == KvTier(4e11 / 20_000.0, 20_000.0 / 5e10, 32.0)
