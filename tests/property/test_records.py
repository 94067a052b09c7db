"""A record survives the journal exactly: what is read back is what was written, so it replays."""

import json

from hypothesis import given
from hypothesis import strategies as st

from models.decision import (
    Adjustment,
    Attained,
    Decision,
    Outcome,
    Reason,
    Record,
    RoleSizing,
    Sizing,
    Status,
)
from models.deferral import Backlog
from models.gpu_pool import PoolShare
from models.mix import RequestMix
from models.observation import (
    ClassDemand,
    Gap,
    LatencyReading,
    Observation,
    PoolState,
    QueueReading,
    StartingReplica,
)
from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.prediction import Forecast, SignalForecast
from models.readiness import Readiness, StartUp
from models.values import Binding, Role, Signal
from planner.act.dryrun import DryRun
from planner.record.line import from_line, to_line
from planner.tick import plan
from tests import builders

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(1e-3, 1e9)
# Every text that can reach a sentence, line ends and other scripts included.
TEXT = st.text(max_size=30)
COUNTS = st.dictionaries(st.sampled_from(Role), st.integers(0, 10_000), min_size=1)
MIXES = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=5).map(
    lambda pairs: RequestMix.from_samples([isl for isl, _ in pairs], [osl for _, osl in pairs])
)


def optional(values: st.SearchStrategy[float]) -> st.SearchStrategy[float | None]:
    return st.none() | values


DEMANDS = st.builds(
    ClassDemand,
    arrivals_rps=optional(FINITE),
    prefill_tokens_per_s=optional(FINITE),
    decode_tokens_per_s=optional(FINITE),
    mix=st.none() | MIXES,
    backlog=st.none() | st.builds(Backlog, requests=FINITE, oldest_s=optional(FINITE)),
)
POOLS = st.builds(
    PoolState,
    desired=st.integers(0, 1000),
    ready=st.integers(0, 1000),
    starting=st.lists(st.builds(StartingReplica, since_s=FINITE, stuck=st.none() | TEXT), max_size=3).map(
        tuple
    ),
    draining=st.integers(0, 1000),
    rollout_in_progress=st.booleans(),
    paused=st.booleans(),
    pinned_replicas=st.none() | st.integers(0, 1000),
)
OBSERVATIONS = st.builds(
    Observation,
    at_s=FINITE,
    window_s=POSITIVE,
    demand=st.dictionaries(TEXT, DEMANDS, max_size=3),
    pools=st.dictionaries(st.sampled_from(Role), POOLS),
    latency=st.dictionaries(
        TEXT, st.builds(LatencyReading, ttft_p50_s=optional(FINITE), itl_p90_s=optional(FINITE)), max_size=2
    ),
    queue=st.none() | st.builds(QueueReading, requests=st.integers(0, 10**9), prefill_tokens=FINITE),
    demand_at_s=optional(FINITE),
    gaps=st.lists(st.builds(Gap, what=TEXT, reason=TEXT), max_size=3).map(tuple),
)
SIGNALS = st.builds(
    SignalForecast,
    levels=st.just((0.5, 0.9)),
    offsets_s=st.just((60.0, 120.0)),
    paths=st.tuples(st.tuples(FINITE, FINITE), st.tuples(FINITE, FINITE)),
    model=TEXT,
    why=TEXT,
    recent_peak=FINITE,
    fallback=st.none() | TEXT,
    coverage=optional(st.floats(0, 1)),
)
FORECASTS = st.builds(
    Forecast,
    at_s=FINITE,
    signals=st.dictionaries(TEXT, st.dictionaries(st.sampled_from(Signal), SIGNALS), max_size=2),
    reasons=st.lists(TEXT, max_size=2).map(tuple),
)
ATTAINED = st.builds(
    Attained,
    attainment=st.dictionaries(TEXT, st.floats(0, 1), max_size=2),
    expected_attainment=st.floats(0, 1),
)
SIZINGS = st.builds(
    Sizing,
    roles=st.dictionaries(
        st.sampled_from(Role),
        st.builds(
            RoleSizing,
            target=st.integers(0, 1000),
            lower=st.integers(0, 1000),
            upper=st.integers(0, 1000),
            uncapped=st.integers(0, 10**6),
            binding=st.sampled_from(Binding),
            sentence=TEXT,
            fewer=st.none() | ATTAINED,
            more=st.none() | ATTAINED,
            binding_class=st.none() | TEXT,
        ),
    ),
    attainment=st.dictionaries(TEXT, st.floats(0, 1), max_size=2),
    expected_attainment=st.floats(0, 1),
    target_attainment=st.floats(0, 1),
    extrapolated=st.booleans(),
)
ADJUSTMENTS = st.builds(
    Adjustment,
    guard=TEXT,
    role=st.sampled_from(Role),
    before=st.integers(0, 1000),
    after=st.integers(0, 1000),
    reason=st.sampled_from(Reason),
    sentence=TEXT,
)
READINESS = st.builds(
    Readiness,
    startup_s=st.floats(0, 1e5),
    startup_p99_s=st.floats(0, 1e5),
    p50_s=st.none() | st.floats(0, 1e5),
    p90_s=st.none() | st.floats(0, 1e5),
    p99_s=st.none() | st.floats(0, 1e5),
    orders=st.integers(0, 30),
    replicas=st.integers(0, 300),
    sentence=TEXT,
    seen=st.lists(
        st.builds(
            StartUp,
            order_s=st.floats(0, 2e9),
            replicas=st.integers(1, 9),
            least_s=st.floats(0, 1e5),
            most_s=st.floats(0, 1e5),
        ),
        max_size=3,
    ).map(tuple),
)
SHARES = st.builds(
    PoolShare,
    pool=TEXT,
    pool_gpus=st.integers(1, 10**6),
    gpus=st.integers(0, 10**6),
    needed_gpus=st.integers(0, 10**6),
    room_gpus=st.integers(0, 10**6),
    sentence=TEXT,
    others_gpus=st.dictionaries(TEXT, st.integers(0, 1000), max_size=3),
    held_gpus=st.integers(0, 1000),
    guaranteed_gpus=st.integers(0, 1000),
    priority=st.integers(-10, 10),
)
RECORDS = st.builds(
    Record,
    tick_id=TEXT,
    deployment=TEXT,
    observation=OBSERVATIONS,
    forecast=FORECASTS,
    sizing=st.none() | SIZINGS,
    decision=st.builds(
        Decision,
        current=COUNTS,
        proposed=COUNTS,
        final=COUNTS,
        adjustments=st.lists(ADJUSTMENTS, max_size=3).map(tuple),
        why=st.dictionaries(st.sampled_from(Role), TEXT),
    ),
    outcome=st.builds(Outcome, status=st.sampled_from(Status), detail=TEXT),
    config_digest=TEXT,
    profile_digest=TEXT,
    version=TEXT,
    readiness=st.dictionaries(st.sampled_from(Role), READINESS),
    share=st.none() | SHARES,
)


@given(RECORDS)
def test_a_record_read_back_equals_the_record_written(record: Record) -> None:
    line = to_line(record)

    assert "\n" not in line
    assert from_line(line) == record
    assert to_line(from_line(line)) == line


def test_a_line_from_before_pools_and_backlogs_is_read_as_of_a_deployment_without() -> None:
    counts = {Role.PREFILL: 2, Role.DECODE: 1}
    seen, decision = builders.observation(counts=counts), Decision(counts, counts, counts)
    outcome = Outcome(Status.UNCHANGED)
    record = Record("t", "shop", seen, Forecast(0.0), None, decision, outcome, "", "", "")
    body = json.loads(to_line(record))
    del body["share"]
    for demand in body["observation"]["demand"].values():
        del demand["backlog"]

    assert from_line(json.dumps(body)) == record


# None at all, or at least one request in eleven days.
RATES = st.just(0.0) | st.floats(1e-6, 300.0)


@given(pages=RATES, email=RATES, ready=st.integers(1, 20))
def test_a_record_read_back_replays_to_its_sizing_and_decision(
    pages: float, email: float, ready: int
) -> None:
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy(budget_gpus=40), DecidePolicy())
    rates = {"pages": pages, "email": email}
    seen = builders.observation(rates, {Role.PREFILL: ready, Role.DECODE: 2})
    expected = builders.forecast(rates)
    sizing, decision = plan(seen, expected, policy, builders.layouts())
    outcome = DryRun().act(decision, seen)

    back = from_line(to_line(Record("t", "shop", seen, expected, sizing, decision, outcome, "", "", "")))

    assert plan(back.observation, back.forecast, policy, builders.layouts()) == (sizing, decision)
    assert (back.sizing, back.decision) == (sizing, decision)
