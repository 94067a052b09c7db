"""Placement: trays are shared by small replicas, taken whole by large ones, cliques are not left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import reference
from models.topology import Topology

RACK = Topology(gpus_per_node=4, clique_gpus=72, cliques=1)


def test_an_nvl72_rack_is_18_trays_of_4() -> None:
    assert Topology.of(reference.hardware("GB200"), 72) == RACK
    assert RACK.nodes_per_clique == 18


def test_a_part_of_a_rack_is_one_clique_of_whole_trays() -> None:
    assert Topology.of(reference.hardware("GB200"), 42) == Topology(4, 40, 1)


def test_two_racks_and_a_tray_are_two_cliques_and_part_of_a_third() -> None:
    assert Topology.of(reference.hardware("GB200"), 150) == Topology(4, 72, 2, rest_nodes=1)


def test_on_hgx_the_network_joins_all_nodes() -> None:
    assert Topology.of(reference.hardware("H100"), 64) == Topology(8, 64, 1)


@pytest.mark.parametrize(
    ("gpus", "replicas", "trays"),
    [(1, 4, 1), (1, 5, 2), (2, 3, 2), (4, 3, 3), (8, 2, 4), (32, 1, 8)],
)
def test_replicas_open_the_trays_that_they_need(gpus: int, replicas: int, trays: int) -> None:
    assert RACK.nodes_for(gpus, replicas) == trays


@pytest.mark.parametrize(
    ("counts", "fits"),
    [
        ({1: 72}, True),
        ({1: 73}, False),
        ({4: 18}, True),
        ({4: 17, 1: 4}, True),
        ({4: 17, 1: 5}, False),
        ({4: 17, 2: 1, 1: 2}, True),
        ({4: 17, 3: 1, 1: 1}, True),
        ({4: 17, 3: 1, 1: 2}, False),
        ({32: 2, 8: 1}, True),
        ({32: 2, 8: 1, 1: 1}, False),
        ({72: 1}, True),
        ({}, True),
    ],
)
def test_counts_that_cannot_be_placed_are_known(counts: dict[int, int], fits: bool) -> None:
    assert RACK.fits(counts) is fits


def test_a_replica_never_spans_cliques() -> None:
    two = Topology(4, 8, 2)

    assert (
        two.why_not({16: 1}, one_clique=False) == "a replica of 16 GPUs is wider than the NVLink clique of 8"
    )
    assert two.fits({8: 2}, one_clique=False)
    assert not two.fits({8: 2}, one_clique=True)


def test_free_trays_of_several_cliques_do_not_make_one_wide_replica() -> None:
    two = Topology(4, 12, 2)

    why = two.why_not({8: 3}, one_clique=False)

    assert why == "only 2 of 3 replicas of 8 GPUs find room in one clique"


def test_small_replicas_fill_what_is_left_over_cliques() -> None:
    two = Topology(4, 12, 2)

    assert two.fits({8: 2, 1: 8}, one_clique=False)
    assert two.why_not({8: 2, 1: 9}, one_clique=False) == (
        "3 more nodes are needed for small replicas, 2 are left"
    )


@given(
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 20), max_size=5),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_one_replica_more_never_makes_a_fleet_fit(counts: dict[int, int], gpus: int) -> None:
    more = {**counts, gpus: counts.get(gpus, 0) + 1}

    assert RACK.fits(counts) or not RACK.fits(more)
    assert not RACK.fits(counts) or sum(g * n for g, n in counts.items()) <= 72


@pytest.mark.parametrize(("node", "clique", "cliques"), [(4, 70, 1), (0, 72, 1), (4, 72, 0)])
def test_a_topology_that_cannot_be_is_refused(node: int, clique: int, cliques: int) -> None:
    with pytest.raises(ValueError, match="GPU"):
        Topology(node, clique, cliques)
