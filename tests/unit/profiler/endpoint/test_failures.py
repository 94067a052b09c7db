"""An endpoint that misbehaves costs a point with a reason, or stops the sweep and says what to do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from models.artifact import Phase
from models.errors import MeasureError
from models.values import Parallelism, Role
from profiler.measure.backend import Refusal, Replica
from tests.openai_engine import Behaviour, Clockwork, http, serving
from tests.unit.profiler.endpoint.benches import TP1, endpoint, measured, point, refused

FAST = Clockwork(prefill_base_s=0.001, step_s=0.002, sequence_s=0.0, context_s=0.0)
PREFILL = point(Phase.PREFILL, batch=2, tokens=600)


def long_prompts(answer: bytes) -> Any:
    """Answer prompts of 500 tokens and more with this."""
    return lambda _, body: answer if len(body["prompt"]) >= 500 else None


def test_nobody_listening_stops_the_sweep_and_says_what_to_do() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(MeasureError, match=f"{url} cannot be reached: .*run the same command again"):
            endpoint(url).describe(Role.AGGREGATED, TP1)


def test_an_endpoint_that_goes_away_between_points_stops_the_sweep() -> None:
    with serving(FAST) as server:
        backend = endpoint(server.url)
        measured(backend, PREFILL)
    with pytest.raises(MeasureError, match=f"{server.url} cannot be reached"):
        backend.measure(PREFILL)


def test_a_model_that_is_not_served_is_answered_with_those_that_are() -> None:
    with (
        serving(FAST, Behaviour(models=("meta/llama", "qwen"))) as server,
        pytest.raises(
            MeasureError, match=r"does not serve tiny; it serves meta/llama, qwen; .*--served-model"
        ),
    ):
        endpoint(server.url).describe(Role.AGGREGATED, TP1)


@pytest.mark.parametrize(
    ("name", "served_model"), [("openai/tiny-mxfp4", None), ("prod", "prod"), ("Org/Tiny", None)]
)
def test_a_model_is_found_under_the_name_it_has_there(name: str, served_model: str | None) -> None:
    with serving(FAST, Behaviour(models=("other", name))) as server:
        endpoint(server.url, served_model=served_model).describe(Role.AGGREGATED, TP1)

    assert {body["model"] for body in server.bodies} == {name}


def test_a_page_that_is_no_api_is_quoted() -> None:
    with serving(FAST, Behaviour(models=())) as server:
        with pytest.raises(MeasureError, match="it serves no model: is it still loading"):
            endpoint(server.url).describe(Role.AGGREGATED, TP1)
        with pytest.raises(MeasureError, match=r"answers HTTP 404, .*not an OpenAI-compatible endpoint"):
            endpoint(server.url + "/api").describe(Role.AGGREGATED, TP1)


def test_a_key_is_sent_and_its_lack_is_named() -> None:
    with serving(FAST, Behaviour(api_key="secret-7")) as server:
        with pytest.raises(MeasureError, match=r"refuses us .HTTP 401.: set HEADGATE_ENDPOINT_API_KEY"):
            endpoint(server.url).describe(Role.AGGREGATED, TP1)
        backend = endpoint(server.url, api_key="secret-7", headers={"X-Tenant": "blue"})
        backend.describe(Role.AGGREGATED, TP1)

    assert {headers["x-tenant"] for headers in server.headers} == {"blue"}
    assert "secret-7" not in repr(backend._policy)
    assert "secret-7" not in backend.identity


def test_layouts_that_are_not_deployed_there_are_left_out_without_asking() -> None:
    backend = endpoint("http://127.0.0.1:1")

    for role, layout in ((Role.AGGREGATED, Parallelism(tp=4)), (Role.PREFILL, TP1)):
        found = backend.describe(role, layout)
        assert isinstance(found, Refusal)
        assert found.reason == "not deployed at http://127.0.0.1:1, which runs aggregated=TP1"


def test_limits_come_from_the_flags_then_the_endpoint_then_the_cards() -> None:
    metrics = (
        'dynamo_frontend_model_total_kv_blocks{model="tiny"} 1000\n'
        'dynamo_frontend_model_kv_cache_block_size{model="tiny"} 16\n'
    )
    with serving(FAST, Behaviour(metrics=metrics)) as server:
        from profiler.measure.endpoint.policy import Stated

        found = endpoint(server.url, stated=Stated(max_num_seqs=48)).describe(Role.AGGREGATED, TP1)

    assert isinstance(found, Replica)
    assert (found.limits.max_num_seqs, found.kv_capacity_tokens) == (48, 16_000)
    assert (
        "KV capacity published, max_num_seqs stated, max_num_batched_tokens by roofline" in found.provenance
    )


def test_a_context_that_is_too_long_costs_its_point_alone() -> None:
    with serving(FAST, Behaviour(max_context_tokens=1000)) as server:
        backend = endpoint(server.url)
        for _ in range(4):
            reason = refused(backend, point(Phase.PREFILL, batch=1, tokens=2000))
            assert "HTTP 400: " in reason
            assert "maximum context length is 1000 tokens" in reason
        measured(backend, PREFILL)


BAD = {
    "server error": (http(500, '{"error": "CUDA error"}'), "HTTP 500: .*CUDA error"),
    "overload": (http(503, "no worker"), "HTTP 503: no worker"),
    "a sign-in page": (http(200, "<h1>Sign in</h1>", "text/html"), "text/html, not an event stream"),
    "garbage": (http(200, "data: \x00\x01{{{\n\n", "text/event-stream"), "no JSON object"),
    "null content": (
        http(
            200,
            'data: {"choices": [{"text": null, "finish_reason": "stop"}]}\n\n'
            'data: {"choices": [], "usage": {"prompt_tokens": 600, "completion_tokens": 0}}\n\n'
            "data: [DONE]\n\n",
            "text/event-stream",
        ),
        "HTTP 200 without a single token",
    ),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "broke the connection"),
    "a closed connection": (b"", "broke the connection"),
}


@pytest.mark.parametrize(("answer", "says"), BAD.values(), ids=BAD.keys())
def test_answers_that_stay_broken_cost_points_and_then_stop_the_sweep(
    answer: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.BACKOFF_S", 0.01)
    with serving(FAST, Behaviour(instead=long_prompts(answer))) as server:
        backend = endpoint(server.url)
        for _ in range(2):
            found = backend.measure(PREFILL)
            assert isinstance(found, Refusal)
        with pytest.raises(MeasureError, match=f"failed 3 points in a row, .*{says}"):
            backend.measure(PREFILL)


def test_an_endpoint_that_fails_at_everything_costs_no_point_but_stops_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.BACKOFF_S", 0.01)
    behaviour = Behaviour()
    with serving(FAST, behaviour) as server:
        backend = endpoint(server.url)
        measured(backend, PREFILL)
        behaviour.instead = lambda *_: http(500, "Failed to generate completions")
        with pytest.raises(MeasureError, match="answers short prompts no more: HTTP 500: Failed to generate"):
            backend.measure(PREFILL)


def test_a_point_that_works_forgives_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.BACKOFF_S", 0.01)
    with serving(FAST, Behaviour(instead=long_prompts(http(500, "x")))) as server:
        backend = endpoint(server.url)
        for _ in range(3):
            for _ in range(2):
                refused(backend, PREFILL)
            measured(backend, point(Phase.PREFILL, batch=1, tokens=400))


def test_one_broken_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.BACKOFF_S", 0.01)
    cut: list[int] = []

    def once(number: int) -> int | None:
        cut.append(number)
        return 0 if len(cut) == 40 else None

    with serving(FAST, Behaviour(cut_after=once)) as server:
        backend = endpoint(server.url)
        for _ in range(8):
            measured(backend, PREFILL)

    assert len(cut) > 40


def test_streams_that_break_in_the_middle_are_not_measured_by_their_first_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.BACKOFF_S", 0.01)
    with serving(FAST, Behaviour(cut_after=lambda _: 15)) as server:
        reason = refused(endpoint(server.url), point(Phase.DECODE, batch=2, tokens=100))

    assert "broke the connection after" in reason


def test_a_stream_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.measure.endpoint.rounds.ATTEMPTS", 1)
    with serving(FAST, Behaviour(silent_after=15)) as server:
        began_s = time.monotonic()
        reason = refused(endpoint(server.url, silence_s=0.5), point(Phase.DECODE, batch=2, tokens=100))

    assert "said nothing for 0.5 s" in reason
    assert time.monotonic() - began_s < 10


def test_outputs_that_end_as_they_like_are_no_held_batch() -> None:
    with serving(FAST, Behaviour(ends_early=20)) as server:
        reason = refused(endpoint(server.url), point(Phase.DECODE, batch=2, tokens=400))

    assert "ended after 20 of" in reason


def test_an_endpoint_that_counts_no_tokens_cannot_be_measured() -> None:
    with (
        serving(FAST, Behaviour(usage=False)) as server,
        pytest.raises(MeasureError, match=r"answers no form of request for tiny: .*carries no usage"),
    ):
        endpoint(server.url).describe(Role.AGGREGATED, TP1)


def test_one_refusal_of_a_batch_ends_the_other_streams() -> None:
    def refuse_second(number: int, body: dict[str, Any]) -> bytes | None:
        return http(400, "no") if len(body["prompt"]) == 333 and number % 2 else None

    with serving(FAST, Behaviour(instead=refuse_second)) as server:
        reason = refused(endpoint(server.url), point(Phase.PREFILL, batch=6, tokens=333))
        _wait_until_no_streams(server)
    assert "HTTP 400: no" in reason


def test_an_interrupt_leaves_no_stream_open() -> None:
    program = (
        "import sys; from tests.unit.profiler.endpoint.benches import *\n"
        "b = endpoint(sys.argv[1], silence_s=60)\n"
        "b.describe(Role.AGGREGATED, TP1); print('ready', flush=True)\n"
        "b.measure(point(Phase.DECODE, 8, 800))\n"
    )
    with serving(Clockwork(prefill_base_s=0.001, step_s=0.02)) as server:
        running = subprocess.Popen(
            [sys.executable, "-c", program, server.url],
            cwd=Path(__file__).parents[4],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
        )
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            _wait(lambda: server.streams == 8)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=10)
        finally:
            running.kill()
        _wait_until_no_streams(server)

    assert "KeyboardInterrupt" in errors
    assert "never retrieved" not in errors
    assert "Unclosed" not in errors


def test_policies_that_could_not_be_measured_are_refused() -> None:
    for changes, says in (
        ({"url": "host:8000"}, "is not the URL of an endpoint"),
        ({"url": "http://user:pw@host"}, "carries a user or password"),
        ({"deployed": {}}, "say which layouts"),
        ({"api_key": "two\nlines"}, "the API key must be one line of printable ASCII"),
        ({"headers": {"X-Tenant": ""}}, "header X-Tenant must be one line"),
        ({"error_ratio": 0.0}, "error_ratio"),
        ({"max_repeats": 1}, "at least 2 repeats"),
        ({"replicas": {Role.AGGREGATED: 0}}, "at least one replica"),
    ):
        given = {"url": "http://host", **changes}
        with pytest.raises(ValueError, match=says):
            endpoint(**given)  # type: ignore[arg-type]
    assert json.dumps(endpoint("http://host:8000/v1/")._policy.base) == '"http://host:8000"'


def _wait_until_no_streams(server: Any) -> None:
    _wait(lambda: server.streams == 0)


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
