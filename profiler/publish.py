"""Put a profile together and write it so that a reader sees the whole file or none of it."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from models.artifact import LeftOut, ProfileArtifact, Question, dump
from models.errors import ArtifactError, InfeasibleError
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


def write(artifact: ProfileArtifact, path: Path) -> None:
    """Write the artifact beside its place and move it there; raises ArtifactError when it cannot."""
    write_text(dump(artifact), path)


def write_text(text: str, path: Path) -> None:
    """Replace a file's text in one step, its folder made if need be.

    A link keeps its place, and what it leads to is replaced; a pipe or a device is written to. Raises
    ArtifactError when the place cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(text, path.resolve())
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from None


def _replace(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a profile is read by the planner's user.
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
