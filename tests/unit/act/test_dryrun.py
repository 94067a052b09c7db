"""A dry run says what it would do, and claims to have done nothing."""

from models.decision import Adjustment, Decision, Outcome, Reason, Status
from models.values import Role
from planner.act.dryrun import DryRun
from tests import builders

CURRENT = {Role.PREFILL: 6, Role.DECODE: 3}


def act(final: dict[Role, int], *adjustments: Adjustment) -> Outcome:
    return DryRun().act(Decision(CURRENT, final, final, adjustments), builders.observation())


def test_a_wanted_change_is_told_and_never_called_applied() -> None:
    outcome = act({Role.PREFILL: 9, Role.DECODE: 3})

    assert outcome == Outcome(Status.UNCHANGED, "dry run: would change prefill 6 -> 9")


def test_no_change_is_unchanged() -> None:
    assert act(CURRENT) == Outcome(Status.UNCHANGED, "dry run: nothing to change")


def test_counts_kept_for_want_of_data_are_held() -> None:
    stale = Adjustment("freshness", Role.DECODE, 2, 3, Reason.STALE, "held: demand is 10m old")

    assert act(CURRENT, stale).status is Status.HELD
