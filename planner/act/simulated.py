"""Apply decisions to a simulated fleet."""

from collections.abc import Mapping

from models.decision import Decision, Outcome, Status
from models.observation import Observation
from models.simulation.fleet import Fleet
from models.values import Role


class SimulatedActuator:
    """Scale a simulated fleet on the GPUs that exist.

    `budget_gpus` is how many there are (`None`: any number). Draining replicas still hold theirs. A replica
    for which none is free is not started: its pod would stay pending.
    """

    def __init__(self, fleet: Fleet, budget_gpus: int | None = None) -> None:
        """Act on one fleet."""
        self._fleet = fleet
        self._budget_gpus = budget_gpus
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
            if wanted > before[role] and self._budget_gpus is not None:
                free = max(self._budget_gpus - self._held_gpus(), 0)
                count = min(wanted, before[role] + free // self._fleet.plan.layouts[role].gpus)
            if count != before[role]:
                self._fleet.scale(role, count)
                self.scale_events += 1
            granted[role] = count
        return granted

    def _held_gpus(self) -> int:
        layouts = self._fleet.plan.layouts
        return sum(pool.billed * layouts[role].gpus for role, pool in self._fleet.pools().items())
