"""Dynamo 1.4.2 itself reads what is exported, and its own sample comes through an import unchanged."""

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from models.artifact import Machine, ProfileArtifact, Selection, dump, parse
from models.values import Role
from profiler.commands.export import command as export_command
from profiler.commands.import_ import command as import_command
from tests import components
from tests.builders import decode_layout, prefill_layout
from tests.integration.dynamo_model import MODEL, Timing, prompt
from tests.integration.dynamo_stack import Engine, Stack, serving

pytestmark = pytest.mark.integration

FOLDERS = ("selected_prefill_interpolation", "selected_decode_interpolation")

# Dynamo's planner turns a profile into forward-pass metrics; its mocker takes the folder or a timing table.
READ = """
import json, logging, sys
from pathlib import Path
logging.disable()
from dynamo.mocker.utils import planner_profiler_perf_data_converter as mocker
from dynamo.planner.config.defaults import SubComponentType
from dynamo.planner.monitoring.perf_metrics import _convert_profiling_data_to_fpms as convert
folder, table = sys.argv[1:3]
prefill = [(f.scheduled_requests.sum_prefill_tokens, f.wall_time)
           for f in convert(folder, SubComponentType.PREFILL)]
decode = [(f.scheduled_requests.num_decode_requests, f.scheduled_requests.sum_decode_kv_tokens, f.wall_time)
          for f in convert(folder, SubComponentType.DECODE)]
taken = [mocker.is_profile_results_dir(Path(folder)), mocker.is_mocker_format_npz(Path(table))]
print(json.dumps([prefill, decode, *taken]))
"""


@pytest.fixture(scope="module")
def dynamo() -> Path:
    return components.dynamo()


def test_dynamos_planner_reads_the_exported_points(dynamo: Path, tmp_path: Path) -> None:
    prefill, decode = prefill_layout(), decode_layout()
    profile = tmp_path / "profile.json"
    profile.write_text(dump(_artifact(prefill, decode)))
    folder, table = tmp_path / "dynamo", tmp_path / "table.npz"
    _run(export_command, profile, "--format", "dynamo", "--out", folder)
    _run(export_command, profile, "--format", "mocker", "--out", table)

    read = _in_dynamo(dynamo, READ, folder, table)

    assert prefill.prefill is not None
    assert decode.decode is not None
    assert read[2:] == [True, True]
    assert [n for n, _ in read[0]] == [128, 512, 2_048, 8_192, 32_768]
    for tokens, wall_s in read[0]:
        assert wall_s == pytest.approx(prefill.prefill.at(tokens, 1) + prefill.overhead_s)
    assert len(read[1]) > 15
    for batch, kv_tokens, wall_s in read[1]:
        assert wall_s == pytest.approx(decode.decode.at(kv_tokens / batch, batch), rel=1e-6)


def test_dynamos_sample_comes_through_an_import_unchanged(dynamo: Path, tmp_path: Path) -> None:
    sample = _sample(dynamo)
    out = tmp_path / "profile.json"
    stated = ("--model", "acme-8b", "--hardware", "h200", "--engine", "vllm", "--kv-tokens", "TP1=945029")
    limits = ("--max-num-seqs", 1024, "--max-num-batched-tokens", 8192)
    layouts = ("--prefill", "TP1", "--decode", "TP1")
    _run(import_command, sample, "--format", "dynamo", *stated, *limits, *layouts, "--out", out)
    _run(export_command, out, "--format", "dynamo", "--out", tmp_path / "back")

    for name in FOLDERS:
        with (
            np.load(sample / name / "raw_data.npz") as first,
            np.load(tmp_path / "back" / name / "raw_data.npz") as second,
        ):
            assert set(first.files) == set(second.files)
            for key in first.files:
                assert first[key].dtype == second[key].dtype
                # Milliseconds to seconds and back costs the last bits.
                np.testing.assert_allclose(first[key], second[key], rtol=1e-12, err_msg=key)
    decode = parse(out.read_text(), "profile").artifact.layout(Role.DECODE, "TP1")
    residuals = sorted(abs(p.residual_ratio or 0.0) for p in decode.measured)
    # The sample's ITL falls from batch 623 to 787 by 12 %: a surface that never falls leaves half of it.
    assert residuals[-1] < 0.08
    assert residuals[len(residuals) // 2] < 1e-6


def test_dynamos_mocker_keeps_the_time_of_an_exported_table(dynamo: Path, tmp_path: Path) -> None:
    prefill, decode = prefill_layout(40_000.0), decode_layout(base_s=0.025, per_sequence_s=0.0005)
    profile, table = tmp_path / "profile.json", tmp_path / "table.npz"
    profile.write_text(dump(_artifact(prefill, decode)))
    _run(export_command, profile, "--format", "mocker", "--out", table)
    # The last of two equal flags counts: the stack's own timing is not read.
    engine = Engine(Timing(lambda _: 1.0, lambda _, __: 1.0), extra=(f"--planner-profile-data={table}",))
    (tmp_path / "stack").mkdir()

    with serving(tmp_path / "stack", {Role.AGGREGATED: engine}) as stack:
        # The least of three: other work on the machine only ever adds.
        first_s = min(_complete_s(stack, 6_000, 1, seed) for seed in range(3))
        all_s = min(_complete_s(stack, 6_000, 41, seed) for seed in range(3, 6))

    assert prefill.prefill is not None
    assert decode.decode is not None
    step_s = decode.decode.at(6_020, 1)
    # The first token comes from the step after the prefill; the frontend takes up to 70 ms.
    expected_s = prefill.prefill.at(6_000, 1) + step_s
    assert 0.98 * expected_s <= first_s <= 1.1 * expected_s + 0.07
    assert 0.97 * step_s <= (all_s - first_s) / 40 <= 1.1 * step_s + 0.003


def _complete_s(stack: Stack, isl_tokens: int, osl_tokens: int, seed: int) -> float:
    """Return the seconds of one whole answer."""
    body = {"model": MODEL, "prompt": prompt(isl_tokens, seed), "max_tokens": osl_tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"{stack.base_url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began_s = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] == osl_tokens
    return time.perf_counter() - began_s


def _sample(python: Path) -> Path:
    code = "import dynamo.planner as p, pathlib; print(pathlib.Path(p.__path__[0]))"
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(ran.stdout.strip()) / "tests" / "data" / "profiling_results" / "H200_TP1P_TP1D"


def _in_dynamo(python: Path, code: str, *arguments: Path) -> Any:
    command = [str(python), "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def _run(command: Any, *arguments: object) -> None:
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == 0, (result.output, result.exception)


def _artifact(prefill: Any, decode: Any) -> ProfileArtifact:
    return ProfileArtifact(
        model="qwen3-32b",
        machines=(Machine("H200", 8, 8),),
        engine="trtllm",
        backend="roofline",
        created_at="2026-11-20T08:15:00Z",
        layouts=(prefill, decode),
        selection=Selection({Role.PREFILL: "TP1", Role.DECODE: "TP4"}, {}, 5, True, "for a test"),
    )
