"""A tick gives the cluster so much time and no more, and waits where a server asks it to."""

from typing import Any

import pytest

from models.errors import ClusterError, OutOfTimeError
from planner.act.patience import PatientCluster
from planner.act.results import explained, joined
from tests.acting import Breaking, StillClock


class Refusing:
    """Refuse the first `times` reads."""

    def __init__(self, error: ClusterError, times: int) -> None:
        self.error, self.times, self.asked = error, times, 0

    def get(self, *_: object, **__: object) -> dict[str, Any] | None:
        self.asked += 1
        if self.asked <= self.times:
            raise self.error
        return {}


def asked(error: ClusterError, times: int, patience_s: float = 10.0) -> tuple[StillClock, int, bool]:
    """Return the clock, how often was asked, and whether there was an answer in the end."""
    refusing, clock = Refusing(error, times), StillClock()
    patient = PatientCluster(Breaking(refusing), clock, clock.sleep, patience_s)  # type: ignore[arg-type]
    try:
        answered = patient.get("v1", "Pod", "a", "b") is not None
    except ClusterError:
        answered = False
    return clock, refusing.asked, answered


@pytest.mark.parametrize(
    ("status", "retry_after_s", "slept"),
    [(429, 2.0, [2.0, 2.0]), (429, None, [1.0, 1.0]), (429, 0.0, [1.0, 1.0]), (503, 2.0, [2.0, 2.0])],
)
def test_a_time_to_wait_is_kept(status: int, retry_after_s: float | None, slept: list[float]) -> None:
    clock, times, answered = asked(ClusterError("busy", status, retry_after_s), 2)
    assert (clock.slept, times, answered) == (slept, 3, True)


@pytest.mark.parametrize(
    ("status", "retry_after_s"), [(429, 60.0), (503, None), (500, 1.0), (403, None), (0, None)]
)
def test_what_waiting_does_not_help_is_told_at_once(status: int, retry_after_s: float | None) -> None:
    clock, times, answered = asked(ClusterError("no", status, retry_after_s), 99)
    assert (clock.slept, times, answered) == ([], 1, False)


def test_a_server_that_is_busy_for_good_ends_the_tick_in_time() -> None:
    clock, times, answered = asked(ClusterError("busy", 429, 3.0), 99, patience_s=10.0)
    assert sum(clock.slept) < 10.0
    assert (times, answered) == (4, False)


def test_nothing_is_asked_when_the_time_is_up() -> None:
    clock, refusing = StillClock(), Refusing(ClusterError("never"), 0)
    patient = PatientCluster(Breaking(refusing), clock, clock.sleep, 10.0)  # type: ignore[arg-type]
    clock.at_s += 10.0
    with pytest.raises(OutOfTimeError, match="10 s of this tick are up"):
        patient.get("v1", "Pod", "a", "b")
    assert refusing.asked == 0


def test_a_denied_verb_is_explained_with_the_rule_that_grants_it_and_a_quota_is_not() -> None:
    denied = (
        'deployments.apps "decode" is forbidden: User "system:serviceaccount:chat:headgate" cannot patch '
        'resource "deployments/scale" in API group "apps" in the namespace "chat"'
    )
    said = explained(ClusterError(denied, 403))
    assert 'lacks {apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"]}' in said
    assert "the Role in namespace chat" in said
    assert explained(ClusterError("exceeded quota", 403)) == "exceeded quota"


def test_a_tick_in_which_nothing_came_of_nothing_is_unchanged() -> None:
    assert joined({}).status == "unchanged"
