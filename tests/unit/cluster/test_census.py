"""Replicas are counted from what there is: ready, starting since when, draining, and stuck for a reason."""

from typing import Any

import pytest

from models.observation import Obstacle, PoolState, StartingReplica
from planner.cluster.census import census
from planner.cluster.pauses import Pauses
from planner.cluster.scalable import Change
from tests.unit.cluster.pods import NOW_S, Object, at, container, event, owner, pod, scalable, unscheduled

NO_NODE = "0/9 nodes are available: 9 Insufficient nvidia.com/gpu."


def _pool(
    desired: int, pods: list[Object] | None, events: list[Object] | None = None, size: int = 1, **changed: Any
) -> PoolState:
    status = changed.pop("owner_status", {})
    made = owner(changed.pop("owner_age_s", 86_400.0), **status)
    return census(
        scalable(desired, status=status, **changed), made, pods, events or [], Pauses(), size, NOW_S
    )


def _only(pool: PoolState) -> StartingReplica:
    (one,) = pool.starting
    return one


def test_ready_starting_and_draining_replicas_are_counted_apart() -> None:
    pods = [pod("a"), pod("b"), pod("c", ready=False, age_s=90), pod("d", deleted=True), pod("e")]
    pods[-1]["status"]["phase"] = "Failed"

    pool = _pool(3, pods)

    assert (pool.desired, pool.ready, pool.draining) == (3, 2, 1)
    assert pool.starting == (StartingReplica(NOW_S - 90),)
    assert pool.uid == "owner"


def test_a_pod_created_in_the_future_by_another_clock_starts_now() -> None:
    assert _only(_pool(1, [pod("a", ready=False, age_s=-3600)])).since_s == NOW_S


def test_replicas_without_a_pod_start_when_they_were_asked_for() -> None:
    ordered = Change("headgate", at(20))
    pool = _pool(3, [pod("a")], changed=ordered)
    assert pool.starting == (StartingReplica(NOW_S - 20),) * 2

    late = _pool(2, [pod("a")], changed=Change("headgate", at(300)))
    assert _only(late).obstacle is Obstacle.NOT_CREATED


def test_a_pod_that_waits_for_the_one_before_it_to_go_is_not_refused() -> None:
    pool = _pool(2, [pod("a"), pod("b", deleted=True)], changed=Change("headgate", at(86_000)))

    assert _only(pool) == StartingReplica(NOW_S)
    assert pool.draining == 1


@pytest.mark.parametrize(
    ("message", "obstacle"),
    [
        (
            'pods "d" is forbidden: exceeded quota: gpus, requested: 4, used: 8, limited: 8',
            Obstacle.QUOTA,
        ),
        ('admission webhook "x" denied the request', Obstacle.NOT_CREATED),
    ],
)
def test_pods_that_may_not_be_made_say_why(message: str, obstacle: Obstacle) -> None:
    refused = event("FailedCreate", message, "set", kind="ReplicaSet", name="decode-1")
    by_event = _only(_pool(2, [pod("a")], [refused], changed=Change("headgate", at(500))))
    assert (by_event.obstacle, by_event.since_s) == (obstacle, NOW_S - 500)
    assert by_event.stuck is not None
    assert message[:30] in by_event.stuck

    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": message,
        "lastTransitionTime": at(70),
    }
    by_condition = _only(_pool(1, [], owner_status={"conditions": [condition]}))
    assert (by_condition.obstacle, by_condition.since_s) == (obstacle, NOW_S - 70)


def test_a_refusal_of_another_owner_of_a_like_name_and_one_that_is_over_say_nothing() -> None:
    other = event("FailedCreate", "exceeded quota", "x", kind="ReplicaSet", name="decoder-1")
    over = event("FailedCreate", "exceeded quota", "set", 90, kind="ReplicaSet", name="decode-1")
    made = event("SuccessfulCreate", "Created pod", "set", 10, kind="ReplicaSet", name="decode-1")

    pool = _pool(2, [pod("a")], [other, over, made], changed=Change("headgate", at(20)))

    assert _only(pool).stuck is None


@pytest.mark.parametrize(
    ("words", "obstacle"),
    [
        ("pod didn't trigger scale-up: 3 node(s) didn't match selector", Obstacle.UNSCHEDULABLE),
        ("pod didn't trigger scale-up: 1 max node group size reached", Obstacle.CAPACITY),
        ("Operation could not be completed as it results in exceeding approved Total Cores quota", "quota"),
        ("ZonalAllocationFailed: we do not have sufficient capacity for this VM size", Obstacle.CAPACITY),
    ],
)
def test_what_an_autoscaler_refuses_is_told_by_kind(words: str, obstacle: str) -> None:
    pool = _pool(
        1, [unscheduled("a", NO_NODE, age_s=40)], [event("NotTriggerScaleUp", words, "uid-a", age_s=10)]
    )

    one = _only(pool)
    assert one.obstacle == obstacle
    assert one.stuck is not None
    assert one.stuck.startswith(NO_NODE)


def test_a_pod_whose_node_was_ordered_is_on_its_way_and_one_that_nobody_answers_is_stuck() -> None:
    waiting = unscheduled("a", NO_NODE, age_s=400)
    ordered = event("TriggeredScaleUp", "pod triggered scale-up", "uid-a", age_s=350)
    earlier = event("NotTriggerScaleUp", "in backoff after failed scale-up", "uid-a", age_s=380)

    assert _only(_pool(1, [waiting], [ordered, earlier])) == StartingReplica(NOW_S - 400)
    assert _only(_pool(1, [waiting])).obstacle is Obstacle.UNSCHEDULABLE
    assert _only(_pool(1, [unscheduled("a", NO_NODE, age_s=30)])).stuck is None


@pytest.mark.parametrize(
    ("state", "obstacle", "said"),
    [
        (
            container(
                7,
                waiting={"reason": "CrashLoopBackOff", "message": "back-off 5m0s"},
                last={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            ),
            Obstacle.CRASH_LOOP,
            "restarted 7 times, OOMKilled, exit code 137",
        ),
        (container(4, running={"startedAt": at(5)}), Obstacle.CRASH_LOOP, "restarted 4 times"),
        (
            container(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling engine:9"}),
            Obstacle.IMAGE,
            "engine: ImagePullBackOff: Back-off pulling engine:9",
        ),
        (
            container(waiting={"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}),
            Obstacle.CONTAINER,
            'secret "hf" not found',
        ),
    ],
)
def test_a_container_that_does_not_come_up_says_why(state: Object, obstacle: Obstacle, said: str) -> None:
    one = _only(_pool(1, [pod("a", ready=False, containerStatuses=[state])]))

    assert one.obstacle is obstacle
    assert one.stuck is not None
    assert said in one.stuck


def test_a_container_that_is_being_made_or_ran_for_hours_is_not_stuck() -> None:
    creating = container(waiting={"reason": "ContainerCreating"})
    long_run = {"terminated": {"exitCode": 1, "startedAt": at(90_000), "finishedAt": at(60)}}
    restarted = container(5, running={"startedAt": at(50)}, last=long_run)

    assert _only(_pool(1, [pod("a", ready=False, containerStatuses=[creating])])).stuck is None
    assert _only(_pool(1, [pod("a", ready=False, age_s=90_100, containerStatuses=[restarted])])).stuck is None


def test_a_failing_init_container_is_named() -> None:
    failed = {**container(terminated={"exitCode": 2}), "name": "weights"}

    one = _only(_pool(1, [pod("a", ready=False, initContainerStatuses=[failed])]))

    assert (one.obstacle, one.stuck) == (
        Obstacle.INIT,
        "init container weights: failed with exit code 2",
    )


def test_a_replica_that_lost_its_readiness_starts_from_then_and_is_told_after_a_while() -> None:
    served = pod(
        "a", ready=False, age_s=90_000, containerStatuses=[container(running={"startedAt": at(89_000)})]
    )
    served["status"]["conditions"][1] |= {"lastTransitionTime": at(100), "message": "node is not ready"}

    one = _only(_pool(1, [served]))

    assert (one.since_s, one.obstacle) == (NOW_S - 100, Obstacle.UNREADY)


def _member(group: int, i: int, **stated: Any) -> Object:
    labels = {
        "grove.io/podcliquescalinggroup": "chat-0-decode",
        "grove.io/podcliquescalinggroup-replica-index": str(group),
    }
    return pod(f"g{group}-{i}", labels=labels, **stated)


def test_a_group_of_pods_is_ready_when_all_are_and_starts_with_the_last_one() -> None:
    whole = [_member(0, i) for i in range(3)]
    coming = [
        _member(1, 0),
        _member(1, 1, ready=False, age_s=100),
        _member(1, 2, ready=False, age_s=40),
    ]
    leaving = [_member(2, 0, deleted=True), _member(2, 1, deleted=True), _member(2, 2)]
    partial = [_member(3, i) for i in range(2)]

    pool = _pool(3, [*whole, *coming, *leaving, *partial], size=3)

    assert (pool.ready, pool.draining) == (1, 1)
    assert [(s.since_s, s.obstacle) for s in pool.starting] == [
        (NOW_S - 600, Obstacle.NOT_CREATED),
        (NOW_S - 40, None),
    ]


def test_pods_of_a_leader_worker_set_say_themselves_how_many_make_a_group() -> None:
    def member(i: int) -> Object:
        labels = {
            "leaderworkerset.sigs.k8s.io/name": "d",
            "leaderworkerset.sigs.k8s.io/group-index": "0",
        }
        made = pod(f"d-0-{i}", labels=labels)
        made["metadata"]["annotations"] = {"leaderworkerset.sigs.k8s.io/size": "2"}
        return made

    assert _pool(1, [member(0), member(1)]).ready == 1
    assert _pool(1, [member(0)]).ready == 0


def test_a_rollout_holds_the_pool_and_says_how_far_it_is() -> None:
    behind = _pool(1, [pod("a")], rolling="1 of 3 replicas are of the newest template")
    unseen = _pool(1, [pod("a")], generation=5, observed_generation=4)

    assert (behind.rollout_in_progress, behind.why) == (True, "1 of 3 replicas are of the newest template")
    assert unseen.rollout_in_progress
    assert "generation 5" in unseen.why
    assert not _pool(1, [pod("a")], generation=5, observed_generation=5).rollout_in_progress


def test_pods_of_an_earlier_owner_of_that_name_hold_the_pool() -> None:
    old, new = pod("a", age_s=600), pod("b", ready=False, age_s=5)

    anew = _pool(1, [old, new], owner_age_s=10, owner_status={"replicas": 1})
    adopted = _pool(2, [old, new], owner_age_s=10, owner_status={"replicas": 2})

    assert anew.rollout_in_progress
    assert "made anew, and 1 pods of the earlier one are still there" in anew.why
    assert not adopted.rollout_in_progress


def test_without_a_selector_the_owners_own_count_is_taken() -> None:
    pool = _pool(3, None, owner_status={"readyReplicas": 2}, changed=Change("x", at(30)))

    assert (pool.ready, pool.starting) == (2, (StartingReplica(NOW_S - 30),))


def test_what_a_person_wrote_is_carried_over() -> None:
    said = Pauses(True, True, False, 4, ("paused, as x says neither",))

    pool = census(scalable(1), owner(), [pod("a")], [], said, 1, NOW_S)

    assert (pool.paused, pool.paused_scale_in, pool.paused_scale_out) == (True, True, False)
    assert (pool.pinned_replicas, pool.why) == (4, "paused, as x says neither")
