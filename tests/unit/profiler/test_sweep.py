"""The sweep: a full grid per layout and role, whatever the backend can measure of it."""

from itertools import pairwise

import pytest

from models.artifact import EngineLimits
from models.values import Parallelism, Role
from profiler.layouts import Candidates
from profiler.measure.backend import Phase, Refusal, Replica, SweepPoint
from profiler.sweep import geometric, sweep, whole

TP1, TP2, TP4 = Parallelism(), Parallelism(tp=2), Parallelism(tp=4)


class Bench:
    """Answer as an endpoint would: no TP2, nothing beyond 100,000 tokens, TP4 fails throughout."""

    name = "fake"
    computed = False

    def __init__(self) -> None:
        self.asked: list[SweepPoint] = []

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        if parallelism == TP2:
            return Refusal("no quota for 2 GPUs")
        return Replica(EngineLimits(64, 4096), 100_000, 0, 0.03, 1e-8, "fake")

    def measure(self, point: SweepPoint) -> float | None:
        self.asked.append(point)
        if point.parallelism == TP4 or point.tokens * point.batch > 100_000:
            return None
        return 0.001 + 1e-6 * point.tokens * point.batch


def test_layouts_are_measured_where_it_is_possible_and_left_out_with_the_reason() -> None:
    swept = sweep(Bench(), Candidates((TP1, TP2, TP4), (("TP3", "no"),)), 4096)

    assert {layout.key for layout in swept.layouts} == {"prefill=TP1", "decode=TP1", "aggregated=TP1"}
    reasons = {(item.role, item.layout): item.reason for item in swept.left_out}
    assert reasons[Role.DECODE, "TP3"] == "no"
    assert reasons[Role.DECODE, "TP2"] == "no quota for 2 GPUs"
    assert reasons[Role.DECODE, "TP4"].endswith("too few for a surface")


def test_each_role_has_the_surfaces_that_it_uses() -> None:
    by_role = {layout.role: layout for layout in sweep(Bench(), Candidates((TP1,), ()), 4096).layouts}

    assert by_role[Role.PREFILL].prefill is not None
    assert by_role[Role.PREFILL].decode is None
    assert by_role[Role.DECODE].prefill is None
    assert by_role[Role.DECODE].decode is not None
    assert by_role[Role.AGGREGATED].prefill == by_role[Role.PREFILL].prefill
    assert by_role[Role.AGGREGATED].decode == by_role[Role.DECODE].decode


def test_points_that_could_not_be_measured_are_filled_in() -> None:
    layout = sweep(Bench(), Candidates((TP1,), ()), 4096, roles=[Role.DECODE]).layouts[0]

    assert layout.decode is not None
    assert layout.decode.covers(4096, 64)
    assert layout.decode.at(4096, 64) == pytest.approx(0.001 + 1e-6 * 4096 * 64, rel=0.05)


def test_points_of_one_layout_follow_one_another() -> None:
    backend = Bench()

    sweep(backend, Candidates((TP1, TP4), ()), 4096, roles=[Role.PREFILL, Role.DECODE])

    runs = [(p.role, p.parallelism) for p in backend.asked]
    assert len([a for a, b in pairwise(runs) if a != b]) == 3
    assert {p.phase for p in backend.asked if p.role is Role.DECODE} == {Phase.DECODE}


def test_progress_counts_every_point() -> None:
    seen: list[tuple[int, int]] = []

    swept = sweep(
        Bench(), Candidates((TP1, TP4), ()), 4096, progress=lambda done, total, _: seen.append((done, total))
    )

    assert seen[0][0] == 0
    assert seen[-1] == (swept.points, swept.points)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_axes_reach_their_ends() -> None:
    assert geometric(16, 100) == (16, 24, 32, 48, 64, 96, 100)
    assert whole(1) == (1,)
    assert whole(10) == (1, 2, 3, 4, 6, 8, 10)
