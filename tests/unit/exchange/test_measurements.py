"""A CSV of measurements is read strictly, and written so that it reads back."""

from dataclasses import replace

import pytest

from models.artifact import Machine, MeasuredPoint, Phase, ProfileArtifact
from models.errors import InputError
from models.values import Parallelism, Role
from profiler.exchange.measurements import COLUMNS, Key, from_csv, to_csv
from tests.builders import aggregated_layout, decode_layout, prefill_layout

HEAD = "role,layout,phase,tokens,batch,seconds"
GOOD = "decode,TEP4,decode,1000,8,0.0123"


def artifact() -> ProfileArtifact:
    measured = (
        MeasuredPoint(Phase.DECODE, 1_000, 3, 0.1 + 0.2, 0.0007, 7, 0.0, -0.012, 1_234.5),
        MeasuredPoint(Phase.DECODE, 2_000, 3, 1 / 3, 0.0, 1),
    )
    return ProfileArtifact(
        model="m",
        machines=(Machine("H200", 8, 8),),
        engine="vllm",
        backend="endpoint",
        created_at="2026-11-20T08:15:00Z",
        layouts=(prefill_layout(), replace(decode_layout(), measured=measured), aggregated_layout()),
    )


def test_measured_points_come_back_bit_by_bit() -> None:
    found = from_csv(to_csv(artifact()), "x.csv")

    key = Key(Role.DECODE, Parallelism(tp=4), "H200")
    assert found[key] == artifact().layouts[1].measured


def test_an_unmeasured_surface_is_written_point_by_point_and_says_that_nothing_was_repeated() -> None:
    found = from_csv(to_csv(artifact()), "x.csv")

    points = found[Key(Role.PREFILL, Parallelism(), "H200", 0.03)]
    surface = prefill_layout().prefill
    assert surface is not None
    assert {(p.tokens, p.batch): p.seconds for p in points} == {
        (x, y): surface.values_s[i][j] for i, x in enumerate(surface.x) for j, y in enumerate(surface.y)
    }
    assert {p.repeats for p in points} == {0}
    both = found[Key(Role.AGGREGATED, Parallelism(tp=4), "H200", 0.02)]
    assert {p.phase for p in both} == {Phase.PREFILL, Phase.DECODE}


def test_only_six_columns_are_needed_in_any_order_and_case() -> None:
    text = "\ufeffSeconds, Batch,tokens,phase,layout,role\n0.0123,8,1e3,DECODE,tep4,Decode\n\n"

    found = from_csv(text, "x.csv")

    assert found == {
        Key(Role.DECODE, Parallelism(tp=4, ep=4)): (MeasuredPoint(Phase.DECODE, 1_000, 8, 0.0123),)
    }


def test_rows_of_one_point_are_its_repeats() -> None:
    rows = "\n".join(f"decode,TP1,decode,1000,8,{s}" for s in (0.010, 0.011, 0.012))

    (point,) = from_csv(f"{HEAD}\n{rows}\n", "x.csv")[Key(Role.DECODE, Parallelism())]

    assert point.seconds == pytest.approx(0.011)
    assert point.repeats == 3
    # Standard deviation 1 ms, Student's t at 2 degrees of freedom 4.303, over the root of 3.
    assert point.error_s == pytest.approx(0.001 * 4.3027 / 3**0.5, rel=1e-4)


def test_means_with_errors_are_weighed_by_their_repeats() -> None:
    rows = "decode,TP1,decode,1000,8,0.010,0.001,3\ndecode,TP1,decode,1000,8,0.014,0.002,1"

    (point,) = from_csv(f"{HEAD},error_s,repeats\n{rows}", "x.csv")[Key(Role.DECODE, Parallelism())]

    assert point.seconds == pytest.approx(0.011)
    assert point.repeats == 4
    assert point.error_s == pytest.approx(((0.75 * 0.001) ** 2 + (0.25 * 0.002) ** 2) ** 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "x.csv:1: no column role, layout, phase, tokens, batch, seconds"),
        ("role,layout,phase,tokens,batch\n", "x.csv:1: no column seconds; the head is role,"),
        (f"{HEAD},itl_ms\n{GOOD},3\n", "x.csv:1: unknown column 'itl_ms'; the columns are role,"),
        (f"{HEAD},batch\n{GOOD},3\n", "x.csv:1: a column stands twice"),
        (f"{HEAD}\n", "x.csv: no rows below the head"),
        (f"{HEAD}\n{GOOD}\n{GOOD},7\n", "x.csv:3: 7 cells under 6 columns"),
        (
            f"{HEAD}\n{GOOD}\n\nrouter,TP1,decode,1,1,1\n",
            "x.csv:4: column role: 'router' is none of prefill,",
        ),
        (f"{HEAD}\ndecode,TP0,decode,1,1,1\n", "x.csv:2: column layout: 'TP0' is not a layout; write"),
        (f"{HEAD}\ndecode,TP1,prefill,1,1,1\n", "x.csv:2: column phase: a decode replica does no prefill"),
        (f"{HEAD}\ndecode,TP1,decode,1k,1,1\n", "x.csv:2: column tokens: '1k' is not a number; write plain"),
        (f"{HEAD}\ndecode,TP1,decode,1000,,1\n", "x.csv:2: column batch: is empty; write plain"),
        (
            f"{HEAD}\ndecode,TP1,decode,1000,8,0\n",
            "x.csv:2: column seconds: 0 is not above zero; leave the row",
        ),
        (f"{HEAD}\ndecode,TP1,decode,1000,8,nan\n", "x.csv:2: column seconds: nan is not above zero"),
        (f"{HEAD}\ndecode,TP1,decode,1000,inf,1\n", "x.csv:2: column batch: inf is not above zero"),
        (f"{HEAD},error_s\n{GOOD},-1\n", "x.csv:2: column error_s: -1 is not at least 0"),
        (f"{HEAD},repeats\n{GOOD},1.5\n", "x.csv:2: column repeats: 1.5 is not a whole number"),
        (f"{HEAD},cached_tokens\n{GOOD},10\n", "x.csv:2: column cached_tokens: a decode point's context"),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        from_csv(text, "x.csv")

    assert str(raised.value).startswith(said)


def test_the_head_names_every_column() -> None:
    assert to_csv(artifact()).splitlines()[0] == ",".join(COLUMNS)
