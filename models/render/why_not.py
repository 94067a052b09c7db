"""Say in one sentence what a count that was not chosen would have attained."""

from collections.abc import Mapping

from models.decision import Record
from models.plan.what_if import WhatIf
from models.render.formats import plural, share, words
from models.units import show_money
from models.values import Role


def why_not(record: Record, asked: WhatIf, decided: WhatIf) -> str:
    """Say what a fleet would have attained, beside the `decided` one, and why it was not taken."""
    changed = {role: n for role, n in asked.counts.items() if n != decided.counts[role]}
    name = asked.lacking
    kept, aim = asked.attained.attainment[name], asked.aims.get(name, 0.0)
    met = f"{share(kept)} of {name} would keep its promise where {share(aim)} must"
    if not changed:
        return f"{_fleet(asked.counts)}: this was decided; {met}"
    head, price = _fleet(changed), _price(asked, decided)
    if asked.obstacles:
        return f"{head}: {words(list(asked.obstacles))}; {met}"
    if not asked.enough:
        limit = asked.breaks[next(iter(changed))].value.replace("_", " ")
        return f"{head}: {met}, {limit} breaks first{price}"
    return f"{head}: enough, {met}; {_not_taken(record, changed)}{price}"


def _fleet(counts: Mapping[Role, int]) -> str:
    return words([f"{role.value} {n}" for role, n in counts.items()])


def _price(asked: WhatIf, decided: WhatIf) -> str:
    """Say what the change of fleet takes or saves: GPUs, and money where they have a price."""
    more = asked.gpus - decided.gpus
    if not more:
        return ""
    said = f"it {'takes' if more > 0 else 'saves'} {plural(abs(more), 'GPU')}"
    ours, theirs = asked.attained.bill, decided.attained.bill
    if ours is None or theirs is None:
        return f"; {said}"
    return f"; {said}, {show_money(abs(ours.gpu_per_h - theirs.gpu_per_h), ours.currency)}"


def _not_taken(record: Record, changed: Mapping[Role, int]) -> str:
    """Say why counts that suffice were not taken: fewer do, a guard kept more, or sizing says why."""
    more = [role for role, n in changed.items() if n > record.decision.final[role]]
    if more:
        return f"the promise does not need so many {words([role.value for role in more])}"
    kept = [a.sentence for a in record.decision.adjustments if a.role in changed and a.after > a.before]
    if kept:
        return f"kept above it: {words(kept)}"
    return "the larger count stands for another reason, which its own sentence names"
