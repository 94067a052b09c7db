"""Answer a capacity question at one steady load: which fleet, and what it delivers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, predict
from models.plan.search import FleetSearch
from models.values import Binding, Role, Router


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold a fleet and its prediction; `feasible` says whether every promise is kept to its target."""

    feasible: bool
    layouts: Mapping[Role, LayoutProfile]
    replicas: Mapping[Role, int]
    prediction: Prediction
    binding: Binding
    why: str


def smallest_fleet(
    load: ClassLoad,
    layouts: Mapping[Role, LayoutProfile],
    router: Router = Router.LOAD,
    budget_gpus: int | None = None,
) -> Answer:
    """Return the fewest GPUs of these layouts that keep the class's promise to its quantile.

    When no count can, the answer is not feasible and shows the fleet that comes nearest: a promise that one
    request alone breaks is a layout problem, a fleet over the budget shows what it would take.
    """
    target = load.request_class.slo.target
    model = FleetModel(layouts, [[load]], router)
    search = FleetSearch(model, np.ones(1), {load.request_class.name: target})
    counts = search.cheapest({role: search.alone(role) for role in search.roles})
    prediction = predict([load], {role: (layouts[role], n) for role, n in counts.items()}, router)
    if search.by_layout:
        why = f"no count of {_names(layouts)} keeps the promise: one request alone breaks it"
        return Answer(False, layouts, counts, prediction, Binding.LAYOUT, why)
    if budget_gpus is not None and prediction.gpus > budget_gpus:
        why = f"{prediction.gpus} GPUs keep the promise, the budget is {budget_gpus}"
        return Answer(False, layouts, counts, prediction, Binding.BUDGET, why)
    binding = tightest(model, counts)
    return Answer(True, layouts, counts, prediction, binding, f"one replica fewer breaks {binding.value}")


def judge(load: ClassLoad, fleet: Mapping[Role, tuple[LayoutProfile, int]], router: Router) -> Answer:
    """Predict a stated fleet and say whether it keeps the promise."""
    layouts = {role: layout for role, (layout, _) in fleet.items()}
    counts = {role: n for role, (_, n) in fleet.items()}
    return judged(load, layouts, counts, predict([load], fleet, router))


def judged(
    load: ClassLoad, layouts: Mapping[Role, LayoutProfile], counts: Mapping[Role, int], prediction: Prediction
) -> Answer:
    """Compare a prediction with the class's promise."""
    name = load.request_class.name
    kept, target = prediction.attainment[name], load.request_class.slo.target
    feasible = prediction.stable and kept >= target - 1e-9
    worst = _worst(prediction)
    why = (
        f"{kept:.2%} keep the promise, {target:.2%} must"
        if prediction.stable
        else "the load exceeds the fleet"
    )
    return Answer(feasible, layouts, counts, prediction, worst, why)


def tightest(model: FleetModel, counts: Mapping[Role, int]) -> Binding:
    """Name what breaks first when the role with the widest replica loses one."""
    role = max(counts, key=lambda r: model.layouts[r].gpus if counts[r] > 1 else 0)
    if counts[role] <= 1:
        return Binding.FLOOR
    return model.bindings({role: {**counts, role: counts[role] - 1}})[role]


def _worst(prediction: Prediction) -> Binding:
    busiest = max(prediction.utilisation, key=lambda r: prediction.utilisation[r])
    return prediction.binding[busiest]


def _names(layouts: Mapping[Role, LayoutProfile]) -> str:
    return " and ".join(layout.key for layout in layouts.values())
