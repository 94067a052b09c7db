"""A person's annotation on a target is obeyed, and one that cannot be read pauses the role and says so."""

import pytest

from models.values import Role
from planner.cluster.pauses import Pauses, pauses

PREFILL, DECODE = Role.PREFILL, Role.DECODE


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ({}, Pauses()),
        ({"headgate.io/paused": "true"}, Pauses(paused=True)),
        ({"headgate.io/paused": ""}, Pauses(paused=True)),
        ({"headgate.io/paused": "False "}, Pauses()),
        ({"headgate.io/paused-scale-in": "yes"}, Pauses(scale_in=True)),
        ({"headgate.io/paused-scale-out": "on"}, Pauses(scale_out=True)),
        ({"headgate.io/pinned-replicas": "4"}, Pauses(pinned_replicas=4)),
        ({"headgate.io/pinned-replicas": "prefill=4, decode=2"}, Pauses(pinned_replicas=4)),
        ({"headgate.io/pinned-replicas": "decode=2"}, Pauses()),
        ({"headgate.io/intent": "{}", "example.com/paused": "true"}, Pauses()),
    ],
)
def test_what_is_written_is_done(annotations: dict[str, str], told: Pauses) -> None:
    assert pauses(annotations, "Prefiller", PREFILL) == told


def test_a_value_names_the_roles_that_it_is_meant_for() -> None:
    both = {"headgate.io/paused": "prefill", "headgate.io/paused-scale-in": "prefill=no,decode=yes"}

    assert pauses(both, role=PREFILL) == Pauses(paused=True)
    assert pauses(both, role=DECODE) == Pauses(scale_in=True)


def test_what_is_said_of_one_component_counts_before_what_is_said_of_all() -> None:
    said = {"headgate.io/pinned-replicas": "4", "headgate.io/pinned-replicas.decoder": "2"}

    assert pauses(said, "Decoder", DECODE).pinned_replicas == 2
    assert pauses(said, "Prefiller", PREFILL).pinned_replicas == 4


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("paused", "flase", "paused, as headgate.io/paused says neither true nor false: 'flase'"),
        ("paused", "prefill=maybe", "neither true nor false"),
        ("paused-scale-in", "2", "headgate.io/paused-scale-in says neither true nor false: '2'"),
        ("pinned-replicas", "-1", "is no count of at least 1"),
        ("pinned-replicas", "0", "is no count of at least 1"),
        ("pinned-replicas", "four", "is no count of at least 1"),
        ("pinned-replicas", "prefill", "is no count of at least 1"),
        ("pinned-replicas", "prefill=1e3", "is no count of at least 1"),
        ("pinned-replicas", "9" * 5000, "is no count of at least 1"),
        ("pinned-replicas", "decode=x", "is no count of at least 1"),
        ("pause", "true", "headgate.io/pause is no annotation of ours; did you mean headgate.io/paused?"),
        ("pinned", "4", "did you mean headgate.io/pinned-replicas?"),
    ],
)
def test_what_cannot_be_read_pauses_and_is_told(key: str, value: str, said: str) -> None:
    found = pauses({f"headgate.io/{key}": value}, role=PREFILL)

    assert found.paused
    assert said in found.problems[0]
    assert found.forbids(2, 3) == "; ".join(found.problems)
