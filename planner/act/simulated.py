"""Apply decisions to a simulated fleet."""

from collections.abc import Mapping, Sequence

from models.decision import Decision, Outcome, Status
from models.observation import Observation
from models.simulation.fleet import Fleet
from models.stock import GpuLimit
from models.values import Role


class SimulatedActuator:
    """Scale a simulated fleet on the GPUs that exist.

    `budget_gpus` is how many there are (`None`: any number), `limits` how many of each hardware. Draining
    replicas still hold theirs. A replica for which none is free is not started: its pod would stay pending.
    """

    def __init__(self, fleet: Fleet, budget_gpus: int | None = None, limits: Sequence[GpuLimit] = ()) -> None:
        """Act on one fleet."""
        self._fleet = fleet
        self._gpus = {role: layout.gpus for role, layout in fleet.plan.layouts.items()}
        whole = () if budget_gpus is None else (GpuLimit(budget_gpus, frozenset(self._gpus), "budget"),)
        self._limits = (*whole, *limits)
        self.scale_events = 0

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Apply the decision's changes; what found no GPU is said in the outcome."""
        if not decision.changes:
            return Outcome(Status.HELD if decision.held else Status.UNCHANGED)
        got = self.scale(decision.changes)
        short = [f"{role} {got[role]} of {n}" for role, n in decision.changes.items() if got[role] != n]
        return Outcome(Status.APPLIED, f"no free GPU for {', '.join(short)}" if short else "")

    def scale(self, replicas: Mapping[Role, int]) -> dict[Role, int]:
        """Ask for replicas, downs before ups, and return what each role was granted."""
        before, granted = self._fleet.desired(), {}
        for role, wanted in sorted(replicas.items(), key=lambda item: item[1] - before[item[0]]):
            count = wanted
            if wanted > before[role]:
                count = min([wanted, *(before[role] + n for n in self._fitting(role))])
            if count != before[role]:
                self._fleet.scale(role, count)
                self.scale_events += 1
            granted[role] = count
        return granted

    def _fitting(self, role: Role) -> list[int]:
        """Return how many more replicas of a role fit into each bound on its GPUs."""
        held = {each: pool.billed for each, pool in self._fleet.pools().items()}
        mine = (limit for limit in self._limits if role in limit.roles)
        return [max(limit.left(held, self._gpus), 0) // self._gpus[role] for limit in mine]
