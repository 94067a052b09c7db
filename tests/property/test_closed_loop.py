"""Hold the closed loop to what every closed network obeys, whatever the fleet and the requests."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from models.capacity.closed_loop import predict_closed
from models.capacity.load import ClassLoad
from models.capacity.predict import predict
from models.capacity.prefill import prefill_work
from models.mix import RequestMix
from models.values import RequestClass, Role, Router, Slo
from tests.builders import aggregated_layout, decode_layout, prefill_layout

KIND = RequestClass("chat", Slo())
USERS = (1, 2, 16, 100, 513, 4000)


@settings(max_examples=60, deadline=None)
@given(
    aggregated=st.booleans(),
    prefills=st.integers(1, 8),
    decodes=st.integers(1, 8),
    isl=st.integers(16, 20_000),
    osl=st.integers(1, 2000),
    shortest=st.sampled_from([1.0, 0.8, 0.1]),
    steps=st.integers(0, 5),
    router=st.sampled_from(list(Router)),
)
def test_more_users_never_get_less_and_never_more_than_the_bounds(
    aggregated: bool,
    prefills: int,
    decodes: int,
    isl: int,
    osl: int,
    shortest: float,
    steps: int,
    router: Router,
) -> None:
    mix = RequestMix.evenly(isl, osl, shortest)
    fleet = {
        Role.PREFILL: (prefill_layout(), prefills),
        Role.DECODE: (replace(decode_layout(), handover_steps=float(steps)), decodes),
    }
    if aggregated:
        fleet = {Role.AGGREGATED: (aggregated_layout(), prefills)}
    alone_s = predict([ClassLoad.steady(KIND, 1e-9, mix)], fleet, router).e2e_s.mean
    layout, count = next(iter(fleet.values()))
    most_rps = count / prefill_work(layout, mix).mean_service_s
    last = 0.0
    for users in USERS:
        said = predict_closed(KIND, mix, users, fleet, router)
        assert said.rate_rps <= min(users / alone_s, most_rps) * (1 + 1e-6)
        # On an aggregated replica the batch that a user meets grows by its own share of 1/N: seen 0.2 %.
        assert said.rate_rps >= last * (1 - (5e-3 if aggregated else 1e-6))
        assert said.ttft_s.p50 <= said.ttft_s.p99 * (1 + 1e-9)
        last = max(last, said.rate_rps)
