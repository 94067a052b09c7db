"""The simulated Dynamo keeps the time of its timing table, so that measuring through it proves something."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from models.values import Role
from tests.integration.dynamo_model import MODEL, Timing, prompt
from tests.integration.dynamo_stack import Engine, Stack, serving

pytestmark = pytest.mark.integration

TIMING = Timing(
    prefill_s=lambda tokens: 0.020 + 50e-6 * tokens,
    decode_s=lambda batch, context_tokens: 0.025 + 0.5e-3 * batch + 2e-6 * batch * context_tokens,
)
# Frontend, router, tokenizer and a busy machine; never less than the table says.
OVERHEAD_S = 0.070
STEP_OVERHEAD_S = 0.003
RELATIVE = 0.10


@dataclass(frozen=True, slots=True)
class Timed:
    """When tokens arrived, in seconds since the request was sent."""

    token_s: tuple[float, ...]

    @property
    def ttft_s(self) -> float:
        return self.token_s[0]

    @property
    def gap_s(self) -> float:
        """The median: a stall of the machine lengthens one gap, not the middle one."""
        return median(later - earlier for earlier, later in pairwise(self.token_s))


@pytest.fixture(scope="module", params=["aggregated", "disaggregated"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    engine = Engine(TIMING)
    layouts: Mapping[str, Mapping[Role, Engine]] = {
        "aggregated": {Role.AGGREGATED: engine},
        "disaggregated": {Role.PREFILL: engine, Role.DECODE: engine},
    }
    with serving(tmp_path_factory.mktemp("dynamo"), layouts[request.param]) as running:
        yield running


@pytest.mark.parametrize("isl_tokens", [200, 6000])
def test_a_lone_request_takes_what_the_timing_table_says(stack: Stack, isl_tokens: int) -> None:
    # The least of three: other work on the machine only ever adds.
    answers = [_complete(stack, isl_tokens, osl_tokens=20, seed=seed) for seed in range(3)]
    ttft_s, gap_s = min(a.ttft_s for a in answers), min(a.gap_s for a in answers)

    # The first token comes from the decode step that follows the prefill.
    expected_ttft_s = TIMING.prefill_s(isl_tokens) + TIMING.decode_s(1, isl_tokens)
    expected_gap_s = TIMING.decode_s(1, isl_tokens + 10)
    assert 0.99 * expected_ttft_s <= ttft_s <= (1 + RELATIVE) * expected_ttft_s + OVERHEAD_S
    assert 0.97 * expected_gap_s <= gap_s <= (1 + RELATIVE) * expected_gap_s + STEP_OVERHEAD_S


def test_prompts_that_wait_together_are_prefilled_in_one_iteration(stack: Stack) -> None:
    prompts, tokens = 40, 100
    with ThreadPoolExecutor(prompts) as pool:
        answers = list(pool.map(lambda seed: _complete(stack, tokens, 2, seed), range(prompts)))

    # At best all of them in one iteration; one by one, each would pay the constant part again.
    batched_s, one_by_one_s = TIMING.prefill_s(prompts * tokens), prompts * TIMING.prefill_s(tokens)
    last_s = max(answer.ttft_s for answer in answers)
    assert 0.99 * batched_s <= last_s < 0.8 * one_by_one_s


def test_a_prompt_longer_than_an_iteration_is_cut_into_chunks(stack: Stack) -> None:
    ttft_s = min(_complete(stack, 12_000, osl_tokens=2, seed=seed).ttft_s for seed in range(3))
    chunks_s = TIMING.prefill_s(8192) + TIMING.prefill_s(12_000 - 8192)
    expected_s = chunks_s + TIMING.decode_s(1, 12_000)
    assert 0.99 * expected_s <= ttft_s <= (1 + RELATIVE) * expected_s + OVERHEAD_S


def test_a_drained_worker_fails_nothing_and_a_killed_one_what_is_routed_to_it(tmp_path: Path) -> None:
    with serving(tmp_path, {Role.AGGREGATED: Engine(TIMING, workers=3)}) as stack:
        assert stack.listed_workers() == {Role.AGGREGATED: 3}
        stack.drain_worker(Role.AGGREGATED)
        assert stack.listed_workers() == {Role.AGGREGATED: 2}
        assert _statuses(stack, requests=6) == [200] * 6

        stack.start_worker(Role.AGGREGATED)
        stack.wait_until_serving()
        stack.kill_worker(Role.AGGREGATED)
        # Still listed: round robin sends it every third request.
        assert stack.listed_workers() == {Role.AGGREGATED: 3}
        assert sorted(_statuses(stack, requests=6)) == [200] * 4 + [500] * 2

        stack.kill_frontend()
        with pytest.raises(OSError, match="refused"):
            _complete(stack, 50, osl_tokens=3, seed=0)


def _statuses(stack: Stack, requests: int) -> list[int]:
    statuses = []
    for seed in range(requests):
        try:
            _complete(stack, 50, osl_tokens=3, seed=seed)
            statuses.append(200)
        except urllib.error.HTTPError as error:
            error.close()
            statuses.append(error.code)
    return statuses


def _complete(stack: Stack, isl_tokens: int, osl_tokens: int, seed: int) -> Timed:
    body = {
        "model": MODEL,
        "prompt": prompt(isl_tokens, seed),
        "max_tokens": osl_tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(
        f"{stack.base_url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    sent_s, token_s, usage = time.perf_counter(), [], None
    with urllib.request.urlopen(request, timeout=60) as answer:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            usage = event.get("usage") or usage
            # The last choice carries the finish reason and no token.
            if any(choice["text"] for choice in event["choices"]):
                token_s.append(time.perf_counter() - sent_s)
    assert usage is not None
    assert usage["prompt_tokens"] == isl_tokens
    assert usage["completion_tokens"] == osl_tokens == len(token_s)
    return Timed(tuple(token_s))
