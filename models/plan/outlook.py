"""Say what a change of fleet is worth: GPU-hours and money a month, and the promise now and after."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.artifact import LayoutProfile
from models.observation import Observation
from models.plan.what_if import what_if
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.values import Role

# Hours of a mean month, as clouds bill: 365 days / 12.
MONTH_H = 730.0


@dataclass(frozen=True, slots=True)
class FleetOutlook:
    """Hold what one fleet takes and keeps, if it stayed for a month and demand were as forecast now.

    `money` counts every node that is not empty where nodes are paid whole (`None`: no price is stated).
    `attainment` is the share per class that is predicted to keep its promise.
    """

    gpus: int
    gpu_h: float
    money: float | None
    attainment: Mapping[str, float]
    risk: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """Compare the fleet that is asked for now with the recommended one; money is in `currency`."""

    now: FleetOutlook
    after: FleetOutlook
    currency: str

    @property
    def saves_gpu_h(self) -> float:
        """GPU-hours a month that the change saves; below 0 what it takes more."""
        return self.now.gpu_h - self.after.gpu_h

    @property
    def saves_money(self) -> float | None:
        """Money a month that the change saves, `None` without a price."""
        if self.now.money is None or self.after.money is None:
            return None
        return self.now.money - self.after.money


def outlook(
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
    fleets: tuple[Mapping[Role, int], Mapping[Role, int]],
) -> Outlook | None:
    """Compare two fleets of at least one replica a role; `None` where there is no demand to judge them by."""
    if any(n < 1 for counts in fleets for n in counts.values()):
        return None
    judged = what_if(observation, forecast, layouts, policy, fleets)
    if not judged:
        return None
    gpus = {role: layout.gpus for role, layout in layouts.items()}
    now, after = (
        FleetOutlook(
            gpus=each.gpus,
            gpu_h=each.gpus * MONTH_H,
            money=policy.cost_per_h(each.counts, gpus) * MONTH_H if policy.priced else None,
            attainment=each.attained.attainment,
            risk=1.0 - each.attained.expected_attainment,
        )
        for each in judged
    )
    return Outlook(now, after, policy.currency)
