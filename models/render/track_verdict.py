"""Say whether a deployment is ready to act, and what its decisions were worth."""

from models.render.formats import number, percent, plural, sentence, share, words
from models.render.verdict import Tone, Verdict
from models.track.summary import Summary


def verdict(summary: Summary) -> Verdict:
    """Give the verdict of one deployment, what is lacking first."""
    name, whole, judgement = summary.track.deployment, summary.whole, summary.judgement
    if whole is None or judgement is None:
        said = f"nothing can be judged of {name}: its demand is nowhere known"
        return Verdict(Tone.NONE, said, tuple(sentence(note) for note in summary.notes))
    judged, ran, oracle = whole.judged, whole.ran, whole.oracle
    kept = [f"{share(met)} of {each}" for each, met in judged.attainment.items()]
    details = [f"{check.name}: {check.found}, asked is {check.asked}" for check in judgement.lacking]
    followed = summary.track.subject is not summary.track.ran
    subject = "followed throughout it would have kept" if followed else "the fleet that ran kept"
    details.append(
        f"{subject} the promise to {words(kept)} with {number(judged.gpu_h)} GPU-hours in {whole.days:.1f} "
        f"days; an oracle with the same start-up and bounds takes {number(oracle.gpu_h)}"
    )
    if followed:
        theirs = [f"{share(met)} of {each}" for each, met in ran.attainment.items()]
        details.append(
            f"the fleet that ran kept it to {words(theirs)} with {number(ran.gpu_h)} "
            f"GPU-hours{_against(judged.gpu_h, ran.gpu_h)}"
        )
    good, bad = ("acts well", "acts, and falls short") if summary.track.acted else ("ready", "not ready")
    to = "" if summary.track.acted else " to act"
    head = f"{good}{to}: {name}" if judgement.ready else f"{bad}{to}: {name}, for {_lacks(summary)}"
    tone = Tone.GOOD if judgement.ready else Tone.BAD if _broke(summary) else Tone.MIXED
    return Verdict(tone, head, tuple(sentence(each) for each in (*details, *summary.notes)))


def _lacks(summary: Summary) -> str:
    lacking = summary.judgement.lacking if summary.judgement else ()
    return words([check.name for check in lacking])


def _broke(summary: Summary) -> bool:
    """Say whether what lacks is more than time: a promise, or GPUs."""
    lacking = summary.judgement.lacking if summary.judgement else ()
    return any(not check.name.startswith(("history", "demand", "coverage")) for check in lacking)


def _against(ours: float, theirs: float) -> str:
    if ours <= 0 or abs(ours / theirs - 1) < 0.005:
        return ""
    return f", {percent(theirs / ours - 1)} {'more' if theirs > ours else 'fewer'} than Headgate's"


def told(summaries: list[Summary]) -> Verdict:
    """Give the verdict of several deployments."""
    if len(summaries) == 1:
        return verdict(summaries[0])
    each = [verdict(summary) for summary in summaries]
    ready = sum(1 for s in summaries if s.judgement and s.judgement.ready)
    tone = Tone.GOOD if ready == len(summaries) else Tone.MIXED
    head = f"{plural(ready, 'deployment')} of {len(summaries)} ready to act"
    return Verdict(tone, head, tuple(one.headline for one in each))
