"""Make the pools of a fleet: which kind of replica serves each role."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.artifact import LayoutProfile
from models.simulation.aggregated import AggregatedReplica
from models.simulation.blocks import Prefixes
from models.simulation.caching import (
    CachingAggregatedReplica,
    CachingPreemptingReplica,
    CachingPrefillReplica,
)
from models.simulation.clockwork import Clockwork
from models.simulation.decode import DecodeReplica
from models.simulation.ledger import Flags, Ledger
from models.simulation.pace import PrefillPace, step_pace
from models.simulation.plan import FleetPlan
from models.simulation.pool import Pool
from models.simulation.preemption import PreemptingAggregated, PreemptingReplica
from models.simulation.prefill import PrefillReplica
from models.simulation.router import choice
from models.simulation.workload import Workload
from models.values import Role

AnyReplica = TypeVar("AnyReplica", PrefillReplica, DecodeReplica, AggregatedReplica)


@dataclass(frozen=True, slots=True)
class Opening:
    """Hold what replicas of a fleet share. Layouts without features get replicas that know of none."""

    plan: FleetPlan
    clock: Clockwork
    ledger: Ledger
    prefixes: Prefixes | None

    def prefill(self, pass_on: Callable[[float, int], None]) -> Pool[PrefillReplica]:
        """Return an empty prefill pool, which hands finished prompts on."""
        layout, prefixes = self.plan.layouts[Role.PREFILL], self.prefixes
        pace = PrefillPace(layout)

        def make() -> PrefillReplica:
            if prefixes is None:
                return PrefillReplica(layout, pace, self.clock, self.ledger, pass_on)
            return CachingPrefillReplica(layout, pace, self.clock, self.ledger, pass_on, prefixes)

        return self._pool(Role.PREFILL, make, self.plan.seed)

    def decode(self) -> Pool[DecodeReplica]:
        """Return an empty decode pool."""
        layout = self.plan.layouts[Role.DECODE]
        pace, overhead_s = step_pace(layout), self.plan.layouts[Role.PREFILL].overhead_s
        recompute_s = self.recompute_s()

        def make() -> DecodeReplica:
            if layout.features.preempts:
                return PreemptingReplica(layout, pace, self.clock, self.ledger, overhead_s, recompute_s)
            return DecodeReplica(layout, pace, self.clock, self.ledger, overhead_s)

        return self._pool(Role.DECODE, make, self.plan.seed + 1)

    def aggregated(self) -> Pool[AggregatedReplica]:
        """Return an empty aggregated pool."""
        layout, prefixes = self.plan.layouts[Role.AGGREGATED], self.prefixes
        shared = (PrefillPace(layout), step_pace(layout), self.clock, self.ledger, layout.overhead_s)
        preempts = layout.features.preempts

        def make() -> AggregatedReplica:
            if prefixes is None:
                return (PreemptingAggregated if preempts else AggregatedReplica)(layout, *shared)
            caching = (CachingPreemptingReplica if preempts else CachingAggregatedReplica)(layout, *shared)
            caching.remember(prefixes)
            return caching

        return self._pool(Role.AGGREGATED, make, self.plan.seed)

    def recompute_s(self) -> Callable[[int], float]:
        """Return the time in which a decode replica reads so many tokens again.

        Where its own prefill is not in the profile its GPUs are taken to be as fast as those that prefill.
        """
        layout, other = self.plan.layouts[Role.DECODE], self.plan.layouts[Role.PREFILL]
        if layout.prefill is not None:
            return PrefillPace(layout).alone
        alone, share = PrefillPace(other).alone, other.gpus / layout.gpus
        return lambda tokens: alone(tokens) * share

    def _pool(self, role: Role, make: Callable[[], AnyReplica], seed: int) -> Pool[AnyReplica]:
        plan = self.plan
        return Pool(
            self.clock, plan.startup_s[role], plan.layouts[role].gpus, make, choice(plan.router, seed)
        )


def known_prefixes(plan: FleetPlan, workload: Workload, ledger: Ledger) -> Prefixes | None:
    """Return the workload's prefix blocks, where it has some and the replicas that read prompts cache."""
    front = Role.AGGREGATED if Role.AGGREGATED in plan.layouts else Role.PREFILL
    settings = plan.layouts[front].features.prefix_cache
    if settings is None or workload.blocks is None:
        return None
    return Prefixes(workload.blocks, settings, ledger)


def hopeless(workload: Workload, layouts: Mapping[Role, LayoutProfile]) -> Flags:
    """Mark the requests whose KV cache exceeds what one replica's devices hold."""
    found = np.zeros(len(workload), dtype=np.bool_)
    for role, layout in layouts.items():
        need = workload.isl_tokens + layout.kv_fixed_tokens
        if role is not Role.PREFILL:
            need = need + workload.osl_tokens
        found |= need > layout.kv_capacity_tokens
    return found
