"""Whatever a careless or hostile user hands in is answered in a sentence: what, where, what to do about it.

Every row runs the real command line. What it is handed may be wrong in any way; the answer is an exit code
and a message, never a traceback, and what lay in the folder before lies there after, byte for byte.
"""

import gzip
import json
import os
import pty
import re
import resource
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from config import reference
from models import codec
from models.artifact import parse
from models.errors import HeadgateError
from planner.cli import COMMANDS, headgate
from profiler.cli import profiler
from tests.unit.loop import ground
from tests.unit.observe.http_server import Request, Respond, answering, series, success

NOWHERE = "http://127.0.0.1:9"
HEADER = "timestamp,input_tokens,output_tokens\n"
ROWS = "1700000000,1000,20\n1700000060,1000,20\n1700000300,1000,20\n"
MINUTES = "".join(f"{1_700_000_000 - 60 * i},60,60000,6000\n" for i in range(100, 0, -1))
HISTORY = "timestamp,requests,input_tokens,output_tokens\n"
KEPT = "kept\n"

REPLAY = "replay --config headgate.yaml --jobs 1 --policy static:1,1"
SIZE = "size --profile profile.json --isl 8k --osl 50 --rate 10"
RECOMMEND = "recommend --config headgate.yaml --cluster-state state.yaml"
SWEEP = "sweep --layouts TP1 --out kept.json --model qwen3-32b --hardware gb200"


@dataclass(frozen=True)
class Row:
    """Say what to run in a folder with `files` laid over the good ones, and what must come of it."""

    command: str
    says: tuple[str, ...]
    code: int = 1
    files: Mapping[str, str | bytes] = field(default_factory=dict)


SERIES_HEADER = "timestamp,rps\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay out everything that a good run needs, and two files that a bad run must leave alone."""
    ground.prepare(tmp_path, NOWHERE)
    (tmp_path / "trace.csv").write_text(HEADER + ROWS)
    (tmp_path / "history.csv").write_text(HISTORY + MINUTES)
    (tmp_path / "series.csv").write_text(SERIES_HEADER + "".join(f"{60 * i},{i % 7}\n" for i in range(120)))
    for name in ("kept.json", "kept.html"):
        (tmp_path / name).write_text(KEPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, program: click.Command = headgate) -> Result:
    return CliRunner().invoke(program, shlex.split(command))


def outcome(result: Result) -> tuple[int, str]:
    """Return exit code and message as `main` gives them; any other exception would be a traceback."""
    if isinstance(result.exception, HeadgateError):
        return 1, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.output if result.exit_code in (0, 3, 4) else result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def lay(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def check(folder: Path, row: Row, program: click.Command = headgate) -> None:
    """Run a row that must fail, or answer without writing, and compare the folder before and after."""
    lay(folder, row.files)
    before = contents(folder)

    code, message = outcome(run(row.command, program))

    assert code == row.code, message
    for part in row.says:
        assert part in message
    # A line or two for a person, even where the input has megabytes.
    assert row.code != 1 or len(message) < 2000
    assert contents(folder) == before


def trace(content: str | bytes, *says: str) -> Row:
    return Row(f"{REPLAY} --trace bad --out kept.html", ("bad", *says), files={"bad": content})


WHOLE = (HEADER + ROWS).encode()
TRACES = {
    "broken rows alone": trace(f"{HEADER}x,1,1\n1,1\n", "no usable row among 2", "line 2", "'x'", "line 3"),
    "negative": trace(f"{HEADER}1,-1,1\n", "line 2", "input tokens: '-1', expected 1 to"),
    "huge": trace(f"{HEADER}1,1e308,1\n2,1,{'9' * 30}\n", "'1e308'", "'999999", "expected 1 to 10000000"),
    "a time beyond all": trace(f"{HEADER}1e400,1,1\n2600-01-01 00:00:00,1,1\n", "no usable timestamp"),
    "a stray time": trace(f"{HEADER}0,1,1\n1700000000,1,1\n", "spans", "(line 2)", "(line 3)", "not in sec"),
    "empty": trace("", "is empty", "needs a header"),
    "blank lines": trace("\n \n", "is empty"),
    "a header alone": trace(HEADER, "nothing after the header"),
    "binary": trace(bytes(range(256)) * 20, "is binary", "export it as text"),
    "UTF-16": trace(WHOLE.decode().encode("utf-16"), "is binary"),
    "not UTF-8": trace(WHOLE + b"\xe9,1,1\n", "line 5", "save the file as UTF-8"),
    "gzip that was cut": trace(gzip.compress(WHOLE * 99)[:70], "ends early", "fetch it again"),
    "gzip that is damaged": trace(b"\x1f\x8b\x08\x00" + bytes(40), "is damaged", "fetch the file again"),
    "unknown columns": trace("a,b\n1,2\n", "line 1", "'a,b'", "expected timestamp,input_tokens,output"),
    "semicolons": trace("timestamp;input_tokens\n1;2\n", "line 1", "expected timestamp,input_tokens"),
    "a header of a megabyte": trace(f'"{"x" * 10**6}"\n', "is no header that is known"),
    "JSON that nests without end": trace('{"a":' + "[" * 10**5 + "\n", "line 1 is not JSON"),
    "JSON of other things": trace('{"input_length": 5}\n[1]\n', "lacks timestamp", "output_length"),
    "a number of megabytes": trace('{"timestamp":1,"input_length":' + "9" * 10**6 + "}\n", "is not JSON"),
    "an unknown class": trace(f"{HEADER[:-1]},class\n1,1,1,{'mail' * 10**5}\n", "line 2", "known: chat"),
    "a folder": Row(f"{REPLAY} --trace .", ("is a folder", "name one file")),
    "not there": Row(f"{REPLAY} --trace no.csv --out kept.html", ("no.csv: no such file",)),
    "a name that no file has": Row(f"{REPLAY} --trace '{'a' * 300}'", ("cannot be read", "too long")),
    "a day that is too short": Row(f"{REPLAY} --trace demo:1e9", ("'demo:1e9'", "at least 1 and at most")),
    "a rate beyond all memory": Row(
        f"{REPLAY} --trace many --rate-scale 1e6",
        ("many", "at most 1e+08 can be replayed", "lower --rate-scale"),
        files={"many": HEADER + ROWS * 40},
    ),
}


@pytest.mark.parametrize("row", TRACES.values(), ids=TRACES)
def test_a_trace_that_cannot_be_replayed(folder: Path, row: Row) -> None:
    check(folder, row)


USABLE = {
    "broken rows": (f"{HEADER}{ROWS}x,1,1\n1,2\n,,\n", 3, "3 skipped: line 5 has no usable timestamp"),
    "negative and huge": (f"{HEADER}{ROWS}1700000001,-1,1\n1700000001,1,1e300\n", 2, "2 skipped: line 5"),
    "unsorted": (HEADER + "".join(reversed(ROWS.splitlines(True))), 0, "2 out of order"),
    "words for times": (f"{HEADER}2023-11-16 00:00:00,9,9\ntoday,9,9\nnow,9,9\n", 2, "'today'"),
    "a field of a megabyte": (f'{HEADER}{ROWS}"{"y" * 10**6}",1,1\n', 1, "line 5 has 1 fields"),
    "a class that is null": ('{"timestamp":1,"input_length":9,"output_length":9,"class":null}\n', 0, ""),
}


@pytest.mark.parametrize("case", USABLE)
def test_rows_that_cannot_be_used_are_told_and_counted(folder: Path, case: str) -> None:
    content, skipped, says = USABLE[case]
    lay(folder, {"some.csv": content})

    result = run(f"{REPLAY} --trace some.csv -o json")

    assert outcome(result)[0] == 0, result.exception
    assert says in result.stderr
    answer = json.loads(result.stdout)["policies"][0]
    rows = len(content.strip().splitlines()) - (not content.startswith("{"))
    assert answer["skipped_rows"] == skipped
    assert answer["completed"] + answer["rejected"] + answer["in_flight"] + skipped == rows


def history(content: str | bytes, *says: str) -> Row:
    command = f"{REPLAY} --trace trace.csv --history past.csv --out kept.html"
    return Row(command, ("past.csv", *says), files={"past.csv": content})


HISTORIES = {
    "empty": history("", "is empty"),
    "a header alone": history(HISTORY, "nothing after the header"),
    "other columns": history(HEADER + ROWS, "needs the columns", "missing: requests"),
    "broken": history(HISTORY + "a,b,c,d\n1\n", "fewer than two usable rows"),
    "negative throughout": history(HISTORY + MINUTES.replace(",60,", ",-60,"), "fewer than two usable rows"),
    "a time of 1970": history(HISTORY + "0,60,60000,6000\n" + MINUTES, "a timestamp is wrong"),
    "another class": history(f"{HISTORY[:-1]},class\n1,1,9,9,mail\n", "line 2", "'mail'", "known: chat"),
    "what came later": history(HISTORY + MINUTES.replace("16999", "17999"), "before the trace begins"),
    "binary": history(bytes(500), "binary"),
    "not there": Row(f"{REPLAY} --trace trace.csv --history no.csv", ("no.csv: no such file",)),
}


@pytest.mark.parametrize("row", HISTORIES.values(), ids=HISTORIES)
def test_a_history_that_cannot_be_used(folder: Path, row: Row) -> None:
    check(folder, row)


def test_a_history_with_holes_and_a_future_is_used_up_to_the_trace_and_says_so(folder: Path) -> None:
    later = "1700000120,60,60000,6000\n"
    lay(folder, {"past.csv": HISTORY + MINUTES + "1699999999,-4,1,1\n" + later})

    result = run(f"{REPLAY} --trace trace.csv --history past.csv")

    assert outcome(result)[0] == 0, result.exception
    assert "past.csv: 1 of 102 rows are not usable and count as gaps: line 102" in result.stderr
    assert "past.csv: what lies after the trace begins is left out" in result.stderr


GOOD = ground.CONFIG.format(url=NOWHERE)


def config(content: str | bytes, *says: str) -> Row:
    return Row(f"{REPLAY} --trace trace.csv --out kept.html", says, files={"headgate.yaml": content})


CONFIGS = {
    "an unknown key": config(GOOD.replace("budget", "bugdet"), ".yaml:8", "bugdet", "did you mean 'budget'"),
    "a mistyped value": config(GOOD.replace("1s", "1"), ".yaml:1", "interval", 'write "1ms" or "1s"'),
    "a word for a number": config(GOOD.replace("40", "many"), ".yaml:8", "budget.gpus", "'many'"),
    "a negative number": config(GOOD.replace("40", "-40"), "budget.gpus", "at least 1, got -40"),
    "a key twice": config(f"{GOOD}interval: 2s\n", ".yaml:11", "interval", "already there at line 1"),
    "empty": config("", "is empty", "headgate config schema"),
    "a list at the top": config("- a\n", ".yaml:1", "is a list", "begins with `deployments:`"),
    "tabs": config(GOOD.replace("  - name", "\t- name"), ".yaml:5", "a tab stands", "indent with spaces"),
    "not UTF-8": config(GOOD.encode() + b"# \xe9\n", ".yaml:11", "save it as UTF-8"),
    "binary": config(bytes(100), "is a binary file"),
    "nested without end": config("a: " + "[" * 2000, "nested too deeply"),
    "aliases without end": config("a: &a [*a]\n", ".yaml:1", "aliases multiply or nest"),
    "a tag that would run code": config("a: !!python/object:os.system x\n", "means nothing here"),
    "two documents": config(f"{GOOD}---\na: 1\n", ".yaml:12", "second document"),
    "a character that no path has": config(GOOD.replace("profile.json", '"a\\0b"'), "no text has"),
    "a start-up of years": config(GOOD.replace("min: 1}, d", "startup: 9d}, d"), "startup", "longer than 7d"),
    "a reach of years": config(GOOD + "    forecast: {reach: 300d}\n", "reach", "longer than 30d"),
    "more replicas than exist": config(GOOD.replace("min: 1", "min: 1000000000"), "min", "at most 100000"),
    "a fleet above its budget": config(GOOD.replace("40", "4"), "takes 5 GPUs", "raise budget.gpus"),
    "a profile that is not there": config(
        GOOD.replace("profile.json", "no.json"), "no.json", "sweep --model"
    ),
    "a profile that is a folder": config(GOOD.replace("profile.json", "."), "cannot be read: Is a directory"),
    "a profile of another model": config(
        GOOD.replace("gpt-oss-120b", "qwen"), "profiles gpt-oss-120b", "qwen"
    ),
    "a layout that was not profiled": config(
        GOOD.replace("min: 1}, d", "layout: TP2}, d"), "no prefill layout 'TP2'", "it holds TP1"
    ),
    "no such file": Row(f"replay --config no.yaml --trace {HEADER[:4]}", ("no.yaml: no such file",)),
}


@pytest.mark.parametrize("row", CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_that_is_wrong(folder: Path, row: Row) -> None:
    check(folder, row)


def changed(change: Callable[[Any], object]) -> Callable[[str], str]:
    """Change a profile and sign it anew: what the digest cannot catch."""

    def write(text: str) -> str:
        body = {key: value for key, value in json.loads(text).items() if key != "digest"}
        change(body)
        return json.dumps({**body, "digest": codec.digest(body)})

    return write


# How the text is spoilt, and what is said of it.
PROFILES: dict[str, tuple[Callable[[str], str | bytes], tuple[str, ...]]] = {
    "a newer schema": (lambda t: t.replace("profile/v2", "profile/v9"), ("headgate/profile/v9", "upgrade")),
    "a broken digest": (lambda t: t.replace("0.03", "0.04"), ("digest does not match", "restore it or prof")),
    "cut": (lambda t: t[:500], ("invalid JSON at line",)),
    "not JSON": (lambda _: "hello", ("not a profile: invalid JSON at line 1",)),
    "JSON of another kind": (lambda _: "[]", ("not a profile", "headgate-profiler sweep")),
    "nested without end": (lambda _: "[" * 10**5, ("not a profile", "nest too deeply")),
    "a number without end": (lambda _: '{"a":' + "9" * 5000 + "}", ("not a profile", "too long")),
    "half a character": (lambda t: t.replace("builder", "\\ud800"), ("digest does not match",)),
    "not text": (lambda _: bytes(range(128, 256)), ("is not text",)),
    "no selection": (changed(lambda b: b.update(selection=None)), ("selects no prefill layout", "--layout")),
    "no layouts": (changed(lambda b: b.update(layouts=[])), ("no prefill layout 'TP1'", "it holds none")),
    "no surface": (changed(lambda b: b["layouts"][0].update(prefill=None)), ("no prefill surface", "again")),
    "a surface of NaN": (
        changed(lambda b: b["layouts"][0]["prefill"]["values_s"][0].__setitem__(0, float("nan"))),
        ("layouts.0.prefill", "finite and above zero", "profile again"),
    ),
    "no room for a cache": (
        changed(lambda b: b["layouts"][1].update(kv_capacity_tokens=-1)),
        ("decode=TP4", "kv_capacity_tokens"),
    ),
    "nodes without GPUs": (changed(lambda b: b["machines"][0].update(gpus_per_node=0)), ("gpus_per_node",)),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_that_cannot_be_trusted(folder: Path, case: str) -> None:
    spoil, says = PROFILES[case]
    lay(folder, {"profile.json": spoil((folder / "profile.json").read_text())})

    for command in (SIZE, f"{REPLAY} --trace trace.csv --out kept.html"):
        check(folder, Row(command, says))
    code, shown = outcome(run("show profile.json", profiler))
    # A profile that selects nothing, or holds no layout, can be shown; every other is refused here as well.
    assert code == (0 if case in ("no selection", "no layouts") else 1), shown


def slip(command: str, *says: str) -> Row:
    return Row(command, says, code=2)


def replaying(options: str, *says: str) -> Row:
    return slip(f"{REPLAY} --trace trace.csv --out kept.html {options}", *says)


OPTIONS = {
    "an unknown policy": replaying("--policy oracl", "'oracl' is not known", "headgate, static-peak"),
    "half a fleet": replaying("--policy static:3", "write static:P,D", "prefill and decode"),
    "digits that are none": replaying("--policy static:²,1", "write static:P,D"),
    "a fleet beyond all": replaying("--policy static:999999999,1", "a count from 1 to 100000"),
    "a start-up without a unit": replaying("--startup prefill=120", "--startup", "'120'", '"90s"'),
    "a start-up of years": replaying("--startup prefill=1000d", "--startup", "the longest start-up"),
    "a start-up beyond floats": replaying(f"--startup prefill={'9' * 400}d", "longer than a century"),
    "a role twice": replaying("--startup prefill=1s,prefill=2s", "prefill is given twice"),
    "an unknown role": replaying("--initial prefil=1", "'prefil=1'", "prefill or decode"),
    "a fleet of none": replaying("--initial prefill=0,decode=1", "a count from 1 to 100000"),
    "half an initial fleet": replaying("--initial prefill=1", "a count for decode as well"),
    "a number of thousands of digits": replaying(f"--initial prefill={'9' * 5000},decode=1", "from 1 to"),
    "no number for a rate": replaying("--rate-scale nan", "--rate-scale"),
    "a report in no folder": slip(f"{REPLAY} --trace trace.csv --out no/x.html", "the folder no does not"),
    "a report in place of a folder": slip(f"{REPLAY} --trace trace.csv --out .", "is a directory"),
    "an unknown option": replaying("--polcy hpa", "--polcy", "--policy"),
    "an unknown command": slip("repaly", "repaly"),
    "no question": slip("size --profile profile.json --isl 1 --osl 1", "--rate or --concurrency"),
    "an endless rate": slip(f"{SIZE} --rate inf", "--rate"),
    "a rate that is no number": slip(f"{SIZE} --rate nan", "--rate"),
    "half a token": slip(f"{SIZE} --osl 0.5", "--osl", "below 1"),
    "prompts beyond all": slip(f"{SIZE} --isl 99999g", "--isl", "above 10M"),
    "more cached than asked": slip(f"{SIZE} --cached 9k", "--cached", "--isl"),
    "a promise of nothing": slip(f"{SIZE} --ttft 0s", "--ttft"),
    "a certainty": slip(f"{SIZE} --quantile 1", "--quantile"),
    "a quantile that is no number": slip(f"{SIZE} --quantile nan", "--quantile"),
    "two kinds of fleet": slip(f"{SIZE} --replicas prefill=1,decode=1,aggregated=1", "or aggregated alone"),
    "replicas beyond all": slip(f"{SIZE} --replicas prefill=999999999999,decode=1", "from 1 to 100000"),
    "no replicas": slip(f"{SIZE} --replicas ,", "names no role"),
    "a time that is none": slip(f"{RECOMMEND} --at yesterday", "--at", "2026-11-27T09:30:00Z"),
    "a time without a zone": slip(f"{RECOMMEND} --at 2026-01-01T00:00:00", "add Z for UTC"),
    "a time to come": slip(f"{RECOMMEND} --at 2999-01-01T00:00:00Z", "in the future"),
    "a time before all": slip(f"{RECOMMEND} --at 0001-01-01T00:00:00+23:59", "before 2000"),
    "a history of ages": slip(f"{RECOMMEND} --history 90000d", "--history"),
}


@pytest.mark.parametrize("row", OPTIONS.values(), ids=OPTIONS)
def test_a_slip_on_the_command_line_is_a_usage_error(folder: Path, row: Row) -> None:
    check(folder, row)


def test_a_scaler_that_nobody_told_where_the_replicas_are_says_so(folder: Path) -> None:
    check(folder, Row("run --config headgate.yaml", ("`target`", "--cluster-state FILE"), code=1))


def sweeping(options: str, *says: str, code: int = 1, **files: str | bytes) -> Row:
    return Row(f"{SWEEP} {options}", says, code, {name.replace("_", "."): c for name, c in files.items()})


H100 = (reference.PRESETS / "hardware" / "h100.yaml").read_text()
TRTLLM = (reference.PRESETS / "engine" / "trtllm.yaml").read_text()
HBM = "hbm_bytes: 85.52e+9"


def card(change: Callable[[str], str | bytes], *says: str) -> Row:
    return sweeping("--hardware ./card.yaml", "card.yaml", *says, card_yaml=change(H100))


SWEEPS = {
    "an unknown model": sweeping("--model gpt-oss-12b", "'gpt-oss-12b'", "did you mean gpt-oss-120b?"),
    "unknown hardware": sweeping("--hardware gb20", "'gb20'", "did you mean B200 or GB200?"),
    "an unknown engine": sweeping("--engine sglan", "'sglan'", "did you mean sglang?"),
    "nothing like it": sweeping("--hardware abacus", "there are B200, GB200", "./card.yaml"),
    "a card that is not there": sweeping("--model ./no.yaml", "no.yaml: no such file"),
    "a figure that is missing": card(lambda t: t.replace(HBM, ""), "hbm_bytes is missing"),
    "a negative figure": card(lambda t: t.replace(HBM, "hbm_bytes: -5"), "hbm_bytes", "greater than 0", "-5"),
    "an endless figure": card(lambda t: t.replace(HBM, "hbm_bytes: .inf"), "hbm_bytes", "finite"),
    "a figure beyond all": card(lambda t: t.replace(HBM, "hbm_bytes: 1e300"), "hbm_bytes", "less than"),
    "a mistyped key": card(lambda t: t.replace("hbm_bytes:", "hbm_byte:"), "did you mean hbm_bytes?"),
    "a figure of no source": card(
        lambda t: t.replace("- source: nvidia-smi on H100 80GB, 81,559 MiB\n    hbm", "- hbm"), "no source"
    ),
    "a card that is a list": card(lambda _: "- 1\n", ":1: is a list", "a card is a mapping"),
    "a card that is no YAML": card(lambda _: "name: [", ":1: is not valid YAML"),
    "a card that is binary": card(lambda _: bytes(9), "binary"),
    "an iteration of one token": sweeping(
        "--engine ./e.yaml",
        "max_num_batched_tokens",
        e_yaml=TRTLLM.replace("max_num_batched_tokens: 8192", "max_num_batched_tokens: 1"),
    ),
    "a model that does not fit": sweeping(
        "--model deepseek-r1 --hardware h100", "fits H100 in none of these layouts (TP1:", "name wider ones"
    ),
    "a layout that is none": sweeping("--layouts TP1,XY", "'XY' is not a layout", "TEP4"),
    "a layout that cannot run": sweeping("--layouts TP3", "TP3: 64 attention heads do not divide by 3"),
    "a layout without end": sweeping(f"--layouts TP{'9' * 5000}", "is not a layout"),
    "a context that is too long": sweeping("--isl 50k", "exceed the 40960 tokens of context"),
    "a rate that is no number": sweeping("--rate nan", "--rate", code=2),
    "a rate beyond all": sweeping("--rate 999999g", "--rate", code=2),
    "a quantile that is no number": sweeping("--quantile nan", "--quantile", code=2),
    "a promise of ages": sweeping(f"--ttft {'9' * 400}d", "--ttft", code=2),
    "a folder to write to": sweeping("--out .", "is a directory", code=2),
    "a place below a file": sweeping("--out kept.html/x.json", "cannot be written"),
    "a name that is too long": sweeping(f"--out {'x' * 300}", "cannot be written: File name too long"),
}


@pytest.mark.parametrize("row", SWEEPS.values(), ids=SWEEPS)
def test_a_sweep_that_cannot_be_made_leaves_the_last_profile(folder: Path, row: Row) -> None:
    check(folder, row, profiler)


PROMISES: dict[str, tuple[str, click.Command, Callable[[Any], tuple[bool, str]]]] = {
    "size": (f"{SIZE} --ttft 1ms -o json", headgate, lambda said: (said["feasible"], said["why"])),
    "sweep": (
        f"{SWEEP} --ttft 1ms --out new.json -o json",
        profiler,
        lambda said: (said["selection"]["feasible"], said["selection"]["why"]),
    ),
}


@pytest.mark.parametrize("case", PROMISES)
def test_a_promise_that_nobody_can_keep_is_an_answer(folder: Path, case: str) -> None:
    command, program, read = PROMISES[case]

    result = run(command, program)

    assert outcome(result)[0] == 0
    feasible, why = read(json.loads(result.stdout))
    assert not feasible
    assert "one request alone" in why


def state(text: str, *says: str) -> Row:
    return Row(RECOMMEND, ("cluster state", *says), files={"state.yaml": text})


STATES = {
    "an unknown key": state(
        "pools: {prefill: {replcas: 4}}", ".yaml:1", "replcas", "did you mean `replicas`"
    ),
    "a negative count": state("pools: {prefill: {replicas: -4}}", "prefill.replicas", "greater than"),
    "a count beyond all": state("pools: {prefill: {ready: 999999999}}", "prefill.ready", "100000"),
    "a word for a count": state("pools: {prefill: {replicas: many}}", "'many' is not a count"),
    "a missing role": state("pools: {prefill: {replicas: 4}}", "has the pools prefill", "plans decode, pref"),
    "an unknown role": state("pools: {prefil: {replicas: 4}}", "`pools.prefil`", "did you mean `prefill`?"),
    "another deployment": state("deployments: {x: {pools: {decode: {ready: 1}}}}", "no deployment 'shop'"),
    "empty": state("", "is empty", "pools: {prefill:"),
    "a list": state("- 1", "is a list", "pools: {prefill:"),
    "no YAML": state("pools: [", "is not valid YAML"),
    "not there": Row(RECOMMEND.replace("state.yaml", "no.yaml"), ("cluster state no.yaml: no such file",)),
}


@pytest.mark.parametrize("row", STATES.values(), ids=STATES)
def test_a_cluster_state_that_cannot_be_used(folder: Path, row: Row) -> None:
    check(folder, row)


def always(status: int, body: str) -> Respond:
    return lambda _: (status, body)


def slow(request: Request) -> tuple[int, str]:
    threading.Event().wait(0.6)
    return ground.frontend(request)


def without_lengths(request: Request) -> tuple[int, str]:
    if "requests_started" in request.query["query"] or request.query["query"].startswith("timestamp("):
        return ground.frontend(request)
    return 200, success([])


def not_finite(request: Request) -> tuple[int, str]:
    at_s = float(request.query.get("time") or request.query["end"])
    pairs = [(at_s - 15.0 * i, "NaN" if i % 2 else "+Inf") for i in range(60)][::-1]
    return 200, success([series("dynamo_frontend_requests_started_total", pairs)])


PROMETHEUS: dict[str, tuple[Respond | None, str]] = {
    "absent": (None, f"Prometheus at {NOWHERE} cannot be reached; check prometheus.url"),
    "slow": (slow, "did not answer within 0.2 s"),
    "500": (always(500, '{"status":"error","error":"out of memory"}'), "answered 500: out of memory"),
    "503 of a gateway": (always(503, "<html>no</html>"), "answered 503"),
    "401": (always(401, ""), "answered 401; check prometheus.bearer_token_file"),
    "a page to log in": (always(200, "<html>login</html>"), "an answer that is not its API's"),
    "JSON that was cut": (always(200, '{"status":"success","data":{"resu'), "that is not its API's"),
    "JSON of another kind": (always(200, "[1, 2]"), "that is not its API's"),
    "NaN and infinities": (not_finite, "were NaN or infinite and were left out"),
    "empty": (always(200, success([])), "no samples of dynamo_frontend_requests_started_total"),
    "partial": (without_lengths, "request lengths of chat"),
}


def recommend(folder: Path, url: str, *changes: tuple[str, str]) -> Result:
    text = ground.CONFIG.format(url=url)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "headgate.yaml").write_text(text)
    return run(f"{RECOMMEND} --history 2h --exit-code -o json")


def test_with_a_prometheus_that_is_well_the_same_fleet_is_lowered(folder: Path) -> None:
    """The ground that the table below stands on."""
    with answering(ground.frontend) as prometheus:
        result = recommend(folder, prometheus.url)

    assert result.exit_code == 3
    assert sum(json.loads(result.stdout)["decision"]["final"].values()) < 8


@pytest.mark.parametrize("case", PROMETHEUS)
def test_a_prometheus_that_is_not_well_holds_every_count_and_is_named(folder: Path, case: str) -> None:
    respond, says = PROMETHEUS[case]
    quick = ("timeout: 2s", "timeout: 200ms")
    if respond is None:
        result = recommend(folder, NOWHERE, quick)
    else:
        with answering(respond) as prometheus:
            result = recommend(folder, prometheus.url, quick)

    assert result.exit_code == 4, result.exception
    said = json.loads(result.stdout)
    assert said["schema"] == "headgate/recommendation/v1"
    assert (said["held"], said["change"]) == (True, False)
    assert said["decision"]["final"] == {"prefill": 4, "decode": 4}
    assert any(says in f"{gap['what']}: {gap['reason']}" for gap in said["gaps"]), said["gaps"]


ACCESS = {
    "a token that is not there": ("bearer_token_file: no.txt", "no.txt: the bearer token cannot be read"),
    "a token of two lines": ("bearer_token_file: two.txt", "two.txt: holds no bearer token"),
    "certificates that are not there": ("tls: {ca_file: no.pem}", "check prometheus.tls.ca_file"),
}


@pytest.mark.parametrize("case", ACCESS)
def test_credentials_that_cannot_be_used_hold_and_are_named(folder: Path, case: str) -> None:
    option, says = ACCESS[case]
    lay(folder, {"two.txt": "one\ntwo\n"})

    secure = (NOWHERE, NOWHERE.replace("http:", "https:"))
    result = recommend(folder, NOWHERE, ("retries: 0", f"retries: 0, {option}"), secure)

    assert result.exit_code == 4, result.exception
    assert any(says in gap["reason"] for gap in json.loads(result.stdout)["gaps"])


JOURNALS = {
    "a file in the way": ("kept.json", "File exists"),
    "below a file": ("kept.json/j", "Not a direct"),
}


@pytest.mark.parametrize("case", JOURNALS)
def test_a_journal_that_cannot_be_kept_is_told_before_the_first_tick(folder: Path, case: str) -> None:
    place, says = JOURNALS[case]
    text = GOOD.replace("dir: journal", f"dir: {place}")

    command = "run --dry-run --config headgate.yaml --cluster-state state.yaml"
    check(folder, Row(command, ("journal", place, says, "set journal.dir"), files={"headgate.yaml": text}))


def start(program: str, command: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a console script in a process of its own, as a shell would."""
    code = f"from {program}.cli import main; main()"
    arguments = [sys.executable, "-c", code, *shlex.split(command)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    # pytest may run with SIGINT ignored, and what is ignored stays so in a child.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(arguments, text=True, start_new_session=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_disk_that_fills_up_costs_records_and_neither_the_loop_nor_what_was_written(folder: Path) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    loop = start(
        "planner", "run --dry-run --config headgate.yaml --cluster-state state.yaml", preexec_fn=fill
    )
    lost = []
    assert loop.stderr is not None
    for line in loop.stderr:
        lost += [line] if "is lost: " in line else []
        if len(lost) == 2:
            break
    loop.send_signal(signal.SIGTERM)
    _, rest = loop.communicate(timeout=20)

    assert loop.returncode == 0, rest
    assert "check free space and permissions, or set journal.dir" in lost[0]
    (file,) = (folder / "journal").glob("*.jsonl")
    written = file.read_text().splitlines(keepends=True)
    assert written
    for line in written:
        assert json.loads(line)["schema"] in ("headgate/record/v1", "headgate/record-like/v1")


# Commands that take a while.
LONG = {
    "replay": ("planner", "replay --config day.yaml --trace demo --out kept.html --jobs 1 --policy headgate"),
    "replay in processes": ("planner", "replay --config day.yaml --trace demo --out kept.html --jobs 2"),
    "sweep": ("profiler", "sweep --model deepseek-r1 --hardware gb200 --out kept.json --report kept.html"),
}


@pytest.mark.parametrize("case", LONG)
def test_an_interrupt_ends_at_once_and_leaves_no_file_half_written(folder: Path, case: str) -> None:
    program, command = LONG[case]
    pages = "{name: pages, slo: {ttft: 300ms, e2e: 500ms}, match: {input_tokens: {min: 4k}}}"
    classes = f"classes: [{pages}, {{name: email}}]"
    kept = "\n".join(line for line in GOOD.splitlines() if "classes:" not in line)
    lay(folder, {"day.yaml": f"{kept}\n    {classes}\n"})
    before = contents(folder)
    # A terminal, because a progress bar on it tells that the work has begun.
    screen, terminal = pty.openpty()
    process = start(program, command, stderr=terminal)
    os.close(terminal)
    shown = b""
    while re.search(rb"[1-9]\d*[%/]", shown) is None:
        shown += os.read(screen, 1000)

    began_s = time.monotonic()
    # To all of the group, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    shown += drained(screen)
    stdout, _ = process.communicate(timeout=20)

    assert time.monotonic() - began_s < 5
    assert process.returncode == 130, shown
    assert stdout == ""
    assert b"Stopped." in shown
    assert b"Traceback" not in shown
    assert contents(folder) == before


def drained(screen: int) -> bytes:
    """Read a terminal until the last process that holds it is gone."""
    shown = b""
    while True:
        try:
            part = os.read(screen, 1000)
        except OSError:  # Linux says so when the other end is closed
            return shown
        if not part:
            return shown
        shown += part


MAIN = {
    "a failure": ("planner", "replay --config no.yaml --trace x", 1, "Error: no.yaml: no such file\n"),
    "a slip": ("planner", "size --rate 1", 2, "Missing option '--profile'"),
    "a failure of the profiler": ("profiler", "show no.json", 1, "Error: no.json: cannot be read: No such"),
    "a slip with the profiler": ("profiler", "sweep --model x", 2, "Missing option '--hardware'"),
}


@pytest.mark.parametrize("case", MAIN)
def test_a_process_ends_with_one_message_and_its_code(folder: Path, case: str) -> None:
    program, command, code, says = MAIN[case]

    process = start(program, command)
    stdout, stderr = process.communicate(timeout=30)

    assert process.returncode == code
    assert stdout == ""
    assert says in stderr
    assert "Traceback" not in stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_printed_is_a_failure(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("planner", "config schema", stdout=full)
        _, stderr = process.communicate(timeout=30)

    assert (process.returncode, stderr) == (1, "Error: No space left on device\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_what_may_not_be_read_or_written_is_told(folder: Path) -> None:
    for name in ("trace.csv", "headgate.yaml", "profile.json"):
        (folder / name).chmod(0)
        code, message = outcome(run(f"{REPLAY} --trace trace.csv"))
        (folder / name).chmod(0o644)
        assert code in (1, 2)
        assert name in message
    folder.chmod(0o555)
    try:
        code, message = outcome(run(f"{REPLAY} --trace trace.csv --out kept.html"))
        assert (code, "may not be written" in message) == (2, True)
        code, message = outcome(run(SWEEP, profiler))
        assert (code, "cannot be written: Permission denied" in message) == (1, True)
    finally:
        folder.chmod(0o755)


def demand(content: str | bytes, *says: str) -> Row:
    return Row("backtest --series bad --report kept.html", ("bad", *says), files={"bad": content})


SERIES = {
    "empty": demand("", "is empty"),
    "a header alone": demand(SERIES_HEADER, "no column of numbers"),
    "one row": demand(f"{SERIES_HEADER}0,1\n", "two times at least"),
    "a word": demand(f"{SERIES_HEADER}0,1\n60,many\n", "line 3, column rps", "'many' is not a number"),
    "a long word": demand(f"{SERIES_HEADER}0,1\n60,{'x' * 10**6}\n", "line 3", "is not a number"),
    "negative": demand(f"{SERIES_HEADER}0,1\n60,-1\n", "line 3, column rps", "below zero"),
    "no time": demand(f"{SERIES_HEADER}0,1\ntoday,1\n", "line 3, column timestamp", "'today' is no time"),
    "a time beyond all": demand(f"{SERIES_HEADER}0,1\n1e400,1\n", "line 3, column timestamp"),
    "a stray time": demand(f"{SERIES_HEADER}0,1\n60,1\n120,1\n1700000000,1\n", "a timestamp is wrong"),
    "a cut row": demand(f"{SERIES_HEADER}0,1\n60\n", "line 3 has 1 fields"),
    "too short": demand(f"{SERIES_HEADER}0,1\n60,2\n", "2 steps of 1m were measured"),
    "nothing known": demand(SERIES_HEADER + "".join(f"{60 * i},nan\n" for i in range(99)), "0 steps"),
    "no times": demand("day,hour,rps\n0,0,1\n0,1,2\n", "line 1 names no column of times"),
    "two columns": demand("timestamp,a,b\n0,1,1\n60,1,1\n", "has columns a, b; choose with --column"),
    "binary": demand(bytes(range(256)) * 20, "is binary"),
    "not UTF-8": demand(SERIES_HEADER.encode() + b"0,\xe9\n", "line 2 is not UTF-8"),
    "gzip that was cut": demand(gzip.compress(SERIES_HEADER.encode() * 99)[:40], "ends early"),
    "semicolons": demand("timestamp;rps\n0;1\n60;2\n", "line 1 names no column of times"),
}


@pytest.mark.parametrize("case", SERIES)
def test_a_series_that_cannot_be_judged_says_why_and_keeps_the_old_report(folder: Path, case: str) -> None:
    check(folder, SERIES[case])


WRITERS = {
    "profile": (profiler, f"{SWEEP} --out place"),
    "report": (headgate, f"{REPLAY} --trace trace.csv --out place"),
}


@pytest.mark.parametrize("case", WRITERS)
def test_a_link_is_followed_and_a_pipe_is_written_to_never_replaced(folder: Path, case: str) -> None:
    program, command = WRITERS[case]
    (folder / "place").symlink_to("kept.json")
    assert outcome(run(command, program))[0] == 0
    written = (folder / "kept.json").read_bytes()
    assert (folder / "place").is_symlink()
    assert len(written) > 1000
    (folder / "place").unlink()

    os.mkfifo(folder / "place")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((folder / "place").read_bytes()))
    reader.start()
    assert outcome(run(command, program))[0] == 0
    reader.join(10)

    assert (folder / "place").is_fifo()
    assert len(received[0]) > 1000


def commands(group: click.Group, path: str = "") -> Iterator[str]:
    """Yield every command of a program, groups included, as it is typed."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


@pytest.mark.parametrize("program", [headgate, profiler], ids=["headgate", "headgate-profiler"])
def test_every_command_explains_itself(program: click.Group) -> None:
    for command in commands(program):
        for flag in ("-h", "--help"):
            result = run(f"{command} {flag}", program)
            assert result.exit_code == 0, command
            assert result.stdout.startswith("Usage: ")
            assert result.stderr == ""
    assert set(COMMANDS) == {
        "run",
        "recommend",
        "replay",
        "size",
        "explain",
        "report",
        "backtest",
        "config",
    }


JSON = {
    "size": (headgate, f"{SIZE} -o json", "headgate/size/v1"),
    "replay": (headgate, f"{REPLAY} --trace trace.csv -o json", "headgate/replay/v1"),
    "recommend": (headgate, f"{RECOMMEND} -o json", "headgate/recommendation/v1"),
    "backtest": (headgate, "backtest --series series.csv -o json", "headgate/backtest/v1"),
    "config show": (headgate, "config show headgate.yaml -o json", "headgate/config/v1"),
    "sweep": (profiler, f"{SWEEP} --out new.json -o json", "headgate/sweep/v2"),
    "show": (profiler, "show profile.json -o json", "headgate/profile/v2"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_is_whole_plain_and_names_its_schema(folder: Path, case: str) -> None:
    program, command, schema = JSON[case]

    result = run(command, program)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout, parse_constant=refuse)["schema"] == schema


def test_a_good_run_replaces_what_it_is_told_to(folder: Path) -> None:
    """The other half of the tables above: the files that failures keep are the ones that a success writes."""
    assert outcome(run(SWEEP, profiler))[0] == 0
    assert outcome(run(f"{REPLAY} --trace trace.csv --out kept.html"))[0] == 0

    assert parse((folder / "kept.json").read_text(), "kept.json").artifact.model == "qwen3-32b"
    assert (folder / "kept.html").read_text().lower().startswith("<!doctype html")
