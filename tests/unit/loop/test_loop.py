"""The loop ticks at once and on its interval, outlives every failed tick, and stops between two."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.decision import Decision, Outcome, Record, Status
from models.errors import ObserveError
from models.values import Role
from planner.cli import headgate
from planner.clock import SystemClock
from planner.logs import JsonFormatter
from planner.loop import Job, run_once
from planner.record.journal import read_journal
from planner.schedule import Schedule
from tests import builders
from tests.components import REPOSITORY
from tests.integration.loopback import free_port
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

COUNTS = {Role.PREFILL: 2, Role.DECODE: 1}
# Long enough for a scheduler on a busy core; nothing waits for it where all is well.
PATIENCE_S = 20.0
METRICS_PORT = free_port()


def record(at_s: float = builders.AT_S) -> Record:
    return Record(
        "t",
        "shop",
        builders.observation(at_s=at_s),
        builders.forecast({"pages": 1.0}, at_s=at_s),
        None,
        Decision(COUNTS, COUNTS, COUNTS),
        Outcome(Status.UNCHANGED),
        "",
        "",
        "",
    )


class FixedClock:
    def now_s(self) -> float:
        return builders.AT_S


def fail(_: float) -> Record:
    raise ObserveError("the pools cannot be seen")


def break_down(_: float) -> Record:
    raise ZeroDivisionError("a defect")


def test_a_tick_gets_the_clocks_time_and_its_outcome_is_returned() -> None:
    seen: list[float] = []

    def one(now_s: float) -> Record:
        seen.append(now_s)
        return record(now_s)

    assert run_once(Job("shop", 60.0, one), FixedClock()) == Outcome(Status.UNCHANGED)
    assert seen == [builders.AT_S]


@pytest.mark.parametrize(
    ("tick", "said"), [(fail, "the pools cannot be seen"), (break_down, "ZeroDivisionError: a defect")]
)
def test_an_exception_becomes_a_logged_failed_outcome(
    tick: Callable[[float], Record], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run_once(Job("shop", 60.0, tick), FixedClock())

    assert outcome == Outcome(Status.FAILED, said)
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.records[-1].fields == {"deployment": "shop"}  # type: ignore[attr-defined]


class Running:
    """Run jobs until the test has seen enough."""

    def __init__(self, *jobs: Job) -> None:
        clock = SystemClock()
        self.skipped: list[str] = []
        self.schedule = Schedule(clock, lambda job: run_once(job, clock), self.skipped.append)
        for job in jobs:
            self.schedule.put(job)

    def __enter__(self) -> "Running":
        self.schedule.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.schedule.stop(PATIENCE_S) == ()


def test_the_first_tick_comes_at_once_and_not_after_an_interval() -> None:
    ticked = threading.Event()

    def one(now_s: float) -> Record:
        ticked.set()
        return record(now_s)

    with Running(Job("shop", 3600.0, one)):
        assert ticked.wait(PATIENCE_S)


def test_a_failing_tick_ends_neither_its_own_deployment_nor_another() -> None:
    again, others = threading.Semaphore(0), threading.Semaphore(0)

    def broken(_: float) -> Record:
        again.release()
        raise ZeroDivisionError("a defect")

    def fine(now_s: float) -> Record:
        others.release()
        return record(now_s)

    with Running(Job("shop", 0.05, broken), Job("chat", 0.05, fine)):
        for each in (again, others):
            assert all(each.acquire(timeout=PATIENCE_S) for _ in range(3))


def test_a_slow_tick_is_never_run_beside_itself() -> None:
    lock, overlaps, done = threading.Lock(), [], threading.Semaphore(0)

    def slow(now_s: float) -> Record:
        overlaps.append(not lock.acquire(blocking=False))
        time.sleep(0.12)
        lock.release()
        done.release()
        return record(now_s)

    with Running(Job("shop", 0.05, slow)):
        assert all(done.acquire(timeout=PATIENCE_S) for _ in range(3))

    assert not any(overlaps)


def test_a_stop_waits_for_the_tick_in_progress() -> None:
    begun, finished = threading.Event(), threading.Event()

    def slow(now_s: float) -> Record:
        begun.set()
        time.sleep(0.2)
        finished.set()
        return record(now_s)

    with Running(Job("shop", 60.0, slow)):
        assert begun.wait(PATIENCE_S)

    assert finished.is_set()


def test_log_lines_are_json_with_their_fields() -> None:
    line = logging.LogRecord("planner.loop", logging.INFO, "", 0, "prefill %d", (3,), None)
    line.fields = {"deployment": "shop", "role": Role.DECODE}

    said = json.loads(JsonFormatter().format(line))

    assert said["at"].endswith("Z")
    assert {k: v for k, v in said.items() if k != "at"} == {
        "level": "info",
        "logger": "planner.loop",
        "message": "prefill 3",
        "deployment": "shop",
        "role": "decode",
    }


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    with answering(frontend) as prometheus:
        config = prepare(tmp_path, prometheus.url)
        start = "from planner.cli import main; main()"
        command = [sys.executable, "-c", start, "run", "--dry-run", "--config", str(config)]
        command += ["--metrics", f"127.0.0.1:{METRICS_PORT}"]
        process = subprocess.Popen(
            [*command, "--cluster-state", str(tmp_path / "state.yaml")],
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        try:
            yield process, tmp_path / "journal"
        finally:
            process.kill()
            process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_dry_run_fills_the_journal_and_stops_when_asked(
    running: tuple["subprocess.Popen[str]", Path], number: signal.Signals
) -> None:
    process, folder = running
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(_records(folder)) < 2 and process.poll() is None:
        time.sleep(0.1)
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=PATIENCE_S) as answer:
        scraped = answer.read().decode()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, errors
    assert 'headgate_replicas_current{deployment="shop",role="decode"} 4.0' in scraped
    first, *rest = _records(folder)
    assert rest, errors
    assert first.observation.demand["chat"].arrivals_rps == pytest.approx(2.0)
    assert first.forecast.signals, first.forecast.reasons
    assert first.outcome.status is Status.UNCHANGED
    assert first.outcome.detail.startswith("observe: ")
    assert dict(rest[-1].decision.current) == {Role.PREFILL: 4, Role.DECODE: 4}
    said = [json.loads(line) for line in errors.splitlines()]
    assert any(line.get("status") == "unchanged" and line["deployment"] == "shop" for line in said)
    # The tick in progress still has its say.
    last = [line["message"] for line in said[-2:]]
    assert "stopping: no further tick begins" in last


def _records(folder: Path) -> list[Record]:
    if not folder.exists() or not any(folder.glob("*.jsonl")):
        return []
    return [line.record for line in read_journal(folder) if line.record]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster-state", "FILE", "--leader-elect"], "--leader-elect needs a cluster"),
        (["--shard", "4/4"], "of 4 shards the last is 3/4"),
        (["--shard", "one"], "write INDEX/COUNT, such as 0/4"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(tmp_path: Path, arguments: list[str], said: str) -> None:
    config = prepare(tmp_path, "http://127.0.0.1:9")

    result = CliRunner().invoke(headgate, ["run", "--config", str(config), *arguments])

    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("mode", "arguments", "said"),
    [
        ("observe", [], "nothing says where the replicas of shop are"),
        ("act", ["--cluster-state", "state.yaml"], "its mode is act, and nothing here can change its pools"),
    ],
)
def test_what_has_no_pools_to_look_at_or_to_change_is_refused(
    tmp_path: Path, mode: str, arguments: list[str], said: str
) -> None:
    config = prepare(tmp_path, "http://127.0.0.1:9")
    config.write_text(config.read_text().replace("model:", f"mode: {mode}\n    model:", 1))
    arguments = [str(tmp_path / each) if each.endswith("yaml") else each for each in arguments]

    result = CliRunner().invoke(headgate, ["run", "--config", str(config), *arguments])

    assert result.exit_code == 1
    assert said in str(result.exception)


def test_a_tick_that_does_not_end_holds_up_a_stop_no_longer_than_told() -> None:
    begun, free = threading.Event(), threading.Event()

    def hanging(now_s: float) -> Record:
        begun.set()
        free.wait(PATIENCE_S)
        return record(now_s)

    clock = SystemClock()
    schedule = Schedule(clock, lambda job: run_once(job, clock))
    schedule.put(Job("shop", 60.0, hanging))
    schedule.start()
    assert begun.wait(PATIENCE_S)

    assert schedule.stop(0.1) == ("shop",)
    free.set()


def test_jobs_come_go_and_change_while_others_tick() -> None:
    ticked: dict[str, threading.Event] = {name: threading.Event() for name in ("one", "two", "new")}

    def ticking(name: str) -> Job:
        def one(now_s: float) -> Record:
            ticked[name].set()
            return record(now_s)

        return Job("shop" if name == "new" else name, 0.05, one)

    with Running(ticking("one"), Job("shop", 3600.0, lambda _: record())) as running:
        running.schedule.put(ticking("two"))
        running.schedule.put(ticking("new"))
        assert all(each.wait(PATIENCE_S) for each in ticked.values())
        running.schedule.drop("one")
        time.sleep(0.1)
        ticked["one"].clear()
        time.sleep(0.2)
        assert not ticked["one"].is_set()


def test_all_may_be_ticked_at_once() -> None:
    ticked = threading.Semaphore(0)

    def one(now_s: float) -> Record:
        ticked.release()
        return record(now_s)

    with Running(Job("shop", 3600.0, one)) as running:
        assert ticked.acquire(timeout=PATIENCE_S)
        running.schedule.all_now()
        assert ticked.acquire(timeout=PATIENCE_S)
