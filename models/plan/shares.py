"""Turn the claims on a shared pool into what each deployment may take at this tick, and say why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.gpu_pool import GpuPool, Membership, PoolShare
from models.plan.claims import standing_claim
from models.plan.fleet_plan import Claim, FleetPlan, plan_fleet

# Times that a plan whose fleets do not find room in the nodes together is made again with a GPU less.
_SMALLER = 16


@dataclass(frozen=True, slots=True)
class Member:
    """Hold what is known of one deployment of a pool.

    `held_gpus` is what it occupies, drains or has ordered. `unseen` says why its claim is only what it holds,
    or what it was promised where not even that is known (empty: it was looked at).
    """

    membership: Membership
    claim: Claim
    held_gpus: int
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class Division:
    """Hold one division of a pool: the GPUs of each deployment, and what they were divided by."""

    pool: GpuPool
    members: Mapping[str, Member]
    claims: Mapping[str, Claim]
    gpus: Mapping[str, int]
    overdrawn_gpus: int

    def share(self, deployment: str) -> PoolShare:
        """Return what one deployment gets, with the room that the others leave at this moment."""
        others = {name: m.held_gpus for name, m in self.members.items() if name != deployment}
        claim = self.claims[deployment]
        return PoolShare(
            pool=self.pool.name,
            pool_gpus=self.pool.gpus,
            gpus=self.gpus[deployment],
            needed_gpus=claim.needed_gpus,
            room_gpus=max(self.pool.gpus - sum(others.values()), 0),
            sentence=_sentence(self, claim),
            others_gpus=others,
            held_gpus=self.members[deployment].held_gpus,
            guaranteed_gpus=claim.guaranteed_gpus,
            priority=claim.priority,
        )


def divide(pool: GpuPool, members: Sequence[Member], acting: bool) -> Division:
    """Divide a pool among its deployments.

    `acting`: the division that deployments go by that act on their fleets. Those that do not act keep what
    they hold then, because nobody would take or give their GPUs. Otherwise the division as it would be if all
    of them acted, which is what those are shown.

    What nobody needs goes to those that had better keep more than they need, the highest priority first.
    """
    known = {m.membership.deployment: m for m in members}
    claims = [
        standing_claim(m.membership, m.held_gpus, widths=m.claim.widths)
        if acting and not m.membership.acts
        else m.claim
        for m in members
    ]
    plan, usable = _placed(claims, pool)
    gpus = {name: rung.gpus for name, rung in plan.chosen.items()}
    spare = usable - plan.used_gpus
    ordered = sorted(claims, key=lambda claim: (-claim.priority, claim.deployment))
    for wanted in (_worth_keeping, _up_to_the_next_rung):
        for claim in ordered:
            more = min(max(wanted(claim, plan) - gpus[claim.deployment], 0), max(spare, 0))
            gpus[claim.deployment] += more
            spare -= more
    return Division(pool, known, {c.deployment: c for c in claims}, gpus, plan.overdrawn_gpus)


def _worth_keeping(claim: Claim, plan: FleetPlan) -> int:
    """Return what a deployment had better keep: the need over its hold time, and what it still runs."""
    return max(claim.hold_gpus, claim.running_gpus)


def _up_to_the_next_rung(claim: Claim, plan: FleetPlan) -> int:
    """Return the GPUs up to which a deployment that is short can use some: its ladder is not complete."""
    chosen = plan.chosen[claim.deployment].gpus
    return min((rung.gpus for rung in claim.ladder if rung.gpus > chosen), default=chosen + 1) - 1


def _placed(claims: Sequence[Claim], pool: GpuPool) -> tuple[FleetPlan, int]:
    """Plan the fleet, and return the GPUs that it may use.

    Where the nodes cannot hold all of it together it is planned with a little less.
    """
    plan = first = plan_fleet(claims, pool.gpus)
    gpus = pool.gpus
    for _ in range(_SMALLER):
        if plan.overdrawn_gpus or _fits(plan, claims, pool):
            return plan, gpus
        gpus = min(gpus, plan.used_gpus) - 1
        plan = plan_fleet(claims, gpus)
    # What stands already where it does not fit is no matter of a few GPUs.
    return first, pool.gpus


def _fits(plan: FleetPlan, claims: Sequence[Claim], pool: GpuPool) -> bool:
    if pool.topology is None:
        return True
    by_width: dict[int, int] = {}
    for claim in claims:
        rung = plan.chosen[claim.deployment]
        # Of a fleet that was not looked at nothing is known but its GPUs: they fill any hole.
        pairs = [(claim.widths[role], n) for role, n in rung.counts.items()] or [(1, rung.gpus)]
        for width, count in pairs:
            by_width[width] = by_width.get(width, 0) + count
    return pool.topology.fits(by_width, one_clique=pool.topology.single)


def _sentence(division: Division, claim: Claim) -> str:
    """Say what the deployment gets, and who or what keeps it from more."""
    pool, gpus, needed = division.pool, division.gpus[claim.deployment], claim.needed_gpus
    if gpus >= needed:
        said = f"{needed} of the {pool.gpus} GPUs of pool {pool.name}, as needed"
        if gpus > needed:
            said += f"; up to {gpus} may be kept"
    else:
        said = f"the pool {pool.name} of {pool.gpus} GPUs binds: {gpus} of the {needed} needed"
        said += _who(division, claim)
    for name, member in division.members.items():
        if member.unseen and name != claim.deployment:
            said += f"; {name} {member.unseen}"
    return said


def _who(division: Division, claim: Claim) -> str:
    """Say who goes first, what is guaranteed, and what cannot be divided."""
    others = [c for name, c in division.claims.items() if name != claim.deployment]
    said = ""
    first = sorted(c.deployment for c in others if c.priority > claim.priority)
    if first:
        said += f"; {_listed(first)} {'goes' if len(first) == 1 else 'go'} first"
    equal = sorted(c.deployment for c in others if c.priority == claim.priority)
    if equal and not first:
        said += f"; it shares with {_listed(equal)} where most promises are kept"
    guaranteed = sorted(
        c.deployment for c in others if c.guaranteed_gpus > 0 and c.priority <= claim.priority
    )
    if guaranteed:
        said += f"; what is guaranteed to {_listed(guaranteed)} stays theirs"
    if claim.guaranteed_gpus:
        said += f"; {claim.guaranteed_gpus} are guaranteed"
    if division.overdrawn_gpus:
        said += f"; floors, guarantees and what is held exceed the pool by {division.overdrawn_gpus}"
    return said


def _listed(names: Sequence[str]) -> str:
    """Write names as a sentence does; more than three are counted."""
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def unseen(membership: Membership, held_gpus: int | None, why: str) -> Member:
    """Return a deployment that cannot be looked at: it keeps what it holds.

    Where not even that is known (`None`), its floor or its guarantee is kept for it.
    """
    gpus = max(membership.floor_gpus, membership.guaranteed_gpus) if held_gpus is None else held_gpus
    said = f"{why}, {gpus} GPUs are kept for it"
    return Member(membership, standing_claim(membership, gpus), gpus, said)
