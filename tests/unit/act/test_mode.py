"""What a mode lets a decision do: nothing, be said, or be applied."""

import pytest

from models.decision import Adjustment, Decision, Outcome, Reason, Status
from models.errors import ConfigError
from models.observation import Observation
from models.policy import Mode
from models.values import Role
from planner.act.mode import actuator_for, publishes
from tests import builders

CURRENT = {Role.PREFILL: 6, Role.DECODE: 3}


class Applies:
    """Stand where a cluster would be changed, and keep what was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[Role, int]] = []

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        self.asked.append(decision.changes)
        return Outcome(Status.APPLIED)


def acted(mode: Mode, final: dict[Role, int], *adjustments: Adjustment) -> tuple[Outcome, Applies]:
    cluster = Applies()
    decision = Decision(CURRENT, final, final, adjustments)
    return actuator_for(mode, "shop", cluster).act(decision, builders.observation()), cluster


def test_observe_writes_down_and_changes_nothing() -> None:
    outcome, cluster = acted(Mode.OBSERVE, {Role.PREFILL: 9, Role.DECODE: 3})
    assert outcome == Outcome(Status.UNCHANGED, "observe: prefill 6 -> 9")
    assert cluster.asked == []
    assert acted(Mode.OBSERVE, CURRENT)[0].detail == "observe: nothing to change"


def test_recommend_says_what_it_would_do_and_changes_nothing() -> None:
    outcome, cluster = acted(Mode.RECOMMEND, {Role.PREFILL: 9, Role.DECODE: 3})
    assert outcome == Outcome(Status.UNCHANGED, "dry run: would change prefill 6 -> 9")
    assert cluster.asked == []


def test_act_applies() -> None:
    outcome, cluster = acted(Mode.ACT, {Role.PREFILL: 9, Role.DECODE: 3})
    assert outcome.status is Status.APPLIED
    assert cluster.asked == [{Role.PREFILL: 9}]


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.RECOMMEND])
def test_counts_kept_for_want_of_data_are_held_in_every_mode(mode: Mode) -> None:
    stale = Adjustment("freshness", Role.DECODE, 2, 3, Reason.STALE, "held: demand is 10m old")
    assert acted(mode, CURRENT, stale)[0].status is Status.HELD


def test_to_act_where_nothing_can_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"deployment shop: its mode is act.*--dry-run"):
        actuator_for(Mode.ACT, "shop", None)
    assert actuator_for(Mode.OBSERVE, "shop", None) is not None


def test_counts_are_published_for_those_that_may_be_followed() -> None:
    assert [mode for mode in Mode if publishes(mode)] == [Mode.RECOMMEND, Mode.ACT]
