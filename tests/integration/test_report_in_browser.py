"""Each report, opened in a real browser: complete, silent, offline, and steered by mouse, keys and touch."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.render import profile_page, recommendation_page, replay_page, track_page
from models.simulation.scorecard import ReplayResult
from models.track.summary import Summary, summarise
from models.values import RequestClass, Role
from planner.record.setting import read_setting
from planner.report.tracks import read_tracks
from tests import builders, components
from tests.browser import Browser, Page
from tests.unit.render.report_values import (
    held_record,
    layout,
    measured_profile,
    profile,
    record,
    replay_result,
)
from tests.unit.report.journals import decided, write

pytestmark = pytest.mark.integration

MOST_BYTES = 1_500_000
DRAWN = "document.documentElement.dataset.drawn === 'yes'"
NASTY = "a.b[0]'\"\\ </script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(components.chromium(), tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write each kind of report once; the profile is as large as a full sweep of a model."""
    folder = tmp_path_factory.mktemp("reports")
    sweep = tuple(
        layout(role, tp, ep=tp if expert else 1)
        for role in Role
        for tp in (1, 2, 4, 8, 16, 32, 64)
        for expert in (False, True)
    )
    pages = {
        "replay": replay_page.render(replay_result(), "2026-11-28T12:30:00Z"),
        "profile": profile_page.render(profile(layouts=sweep)),
        "measured": profile_page.render(measured_profile()),
        "recommendation": recommendation_page.render(record()),
        "fleet": recommendation_page.render([record(), replace(held_record(), deployment="search")]),
        "names": replay_page.render(_with_nasty_names()),
        "track": track_page.render([_track(folder / "journal")]),
    }
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


def _track(journal: Path) -> Summary:
    """Score two hours of decisions."""
    minutes = [decided(builders.AT_S + 60.0 * i, pages=80.0 + i % 40) for i in range(120)]
    write(journal, minutes)
    [told] = read_tracks(journal, lambda record: read_setting(journal, record), 28)
    return summarise(told.track, told.setting.criteria, told.records, told.version)


CHARTS = {"replay": 2, "profile": 7, "measured": 13, "recommendation": 2, "fleet": 2, "names": 2, "track": 1}
DRAW_FOLDED = "document.querySelectorAll('details').forEach((folded) => { folded.open = true; })"
ALL_DRAWN = (
    "[...document.querySelectorAll('.canvas')].every((canvas) => canvas.querySelector('svg.marks') !== null)"
)


@pytest.mark.parametrize("kind", CHARTS)
def test_a_report_draws_all_its_charts_in_silence_and_without_network(
    kind: str, browser: Browser, reports: dict[str, Path]
) -> None:
    with browser.open(reports[kind]) as page:
        page.wait_for(DRAWN)
        page.evaluate(DRAW_FOLDED)
        page.wait_for(ALL_DRAWN)
        marks = page.evaluate(
            "[...document.querySelectorAll('.canvas')].map(c => c.querySelectorAll('svg .mark-line path, "
            "svg .mark-area path, svg .mark-symbol path, svg .mark-rect path').length)"
        )

    assert len(marks) == CHARTS[kind]
    assert all(count > 0 for count in marks)
    assert page.problems == []
    assert page.requests == []
    assert reports[kind].stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("kind", ["replay", "profile", "measured", "fleet"])
@pytest.mark.parametrize("width", [390, 900, 1400])
def test_no_width_makes_the_page_scroll_sideways(
    kind: str, width: int, browser: Browser, reports: dict[str, Path]
) -> None:
    with browser.open(reports[kind], width, touch=width < 500) as page:
        page.wait_for(DRAWN)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        widest = page.evaluate(
            "Math.max(...[...document.querySelectorAll('svg.marks')].map(s => s.clientWidth))"
        )

    assert overflow <= 0
    # A chart takes the page's width and does not stay at the size it was described in.
    assert 0.8 * min(width, 1216) < widest <= width


def test_hovering_reads_all_panels_at_one_time(browser: Browser, reports: dict[str, Path]) -> None:
    with browser.open(reports["replay"]) as page:
        page.wait_for(DRAWN)
        _hover(page, "timeline", 0.5, 0.12)
        page.wait_for("document.querySelector('#vg-tooltip-element.visible') !== null")
        tip = page.evaluate("document.querySelector('#vg-tooltip-element').innerText")
        lines = page.evaluate(
            "[...document.querySelectorAll('#figure-timeline .mark-rule line')]"
            ".filter(l => l.getAttribute('opacity') === '0.9').length"
        )

    assert "pages" in tip
    assert "email" in tip
    assert "Nov" in tip
    assert lines == 5
    assert page.problems == []


def test_a_reader_can_hide_series_and_choose_a_policy(browser: Browser, reports: dict[str, Path]) -> None:
    drawn = "document.querySelectorAll('#figure-timeline .mark-line path[d]:not([d=\"\"])').length"
    shape = "document.querySelector('#figure-timeline .mark-area path').getAttribute('d')"
    with browser.open(reports["replay"]) as page:
        page.wait_for(DRAWN)
        before, was = page.evaluate(drawn), page.evaluate(shape)
        page.evaluate("document.querySelector('#figure-timeline input[value=hpa]').click()")
        # One line in each of the two panels that compare policies.
        page.wait_for(f"{drawn} === {before - 2}")
        page.evaluate(
            "(() => { const s = document.querySelector('#figure-timeline select'); s.value = 'static-peak';"
            " s.dispatchEvent(new Event('change')); })()"
        )
        page.wait_for(f"{shape} !== {json.dumps(was)}")

    assert page.problems == []


def test_a_measured_surface_shows_its_points_with_their_bars_per_layout(
    browser: Browser, reports: dict[str, Path]
) -> None:
    figure = "#figure-decode-measured-others"
    dots = f"document.querySelectorAll('{figure} .mark-symbol path').length"
    bars = f"document.querySelectorAll('{figure} .mark-rule.role-mark line').length"
    bands = f"document.querySelectorAll('{figure} .mark-area path').length"
    shape = f"document.querySelector('{figure} .mark-line path').getAttribute('d')"
    with browser.open(reports["measured"]) as page:
        page.wait_for(DRAWN)
        page.evaluate(DRAW_FOLDED)
        page.wait_for(ALL_DRAWN)
        # Ten points were measured, all of them on the five lines; one more rule is the promise.
        seen, was = page.evaluate(f"[{dots}, {bars}, {bands}]"), page.evaluate(shape)
        page.evaluate(
            f"(() => {{ const s = document.querySelector('{figure} select'); s.value = 'DEP32 on GB200 *';"
            " s.dispatchEvent(new Event('change')); })()"
        )
        page.wait_for(f"{shape} !== {json.dumps(was)}")
        page.evaluate(f"document.querySelector('{figure} input').click()")
        page.wait_for(f"{dots} < 10")

    assert seen == [10, 11, 5]
    assert page.problems == []


def test_cells_beyond_the_data_are_faint(browser: Browser, reports: dict[str, Path]) -> None:
    faint = (
        "[...document.querySelectorAll('#figure-decode-surface .mark-rect path')]"
        ".map((cell) => cell.getAttribute('opacity'))"
    )
    with browser.open(reports["measured"]) as page:
        page.wait_for(DRAWN)
        opacities = page.evaluate(faint)

    # Five contexts by five batches, of which the largest was never reached.
    assert sorted(opacities) == ["0.3"] * 5 + ["1"] * 20


def test_keys_buttons_and_decisions_move_the_time_axis(browser: Browser, reports: dict[str, Path]) -> None:
    labels = (
        "[...document.querySelectorAll('#figure-timeline .role-axis-label text')]"
        ".map(t => t.textContent).sort().join()"
    )
    with browser.open(reports["replay"]) as page:
        page.wait_for(DRAWN)
        whole = page.evaluate(labels)
        page.evaluate("document.querySelector('#figure-timeline .canvas').focus()")
        page.press("+", 187)
        page.wait_for(f"{labels} !== {json.dumps(whole)}")
        page.press("Escape", 27)
        page.wait_for(f"{labels} === {json.dumps(whole)}")
        page.evaluate("document.querySelector('[data-zoom=in]').click()")
        page.wait_for(f"{labels} !== {json.dumps(whole)}")
        page.evaluate("document.querySelector('[data-zoom=all]').click()")
        page.wait_for(f"{labels} === {json.dumps(whole)}")
        page.evaluate("document.querySelector('.items .when').click()")
        page.wait_for(f"{labels} !== {json.dumps(whole)}")

    assert page.problems == []


def test_light_and_dark_follow_the_reader(browser: Browser, reports: dict[str, Path]) -> None:
    colours = (
        "['html', '.mark-line path'].map(s => { const c = getComputedStyle(document.querySelector(s));"
        " return [c.backgroundColor, c.stroke].join(); })"
    )
    with browser.open(reports["replay"], scheme="light") as page:
        page.wait_for(DRAWN)
        light = page.evaluate(colours)
        page.prefer("dark")
        dark = page.evaluate(colours)
        page.prefer("dark", media="print")
        printed = page.evaluate(colours)

    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert printed == light


def test_what_is_saved_is_what_the_page_shows(browser: Browser, reports: dict[str, Path]) -> None:
    with browser.open(reports["replay"]) as page:
        page.wait_for(DRAWN)
        page.evaluate(
            "(() => { const make = URL.createObjectURL; URL.createObjectURL = (blob) => {"
            " blob.text().then((text) => { window.saved = text; }); return make(blob); };"
            " document.getElementById('save').click(); })()"
        )
        page.wait_for("window.saved !== undefined")
        saved = json.loads(page.evaluate("window.saved"))

    assert saved["schema"] == "headgate/replay-report/v1"
    assert saved["result"]["deployment"] == "shop"
    assert page.problems == []


def test_names_from_outside_are_text_on_the_page(browser: Browser, reports: dict[str, Path]) -> None:
    with browser.open(reports["names"]) as page:
        page.wait_for(DRAWN)
        heading = page.evaluate("document.querySelector('h1').textContent")
        _hover(page, "timeline", 0.5, 0.12)
        page.wait_for("document.querySelector('#vg-tooltip-element.visible') !== null")
        tip = page.evaluate("document.querySelector('#vg-tooltip-element').innerText")
        frames = page.evaluate("document.querySelectorAll('#vg-tooltip-element script').length")

    assert NASTY in heading
    assert "a.b[0]" in tip
    assert frames == 0
    assert page.problems == []


def test_the_browser_would_have_told(browser: Browser, tmp_path: Path) -> None:
    """What the tests above hold to be absent is noticed where it is present."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://127.0.0.1:9/x.png'>"
        "<script>console.error('said'); setTimeout(() => { throw 1; });</script>"
    )
    with browser.open(bad) as page:
        page.wait_for("new Promise((done) => setTimeout(() => done(true), 200))")

    assert "said" in page.problems
    assert len(page.problems) >= 2
    assert page.requests == ["http://127.0.0.1:9/x.png"]


def _hover(page: Page, figure: str, across: float, down: float) -> None:
    """Move the mouse over a chart, to these shares of its width and height."""
    box = page.evaluate(
        f"(() => {{ const c = document.querySelector('#figure-{figure} .canvas');"
        " c.scrollIntoView({ behavior: 'instant' });"
        " const r = c.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
    )
    for step in range(4):
        page.move_to(box[0] + box[2] * across + 2 * step, box[1] + box[3] * down)


def _with_nasty_names() -> ReplayResult:
    result = replay_result(("headgate", "static-peak"))
    first = result.policies[0]
    timeline = tuple(
        replace(p, arrivals_rps={NASTY: p.arrivals_rps["pages"]}, attainment={NASTY: p.attainment["pages"]})
        for p in first.timeline
    )
    renamed = replace(
        first,
        policy=NASTY,
        timeline=timeline,
        classes=(replace(first.classes[0], name=NASTY),),
    )
    classes = (RequestClass(NASTY, result.classes[0].slo),)
    return replace(result, deployment=NASTY, policies=(renamed, result.policies[1]), classes=classes)
