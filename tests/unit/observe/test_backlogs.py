"""What waits outside the engines is read from Prometheus; what cannot be read is a gap and no zero."""

from models.deferral import Backlog
from models.observation import Observation
from models.policy import PrometheusPolicy
from planner.observe.backlogs import BacklogQuery, WithBacklogs
from planner.observe.prometheus import PrometheusServer
from tests.builders import AT_S, observation
from tests.unit.observe.http_server import Request, answering, series, success

DEPTH, AGE = "rabbitmq_queue_messages", "max(queue_age_seconds)"


class Seen:
    def observe(self, now_s: float) -> Observation:
        return observation(at_s=now_s)


def look(values: dict[str, list[float]], query: BacklogQuery) -> Observation:
    """Look while Prometheus answers each query with a series of each of its values."""

    def answer(request: Request) -> tuple[int, str]:
        found = values.get(request.query["query"])
        if found is None:
            return 500, "broken"
        return 200, success([series("m", [(AT_S, v)], queue=str(i)) for i, v in enumerate(found)])

    with answering(answer) as prometheus:
        server = PrometheusServer(PrometheusPolicy(prometheus.url, "dynamo", timeout_s=5.0, retries=0))
        return WithBacklogs(Seen(), server, {"email": query}).observe(AT_S)


def test_queues_add_up_and_the_oldest_request_counts() -> None:
    seen = look({DEPTH: [120.0, 30.0], AGE: [60.0, 600.0]}, BacklogQuery(DEPTH, AGE))

    assert seen.demand["email"].backlog == Backlog(150.0, 600.0)
    assert seen.demand["email"].arrivals_rps == observation().demand["email"].arrivals_rps
    assert seen.demand["pages"].backlog is None
    assert seen.gaps == ()


def test_an_empty_queue_has_no_oldest_request() -> None:
    seen = look({DEPTH: [0.0]}, BacklogQuery(DEPTH, AGE))

    assert seen.demand["email"].backlog == Backlog(0.0)


def test_a_query_that_gives_nothing_is_a_gap() -> None:
    answers: tuple[dict[str, list[float]], ...] = ({DEPTH: []}, {DEPTH: [5.0], AGE: []})
    for values in answers:
        seen = look(values, BacklogQuery(DEPTH, AGE))

        assert seen.demand["email"].backlog is None
        assert [gap.what for gap in seen.gaps] == ["backlog of email"]
        assert "gives no value" in seen.gaps[0].reason


def test_a_server_that_fails_is_a_gap() -> None:
    seen = look({}, BacklogQuery(DEPTH))

    assert seen.demand["email"].backlog is None
    assert seen.gaps[0].what == "backlog of email"


def test_a_backlog_below_zero_is_a_gap() -> None:
    seen = look({DEPTH: [-1.0]}, BacklogQuery(DEPTH))

    assert "a backlog is not below 0" in seen.gaps[0].reason
