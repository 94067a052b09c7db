"""Without the lease nothing is changed, whatever was decided before it was lost."""

import pytest

from models.decision import Decision, Outcome, Status
from models.errors import ClusterError
from models.observation import Observation
from models.values import Role
from planner.cluster.counted import CountedCluster
from planner.leader.guard import LeasedActuator, LeasedCluster
from tests import builders
from tests.unit.leader.fake_lease import LeaseServer

COUNTS = {Role.PREFILL: 2, Role.DECODE: 1}
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}


class Acting:
    def __init__(self) -> None:
        self.acted = 0

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        self.acted += 1
        return Outcome(Status.APPLIED)


def test_a_decision_is_carried_out_only_with_the_lease() -> None:
    acting, leads = Acting(), True
    leased = LeasedActuator(acting, lambda: leads)
    decision, seen = Decision(COUNTS, COUNTS, COUNTS), builders.observation()

    assert leased.act(decision, seen).status is Status.APPLIED
    leads = False
    assert leased.act(decision, seen).status is Status.SUPERSEDED
    assert acting.acted == 1


def test_writes_stop_where_the_lease_is_lost_and_reads_go_on() -> None:
    server, leads = LeaseServer(), True
    cluster = LeasedCluster(server, lambda: leads)
    cluster.create(MANIFEST)
    leads = False

    for write in (
        lambda: cluster.create(MANIFEST),
        lambda: cluster.patch(MANIFEST),
        lambda: cluster.patch_json(("v1", "ConfigMap", "a", "n"), []),
        lambda: cluster.delete("v1", "ConfigMap", "a", "n"),
    ):
        with pytest.raises(ClusterError, match="another process leads") as refused:
            write()
        assert refused.value.status == 409
    assert cluster.get("v1", "ConfigMap", "a", "n") is not None
    assert server.requests == ["create", "get"]


def test_requests_are_counted_by_verb_and_status() -> None:
    counted: list[tuple[str, int]] = []
    cluster = CountedCluster(LeaseServer(), lambda verb, status: counted.append((verb, status)))

    cluster.create(MANIFEST)
    with pytest.raises(ClusterError):
        cluster.create(MANIFEST)
    cluster.get("v1", "ConfigMap", "a", "n")

    assert counted == [("create", 201), ("create", 409), ("get", 200)]
