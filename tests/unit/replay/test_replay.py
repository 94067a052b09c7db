"""Replay small workloads under every policy: what is accounted for, what repeats, what is refused."""

import dataclasses

import pytest

from models.errors import ConfigError
from models.simulation.scorecard import PolicyResult
from models.simulation.workload import Workload
from models.values import Role
from planner.contest import POLICIES, check_name, contest, split_names
from planner.policies.policy import World
from planner.policies.static import Static
from planner.replay import attainment_of, replay
from tests.unit.replay.stages import chat, setup, stage

FLEET = {Role.PREFILL: 3, Role.DECODE: 1}


def timeless(result: PolicyResult) -> PolicyResult:
    """Leave out what a clock on the wall measured."""
    return dataclasses.replace(result, wall_s=0.0, policy_cpu_s=0.0)


def test_a_constant_fleet_costs_its_gpus_from_the_first_to_the_last_arrival() -> None:
    some = stage()

    result = replay(some, Static("static:3,1", FLEET))

    assert result.gpu_hours_by_role == {
        Role.PREFILL: pytest.approx(3 * some.workload.span_s / 3600),
        Role.DECODE: pytest.approx(4 * some.workload.span_s / 3600),
    }
    assert (result.scale_events, result.decisions) == (0, 0)
    assert result.slo_attainment is not None
    assert result.slo_attainment > 0.99


@pytest.mark.parametrize("name", [*POLICIES, "static:2,1"])
def test_every_policy_accounts_for_every_request_and_repeats_itself(name: str) -> None:
    some = stage(skipped_rows=4)

    first, second = (contest([name], some, setup())[0] for _ in range(2))

    assert first.policy == name
    assert first.completed + first.rejected + first.in_flight == first.requests == len(some.workload)
    assert first.skipped_rows == 4
    assert timeless(first) == timeless(second)


def test_policies_in_processes_of_their_own_say_what_they_say_alone() -> None:
    some, names = stage(chat(minutes=3)), ["static:2,1", "hpa"]
    seen: list[tuple[str, float]] = []

    apart = contest(names, some, setup(), lambda name, share: seen.append((name, share)), jobs=2)
    alone = contest(names, some, setup(), jobs=1)

    assert [timeless(r) for r in apart] == [timeless(r) for r in alone]
    assert {name for name, _ in seen} == set(names)


def test_the_timeline_has_a_point_a_minute_and_holds_every_arrival_once() -> None:
    some = stage()
    timeline = replay(some, Static("static:3,1", FLEET)).timeline

    edges = [some.workload.start_s, *(p.at_s for p in timeline)]
    arrivals = sum(
        p.arrivals_rps["chat"] * (b - a) for p, a, b in zip(timeline, edges, edges[1:], strict=False)
    )
    assert len(timeline) == 10
    assert edges[-1] == pytest.approx(some.workload.end_s)
    assert arrivals == pytest.approx(len(some.workload))


def test_progress_rises_to_the_end() -> None:
    shares: list[float] = []

    replay(stage(), Static("static:3,1", FLEET), shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_requests_in_flight_at_the_last_arrival_may_still_finish() -> None:
    workload = Workload.of([0.0, 1.0], 1000, 500, class_names=("chat",))

    result = replay(stage(workload), Static("static:1,1", {Role.PREFILL: 1, Role.DECODE: 1}))

    assert (result.completed, result.in_flight) == (2, 0)


def test_an_overwhelmed_fleet_leaves_requests_in_flight_and_they_are_misses() -> None:
    workload = chat(400.0, minutes=10.0)

    result = replay(stage(workload), Static("static:1,1", {Role.PREFILL: 1, Role.DECODE: 1}))

    assert result.in_flight > 0
    assert result.slo_attainment is not None
    assert result.slo_attainment <= result.completed / result.requests


def test_a_policy_ticks_at_its_interval_in_story_time() -> None:
    class Counter:
        name, interval_s, initial = "counter", 45.0, FLEET

        def __init__(self) -> None:
            self.ticks: list[float] = []

        def tick(self, now_s: float, world: World) -> str | None:
            self.ticks.append(now_s)
            return "said" if len(self.ticks) == 3 else None

    some, counter = stage(chat(minutes=2.0), compression=5.0), Counter()
    result = replay(some, counter)

    story_s = some.workload.span_s * 5.0
    assert len(counter.ticks) == result.decisions == int(story_s // 45.0)
    assert counter.ticks[:2] == [some.workload.start_s + 45.0, some.workload.start_s + 90.0]
    assert [p.sentence for p in result.timeline if p.sentence] == ["said"]


def test_static_peak_keeps_the_promise_and_one_replica_fewer_breaks_it() -> None:
    some, ready = stage(chat(60.0)), setup()

    result = contest(["static-peak"], some, ready)[0]
    counts = {
        role: round(hours * 3600 / some.workload.span_s / some.layouts[role].gpus)
        for role, hours in result.gpu_hours_by_role.items()
    }

    assert result.classes[0].slo_attainment is not None
    assert result.classes[0].slo_attainment >= 0.99
    for role, count in counts.items():
        if count > 1:
            fewer = attainment_of(some, {**counts, role: count - 1})["chat"]
            assert fewer is not None
            assert fewer < 0.99


def test_hpa_and_headgate_stay_inside_the_gpu_budget() -> None:
    burst = Workload.merge([chat(20.0, 20.0), chat(300.0, 10.0, seed=2)])
    some = stage(burst, budget_gpus=12)

    for result in contest(["hpa", "headgate"], some, setup(budget_gpus=12), jobs=1):
        for point in result.timeline:
            held = sum(
                (point.ready[role] + point.starting[role] + point.draining[role]) * layout.gpus
                for role, layout in some.layouts.items()
            )
            assert held <= 12


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("headgate", ["headgate"]),
        ("headgate, static:3,2,hpa", ["headgate", "static:3,2", "hpa"]),
        ("static:3,2,static:4,1", ["static:3,2", "static:4,1"]),
        ("hpa,hpa,", ["hpa"]),
        ("static:4", ["static:4"]),
    ],
)
def test_policies_are_cut_from_one_text(text: str, names: list[str]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("oracl", "not known; choose among headgate, static-peak"),
        ("static:3", "write static:P,D"),
        ("static:0,1", "a count from 1 to 100000"),
        ("static:100001,1", "a count from 1 to 100000"),
        ("static:²,1", "write static:P,D"),
        ("static:" + "9" * 5000 + ",1", "write static:P,D"),
        ("static:a,b", "write static:P,D"),
        ("static:1,2,3", "write static:P,D"),
    ],
)
def test_a_policy_that_cannot_run_is_refused_before_anything_does(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_name(name, (Role.PREFILL, Role.DECODE))
