"""A query of the user's own becomes series on one grid, or one sentence that says why not."""

from itertools import pairwise

import pytest

from models.errors import ObserveError
from models.policy import PrometheusPolicy
from planner.observe.prometheus import PrometheusServer
from planner.observe.seriesquery import cut, query_series
from tests.unit.observe.http_server import Request, answering, series, success

NOW_S = 1_715_475_600


def asked(body: str, span_s: float = 3600.0) -> tuple[list[Request], object]:
    with answering(lambda request: (200, body)) as server:
        reader = PrometheusServer(PrometheusPolicy(server.url, "", retries=0))
        return server.requests, query_series(reader, "sum(rate(requests[1m]))", NOW_S + 17, span_s, 60)


def test_a_value_is_that_of_the_step_which_ends_at_its_time() -> None:
    body = success([{"metric": {}, "values": [[NOW_S - 120 + 60 * i, str(5 + i)] for i in range(3)]}])

    requests, found = asked(body)

    assert isinstance(found, list)
    (reading,) = found
    assert reading.name == "sum(rate(requests[1m]))"
    assert reading.series.start_s == NOW_S - 180
    assert reading.series.values.tolist() == [5, 6, 7]
    (request,) = requests
    assert request.query["query"] == "sum(rate(requests[1m]))"
    assert float(request.query["start"]) == NOW_S - 3600
    assert float(request.query["end"]) == NOW_S
    assert float(request.query["step"]) == 60


def test_samples_that_say_nothing_and_warnings_are_told() -> None:
    pairs = [(NOW_S - 60 * i, "NaN" if i == 2 else i) for i in range(6, -1, -1)]
    body = success([series("x", pairs)], warnings=["3 blocks are missing"])

    _, found = asked(body)

    assert isinstance(found, list)
    assert found[0].notes == (
        "Prometheus warns: 3 blocks are missing",
        "1 samples were NaN or infinite",
        "1 gap, 1m in all, the longest 1m",
    )
    assert found[0].series.known.tolist() == [True, True, True, True, False, True, True]


def test_a_query_without_an_answer_or_with_too_many_says_so() -> None:
    with pytest.raises(ObserveError, match="has nothing for 'sum"):
        asked(success([]))
    many = [series("x", [(NOW_S - 60, 1), (NOW_S, 2)], pod=f"p{i}") for i in range(11)]
    with pytest.raises(ObserveError, match=r"matches 11 series; narrow it, or aggregate it, as with sum"):
        asked(success(many))


@pytest.mark.parametrize(
    ("span_s", "step_s"), [(3600, 60), (14 * 86_400, 60), (365 * 86_400, 900), (86_400, 7)]
)
def test_a_long_span_is_cut_into_what_prometheus_answers(span_s: int, step_s: int) -> None:
    chunks = cut(NOW_S + 17.3, span_s, step_s)

    assert all((c.end_s - c.start_s) / step_s <= 10_999 for c in chunks)
    assert all(a.end_s == b.start_s for a, b in pairwise(chunks))
    assert all(c.start_s % step_s == c.end_s % step_s == 0 for c in chunks)
    assert NOW_S + 17.3 - step_s < chunks[-1].end_s <= NOW_S + 17.3
    assert chunks[0].start_s <= NOW_S + 17.3 - span_s < chunks[0].start_s + 2 * step_s
