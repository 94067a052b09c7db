"""A changed configuration counts from the next tick on, whole or not at all, and forgets nothing."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from models.decision import Record
from models.errors import HeadgateError
from planner import wiring
from planner.commands.resuming import learner
from planner.fitting import InlineFitter
from planner.fleet import Fleet, Surroundings
from planner.loop import Job
from planner.record.memory import Memory
from planner.reloading import Reloading
from planner.wiring import Configuration
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import Request, answering

NOW_S = 1.8e9


class Jobs:
    """Stand in for the schedule: tick when told to."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def put(self, job: Job) -> None:
        self.jobs[job.deployment] = job

    def drop(self, deployment: str) -> None:
        del self.jobs[deployment]


@dataclass
class Ground:
    config: Path
    asked: list[Request]
    schedule: Jobs = field(default_factory=Jobs)
    ended: list[str] = field(default_factory=list)
    leads: bool = True

    def __post_init__(self) -> None:
        self.memory = Memory()
        around = Surroundings(
            InlineFitter(),
            lambda _: self.memory,
            learner,
            lambda: self.leads,
            "me",
            True,
            self.config.with_name("state.yaml"),
        )
        choose = lambda loaded: [wiring.deployment(loaded, d.name) for d in loaded.settings.deployments]  # noqa: E731
        self.fleet = Fleet(around, self.schedule, choose, lambda _: None, self.ended.append)  # type: ignore[arg-type]
        self.now_s = NOW_S

    def read(self) -> Configuration:
        return wiring.read_config(self.config)

    def change(self, was: str, now: str) -> None:
        self.config.write_text(self.config.read_text().replace(was, now))

    def tick(self, name: str = "shop") -> Record | None:
        self.now_s += 1.0
        return self.schedule.jobs[name].tick(self.now_s)

    @property
    def read_back(self) -> int:
        """How many times weeks of history were asked for."""
        spans = [float(r.query["end"]) - float(r.query["start"]) for r in self.asked if "end" in r.query]
        return sum(span > 86_400.0 for span in spans)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    asked: list[Request] = []

    def answer(request: Request) -> tuple[int, str]:
        asked.append(request)
        return frontend(request)

    with answering(answer) as prometheus:
        made = Ground(prepare(tmp_path, prometheus.url), asked)
        # Those that take seconds to fit say nothing here.
        made.change("    classes:", "    forecast: {forecasters: []}\n    classes:")
        made.fleet.take(made.read())
        yield made


def test_what_was_seen_and_learned_outlives_a_changed_promise(ground: Ground) -> None:
    before = ground.tick()
    asked = ground.read_back
    ground.change("itl: 30ms", "itl: 40ms")
    ground.fleet.take(ground.read())
    after = ground.tick()

    assert before is not None
    assert after is not None
    assert asked > 0
    assert ground.read_back == asked
    assert after.config_digest != before.config_digest
    assert after.forecast.signals["chat"].keys() == before.forecast.signals["chat"].keys()
    assert after.readiness.keys() == before.readiness.keys()


def test_other_demand_is_read_back_and_not_taken_for_the_old(ground: Ground) -> None:
    ground.tick()
    asked = ground.read_back
    ground.change("model: gpt-oss-120b", "model: gpt-oss-120b\n    observation_lag: 20s")
    ground.change("name: chat,", "name: talk,")
    ground.fleet.take(ground.read())
    after = ground.tick()

    assert after is not None
    assert ground.read_back > asked
    assert set(after.observation.demand) == {"talk"}


@pytest.mark.parametrize("broken", ["profile.json", "headgate.yaml"])
def test_what_is_wrong_with_any_file_changes_nothing(ground: Ground, broken: str) -> None:
    first = ground.tick()
    text = ground.config.with_name(broken).read_text()
    ground.change("itl: 30ms", "itl: 40ms")
    ground.config.with_name(broken).write_text(text[: len(text) // 2])

    with pytest.raises(HeadgateError):
        ground.fleet.take(ground.read())

    again = ground.tick()
    assert first is not None
    assert again is not None
    assert again.config_digest == first.config_digest


def test_deployments_come_and_go(ground: Ground) -> None:
    text = ground.config.read_text()
    second = text[text.index("  - name: shop") :].replace("name: shop", "name: mail")
    state = {
        "deployments": {
            n: {"pools": {key: {"replicas": 4} for key in ("prefill", "decode")}} for n in ("shop", "mail")
        }
    }
    ground.config.write_text(text + second)
    ground.config.with_name("state.yaml").write_text(json.dumps(state))
    ground.fleet.take(ground.read())
    mail = ground.tick("mail")
    assert mail is not None
    assert mail.deployment == "mail"

    ground.config.write_text(text)
    ground.fleet.take(ground.read())
    assert list(ground.schedule.jobs) == ["shop"]
    assert ground.ended == ["mail"]


def test_who_stands_by_remembers_and_decides_nothing(ground: Ground) -> None:
    ground.leads = False
    assert ground.tick() is None
    assert ground.memory.records == []
    asked = ground.read_back
    ground.leads = True
    first = ground.tick()

    assert first is not None
    assert first.forecast.signals
    assert ground.read_back == asked


def reloading(ground: Ground, told: list[str]) -> Reloading:
    def files(loaded: Configuration) -> list[Path]:
        return [ground.config, ground.config.with_name("profile.json")]

    made = Reloading(ground.read, files, ground.fleet.take, lambda loaded, why: told.append(why))
    made.begin(ground.read())
    return made


def test_a_change_is_taken_up_once_it_stands_still(ground: Ground) -> None:
    told: list[str] = []
    looks = reloading(ground, told)
    looks.look()
    assert told == []
    ground.change("itl: 30ms", "itl: 40ms")
    looks.look()
    assert told == []
    looks.look()
    looks.look()
    assert told == [""]


def test_a_refused_change_is_told_once_and_a_better_one_taken(ground: Ground) -> None:
    told: list[str] = []
    looks = reloading(ground, told)
    for was, now in (("slo:", "slop:"), ("slop:", "slo:")):
        ground.change(was, now)
        for _ in range(4):
            looks.look()

    assert len(told) == 2
    assert "slop" in told[0]
    assert told[1] == ""


def test_a_file_that_is_gone_for_a_moment_is_refused_and_taken_when_it_is_back(ground: Ground) -> None:
    told: list[str] = []
    looks = reloading(ground, told)
    text = ground.config.read_text()
    ground.config.unlink()
    looks.look()
    looks.look()
    ground.config.write_text(text)
    looks.look()
    looks.look()

    assert [bool(why) for why in told] == [True, False]


def test_looking_ends_when_told_to(ground: Ground) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=partial(reloading(ground, []).run, stop))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
