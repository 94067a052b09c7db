"""Check predicted attainment, latency and throughput of whole fleets."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models.capacity.closed_loop import predict_closed
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.predict import predict
from models.mix import RequestMix
from models.values import RequestClass, Role, Router, Slo
from tests.builders import (
    CHAT,
    CHAT_MIX,
    EMAIL,
    PAGES,
    PAGES_MIX,
    aggregated_layout,
    decode_layout,
    layouts,
    loads,
    prefill_layout,
)

FLEET = {Role.PREFILL: (prefill_layout(), 12), Role.DECODE: (decode_layout(), 2)}


def test_an_idle_fleet_takes_what_the_surfaces_say() -> None:
    one = RequestMix.constant(8192, 50)
    prediction = predict([ClassLoad.steady(PAGES, 0.001, one)], FLEET)
    step = decode_layout().decode
    prompt = prefill_layout().prefill
    assert step is not None
    assert prompt is not None
    first = prompt.at(8192, 1) + 0.03 + step.at(8217, 1)
    assert prediction.ttft_s.mean == pytest.approx(first, rel=1e-3)
    assert prediction.e2e_s.mean == pytest.approx(first + 49 * step.at(8217, 1), rel=1e-3)


def test_tokens_per_gpu_counts_input_and_output_over_all_gpus() -> None:
    prediction = predict(loads(100, 0), FLEET)
    assert prediction.gpus == 12 + 2 * 4
    assert prediction.output_tokens_per_s == pytest.approx(100 * 50)
    assert prediction.tokens_per_s_per_gpu == pytest.approx(100 * 8050 / 20)
    assert prediction.output_tokens_per_s_per_decode_gpu == pytest.approx(100 * 50 / 8)


def test_an_overloaded_fleet_keeps_no_latency_promise_and_serves_the_rest() -> None:
    prediction = predict(loads(1000, 20), FLEET)
    assert not prediction.stable
    assert prediction.ttft_s.p99 == math.inf
    assert prediction.attainment["pages"] == 0.0
    assert 0 < prediction.attainment["email"] < 1


@pytest.mark.parametrize("role", [Role.PREFILL, Role.DECODE])
def test_one_more_replica_never_lowers_attainment(role: Role) -> None:
    last = -1.0
    for n in range(1, 30):
        counts = {Role.PREFILL: 15, Role.DECODE: 3, role: n}
        model = FleetModel(layouts(), [loads(150, 60)], Router.LOAD)
        expected, _ = model.expected(counts, np.ones(1))
        assert expected >= last - 1e-12
        last = expected


def test_a_load_aware_router_serves_better_than_a_random_one() -> None:
    kept = {r: predict(loads(130, 20), FLEET, r).attainment["pages"] for r in Router}
    assert kept[Router.LOAD] > kept[Router.ROUND_ROBIN] > kept[Router.RANDOM]


def test_prefix_hits_leave_room_for_more_load() -> None:
    cold = predict([ClassLoad.steady(PAGES, 120, PAGES_MIX)], FLEET)
    warm = predict([ClassLoad.steady(PAGES, 120, RequestMix.constant(8000, 50, 4000))], FLEET)
    assert warm.utilisation[Role.PREFILL] < 0.6 * cold.utilisation[Role.PREFILL]


def test_the_end_to_end_promise_couples_both_roles() -> None:
    tight = RequestClass("tight", Slo(e2e_s=0.30))
    load = [ClassLoad.steady(tight, 120, PAGES_MIX)]
    few = predict(load, {**FLEET, Role.DECODE: (decode_layout(), 1)})
    many = predict(load, {**FLEET, Role.DECODE: (decode_layout(), 6)})
    assert many.attainment["tight"] > few.attainment["tight"]


def test_an_aggregated_pool_slows_decoding_while_it_prefills() -> None:
    layout = aggregated_layout()
    calm = predict([ClassLoad.steady(CHAT, 1, CHAT_MIX)], {Role.AGGREGATED: (layout, 2)})
    busy = predict([ClassLoad.steady(CHAT, 80, CHAT_MIX)], {Role.AGGREGATED: (layout, 2)})
    assert busy.stable
    assert busy.itl_s.mean > 1.1 * calm.itl_s.mean
    assert busy.gpus == 8


def test_roles_that_make_no_fleet_are_refused() -> None:
    with pytest.raises(ValueError, match="prefill and decode, or aggregated"):
        FleetModel({Role.PREFILL: prefill_layout()}, [loads()], Router.LOAD)


def test_a_reading_outside_the_grid_is_flagged() -> None:
    huge = [ClassLoad.steady(PAGES, 1, RequestMix.constant(100_000, 50))]
    assert predict(huge, FLEET).extrapolated
    assert not predict(loads(), FLEET).extrapolated


@pytest.mark.parametrize("users", [1, 16, 256])
def test_a_closed_loop_obeys_littles_law(users: int) -> None:
    kind = RequestClass("chat", Slo())
    prediction = predict_closed(kind, RequestMix.constant(1024, 1024), users, FLEET)
    assert prediction.rate_rps * prediction.e2e_s.mean == pytest.approx(users, rel=1e-3)


def test_a_closed_loop_never_exceeds_the_fleet() -> None:
    prediction = predict_closed(EMAIL, RequestMix.constant(8192, 2), 10_000, FLEET)
    assert prediction.stable
    assert prediction.utilisation[Role.PREFILL] == pytest.approx(1.0, abs=0.01)


def test_the_kv_cache_binds_when_contexts_are_long() -> None:
    small = replace(decode_layout(), kv_capacity_tokens=100_000.0)
    load = [ClassLoad.steady(EMAIL, 20, RequestMix.constant(10_000, 2000))]
    prediction = predict(load, {Role.PREFILL: (prefill_layout(), 8), Role.DECODE: (small, 1)})
    assert not prediction.stable
    assert prediction.binding[Role.DECODE] == "kv_cache"


def test_an_itl_promise_alone_survives_a_saturated_prefill_pool() -> None:
    kind = RequestClass("steady", Slo(itl_s=0.05))
    prediction = predict([ClassLoad.steady(kind, 1000, PAGES_MIX)], FLEET)
    assert not prediction.stable
    assert prediction.attainment["steady"] == 0.0
