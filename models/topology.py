"""Know what can be placed: trays, NVLink cliques, and which replica counts fit them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Topology:
    """Describe the GPUs at hand: `cliques` NVLink cliques of `clique_gpus`, in nodes of `gpus_per_node`.

    On GB200 NVL72 a node is a tray of 4 and a clique 18 trays; on HGX a node of 8 is its own clique. One more
    clique may be there in part: `rest_nodes` of its nodes.
    """

    gpus_per_node: int
    clique_gpus: int
    cliques: int
    rest_nodes: int = 0

    def __post_init__(self) -> None:
        """Refuse a clique that does not consist of whole nodes."""
        if min(self.gpus_per_node, self.clique_gpus, self.cliques) < 1:
            raise ValueError(f"a topology needs at least one GPU and one clique: {self!r}")
        if self.clique_gpus % self.gpus_per_node:
            raise ValueError(
                f"{self.clique_gpus} GPUs in a clique are not whole nodes of {self.gpus_per_node}"
            )
        if not 0 <= self.rest_nodes < self.nodes_per_clique:
            raise ValueError(f"a clique in part has fewer nodes than a whole one of GPUs: {self!r}")

    @classmethod
    def of(cls, hardware: Hardware, gpus: int) -> "Topology":
        """Lay `gpus` GPUs out on this hardware; see `lay_out`."""
        return cls.lay_out(hardware.gpus_per_node, hardware.scaleup_gpus, gpus)

    @classmethod
    def lay_out(cls, gpus_per_node: int, scaleup_gpus: int, gpus: int) -> "Topology":
        """Lay GPUs out as full cliques of `scaleup_gpus`, the last one cut short.

        Where the NVLink domain ends at the node, wide replicas and hand-over use the network anyway: all
        nodes then count as one clique. GPUs that make no whole node are left out.
        """
        nodes = max(gpus // gpus_per_node, 1)
        if scaleup_gpus <= gpus_per_node or gpus < scaleup_gpus:
            return cls(gpus_per_node, nodes * gpus_per_node, 1)
        cliques, rest = divmod(gpus, scaleup_gpus)
        return cls(gpus_per_node, scaleup_gpus, cliques, rest // gpus_per_node)

    @property
    def single(self) -> bool:
        """Whether there is one clique and no part of another."""
        return self.cliques == 1 and not self.rest_nodes

    @property
    def nodes_per_clique(self) -> int:
        """Trays in one NVLink clique."""
        return self.clique_gpus // self.gpus_per_node

    @property
    def nodes(self) -> int:
        """Nodes in all."""
        return self.nodes_per_clique * self.cliques + self.rest_nodes

    def replicas_per_node(self, gpus: int) -> int:
        """Return how many replicas of `gpus` GPUs share one node; 0 when one needs more than a node."""
        return self.gpus_per_node // gpus

    def nodes_per_replica(self, gpus: int) -> int:
        """Return how many whole nodes one replica takes; 0 when several share a node."""
        return -(-gpus // self.gpus_per_node) if gpus >= self.gpus_per_node else 0

    def nodes_for(self, gpus: int, replicas: int) -> int:
        """Return the nodes that `replicas` replicas of `gpus` GPUs open when they are packed.

        A replica smaller than a node never straddles two; a larger one takes whole nodes.
        """
        if gpus >= self.gpus_per_node:
            return replicas * self.nodes_per_replica(gpus)
        return -(-replicas // self.replicas_per_node(gpus))

    def fits(self, counts: Mapping[int, int], one_clique: bool = True) -> bool:
        """Say whether replica counts by GPUs per replica can be placed; see `why_not`."""
        return self.why_not(counts, one_clique) is None

    def why_not(self, counts: Mapping[int, int], one_clique: bool = True) -> str | None:
        """Return why `counts` (replicas by GPUs per replica) cannot be placed, or None when they can.

        `one_clique` keeps all of them inside one NVLink clique, as prefill and decode that exchange KV
        over NVLink require; otherwise each replica needs a clique of its own choice. Small replicas fill
        the holes that larger ones leave in a node: sizes that divide the node pack without waste.
        """
        widest = max((gpus for gpus, n in counts.items() if n > 0), default=0)
        if widest > self.clique_gpus:
            return f"a replica of {widest} GPUs is wider than the NVLink clique of {self.clique_gpus}"
        if one_clique:
            needed = packed_nodes(counts, self.gpus_per_node)
            if needed > self.nodes_per_clique:
                return f"{needed} nodes are needed, one NVLink clique holds {self.nodes_per_clique}"
            return None
        return self._why_not_over_cliques(counts)

    def divides(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Say whether two groups, each (GPUs per replica, replicas), can be cut into cliques that hold both.

        A clique's share of the wider replicas is in proportion to its nodes; the narrower go where room is
        left, at least one to each clique. Fewer cliques are tried first.
        """
        wide, narrow = sorted((one, other), reverse=True)
        sizes = self._clique_nodes()
        return any(self._divides(wide, narrow, sizes[:used]) for used in range(1, len(sizes) + 1))

    def _divides(self, wide: tuple[int, int], narrow: tuple[int, int], sizes: Sequence[int]) -> bool:
        if min(wide[1], narrow[1]) < len(sizes):
            return False
        shares = _apportion(wide[1], sizes)
        room = [self._room(narrow[0], (wide[0], n), nodes) for n, nodes in zip(shares, sizes, strict=True)]
        return min(room) >= 1 and sum(room) >= narrow[1]

    def _room(self, gpus: int, beside: tuple[int, int], nodes: int) -> int:
        """Return how many replicas of `gpus` GPUs fit into nodes beside others; -1: not even those do."""
        low, high = -1, nodes * self.gpus_per_node // gpus
        while low < high:
            middle = (low + high + 1) // 2
            counts = {beside[0]: beside[1] + (middle if beside[0] == gpus else 0)}
            if beside[0] != gpus:
                counts[gpus] = middle
            fits = packed_nodes(counts, self.gpus_per_node) <= nodes
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _clique_nodes(self) -> list[int]:
        """Return the nodes of each clique, whole ones first."""
        return [self.nodes_per_clique] * self.cliques + ([self.rest_nodes] if self.rest_nodes else [])

    def _why_not_over_cliques(self, counts: Mapping[int, int]) -> str | None:
        free = self._clique_nodes()
        for gpus in sorted((g for g in counts if g >= self.gpus_per_node), reverse=True):
            nodes = self.nodes_per_replica(gpus)
            for placed in range(counts[gpus]):
                index = next((i for i, left in enumerate(free) if left >= nodes), None)
                if index is None:
                    return f"only {placed} of {counts[gpus]} replicas of {gpus} GPUs find room in one clique"
                free[index] -= nodes
        small = packed_nodes({g: n for g, n in counts.items() if g < self.gpus_per_node}, self.gpus_per_node)
        if small > sum(free):
            return f"{small} more nodes are needed for small replicas, {sum(free)} are left"
        return None


def packed_nodes(counts: Mapping[int, int], gpus_per_node: int) -> int:
    """Return the nodes that are not empty when replicas, given by their width in GPUs, are packed.

    A replica smaller than a node never straddles two; a larger one takes whole nodes. Best-fit decreasing,
    which is optimal for widths that divide the node.
    """
    used = sum(n * -(-g // gpus_per_node) for g, n in counts.items() if g >= gpus_per_node)
    nodes_by_free: dict[int, int] = {}
    for gpus in sorted((g for g in counts if g < gpus_per_node), reverse=True):
        left = counts[gpus]
        for free in sorted(f for f in nodes_by_free if f >= gpus):
            left -= _fill(nodes_by_free, free, gpus, left)
        opened = -(-left // (gpus_per_node // gpus))
        used += opened
        nodes_by_free[gpus_per_node] = nodes_by_free.get(gpus_per_node, 0) + opened
        _fill(nodes_by_free, gpus_per_node, gpus, left)
    return used


def _apportion(replicas: int, sizes: Sequence[int]) -> list[int]:
    """Split replicas over cliques in proportion to their nodes: largest remainders, each at least one."""
    rest = replicas - len(sizes)
    total = sum(sizes)
    exact = [rest * nodes / total for nodes in sizes]
    shares = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda i: (shares[i] - exact[i], i))
    for i in order[: rest - sum(shares)]:
        shares[i] += 1
    return [1 + share for share in shares]


def _fill(nodes_by_free: dict[int, int], free: int, gpus: int, replicas: int) -> int:
    """Put replicas into nodes with `free` GPUs left, as many as go in; returns how many went."""
    per_node = free // gpus
    placed = min(replicas, nodes_by_free[free] * per_node)
    full, rest = divmod(placed, per_node)
    nodes_by_free[free] -= full + (1 if rest else 0)
    for nodes, filled in ((full, per_node), (1 if rest else 0, rest)):
        after = free - filled * gpus
        if nodes and after:
            nodes_by_free[after] = nodes_by_free.get(after, 0) + nodes
    return placed
