"""Bringing candidates up and down: one at a time, with patience that ends, and reasons that help."""

import copy
from collections.abc import Callable

import pytest

from models.errors import ClusterError, MeasureError
from profiler.measure.backend import Refusal
from profiler.measure.deployed.deployer import NOT_STARTED, Deployer
from profiler.measure.deployed.handover import HandedOverError
from profiler.measure.deployed.policy import DeployPolicy
from tests.unit.deployed.fake_cluster import FakeClock, FakeCluster
from tests.unit.deployed.stage import READY, pod, rendered

POLICY = DeployPolicy(
    ready_within_s=600, schedule_within_s=120, pull_within_s=60, gone_within_s=100, patience_s=30, poll_s=2
)


def _serves(url: str) -> str | None:
    return None


class Stage:
    """Hold a deployer, its cluster and its clock."""

    def __init__(self) -> None:
        self.cluster, self.clock, self.said = FakeCluster(), FakeClock(), list[str]()
        self.serving: Callable[[str], str | None] = _serves
        self.deployer = Deployer(
            self.cluster,
            POLICY,
            self._probe,
            self.said.append,
            self.clock,
            self.clock.sleep,
        )

    def _probe(self, url: str) -> str | None:
        return self.serving(url)

    def becomes_ready(self, name: str, at_s: float) -> None:
        """Have the candidate's Deployment get ready at a time."""
        self.clock.at(at_s, lambda: self.cluster.status("Deployment", name, READY))

    def has_pod(self, **status: object) -> None:
        """Put a pod of sweep-tp4 into the cluster."""
        made = pod("p", "sweep-tp4", **status)
        self.cluster.objects["v1", "Pod", "p", "lab"] = made

    @property
    def kinds(self) -> list[str]:
        """What is in the cluster."""
        return sorted(key[1] for key in self.cluster.objects)


def end(stage: Stage, error: BaseException) -> None:
    """Leave the deployer with an error while a candidate is up."""
    with stage.deployer as deployer:
        deployer.bring(rendered())
        raise error


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_candidate_is_up_when_objects_pods_and_endpoint_say_so(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    stage.serving = lambda url: None if stage.clock() >= 40 else "no model yet"

    took_s = stage.deployer.bring(rendered())

    assert took_s == 40
    assert stage.deployer.holds == "sweep-tp4"
    assert stage.said == [
        "deploying sweep-tp4 (4 GPUs)",
        "sweep-tp4: Deployment sweep-tp4: 0 of 1 pods are ready",
        "sweep-tp4: no model yet",
        "sweep-tp4 serves after 40s",
    ]


def test_the_same_candidate_again_costs_nothing(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    stage.deployer.bring(rendered())
    calls = len(stage.cluster.calls)

    assert stage.deployer.bring(rendered()) == 0.0
    assert len(stage.cluster.calls) == calls


def test_the_next_candidate_waits_until_the_pods_of_the_last_are_gone(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 2)
    stage.deployer.bring(rendered())
    stage.has_pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    stage.clock.at(50, lambda: stage.cluster.objects.pop(("v1", "Pod", "p", "lab")))
    stage.becomes_ready("sweep-tp8", 60)

    stage.deployer.bring(rendered(8))

    created = [key for verb, key in stage.cluster.calls if verb == "create" and key[2] == "sweep-tp8"]
    assert created
    assert stage.clock() >= 60
    assert stage.deployer.held_gpu_s == pytest.approx(50 * 4, abs=4)


@pytest.mark.parametrize(
    ("status", "within_s", "said"),
    [
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "Insufficient nvidia.com/gpu"}
                ]
            },
            120,
            "no node takes it: Insufficient nvidia.com/gpu",
        ),
        (
            {
                "containerStatuses": [
                    {"name": "m", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "denied"}}}
                ]
            },
            60,
            "its image cannot be pulled: denied",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "m",
                        "restartCount": 2,
                        "lastState": {"terminated": {"exitCode": 1, "message": "CUDA out of memory"}},
                    }
                ]
            },
            0,
            "ended with code 1: CUDA out of memory, 2 times",
        ),
        ({"phase": "Pending"}, 600, "not ready within 10m: pod p is pending and not ready"),
    ],
)
def test_a_candidate_that_does_not_come_is_refused_in_time_and_taken_away(
    stage: Stage, status: dict[str, object], within_s: float, said: str
) -> None:
    stage.has_pod(**status)
    stage.clock.at(within_s + 10, lambda: stage.cluster.objects.pop(("v1", "Pod", "p", "lab"), None))

    refusal = stage.deployer.bring(rendered())

    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith(NOT_STARTED)
    assert said in refusal.reason
    assert within_s <= stage.clock() <= within_s + 14
    assert stage.kinds == []


def test_scheduling_patience_counts_from_when_it_got_stuck_and_ends_when_a_node_comes(stage: Stage) -> None:
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node"}]}
    stage.has_pod(**unscheduled)

    def node_comes() -> None:
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        stage.cluster.status("Pod", "p", ready)

    stage.clock.at(110, node_comes)
    stage.becomes_ready("sweep-tp4", 200)

    assert stage.deployer.bring(rendered()) == 200


def test_a_quota_is_named_as_such(stage: Stage) -> None:
    quota = ClusterError("pods forbidden: exceeded quota: gpus, requested 4", 403)
    stage.cluster.refused = lambda verb, manifest: quota if manifest["kind"] == "Deployment" else None

    refusal = stage.deployer.bring(rendered())

    assert isinstance(refusal, Refusal)
    assert "the namespace's quota is used up: pods forbidden: exceeded quota: gpus" in refusal.reason


def test_a_missing_right_stops_the_sweep(stage: Stage) -> None:
    stage.cluster.refused = lambda verb, manifest: ClusterError("deployments is forbidden", 403)

    with pytest.raises(MeasureError, match="the sweep's Role lacks it"):
        stage.deployer.bring(rendered())


def test_a_successor_takes_over_what_its_predecessor_left(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    with pytest.raises(SystemExit):
        end(stage, SystemExit(143))
    assert stage.kinds == ["Deployment", "Service"]

    successor = Deployer(
        stage.cluster, POLICY, lambda url: None, stage.said.append, stage.clock, stage.clock.sleep
    )

    assert successor.bring(rendered()) == 0.0
    assert "sweep-tp4: taking over Deployment sweep-tp4" in stage.said


def test_one_that_was_replaced_leaves_the_candidate_to_its_successor(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    with pytest.raises(HandedOverError):
        end(stage, HandedOverError("pod b has taken over"))

    assert stage.kinds == ["Deployment", "Service"]


@pytest.mark.parametrize("ending", [RuntimeError, KeyboardInterrupt, MeasureError])
def test_any_other_end_takes_the_candidate_away(stage: Stage, ending: type[BaseException]) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    with pytest.raises(ending):
        end(stage, ending())

    assert stage.kinds == []


def test_a_leftover_with_another_content_is_replaced(stage: Stage) -> None:
    old = copy.deepcopy(rendered().objects[0])
    old["metadata"]["annotations"]["headgate.io/rendered"] = "sha256:old"
    stage.cluster.create(old)
    stage.becomes_ready("sweep-tp4", 20)

    stage.deployer.bring(rendered())

    found = stage.cluster.get("apps/v1", "Deployment", "sweep-tp4", "lab")
    assert found is not None
    assert found["metadata"]["annotations"]["headgate.io/rendered"] == rendered().digest


def test_an_object_of_somebody_else_is_left_alone(stage: Stage) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sweep-tp4", "namespace": "lab"}}
    stage.cluster.create(theirs)

    with pytest.raises(
        MeasureError, match="a Service sweep-tp4 that this sweep did not make; it is left alone"
    ):
        stage.deployer.bring(rendered())

    assert ("v1", "Service", "sweep-tp4", "lab") in stage.cluster.objects


def test_an_api_server_that_is_away_for_a_while_does_no_harm(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    stage.cluster.failures = [ClusterError("connection refused"), ClusterError("etcd is busy", 503)]

    assert isinstance(stage.deployer.bring(rendered()), float)


def test_an_api_server_that_stays_away_stops_the_sweep(stage: Stage) -> None:
    stage.cluster.failures = [ClusterError("connection refused")] * 100

    with pytest.raises(MeasureError, match="connection refused"):
        stage.deployer.bring(rendered())


def test_gpus_that_do_not_come_free_are_an_error_that_names_the_pod(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 20)
    stage.deployer.bring(rendered())
    stage.has_pod(phase="Running", conditions=[{"type": "Ready", "status": "True"}])

    with pytest.raises(MeasureError, match="its GPUs are not free: after 1m40s there is still pod p"):
        stage.deployer.give_back()


def test_trouble_is_seen_on_pods_and_endpoint(stage: Stage) -> None:
    stage.becomes_ready("sweep-tp4", 2)
    stage.deployer.bring(rendered())
    assert stage.deployer.trouble() is None

    stage.serving = lambda url: "takes no connections"
    assert stage.deployer.trouble() == "takes no connections"

    stage.has_pod(phase="Failed", reason="OOMKilled")
    assert stage.deployer.trouble() == "pod p failed: OOMKilled"
