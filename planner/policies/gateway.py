"""Count tokens a second that arrive, as an inference gateway's metrics would show them."""

from models.values import Role
from planner.policies.policy import World

# Outputs are as long as those of this many requests that completed last.
_RECENT = 2000


class Gateway:
    """Read the tokens that arrived since the last look: prompts at once, outputs as long as recent ones."""

    def __init__(self) -> None:
        """Begin with the first arrival."""
        self._arrived = 0
        self._looked_s = 0.0

    def read(self, world: World) -> dict[Role, float]:
        """Return tokens a second for each role; decode is left out until a request completed."""
        fleet, ledger = world.fleet, world.fleet.ledger
        span_s = max(fleet.now_s - self._looked_s, 1e-9)
        first, last = self._arrived, ledger.arrivals
        self._arrived, self._looked_s = last, fleet.now_s
        prompts = float(sum(ledger.prefill_tokens[first:last])) / span_s
        found = {Role.PREFILL: prompts, Role.AGGREGATED: prompts}
        recent = ledger.finished[-_RECENT:]
        if recent:
            outputs = sum(ledger.osl_tokens[i] for i in recent) / len(recent)
            found[Role.DECODE] = (last - first) / span_s * outputs
        return {role: tokens for role, tokens in found.items() if role in fleet.plan.layouts}
