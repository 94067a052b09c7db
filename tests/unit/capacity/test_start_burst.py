"""Check what a closed-loop benchmark is predicted to report, its start burst included."""

from dataclasses import replace

import pytest

from models.capacity import start_burst
from models.capacity.closed_loop import predict_closed
from models.capacity.start_burst import with_start_burst
from models.mix import RequestMix
from models.values import RequestClass, Role, Slo
from tests.builders import aggregated_layout, decode_layout, prefill_layout

FLEET = {Role.PREFILL: (prefill_layout(), 1), Role.DECODE: (decode_layout(), 1)}
EVEN = RequestMix.evenly(1024, 1024, 0.8)


def test_the_tail_is_the_burst_and_the_median_the_steady_state() -> None:
    users = 512
    said = with_start_burst(EVEN, users, FLEET)
    steady = predict_closed(RequestClass("chat", Slo()), EVEN, users, FLEET)
    work = prefill_layout().prefill
    assert work is not None
    prompt_s = work.at(922, 17) / 17
    # The slowest 1 % of all requests are the last 8 % of the first eighth.
    assert said.ttft_s.p99 == pytest.approx(0.92 * users * prompt_s, rel=0.05)
    assert said.ttft_s.p50 == pytest.approx(steady.ttft_s.p50, rel=0.35)
    assert said.ttft_s.mean > 5 * steady.ttft_s.mean
    # The start and the end of the run hold fewer than all users in decode.
    assert 0.9 * steady.output_tokens_per_s < said.output_tokens_per_s < steady.output_tokens_per_s


def test_one_user_has_no_burst() -> None:
    said = with_start_burst(RequestMix.constant(1024, 100), 1, FLEET)
    assert said.ttft_s.p99 == pytest.approx(said.ttft_s.p50, rel=1e-6)
    assert said.requests == 8
    assert said.span_s == pytest.approx(8 * said.e2e_s.mean, rel=1e-6)


def test_a_longer_benchmark_dilutes_its_start() -> None:
    short, long = (with_start_burst(EVEN, 256, FLEET, requests_per_user=n) for n in (2, 20))
    assert long.ttft_s.mean < 0.25 * short.ttft_s.mean
    assert long.output_tokens_per_s > short.output_tokens_per_s


def test_the_same_question_has_the_same_answer() -> None:
    assert with_start_burst(EVEN, 100, FLEET) == with_start_burst(EVEN, 100, FLEET)


@pytest.mark.parametrize("aggregated", [False, True])
def test_a_share_of_a_large_fleet_stands_for_it(monkeypatch: pytest.MonkeyPatch, aggregated: bool) -> None:
    fleet = {role: (layout, 4) for role, (layout, _) in FLEET.items()}
    if aggregated:
        fleet = {Role.AGGREGATED: (aggregated_layout(), 4)}
    whole = with_start_burst(EVEN, 400, fleet)
    monkeypatch.setattr(start_burst, "MOST_REQUESTS", 1000)
    share = with_start_burst(EVEN, 400, fleet)
    assert (share.users, share.requests) == (400, 3200)
    assert share.output_tokens_per_s == pytest.approx(whole.output_tokens_per_s, rel=0.02)
    assert share.tokens_per_s_per_gpu == pytest.approx(whole.tokens_per_s_per_gpu, rel=0.02)
    assert share.ttft_s.mean == pytest.approx(whole.ttft_s.mean, rel=0.1)


def test_a_benchmark_that_is_too_long_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="ask for fewer requests per user"):
        with_start_burst(EVEN, 100_000, FLEET)


def test_a_request_that_no_replica_holds_is_refused() -> None:
    small = {**FLEET, Role.DECODE: (replace(decode_layout(), kv_capacity_tokens=1000.0), 1)}
    with pytest.raises(ValueError, match="larger than the KV cache"):
        with_start_burst(RequestMix.constant(1024, 100), 4, small)


def test_hand_over_steps_delay_the_first_token_and_leave_the_pace_alone() -> None:
    slow = {**FLEET, Role.DECODE: (replace(decode_layout(), handover_steps=5.0), 1)}
    plain, delayed = (
        with_start_burst(RequestMix.constant(1024, 200), 8, f, requests_per_user=50) for f in (FLEET, slow)
    )
    assert delayed.ttft_s.p50 - plain.ttft_s.p50 == pytest.approx(5 * plain.itl_s.mean, rel=0.1)
    # Places that are still being handed over are in the batch: 5 of 205 steps.
    assert delayed.itl_s.mean == pytest.approx(plain.itl_s.mean, rel=0.01)
