"""Publishing: the artifact reads back as it was, is the same each time, and appears whole or not at all."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.textfile import replace_text
from models.artifact import ProfileArtifact, Question, dump, parse
from models.errors import ArtifactError, InputError
from models.mix import RequestMix
from models.values import Role
from planner.wiring import read_profile
from profiler.order import Order
from profiler.publish import profile
from profiler.wiring import bench

AT = "2025-11-28T06:00:00+00:00"
ASKED = Question(10, RequestMix.constant(1000, 200), 0.99, ttft_s=0.5)


def small(created_at: str = AT) -> ProfileArtifact:
    return profile(bench(Order("llama-3.1-70b", "H100", layouts="TP1,TP4")), ASKED, created_at)


ARTIFACT = small()
TEXT = dump(ARTIFACT)


def test_an_artifact_reads_back_as_it_was() -> None:
    published = parse(TEXT, "p.json", model="llama-3.1-70b")

    assert published.artifact == ARTIFACT
    assert dump(published.artifact) == TEXT


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert dump(small()) == TEXT
    assert dump(small("2025-11-28T07:00:00+00:00")) != TEXT


def test_what_did_not_fit_is_kept_with_its_reason() -> None:
    reasons = {(item.role, item.layout): item.reason for item in ARTIFACT.left_out}

    assert set(reasons) == {(role, "TP1") for role in Role}
    assert "141.1 GB of weights" in reasons[Role.DECODE, "TP1"]


def test_the_artifact_says_where_its_figures_come_from() -> None:
    assert ARTIFACT.sources["hardware.hbm_bytes_per_s"].startswith("NVIDIA H100 datasheet")
    assert ARTIFACT.sources["model.layers"].startswith("config.json")
    assert "InferenceMAX" in ARTIFACT.sources["engine.constants"]
    assert all(layout.provenance for layout in ARTIFACT.layouts)


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="ascii", categories=["Nd"]))
def test_a_changed_digit_breaks_the_digest(at: int, digit: str) -> None:
    if not TEXT[at].isdigit() or TEXT[at] == digit:
        return
    changed = TEXT[:at] + digit + TEXT[at + 1 :]
    try:
        published = parse(changed, "p.json")
    except ArtifactError:
        return
    # Only a digit that does not change the number's value may pass, such as the last of seventeen.
    assert published.artifact == ARTIFACT


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profile.json"
    replace_text(dump(ARTIFACT), path)
    replace_text(dump(replace(ARTIFACT, created_at="later")), path)

    assert parse(path.read_text(), "p").artifact.created_at == "later"
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match=r"profile\.json: cannot be written"):
        replace_text(dump(ARTIFACT), tmp_path / "file" / "profile.json")


def test_a_profile_reads_alike_packed_and_plain(tmp_path: Path) -> None:
    """A large profile lies packed in its ConfigMap, and is mounted as it is."""
    packed, plain = tmp_path / "profile.json.gz", tmp_path / "profile.json"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    plain.write_text(TEXT)

    assert read_profile(packed) == read_profile(plain)
    packed.write_bytes(gzip.compress(TEXT.encode())[:-20])
    with pytest.raises(ArtifactError, match="is a damaged gzip file"):
        read_profile(packed)
