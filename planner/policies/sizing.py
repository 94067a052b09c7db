"""Size fleets for parts of a known workload: what the baselines of a replay start from."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.predict import predict
from models.mix import RequestMix
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.simulation.workload import Workload
from models.values import RequestClass, Role

# A peak is looked for in windows of this many to the trace, none shorter than a minute of it.
_WINDOWS = 288
_SHORTEST_S = 60.0
_SAMPLES = 20_000


def load_of(workload: Workload, classes: Sequence[RequestClass], span_s: float) -> list[ClassLoad]:
    """Describe requests that arrive over `span_s` seconds as a steady load, a class at a time."""
    loads = []
    for request_class in classes:
        if request_class.name not in workload.class_names:
            continue
        mine = np.flatnonzero(workload.class_index == workload.class_names.index(request_class.name))
        if mine.size == 0:
            continue
        sample = mine[:: max(mine.size // _SAMPLES, 1)]
        mix = RequestMix.from_samples(
            workload.isl_tokens[sample], workload.osl_tokens[sample], workload.cached_tokens[sample]
        )
        loads.append(ClassLoad.steady(request_class, mine.size / span_s, mix))
    return loads


def fleet_for(
    loads: Sequence[ClassLoad], layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy
) -> dict[Role, int]:
    """Return the smallest fleet that is predicted to keep every promise; one replica a role for no load."""
    least = {role: max(plan.pools[role].min_replicas, 1) for role in layouts}
    if not loads:
        return least
    search = FleetSearch(FleetModel(layouts, [loads], plan.router), np.ones(1), plan.targets())
    counts = search.cheapest({role: search.alone(role) for role in search.roles})
    return {role: max(n, least[role]) for role, n in counts.items()}


def mean_fleet(
    workload: Workload, layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy
) -> dict[Role, int]:
    """Size for the mean load of the whole workload."""
    return fleet_for(load_of(workload, plan.classes, max(workload.span_s, 1.0)), layouts, plan)


def first_fleet(
    workload: Workload, layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy, span_s: float
) -> dict[Role, int]:
    """Size for the first `span_s` seconds, inside the budget: where policies that scale begin."""
    begin = workload.between(workload.start_s, workload.start_s + span_s)
    counts = fleet_for(load_of(begin, plan.classes, span_s), layouts, plan)
    gpus = {role: layout.gpus for role, layout in layouts.items()}
    for limit in plan.limits():
        while limit.left(counts, gpus) < 0:
            mine = (role for role in counts if role in limit.roles)
            spare = [role for role in mine if counts[role] > plan.pools[role].min_replicas]
            if not spare:
                break
            counts[max(spare, key=lambda role: counts[role] * gpus[role])] -= 1
    return counts


def peak_fleet(
    workload: Workload, layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy
) -> dict[Role, int]:
    """Size each role for the window in which it has most work."""
    width_s = max(workload.span_s / _WINDOWS, _SHORTEST_S)
    begins = workload.start_s + width_s * np.arange(int(workload.span_s // width_s) + 1)
    edges = np.append(np.searchsorted(workload.arrival_s, begins), len(workload))
    counts = dict.fromkeys(layouts, 1)
    for tokens in (workload.prefill_tokens(), workload.osl_tokens):
        running = np.concatenate(([0], np.cumsum(tokens, dtype=np.int64)))
        busiest = int(np.argmax(np.diff(running[edges])))
        window = workload.take(np.arange(edges[busiest], edges[busiest + 1]))
        for role, n in fleet_for(load_of(window, plan.classes, width_s), layouts, plan).items():
            counts[role] = max(counts[role], n)
    return counts


def in_flight_targets(
    workload: Workload, layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy
) -> dict[Role, float]:
    """Return the requests in flight per replica at which the promises are just kept, at the mean load.

    It is what a load test of the smallest sufficient fleet would show, by Little's law: rate times time in
    prefill, and the mean decode batch. An autoscaler given it is tuned on the very trace it is judged on.
    """
    loads = load_of(workload, plan.classes, max(workload.span_s, 1.0))
    counts = fleet_for(loads, layouts, plan)
    seen = predict(loads, {role: (layouts[role], n) for role, n in counts.items()}, plan.router)
    if Role.AGGREGATED in layouts:
        layout = layouts[Role.AGGREGATED]
        in_flight = seen.rate_rps * max(seen.e2e_s.mean - layout.overhead_s, 0.0) / counts[Role.AGGREGATED]
        return {Role.AGGREGATED: max(in_flight, 0.1)}
    prefill, mean_isl = layouts[Role.PREFILL], sum(c.rate_rps * c.mix.mean_isl_tokens for c in loads)
    moving_s = prefill.handover_s_per_token * mean_isl / max(seen.rate_rps, 1e-9)
    prefill_s = seen.ttft_s.mean - seen.itl_s.mean - prefill.overhead_s - moving_s
    return {
        Role.PREFILL: max(seen.rate_rps * prefill_s / counts[Role.PREFILL], 0.1),
        Role.DECODE: max(seen.batch, 0.1),
    }
