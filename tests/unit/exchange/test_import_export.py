"""The commands carry profiles to Dynamo's files and CSV and back, and refuse what they cannot use."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from models.artifact import Machine, Phase, ProfileArtifact, Selection, dump, parse
from models.capacity.prefill import prefill_work
from models.mix import RequestMix
from models.values import Role
from planner.commands.size import command as size_command
from profiler.commands.export import command as export_command
from profiler.commands.import_ import command as import_command
from tests.builders import aggregated_layout, decode_layout, prefill_layout

PREFILL = Path("selected_prefill_interpolation") / "raw_data.npz"
DECODE = Path("selected_decode_interpolation") / "raw_data.npz"
OWN = ("--model", "qwen3-32b", "--hardware", "h200")
LIMITS = ("--max-num-seqs", "128", "--max-num-batched-tokens", "16384")


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def done(command: Any, *arguments: object) -> str:
    result = run(command, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(command: Any, *arguments: object) -> str:
    result = run(command, *arguments)
    assert result.exit_code != 0
    return result.output + str(result.exception)


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    """Write a computed profile of one layout a role."""
    path = tmp_path / "profile.json"
    artifact = ProfileArtifact(
        model="qwen3-32b",
        machines=(Machine("H200", 8, 8),),
        engine="trtllm",
        backend="roofline",
        created_at="2026-11-20T08:15:00Z",
        layouts=(prefill_layout(), decode_layout(), aggregated_layout()),
        selection=Selection({Role.PREFILL: "TP1", Role.DECODE: "TP4"}, {}, 5, True, "for a test"),
    )
    path.write_text(dump(artifact))
    return path


def load(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (PREFILL, DECODE):
        with np.load(folder / name) as held:
            found |= {key: held[key] for key in held.files}
    return found


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for key, values in first.items():
        assert values.dtype == second[key].dtype, key
        # Milliseconds to seconds and back costs the last bits.
        np.testing.assert_allclose(values, second[key], rtol=1e-9, err_msg=key)


def test_export_import_export_gives_the_same_files(computed: Path, tmp_path: Path) -> None:
    done(export_command, computed, "--format", "dynamo", "--out", tmp_path / "a")
    layouts = ("--prefill", "TP1", "--decode", "TP4")
    back = tmp_path / "back.json"
    done(import_command, tmp_path / "a", "--format", "dynamo", *OWN, *LIMITS, *layouts, "--out", back)
    done(export_command, back, "--format", "dynamo", "--out", tmp_path / "b")

    same(load(tmp_path / "a"), load(tmp_path / "b"))


@pytest.mark.parametrize("overhead", [(), ("--overhead", "30ms")])
def test_an_imported_profile_says_what_the_exported_one_said(
    overhead: tuple[str, ...], computed: Path, tmp_path: Path
) -> None:
    done(export_command, computed, "--format", "dynamo", "--out", tmp_path / "a")
    back = tmp_path / "back.json"
    layouts = ("--prefill", "TP1", "--decode", "TP4", *overhead)
    done(import_command, tmp_path / "a", "--format", "dynamo", *OWN, *LIMITS, *layouts, "--out", back)
    artifact = parse(back.read_text(), "back.json").artifact

    decode, truth = artifact.layout(Role.DECODE, "TP4").decode, decode_layout().decode
    assert decode is not None
    assert truth is not None
    for context in (128, 1_024, 4_096):
        for batch in (1, 20, 128, 1_000):
            assert decode.at(context, batch) == pytest.approx(truth.at(context, batch), rel=1e-6)
    prefill, mix = artifact.layout(Role.PREFILL, "TP1"), RequestMix.constant(2_048, 100)
    before = prefill_work(prefill_layout(), mix)
    # The throughput of prompts that fill an iteration tells the overhead of 30 ms where it is not named.
    assert prefill.overhead_s == pytest.approx(0.03)
    assert prefill_work(prefill, mix).mean_service_s == pytest.approx(before.mean_service_s)
    assert artifact.backend == "dynamo"
    answer = json.loads(
        done(
            size_command,
            *("--profile", back, "--rate", 20, "--isl", "2k", "--osl", 200, "--ttft", "1s"),
            *("-o", "json"),
        )
    )
    assert answer["feasible"] is True
    assert answer["layout"] == {"prefill": "TP1", "decode": "TP4"}


def test_a_named_layout_may_be_an_aggregated_one(computed: Path, tmp_path: Path) -> None:
    done(export_command, computed, "--format", "dynamo", "--out", tmp_path, "--prefill", "tp4")

    surface = aggregated_layout().prefill
    assert surface is not None
    assert load(tmp_path)["prefill_ttft"][0] == pytest.approx((surface.at(128, 1) + 0.02) * 1e3)


def test_isl_bounds_what_is_exported(computed: Path, tmp_path: Path) -> None:
    done(export_command, computed, "--format", "dynamo", "--out", tmp_path, "--isl", "1k", "--osl", "100")

    assert load(tmp_path)["prefill_isl"].tolist() == [128, 512]
    assert set(load(tmp_path)["y_context_length"]) == {128.0, 1_024.0}


def test_the_mockers_table_has_its_five_arrays(computed: Path, tmp_path: Path) -> None:
    done(export_command, computed, "--format", "mocker", "--out", tmp_path / "t.npz")

    with np.load(tmp_path / "t.npz") as table:
        assert set(table.files) == {
            "prefill_isl",
            "prefill_ttft_ms",
            "decode_active_kv_tokens",
            "decode_context_length",
            "decode_itl",
        }
        assert table["decode_itl"].shape == (
            table["decode_active_kv_tokens"].size,
            table["decode_context_length"].size,
        )


def test_a_csv_of_a_computed_profile_gives_its_surfaces_back(computed: Path, tmp_path: Path) -> None:
    text = done(export_command, computed, "--format", "csv")
    (tmp_path / "m.csv").write_text(text)
    back = tmp_path / "back.json"
    done(import_command, tmp_path / "m.csv", "--format", "csv", *OWN, *LIMITS, "--out", back)
    artifact = parse(back.read_text(), "back.json").artifact

    for layout in (prefill_layout(), decode_layout(), aggregated_layout()):
        found = artifact.layout(layout.role, layout.parallelism.name)
        assert (found.prefill, found.decode) == (layout.prefill, layout.decode)
        assert found.measured == ()
        assert found.overhead_s == layout.overhead_s
    assert done(export_command, back, "--format", "csv") == text


def test_two_overheads_of_one_layout_are_refused(tmp_path: Path) -> None:
    rows = ["prefill,TP1,prefill,500,1,0.1,0.02", "prefill,TP1,prefill,900,1,0.2,0.03"]
    (tmp_path / "a.csv").write_text("role,layout,phase,tokens,batch,seconds,overhead_s\n" + "\n".join(rows))

    said = refused(import_command, tmp_path / "a.csv", "--format", "csv", *OWN, "--out", tmp_path / "p.json")

    assert "prefill=TP1: overhead_s is 0.02 in some rows and 0.03 in others; write the same" in said


def test_own_measurements_in_several_files_make_a_profile_that_sizes(tmp_path: Path) -> None:
    head = "role,layout,phase,tokens,batch,seconds\n"
    reads = [f"prefill,TP2,prefill,{n},{b},{0.01 + n * b / 5e4}" for n in (500, 2000, 8000) for b in (1, 4)]
    steps = [f"decode,TP2,decode,{c},{b},{0.01 + b * c * 1e-8}" for c in (1000, 9000) for b in (1, 16, 64)]
    for name, rows in (("a.csv", reads), ("b.csv", steps[:4]), ("c.csv", steps[3:])):
        (tmp_path / name).write_text(head + "\n".join(rows))
    files = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    out, page = tmp_path / "p.json", tmp_path / "p.html"

    stated = ("--model", "acme-7b", "--hardware", "h100", "--engine", "acme", "--kv-tokens", "TP2=800k")
    text = done(import_command, *files, "--format", "csv", *stated, *LIMITS, "--out", out, "--report", page)

    artifact = parse(out.read_text(), "p.json").artifact
    assert (artifact.model, artifact.engine, artifact.backend) == ("acme-7b", "acme", "csv")
    decode = artifact.layout(Role.DECODE, "TP2")
    assert decode.kv_capacity_tokens == 800_000
    # The row that stands in two files is one point, repeated.
    assert [p.repeats for p in decode.measured if (p.tokens, p.batch) == (9_000, 1)] == [2]
    assert {p.phase for p in decode.measured} == {Phase.DECODE}
    assert "acme-7b on H100" in text
    assert page.stat().st_size > 500_000
    answer = json.loads(
        done(size_command, "--profile", out, "--rate", 5, "--isl", "2k", "--osl", 100, "-o", "json")
    )
    assert answer["feasible"] is True


def test_a_prefix_share_of_all_prefill_points_is_the_profiles(tmp_path: Path) -> None:
    head = "role,layout,phase,tokens,batch,cached_tokens,seconds\n"
    shared = [f"prefill,TP1,prefill,{n},1,{n * 3},{n * 1e-5}" for n in (500, 2000)]
    (tmp_path / "a.csv").write_text(head + "\n".join(shared))
    done(import_command, tmp_path / "a.csv", "--format", "csv", *OWN, "--out", tmp_path / "p.json")
    assert parse((tmp_path / "p.json").read_text(), "p").artifact.serving.prefix_ratio == pytest.approx(0.75)

    (tmp_path / "a.csv").write_text(head + "\n".join([*shared, "prefill,TP1,prefill,4000,1,0,0.04"]))
    said = refused(import_command, tmp_path / "a.csv", "--format", "csv", *OWN, "--out", tmp_path / "q.json")
    assert "a profile holds one share" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "qwen3-32b", "--hardware", "h2000"), "no hardware card 'h2000' (did you mean "),
        (("--model", "qwen3-23b", "--hardware", "h200"), "no model card 'qwen3-23b' (did you mean qwen3-32b"),
        ((*OWN, "--max-num-seqs", "4"), "are given together"),
        ((*OWN, "--kv-tokens", "8M"), "'8M' is not LAYOUT=TOKENS"),
        ((*OWN, "--prefill", "TP1"), "a CSV names its layouts"),
        (("--model", "qwen3-32b", "--hardware", "prefill=h100,decode=h200"), "the hardware of aggregated"),
    ],
)
def test_what_cannot_be_imported_is_said_with_what_to_do(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    rows = ["aggregated,TP1,prefill,500,1,0.1", "aggregated,TP1,prefill,900,1,0.2"]
    rows += ["aggregated,TP1,decode,500,1,0.01", "aggregated,TP1,decode,500,2,0.02"]
    (tmp_path / "a.csv").write_text("role,layout,phase,tokens,batch,seconds\n" + "\n".join(rows))

    out = tmp_path / "p.json"
    assert said in refused(import_command, tmp_path / "a.csv", "--format", "csv", *arguments, "--out", out)
    assert not out.exists()


def test_an_aggregated_layout_needs_both_phases(tmp_path: Path) -> None:
    rows = "aggregated,TP1,decode,500,1,0.01\naggregated,TP1,decode,500,2,0.02"
    (tmp_path / "a.csv").write_text("role,layout,phase,tokens,batch,seconds\n" + rows)

    said = refused(import_command, tmp_path / "a.csv", "--format", "csv", *OWN, "--out", tmp_path / "p.json")

    assert "aggregated=TP1 has no prefill surface; add points of that phase" in said


def damaged(folder: Path, key: str, values: Any) -> None:
    arrays = dict(np.load(folder / DECODE))
    np.savez(folder / DECODE, **{**arrays, key: values})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda f: (f / PREFILL).unlink(), "raw_data.npz: not there; a folder of Dynamo's profiler holds"),
        (lambda f: (f / PREFILL).write_bytes(b"PK garbage"), "damaged, or not a file of Dynamo's profiler"),
        (
            lambda f: np.savez(f / PREFILL, prefill_isl=[1]),
            "lacks prefill_ttft, prefill_thpt_per_gpu; it holds",
        ),
        (lambda f: damaged(f, "z_itl", np.array([1.0])), "arrays must be lists of one length"),
        (lambda f: damaged(f, "z_itl", load(f)["z_itl"].astype(str)), "not numbers"),
        (lambda f: damaged(f, "max_kv_tokens", np.array([0])), "max_kv_tokens must be one number above zero"),
    ],
)
def test_damaged_files_of_dynamo_are_named(harm: Any, said: str, computed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    done(export_command, computed, "--format", "dynamo", "--out", folder)
    harm(folder)

    layouts = ("--prefill", "TP1", "--decode", "TP4")
    said_so = refused(
        import_command, folder, "--format", "dynamo", *OWN, *layouts, "--out", tmp_path / "p.json"
    )

    assert said in said_so


def test_a_point_that_is_not_a_number_is_named_by_its_place(computed: Path, tmp_path: Path) -> None:
    done(export_command, computed, "--format", "dynamo", "--out", tmp_path / "a")
    itl = load(tmp_path / "a")["z_itl"]
    itl[5] = np.nan
    damaged(tmp_path / "a", "z_itl", itl)

    arguments = (*OWN, "--prefill", "TP1", "--decode", "TP4", "--out", tmp_path / "p.json")
    assert "z_itl[5] is nan" in refused(import_command, tmp_path / "a", "--format", "dynamo", *arguments)


def test_a_profile_without_a_selection_asks_for_layouts(computed: Path, tmp_path: Path) -> None:
    artifact = parse(computed.read_text(), "x").artifact
    computed.write_text(dump(replace(artifact, selection=None)))

    assert "name one with --prefill (it holds TP1)" in refused(
        export_command, computed, "--format", "dynamo", "--out", tmp_path / "a"
    )
    said = refused(
        export_command, computed, "--format", "dynamo", "--out", tmp_path / "a", "--prefill", "TP8"
    )
    assert "no prefill layout 'TP8'" in said
    assert "needs --out" in refused(export_command, computed, "--format", "mocker")
