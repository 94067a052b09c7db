"""Deployments of one pool look at different moments, fail and hang, and none stands in another's way."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ConfigError
from models.gpu_pool import GpuPool, Membership
from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.values import Role
from planner.ports import Ports
from planner.sharing import UNSEEN_TICKS, seats
from planner.tick import Served, conclude, look, tick
from tests.builders import forecast, plan_policy
from tests.pooled import LAYOUTS, TICK_S, Deployment, pooled, tick_all

SERVED = Served(LAYOUTS, "sha256:0", "0")
BUSY, IDLE = {"pages": 200.0, "email": 20.0}, {"pages": 5.0, "email": 5.0}


def deployment(name: str, rates: Mapping[str, float], prefill: int) -> Deployment:
    return Deployment(name, lambda _: rates, {Role.PREFILL: prefill, Role.DECODE: 1}, plan_policy())


def pair(gpus: int = 30) -> tuple[Deployment, Deployment]:
    """Put a busy deployment that runs little beside an idle one that runs much."""
    busy, idle = deployment("busy", BUSY, 2), deployment("idle", IDLE, 16)
    pooled(gpus, [busy, idle], [Membership("busy", floor_gpus=5), Membership("idle", floor_gpus=5)])
    return busy, idle


def run(deployments: list[Deployment], first: int, last: int) -> None:
    for minute in range(first, last):
        for each in deployments:
            each.advance(minute * TICK_S)
        tick_all(deployments, minute * TICK_S)


def test_gpus_move_from_who_does_not_need_them_to_who_does() -> None:
    busy, idle = pair()
    run([busy, idle], 0, 8)

    assert (busy.gpus, idle.gpus) == (22, 6)


def test_until_every_deployment_was_looked_at_nobody_takes_a_gpu_more() -> None:
    busy, idle = pair(60)
    idle.blind = True
    run([busy, idle], 0, 2)
    assert busy.gpus == 6
    assert "idle was not looked at yet" in (busy.last.share.sentence if busy.last.share else "")

    idle.blind = False
    run([busy, idle], 2, 3)
    assert busy.gpus == 22


def test_one_that_can_never_be_looked_at_holds_up_the_others_for_a_few_ticks_only() -> None:
    busy, idle = pair(60)
    idle.blind = True
    run([busy, idle], 0, int(UNSEEN_TICKS) + 2)

    assert busy.gpus == 22


def test_one_that_is_no_longer_seen_keeps_its_gpus_and_the_rest_goes_on() -> None:
    busy, idle = pair(30)
    run([busy, idle], 0, 1)
    idle.blind = True
    held = idle.gpus
    run([busy, idle], 1, 12)

    share = busy.last.share
    assert share is not None
    assert share.others_gpus == {"idle": held}
    assert "idle was last looked at 11m ago" in share.sentence
    assert busy.gpus + held <= 30


def test_one_that_hangs_between_its_share_and_its_decision_holds_no_other_up() -> None:
    busy, idle = pair(40)
    tick_all([busy, idle], 0.0)
    seen = look(60.0, idle.ports, idle.policy)
    assert idle.ports.seat is not None
    idle.ports.seat.share(60.0)
    tick_all([busy], 60.0)

    assert busy.last.share is not None
    assert busy.last.tick_id == "busy@60.000"
    assert conclude(seen, idle.ports, idle.policy, SERVED).share is not None


def test_what_one_orders_is_gone_for_the_next_before_anybody_looks_again() -> None:
    """Both need more at the same moment than there is: the second sees what the first has just ordered."""
    one, other = deployment("one", BUSY, 1), deployment("other", BUSY, 1)
    pooled(24, [one, other], [Membership("one", priority=1), Membership("other")])
    tick_all([one, other], 0.0)

    assert other.last.share is not None
    assert other.last.share.others_gpus["one"] == one.gpus
    assert one.gpus + other.gpus <= 24


loads = st.fixed_dictionaries({"pages": st.floats(0.5, 250.0), "email": st.floats(0.5, 200.0)})


@settings(max_examples=15, deadline=None)
@given(loads, st.integers(1, 25), st.integers(1, 3))
def test_alone_in_an_ample_pool_a_deployment_decides_as_one_that_shares_nothing(
    rates: dict[str, float], prefill: int, decode: int
) -> None:
    counts = {Role.PREFILL: prefill, Role.DECODE: decode}
    alone, shared = (Deployment("d", lambda _: rates, counts, plan_policy()) for _ in range(2))
    alone.ports = Ports(alone, alone, alone, alone.memory)
    alone.acts = False
    pooled(500, [shared], [Membership("d", acts=False)])
    free = tick(0.0, alone.ports, alone.policy, SERVED)
    tick_all([shared], 0.0)

    assert free.share is None
    assert shared.last.decision == free.decision
    assert shared.last.sizing == free.sizing


def _member(name: str, hardware: str, floor: int) -> tuple[GpuPool, Membership, Served, TickPolicy]:
    policy = TickPolicy(name, ForecastPolicy(), plan_policy(), DecidePolicy())
    return GpuPool("p", 16, hardware=hardware), Membership(name, floor_gpus=floor), SERVED, policy


def test_a_pool_of_two_kinds_of_hardware_is_refused() -> None:
    with pytest.raises(ConfigError, match="chat is profiled on gb200 and mail is profiled on h100"):
        seats([_member("chat", "gb200", 5), _member("mail", "h100", 5)], "headgate.yaml")


def test_a_pool_below_the_smallest_fleets_is_refused() -> None:
    with pytest.raises(ConfigError, match="pool p has 16 GPUs, and the smallest fleets"):
        seats([_member("chat", "gb200", 9), _member("mail", "gb200", 8)], "headgate.yaml")


def test_a_forecast_of_nothing_keeps_the_fleet() -> None:
    busy, idle = pair(60)
    busy.forecast = lambda now_s: forecast({}, at_s=now_s)  # type: ignore[method-assign]
    tick_all([busy, idle], 0.0)

    assert busy.last.decision.changes == {}
    assert busy.last.share is not None
    assert busy.last.share.needed_gpus == 6
