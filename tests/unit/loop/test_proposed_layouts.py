"""A proposed layout stands in the log line of its tick, and in no other."""

from dataclasses import replace

import pytest

from models.decision import Record
from planner.loop import Job, run_once
from tests.unit.loop.test_loop import FixedClock, record
from tests.unit.render.report_values import record as reported
from tests.unit.render.test_sizing_worth import PROPOSAL


def logged(made: Record, caplog: pytest.LogCaptureFixture) -> object:
    with caplog.at_level("INFO"):
        run_once(Job("shop", 60.0, lambda _: made), FixedClock())
    return caplog.records[-1].fields.get("other_layouts")  # type: ignore[attr-defined]


def test_a_proposal_is_logged_with_its_tick(caplog: pytest.LogCaptureFixture) -> None:
    sizing = reported().sizing
    assert sizing is not None

    assert logged(replace(record(), sizing=replace(sizing, reshape=PROPOSAL)), caplog) == PROPOSAL.sentence


def test_without_one_nothing_is_logged_of_it(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(reported(), caplog) is None
    assert logged(record(), caplog) is None
