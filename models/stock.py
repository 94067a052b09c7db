"""Know the GPUs at hand by kind of hardware: how many, for which roles, how laid out, what one costs."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.topology import Topology, packed_nodes
from models.values import Role


@dataclass(frozen=True, slots=True)
class GpuLimit:
    """Bound the GPUs that some roles take together; `name` is how a sentence calls the bound."""

    gpus: int
    roles: frozenset[Role]
    name: str

    def left(self, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> int:
        """Return the GPUs that replica counts, at `gpus` GPUs each, leave over; below 0 where they exceed."""
        return self.gpus - sum(gpus[role] * n for role, n in counts.items() if role in self.roles)


@dataclass(frozen=True, slots=True)
class Stock:
    """Describe the GPUs of one kind of hardware, and the roles whose replicas run on them.

    `gpus` bounds those roles together (`None`: no bound of its own), `topology` lays that budget out in nodes
    and cliques. A GPU costs `price_per_gpu_h` (`None`: not stated). GPUs are paid `billed_gpus` at a time: a
    node's, as clouds do, or one by one.
    """

    hardware: str
    roles: tuple[Role, ...]
    gpus: int | None = None
    topology: Topology | None = None
    price_per_gpu_h: float | None = None
    billed_gpus: int = 1

    def limit(self) -> GpuLimit | None:
        """Return the bound on these roles' GPUs, `None` where there is none."""
        if self.gpus is None:
            return None
        return GpuLimit(self.gpus, frozenset(self.roles), f"{self.gpus}-GPU budget of {self.hardware}")

    def cost_per_h(self, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> float:
        """Return what these roles' replicas cost an hour: nodes that are not empty count whole.

        Replicas are taken as packed, since nobody knows better. 0 without a price.
        """
        if not self.price_per_gpu_h:
            return 0.0
        nodes = packed_nodes(by_width(counts, gpus, self.roles), self.billed_gpus)
        return self.price_per_gpu_h * self.billed_gpus * nodes


def by_width(
    counts: Mapping[Role, int], gpus: Mapping[Role, int], roles: tuple[Role, ...] | None = None
) -> dict[int, int]:
    """Return how many replicas there are of each width in GPUs; of all roles, or of `roles`."""
    found: dict[int, int] = {}
    for role, n in counts.items():
        if roles is None or role in roles:
            found[gpus[role]] = found.get(gpus[role], 0) + n
    return found


def placeable_on(topology: Topology, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> bool:
    """Say whether replicas can be placed; prefill and decode share a clique, for KV moves over NVLink.

    In one clique all must fit together. Over several, the fleet must divide into cliques that hold both
    roles: a prompt's KV cache cannot leave its clique over NVLink.
    """
    groups = [(gpus[role], n) for role, n in counts.items() if n > 0]
    if topology.single or len(groups) < 2:
        return topology.fits(by_width(counts, gpus), one_clique=topology.single)
    return topology.divides(*groups)
