"""A cluster that goes away, falls silent or forgets is not counted from memory for long."""

import signal
import time
from collections.abc import Iterator

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.errors import ObserveError
from models.observation import PoolState
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.observe.kubernetes import KubernetesPools
from planner.observe.watched import WatchedCluster
from planner.observe.watching import FAILING_S, SILENT_S, Watched
from tests.integration import dynamo_crds, kube_apiserver
from tests.integration.kube_apiserver import Servers
from tests.integration.kube_objects import Hand
from tests.integration.loopback import wait_until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(170),
    # Of a server that was killed, the HTTP library leaves a socket to the garbage collector now and then.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket"),
]


class Later:
    """A clock that can be set ahead, so that a test need not wait for what grows old."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with kube_apiserver.servers(tmp_path_factory.mktemp("outages")) as running:
        yield running


@pytest.fixture
def hand(broken: Servers) -> Hand:
    made = Hand(broken.cluster, broken.cluster.make_namespace("outages"))
    made.create(dynamo_crds.workload("Deployment", "decode", 2))
    made.pod("a", {"app": "decode"})
    return made


class Pools:
    """The pools of a Deployment, seen through watches whose clock can be set ahead."""

    def __init__(self, hand: Hand) -> None:
        self.clock = Later()
        cluster = KubernetesCluster(kubernetes_access(hand.cluster.kubeconfig), read_s=3.0)
        self.reader = WatchedCluster(cluster, lambda kind: Watched(cluster, kind, self.clock))
        of = ObjectRef("apps/v1", "Deployment", "decode", hand.namespace)
        self.source = KubernetesPools(self.reader, {Role.DECODE: PoolTarget(of)})

    def look(self) -> PoolState:
        return self.source.pools(time.time())[Role.DECODE]

    def doubted(self) -> bool:
        self.look()
        return bool(self.source.gaps())

    def told(self) -> str:
        try:
            self.look()
        except ObserveError as error:
            return str(error)
        return ""


@pytest.fixture
def pools(hand: Hand) -> Iterator[Pools]:
    made = Pools(hand)
    yield made
    made.reader.stop()


def test_an_api_server_that_is_killed_and_comes_back_is_told_and_then_seen_anew(
    broken: Servers, hand: Hand, pools: Pools
) -> None:
    deployment = dynamo_crds.workload("Deployment", "decode", 2)
    assert (pools.look().desired, pools.look().ready) == (2, 1)

    broken.kill_apiserver()
    try:
        wait_until("the watches notice", pools.doubted, timeout_s=20)
        assert {gap.what for gap in pools.source.gaps()} == {"cluster"}
        assert "s old" in pools.source.gaps()[0].reason
        pools.clock.ahead_s += FAILING_S + 1
        assert "s old, and nobody answers now" in pools.told()
    finally:
        broken.start_apiserver()

    hand.scale(deployment, 5)
    hand.end("a")
    wait_until("the pool is seen anew", lambda: not pools.told() and pools.look().desired == 5, timeout_s=40)
    seen = pools.look()
    assert (seen.ready, len(seen.starting)) == (0, 5)
    wait_until("nothing is old", lambda: not pools.doubted(), timeout_s=40)


def test_a_server_that_hangs_is_not_believed_for_longer_than_a_silent_watch_may_be(
    broken: Servers, pools: Pools
) -> None:
    assert pools.look().ready == 1

    broken.apiserver.process.send_signal(signal.SIGSTOP)
    try:
        assert pools.look().ready == 1
        pools.clock.ahead_s += SILENT_S + 1
        assert "their watch has fallen silent" in pools.told()
    finally:
        broken.apiserver.process.send_signal(signal.SIGCONT)


def test_a_process_that_starts_while_the_store_hangs_counts_nothing(broken: Servers, hand: Hand) -> None:
    fresh = Pools(hand)
    broken.pause_etcd()
    try:
        assert "the decode pool cannot be seen" in fresh.told()
    finally:
        broken.resume_etcd()
    wait_until("the store answers", lambda: not fresh.told(), timeout_s=40)
    assert fresh.look().ready == 1
    fresh.reader.stop()
