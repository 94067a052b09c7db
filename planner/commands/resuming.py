"""Go on from what the last record of a deployment had learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.learning.learned import Learned
    from planner.wiring import Deployment


def learner(chosen: Deployment) -> Learned:
    """Return what learns start-ups and speeds, with those of the last record in the deployment's journal.

    Those of another profile may be those of another layout: they are left.
    """
    from planner.learning.learned import Learned
    from planner.record.journal import Journal

    found = Learned(chosen.policy.plan, chosen.served.layouts)
    last = Journal(chosen.loaded.settings.journal.to_policy()).last(chosen.policy.deployment)
    if last is not None and last.profile_digest == chosen.served.profile_digest:
        found.seed(last.readiness)
    return found
