"""Which looks count for a role's speed, and what they say."""

import math
from dataclasses import replace

import pytest

from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.observation import LatencyReading, Observation, PoolState, StartingReplica
from models.policy import SurfacePolicy
from models.speed import Speed
from models.values import Role
from planner.learning.surface import SurfaceWatch
from tests import builders
from tests.builders import CHAT, CHAT_MIX

BOUNDS, TICK_S, RPS = SurfacePolicy(), 60.0, 60.0
COUNTS = {Role.PREFILL: 4, Role.DECODE: 2}


def truth() -> tuple[float, float]:
    """Return mean TTFT and mean ITL of the builders' layouts under RPS."""
    model = FleetModel(
        builders.layouts(), [[ClassLoad.steady(CHAT, RPS, CHAT_MIX)]], builders.plan_policy().router
    )
    itl_s = float(model.steps(2).mean_itl_s[0])
    return model.classes[0].work.mean_alone_s + float(model.waits(4).mean_s[0]) + itl_s, itl_s


def seen(minute: int, slower: float = 1.0, **pools: PoolState) -> Observation:
    ttft_s, itl_s = truth()
    look = builders.observation({"chat": RPS}, COUNTS, at_s=builders.AT_S + TICK_S * minute)
    outside_s = 0.03 + itl_s
    reading = LatencyReading(ttft_mean_s=outside_s + slower * (ttft_s - outside_s), itl_mean_s=slower * itl_s)
    changed = {**look.pools, **{Role(role): pool for role, pool in pools.items()}}
    return replace(look, latency={"chat": reading}, pools=changed)


def watch() -> SurfaceWatch:
    return SurfaceWatch(builders.plan_policy((CHAT,)), builders.layouts(), BOUNDS)


def looks(minutes: range, *, slower: float = 1.0, of: SurfaceWatch | None = None) -> dict[Role, Speed]:
    learner, found = of or watch(), {}
    for minute in minutes:
        found = dict(learner.learn(seen(minute, slower)))
    return found


def test_latencies_as_profiled_say_so() -> None:
    found = looks(range(20))
    assert {len(speed.looks) for speed in found.values()} == {17}
    # The ratio is sought to within 1 % for prefill; decode's follows from the batch itself.
    assert found[Role.PREFILL].looks[-1] == pytest.approx(0.0, abs=0.015)
    assert found[Role.DECODE].looks[-1] == pytest.approx(0.0, abs=0.005)


def test_slow_steps_are_not_counted_twice_for_the_batch_that_they_make() -> None:
    found = looks(range(20), slower=1.3)
    # The batch is larger by the steps' own slowness: so much of 30 % is the batch's.
    assert math.log(1.15) < found[Role.DECODE].looks[-1] < math.log(1.3)


def test_looks_count_only_when_replicas_have_been_warm_for_long_enough() -> None:
    learner = watch()
    assert {len(s.looks) for s in looks(range(3), of=learner).values()} == {0}
    assert {len(s.looks) for s in looks(range(3, 5), of=learner).values()} == {2}
    grown = PoolState(desired=5, ready=5)
    for minute in (5, 6, 7):
        cold = learner.learn(seen(minute, 9.0, prefill=grown))
        assert {len(s.looks) for s in cold.values()} == {2}
    assert len(learner.learn(seen(8, 1.0, prefill=grown))[Role.PREFILL].looks) == 3


@pytest.mark.parametrize(
    "pool",
    [PoolState(desired=4, ready=4, draining=1), PoolState(desired=4, ready=4, rollout_in_progress=True)],
    ids=["draining", "rollout"],
)
def test_a_changing_fleet_says_nothing(pool: PoolState) -> None:
    learner = watch()
    before = looks(range(6), of=learner)
    assert learner.learn(seen(6, 2.0, prefill=pool)) == before


def test_replicas_that_start_are_not_asked() -> None:
    learner = watch()
    before = looks(range(6), of=learner)
    starting = PoolState(desired=5, ready=4, starting=(StartingReplica(builders.AT_S),))
    found = learner.learn(seen(6, 1.0, prefill=starting))
    assert len(found[Role.PREFILL].looks) == len(before[Role.PREFILL].looks) + 1


def test_a_queue_is_no_slow_surface() -> None:
    learner = watch()
    before = looks(range(6), of=learner)
    crowded = seen(6)
    demand = {"chat": replace(crowded.demand["chat"], prefill_tokens_per_s=435_000.0)}
    waited = {"chat": replace(crowded.latency["chat"], ttft_mean_s=4.0)}
    found = learner.learn(replace(crowded, demand=demand, latency=waited))
    assert found[Role.PREFILL] == before[Role.PREFILL]


@pytest.mark.parametrize(
    "broken", [{"demand_at_s": None}, {"demand_at_s": builders.AT_S - 600.0}, {"latency": {}}, {"demand": {}}]
)
def test_what_is_missing_or_stale_says_nothing(broken: dict[str, object]) -> None:
    learner = watch()
    before = looks(range(6), of=learner)
    assert learner.learn(replace(seen(6, 2.0), **broken)) == before  # type: ignore[arg-type]


def test_the_same_look_twice_changes_nothing() -> None:
    learner = watch()
    before = looks(range(6), of=learner)
    assert learner.learn(seen(5)) == before
