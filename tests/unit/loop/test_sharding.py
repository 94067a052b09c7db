"""Every deployment is in one shard, always the same, together with those of its pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.sharding import WHOLE, Shard, of_shard

names = st.lists(st.text("abcdefgh-", min_size=1, max_size=12), unique=True, max_size=30)


@given(names, st.integers(1, 8), st.sampled_from([1, 3]))
def test_shards_hold_each_deployment_once_and_pools_whole(names: list[str], count: int, pools: int) -> None:
    def pool(name: str) -> str | None:
        return f"pool{len(name) % pools}" if len(name) % 2 else None

    held = [of_shard(Shard(i, count), names, pool) for i in range(count)]

    assert sorted(name for shard in held for name in shard) == sorted(names)
    for shard in held:
        shared = {pool(name) for name in shard} - {None}
        others = {pool(name) for name in names if name not in shard}
        assert not shared & others


def test_a_name_is_in_the_same_shard_in_every_release() -> None:
    fleet = [f"model-{i}" for i in range(12)]
    assert [of_shard(Shard(i, 3), fleet, lambda _: None) for i in range(3)] == [
        ["model-6", "model-9"],
        ["model-4", "model-10"],
        ["model-0", "model-1", "model-2", "model-3", "model-5", "model-7", "model-8", "model-11"],
    ]


def test_a_large_fleet_is_spread_evenly() -> None:
    fleet = [f"model-{i}" for i in range(400)]
    sizes = [len(of_shard(Shard(i, 4), fleet, lambda _: None)) for i in range(4)]
    assert min(sizes) > 70


def test_each_shard_has_a_lease_of_its_own() -> None:
    assert WHOLE.lease("headgate") == "headgate"
    assert Shard(1, 4).lease("headgate") == "headgate-1-of-4"


@pytest.mark.parametrize("text", ["", "4", "4/4", "0/0", "-1/2", "a/b", "1/2/3", "00001/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"INDEX/COUNT|the last is"):
        Shard.parse(text)
