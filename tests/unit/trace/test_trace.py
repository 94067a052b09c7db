"""Read traces as they lie: every format, every kind of broken row, every kind of broken file."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from models.errors import TraceError
from models.policy import ClassMatch
from planner.observe import trace_formats
from planner.observe.trace import Trace, read_trace

HEADER = "timestamp,input_tokens,output_tokens"
ANY = (ClassMatch("default"),)
LONG_AND_REST = (ClassMatch("pages", min_input_tokens=4000), ClassMatch("email"))


def write(folder: Path, text: str | bytes, name: str = "trace") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, *rows: str, header: str = HEADER, matches: tuple[ClassMatch, ...] = ANY) -> Trace:
    return read_trace(write(folder, "\n".join((header, *rows)) + "\n"), matches)


CANONICAL = f"{HEADER}\n1700158546.5,374,44\n1700158550,396,109\n"
DATES = f"{HEADER}\n2023-11-16T18:15:46.5Z,374,44\n2023-11-16 18:15:50,396,109\n"
ZONES = f"{HEADER}\n2023-11-16T19:15:46.5+01:00,374,44\n2023-11-16T19:15:50+01:00,396,109\n"
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:15:46.5000000,374,44\r
2023-11-16 18:15:50.0000000,396,109\r
"""
MOONCAKE = """\
{"timestamp": 1700158546500, "input_length": 374, "output_length": 44, "hash_ids": [1, 2]}
{"timestamp": 1700158550000, "input_length": 396, "output_length": 109, "hash_ids": [1]}
"""
BURSTGPT = """\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
1700158546.5,ChatGPT,374,44,418,Conversation log
1700158550,GPT-4,396,109,505,API log
"""


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (CANONICAL, "canonical"),
        (DATES, "canonical"),
        (ZONES, "canonical"),
        (AZURE, "azure"),
        (MOONCAKE, "mooncake"),
        (BURSTGPT, "burstgpt"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_reads_the_same_requests(tmp_path: Path, text: str, form: str, packed: bool) -> None:
    # The name says nothing of the content: gzip is told by its first bytes.
    trace = read_trace(write(tmp_path, gzip.compress(text.encode()) if packed else text, "trace.txt"))

    assert trace.format == form
    assert trace.workload.arrival_s.tolist() == pytest.approx([1_700_158_546.5, 1_700_158_550.0], abs=1e-6)
    assert trace.workload.isl_tokens.tolist() == [374, 396]
    assert trace.workload.osl_tokens.tolist() == [44, 109]
    assert (trace.rows, trace.skipped_rows, trace.reordered) == (2, 0, 0)


def test_mooncake_keeps_its_prefix_blocks_in_order_of_arrival(tmp_path: Path) -> None:
    rows = (
        '{"timestamp": 2000, "input_length": 9, "output_length": 1, "hash_ids": [7, 8]}\n'
        '{"timestamp": 1000, "input_length": 9, "output_length": 1, "hash_ids": [7]}\n'
    )
    trace = read_trace(write(tmp_path, rows))

    blocks = trace.workload.blocks
    assert blocks is not None
    assert trace.workload.arrival_s.tolist() == [1.0, 2.0]
    assert blocks.offsets.tolist() == [0, 1, 3]
    assert blocks.hashes.tolist() == [7, 7, 8]


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, b"\xef\xbb\xbf" + f"\n{HEADER}\n\n1,10,5\n\n\n2,10,5\n".encode()))

    assert (trace.rows, len(trace.workload)) == (2, 2)


def test_quoted_fields_and_extra_columns_are_read(tmp_path: Path) -> None:
    trace = read(tmp_path, '"1","10","5","a, b"', header=f"{HEADER},note")

    assert trace.workload.isl_tokens.tolist() == [10]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,-5,10", "no usable count of input tokens: '-5'"),
        ("1,0,10", "no usable count of input tokens: '0'"),
        ("1,10,0", "no usable count of output tokens: '0'"),
        ("1,10,-1", "no usable count of output tokens: '-1'"),
        ("1,10000001,10", "no usable count of input tokens: '10000001'"),
        ("1,1e300,10", "no usable count of input tokens"),
        ("1,10," + "9" * 400, "no usable count of output tokens"),
        ("1,10.5,10", "no usable count of input tokens: '10.5'"),
        ("1,nan,10", "no usable count of input tokens: 'nan'"),
        ("1,inf,10", "no usable count of input tokens"),
        ("1,many,10", "no usable count of input tokens: 'many'"),
        ("1,,10", "no usable count of input tokens: ''"),
        (",10,10", "no usable timestamp: ''"),
        ("yesterday,10,10", "no usable timestamp: 'yesterday'"),
        ("-1,10,10", "no usable timestamp: '-1'"),
        ("nan,10,10", "no usable timestamp"),
        ("1700158546000,10,10", "no usable timestamp"),
        ("1,10", "has 2 fields where the header has 3"),
        ("1,10,10,10", "has 4 fields where the header has 3"),
        ('1,"10,10', "has 2 fields where the header has 3"),
    ],
)
def test_a_broken_row_is_skipped_counted_and_explained(tmp_path: Path, row: str, says: str) -> None:
    trace = read(tmp_path, "1,100,10", row, "2,100,10")

    assert (trace.rows, len(trace.workload), trace.skipped_rows) == (3, 2, 1)
    assert trace.reasons[0].line == 3
    assert says in str(trace.reasons[0])
    assert "1 skipped" in trace.summary()


@pytest.mark.parametrize(
    ("cached", "usable"), [("0", True), ("100", True), ("101", False), ("-1", False), ("x", False)]
)
def test_cached_tokens_lie_within_the_prompt(tmp_path: Path, cached: str, usable: bool) -> None:
    trace = read(tmp_path, "1,100,10,5", f"2,100,10,{cached}", header=f"{HEADER},cached_tokens")

    assert len(trace.workload) == (2 if usable else 1)
    if usable:
        assert trace.workload.cached_tokens.tolist() == [5, int(cached)]


@pytest.mark.parametrize(
    "row", ["not json", "[1, 2]", "{}", '{"timestamp": 1, "input_length": 5}', '{"timestamp": 1, "input', "7"]
)
def test_a_broken_json_line_is_skipped_and_counted(tmp_path: Path, row: str) -> None:
    good = '{"timestamp": 0, "input_length": 9, "output_length": 1}\n'
    trace = read_trace(write(tmp_path, good + row + "\n" + good))

    assert (trace.rows, trace.skipped_rows, len(trace.workload)) == (3, 1, 2)
    assert trace.reasons[0].line == 2


def test_a_failed_request_of_burstgpt_is_skipped_as_such(tmp_path: Path) -> None:
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
    trace = read(tmp_path, "5,GPT-4,100,0,100,API log", "6,GPT-4,100,7,107,API log", header=header)

    assert trace.skipped_rows == 1
    assert "failed request" in str(trace.reasons[0])


def test_rows_out_of_order_are_sorted_in_and_counted_but_not_skipped(tmp_path: Path) -> None:
    trace = read(tmp_path, "3,30,3", "1,10,1", "2,20,2", "4,40,4")

    assert trace.workload.arrival_s.tolist() == [1, 2, 3, 4]
    assert trace.workload.isl_tokens.tolist() == [10, 20, 30, 40]
    assert (trace.reordered, trace.skipped_rows) == (1, 0)


def test_rows_that_look_alike_are_all_kept(tmp_path: Path) -> None:
    assert len(read(tmp_path, *["1,10,1"] * 7).workload) == 7


def test_only_the_first_reasons_are_kept_but_every_row_is_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, "1,10,10", *[f"{i},0,10" for i in range(50)])

    assert (trace.skipped_rows, trace.rows, len(trace.reasons)) == (50, 51, 5)
    assert [reason.line for reason in trace.reasons] == [3, 4, 5, 6, 7]


def test_a_file_is_read_in_pieces_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{t:.3f},{n},5" for t, n in zip(rng.uniform(0, 99, 50), rng.integers(-3, 50, 50), strict=True)]
    whole = read(tmp_path, *rows)
    monkeypatch.setattr(trace_formats, "CHUNK", 7)
    pieces = read(tmp_path, *rows)

    assert np.array_equal(whole.workload.arrival_s, pieces.workload.arrival_s)
    assert np.array_equal(whole.workload.isl_tokens, pieces.workload.isl_tokens)
    assert (whole.rows, whole.skipped_rows, whole.reordered, whole.reasons) == (
        pieces.rows,
        pieces.skipped_rows,
        pieces.reordered,
        pieces.reasons,
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"  \n\n ", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (f"{HEADER}\n".encode(), "nothing after the header"),
        (f"{HEADER}\n1,-1,1\n2,0,5\n".encode(), "no usable row among 2: line 2"),
        (b"time,tokens\n1,2\n", "line 1 is no header that is known"),
        (b"1,2,3\n4,5,6\n", "expected timestamp,input_tokens,output_tokens"),
        (gzip.compress(f"{HEADER}\n1,2,3\n".encode() * 100, mtime=0)[:-12], "gzip data ends early"),
        (b"\x1f\x8b\x08\x00garbage-that-is-no-deflate", "gzip data"),
        (b"\x00\x01\x02\x03" * 100, "is binary"),
        (f"{HEADER}\n1,2,3\n".encode() + b"\xff\xfe\n", "line 3 is not UTF-8"),
        (f"{HEADER}\n1700158546,2,3\n10,2,3\n".encode(), "1970-01-01 (line 3) to 2023-11-16 (line 2)"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_where_and_what_to_do(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = write(tmp_path, content, "t.csv")

    with pytest.raises(TraceError) as error:
        read_trace(path)

    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(TraceError, match="is a folder"):
        read_trace(tmp_path)


def test_the_length_of_the_input_tells_the_class(tmp_path: Path) -> None:
    workload = read(tmp_path, "1,3999,1", "2,4000,1", "3,9000,1", matches=LONG_AND_REST).workload

    assert [workload.class_names[i] for i in workload.class_index] == ["email", "pages", "pages"]


def test_the_first_class_that_admits_a_length_takes_it(tmp_path: Path) -> None:
    matches = (
        ClassMatch("rest"),
        ClassMatch("short", max_input_tokens=100),
        ClassMatch("half", max_input_tokens=200),
    )
    workload = read(tmp_path, "1,50,1", "2,150,1", "3,250,1", matches=matches).workload

    assert [workload.class_names[i] for i in workload.class_index] == ["short", "half", "rest"]


def test_a_class_column_beats_the_length_and_an_empty_cell_leaves_it_to_the_length(tmp_path: Path) -> None:
    rows = ("1,9000,1,email", "2,10,1, pages ", "3,9000,1,")
    workload = read(tmp_path, *rows, header=f"{HEADER},class", matches=LONG_AND_REST).workload

    assert [workload.class_names[i] for i in workload.class_index] == ["email", "pages", "pages"]


def test_an_unknown_class_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"line 3: class 'chat' is not configured; known: pages, email"):
        read(tmp_path, "1,1,1,pages", "2,1,1,chat", header=f"{HEADER},class", matches=LONG_AND_REST)


def test_a_request_of_no_class_is_an_error_that_names_its_line(tmp_path: Path) -> None:
    matches = (ClassMatch("long", min_input_tokens=1000), ClassMatch("eu", labels={"region": "eu"}))

    with pytest.raises(TraceError, match=r"line 3: no class takes a request of 10 tokens"):
        read(tmp_path, "1,5000,1", "2,10,1", matches=matches)
