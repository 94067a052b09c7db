"""Measurements in ConfigMaps: safe as soon as they are made, split before they are too large, one writer."""

import pytest

from models.errors import ClusterError, InputError, MeasureError
from models.values import Role
from profiler.cluster import Manifest
from profiler.jobs.manifests import page_manifests
from profiler.jobs.pages import MOST_BYTES, Pages, entries_of, page_data, pages_needed, replicas_of, swept_of
from profiler.measure.deployed.handover import HandedOverError
from tests.unit.deployed.fake_cluster import FakeClock, FakeCluster
from tests.unit.jobs.sweeps import REPLICA, TP1, TP4, entry, inputs, swept


def opened(cluster: FakeCluster, writer: str = "pod-a", pages: int = 1) -> Pages:
    """Open shard 0's pages as a pod does."""
    clock = FakeClock()
    found = [held(cluster, f"small-0-page-{page}") for page in range(pages)]
    return Pages(cluster, found, held(cluster, "small-0-result"), writer, 30.0, clock, clock.sleep)


def held(cluster: FakeCluster, name: str) -> Manifest:
    found = cluster.get("v1", "ConfigMap", name, "lab")
    assert found is not None
    return found


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    for manifest in page_manifests(inputs(1), []):
        made.create(manifest)
    return made


def test_a_point_is_in_the_cluster_when_add_returns(cluster: FakeCluster) -> None:
    opened(cluster).add(entry(16))

    assert entries_of(held(cluster, "small-0-page-0")) == [entry(16)]


def test_a_successor_reads_every_point_of_its_predecessor(cluster: FakeCluster) -> None:
    first = opened(cluster)
    first.add(entry(16))
    first.keep(Role.PREFILL, TP1, REPLICA)
    first.add(entry(32))

    second = opened(cluster, "pod-b")

    assert second.read() == {each.point: each for each in (entry(16), entry(32))}
    assert second.recall(Role.PREFILL, TP1) == REPLICA
    second.add(entry(64))
    assert [each.point.tokens for each in entries_of(held(cluster, "small-0-page-0"))] == [16, 32, 64]


def test_a_pod_that_was_replaced_is_stopped_at_its_next_point(cluster: FakeCluster) -> None:
    first = opened(cluster)
    second = opened(cluster, "pod-b")

    with pytest.raises(HandedOverError, match="pod pod-b has taken this shard over from pod-a"):
        first.add(entry(16))

    second.add(entry(32))
    assert [each.point.tokens for each in entries_of(held(cluster, "small-0-page-0"))] == [32]


def test_a_write_whose_answer_was_lost_is_not_taken_for_anothers(cluster: FakeCluster) -> None:
    pages = opened(cluster)
    # The patch arrives and raises the version, its answer does not, and the second try conflicts.
    page = held(cluster, "small-0-page-0")
    cluster.patch({**page, "metadata": {"name": "small-0-page-0", "namespace": "lab"}})

    pages.add(entry(16))

    assert entries_of(held(cluster, "small-0-page-0")) == [entry(16)]


def test_an_api_server_that_is_away_for_a_while_loses_nothing(cluster: FakeCluster) -> None:
    pages = opened(cluster)
    cluster.failures = [ClusterError("connection refused")] * 5

    pages.add(entry(16))

    assert len(entries_of(held(cluster, "small-0-page-0"))) == 1


def test_pages_that_were_deleted_end_the_pod(cluster: FakeCluster) -> None:
    pages = opened(cluster)
    cluster.delete("v1", "ConfigMap", "small-0-page-0", "lab")

    with pytest.raises(MeasureError, match="the sweep was ended"):
        pages.add(entry(16))


def test_as_many_points_as_were_planned_fit_into_the_pages_that_were_made() -> None:
    points = 4_000
    entries = [entry(1 / 3 + number, TP4, seconds=1 / 7) for number in range(points)]

    pages = page_data(entries, {(Role.PREFILL, TP4): REPLICA})

    assert len(pages) <= pages_needed(points)
    assert len(pages) > 1
    assert all(sum(len(k) + len(v) for k, v in page.items()) <= MOST_BYTES for page in pages)


def test_a_full_page_is_followed_by_the_next(cluster: FakeCluster) -> None:
    page = held(cluster, "small-0-page-0")
    nearly_full = {"filler": "x" * (MOST_BYTES - 100)}
    cluster.patch({**page, "data": nearly_full})
    cluster.create({**page, "metadata": {**page["metadata"], "name": "small-0-page-1"}})

    opened(cluster, pages=2).add(entry(64))

    assert entries_of(held(cluster, "small-0-page-0")) == []
    assert entries_of(held(cluster, "small-0-page-1")) == [entry(64)]


def test_a_point_that_fits_nowhere_is_an_error_that_says_what_to_do(cluster: FakeCluster) -> None:
    cluster.patch({**held(cluster, "small-0-page-0"), "data": {"filler": "x" * MOST_BYTES}})

    with pytest.raises(MeasureError, match="ConfigMaps of this shard are full; sweep fewer layouts"):
        opened(cluster).add(entry(64))


def test_a_result_comes_back_as_it_was_left(cluster: FakeCluster) -> None:
    assert swept_of(held(cluster, "small-0-result")) is None

    opened(cluster).finish(swept())

    assert swept_of(held(cluster, "small-0-result")) == swept()


def test_a_damaged_page_is_named_with_its_key(cluster: FakeCluster) -> None:
    page = {**held(cluster, "small-0-page-0"), "data": {"point-000000": "{"}}

    with pytest.raises(InputError, match="ConfigMap small-0-page-0, point-000000: is not a measurement"):
        entries_of(page)
    with pytest.raises(InputError, match="replica-x: is no replica"):
        replicas_of({**page, "data": {"replica-x": "{}"}})
