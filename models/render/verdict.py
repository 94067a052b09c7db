"""Say in plain words what a replay showed, claiming no win that its figures do not show."""

from dataclasses import dataclass
from enum import StrEnum

from models.render.formats import number, percent, points, sentence, share, words
from models.render.misses import held_gpus, missed_at_budget
from models.render.worth import SAME_ATTAINMENT, SAME_COST_RATIO, Run, run_of, worth
from models.simulation.scorecard import PolicyResult, ReplayResult
from models.units import show_duration

SUBJECT = "headgate"
REFERENCE = "static-peak"
# These know the future: bounds to measure by, not policies that anyone could run.
CLAIRVOYANT = "oracle"
FORESIGHT = "headgate-perfect"
BOUNDS = (CLAIRVOYANT, FORESIGHT)
# The policy under test without its forecast: it follows what was measured last.
REACTIVE = "headgate-reactive"
# From this share on the budget explains the misses.
MOSTLY = 0.5


class Tone(StrEnum):
    """How a reader should take a verdict."""

    GOOD = "good"
    MIXED = "mixed"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold the headline of a report and the sentences that qualify it."""

    tone: Tone
    headline: str
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Begin the headline with a capital, though it may begin with the name of a policy."""
        object.__setattr__(self, "headline", sentence(self.headline))

    def __str__(self) -> str:
        """Say all of it in one paragraph."""
        return " ".join((self.headline, *self.details))


def subject(result: ReplayResult) -> PolicyResult | None:
    """Return the policy that the report is about: headgate, else the first, if any."""
    return named(result, SUBJECT) or next(iter(result.policies), None)


def named(result: ReplayResult, policy: str) -> PolicyResult | None:
    """Return one policy's result, `None` when it was not replayed."""
    return next((p for p in result.policies if p.policy == policy), None)


def versus(policy: PolicyResult, reference: PolicyResult | None) -> float | None:
    """Return GPU-hours of a policy over those of the reference, `None` where that used none."""
    return policy.gpu_hours / reference.gpu_hours if reference and reference.gpu_hours > 0 else None


def judge(result: ReplayResult) -> Verdict:
    """Compare the policy under test with static-peak (else the cheapest other) and with the promise."""
    tested = subject(result)
    if tested is None:
        return Verdict(Tone.NONE, "No policy was replayed, so there is nothing to compare.")
    if tested.slo_attainment is None:
        return Verdict(Tone.NONE, "No request arrived, so there is nothing to judge.")
    broken = _broken_promises(tested, result)
    reference = _reference(result, tested)
    if reference is None or reference.slo_attainment is None:
        return _alone(tested, result, broken)
    verdict = _compare(tested, reference, result, broken)
    return Verdict(verdict.tone, verdict.headline, (*verdict.details, *_further(tested, reference, result)))


def kept(policy: PolicyResult, result: ReplayResult) -> bool | None:
    """Whether a policy kept the overall target and each class's own; `None` when nothing was promised."""
    if policy.slo_attainment is None or (result.target_attainment is None and not result.classes):
        return None
    return not _broken_promises(policy, result)


def _broken_promises(policy: PolicyResult, result: ReplayResult) -> list[str]:
    """Say each target that a policy missed."""
    broken = []
    target, reached = result.target_attainment, policy.slo_attainment
    if target is not None and reached is not None and reached < target:
        broken.append(f"{share(reached)} of all requests against a target of {share(target)}")
    promised = {c.name: c.slo.target for c in result.classes if not c.slo.throughput_only}
    for scored in policy.classes:
        goal = promised.get(scored.name)
        if goal is not None and scored.slo_attainment is not None and scored.slo_attainment < goal:
            broken.append(f"{share(scored.slo_attainment)} of {scored.name} against {share(goal)}")
    return broken


def _reference(result: ReplayResult, tested: PolicyResult) -> PolicyResult | None:
    """Return static-peak, else the cheapest other that kept the promise, else the nearest to it."""
    others = [p for p in result.policies if p is not tested and p.policy not in BOUNDS]
    if fixed := next((p for p in others if p.policy == REFERENCE), None):
        return fixed
    keepers = [p for p in others if kept(p, result)]
    if keepers:
        return min(keepers, key=lambda p: p.gpu_hours)
    return max(others, key=lambda p: p.slo_attainment or 0.0, default=None)


def _alone(tested: PolicyResult, result: ReplayResult, broken: list[str]) -> Verdict:
    used = f"{number(tested.gpu_hours)} GPU-hours"
    if broken:
        return Verdict(Tone.BAD, f"{tested.policy} missed its promise: {words(broken)}, with {used}.")
    met = f"{tested.policy} kept its promise to {share(tested.slo_attainment)} of requests with {used}."
    return Verdict(
        Tone.NONE, met, ("Nothing else was replayed beside it, so this says nothing about what it saves.",)
    )


def _compare(
    tested: PolicyResult, reference: PolicyResult, result: ReplayResult, broken: list[str]
) -> Verdict:
    ours, theirs = tested.slo_attainment or 0.0, reference.slo_attainment or 0.0
    name, cost, gain = tested.policy, versus(tested, reference), ours - theirs
    bill = _bill(cost, reference.policy)
    cheaper = cost is not None and cost < 1 - SAME_COST_RATIO
    dearer = cost is not None and cost > 1 + SAME_COST_RATIO
    worse = gain < -SAME_ATTAINMENT
    figures = f"{share(ours)} of requests kept their promise ({reference.policy}: {share(theirs)})"
    if broken:
        both = kept(reference, result) is False and not worse
        tone = Tone.MIXED if both and cheaper else Tone.BAD
        doubt = "; at this attainment that is not a saving" if cheaper and not both else ""
        too = f", where {reference.policy} missed its promise too" if both else ""
        return Verdict(
            tone,
            f"{name} missed its promise: {words(broken)}.",
            (sentence(figures), f"It used {bill}{too}{doubt}."),
        )
    unpromised = kept(tested, result) is None
    if unpromised and worse:
        tone = Tone.MIXED if cheaper else Tone.BAD
        return Verdict(
            tone, f"{name} used {bill}, and {points(gain)} fewer requests were served in time: {figures}."
        )
    lost = f", {points(gain)} fewer than {reference.policy}" if worse else ""
    said = (sentence(f"{figures}{lost}"),)
    if cheaper:
        did = "served as many requests in time" if unpromised else "kept its promise"
        return Verdict(Tone.GOOD, f"{name} {did} with {bill}.", said)
    tone = Tone.BAD if dearer and gain < SAME_ATTAINMENT else Tone.MIXED
    return Verdict(tone, f"{name} saved nothing here: it used {bill}.", said)


def _bill(cost: float | None, reference: str) -> str:
    """Say a ratio of GPU-hours as a difference."""
    if cost is None:
        return f"GPU-hours that cannot be compared, because {reference} used none"
    if abs(cost - 1) <= SAME_COST_RATIO:
        return f"about as many GPU-hours as {reference}"
    return f"{percent(cost - 1)} {'fewer' if cost < 1 else 'more'} GPU-hours than {reference}"


def _further(tested: PolicyResult, reference: PolicyResult, result: ReplayResult) -> list[str]:
    """Qualify the comparison: a reference over the budget, a better rival, the clairvoyant bound."""
    said = []
    most = max((held_gpus(p, result.gpus_per_replica) for p in reference.timeline), default=0)
    if result.budget_gpus is not None and most > result.budget_gpus:
        said.append(
            f"{sentence(reference.policy)[:-1]} held up to {most} GPUs, above the budget of "
            f"{result.budget_gpus}: it shows what the promise takes, not what may be run."
        )
    at_budget = missed_at_budget(result, tested)
    if at_budget is not None and kept(tested, result) is False and at_budget[0] >= MOSTLY:
        said.append(
            f"{percent(at_budget[0])} of the missed requests fell into the {show_duration(at_budget[1])} "
            f"in which the whole budget of {result.budget_gpus} GPUs was in use."
        )
    rivals = [
        p
        for p in result.policies
        if p not in (tested, reference) and p.policy not in BOUNDS and _beats(p, tested, result)
    ]
    if rivals:
        best = min(rivals, key=lambda p: p.gpu_hours)
        said.append(
            f"{best.policy} did better here: {share(best.slo_attainment)} with {number(best.gpu_hours)} "
            f"GPU-hours against {number(tested.gpu_hours)}."
        )
    if (bought := _bought(tested, result)) is not None:
        said.append(bought)
    bound = named(result, CLAIRVOYANT)
    if bound is not None and bound.gpu_hours > 0 and tested.policy != CLAIRVOYANT:
        bill = _bill(versus(tested, bound), "that")
        said.append(
            f"The {CLAIRVOYANT}, which knows the future, kept {share(bound.slo_attainment)} with "
            f"{number(bound.gpu_hours)} GPU-hours: {tested.policy} used {bill}."
        )
    return said


def _bought(tested: PolicyResult, result: ReplayResult) -> str | None:
    """Say what forecasting was worth, where the same was replayed without it."""
    without = named(result, REACTIVE)
    if tested.policy != SUBJECT or without is None:
        return None
    runs = [_run(p, result) for p in (tested, without)]
    bound = named(result, FORESIGHT)
    known = None if bound is None else [_run(bound, result)]
    return worth([runs[0]], [runs[1]], known, result.target_attainment).sentence


def _run(policy: PolicyResult, result: ReplayResult) -> Run:
    return run_of(policy, [c.name for c in result.classes if not c.slo.throughput_only])


def _beats(rival: PolicyResult, tested: PolicyResult, result: ReplayResult) -> bool:
    """Whether a rival kept at least as much of the promise with clearly fewer GPU-hours, or kept it alone."""
    theirs, ours = rival.slo_attainment or 0.0, tested.slo_attainment or 0.0
    rival_kept, tested_kept = kept(rival, result), kept(tested, result)
    if rival_kept and not tested_kept and tested_kept is not None:
        return True
    cheaper = rival.gpu_hours < tested.gpu_hours * (1 - SAME_COST_RATIO)
    return cheaper and (theirs >= ours - SAME_ATTAINMENT or (rival_kept is True and tested_kept is True))
