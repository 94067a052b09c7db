"""The deploying backend: nothing is deployed before a point asks for it, nor again for what is known."""

from dataclasses import replace

import pytest

from models.artifact import EngineLimits, Phase
from models.errors import MeasureError
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint
from profiler.measure.deployed.backend import MOST_BREAKDOWNS, Deployed
from profiler.measure.deployed.deployer import Deployer
from tests.unit.deployed.fake_cluster import FakeClock, FakeCluster
from tests.unit.deployed.stage import READY, SETTING, ShortMemory, template
from tests.unit.deployed.test_deployer import POLICY

TP4, TP8 = Parallelism(tp=4), Parallelism(tp=8)
EXPECTED = Replica(EngineLimits(256, 8192), 1e6, 0.0, 0.01, 0.0, "estimated")
LEARNED = Replica(EngineLimits(64, 4096), 2e6, 0.0, 0.03, 0.0, "measured")


class Served:
    """Stand for an endpoint or an estimator behind the Backend port."""

    name, computed, identity = "served", False, "served"

    def __init__(self, url: str = "", replica: Replica | Refusal = EXPECTED) -> None:
        self.url, self.replica = url, replica
        self.failures: list[MeasureError] = []
        self.points = 0

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        return self.replica

    def cost_s(self, point: SweepPoint) -> float:
        return 7.0

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        if self.failures:
            raise self.failures.pop(0)
        self.points += 1
        return Measurement(0.5)

    def release(self, role: Role, parallelism: Parallelism) -> None:
        pass


class Ground:
    """Hold a backend over a cluster in memory in which every candidate gets ready at once."""

    def __init__(self, text: str | None = None) -> None:
        self.cluster, self.clock, self.memory = FakeCluster(), FakeClock(), ShortMemory()
        self.deployer = Deployer(
            self.cluster, POLICY, self._probe, lambda _: None, self.clock, self.clock.sleep
        )
        self.opened: list[Served] = []
        self.starts = True
        chosen = template() if text is None else template(text)
        self.backend = Deployed(
            chosen, SETTING, POLICY, self.deployer, self._connect, Served(), self.memory, "identity"
        )

    def _probe(self, url: str) -> str | None:
        return None

    def _connect(self, role: Role, layout: Parallelism, url: str) -> Served:
        self.opened.append(Served(url, LEARNED))
        return self.opened[-1]

    def point(self, layout: Parallelism = TP4, role: Role = Role.DECODE, tokens: float = 64) -> SweepPoint:
        """Return a point, and have its candidate get ready as soon as somebody waits."""
        if self.starts:
            name = f"sweep-{layout.name.lower()}"
            self.clock.at(self.clock() + 1, lambda: self.cluster.status("Deployment", name, READY))
        return SweepPoint(role, layout, Phase.DECODE, tokens, 1)

    @property
    def deployments(self) -> list[str]:
        """The Deployments that were created, in order."""
        return [key[2] for verb, key in self.cluster.calls if verb == "create" and key[1] == "Deployment"]


@pytest.fixture
def ground() -> Ground:
    return Ground()


def test_planning_deploys_nothing(ground: Ground) -> None:
    described = ground.backend.describe(Role.DECODE, TP4)

    assert described == replace(EXPECTED, start_s=POLICY.start_s)
    assert ground.backend.cost_s(ground.point()) == 7.0
    assert ground.deployments == []


def test_the_first_point_deploys_and_what_the_replica_says_counts_from_then(ground: Ground) -> None:
    assert ground.backend.measure(ground.point()) == Measurement(0.5)

    assert ground.deployments == ["sweep-tp4"]
    assert ground.opened[-1].url == "http://sweep-tp4:8000"
    assert ground.backend.describe(Role.DECODE, TP4) == replace(LEARNED, start_s=2.0)


def test_points_of_a_layout_share_a_candidate_and_so_do_its_roles(ground: Ground) -> None:
    ground.backend.measure(ground.point())
    ground.backend.measure(ground.point(tokens=128))
    ground.backend.release(Role.DECODE, TP4)
    ground.backend.measure(ground.point(role=Role.PREFILL))

    assert ground.deployments == ["sweep-tp4"]


def test_one_layout_is_up_at_a_time(ground: Ground) -> None:
    ground.backend.measure(ground.point())
    ground.backend.release(Role.DECODE, TP4)
    ground.backend.measure(ground.point(TP8))

    assert ground.deployments == ["sweep-tp4", "sweep-tp8"]
    assert [key[2] for key in ground.cluster.objects if key[1] == "Deployment"] == ["sweep-tp8"]


def test_a_layout_that_does_not_start_is_refused_and_not_tried_again(ground: Ground) -> None:
    ground.starts = False

    first, second = (ground.backend.measure(ground.point(tokens=n)) for n in (64, 128))

    assert isinstance(first, Refusal)
    assert second == first
    assert ground.backend.describe(Role.DECODE, TP4) == first
    assert ground.deployments == ["sweep-tp4"]


def test_what_a_predecessor_learned_is_not_asked_again(ground: Ground) -> None:
    ground.memory.keep(Role.DECODE, TP4, LEARNED)

    assert ground.backend.describe(Role.DECODE, TP4) == LEARNED
    assert ground.deployments == []


def test_a_candidate_that_breaks_at_a_point_is_deployed_anew_for_the_next(ground: Ground) -> None:
    ground.backend.measure(ground.point())
    ground.opened[-1].failures = [MeasureError("connection reset")]
    ground.cluster.status("Deployment", "sweep-tp4", {"observedGeneration": 1, "availableReplicas": 0})

    broken = ground.backend.measure(ground.point(tokens=128))

    assert isinstance(broken, Refusal)
    assert (
        "broke down at this point: Deployment sweep-tp4: 0 of 1 pods are ready (connection reset)"
        in broken.reason
    )
    assert ground.backend.measure(ground.point(tokens=256)) == Measurement(0.5)
    assert ground.deployments == ["sweep-tp4", "sweep-tp4"]


def test_a_layout_that_keeps_breaking_is_given_up(ground: Ground) -> None:
    for number in range(MOST_BREAKDOWNS + 1):
        ground.backend.measure(ground.point(tokens=64 + number))
        ground.opened[-1].failures = [MeasureError("reset")]
        ground.cluster.status("Deployment", "sweep-tp4", {"observedGeneration": 1})
        assert isinstance(ground.backend.measure(ground.point(tokens=128 + number)), Refusal)

    refused = ground.backend.measure(ground.point(tokens=512))

    assert isinstance(refused, Refusal)
    assert "broke down 3 times" in refused.reason
    assert len(ground.deployments) == MOST_BREAKDOWNS + 1


def test_an_endpoint_that_fails_without_visible_trouble_stops_the_sweep(ground: Ground) -> None:
    ground.backend.measure(ground.point())
    ground.opened[-1].failures = [MeasureError("garbage")]

    with pytest.raises(MeasureError, match="garbage"):
        ground.backend.measure(ground.point(tokens=128))


def test_without_a_cluster_it_plans_and_measures_nothing() -> None:
    ground = Ground()
    planned = Deployed(
        template(), SETTING, POLICY, None, ground._connect, Served(), ShortMemory(), "identity"
    )

    assert planned.describe(Role.DECODE, TP4) == replace(EXPECTED, start_s=POLICY.start_s)
    with pytest.raises(MeasureError, match="has no cluster"):
        planned.measure(ground.point())
