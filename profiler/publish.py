"""Put a profile together from a sweep, a selection and their sources."""

from collections.abc import Sequence
from dataclasses import replace

from models.artifact import LeftOut, ProfileArtifact, Question
from models.errors import InfeasibleError
from profiler.pareto import front
from profiler.planning import plan
from profiler.sampling.full import Full
from profiler.selecting import most_within, select, would_change
from profiler.sweep import Progress, Swept, Terms, sweep
from profiler.wiring import Bench, scope


def profile(
    bench: Bench, question: Question, created_at: str, progress: Progress | None = None
) -> ProfileArtifact:
    """Sweep the whole grid of every layout and publish it; the same inputs give the same artifact."""
    work = plan(bench.roles, scope(bench))
    return publish(
        bench,
        sweep(work, bench.roles, Terms(Full(bench.backend.computed)), progress),
        question,
        created_at,
        progress,
    )


def publish(
    bench: Bench,
    swept: Swept,
    question: Question,
    created_at: str,
    progress: Progress | None = None,
    within_budget: bool = False,
) -> ProfileArtifact:
    """Select from what a sweep found, and gather everything.

    `within_budget` first looks for the highest rate that the budget carries.

    Raises InfeasibleError when nothing could be measured: a profile of nothing is of use to nobody.
    """
    if not swept.layouts:
        raise InfeasibleError(_nothing_fits(bench, swept.left_out))
    if within_budget:
        question = most_within(swept.layouts, question, bench.machines, progress)
    selection = select(swept.layouts, question, bench.machines, progress)
    changes = would_change(swept.layouts, question, selection, bench.machines)
    return ProfileArtifact(
        model=bench.arch.name,
        machines=bench.machines,
        engine=bench.engine.name,
        backend=bench.backend.name,
        created_at=created_at,
        layouts=swept.layouts,
        left_out=swept.left_out,
        pareto=front(swept.layouts, question),
        question=question,
        selection=replace(selection, would_change=changes),
        sources=bench.sources,
        serving=bench.serving,
        effort=swept.effort,
    )


def _nothing_fits(bench: Bench, left_out: Sequence[LeftOut]) -> str:
    reasons = dict.fromkeys(f"{each.layout}: {each.reason}" for each in left_out)
    names = " and ".join(machine.name for machine in bench.machines)
    return (
        f"{bench.arch.name} fits {names} in none of these layouts ({'; '.join(reasons)}); "
        "name wider ones, or take GPUs with more memory"
    )
