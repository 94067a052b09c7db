"""Surfaces measured at a live Dynamo frontend are those of its engines' timing file.

Behind the file's times come the frontend, the router and a busy machine: 10 %, and one constant per surface
of at most 70 ms; for a decode step 5 ms, which is what Dynamo takes on the way.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from config import reference
from models.artifact import Phase, parse
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Replica, SweepPoint
from profiler.measure.endpoint.backend import Endpoint
from profiler.measure.endpoint.policy import EndpointPolicy
from profiler.measure.roofline.estimator import Roofline
from tests.components import REPOSITORY
from tests.integration.dynamo_model import MODEL, WORDS, Timing
from tests.integration.dynamo_stack import Engine, Stack, serving

pytestmark = pytest.mark.integration

TIMING = Timing(
    prefill_s=lambda tokens: 0.010 + 50e-6 * tokens,
    decode_s=lambda batch, context_tokens: 0.020 + 0.5e-3 * batch + 2e-6 * batch * context_tokens,
)
RELATIVE, CONSTANT_S, STEP_CONSTANT_S = 0.10, 0.070, 0.005
LAYOUTS = {
    Role.AGGREGATED: Parallelism(tp=4, ep=4),
    Role.PREFILL: Parallelism(),
    Role.DECODE: Parallelism(tp=4, ep=4),
}
# Batch and tokens. The first prompt to arrive is read by itself, and the iteration that reads the others
# takes a decode step along: prompts are long enough for both to be within 10 %.
PREFILL = ((1, 400), (1, 3000), (1, 9000), (2, 6000), (3, 5000))
DECODE = ((1, 300), (4, 600), (8, 300))


@pytest.fixture(scope="module", params=["aggregated", "disaggregated"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    roles: Mapping[str, tuple[Role, ...]] = {
        "aggregated": (Role.AGGREGATED,),
        "disaggregated": (Role.PREFILL, Role.DECODE),
    }
    engines = {role: Engine(TIMING, max_num_batched_tokens=16_384) for role in roles[request.param]}
    with serving(tmp_path_factory.mktemp("dynamo"), engines) as running:
        yield running


@pytest.fixture(scope="module")
def bench(stack: Stack) -> Endpoint:
    cards = reference.architecture("gpt-oss-120b"), reference.hardware("gb200"), reference.engine("vllm")
    policy = EndpointPolicy(
        url=stack.base_url,
        model="gpt-oss-120b",
        served_model=MODEL,
        deployed={role: LAYOUTS[role] for role in stack.engines},
        vocabulary=WORDS,
        max_context_tokens=16_384,
        error_ratio=0.05,
        max_repeats=3,
    )
    return Endpoint(policy, Roofline(*cards))


def test_measured_prefill_is_the_timing_file_s_but_for_a_constant(stack: Stack, bench: Endpoint) -> None:
    role = next(role for role in stack.engines if role is not Role.DECODE)
    replica = bench.describe(role, LAYOUTS[role])

    assert isinstance(replica, Replica)
    assert replica.overhead_s <= CONSTANT_S
    expected = {(batch, tokens): TIMING.prefill_s(batch * tokens) for batch, tokens in PREFILL}
    check(bench, role, Phase.PREFILL, expected, CONSTANT_S)


def test_measured_decode_is_the_timing_file_s_but_for_a_constant(stack: Stack, bench: Endpoint) -> None:
    role = next(role for role in stack.engines if role is not Role.PREFILL)

    check(bench, role, Phase.DECODE, {shape: TIMING.decode_s(*shape) for shape in DECODE}, STEP_CONSTANT_S)


def check(
    bench: Endpoint,
    role: Role,
    phase: Phase,
    expected: Mapping[tuple[int, int], float],
    constant_s: float,
) -> None:
    """Hold a surface to the file's times: within the tolerance for one and the same constant.

    The least of up to three measurements counts: other work on the machine slows the simulated engine, and
    only ever adds.
    """
    found: dict[tuple[int, int], float] = {}
    for _ in range(3):
        for batch, tokens in expected:
            answer = bench.measure(SweepPoint(role, LAYOUTS[role], phase, tokens, batch))
            assert isinstance(answer, Measurement), answer
            found[batch, tokens] = min(answer.seconds, found.get((batch, tokens), answer.seconds))
        least_s = max(expected[shape] * (1 - RELATIVE) - found[shape] for shape in found)
        most_s = min(expected[shape] * (1 + RELATIVE) - found[shape] for shape in found)
        if max(least_s, -constant_s) <= min(most_s, constant_s):
            return
    raise AssertionError(f"measured {found}, where the file says {expected}")


def test_limits_are_those_that_dynamo_publishes(stack: Stack, bench: Endpoint) -> None:
    for role, engine in stack.engines.items():
        found = bench.describe(role, LAYOUTS[role])

        assert isinstance(found, Replica)
        assert found.limits.max_num_seqs == engine.max_num_seqs
        assert found.limits.max_num_batched_tokens == engine.max_num_batched_tokens
        assert found.kv_capacity_tokens == engine.kv_blocks * engine.block_size


def test_an_interrupt_and_a_killed_endpoint_lose_one_point_each(tmp_path: Path) -> None:
    folder = tmp_path / "dynamo"
    folder.mkdir()
    fast = Timing(lambda tokens: 0.004 + 20e-6 * tokens, lambda batch, _: 0.004 + 0.2e-3 * batch)
    with serving(folder, {Role.AGGREGATED: Engine(fast)}) as stack:
        with sweep(stack, tmp_path) as first:
            wait_for_points(tmp_path, 4, first)
            first.send_signal(signal.SIGINT)
            _, said = first.communicate(timeout=20)
            assert first.returncode != 0
            assert "the same command goes on from there" in said
            wait_until_idle(stack)
        kept = points(tmp_path)

        with sweep(stack, tmp_path) as second:
            wait_for_points(tmp_path, len(kept) + 3, second)
            stack.kill_frontend()
            _, said = second.communicate(timeout=40)
            assert second.returncode == 1
            assert f"{stack.base_url} cannot be reached" in said
            assert "run the same command again" in said
        kept_then = points(tmp_path)
        assert kept_then[: len(kept)] == kept

        stack.start_frontend()
        stack.wait_until_serving()
        with sweep(stack, tmp_path) as third:
            _, said = third.communicate(timeout=60)
            assert third.returncode == 0, said
        everything = points(tmp_path)

    # What was kept is not measured again: the points under way at the two stops are all that was lost.
    assert everything[: len(kept_then)] == kept_then
    assert len(everything) == len(set(everything)) == 16
    layout = parse((tmp_path / "profile.json").read_text(), "profile.json").artifact.layouts[0]
    assert layout.prefill is not None
    assert layout.decode is not None


def sweep(stack: Stack, folder: Path) -> "subprocess.Popen[str]":
    """Start a sweep of 10 prefill and 6 decode points."""
    options = {
        "--model": "gpt-oss-120b",
        "--hardware": "gb200",
        "--engine": "vllm",
        "--backend": "endpoint",
        "--endpoint": stack.base_url,
        "--served-model": MODEL,
        "--layouts": "TP1",
        "--max-num-seqs": "2",
        "--max-context": "64",
        "--isl": "32",
        "--osl": "16",
        "--sampling": "full",
        "--confidence": "0.2",
        "--out": str(folder / "profile.json"),
    }
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from profiler.cli import main; main()",
            "sweep",
            *(part for pair in options.items() for part in pair),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def points(folder: Path) -> list[str]:
    """Return the points that are kept, in the order in which they were measured."""
    path = folder / "profile.json.measurements.jsonl"
    lines = path.read_text().split("\n")[1:-1] if path.exists() else []
    return [json.dumps(json.loads(line)["point"], sort_keys=True) for line in lines]


def wait_for_points(folder: Path, count: int, running: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 40
    while len(points(folder)) < count:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_idle(stack: Stack) -> None:
    """Wait until the frontend holds no request any more."""
    deadline = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"{stack.base_url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        held = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("dynamo_frontend_inflight_requests")
        ]
        if held and not any(held):
            return
        assert time.monotonic() < deadline, held
        time.sleep(0.05)
