"""Placement against trying everything: nodes that are packed, cliques cut short, fleets cut into cliques."""

from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.stock import GpuLimit, Stock, placeable_on
from models.topology import Topology, packed_nodes
from models.values import Role

PREFILL, DECODE = Role.PREFILL, Role.DECODE


@cache
def fewest_nodes(node: int, replicas: tuple[int, ...]) -> int:
    """Return the fewest nodes by trying every first companion set; replicas smaller than a node, sorted."""
    if not replicas:
        return 0
    first, rest = replicas[0], replicas[1:]
    best = len(replicas)
    for chosen in set(product((0, 1), repeat=len(rest))):
        beside = [gpus for gpus, taken in zip(rest, chosen, strict=True) if taken]
        if first + sum(beside) <= node:
            left = tuple(gpus for gpus, taken in zip(rest, chosen, strict=True) if not taken)
            best = min(best, 1 + fewest_nodes(node, left))
    return best


@given(st.sampled_from([4, 8]), st.dictionaries(st.sampled_from([1, 2, 3, 4]), st.integers(0, 3), max_size=2))
def test_packing_opens_as_few_nodes_as_any_placement(node: int, counts: dict[int, int]) -> None:
    small = tuple(sorted((g for g, n in counts.items() if g < node for _ in range(n)), reverse=True))
    whole = sum(n for g, n in counts.items() if g >= node)

    assert packed_nodes(counts, node) == whole + fewest_nodes(node, small)


def pairs(sizes: list[int], prefill: tuple[int, int], decode: tuple[int, int], node: int) -> bool:
    """Say whether any division over some of the cliques gives each of them both roles and room for them."""
    if prefill[1] == decode[1] == 0:
        return True
    if not sizes:
        return False
    if pairs(sizes[1:], prefill, decode, node):
        return True
    return any(
        packed_nodes({prefill[0]: p, decode[0]: d}, node) <= sizes[0]
        and pairs(sizes[1:], (prefill[0], prefill[1] - p), (decode[0], decode[1] - d), node)
        for p in range(1, prefill[1] + 1)
        for d in range(1, decode[1] + 1)
    )


@given(st.integers(1, 2), st.integers(0, 2), st.integers(1, 14), st.integers(1, 8), st.sampled_from([4, 8]))
def test_a_fleet_that_divides_can_be_placed_in_pairs(
    cliques: int, rest: int, prefill: int, decode: int, wide: int
) -> None:
    nodes = Topology(4, 12, cliques, rest)
    counts, gpus = {PREFILL: prefill, DECODE: decode}, {PREFILL: 1, DECODE: wide}
    sizes = [3] * cliques + ([rest] if rest else [])

    placed = placeable_on(nodes, counts, gpus)

    # Never more than there is; less only where cliques of unlike sizes would share out unevenly.
    possible = pairs(sizes, (1, prefill), (wide, decode), 4)
    assert possible or not placed
    if not rest:
        assert placed == possible


def test_a_budget_of_a_clique_and_a_half_is_used_beyond_the_clique() -> None:
    nodes = Topology.lay_out(4, 72, 108)
    gpus = {PREFILL: 1, DECODE: 4}

    assert nodes == Topology(4, 72, 1, rest_nodes=9)
    assert nodes.nodes * 4 == 108
    assert placeable_on(nodes, {PREFILL: 36, DECODE: 18}, gpus)
    assert not placeable_on(nodes, {PREFILL: 37, DECODE: 18}, gpus)
    # One prompt's KV cache reaches no other clique: a second clique needs a prefill replica of its own.
    assert placeable_on(nodes, {PREFILL: 2, DECODE: 19}, gpus)
    assert not placeable_on(nodes, {PREFILL: 1, DECODE: 19}, gpus)


def test_a_part_of_a_clique_has_fewer_nodes_than_a_whole_one() -> None:
    with pytest.raises(ValueError, match="fewer nodes"):
        Topology(4, 72, 1, rest_nodes=18)


@pytest.mark.parametrize(
    ("counts", "billed", "cost"),
    [
        ({PREFILL: 1, DECODE: 1}, 4, 16.0),  # a tray for a GPU, a tray for TEP4
        ({PREFILL: 4, DECODE: 1}, 4, 16.0),  # three more on the open tray cost nothing
        ({PREFILL: 5, DECODE: 1}, 4, 24.0),
        ({PREFILL: 5, DECODE: 1}, 1, 18.0),
        ({PREFILL: 0, DECODE: 0}, 4, 0.0),
    ],
)
def test_money_counts_trays_that_are_not_empty(counts: dict[Role, int], billed: int, cost: float) -> None:
    stock = Stock("GB200", (PREFILL, DECODE), price_per_gpu_h=2.0, billed_gpus=billed)

    assert stock.cost_per_h(counts, {PREFILL: 1, DECODE: 4}) == cost


def test_hardware_of_its_own_counts_its_own_roles() -> None:
    counts, gpus = {PREFILL: 9, DECODE: 3}, {PREFILL: 1, DECODE: 4}
    h100 = Stock("H100", (PREFILL,), gpus=8, price_per_gpu_h=1.0, billed_gpus=8)

    assert h100.limit() == GpuLimit(8, frozenset({PREFILL}), "8-GPU budget of H100")
    assert GpuLimit(8, frozenset({PREFILL}), "").left(counts, gpus) == -1
    assert h100.cost_per_h(counts, gpus) == 16.0
    assert Stock("GB200", (DECODE,)).limit() is None
    assert Stock("GB200", (DECODE,)).cost_per_h(counts, gpus) == 0.0
