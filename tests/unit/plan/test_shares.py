"""How a pool is shared at one tick: who counts with what, and what each is told."""

from dataclasses import replace

from models.gpu_pool import GpuPool, Membership, with_share
from models.plan.fleet_plan import Claim, Rung
from models.plan.shares import Member, divide, unseen
from models.topology import Topology
from models.values import Role
from tests.builders import plan_policy

POOL = GpuPool("gb200", 64)


def member(
    name: str,
    need: int,
    holds: int,
    priority: int = 0,
    guaranteed: int = 0,
    acts: bool = True,
    hold_gpus: int = 0,
) -> Member:
    """Make a deployment of replicas of four GPUs each, whose every replica keeps 10 requests/s."""
    rungs = tuple(Rung(4 * n, 10.0 * n, {Role.AGGREGATED: n}) for n in range(1, need // 4 + 1))
    standing = Membership(name, guaranteed, priority, acts, 4)
    claim = Claim(name, rungs, priority, guaranteed, holds, need, max(hold_gpus, need), {Role.AGGREGATED: 4})
    return Member(standing, claim, holds)


def test_the_sentence_names_what_binds_and_who_goes_first() -> None:
    both = [member("chat", 40, 40, priority=10), member("mail", 52, 24)]
    share = divide(POOL, both, acting=True).share("mail")

    assert (share.gpus, share.needed_gpus, share.binds) == (24, 52, True)
    assert share.sentence == "the pool gb200 of 64 GPUs binds: 24 of the 52 needed; chat goes first"


def test_room_is_what_the_others_do_not_hold_at_this_moment() -> None:
    both = [member("chat", 48, 16, priority=10), member("mail", 16, 44)]
    share = divide(POOL, both, acting=True).share("chat")

    assert share.gpus == 48
    assert share.room_gpus == 64 - 44
    assert share.others_gpus == {"mail": 44}


def test_what_nobody_needs_stays_with_those_that_had_better_keep_it() -> None:
    both = [member("chat", 20, 32, priority=10), member("mail", 20, 20, hold_gpus=28)]
    division = divide(POOL, both, acting=True)

    assert (division.share("chat").gpus, division.share("mail").gpus) == (32, 28)
    assert (
        "20 of the 64 GPUs of pool gb200, as needed; up to 32 may be kept" in division.share("chat").sentence
    )


def test_a_surplus_is_given_as_soon_as_another_needs_it() -> None:
    both = [member("chat", 20, 44), member("mail", 44, 20)]

    assert divide(POOL, both, acting=True).share("chat").gpus == 20


def test_a_guarantee_comes_back_to_its_owner_when_it_needs_it() -> None:
    both = [member("chat", 60, 60, priority=10), member("mail", 32, 4, guaranteed=24)]
    division = divide(POOL, both, acting=True)

    assert (division.share("chat").gpus, division.share("mail").gpus) == (40, 24)
    assert "what is guaranteed to mail stays theirs" in division.share("chat").sentence
    assert "24 are guaranteed" in division.share("mail").sentence


def test_nobody_takes_the_gpus_of_a_deployment_that_is_only_watched() -> None:
    """It does not act, so that what it does not need would never be freed, and what it needs never taken."""
    watched = [member("chat", 60, 16, priority=10), member("mail", 8, 40, acts=False)]
    division = divide(POOL, watched, acting=True)

    assert division.share("chat").gpus == 64 - 40
    hungry = [member("chat", 60, 40), member("mail", 60, 8, priority=10, acts=False)]
    assert divide(POOL, hungry, acting=True).share("chat").gpus == 56


def test_a_deployment_that_is_watched_is_shown_the_division_as_if_all_acted() -> None:
    both = [member("chat", 60, 16), member("mail", 40, 16, priority=10, acts=False)]
    shown = divide(POOL, both, acting=False)

    assert (shown.share("mail").gpus, shown.share("chat").gpus) == (40, 24)


def test_a_deployment_that_cannot_be_seen_keeps_its_gpus() -> None:
    lost = unseen(Membership("mail", guaranteed_gpus=8), 20, "was last looked at 5m ago")
    share = divide(POOL, [member("chat", 60, 16, priority=10), lost], acting=True).share("chat")

    assert share.gpus == 44
    assert share.sentence.endswith("; mail was last looked at 5m ago, 20 GPUs are kept for it")


def test_floors_and_what_is_held_beyond_the_pool_are_told() -> None:
    lost = unseen(Membership("mail"), 70, "was last looked at 5m ago")
    share = divide(POOL, [member("chat", 60, 4), lost], acting=True).share("chat")

    assert share.gpus == 4
    assert "floors, guarantees and what is held exceed the pool by 10" in share.sentence


def test_fleets_that_fit_apart_but_not_together_into_the_nodes_are_cut() -> None:
    """Three GPUs a replica leave one of each tray of four empty: nine replicas need nine of eight trays."""
    wide = {Role.AGGREGATED: 3}

    def of_three(name: str) -> Member:
        one = member(name, 20, 0)
        rungs = tuple(Rung(3 * n, 10.0 * n, {Role.AGGREGATED: n}) for n in range(1, 6))
        return replace(one, claim=replace(one.claim, ladder=rungs, widths=wide, needed_gpus=15, hold_gpus=15))

    pool = GpuPool("gb200", 32, Topology(4, 32, 1))
    division = divide(pool, [of_three("chat"), of_three("mail")], acting=True)
    replicas = sum(
        max(r.gpus for r in claim.ladder if r.gpus <= division.gpus[name]) // 3
        for name, claim in division.claims.items()
    )

    assert replicas == 8


def test_the_tighter_of_share_and_own_budget_holds() -> None:
    share = divide(POOL, [member("chat", 40, 40)], acting=True).share("chat")
    own = with_share(plan_policy(budget_gpus=12), share)
    pooled = with_share(plan_policy(budget_gpus=60), share)

    assert (own.budget_gpus, own.room_gpus, own.budget_said()) == (12, 64, "12-GPU budget")
    assert (pooled.budget_gpus, pooled.budget_said()) == (40, "share of pool gb200, 40 of 64 GPUs,")
    assert with_share(plan_policy(), None) == plan_policy()
