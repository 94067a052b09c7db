"""Maintenance windows are read as a person writes them."""

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from models.policy import DecidePolicy
from models.window import Allowed, Once, Weekly, Window
from tests.unit.config.files import changed, errors, loaded

ONCE = '{name: sale, allow: up, start: "2026-11-27T00:00:00+01:00", end: 2026-11-28T00:00:00+01:00}'
NIGHTLY = '{name: night, days: [Sat, sunday], from: "22:00", to: "06:00"}'


def windows(folder: Path, text: str, more: str = "") -> tuple[Window, ...]:
    written = changed("decide: {max_step_down: 1}", f"decide: {{windows: [{text}]}}{more}")
    return loaded(folder, written).tick_policy().decide.windows


def test_a_window_of_once_is_read_with_its_offset(tmp_path: Path) -> None:
    start_s = datetime(2026, 11, 26, 23, tzinfo=UTC).timestamp()
    assert windows(tmp_path, ONCE) == (Window("sale", Allowed.UP, Once(start_s, start_s + 86_400.0)),)


def test_a_weekly_window_allows_nothing_unless_it_says_so(tmp_path: Path) -> None:
    when = Weekly(frozenset({5, 6}), time(22), time(6))
    assert windows(tmp_path, NIGHTLY) == (Window("night", Allowed.NOTHING, when),)


def test_a_weekly_window_goes_by_the_clock_of_the_forecast_unless_it_names_one(tmp_path: Path) -> None:
    text = changed("decide: {max_step_down: 1}", f"decide: {{windows: [{NIGHTLY}]}}")
    text = text.replace("forecast: {reach: 30m}", "forecast: {timezone: Europe/Berlin}")
    (window,) = loaded(tmp_path, text).tick_policy().decide.windows
    assert window.when == Weekly(frozenset({5, 6}), time(22), time(6), "Europe/Berlin")
    own = text.replace("days: [Sat", "timezone: Asia/Tokyo, days: [Sat")
    (window,) = loaded(tmp_path, own).tick_policy().decide.windows
    assert window.when == Weekly(frozenset({5, 6}), time(22), time(6), "Asia/Tokyo")


def test_without_windows_the_policy_is_what_it_was(tmp_path: Path) -> None:
    assert loaded(tmp_path).tick_policy().decide == DecidePolicy(max_step_down=1)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("", ": says no time: give `start` and `end`, or `days` with `from` and `to`"),
        (
            "days: [sun], start: 2026-11-27T00:00:00Z, end: 2026-11-28T00:00:00Z",
            ".days: belongs to a weekly window, `start` and `end` to one of once; keep one",
        ),
        ("start: 2026-11-27T00:00:00Z", ": a window of once needs its `end`, too"),
        ("start: 2026-11-27T00:00:00Z, end: 2026-11-26T00:00:00Z", ".end: is not after `start`"),
        ("start: 2026-11-27T00:00:00, end: 2026-11-28T00:00:00Z", ".start: "),
        ("days: [someday]", ".days[0]: is no day of the week; write mon, tue, wed, thu, fri, sat, sun"),
        ("days: [sun, Sunday]", ".days: lists a day twice"),
        ('days: [sun], from: "25:00"', '.from: wants a time of day such as "22:00", from "00:00" to "23:59"'),
        ("days: [sun], from: 22", '.from: wants a time of day such as "22:00"'),
        ("days: [sun], timezone: Mars/Olympus", ".timezone: is wrong: 'Mars/Olympus' is no IANA time zone"),
        ("days: [sun], allow: ups", ".allow: wants 'nothing', 'up' or 'down', got 'ups'; did you mean 'up'?"),
        ("days: [sun], form: '22:00'", ".form: unknown key; did you mean 'from'?"),
    ],
)
def test_a_window_that_is_none_is_refused_with_line_key_and_remedy(
    tmp_path: Path, written: str, told: str
) -> None:
    window = f"{{name: upgrade{', ' if written else ''}{written}}}"
    text = changed("decide: {max_step_down: 1}", f"decide: {{windows: [{window}]}}")
    (line,) = errors(tmp_path, text)
    assert line.startswith(f"headgate.yaml:20: deployments[0].decide.windows[0]{told}")
