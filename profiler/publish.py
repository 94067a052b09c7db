"""Put a profile together from a sweep, a selection and their sources."""

from collections.abc import Sequence

from models.artifact import LeftOut, ProfileArtifact, Question
from models.errors import InfeasibleError
from profiler.pareto import front
from profiler.selecting import select
from profiler.sweep import Progress, sweep
from profiler.wiring import Bench


def profile(
    bench: Bench, question: Question, created_at: str, progress: Progress | None = None
) -> ProfileArtifact:
    """Sweep, select and gather everything that was found; the same inputs give the same artifact.

    Raises InfeasibleError when the model fits in no layout: a profile of nothing is of use to nobody.
    """
    swept = sweep(bench.backend, bench.candidates, bench.arch.max_context_tokens, progress=progress)
    if not swept.layouts:
        raise InfeasibleError(_nothing_fits(bench, swept.left_out))
    return ProfileArtifact(
        model=bench.arch.name,
        hardware=bench.hardware.name,
        engine=bench.engine.name,
        backend=bench.backend.name,
        created_at=created_at,
        gpus_per_node=bench.hardware.gpus_per_node,
        scaleup_gpus=bench.hardware.scaleup_gpus,
        layouts=swept.layouts,
        left_out=swept.left_out,
        pareto=front(swept.layouts, question),
        question=question,
        selection=select(swept.layouts, question, bench.hardware, progress),
        sources=bench.sources,
    )


def _nothing_fits(bench: Bench, left_out: Sequence[LeftOut]) -> str:
    reasons = dict.fromkeys(f"{each.layout}: {each.reason}" for each in left_out)
    return (
        f"{bench.arch.name} fits {bench.hardware.name} in none of these layouts ({'; '.join(reasons)}); "
        "name wider ones, or take GPUs with more memory"
    )
