"""What may wait says until when, and who counts it; a promise and a wait exclude each other."""

from datetime import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.deferral import Deferral
from planner.cli import headgate
from tests.unit.config.files import VALID, errors, loaded, write

MAIL = "      - name: email\n"
WAITS = MAIL + "        deferrable: {{{}, backlog: 'sum(queue_depth)'}}\n"


def waiting(stated: str) -> str:
    assert VALID.count(MAIL) == 1
    return VALID.replace(MAIL, WAITS.format(stated))


def test_a_wait_until_a_time_of_the_day_goes_by_the_clock_of_the_forecast(tmp_path: Path) -> None:
    text = waiting('done_by: "06:00"').replace("reach: 30m", "reach: 30m, timezone: Europe/Berlin")
    plan = loaded(tmp_path, text).tick_policy().plan

    assert plan.classes[1].deferral == Deferral(done_by=time(6), timezone="Europe/Berlin")
    assert plan.classes[0].deferral is None


def test_a_wait_of_a_while_needs_to_know_how_long_the_oldest_has_waited(tmp_path: Path) -> None:
    stated = "within: 8h, oldest: max(queue_age_seconds)"
    plan = loaded(tmp_path, waiting(stated)).tick_policy().plan

    assert plan.classes[1].deferral == Deferral(within_s=8 * 3600.0)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("within: 8h", "deferrable.within: needs `oldest`"),
        ('done_by: "06:00", within: 8h', "ends by `done_by` or by `within`, one of them"),
        ("oldest: x", "ends by `done_by` or by `within`, one of them"),
        ('done_by: "06:00", oldest: x', "deferrable.oldest: is not asked for where `done_by` ends the wait"),
        ('done_by: "6 am"', "wants a time of day"),
        ('done_by: "06:00", until: x', "deferrable.until: unknown key"),
    ],
)
def test_a_wait_that_makes_no_sense_is_refused(tmp_path: Path, stated: str, told: str) -> None:
    lines = errors(tmp_path, waiting(stated))

    assert len(lines) == 1
    assert told in lines[0]


def test_who_was_promised_a_latency_cannot_be_made_to_wait(tmp_path: Path) -> None:
    text = VALID.replace("        priority: 10\n", "        deferrable: {done_by: '06:00', backlog: x}\n")

    assert "is for a class without a latency promise; leave out its `slo`" in errors(tmp_path, text)[0]


def test_check_says_until_when_a_class_may_wait(tmp_path: Path) -> None:
    path = write(tmp_path, waiting('done_by: "06:00"'))
    result = CliRunner().invoke(headgate, ["config", "check", str(path)])

    assert "class email: throughput only, may wait until 06:00, priority 0" in result.stdout
