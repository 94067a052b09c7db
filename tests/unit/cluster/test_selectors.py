"""Labels are matched against a selector as the API server matches them."""

import pytest

from planner.cluster.selectors import matches


@pytest.mark.parametrize(
    ("selector", "meets"),
    [
        ("", True),
        ("app=chat", True),
        ("app==chat,role=decode", True),
        ("app=mail", False),
        ("app!=mail", True),
        ("tier!=x", True),
        ("role in (prefill, decode)", True),
        ("role in (prefill),app=chat", False),
        ("role notin (prefill)", True),
        ("tier notin (x)", True),
        ("tier in (x)", False),
        ("role", True),
        ("!tier", True),
        ("!role", False),
        ("tier", False),
    ],
)
def test_a_selector_is_met_or_not(selector: str, meets: bool) -> None:
    assert matches({"app": "chat", "role": "decode"}, selector) is meets
