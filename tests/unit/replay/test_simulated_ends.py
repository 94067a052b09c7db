"""Check what a policy sees of the simulated fleet, and what it can do to it."""

import numpy as np
import pytest

from models.decision import Decision, Status
from models.simulation.timescale import TimeScale
from models.simulation.workload import Workload
from models.stock import GpuLimit
from models.values import Role
from planner.act.simulated import SimulatedActuator
from planner.observe.simulated import SimulatedObserver
from tests import builders
from tests.unit.replay.stages import chat, stage

COUNTS = {Role.PREFILL: 2, Role.DECODE: 1}


def test_arrivals_are_counted_when_they_start_and_not_when_they_are_served() -> None:
    workload = chat(50.0)
    fleet = stage(workload).fleet({Role.PREFILL: 0, Role.DECODE: 0})
    observer = SimulatedObserver(fleet, TimeScale(workload.start_s), ["chat"])
    fleet.advance(60.0)

    seen = observer.observe(workload.start_s + 60.0)

    expected = (workload.arrival_s <= workload.start_s + 60.0).sum() / 60.0
    assert seen.demand["chat"].arrivals_rps == pytest.approx(expected)
    assert seen.queue is not None
    assert seen.queue.requests == expected * 60
    # Nothing has completed, so that no length was measured: a gap, never a zero.
    assert seen.demand["chat"].prefill_tokens_per_s is None
    assert [gap.what for gap in seen.gaps] == ["lengths of chat"]


def test_until_something_completes_the_mix_is_that_of_what_arrived() -> None:
    workload = Workload.of([1.0, 2.0, 70.0], [1000, 3000, 9000], 50, class_names=("chat",))
    fleet = stage(workload).fleet({Role.PREFILL: 0, Role.DECODE: 0})
    observer = SimulatedObserver(fleet, TimeScale(0.0), ["chat", "mail"])
    fleet.advance(60.0)
    first = observer.observe(60.0).demand
    fleet.advance(120.0)
    second = observer.observe(120.0).demand["chat"].mix

    assert first["chat"].mix is not None
    assert first["chat"].mix.mean_prefill_tokens == pytest.approx(2000.0)
    assert first["chat"].mix.mean_osl_tokens == pytest.approx(50.0)
    assert first["mail"].mix is None
    assert second is not None
    assert second.mean_prefill_tokens == pytest.approx(9000.0)


def test_windows_follow_each_other_without_overlap_or_hole() -> None:
    workload = chat()
    fleet = stage(workload).fleet(COUNTS)
    observer = SimulatedObserver(fleet, TimeScale(workload.start_s), ["chat"])
    counted = 0.0
    for until_s in (17.0, 60.0, 61.0, 300.0, workload.span_s):
        fleet.advance(until_s)
        seen = observer.observe(workload.start_s + until_s)
        rate = seen.demand["chat"].arrivals_rps
        assert rate is not None
        counted += rate * seen.window_s

    assert counted == pytest.approx(len(workload))


def test_token_demand_is_arrivals_times_the_lengths_that_completed() -> None:
    workload = chat()
    fleet = stage(workload).fleet(COUNTS)
    observer = SimulatedObserver(fleet, TimeScale(workload.start_s), ["chat"])
    fleet.advance(300.0)

    demand = observer.observe(workload.start_s + 300.0).demand["chat"]

    assert demand.arrivals_rps is not None
    assert demand.prefill_tokens_per_s is not None
    assert demand.mix is not None
    assert demand.prefill_tokens_per_s / demand.arrivals_rps == pytest.approx(
        workload.isl_tokens.mean(), rel=0.05
    )
    assert demand.mix.mean_osl_tokens == pytest.approx(workload.osl_tokens.mean(), rel=0.1)


def test_a_class_that_sends_nothing_demands_nothing_and_is_no_gap() -> None:
    workload = chat()
    fleet = stage(workload).fleet(COUNTS)
    observer = SimulatedObserver(fleet, TimeScale(workload.start_s), ["chat", "mail"])
    fleet.advance(60.0)

    seen = observer.observe(workload.start_s + 60.0)

    assert seen.demand["mail"].arrivals_rps == 0.0
    assert seen.demand["mail"].prefill_tokens_per_s == 0.0
    assert not seen.gaps


def test_latency_is_that_of_the_requests_completed_in_the_window() -> None:
    workload = Workload.of([0.0, 10.0], [1000, 8000], 2, class_names=("chat",))
    fleet = stage(workload).fleet(COUNTS)
    observer = SimulatedObserver(fleet, TimeScale(0.0), ["chat"])
    fleet.advance(5.0)
    first = observer.observe(5.0).latency["chat"]
    fleet.advance(15.0)
    second = observer.observe(15.0).latency["chat"]
    fleet.advance(20.0)
    nothing = observer.observe(20.0).latency["chat"]

    both = fleet.ledger.latencies(np.array([0, 1]))[0]
    assert (first.ttft_p50_s, second.ttft_p90_s) == pytest.approx(tuple(both))
    assert nothing.ttft_p50_s is None


def test_compressed_time_keeps_rates_true_and_tells_story_times() -> None:
    workload = chat(minutes=4.0)
    scale = TimeScale(workload.start_s, 10.0)
    fleet = stage(workload, compression=10.0).fleet(COUNTS)
    observer = SimulatedObserver(fleet, scale, ["chat"])
    fleet.advance(30.0)
    fleet.scale(Role.PREFILL, 3)
    fleet.advance(36.0)

    seen = observer.observe(scale.story_s(36.0))

    assert seen.at_s == workload.start_s + 360.0
    assert seen.demand["chat"].arrivals_rps == pytest.approx(20.0, rel=0.15)
    assert seen.pools[Role.PREFILL].starting[0].since_s == pytest.approx(workload.start_s + 300.0)
    fleet.advance(30.0 + 12.0)  # 120 s of the story
    assert fleet.pools()[Role.PREFILL].ready == 3


def decision(before: dict[Role, int], after: dict[Role, int]) -> Decision:
    return Decision(before, after, after)


def test_a_decision_is_applied_as_it_stands() -> None:
    fleet = stage().fleet({Role.PREFILL: 2, Role.DECODE: 2})
    actuator = SimulatedActuator(fleet)

    outcome = actuator.act(
        decision(fleet.desired(), {Role.PREFILL: 5, Role.DECODE: 1}), builders.observation()
    )

    assert (outcome.status, outcome.detail) == (Status.APPLIED, "")
    assert fleet.desired() == {Role.PREFILL: 5, Role.DECODE: 1}
    assert actuator.scale_events == 2


def test_no_change_is_no_event() -> None:
    fleet = stage().fleet(COUNTS)
    actuator = SimulatedActuator(fleet)

    outcome = actuator.act(decision(fleet.desired(), fleet.desired()), builders.observation())

    assert (outcome.status, actuator.scale_events) == (Status.UNCHANGED, 0)


def test_no_replica_starts_on_a_gpu_that_is_not_free() -> None:
    # 2 + 2 * 4 = 10 GPUs are held; 12 exist.
    fleet = stage().fleet({Role.PREFILL: 2, Role.DECODE: 2})
    actuator = SimulatedActuator(fleet, budget_gpus=12)

    outcome = actuator.act(
        decision(fleet.desired(), {Role.PREFILL: 9, Role.DECODE: 2}), builders.observation()
    )

    assert fleet.desired()[Role.PREFILL] == 4
    assert outcome.detail == "no free GPU for prefill 4 of 9"


def test_gpus_of_a_draining_replica_are_not_free_yet() -> None:
    workload = Workload.of([0.0, 0.0], 10, 2000, class_names=("chat",))
    fleet = stage(workload).fleet({Role.PREFILL: 2, Role.DECODE: 2})
    actuator = SimulatedActuator(fleet, budget_gpus=10)
    fleet.advance(0.5)

    assert actuator.scale({Role.PREFILL: 6, Role.DECODE: 1}) == {Role.PREFILL: 2, Role.DECODE: 1}
    fleet.advance(60.0)
    assert actuator.scale({Role.PREFILL: 6}) == {Role.PREFILL: 6}


def test_each_kind_of_hardware_runs_out_by_itself() -> None:
    fleet = stage().fleet({Role.PREFILL: 1, Role.DECODE: 1})
    limits = (GpuLimit(3, frozenset({Role.PREFILL}), "H100"), GpuLimit(8, frozenset({Role.DECODE}), "GB200"))
    actuator = SimulatedActuator(fleet, None, limits)

    assert actuator.scale({Role.PREFILL: 9, Role.DECODE: 2}) == {Role.PREFILL: 3, Role.DECODE: 2}
    assert actuator.scale({Role.DECODE: 3}) == {Role.DECODE: 2}
