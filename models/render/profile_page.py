"""Write the report of a profile: what was selected and why, the surfaces, their errors, what was left out."""

import json
from collections import Counter

from models import codec
from models.artifact import Profile, ProfileArtifact
from models.render.document import Block, Chart, Document, Facts, Folded, Points, Prose, Section, Table
from models.render.formats import plural, sentence, words
from models.render.page import to_html
from models.render.profile_facts import effort_facts, origin_facts, selection_facts
from models.render.profile_figures import itl_figure, pareto_figure, ttft_figure
from models.render.profile_fit_grid import fit_grid
from models.render.profile_grid import (
    extrapolation_notes,
    is_selected,
    layout_grid,
    left_out_grid,
    selected_first,
    source_grid,
)
from models.render.profile_ranking_grid import ranking_grid
from models.render.profile_residual_figures import residual_figures
from models.render.profile_surface_figures import VIEWS, View, heat_figure, measured_figure
from models.render.verdict import Tone, Verdict
from models.values import Role

SCHEMA = "headgate/profile-report/v1"
FIRST_LAYOUTS = 6
# Characters of JSON. A full computed sweep has 371,000; with the charts' library a page holds 1.5 MB.
MOST_EXPORTED = 380_000

_READING = """\
A prefill surface gives the engine's time for one iteration of prompts, a decode surface the time of one step
of a batch; both for one replica. The wait in a queue is not in them: sizing adds it from the load.

Figures hold inside the grid that was measured or computed. Outside it Headgate continues the edge's slope and
says so in every recommendation that rests on it. A layout with * rests on no data of its own: measure
it before you run it.

A computed profile rests on published peaks and the efficiencies that engines reach of them; measured points
replace it wherever you have them. The error of a measured surface is that of points that its fit did not see.

The data saved from this page are the profile. Of a large one, the layouts that were not selected come without
their surfaces here: the profile's own file holds them."""


def render(profile: Profile) -> str:
    """Write one profile as a complete HTML page."""
    return to_html(document(profile))


def document(profile: Profile) -> Document:
    """Gather what the page shows."""
    artifact = profile.artifact
    sections = [
        Section("selection", "Selection", _selection(profile)),
        Section("layouts", "Layouts", _layouts(profile)),
    ]
    if pareto := pareto_figure(artifact):
        sections.append(Section("pareto", "Pareto front", (Chart(pareto),)))
    if surfaces := _surfaces(artifact):
        sections.append(Section("surfaces", "Surfaces", surfaces))
    if errors := _errors(profile):
        sections.append(Section("errors", "Errors", errors))
    if artifact.left_out:
        sections.append(Section("left-out", "Left out", (Table(left_out_grid(artifact.left_out)),)))
    sections.append(Section("origin", "Where it comes from", _origin(profile)))
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    return Document(
        title=f"Profile of {artifact.model} on {artifact.hardware}",
        subtitle=f"{artifact.engine}, {artifact.backend}, {artifact.created_at}",
        schema=SCHEMA,
        verdict=_verdict(artifact),
        sections=tuple(sections),
        export={"digest": profile.digest, "profile": _exported(artifact)},
        made_by="Made by Headgate",
        file_name=f"profile-{artifact.model}-{artifact.hardware.replace(' ', '')}.json",
    )


def _exported(artifact: ProfileArtifact) -> object:
    """Return the profile as data; a large one without the surfaces and points of layouts that lost."""
    whole = codec.to_plain(artifact)
    if len(json.dumps(whole, separators=(",", ":"))) <= MOST_EXPORTED:
        return whole
    for plain, layout in zip(whole["layouts"], artifact.layouts, strict=True):
        if not is_selected(layout, artifact):
            plain.update(prefill=None, decode=None, measured=[])
    return whole


def _verdict(artifact: ProfileArtifact) -> Verdict:
    chosen = artifact.selection
    if chosen is None:
        return Verdict(
            Tone.NONE, "No layout was selected: the profile was made without a load and a promise."
        )
    lost = (f"Runner-up: {chosen.runner_up}. {sentence(chosen.runner_up_lost)}",) if chosen.runner_up else ()
    if not chosen.feasible:
        return Verdict(Tone.BAD, f"No layout keeps the promise: {chosen.why}", lost)
    layouts = words([f"{name} for {role}" for role, name in chosen.layouts.items()])
    if artifact.question is None:
        return Verdict(Tone.NONE, f"The profile holds {layouts}.", (sentence(chosen.why), *lost))
    unknown = [
        f"{layout.parallelism.name} for {layout.role} is extrapolated: {layout.extrapolated}"
        for layout in artifact.layouts
        if layout.extrapolated and is_selected(layout, artifact)
    ]
    tone = Tone.MIXED if unknown else Tone.GOOD
    details = (sentence(chosen.why), *lost, *map(sentence, unknown))
    return Verdict(tone, f"Use {layouts}: {plural(chosen.gpus, 'GPU')}.", details)


def _selection(profile: Profile) -> tuple[Block, ...]:
    """Show the question, the fleet, who competed, and what would change the choice."""
    chosen = profile.artifact.selection
    blocks: list[Block] = [Facts(selection_facts(profile.artifact))]
    if chosen and chosen.would_change:
        blocks.append(Points("What would change the choice", chosen.would_change))
    if chosen and chosen.ranking:
        blocks.append(Table(ranking_grid(profile)))
    return tuple(blocks)


def _layouts(profile: Profile) -> tuple[Block, ...]:
    """Show what was selected and the smallest others of each role; the rest on demand."""
    everything = selected_first(profile.artifact)
    seen: Counter[Role] = Counter()
    first = []
    for layout in everything:
        seen[layout.role] += 1
        if is_selected(layout, profile.artifact) or seen[layout.role] <= FIRST_LAYOUTS:
            first.append(layout)
    if len(first) == len(everything):
        return (Table(layout_grid(profile)),)
    rest = Folded(f"All {len(everything)} layouts", (Table(layout_grid(profile)),))
    return (Table(layout_grid(profile, first)), rest)


def _surfaces(artifact: ProfileArtifact) -> tuple[Block, ...]:
    """Show layouts side by side, then each phase of the selected ones; the others on demand."""
    everything = selected_first(artifact)
    selected = [layout for layout in everything if is_selected(layout, artifact)] or everything
    blocks: list[Block] = [Chart(f) for f in (ttft_figure(artifact), itl_figure(artifact)) if f is not None]
    for view in VIEWS:
        shown = [layout for layout in selected if _has(layout, view)]
        # A role without a selected layout, such as aggregated beside a pair, still has its surfaces shown.
        rest = [layout for layout in everything if _has(layout, view) and layout not in shown]
        first, others = (shown, rest) if shown else (rest, [])
        named = f"{view.phase.value}-surface"
        figures = (
            heat_figure(artifact, view, first, named),
            measured_figure(artifact, view, first, f"{view.phase.value}-measured"),
        )
        blocks += [Chart(figure) for figure in figures if figure is not None]
        folded = (
            heat_figure(artifact, view, others, f"{named}-others"),
            measured_figure(artifact, view, others, f"{view.phase.value}-measured-others"),
        )
        charts = tuple(Chart(figure) for figure in folded if figure is not None)
        if charts:
            blocks.append(Folded(f"{view.short} of {plural(len(others), 'other layout')}", charts))
    return tuple(blocks)


def _has(layout: object, view: View) -> bool:
    return getattr(layout, view.phase.value) is not None


def _errors(profile: Profile) -> tuple[Block, ...]:
    """Show how well measured surfaces are known; nothing where all were computed."""
    grid = fit_grid(profile)
    if not grid.rows:
        return ()
    return (Table(grid), *(Chart(figure) for figure in residual_figures(profile.artifact)))


def _origin(profile: Profile) -> tuple[Block, ...]:
    artifact = profile.artifact
    blocks: list[Block] = [Facts((*origin_facts(profile), *effort_facts(artifact)))]
    if notes := extrapolation_notes(selected_first(artifact)):
        blocks.append(Points("Figures that rest on no data of their own", tuple(map(sentence, notes))))
    if artifact.sources:
        blocks.append(
            Folded(f"Sources of {plural(len(artifact.sources), 'figure')}", (Table(source_grid(profile)),))
        )
    return tuple(blocks)
