"""A watch that is refused, forgotten or cut is taken up again, and misses nothing that happened meanwhile."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.observe.kubernetes import KubernetesPools
from planner.observe.watched import WatchedCluster
from tests.integration import dynamo_crds
from tests.integration.faulty_proxy import Cut, Fault, FaultyProxy, refusal
from tests.integration.kube_cluster import Cluster
from tests.integration.kube_objects import Hand
from tests.integration.loopback import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

READING = {"verbs": ["get", "list", "watch"]}
WATCH = "watch="


@pytest.fixture
def hand(cluster: Cluster) -> Hand:
    dynamo_crds.install(cluster)
    return Hand(cluster, cluster.make_namespace("faults"))


@pytest.fixture
def proxy(hand: Hand) -> Iterator[FaultyProxy]:
    with FaultyProxy(hand.cluster.url, hand.cluster.folder / "ca.crt").running() as running:
        yield running


def _through(hand: Hand, proxy: FaultyProxy, folder: Path) -> KubernetesCluster:
    rules = [
        {**READING, "apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"]},
        {**READING, "apiGroups": [""], "resources": ["pods", "events"]},
    ]
    plain = json.loads(hand.cluster.make_service_account(hand.namespace, "watcher", rules).read_text())
    plain["clusters"][0]["cluster"] = {"server": proxy.url}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(plain))
    return KubernetesCluster(kubernetes_access(path))


def _gone() -> Fault:
    """Say 410 within the stream, as a server does that has compacted what was asked for."""
    status: dict[str, Any] = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    return Fault(status=200, body=json.dumps({"type": "ERROR", "object": status}) + "\n")


@pytest.mark.parametrize(
    "fault",
    [
        refusal(410, "too old resource version"),
        _gone(),
        refusal(429, "too many requests", Retry_After="1"),
        refusal(500, "etcdserver: leader changed"),
        Fault(cut=Cut.BEFORE),
        Fault(cut=Cut.WITHIN),
    ],
    ids=["410", "410 in the stream", "429", "500", "cut before", "cut within"],
)
def test_what_happened_while_a_watch_was_broken_is_seen(
    hand: Hand, proxy: FaultyProxy, tmp_path: Path, fault: Fault
) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 2)
    hand.create(made)
    hand.pod("a", {"app": "decode"})
    broken = Fault(**{name: getattr(fault, name) for name in Fault.__dataclass_fields__})
    broken.path, broken.times = WATCH, 6
    with proxy.broken(broken):
        reader = WatchedCluster(_through(hand, proxy, tmp_path))
        of = ObjectRef("apps/v1", "Deployment", "decode", hand.namespace)
        pools = KubernetesPools(reader, {Role.DECODE: PoolTarget(of)})
        assert pools.pools(time.time())[Role.DECODE].ready == 1
        hand.scale(made, 3)
        hand.end("a")
        hand.pod("b", {"app": "decode"})
        hand.pod("c", {"app": "decode"})

        def caught_up() -> bool:
            seen = pools.pools(time.time())[Role.DECODE]
            return (seen.desired, seen.ready, len(seen.starting)) == (3, 2, 1)

        wait_until("what happened is seen", caught_up, timeout_s=40)
        reader.stop()


def test_an_idle_look_asks_the_server_for_nothing(hand: Hand, proxy: FaultyProxy, tmp_path: Path) -> None:
    made = dynamo_crds.workload("Deployment", "decode", 2)
    hand.create(made)
    reader = WatchedCluster(_through(hand, proxy, tmp_path))
    of = ObjectRef("apps/v1", "Deployment", "decode", hand.namespace)
    pools = KubernetesPools(reader, {Role.DECODE: PoolTarget(of)})
    pools.pools(time.time())
    # Its owner, its pods, and Events about them.
    wait_until("all are watched", lambda: sum(WATCH in path for _, path in proxy.came) == 3, timeout_s=15)
    asked = len(proxy.came)

    for _ in range(100):
        pools.pools(time.time())
    assert len(proxy.came) == asked

    hand.scale(made, 3)
    wait_until("the change is seen", lambda: pools.pools(time.time())[Role.DECODE].desired == 3, timeout_s=15)
    # Only the Scale of what changed is read again.
    assert [path.rpartition("/")[2] for _, path in proxy.came[asked:]] == ["scale"]
    reader.stop()
