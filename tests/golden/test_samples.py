"""The published samples are what the reports say today, and name what is not."""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from models.render.document import Document
from tests.golden.markdown import markdown
from tests.golden.samples.reports import FOLDER, documents, exported

KINDS = ("recommendation", "track-record")
RENEW = "if it is meant: python -m tests.golden.samples"
# Sums of another processor differ in their last digits.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Document]:
    return documents(tmp_path_factory.mktemp("samples"))


def differences(kept: object, found: object, place: str = "") -> Iterator[str]:
    """Name each place where two JSON values differ by more than rounding."""
    if isinstance(kept, dict) and isinstance(found, dict):
        for key in kept.keys() | found.keys():
            if key in kept and key in found:
                yield from differences(kept[key], found[key], f"{place}.{key}")
            else:
                yield f"{place}.{key} is only in {'the sample' if key in kept else 'the report'}"
    elif isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        for i, (one, other) in enumerate(zip(kept, found, strict=True)):
            yield from differences(one, other, f"{place}[{i}]")
    elif isinstance(kept, float) and isinstance(found, float):
        if not math.isclose(kept, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{place}: {kept} in the sample, {found} in the report"
    elif kept != found:
        yield f"{place}: {str(kept)[:80]!r} in the sample, {str(found)[:80]!r} in the report"


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_reads_as_its_report_does(kind: str, made: Mapping[str, Document]) -> None:
    kept = (FOLDER / f"{kind}.md").read_text(encoding="utf-8").splitlines()

    changed = list(difflib.unified_diff(kept, markdown(made[kind]).splitlines(), "sample", "report", n=0))

    assert not changed, "\n".join([RENEW, *changed[:40]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_holds_the_data_of_its_report(kind: str, made: Mapping[str, Document]) -> None:
    kept = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))

    changed = sorted(differences(kept, exported(made[kind])))

    assert not changed, "\n".join([RENEW, *changed[:40]])


def test_a_difference_is_named_by_its_place_and_rounding_is_none() -> None:
    kept = {"a": [{"b": 1.0, "c": "x"}], "d": 2}

    assert list(differences(kept, {"a": [{"b": 1.0 + 1e-12, "c": "x"}], "d": 2})) == []
    assert list(differences(kept, {"a": [{"b": 1.1, "c": "x"}], "d": 2})) == [
        ".a[0].b: 1.0 in the sample, 1.1 in the report"
    ]
    assert list(differences(kept, {"a": kept["a"]})) == [".d is only in the sample"]


def test_each_sample_is_linked_from_the_readme() -> None:
    readme = Path(__file__).parents[2] / "README.md"

    missing = [k for k in KINDS if f"(tests/golden/samples/{k}.md)" not in readme.read_text(encoding="utf-8")]

    assert missing == []
