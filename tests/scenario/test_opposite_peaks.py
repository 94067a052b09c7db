"""Two deployments on one pool: chat by day, batch by night, and the GPUs go back and forth between them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from models.gpu_pool import GpuPool, Membership
from models.policy import DecidePolicy, ForecastPolicy, PoolPolicy, TickPolicy
from models.simulation.scoring import attainment
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from planner.act.simulated import SimulatedActuator
from planner.forecasting import Forecasting
from planner.observe.simulated import SimulatedObserver
from planner.ports import Ports
from planner.record.memory import Memory
from planner.replay import Stage, attainment_of
from planner.sharing import Seat, SharedPool
from planner.tick import Served, conclude, look
from tests.builders import decode_layout, plan_policy, prefill_layout

# A day of ninety minutes, in which each demand swings once; one's noon is the other's midnight.
DAY_S, LOW_RPS, SWING_RPS = 5400.0, 2.0, 28.0
TICK_S, LOOK_S, STARTUP_S = 60.0, 5.0, 60.0
# Prompts of 4,000 tokens at 20,000 tokens/s: a prefill replica serves at most five requests a second.
LAYOUTS = {Role.PREFILL: prefill_layout(20_000.0), Role.DECODE: decode_layout(tp=1)}
CLASSES = {"chat": RequestClass("chat", Slo(ttft_s=2.0)), "batch": RequestClass("batch", Slo(ttft_s=10.0))}
# At its noon one deployment needs nine GPUs, at its midnight three: both fit, but no fixed split holds both.
POOL_GPUS = 12


class Deployment:
    """Hold one deployment with a simulated fleet of its own, and what it held at every look."""

    def __init__(self, name: str, prefill: int, pool: SharedPool, member: Membership) -> None:
        roles = {role: PoolPolicy(startup_s=STARTUP_S, drain_s=15.0) for role in LAYOUTS}
        self.name = name
        self.policy = TickPolicy(
            name, ForecastPolicy(), plan_policy((CLASSES[name],), pools=roles), DecidePolicy()
        )
        startup = dict.fromkeys(LAYOUTS, STARTUP_S)
        self.stage = Stage(name, _workload(name), LAYOUTS, (CLASSES[name],), startup)
        self.fleet = self.stage.fleet({Role.PREFILL: prefill, Role.DECODE: 1})
        self.memory, self.held = Memory(), list[int]()
        self.ports = Ports(
            SimulatedObserver(self.fleet, self.stage.scale, [name]),
            Forecasting(self.policy.forecast, [name], self.policy.plan.hold_horizon_s()),
            SimulatedActuator(self.fleet),
            self.memory,
            seat=Seat(pool, member, LAYOUTS, self.policy.decide),
        )

    def advance(self, to_s: float) -> None:
        self.fleet.advance(to_s)
        billed = sum(pool.billed * LAYOUTS[role].gpus for role, pool in self.fleet.pools().items())
        self.held.append(billed)

    @property
    def kept(self) -> float:
        """The share of requests that kept their promise."""
        return attainment(self.fleet.ledger, self.stage.classes)[self.name] or 0.0


def _workload(name: str) -> Workload:
    """Draw arrivals whose rate follows a cosine, from noon for chat: a Poisson process, thinned."""
    phase = 0.0 if name == "chat" else 0.5
    draw = np.random.default_rng(len(name))
    most = LOW_RPS + SWING_RPS
    times = np.cumsum(draw.exponential(1 / most, int(most * DAY_S * 1.1)))
    rate = LOW_RPS + SWING_RPS * (1 + np.cos(2 * np.pi * (times / DAY_S + phase))) / 2
    kept = times[(draw.uniform(0, most, times.size) < rate) & (times < DAY_S)]
    return Workload.of(1.7e9 + kept, 4000, draw.integers(50, 150, kept.size), class_names=(name,))


@pytest.fixture(scope="module")
def day() -> Mapping[str, Deployment]:
    """Run the day: both look, then both decide, every minute."""
    members = [Membership("chat", 4, 10, floor_gpus=2), Membership("batch", 2, floor_gpus=2)]
    pool = SharedPool(GpuPool("gb200", POOL_GPUS), members, TICK_S)
    both = [Deployment(m.deployment, n, pool, m) for n, m in zip((8, 1), members, strict=True)]
    _run(both)
    return {each.name: each for each in both}


def _run(both: Sequence[Deployment]) -> None:
    served = Served(LAYOUTS, "sha256:0", "0")
    for step in range(1, int(DAY_S / LOOK_S)):
        for each in both:
            each.advance(step * LOOK_S)
        if step * LOOK_S % TICK_S == 0:
            now_s = 1.7e9 + step * LOOK_S
            seen = [(each, look(now_s, each.ports, each.policy)) for each in both]
            for each, found in seen:
                conclude(found, each.ports, each.policy, served)


def test_the_pool_is_never_overdrawn_draining_included(day: Mapping[str, Deployment]) -> None:
    together = np.array(day["chat"].held) + np.array(day["batch"].held)

    assert together.max() <= POOL_GPUS
    # Nor does it lie idle for fear of that: at either noon all but two are at work.
    assert together.max() >= POOL_GPUS - 2


def test_gpus_go_where_it_is_noon_and_come_back(day: Mapping[str, Deployment]) -> None:
    chat, batch = (np.array(day[name].held) for name in ("chat", "batch"))
    middle = len(chat) // 2

    # Chat begins and ends the day at its noon, batch has its own in the middle.
    assert chat[middle] <= 4
    assert batch[middle] >= 8
    assert chat[-1] >= 8
    assert batch[-1] <= 4


def test_sharing_keeps_promises_that_a_fixed_split_breaks(day: Mapping[str, Deployment]) -> None:
    halves = {Role.PREFILL: POOL_GPUS // 2 - 1, Role.DECODE: 1}
    for name, each in day.items():
        split = attainment_of(each.stage, halves)[name] or 0.0
        assert each.kept > 0.97, name
        assert each.kept > split + 0.4, name


def test_the_record_says_who_goes_first(day: Mapping[str, Deployment]) -> None:
    said = {r.share.sentence for r in day["batch"].memory.records if r.share is not None and r.share.binds}

    assert any("the pool gb200 of 12 GPUs binds" in each and "chat goes first" in each for each in said)
