"""Gather a profile's single facts: what was asked and selected, how it is served, what the sweep cost."""

from collections import Counter

from models.artifact import Profile, ProfileArtifact, Question, Selection
from models.engine import Serving
from models.mix import RequestMix
from models.render.formats import brief, number, percent, plural, seconds, words
from models.values import Role

Pairs = tuple[tuple[str, str], ...]


def selection_facts(artifact: ProfileArtifact) -> Pairs:
    """Say what was asked, and what was selected for it."""
    question, chosen = artifact.question, artifact.selection
    facts = [("Question", _asked(question))]
    if question is not None:
        facts += _bounds(question)
    if chosen is None or question is None:
        return tuple(facts)
    facts += [(role.value, _fleet(artifact, role, name)) for role, name in chosen.layouts.items()]
    facts.append(("GPUs", _gpus(artifact, chosen)))
    if chosen.goodput_rps_per_gpu:
        facts.append(("Goodput", f"{number(chosen.goodput_rps_per_gpu)} requests/s per GPU"))
    if chosen.alternatives:
        other = words([f"{name} for {role}" for role, name in chosen.alternatives.items()])
        facts.append(("Best of the other way to serve", other))
    return tuple(facts)


def origin_facts(profile: Profile) -> Pairs:
    """Say what was profiled, on what, and where the figures come from."""
    artifact = profile.artifact
    roles = [role for role in Role if any(x.role is role for x in artifact.layouts)]
    said = list(dict.fromkeys(x.provenance for x in artifact.layouts if x.provenance))
    return (
        ("Engine", artifact.engine),
        ("Served as", _served(artifact.serving)),
        ("Backend", artifact.backend),
        ("Created", artifact.created_at),
        ("Layouts", f"{len(artifact.layouts)} ({words([r.value for r in roles])})"),
        *(
            (
                m.name,
                f"{plural(m.gpus_per_node, 'GPU')} a node, {number(m.scaleup_gpus)} in one NVLink domain",
            )
            for m in artifact.machines
        ),
        ("Figures from", "; ".join(said) or "not stated"),
        ("Digest", profile.digest),
    )


def effort_facts(artifact: ProfileArtifact) -> Pairs:
    """Say how many points the sweep took and what it cost; nothing where the profile does not know."""
    effort = artifact.effort
    if effort is None:
        return ()
    of_grid = f" ({percent(effort.points / effort.grid_points)})" if effort.grid_points else ""
    points = f"{effort.points:,} of {effort.grid_points:,} in the grid{of_grid}"
    if not effort.gpu_minutes:
        return (("Points computed", points),)
    return (
        ("Points measured", points),
        ("Cost of the sweep", f"{number(effort.gpu_minutes)} GPU-minutes"),
    )


def _asked(question: Question | None) -> str:
    if question is None:
        return "none was asked"
    limits = (("TTFT", question.ttft_s), ("ITL", question.itl_s), ("end-to-end", question.e2e_s))
    promised = [f"{name} {seconds(limit)}" for name, limit in limits if limit is not None]
    aim = f"{words(promised)} at p{question.quantile * 100:g}" if promised else "throughput only"
    return f"{number(question.rate_rps)} requests/s{_lengths(question.mix)}, {aim}"


def _lengths(mix: RequestMix) -> str:
    """Say the lengths of a mix: one pair, or the means with the longest of each."""
    isl, osl = mix.mean_isl_tokens, mix.mean_osl_tokens
    if len(mix.atoms) == 1:
        return f" of {brief(isl)} prompt and {brief(osl)} output tokens"
    longest, widest = max(a.isl_tokens for a in mix.atoms), max(a.osl_tokens for a in mix.atoms)
    return (
        f", on average of {brief(isl)} prompt (up to {brief(longest)}) and "
        f"{brief(osl)} output tokens (up to {brief(widest)})"
    )


def _bounds(question: Question) -> list[tuple[str, str]]:
    facts = []
    if question.budget_gpus:
        budgets = [f"{n} {name}" for name, n in question.budget_gpus.items()]
        facts.append(("GPU budget", words(budgets)))
    if question.price_per_gpu_h:
        prices = [f"{number(price)} per {name} GPU-hour" for name, price in question.price_per_gpu_h.items()]
        facts.append(("Prices, as stated", words(prices)))
    return facts


def _fleet(artifact: ProfileArtifact, role: Role, name: str) -> str:
    """Say a role's layout, its count, and its hardware where there are several."""
    count = artifact.selection.replicas.get(role, 0) if artifact.selection else 0
    if len(artifact.machines) == 1:
        return f"{name} x {count}"
    layout = artifact.layout(role, name)
    return f"{name} x {count} on {artifact.machine(layout).name}"


def _gpus(artifact: ProfileArtifact, chosen: Selection) -> str:
    """Count the fleet's GPUs, by hardware where there are several."""
    held: Counter[str] = Counter()
    for role, name in chosen.layouts.items():
        layout = artifact.layout(role, name)
        held[artifact.machine(layout).name] += layout.gpus * chosen.replicas.get(role, 0)
    if len(held) < 2:
        return number(chosen.gpus)
    return f"{number(chosen.gpus)}: {words([f'{n} {name}' for name, n in held.items()])}"


def _served(serving: Serving) -> str:
    said = []
    if serving.weight_precision:
        said.append(f"weights in {serving.weight_precision.value}")
    if serving.kv_precision:
        said.append(f"KV cache in {serving.kv_precision.value}")
    if serving.prefix_ratio:
        said.append(f"{percent(serving.prefix_ratio)} of each prompt cached")
    if serving.draft_tokens:
        said.append(
            f"{plural(serving.draft_tokens, 'draft token')} a step, {number(serving.accepted_tokens)} emitted"
        )
    return ", ".join(said) or "the checkpoint's own formats, no prefix cache, no speculation"
