"""Go on from what the last record of a deployment had learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.learning.time_to_ready import TimeToReady
    from planner.wiring import Deployment


def time_to_ready(chosen: Deployment) -> TimeToReady:
    """Return what learns start-ups, with those of the last record in the deployment's journal.

    Start-ups of another profile may be those of another layout: they are left.
    """
    from planner.learning.time_to_ready import TimeToReady
    from planner.record.journal import Journal

    learner = TimeToReady(chosen.policy.plan)
    last = Journal(chosen.loaded.settings.journal.to_policy()).last(chosen.policy.deployment)
    if last is not None and last.profile_digest == chosen.served.profile_digest:
        learner.seed(last.readiness)
    return learner
