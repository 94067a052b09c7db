"""Define what a guard is: a proposal and a context in, a proposal and its adjustments out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from models.artifact import LayoutProfile
from models.decision import Adjustment, Reason, Sizing
from models.observation import Observation
from models.policy import DecidePolicy, PlanPolicy
from models.values import Role


@dataclass(frozen=True, slots=True)
class Context:
    """Hold everything that guards may look at; none of it changes during a decision."""

    observation: Observation
    sizing: Sizing | None
    plan: PlanPolicy
    decide: DecidePolicy
    layouts: Mapping[Role, LayoutProfile]

    def current(self, role: Role) -> int:
        """Return the count that the owner asks for now."""
        return self.observation.pools[role].desired

    def gpus(self, role: Role) -> int:
        """Return the GPUs of one replica."""
        return self.layouts[role].gpus


@dataclass(frozen=True, slots=True)
class Proposal:
    """Hold the counts proposed so far.

    A `locked` role must not be changed by later guards; no later guard goes below a role's `least` or above
    its `most`, save that ups still shrink to what budget, nodes and free GPUs allow.
    """

    counts: Mapping[Role, int]
    locked: frozenset[Role] = frozenset()
    least: Mapping[Role, int] = field(default_factory=dict)
    most: Mapping[Role, int] = field(default_factory=dict)

    def with_count(self, role: Role, count: int) -> "Proposal":
        """Return a proposal with one count replaced."""
        return replace(self, counts={**self.counts, role: count})

    def at_least(self, least: Mapping[Role, int]) -> "Proposal":
        """Return a proposal in which these counts are the least that later guards may leave."""
        raised = {role: max(count, self.least.get(role, count)) for role, count in least.items()}
        return replace(self, least={**self.least, **raised})

    def at_most(self, most: Mapping[Role, int]) -> "Proposal":
        """Return a proposal in which these counts are the most that later guards may leave."""
        lowered = {role: min(count, self.most.get(role, count)) for role, count in most.items()}
        return replace(self, most={**self.most, **lowered})

    def lock(self, roles: Iterable[Role]) -> "Proposal":
        """Return a proposal in which these roles stay as they are."""
        return replace(self, locked=self.locked | frozenset(roles))


Verdict = tuple[Proposal, tuple[Adjustment, ...]]
Guard = Callable[[Proposal, Context], Verdict]


@dataclass(frozen=True, slots=True)
class Change:
    """One role's new count as a guard wants it."""

    role: Role
    after: int
    reason: Reason
    sentence: str


def adjust(guard: str, proposal: Proposal, changes: Iterable[Change], say_always: bool = False) -> Verdict:
    """Apply a guard's changes; a change to the same count is told only when asked to `say_always`."""
    adjustments = []
    for change in changes:
        before = proposal.counts[change.role]
        if before == change.after and not say_always:
            continue
        adjustments.append(
            Adjustment(guard, change.role, before, change.after, change.reason, change.sentence)
        )
        proposal = proposal.with_count(change.role, change.after)
    return proposal, tuple(adjustments)


def bounded(
    guard: str,
    proposal: Proposal,
    least: Mapping[Role, int],
    most: Mapping[Role, int],
    reason: Reason,
    sentences: Mapping[Role, str],
) -> Verdict:
    """Keep roles at or above their `least` and at or below their `most`, here and in later guards."""
    changes = [
        Change(
            role, min(max(n, least.get(role, n)), most.get(role, max(n, least.get(role, n)))), reason, said
        )
        for role, n in proposal.counts.items()
        if (said := sentences.get(role)) is not None
    ]
    result, adjustments = adjust(guard, proposal, changes)
    return result.at_least(least).at_most(most), adjustments
