"""Learn per role how much slower its replicas are than their surfaces, from latencies at known loads."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.implied import decode_ratio, prefill_ratio
from models.capacity.load import ClassLoad
from models.observation import Observation, PoolState
from models.policy import PlanPolicy, SurfacePolicy
from models.speed import Speed, corrected, learned
from models.values import RequestClass, Role


class SurfaceWatch:
    """Hold each look's latencies against what the planned surfaces say for the load that was seen.

    Decode by the mean ITL at the batch that was there, prefill by the mean TTFT while hardly anybody waits,
    aggregated replicas by their ITL. A look counts for a role only while nothing changes: its demand is
    fresh, all its replicas were ready `warm_up_s` ago, none drains or is rolled out, and the load is one
    that they can carry. What cold replicas or a queue make slow says nothing about surfaces.
    """

    def __init__(
        self, plan: PlanPolicy, layouts: Mapping[Role, LayoutProfile], bounds: SurfacePolicy
    ) -> None:
        """Begin with the profile's surfaces."""
        self._plan, self._layouts, self._bounds = plan, layouts, bounds
        self._speed = {role: Speed() for role in layouts}
        self._pools: dict[Role, PoolState] = {}
        self._steady_since_s: dict[Role, float] = {}
        self._looked_s = -math.inf

    def seed(self, earlier: Mapping[Role, Speed]) -> None:
        """Go on from what the last record before a restart had learned."""
        self._speed.update({role: earlier[role] for role in self._layouts if role in earlier})

    def learn(self, observation: Observation) -> Mapping[Role, Speed]:
        """Take in one look and return each role's speed; the same look twice changes nothing."""
        if observation.at_s <= self._looked_s:
            return dict(self._speed)
        self._looked_s = observation.at_s
        steady = [role for role in self._layouts if self._steady(role, observation)]
        load = observed_load(observation, self._plan.classes)
        if load is not None and len(steady) == len(self._layouts):
            for role, ratio in self._ratios(observation, load).items():
                if ratio is not None and ratio > 0:
                    self._speed[role] = learned(self._speed[role], math.log(ratio), self._bounds)
        return dict(self._speed)

    def _steady(self, role: Role, observation: Observation) -> bool:
        """Say whether the role's replicas have been the same, and warm, for long enough."""
        now, before = observation.pools.get(role), self._pools.get(role)
        if now is None:
            self._pools.pop(role, None)
            return False
        self._pools[role] = now
        same = before is not None and now.ready <= before.ready
        if not same or now.rollout_in_progress or not now.ready:
            self._steady_since_s[role] = observation.at_s
        since_s = self._steady_since_s[role]
        warm = observation.at_s - since_s >= self._bounds.warm_up_s + observation.window_s
        # What drains holds requests that the ready ones are not asked about.
        return warm and not now.draining and before is not None and not before.draining

    def _ratios(self, observation: Observation, load: list[ClassLoad]) -> dict[Role, float | None]:
        """Return what one look says of each role: observed time over the profile's."""
        counts = {role: observation.pools[role].ready for role in self._layouts}
        asked = {name: d for name, d in observation.demand.items() if name in observation.latency}
        itl_s = _mean((observation.latency[n].itl_mean_s, d.decode_tokens_per_s) for n, d in asked.items())
        if itl_s is None:
            return {}
        router, layouts = self._plan.router, self._layouts
        profiled = FleetModel(layouts, [load], router)
        if Role.AGGREGATED in layouts:
            return {Role.AGGREGATED: decode_ratio(profiled, counts[Role.AGGREGATED], itl_s)}
        found = {Role.DECODE: decode_ratio(profiled, counts[Role.DECODE], itl_s)}

        def slower(ratio: float) -> FleetModel:
            pools = {Role.PREFILL: replace(self._plan.pools[Role.PREFILL], surface_ratio=ratio)}
            return FleetModel(corrected(layouts, pools), [load], router)

        ttft_s = [_ttft_s(observation, each) for each in load]
        found[Role.PREFILL] = prefill_ratio(slower, counts[Role.PREFILL], ttft_s, itl_s)
        return found


def observed_load(observation: Observation, classes: Sequence[RequestClass]) -> list[ClassLoad] | None:
    """Return the load that was seen, class by class; `None` where one is unknown, stale, or there is none."""
    age_s = observation.demand_age_s
    if age_s is None or age_s > 2.0 * observation.window_s:
        return None
    found = []
    for request_class in classes:
        demand = observation.demand.get(request_class.name)
        if demand is None or demand.arrivals_rps is None:
            return None
        if demand.arrivals_rps == 0:
            continue
        tokens = demand.prefill_tokens_per_s, demand.decode_tokens_per_s
        if demand.mix is None or tokens[0] is None or tokens[1] is None:
            return None
        rates = tokens[0] / demand.mix.mean_prefill_tokens, tokens[1] / demand.mix.mean_osl_tokens
        found.append(ClassLoad(request_class, demand.arrivals_rps, *rates, demand.mix))
    return found or None


def _ttft_s(observation: Observation, load: ClassLoad) -> float | None:
    seen = observation.latency.get(load.request_class.name)
    return None if seen is None else seen.ttft_mean_s


def _mean(weighted: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Average what is known over its weights; `None` without any."""
    known = [(value, weight) for value, weight in weighted if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total > 0 else None
