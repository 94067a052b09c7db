"""One suite over every way of measuring: what the sweep relies on.

A backend joins with one `Case` in `CASES`. Where it needs a component that is absent, `opened` skips.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pytest

from config import reference
from models.architecture import Architecture
from models.artifact import Phase
from models.engine import Engine
from models.hardware import Hardware
from models.values import Parallelism, Role
from profiler.cluster import Manifest
from profiler.measure.backend import PHASES, Backend, Measurement, Refusal, Replica, SweepPoint
from profiler.measure.deployed.backend import Deployed
from profiler.measure.deployed.deployer import Deployer
from profiler.measure.endpoint.backend import Endpoint
from profiler.measure.endpoint.policy import EndpointPolicy
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.silicon.estimator import Silicon
from tests import components
from tests.openai_engine import Behaviour, Clockwork, serving
from tests.unit.deployed.fake_cluster import FakeClock, FakeCluster
from tests.unit.deployed.stage import READY, SETTING, ShortMemory, template
from tests.unit.deployed.test_deployer import POLICY


@dataclass(frozen=True, slots=True)
class Case:
    """Say how to open one backend, and what it is to be asked.

    `serves` names layouts that it measures in a role, `refuses` layouts that it must refuse there. `sizes`
    are points (tokens, batch), small first, that are cheap enough for a test. `noise_ratio` is how far two
    answers for the same work may lie apart, or an answer for more work below one for less.
    """

    name: str
    opened: Callable[[], AbstractContextManager[Backend]]
    serves: tuple[tuple[Role, Parallelism], ...]
    refuses: tuple[tuple[Role, Parallelism], ...]
    sizes: tuple[tuple[float, float], ...]
    noise_ratio: float


@contextmanager
def _roofline() -> Iterator[Backend]:
    yield Roofline(*_deepseek())


@contextmanager
def _silicon() -> Iterator[Backend]:
    components.silicon()
    yield Silicon(*_deepseek())


@contextmanager
def _endpoint() -> Iterator[Backend]:
    clockwork = Clockwork(prefill_base_s=0.005, prefill_s_per_token=40e-6)
    with serving(clockwork, Behaviour(prefix_cache=True)) as server:
        arch = reference.architecture("gpt-oss-120b")
        policy = EndpointPolicy(
            url=server.url,
            model="tiny",
            deployed={Role.AGGREGATED: TP4},
            vocabulary=arch.vocabulary,
            max_context_tokens=8192,
        )
        yield Endpoint(policy, Roofline(arch, reference.hardware("GB200"), reference.engine("vllm")))


class _ReadyCluster(FakeCluster):
    """Start every candidate at once, as a cluster with idle GPUs and a loaded image would."""

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        made = super().create(manifest, dry_run)
        self.status(made["kind"], made["metadata"]["name"], READY)
        return made


@contextmanager
def _job() -> Iterator[Backend]:
    """Deploy into a cluster in memory; what is measured at the endpoint is a real engine of known times."""
    with serving(Clockwork(prefill_base_s=0.005, prefill_s_per_token=40e-6), Behaviour()) as server:
        prior, clock = Roofline(*_deepseek()), FakeClock()
        deployer = Deployer(_ReadyCluster(), POLICY, lambda _: None, lambda _: None, clock, clock.sleep)

        def connect(role: Role, layout: Parallelism, url: str) -> Backend:
            return Endpoint(EndpointPolicy(server.url, "tiny", {role: layout}, 50_000, 8192), prior)

        yield Deployed(template(), SETTING, POLICY, deployer, connect, prior, ShortMemory(), "contract")


def _deepseek() -> tuple[Architecture, Hardware, Engine]:
    return reference.architecture("deepseek-r1"), reference.hardware("GB200"), reference.engine("sglang")


TP1, TP4, DEP8 = Parallelism(), Parallelism(tp=4), Parallelism(dp=8, ep=8)
_EVERYWHERE = tuple((role, layout) for role in Role for layout in (TP4, DEP8))
_TOO_SMALL = tuple((role, TP1) for role in Role)
_COMPUTED_SIZES = ((128.0, 8.0), (1024.0, 8.0), (1024.0, 64.0), (8192.0, 64.0))

CASES = (
    Case("roofline", _roofline, _EVERYWHERE, _TOO_SMALL, _COMPUTED_SIZES, 0.0),
    # Kernels that were measured one by one are not quite monotone.
    Case("silicon", _silicon, _EVERYWHERE, _TOO_SMALL, _COMPUTED_SIZES, 0.1),
    Case(
        "endpoint",
        _endpoint,
        serves=((Role.AGGREGATED, TP4),),
        refuses=((Role.AGGREGATED, TP1), (Role.PREFILL, TP4)),
        sizes=((128.0, 2.0), (1024.0, 2.0), (1024.0, 6.0)),
        # A live engine on a busy machine: an answer may come some milliseconds late.
        noise_ratio=1.0,
    ),
    Case(
        "job",
        _job,
        serves=((Role.AGGREGATED, TP4),),
        refuses=_TOO_SMALL,
        sizes=((128.0, 2.0), (1024.0, 2.0), (1024.0, 6.0)),
        noise_ratio=1.0,
    ),
)

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _points(case: Case) -> Iterator[tuple[Role, Parallelism, Phase]]:
    for role, layout in case.serves:
        for phase in PHASES[role]:
            yield role, layout, phase


def _ask(backend: Backend, role: Role, layout: Parallelism, phase: Phase, size: tuple[float, float]) -> float:
    """Return the seconds of a point that the backend must be able to measure."""
    answer = backend.measure(SweepPoint(role, layout, phase, *size))
    assert isinstance(answer, Measurement), answer
    return answer.seconds


@each_case
def test_a_backend_says_what_its_times_depend_on(case: Case) -> None:
    with case.opened() as backend:
        assert backend.name == case.name
        assert backend.identity.strip()
        assert "\n" not in backend.identity


@each_case
def test_a_layout_that_is_served_is_described_in_full(case: Case) -> None:
    with case.opened() as backend:
        for role, layout in case.serves:
            replica = backend.describe(role, layout)

            assert isinstance(replica, Replica), replica
            assert replica.provenance.strip()
            assert 0 < replica.kv_capacity_tokens < float("inf")
            for seconds in (replica.start_s, replica.overhead_s, replica.handover_s_per_token):
                assert 0 <= seconds < float("inf")
            assert replica.limits.max_num_seqs >= layout.dp
            if role is Role.DECODE:
                # The first token comes from the prefill replica: nothing is added to a TTFT here.
                assert replica.overhead_s == 0
            backend.release(role, layout)


@each_case
def test_bounds_are_of_the_phases_that_the_role_has(case: Case) -> None:
    with case.opened() as backend:
        for role, layout in case.serves:
            replica = backend.describe(role, layout)
            assert isinstance(replica, Replica), replica

            for phase, bounds in replica.bounds:
                assert phase in PHASES[role]
                assert 0 < bounds.x[0] <= bounds.x[1]
                assert 0 < bounds.y[0] <= bounds.y[1] <= replica.limits.max_num_seqs
            backend.release(role, layout)


@each_case
def test_what_cannot_be_served_is_refused_with_a_reason(case: Case) -> None:
    with case.opened() as backend:
        for role, layout in case.refuses:
            refusal = backend.describe(role, layout)

            assert isinstance(refusal, Refusal), refusal
            assert len(refusal.reason) > 10
            assert "\n" not in refusal.reason


@each_case
def test_describing_twice_says_the_same(case: Case) -> None:
    with case.opened() as backend:
        role, layout = case.serves[0]

        assert backend.describe(role, layout) == backend.describe(role, layout)
        backend.release(role, layout)


@each_case
def test_a_point_takes_some_seconds_with_a_finite_band(case: Case) -> None:
    with case.opened() as backend:
        for role, layout, phase in _points(case):
            backend.describe(role, layout)
            answer = backend.measure(SweepPoint(role, layout, phase, *case.sizes[0]))

            assert isinstance(answer, Measurement), answer
            assert isfinite(answer.seconds)
            assert answer.seconds > 0
            assert 0 <= answer.error_s < float("inf")
            assert answer.repeats >= 1
            backend.release(role, layout)


@each_case
def test_a_computed_point_costs_nothing_and_has_no_noise(case: Case) -> None:
    with case.opened() as backend:
        role, layout, phase = next(_points(case))
        backend.describe(role, layout)
        point = SweepPoint(role, layout, phase, *case.sizes[0])

        if backend.computed:
            assert backend.cost_s(point) == 0
            assert backend.measure(point) == backend.measure(point)
        else:
            assert backend.cost_s(point) > 0
        backend.release(role, layout)


@each_case
def test_more_work_does_not_take_less_time(case: Case) -> None:
    with case.opened() as backend:
        for role, layout, phase in _points(case):
            backend.describe(role, layout)
            small, *_, large = (_ask(backend, role, layout, phase, size) for size in case.sizes)

            assert large >= small * (1.0 - case.noise_ratio)
            backend.release(role, layout)


@each_case
def test_cached_tokens_are_not_computed_again(case: Case) -> None:
    with case.opened() as backend:
        for role, layout, phase in _points(case):
            if phase is Phase.DECODE:
                continue
            backend.describe(role, layout)
            (few, batch), (many, _) = case.sizes[0], case.sizes[1]
            behind = backend.measure(SweepPoint(role, layout, phase, few, batch, many - few))
            if isinstance(behind, Measurement):
                whole = _ask(backend, role, layout, phase, (many, batch))
                assert behind.seconds <= whole * (1.0 + case.noise_ratio)
            backend.release(role, layout)


@each_case
def test_a_released_layout_can_be_described_and_measured_again(case: Case) -> None:
    with case.opened() as backend:
        role, layout, phase = next(_points(case))
        backend.describe(role, layout)
        first = _ask(backend, role, layout, phase, case.sizes[0])
        backend.release(role, layout)
        backend.release(role, layout)

        assert isinstance(backend.describe(role, layout), Replica)
        again = _ask(backend, role, layout, phase, case.sizes[0])
        assert again == pytest.approx(first, rel=max(case.noise_ratio, 1e-12))
        backend.release(role, layout)
