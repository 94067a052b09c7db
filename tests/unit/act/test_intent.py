"""How a change of two roles that somebody began is brought to an end, from fresh state and its age."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.values import Role
from planner.act.intent import ABANDON_S, FINISH_S, WORKING_S, Ending, Intent, Step, parse, settle
from tests.acting import DECODE, PREFILL

AT_S = 1_000_000.0
UIDS = {PREFILL: "p", DECODE: "d"}


def intent(prefill: tuple[int, int] = (2, 6), decode: tuple[int, int] = (4, 3)) -> Intent:
    return Intent("t", AT_S, "pod-a", {PREFILL: Step("p", *prefill), DECODE: Step("d", *decode)})


def ending(counts: dict[Role, int], age_s: float, holder: str = "pod-b") -> tuple[Ending, dict[Role, int]]:
    found = settle(intent(), counts, UIDS, holder, AT_S + age_s)
    return found.ending, dict(found.to)


@pytest.mark.parametrize(
    ("counts", "age_s", "expected"),
    [
        ({PREFILL: 6, DECODE: 3}, 60.0, (Ending.DONE, {})),
        ({PREFILL: 2, DECODE: 4}, 60.0, (Ending.WITHDRAWN, {})),
        ({PREFILL: 2, DECODE: 3}, WORKING_S - 1, (Ending.AT_WORK, {})),
        ({PREFILL: 2, DECODE: 3}, FINISH_S, (Ending.FINISH, {PREFILL: 6})),
        ({PREFILL: 2, DECODE: 3}, FINISH_S + 1, (Ending.ROLL_BACK, {DECODE: 4})),
        ({PREFILL: 2, DECODE: 3}, ABANDON_S + 1, (Ending.LET_GO, {})),
        ({PREFILL: 5, DECODE: 3}, 60.0, (Ending.LET_GO, {})),
        ({DECODE: 3}, 60.0, (Ending.LET_GO, {})),
    ],
)
def test_an_intent_ends_by_what_is_there_and_its_age(
    counts: dict[Role, int], age_s: float, expected: tuple[Ending, dict[Role, int]]
) -> None:
    assert ending(counts, age_s) == expected


def test_our_own_intent_needs_no_waiting_for() -> None:
    assert ending({PREFILL: 2, DECODE: 3}, 1.0, holder="pod-a")[0] is Ending.FINISH


def test_a_clock_that_is_behind_the_writers_does_not_wait_forever() -> None:
    assert ending({PREFILL: 2, DECODE: 3}, -FINISH_S - 1)[0] is Ending.ROLL_BACK


def test_an_object_that_was_made_anew_is_nobodys_half_change() -> None:
    found = settle(intent(), {PREFILL: 2, DECODE: 3}, {PREFILL: "p", DECODE: "other"}, "pod-b", AT_S + 60)
    assert found.ending is Ending.LET_GO
    assert "decode was made anew" in found.why


def test_an_intent_reads_back_as_it_was_written_and_junk_as_nothing() -> None:
    assert parse(intent().dump()) == intent()
    for junk in ("", "{", "[]", "null", '{"tick": 1}', '{"tick":"t","at_s":1,"holder":"h","roles":[]}'):
        assert parse(junk) is None


COUNT = st.integers(1, 9)


@given(COUNT, COUNT, COUNT, COUNT, st.booleans(), st.floats(0, 7200))
def test_settling_takes_no_replica_away_on_old_knowledge(
    prefill: int, prefill_after: int, decode: int, decode_after: int, first_done: bool, age_s: float
) -> None:
    if prefill == prefill_after or decode == decode_after:
        return
    begun = intent((prefill, prefill_after), (decode, decode_after))
    steps = sorted(begun.roles, key=lambda role: begun.roles[role].after - begun.roles[role].before)
    counts = {role: step.before for role, step in begun.roles.items()}
    if first_done:
        counts[steps[0]] = begun.roles[steps[0]].after

    found = settle(begun, counts, UIDS, "pod-b", AT_S + age_s)

    for role, to in found.to.items():
        assert to != counts[role]
        assert to in (begun.roles[role].before, begun.roles[role].after)
        if age_s > FINISH_S:
            assert to > counts[role]
