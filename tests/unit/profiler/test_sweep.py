"""The sweep: every layout in every role, whatever the backend can measure of it, and nothing twice."""

from itertools import pairwise
from pathlib import Path

import pytest

from config import reference
from models.artifact import EngineLimits, Phase
from models.errors import InputError, MeasureError
from models.values import Parallelism, Role
from profiler.layouts import Candidates
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint
from profiler.planning import RoleBench, Scope, doubling, geometric, gpu_minutes, plan, thinned, whole
from profiler.sampling.full import Full
from profiler.store import FileStore, NoStore, Store
from profiler.sweep import NoRivals, Progress, Rivals, Swept, Terms, sweep

TP1, TP2, TP4 = Parallelism(), Parallelism(tp=2), Parallelism(tp=4)


class Engine:
    """Answer as a deployed engine would: no TP2, nothing beyond 100,000 tokens, TP4 fails throughout.

    Each point takes a second of a clock of its own. `breaks_at` is the point, counted from 1, at which the
    engine goes away.
    """

    name = "fake"
    computed = False
    identity = "fake engine"

    def __init__(self, breaks_at: int | None = None) -> None:
        self.asked: list[SweepPoint] = []
        self.released: list[tuple[Role, Parallelism]] = []
        self.now_s = 0.0
        self._breaks_at = breaks_at

    def clock(self) -> float:
        return self.now_s

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        if parallelism == TP2:
            return Refusal("no quota for 2 GPUs")
        return Replica(EngineLimits(64, 4096), 100_000, 0, 0.03, 1e-8, "fake", start_s=60.0)

    def cost_s(self, point: SweepPoint) -> float:
        return 1.0

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        if len(self.asked) + 1 == self._breaks_at:
            raise MeasureError("the endpoint went away")
        self.asked.append(point)
        self.now_s += 1.0
        if point.parallelism == TP4 or point.tokens * point.batch > 100_000:
            return Refusal(f"{point.tokens * point.batch:.0f} tokens do not fit")
        return Measurement(0.001 + 1e-6 * point.tokens * point.batch, error_s=1e-5, repeats=3)

    def release(self, role: Role, parallelism: Parallelism) -> None:
        self.released.append((role, parallelism))


def swept(
    engine: Engine,
    layouts: tuple[Parallelism, ...],
    roles: tuple[Role, ...] = tuple(Role),
    store: Store | None = None,
    budget_gpu_minutes: float | None = None,
    rivals: Rivals | None = None,
    progress: Progress | None = None,
    ruled_out: tuple[tuple[str, str], ...] = (),
) -> Swept:
    hardware = reference.hardware("GB200")
    benches = {role: RoleBench(hardware, Candidates(layouts, ruled_out), engine) for role in roles}
    terms = Terms(
        Full(computed=False), store or NoStore(), rivals or NoRivals(), budget_gpu_minutes, engine.clock
    )
    return sweep(plan(benches, Scope(4096)), benches, terms, progress)


def test_layouts_are_measured_where_it_is_possible_and_left_out_with_the_reason() -> None:
    found = swept(Engine(), (TP1, TP2, TP4), ruled_out=(("TP3", "no"),))

    assert {layout.key for layout in found.layouts} == {"prefill=TP1", "decode=TP1", "aggregated=TP1"}
    assert {layout.hardware for layout in found.layouts} == {"GB200"}
    reasons = {(item.role, item.layout): item.reason for item in found.left_out}
    assert reasons[Role.DECODE, "TP3"] == "no"
    assert reasons[Role.DECODE, "TP2"] == "no quota for 2 GPUs"
    assert reasons[Role.DECODE, "TP4"].endswith("too few for a surface")


def test_each_role_has_the_surfaces_that_it_uses() -> None:
    by_role = {layout.role: layout for layout in swept(Engine(), (TP1,)).layouts}

    assert by_role[Role.PREFILL].prefill is not None
    assert by_role[Role.PREFILL].decode is None
    assert by_role[Role.DECODE].prefill is None
    assert by_role[Role.DECODE].decode is not None
    assert by_role[Role.AGGREGATED].prefill == by_role[Role.PREFILL].prefill
    assert by_role[Role.AGGREGATED].decode == by_role[Role.DECODE].decode


def test_points_that_could_not_be_measured_are_filled_in() -> None:
    layout = swept(Engine(), (TP1,), (Role.DECODE,)).layouts[0]

    assert layout.decode is not None
    assert layout.decode.at(4096, 64) == pytest.approx(0.001 + 1e-6 * 4096 * 64, rel=0.05)


def test_measured_points_stand_beside_the_surface_with_what_the_fit_left() -> None:
    layout = swept(Engine(), (TP1,), (Role.AGGREGATED,)).layouts[0]

    assert {point.phase for point in layout.measured} == set(Phase)
    assert all(point.tokens * point.batch <= 100_000 for point in layout.measured)
    assert all((point.error_s, point.repeats) == (1e-5, 3) for point in layout.measured)
    assert max(abs(point.residual_ratio or 0.0) for point in layout.measured) < 0.01


def test_points_of_one_layout_follow_one_another_and_it_is_given_back() -> None:
    engine = Engine()

    swept(engine, (TP1, TP4), (Role.PREFILL, Role.DECODE))

    runs = [(p.role, p.parallelism) for p in engine.asked]
    assert len([a for a, b in pairwise(runs) if a != b]) == 3
    assert {p.phase for p in engine.asked if p.role is Role.DECODE} == {Phase.DECODE}
    assert engine.released == [(role, x) for role in (Role.PREFILL, Role.DECODE) for x in (TP1, TP4)]


def test_progress_counts_every_point() -> None:
    seen: list[tuple[int, int]] = []

    swept(Engine(), (TP1, TP4), progress=lambda done, total, _: seen.append((done, total)))

    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_sweep_that_broke_down_goes_on_where_it_was(tmp_path: Path) -> None:
    """At most one point is lost: the one that was being measured."""
    store = tmp_path / "points.jsonl"
    first = Engine(breaks_at=40)
    with pytest.raises(MeasureError):
        swept(first, (TP1,), (Role.DECODE,), FileStore(store, "e"))
    assert first.released == [(Role.DECODE, TP1)]

    second = Engine()
    resumed = swept(second, (TP1,), (Role.DECODE,), FileStore(store, "e"))

    whole_run = Engine()
    in_one_go = swept(whole_run, (TP1,), (Role.DECODE,))
    assert len(first.asked) == 39
    assert len(first.asked) + len(second.asked) == len(whole_run.asked)
    assert not set(first.asked) & set(second.asked)
    assert resumed.layouts == in_one_go.layouts
    assert resumed.effort.gpu_minutes == pytest.approx(in_one_go.effort.gpu_minutes)


def test_a_line_that_was_cut_off_costs_that_point_alone(tmp_path: Path) -> None:
    store = tmp_path / "points.jsonl"
    swept(Engine(), (TP1,), (Role.DECODE,), FileStore(store, "e"))
    complete = store.read_bytes()
    store.write_bytes(complete[:-7])

    engine = Engine()
    swept(engine, (TP1,), (Role.DECODE,), FileStore(store, "e"))

    assert len(engine.asked) == 1
    assert store.read_bytes() == complete


@pytest.mark.parametrize(
    ("first_line", "says"),
    [
        ('{"schema": "headgate/measurements/v9", "identity": "e"}', "made by another version"),
        ('{"schema": "headgate/measurements/v1", "identity": "other"}', "holds measurements of 'other'"),
        ("timestamp,input_tokens", "holds no measurements"),
    ],
)
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, first_line: str, says: str) -> None:
    store = tmp_path / "points.jsonl"
    store.write_text(first_line + "\n{}\n")

    with pytest.raises(InputError, match=says):
        swept(Engine(), (TP1,), (Role.DECODE,), FileStore(store, "e"))

    assert store.read_text() == first_line + "\n{}\n"


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    store = tmp_path / "points.jsonl"
    swept(Engine(), (TP1,), (Role.DECODE,), FileStore(store, "e"))
    lines = store.read_text().splitlines()
    store.write_text("\n".join([*lines[:4], '{"point": 1}', *lines[5:]]) + "\n")

    with pytest.raises(InputError, match=r"points\.jsonl:5: is not a measurement"):
        swept(Engine(), (TP1,), (Role.DECODE,), FileStore(store, "e"))


def test_a_budget_ends_the_measuring_and_says_so() -> None:
    """TP1 in both roles: a minute to start, a second a point; what decode leaves does not start prefill."""
    engine = Engine()

    decode_alone = swept(Engine(), (TP1,), (Role.DECODE,)).effort.gpu_minutes
    budget = decode_alone + 1.0
    found = swept(engine, (TP1,), (Role.DECODE, Role.PREFILL), budget_gpu_minutes=budget)

    assert [layout.role for layout in found.layouts] == [Role.DECODE]
    assert "GPU-minutes is spent" in found.left_out[0].reason
    assert found.effort.gpu_minutes <= budget


def test_a_plan_says_what_whole_grids_would_take() -> None:
    benches = {Role.DECODE: RoleBench(reference.hardware("GB200"), Candidates((TP4,), ()), Engine())}
    task = plan(benches, Scope(4096, most_points={Phase.DECODE: (6, 12), Phase.PREFILL: (12, 12)})).tasks[0]

    assert task.size == 72
    assert gpu_minutes(task, benches[Role.DECODE].backend) == pytest.approx((60 + 72) * 4 / 60)


def test_prompts_with_a_cached_prefix_compute_the_rest_behind_it() -> None:
    from models.engine import Serving

    benches = {Role.PREFILL: RoleBench(reference.hardware("GB200"), Candidates((TP1,), ()), Engine())}
    grid = plan(benches, Scope(4096, Serving(prefix_ratio=0.75))).tasks[0].grids[0]

    assert grid.tokens[-1] == 1024
    assert grid.point(1024, 1).cached_tokens == pytest.approx(3072)


def test_axes_reach_their_ends() -> None:
    assert geometric(16, 100) == (16, 24, 32, 48, 64, 96, 100)
    assert whole(1) == (1,)
    assert whole(10) == (1, 2, 3, 4, 6, 8, 10)
    assert doubling(16, 100) == (16, 32, 64, 100)
    assert thinned(tuple(map(float, range(23))), 12) == tuple(map(float, range(0, 23, 2)))
