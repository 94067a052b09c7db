"""Pools are counted in a real cluster, for every kind that is scaled and all that goes wrong with pods."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.errors import ObserveError
from models.observation import Obstacle, PoolState
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.observe.kubernetes import KubernetesPools
from planner.observe.watched import WatchedCluster
from tests.integration import dynamo_crds, kube_objects
from tests.integration.kube_cluster import Cluster
from tests.integration.kube_objects import Hand, unschedulable
from tests.integration.loopback import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

NO_NODE = "0/9 nodes are available: 9 Insufficient nvidia.com/gpu."
UNREADY = ({"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"})


@pytest.fixture
def hand(cluster: Cluster) -> Hand:
    """Give a namespace of the test's own, where the custom resources are served."""
    dynamo_crds.install(cluster)
    return Hand(cluster, cluster.make_namespace("pools"))


@pytest.fixture
def client(cluster: Cluster) -> KubernetesCluster:
    return KubernetesCluster(kubernetes_access(cluster.kubeconfig))


@pytest.fixture
def watched(client: KubernetesCluster) -> Iterator[WatchedCluster]:
    reader = WatchedCluster(client)
    yield reader
    reader.stop()


def _target(hand: Hand, manifest: dict[str, Any], component: str | None = None) -> PoolTarget:
    of = ObjectRef(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], hand.namespace)
    return PoolTarget(of, component)


def _until(pools: KubernetesPools, fits: Callable[[PoolState], bool], role: Role = Role.DECODE) -> PoolState:
    """Look until the watch has brought what was written; returns the pool."""
    seen: list[PoolState] = []

    def done() -> bool:
        seen.append(pools.pools(time.time())[role])
        return fits(seen[-1])

    wait_until("the pool is as written", done, timeout_s=15)
    return seen[-1]


def _labels(graph: str, component: str) -> dict[str, str]:
    return {"nvidia.com/dynamo-graph-deployment-name": graph, "nvidia.com/dynamo-component": component}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_workload_is_counted_through_its_scale_and_its_pods(
    hand: Hand, watched: WatchedCluster, kind: str
) -> None:
    made = dynamo_crds.workload(kind, "decode", 3)
    hand.create(made)
    pools = KubernetesPools(watched, {Role.DECODE: _target(hand, made)})
    first = pools.pools(time.time())[Role.DECODE]
    assert (first.desired, first.ready, len(first.starting)) == (3, 0, 3)

    hand.pod("a", {"app": "decode"})
    hand.pod("b", {"app": "decode"}, UNREADY)
    hand.pod("c", {"app": "decode"})
    hand.end("c", at_once=False)
    hand.pod("x", {"app": "other"})
    hand.scale(made, 2)

    seen = _until(pools, lambda pool: pool.draining == 1 and pool.desired == 2)
    assert (seen.desired, seen.ready, len(seen.starting), seen.draining) == (2, 1, 1, 1)
    assert abs(seen.starting[0].since_s - time.time()) < 30


def test_a_graphs_components_are_found_by_type_and_their_adapters_count(
    hand: Hand, watched: WatchedCluster
) -> None:
    decode = dynamo_crds.component("Decoder", "decode", 9, gpus=4, scalingAdapter={})
    decode["multinode"] = {"nodeCount": 2}
    graph = dynamo_crds.graph("chat", [dynamo_crds.component("Prefiller", "prefill", 1), decode])
    adapter = dynamo_crds.adapter("chat", "Decoder", 2)
    hand.create(graph)
    hand.create(adapter)
    hand.pod("p-0", _labels("chat", "Prefiller"))
    for group in range(2):
        grove = {
            "grove.io/podcliquescalinggroup": "chat-0-decoder",
            "grove.io/podcliquescalinggroup-replica-index": str(group),
        }
        for i in range(2):
            conditions = UNREADY if (group, i) == (1, 1) else kube_objects.READY
            hand.pod(f"d-{group}-{i}", _labels("chat", "Decoder") | grove, conditions)

    whole = _target(hand, graph)
    for reader in (watched, KubernetesCluster(kubernetes_access(hand.cluster.kubeconfig))):
        pools = KubernetesPools(reader, {Role.PREFILL: whole, Role.DECODE: whole}).pools(time.time())
        assert (pools[Role.PREFILL].desired, pools[Role.PREFILL].ready) == (1, 1)
        assert (pools[Role.DECODE].desired, pools[Role.DECODE].ready) == (2, 1)
        assert len(pools[Role.DECODE].starting) == 1

    by_adapter = KubernetesPools(watched, {Role.DECODE: _target(hand, adapter)})
    assert by_adapter.pools(time.time())[Role.DECODE].ready == 1


def test_an_older_graph_and_a_leader_worker_set_are_counted(hand: Hand, watched: WatchedCluster) -> None:
    old = dynamo_crds.old_graph(
        "old", {"VllmDecodeWorker": {"componentType": "worker", "subComponentType": "decode", "replicas": 1}}
    )
    hand.create(old)
    hand.pod("o", _labels("old", "VllmDecodeWorker"))
    wide = dynamo_crds.leader_worker_set("wide", 2, size=2, gpus=4)
    hand.create(wide)
    hand.status(wide, {"hpaPodSelector": "leaderworkerset.sigs.k8s.io/worker-index=0", "replicas": 2})
    for group, i in ((0, 0), (0, 1), (1, 0)):
        labels = {
            "leaderworkerset.sigs.k8s.io/name": "wide",
            "leaderworkerset.sigs.k8s.io/group-index": str(group),
            "leaderworkerset.sigs.k8s.io/worker-index": str(i),
        }
        hand.pod(f"w-{group}-{i}", labels, annotations={"leaderworkerset.sigs.k8s.io/size": "2"})

    found = KubernetesPools(watched, {Role.DECODE: _target(hand, old), Role.PREFILL: _target(hand, wide)})

    pools = found.pools(time.time())
    assert (pools[Role.DECODE].desired, pools[Role.DECODE].ready) == (1, 1)
    assert (pools[Role.PREFILL].ready, len(pools[Role.PREFILL].starting)) == (1, 1)


def test_a_kind_of_ones_own_is_counted_by_its_scale_and_the_labels_that_are_stated(
    hand: Hand, watched: WatchedCluster
) -> None:
    fleet = dynamo_crds.fleet("own", 2)
    hand.create(fleet)
    hand.pod("a", {"pool": "own"})
    owner = _target(hand, fleet).owner

    seen = KubernetesPools(watched, {Role.DECODE: PoolTarget(owner, pods="pool in (own)")})
    pool = seen.pools(time.time())[Role.DECODE]
    assert (pool.desired, pool.ready, len(pool.starting)) == (2, 1, 1)

    hand.status(fleet, {"replicas": 2, "readyReplicas": 2, "selector": "no=such"})
    wait_until(
        "the status is seen", lambda: "state `target.pods`" in _told(watched, PoolTarget(owner)), timeout_s=15
    )


def _told(reader: WatchedCluster, target: PoolTarget) -> str:
    try:
        KubernetesPools(reader, {Role.DECODE: target}).pools(time.time())
    except ObserveError as error:
        return str(error)
    return ""


def test_what_keeps_pods_from_starting_is_told_by_kind(hand: Hand, watched: WatchedCluster) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 6)
    owner = hand.create(made)
    labels = {"app": "decode"}
    hand.pod("hour", labels, [unschedulable(NO_NODE, 3600)], phase="Pending")
    full = hand.pod("full", labels, [unschedulable(NO_NODE, 120)], phase="Pending")
    hand.event(
        {**full, "kind": "Pod"},
        "NotTriggerScaleUp",
        "pod didn't trigger scale-up: 1 max node group size reached",
    )
    crash = {"reason": "CrashLoopBackOff", "message": "back-off"}
    container = {
        "name": "engine",
        "image": "e",
        "imageID": "",
        "ready": False,
        "restartCount": 8,
        "state": {"waiting": crash},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    hand.pod("loop", labels, UNREADY, containerStatuses=[container])
    pull = {
        **container,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "e:9"}},
    }
    hand.pod("pull", labels, UNREADY, containerStatuses=[pull])
    hand.event(
        {**owner, "kind": "ReplicaSet", "metadata": {**owner["metadata"], "name": "decode-5d4f"}},
        "FailedCreate",
        'pods "decode-x" is forbidden: exceeded quota: gpus, requested: 4, used: 16, limited: 16',
    )

    pools = KubernetesPools(watched, {Role.DECODE: _target(hand, made)})
    seen = _until(pools, lambda pool: sum(s.stuck is not None for s in pool.starting) == 6)

    told = {s.obstacle: s.stuck or "" for s in seen.starting}
    assert sorted(s.obstacle or "" for s in seen.starting) == [
        Obstacle.CAPACITY,
        Obstacle.CRASH_LOOP,
        Obstacle.IMAGE,
        Obstacle.QUOTA,
        Obstacle.QUOTA,
        Obstacle.UNSCHEDULABLE,
    ]
    assert told[Obstacle.UNSCHEDULABLE] == NO_NODE
    assert "OOMKilled, exit code 137" in told[Obstacle.CRASH_LOOP]
    assert "exceeded quota: gpus" in told[Obstacle.QUOTA]
    assert seen.counted(time.time(), 3600.0) == 0


def test_a_rollout_holds_its_component_alone(hand: Hand, watched: WatchedCluster) -> None:
    graph = dynamo_crds.graph(
        "roll",
        [dynamo_crds.component("Prefiller", "prefill", 3), dynamo_crds.component("Decoder", "decode", 2)],
    )
    hand.create(graph)
    steady = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3}
    rolling = {"replicas": 2, "updatedReplicas": 1, "readyReplicas": 2}
    hand.status(graph, {"components": {"Prefiller": steady, "Decoder": rolling}})
    for name, component in (("p0", "Prefiller"), ("p1", "Prefiller"), ("p2", "Prefiller"), ("d0", "Decoder")):
        hand.pod(name, _labels("roll", component))
    whole = _target(hand, graph)

    pools = KubernetesPools(watched, {Role.PREFILL: whole, Role.DECODE: whole}).pools(time.time())

    assert not pools[Role.PREFILL].rollout_in_progress
    assert pools[Role.DECODE].rollout_in_progress
    assert pools[Role.DECODE].why == "1 of 2 replicas are of the newest template"


def test_annotations_on_graph_and_adapter_are_obeyed(hand: Hand, watched: WatchedCluster) -> None:
    graph = dynamo_crds.graph(
        "kept",
        [
            dynamo_crds.component("Prefiller", "prefill", 1),
            dynamo_crds.component("Decoder", "decode", 1, scalingAdapter={}),
        ],
    )
    adapter = dynamo_crds.adapter("kept", "Decoder", 1)
    hand.create(graph)
    hand.create(adapter)
    whole = _target(hand, graph)
    pools = KubernetesPools(watched, {Role.PREFILL: whole, Role.DECODE: whole})

    hand.annotate(graph, pinned_replicas="prefill=4", paused_scale_in="decode")
    hand.annotate(adapter, paused_scale_out="true")
    decode = _until(pools, lambda pool: pool.paused_scale_out and pool.paused_scale_in)
    assert decode.pinned_replicas is None
    assert pools.pools(time.time())[Role.PREFILL].pinned_replicas == 4

    hand.annotate(graph, paused="perhaps")
    decode = _until(pools, lambda pool: pool.paused)
    assert "headgate.io/paused says neither true nor false: 'perhaps'" in decode.why
    hand.annotate(graph, paused=None)
    _until(pools, lambda pool: not pool.paused)


def test_a_target_that_is_deleted_or_made_anew_is_said_so_and_nothing_is_counted(
    hand: Hand, watched: WatchedCluster
) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 1)
    hand.create(made)
    hand.pod("a", {"app": "decode"})
    target = _target(hand, made)
    pools = KubernetesPools(watched, {Role.DECODE: target})
    before = pools.pools(time.time())[Role.DECODE]
    assert before.ready == 1

    hand.delete(made)
    wait_until("the target is gone", lambda: "there is no Deployment" in _told(watched, target), timeout_s=15)

    time.sleep(1.1)  # creation times are whole seconds
    hand.create(made)
    hand.status(made, {"observedGeneration": 1})  # of no replicas yet: 0 is left out
    wait_until("it is there again", lambda: not _told(watched, target), timeout_s=15)
    after = _until(pools, lambda pool: "was made anew" in pool.why)
    assert after.uid != before.uid
    assert after.rollout_in_progress
    assert "1 pods of the earlier one are still there" in after.why


def test_a_remark_tells_once_that_a_target_was_made_anew(hand: Hand, client: KubernetesCluster) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 1)
    hand.create(made)
    pools = KubernetesPools(client, {Role.DECODE: _target(hand, made)})
    pools.pools(time.time())
    hand.delete(made)
    hand.create(made)

    pools.pools(time.time())
    assert [gap.what for gap in pools.gaps()] == ["pool of decode"]
    assert "was deleted and made anew since the last look" in pools.gaps()[0].reason
    pools.pools(time.time())
    assert pools.gaps() == ()


def test_a_missing_right_is_named_and_only_events_can_be_done_without(hand: Hand) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 1)
    hand.create(made)
    hand.pod("a", {"app": "decode"})
    names = ["decode"]
    owner = {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get"]}
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    named = {**owner, "resourceNames": names}
    target = {Role.DECODE: _target(hand, made)}

    enough = hand.cluster.make_service_account(hand.namespace, "enough", [named, pods])
    reader = WatchedCluster(KubernetesCluster(kubernetes_access(enough)))
    pools = KubernetesPools(reader, target)
    assert pools.pools(time.time())[Role.DECODE].ready == 1
    assert [gap.what for gap in pools.gaps()] == ["events of decode"]
    reader.stop()

    less = hand.cluster.make_service_account(hand.namespace, "less", [named])
    reader = WatchedCluster(KubernetesCluster(kubernetes_access(less)))
    with pytest.raises(ObserveError, match=r"decode pool cannot be seen: .*pods is forbidden.*HTTP 403"):
        KubernetesPools(reader, target).pools(time.time())
    reader.stop()


def test_a_change_is_seen_within_a_second(hand: Hand, watched: WatchedCluster) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 1)
    hand.create(made)
    pools = KubernetesPools(watched, {Role.DECODE: _target(hand, made)})
    pools.pools(time.time())
    delays = []
    for replicas in range(2, 8):
        begun = time.monotonic()
        hand.scale(made, replicas)
        while pools.pools(time.time())[Role.DECODE].desired != replicas:
            assert time.monotonic() - begun < 10
            time.sleep(0.005)
        delays.append(time.monotonic() - begun)
    assert sorted(delays)[len(delays) // 2] < 1.0
