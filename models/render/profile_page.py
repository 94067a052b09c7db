"""Write the report of a profile: what was selected and why, the surfaces, and what was left out."""

from collections import Counter

from models import codec
from models.artifact import Profile, ProfileArtifact, Question
from models.render.document import Block, Chart, Document, Facts, Folded, Prose, Section, Table
from models.render.formats import brief, number, plural, seconds, sentence, words
from models.render.page import to_html
from models.render.profile_figures import itl_figure, pareto_figure, surface_figures, ttft_figure
from models.render.profile_grid import is_selected, layout_grid, left_out_grid, selected_first, source_grid
from models.render.verdict import Tone, Verdict
from models.values import Role

SCHEMA = "headgate/profile-report/v1"
FIRST_LAYOUTS = 6

_READING = """\
A prefill surface gives the engine's time for one iteration of prompts, a decode surface the time of one step
of a batch; both for one replica. The wait in a queue is not in them: sizing adds it from the load.

Figures hold inside the grid that was measured or computed. Outside it Headgate continues the edge's slope and
says so in every recommendation that rests on it.

A computed profile rests on published peaks and the efficiencies that engines reach of them; measured points
replace it wherever you have them."""


def render(profile: Profile) -> str:
    """Write one profile as a complete HTML page."""
    return to_html(document(profile))


def document(profile: Profile) -> Document:
    """Gather what the page shows."""
    artifact = profile.artifact
    sections = [
        Section("selection", "Selection", (Facts(_selection(artifact)),)),
        Section("layouts", "Layouts", _layouts(profile)),
    ]
    if pareto := pareto_figure(artifact):
        sections.append(Section("pareto", "Pareto front", (Chart(pareto),)))
    if surfaces := _surfaces(artifact):
        sections.append(Section("surfaces", "Surfaces", surfaces))
    if artifact.left_out:
        sections.append(Section("left-out", "Left out", (Table(left_out_grid(profile)),)))
    origin: list[Block] = [Facts(_origin(profile))]
    if artifact.sources:
        origin.append(
            Folded(f"Sources of {plural(len(artifact.sources), 'figure')}", (Table(source_grid(profile)),))
        )
    sections.append(Section("origin", "Where it comes from", tuple(origin)))
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    return Document(
        title=f"Profile of {artifact.model} on {artifact.hardware}",
        subtitle=f"{artifact.engine}, {artifact.backend}, {artifact.created_at}",
        schema=SCHEMA,
        verdict=_verdict(artifact),
        sections=tuple(sections),
        export={"digest": profile.digest, "profile": codec.to_plain(artifact)},
        made_by="Made by Headgate",
        file_name=f"profile-{artifact.model}-{artifact.hardware}.json",
    )


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
    return Verdict(Tone.GOOD, f"Use {layouts}: {plural(chosen.gpus, 'GPU')}.", (sentence(chosen.why), *lost))


def _selection(artifact: ProfileArtifact) -> tuple[tuple[str, str], ...]:
    facts = [("Question", _question(artifact.question))]
    if chosen := artifact.selection:
        facts += [
            (role.value, f"{name} x {chosen.replicas.get(role, 0)}") for role, name in chosen.layouts.items()
        ]
        facts.append(("GPUs", number(chosen.gpus)))
    if artifact.question and artifact.question.budget_gpus:
        facts.append(("GPU budget", words([f"{n} {name}" for name, n in artifact.question.budget_gpus.items()])))
    return tuple(facts)


def _question(question: Question | None) -> str:
    if question is None:
        return "none was asked"
    limits = (("TTFT", question.ttft_s), ("ITL", question.itl_s), ("end-to-end", question.e2e_s))
    promised = [f"{name} {seconds(limit)}" for name, limit in limits if limit is not None]
    aim = f"{words(promised)} at p{question.quantile * 100:g}" if promised else "throughput only"
    return (
        f"{number(question.rate_rps)} requests/s of {brief(question.isl_tokens)} prompt and "
        f"{brief(question.osl_tokens)} output tokens, {aim}"
    )


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
    figures = [ttft_figure(artifact), itl_figure(artifact), *surface_figures(artifact)]
    return tuple(Chart(figure) for figure in figures if figure is not None)


def _origin(profile: Profile) -> tuple[tuple[str, str], ...]:
    artifact = profile.artifact
    roles = [role for role in Role if any(x.role is role for x in artifact.layouts)]
    said = list(dict.fromkeys(x.provenance for x in artifact.layouts if x.provenance))
    return (
        ("Engine", artifact.engine),
        ("Backend", artifact.backend),
        ("Created", artifact.created_at),
        ("Layouts", f"{len(artifact.layouts)} ({words([r.value for r in roles])})"),
        *(
            (m.name, f"{plural(m.gpus_per_node, 'GPU')} a node, {number(m.scaleup_gpus)} in one NVLink domain")
            for m in artifact.machines
        ),
        ("Figures from", "; ".join(said) or "not stated"),
        ("Digest", profile.digest),
    )
