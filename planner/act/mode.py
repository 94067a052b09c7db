"""Do with a decision what the deployment's mode allows: write it down, publish it, or apply it."""

from models.decision import Decision, Outcome, Status
from models.errors import ConfigError
from models.observation import Observation
from models.policy import Mode
from planner.act.dryrun import DryRun
from planner.ports import Actuator


class Observe:
    """Implement the Actuator port for a deployment that is only watched: the decision is in its Record."""

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Return that nothing was done, and what was decided."""
        if decision.held:
            return Outcome(Status.HELD, "observe: counts are held for want of data")
        wanted = [f"{role} {decision.current[role]} -> {count}" for role, count in decision.changes.items()]
        return Outcome(Status.UNCHANGED, f"observe: {', '.join(wanted) or 'nothing to change'}")


def actuator_for(
    mode: Mode, deployment: str, acting: Actuator | None, checking: Actuator | None = None
) -> Actuator:
    """Return what a deployment of this mode may do: nothing, say what it would do, or what `acting` does.

    `checking` is what a deployment that recommends does where there is a cluster: it lets the server check
    what would be applied; `None`: what would be applied is only said.
    Raises ConfigError for a deployment that is to act where nothing can.
    """
    if mode is Mode.OBSERVE:
        return Observe()
    if mode is Mode.RECOMMEND:
        return DryRun() if checking is None else checking
    if acting is None:
        raise ConfigError(
            f"deployment {deployment}: its mode is act, and nothing here can change its pools; run with "
            "--dry-run, or set mode: recommend"
        )
    return acting


def publishes(mode: Mode) -> bool:
    """Say whether a deployment's counts are published for others to take up; observed ones are not."""
    return mode is not Mode.OBSERVE
