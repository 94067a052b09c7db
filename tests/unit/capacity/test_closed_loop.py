"""Hold the closed network to its limits and to a simulated closed loop."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from models.artifact import LayoutProfile
from models.capacity.closed_loop import predict_closed
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, predict
from models.mix import RequestMix
from models.simulation.closed_loop import ClosedRun, run_closed
from models.simulation.fleet import FleetPlan
from models.values import RequestClass, Role, Router, Slo
from tests.builders import aggregated_layout, decode_layout, prefill_layout

KIND = RequestClass("chat", Slo())
APART = {Role.PREFILL: (prefill_layout(), 1), Role.DECODE: (replace(decode_layout(), handover_steps=3.0), 1)}
WIDER = {Role.PREFILL: (prefill_layout(), 2), Role.DECODE: (decode_layout(), 3)}
TOGETHER = {Role.AGGREGATED: (aggregated_layout(), 1)}
EVEN = RequestMix.evenly(1024, 1024, 0.8)
ALIKE = RequestMix.constant(1024, 1024)

Fleet = Mapping[Role, tuple[LayoutProfile, int]]


def closed(users: float, fleet: Fleet, mix: RequestMix = EVEN, router: Router = Router.LOAD) -> Prediction:
    return predict_closed(KIND, mix, users, fleet, router)


def simulated(users: int, fleet: Fleet, mix: RequestMix, rounds: int = 40) -> tuple[float, ClosedRun]:
    """Return the rate and the requests of the later half of a long run, its end left out."""
    atoms = np.random.default_rng(3).integers(0, len(mix.atoms), users * rounds)
    isl, osl = (
        np.array([round(getattr(mix.atoms[i], name)) for i in atoms], dtype=np.int32)
        for name in ("isl_tokens", "osl_tokens")
    )
    plan = FleetPlan(
        {role: layout for role, (layout, _) in fleet.items()},
        {role: n for role, (_, n) in fleet.items()},
        dict.fromkeys(fleet, 0.0),
    )
    run = run_closed(plan, users, isl, osl, np.zeros_like(isl))
    late = slice(isl.size // 2, isl.size - users)
    kept = ClosedRun(run.ttft_s[late], run.tpot_s[late], run.e2e_s[late], run.span_s)
    return users / float(kept.e2e_s.mean()), kept


@pytest.mark.parametrize("fleet", [APART, WIDER, TOGETHER], ids=["apart", "wider", "together"])
@pytest.mark.parametrize("router", list(Router))
def test_one_user_alone_meets_nobody(fleet: Fleet, router: Router) -> None:
    idle = predict([ClassLoad.steady(KIND, 1e-9, EVEN)], fleet, router)
    alone = closed(1, fleet, router=router)
    # The idle open fleet still rounds 1e-9 requests per second.
    assert alone.ttft_s.mean == pytest.approx(idle.ttft_s.mean, rel=1e-6)
    assert alone.itl_s.p99 == pytest.approx(idle.itl_s.p99, rel=1e-6)
    assert alone.rate_rps * idle.e2e_s.mean == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("users", [1, 7, 64, 1024, 20_000])
@pytest.mark.parametrize("fleet", [APART, TOGETHER], ids=["apart", "together"])
def test_users_are_neither_lost_nor_made(users: int, fleet: Fleet) -> None:
    said = closed(users, fleet)
    # The mean of the decode batch is taken over eight points, clipped at its limit.
    assert said.rate_rps * said.e2e_s.mean == pytest.approx(users, rel=5e-3)


def test_a_saturated_prefill_pool_sets_the_rate_and_all_others_wait() -> None:
    mix = RequestMix.constant(8192, 2)
    said = closed(10_000, APART, mix)
    full = prefill_layout().prefill
    assert full is not None
    bound_rps = 2 / full.at(8192, 2)
    assert said.rate_rps == pytest.approx(bound_rps, rel=1e-3)
    assert said.ttft_s.p50 == pytest.approx(10_000 / bound_rps, rel=0.01)
    assert said.ttft_s.p99 < 1.1 * said.ttft_s.p50
    assert said.stable


def test_a_full_decode_batch_sets_the_rate_and_all_others_wait() -> None:
    small = {**APART, Role.DECODE: (replace(decode_layout(), kv_capacity_tokens=100 * 2048.0), 1)}
    said = closed(1000, small, ALIKE)
    assert said.batch == pytest.approx(100, rel=0.01)
    assert said.e2e_s.mean == pytest.approx(10 * (said.e2e_s.mean - said.ttft_s.mean), rel=0.02)


def test_near_saturation_a_closed_loop_waits_less_than_an_open_queue_of_its_rate() -> None:
    said = closed(60, APART, RequestMix.constant(4096, 100))
    opened = predict([ClassLoad.steady(KIND, said.rate_rps, RequestMix.constant(4096, 100))], APART)
    assert said.utilisation[Role.PREFILL] > 0.97
    assert said.ttft_s.mean < 0.5 * opened.ttft_s.mean


def test_hand_over_steps_come_before_the_first_token() -> None:
    without = {**APART, Role.DECODE: (decode_layout(), 1)}
    with_them, said = closed(64, APART), closed(64, without)
    assert with_them.ttft_s.mean - said.ttft_s.mean == pytest.approx(3 * said.itl_s.mean, rel=0.03)


@pytest.mark.parametrize(
    ("fleet", "users"),
    [
        (APART, 16),
        (APART, 256),
        (WIDER, 64),
        (WIDER, 1024),
        (TOGETHER, 16),
        (TOGETHER, 256),
        (TOGETHER, 1024),
    ],
)
def test_a_simulated_closed_loop_agrees(fleet: Fleet, users: int) -> None:
    said = closed(users, fleet)
    rate_rps, seen = simulated(users, fleet, EVEN)
    # Seen: rate and TPOT within 2 %, the median TTFT within 20 %, where waves of the start are not yet gone.
    assert said.rate_rps == pytest.approx(rate_rps, rel=0.03)
    assert said.itl_s.mean == pytest.approx(float(seen.tpot_s.mean()), rel=0.03)
    assert said.ttft_s.p50 == pytest.approx(float(np.median(seen.ttft_s)), rel=0.25)


@pytest.mark.parametrize("users", [64, 256])
def test_equal_requests_stay_in_step_on_an_aggregated_replica(users: int) -> None:
    said = closed(users, TOGETHER, ALIKE)
    rate_rps, _ = simulated(users, TOGETHER, ALIKE)
    # Whole waves of prompts meet the running batch at once, which the mean of its steps leaves out: seen 3 %.
    assert said.rate_rps == pytest.approx(rate_rps, rel=0.04)
    assert closed(users, TOGETHER, ALIKE).itl_s.mean <= closed(users, TOGETHER, EVEN).itl_s.mean * 1.05
