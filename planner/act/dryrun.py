"""Say what a decision would do and touch nothing."""

from models.decision import Decision, Outcome, Status
from models.observation import Observation


class DryRun:
    """Implement the Actuator port without acting; the decision is the same as a live one, to the byte.

    The fleet stays as it is, so the outcome is `unchanged` even where a change is wanted: its detail says
    which. It is `held` where missing or stale data kept every count. A live tick alone can be `applied`.
    """

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Return what would have been done."""
        wanted = [f"{role} {decision.current[role]} -> {count}" for role, count in decision.changes.items()]
        if wanted:
            return Outcome(Status.UNCHANGED, f"dry run: would change {', '.join(wanted)}")
        if decision.held:
            return Outcome(Status.HELD, "dry run: counts are held for want of data")
        return Outcome(Status.UNCHANGED, "dry run: nothing to change")
