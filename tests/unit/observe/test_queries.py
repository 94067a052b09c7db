"""What is asked of Prometheus."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ObserveError
from models.policy import ClassMatch
from planner.observe import queries
from planner.observe.queries import Matcher

DAY_S = 86_400


def test_label_values_cannot_break_out_of_their_matcher() -> None:
    hostile = 'shop"} or vector(1) #\\\n'

    assert queries.selector(["up"], queries.equal({"model": hostile})) == (
        'up{model="shop\\"} or vector(1) #\\\\\\n"}'
    )


def test_alternatives_match_literally() -> None:
    assert str(queries.one_of("instance", ["10.0.0.1:8000", "a|b"])) == (
        'instance=~"10\\\\.0\\\\.0\\\\.1:8000|a\\\\|b"'
    )


def test_several_names_are_read_with_one_selector() -> None:
    selector = queries.selector(["vllm:a", "vllm:b"], queries.equal({"model": "m"}))

    assert selector == '{__name__=~"vllm:a|vllm:b",model="m"}'


@given(until_s=st.floats(1e9, 3e9), span_s=st.floats(60, 90 * DAY_S), limit=st.integers(50, 11_000))
def test_chunks_cover_the_span_without_holes_within_the_servers_limit(
    until_s: float, span_s: float, limit: int
) -> None:
    cut = queries.chunks(until_s, span_s, limit)

    assert cut[0].start_s <= until_s - span_s
    assert until_s - 60 < cut[-1].end_s <= until_s
    for earlier, later in pairwise(cut):
        assert earlier.end_s == later.start_s
        assert earlier.step_s >= later.step_s
    for chunk in cut:
        assert (chunk.end_s - chunk.start_s) // chunk.step_s + 1 <= limit
        assert chunk.end_s - chunk.start_s <= 4 * DAY_S
        assert chunk.start_s % chunk.step_s == chunk.end_s % chunk.step_s == 0


def test_a_week_is_read_by_the_minute_where_it_is_recent() -> None:
    cut = queries.chunks(1_716_076_800.0, 7 * DAY_S)

    assert [(c.end_s - c.start_s, c.step_s) for c in cut] == [
        (DAY_S, 300),
        (4 * DAY_S, 300),
        (2 * DAY_S, 60),
    ]


def test_one_class_needs_no_labels() -> None:
    found = queries.class_matchers([ClassMatch("chat")], {"model": "m"})

    assert found == {"chat": (Matcher("model", "m"),)}


def test_the_class_without_labels_takes_what_the_others_leave() -> None:
    matches = [ClassMatch("pages", labels={"tier": "web"}), ClassMatch("email")]

    found = queries.class_matchers(matches, {"model": "m"})

    assert [str(m) for m in found["pages"]] == ['model="m"', 'tier="web"']
    assert [str(m) for m in found["email"]] == ['model="m"', 'tier!="web"']


def test_classes_that_prometheus_cannot_tell_apart_are_refused_by_name() -> None:
    matches = [ClassMatch("pages", min_input_tokens=4000), ClassMatch("email")]

    with pytest.raises(ObserveError, match=r"pages, email apart.*match\.labels"):
        queries.class_matchers(matches, {})


def test_a_rest_that_promql_cannot_spell_is_refused() -> None:
    matches = [ClassMatch("pages", labels={"tier": "web", "site": "eu"}), ClassMatch("email")]

    with pytest.raises(ObserveError, match="email takes what the others leave, but pages matches several"):
        queries.class_matchers(matches, {})
