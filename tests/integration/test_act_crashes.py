"""A change of two roles is never left half applied unnoticed: a successor finishes it or rolls it back."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.decision import Status
from models.stock import GpuLimit
from models.values import Role
from planner.act.intent import ABANDON_S, FINISH_S, WORKING_S
from planner.cluster.needs import Rule, scaling_rules
from tests import acting, builders
from tests.acting import DECODE, PREFILL, Breaking, Killed, StillClock
from tests.components import REPOSITORY
from tests.integration import dynamo_crds as crds
from tests.integration.kube_cluster import Cluster
from tests.integration.test_acting import Stage

pytestmark = pytest.mark.integration

BEFORE = {PREFILL: 2, DECODE: 4}
MOVE = {PREFILL: 6, DECODE: 3}
MORE = {PREFILL: 3, DECODE: 5}
LESS = {PREFILL: 1, DECODE: 3}
PREFILL_SCALE = ("deployments/scale", ("prefill",))
# Announce, first role, second role, remove.
CHANGES = 4


@pytest.fixture
def pair(cluster: Cluster) -> Stage:
    crds.install(cluster)
    stage = Stage(cluster, cluster.make_namespace("crash"))
    stage.pool(PREFILL, crds.workload("Deployment", "prefill", 2, gpus=1))
    stage.pool(DECODE, crds.workload("Deployment", "decode", 4, gpus=4))
    return stage


def die(pair: Stage, after: dict[Role, int], at: int, sent: bool) -> None:
    dying = Breaking(pair.account(), at, sent)
    with pytest.raises(Killed):
        pair.act(BEFORE, after, cluster=dying, holder="pod-a")


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CHANGES + 1))
def test_a_successor_brings_to_an_end_what_was_begun_wherever_it_broke_off(
    pair: Stage, at: int, sent: bool
) -> None:
    die(pair, MOVE, at, sent)
    left = pair.counts()
    # The GPUs of the move are counted for both at no moment: downs come first.
    assert left[PREFILL] + 4 * left[DECODE] <= 18
    counting = Breaking(pair.account())
    later = StillClock(builders.AT_S + WORKING_S + 1.0)

    outcome = pair.act(left, left, cluster=counting, holder="pod-b", clock=later)

    assert pair.intent() is None
    assert pair.counts() in (BEFORE, MOVE)
    half = left not in (BEFORE, MOVE)
    assert (outcome.status is Status.APPLIED) is half
    if half:
        assert pair.counts() == MOVE
        assert "finished: 16 s old" in outcome.detail
    # Once it is settled the next tick has nothing to do with it.
    again = pair.act(pair.counts(), pair.counts(), cluster=counting, holder="pod-b", clock=later)
    assert (again.status, again.detail) == (Status.UNCHANGED, "")


def test_another_process_that_may_still_be_at_it_is_left_alone(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)
    half = pair.counts()

    soon = StillClock(builders.AT_S + WORKING_S - 1.0)
    outcome = pair.act(half, {PREFILL: 5, DECODE: 3}, holder="pod-b", clock=soon)

    assert outcome.status is Status.HELD
    assert "pod-a may still be at it" in outcome.detail
    assert pair.counts() == half
    assert pair.intent() is not None


def test_the_same_process_finishes_its_own_at_once(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)

    outcome = pair.act(pair.counts(), pair.counts(), holder="pod-a")

    assert outcome.status is Status.APPLIED
    assert pair.counts() == MOVE


@pytest.mark.parametrize("after", [MOVE, MORE, LESS], ids=["move", "more", "less"])
def test_an_old_half_change_gives_back_what_it_took_and_takes_nothing(
    pair: Stage, after: dict[Role, int]
) -> None:
    die(pair, after, 3, sent=False)
    half = pair.counts()
    assert half not in (BEFORE, after)

    late = StillClock(builders.AT_S + FINISH_S + 1.0)
    outcome = pair.act(half, half, holder="pod-b", clock=late)

    assert pair.intent() is None
    settled = pair.counts()
    assert all(settled[role] >= half[role] for role in settled)
    assert settled == (half if after is MORE else BEFORE), outcome.detail


def test_a_change_that_a_person_took_over_is_let_go(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)
    pair.set(PREFILL, 4)
    later = StillClock(builders.AT_S + WORKING_S + 1.0)

    outcome = pair.act(pair.counts(), pair.counts(), holder="pod-b", clock=later)

    assert "let go: prefill is 4 by now" in outcome.detail
    assert pair.counts() == {PREFILL: 4, DECODE: 3}
    assert pair.intent() is None


def test_a_half_change_of_a_paused_role_is_not_finished(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)
    pair.annotate(PREFILL, paused="true")
    later = StillClock(builders.AT_S + WORKING_S + 1.0)

    outcome = pair.act(pair.counts(), pair.counts(), holder="pod-b", clock=later)

    assert "prefill is held at 2: paused" in outcome.detail
    assert pair.counts() == {PREFILL: 2, DECODE: 3}
    assert pair.intent() is None


def test_a_half_change_whose_rest_is_refused_for_good_does_not_hold_up_decisions(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)
    later = StillClock(builders.AT_S + WORKING_S + 1.0)
    rules = [rule for rule in scaling_rules(pair.targets) if (rule.resource, rule.names) != PREFILL_SCALE]
    reads = Rule(pair.namespace, "apps", "deployments/scale", ("get",))
    account = pair.account([*rules, reads])

    outcome = pair.act(pair.counts(), pair.counts(), cluster=account, holder="pod-b", clock=later)
    assert "lacks" in outcome.detail
    assert pair.intent() is None

    again = pair.act(pair.counts(), {PREFILL: 2, DECODE: 4}, cluster=account, holder="pod-b", clock=later)
    assert again.status is Status.APPLIED
    assert pair.counts() == BEFORE


def test_an_intent_that_nobody_can_read_is_removed_and_reported(pair: Stage) -> None:
    pair.annotate(PREFILL, intent="{")

    outcome = pair.act(BEFORE, BEFORE)

    assert "cannot be read" in outcome.detail
    assert pair.intent() is None


def test_a_settled_change_that_moved_nothing_lets_this_ticks_decision_go_on(pair: Stage) -> None:
    die(pair, MOVE, 1, sent=True)
    later = StillClock(builders.AT_S + WORKING_S + 1.0)

    outcome = pair.act(BEFORE, MORE, holder="pod-b", clock=later)

    assert outcome.status is Status.APPLIED
    assert "withdrawn: none of it was applied" in outcome.detail
    assert pair.counts() == MORE


def test_of_two_leaders_for_a_moment_one_alone_changes_anything(pair: Stage) -> None:
    other = acting.actuator(pair.account(), pair.targets, holder="pod-b")
    outcomes = []

    def meanwhile(number: int) -> None:
        if number == 1:  # the first announces in a moment, and has looked at everything already
            observed = builders.observation(counts=BEFORE)
            outcomes.append(other.act(acting.decision(BEFORE, MORE), observed))

    racing = Breaking(pair.account(), meanwhile=meanwhile)
    outcomes.append(pair.act(BEFORE, MOVE, cluster=racing, holder="pod-a"))

    assert [outcome.status for outcome in outcomes] == [Status.APPLIED, Status.SUPERSEDED]
    assert pair.counts() == MORE
    assert pair.intent() is None


def test_a_leader_that_loses_its_lease_half_way_leaves_the_rest_to_the_next(pair: Stage) -> None:
    counting = Breaking(pair.account())

    outcome = pair.act(BEFORE, MOVE, cluster=counting, holder="pod-a", leading=lambda: counting.changes < 2)

    half = {PREFILL: 2, DECODE: 3}
    assert pair.counts() == half
    assert "another process leads" in outcome.detail
    later = StillClock(builders.AT_S + WORKING_S + 1.0)
    assert pair.act(half, half, holder="pod-b", clock=later).status is Status.APPLIED
    assert pair.counts() == MOVE


@pytest.mark.parametrize("sent", [False, True], ids=["lost on the way", "answer lost"])
@pytest.mark.parametrize("at", range(1, CHANGES + 1))
def test_a_time_out_at_any_step_is_read_again_and_the_fleet_ends_up_whole(
    pair: Stage, at: int, sent: bool
) -> None:
    failing = Breaking(pair.account(), at, sent, acting.no_answer())
    limits = (GpuLimit(18, frozenset(pair.targets), "budget"),)

    outcome = pair.act(BEFORE, MOVE, cluster=failing, holder="pod-a", limits=limits)

    whole = at == CHANGES or (sent and at > 1)
    assert outcome.status is (Status.APPLIED if whole else Status.FAILED), outcome.detail
    if sent and at in (2, 3):
        assert "as reading it again shows" in outcome.detail
    left = pair.counts()
    assert left[PREFILL] + 4 * left[DECODE] <= 18
    pair.act(left, left, holder="pod-a")
    assert pair.intent() is None
    assert pair.counts() in (BEFORE, MOVE)


CHILD = """
import os, signal, sys
from pathlib import Path
from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.target import ObjectRef, PoolTarget
from planner.cluster.needs import Rule, scaling_rules
from tests import acting, builders
from tests.acting import DECODE, PREFILL, Breaking

kubeconfig, namespace, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
def kill(number):
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)
names = {PREFILL: "prefill", DECODE: "decode"}
targets = {r: PoolTarget(ObjectRef("apps/v1", "Deployment", n, namespace)) for r, n in names.items()}
cluster = Breaking(KubernetesCluster(kubernetes_access(Path(kubeconfig))), meanwhile=kill)
before, after = {PREFILL: 2, DECODE: 4}, {PREFILL: 6, DECODE: 3}
actuator = acting.actuator(cluster, targets, holder="child")
actuator.act(acting.decision(before, after), builders.observation(counts=before))
kill(cluster.changes + 1)  # all is done, and nothing recorded
"""


@pytest.mark.parametrize(
    ("at", "left", "announced"),
    [
        (1, BEFORE, False),
        (2, BEFORE, True),
        (3, {PREFILL: 2, DECODE: 3}, True),
        (4, MOVE, True),
        (5, MOVE, False),
    ],
    ids=["decided", "announced", "one role patched", "both patched", "not yet recorded"],
)
def test_a_process_killed_between_any_two_steps_is_succeeded(
    pair: Stage, at: int, left: dict[Role, int], announced: bool
) -> None:
    arguments = [str(pair.cluster.kubeconfig), pair.namespace, str(at)]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=Path(REPOSITORY),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert pair.counts() == left
    assert (pair.intent() is not None) is announced
    if announced:
        assert json.loads(pair.intent() or "")["holder"] == "child"

    later = StillClock(builders.AT_S + WORKING_S + 1.0)
    outcome = pair.act(pair.counts(), pair.counts(), holder="successor", clock=later)

    assert ("begun by child" in outcome.detail) is announced, outcome.detail
    # What had moved nothing yet is decided anew; what was half done is finished.
    assert pair.counts() == (MOVE if at > 2 else BEFORE)
    assert pair.intent() is None


def test_what_could_not_be_settled_for_an_hour_no_longer_holds_up_decisions(pair: Stage) -> None:
    die(pair, MOVE, 3, sent=False)
    late = StillClock(builders.AT_S + ABANDON_S + 1.0)

    outcome = pair.act({PREFILL: 2, DECODE: 3}, {PREFILL: 3, DECODE: 3}, holder="pod-b", clock=late)

    assert outcome.status is Status.APPLIED
    assert "let go" in outcome.detail
    assert pair.counts() == {PREFILL: 3, DECODE: 3}
