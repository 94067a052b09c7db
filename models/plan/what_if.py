"""Answer "why not another count?": what a fleet that was not chosen would attain at the same moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.artifact import LayoutProfile
from models.decision import Attained
from models.observation import Observation
from models.plan.bill import bill
from models.plan.sizing import ask
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Say what one fleet would attain, and which bounds it breaks.

    `aims` are the shares per class that were asked for at that moment, `lacking` the class that is farthest
    below its own or has least to spare, `breaks` the limit per role at which these counts fail first.
    `obstacles` name each bound that the counts exceed: budget, floor, ceiling, nodes.
    """

    counts: Mapping[Role, int]
    gpus: int
    attained: Attained
    aims: Mapping[str, float]
    lacking: str
    breaks: Mapping[Role, Binding]
    obstacles: tuple[str, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether every class reaches what was asked for."""
        return all(self.attained.attainment[name] >= aim - 1e-9 for name, aim in self.aims.items())


def what_if(
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
    fleets: Sequence[Mapping[Role, int]],
) -> list[WhatIf]:
    """Judge each fleet by the scenarios that a sizing at this moment is asked for; empty: there were none.

    `policy` is the one that the moment's sizing had: with its start-up times, share and burn rate.
    """
    asked = ask(observation, forecast, layouts, policy)
    if asked is None or not fleets:
        return []
    search, gpus = asked.search, {role: layout.gpus for role, layout in layouts.items()}
    found = []
    for counts, attained in zip(fleets, search.attained(fleets), strict=True):
        billed = bill(counts, attained.attainment, search, policy) if policy.priced else None
        found.append(
            WhatIf(
                counts=counts,
                gpus=sum(gpus[role] * n for role, n in counts.items()),
                attained=replace(attained, bill=billed),
                aims=search.aims,
                lacking=search.lacking(attained),
                breaks=search.model.bindings(dict.fromkeys(counts, counts)),
                obstacles=_obstacles(counts, gpus, policy),
            )
        )
    return found


def _obstacles(counts: Mapping[Role, int], gpus: Mapping[Role, int], policy: PlanPolicy) -> tuple[str, ...]:
    found = []
    for limit in policy.limits():
        over = -limit.left(counts, gpus)
        if over > 0:
            found.append(f"exceeds the {limit.name} by {over} GPU{'s' if over > 1 else ''}")
    for role, n in counts.items():
        pool = policy.pools[role]
        if n < pool.min_replicas:
            found.append(f"is below the floor of {pool.min_replicas} {role}")
        if pool.max_replicas is not None and n > pool.max_replicas:
            found.append(f"is above the ceiling of {pool.max_replicas} {role}")
    if not found and not policy.placeable(counts, gpus):
        found.append("cannot be placed on the nodes")
    return tuple(found)
