"""A file can state the pools where no cluster is asked."""

import json
from pathlib import Path

import pytest

from config.clusterstate import read_cluster_state
from models.errors import ObserveError, StateError
from models.observation import PoolState, StartingReplica
from models.values import Role
from planner.observe.statefile import AtFloors, StateFile

NOW_S = 1_800_000_000.0


def read(folder: Path, text: str, deployment: str = "shop") -> dict[Role, PoolState]:
    file = folder / "state.yaml"
    file.write_text(text)
    return read_cluster_state(file, deployment, NOW_S)


def test_a_count_alone_is_a_settled_pool(tmp_path: Path) -> None:
    pools = read(tmp_path, "pools: {prefill: {replicas: 12}, decode: {ready: 2}}")

    assert pools == {Role.PREFILL: PoolState(12, 12), Role.DECODE: PoolState(2, 2)}


def test_everything_that_a_pool_can_be_is_read(tmp_path: Path) -> None:
    text = """
    pools:
      decode:
        replicas: 9
        ready: 5
        starting:
          - {since: 2027-01-15T07:59:00Z, stuck: no quota}
          - {since: 90s}
          - {}
        draining: 2
        paused: true
        paused_scale_in: true
        paused_scale_out: true
        pinned: 4
        rollout: true
    """

    assert read(tmp_path, text)[Role.DECODE] == PoolState(
        desired=9,
        ready=5,
        starting=(
            StartingReplica(NOW_S - 60, "no quota"),
            StartingReplica(NOW_S - 90),
            StartingReplica(NOW_S),
        ),
        draining=2,
        rollout_in_progress=True,
        paused=True,
        pinned_replicas=4,
        paused_scale_in=True,
        paused_scale_out=True,
    )


def test_a_count_of_starting_replicas_is_enough(tmp_path: Path) -> None:
    pool = read(tmp_path, "pools: {decode: {replicas: 5, starting: 2}}")[Role.DECODE]

    assert (pool.desired, pool.ready, len(pool.starting)) == (5, 3, 2)


def test_json_is_read_as_well(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps({"pools": {"aggregated": {"replicas": 3}}})) == {
        Role.AGGREGATED: PoolState(3, 3)
    }


def test_several_deployments_share_a_file(tmp_path: Path) -> None:
    text = "deployments: {shop: {pools: {aggregated: {ready: 1}}}, chat: {pools: {aggregated: {ready: 2}}}}"

    assert read(tmp_path, text, "chat")[Role.AGGREGATED].ready == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "pools: {prefil: {ready: 1}}",
            r"state\.yaml:1: `pools\.prefil` is no role; did you mean `prefill`\?",
        ),
        ("pools: {prefill: {redy: 1}}", r"unknown key `pools\.prefill\.redy`; did you mean `ready`\?"),
        ("pols: {prefill: {ready: 1}}", r"unknown key `pols`; did you mean `pools`\?"),
        (
            "pools: {prefill: {ready: 1, starting: [{sinc: 9s}]}}",
            r"unknown key `pools\.prefill\.starting\.0\.sinc`; did you mean `since`\?",
        ),
        ("deployments: {shop: {pool: {}}}", r"unknown key `deployments\.shop\.pool`; did you mean `pools`\?"),
        ("deployments: {chat: {pools: {decode: {ready: 1}}}}", "has no deployment 'shop'; it holds chat"),
        ("pools: {prefill: {ready: -1}}", r"`pools\.prefill\.ready`"),
        ("pools: {prefill: {}}", r"`pools\.prefill`: says nothing: give `replicas`"),
        ("pools: {prefill: {ready: 1, starting: [{since: 2027-01-15T08:00:00}]}}", "has no time zone"),
        ("pools: {prefill: {ready: 1, starting: [{since: soon}]}}", "'soon' is not a duration"),
        ("pools: {prefill: {ready: 1}}\ndeployments: {}", "holds either `pools` or `deployments`"),
        ("", r"state\.yaml: is empty; a cluster state is a mapping such as"),
        ("- 1", r"state\.yaml:1: is a list; a cluster state is a mapping such as"),
        ("pools: {prefill: {ready: 100001}}", r"`pools\.prefill\.ready`: .*less than or equal to 100000"),
        ("pools: [", r"state\.yaml:\d: is not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(StateError, match=said):
        read(tmp_path, text)


def test_a_missing_file_is_an_observation_that_failed_not_a_fleet_of_none(tmp_path: Path) -> None:
    file = tmp_path / "absent.yaml"
    source = StateFile(lambda now_s: read_cluster_state(file, "shop", now_s), frozenset({Role.DECODE}))

    with pytest.raises(ObserveError, match=r"cluster state .*absent\.yaml: no such file"):
        source.pools(NOW_S)


def test_pools_that_are_not_those_planned_are_refused() -> None:
    source = StateFile(lambda _: {Role.AGGREGATED: PoolState(1, 1)}, frozenset({Role.PREFILL, Role.DECODE}))

    with pytest.raises(
        ObserveError, match="has the pools aggregated, but the configuration plans decode, prefill"
    ):
        source.pools(NOW_S)


def test_without_a_file_pools_stand_at_their_floors() -> None:
    assert AtFloors({Role.DECODE: 3}).pools(NOW_S) == {Role.DECODE: PoolState(3, 3)}
