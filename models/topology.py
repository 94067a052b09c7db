"""Know what can be placed: trays, NVLink cliques, and which replica counts fit them."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.hardware import Hardware


@dataclass(frozen=True, slots=True)
class Topology:
    """Describe the GPUs at hand: `cliques` NVLink cliques of `clique_gpus`, in nodes of `gpus_per_node`.

    On GB200 NVL72 a node is a tray of 4 and a clique 18 trays; on HGX a node of 8 is its own clique.
    """

    gpus_per_node: int
    clique_gpus: int
    cliques: int

    def __post_init__(self) -> None:
        """Refuse a clique that does not consist of whole nodes."""
        if min(self.gpus_per_node, self.clique_gpus, self.cliques) < 1:
            raise ValueError(f"a topology needs at least one GPU and one clique: {self!r}")
        if self.clique_gpus % self.gpus_per_node:
            raise ValueError(
                f"{self.clique_gpus} GPUs in a clique are not whole nodes of {self.gpus_per_node}"
            )

    @classmethod
    def of(cls, hardware: Hardware, gpus: int) -> "Topology":
        """Lay `gpus` GPUs out on this hardware; see `lay_out`."""
        return cls.lay_out(hardware.gpus_per_node, hardware.scaleup_gpus, gpus)

    @classmethod
    def lay_out(cls, gpus_per_node: int, scaleup_gpus: int, gpus: int) -> "Topology":
        """Lay GPUs out as full cliques of `scaleup_gpus`, or as one clique cut short.

        Where the NVLink domain ends at the node, wide replicas and hand-over use the network anyway: all
        nodes then count as one clique.
        """
        nodes = max(gpus // gpus_per_node, 1)
        if scaleup_gpus <= gpus_per_node or gpus < scaleup_gpus:
            return cls(gpus_per_node, nodes * gpus_per_node, 1)
        return cls(gpus_per_node, scaleup_gpus, gpus // scaleup_gpus)

    @property
    def nodes_per_clique(self) -> int:
        """Trays in one NVLink clique."""
        return self.clique_gpus // self.gpus_per_node

    @property
    def nodes(self) -> int:
        """Nodes in all."""
        return self.nodes_per_clique * self.cliques

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
            needed = self._packed_nodes(counts)
            if needed > self.nodes_per_clique:
                return f"{needed} nodes are needed, one NVLink clique holds {self.nodes_per_clique}"
            return None
        return self._why_not_over_cliques(counts)

    def _packed_nodes(self, counts: Mapping[int, int]) -> int:
        """Return nodes used by best-fit decreasing, which is optimal for sizes that divide the node."""
        used = sum(n * self.nodes_per_replica(g) for g, n in counts.items() if g >= self.gpus_per_node)
        nodes_by_free: dict[int, int] = {}
        for gpus in sorted((g for g in counts if g < self.gpus_per_node), reverse=True):
            left = counts[gpus]
            for free in sorted(f for f in nodes_by_free if f >= gpus):
                left -= _fill(nodes_by_free, free, gpus, left)
            opened = self.nodes_for(gpus, left)
            used += opened
            nodes_by_free[self.gpus_per_node] = nodes_by_free.get(self.gpus_per_node, 0) + opened
            _fill(nodes_by_free, self.gpus_per_node, gpus, left)
        return used

    def _why_not_over_cliques(self, counts: Mapping[int, int]) -> str | None:
        free = [self.nodes_per_clique] * self.cliques
        for gpus in sorted((g for g in counts if g >= self.gpus_per_node), reverse=True):
            nodes = self.nodes_per_replica(gpus)
            for placed in range(counts[gpus]):
                index = next((i for i, left in enumerate(free) if left >= nodes), None)
                if index is None:
                    return f"only {placed} of {counts[gpus]} replicas of {gpus} GPUs find room in one clique"
                free[index] -= nodes
        small = self._packed_nodes({g: n for g, n in counts.items() if g < self.gpus_per_node})
        if small > sum(free):
            return f"{small} more nodes are needed for small replicas, {sum(free)} are left"
        return None


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
