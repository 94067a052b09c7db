"""Read the end-to-end points that come with the database of measured kernels."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from config import reference
from models.artifact import Phase
from models.engine import Serving
from models.errors import ConfigError
from models.hardware import Precision
from models.values import Parallelism, Role
from profiler.layouts import why_not
from profiler.measure.backend import Refusal, SweepPoint
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.silicon import database
from profiler.measure.silicon.database import MissingDataError
from profiler.measure.silicon.estimator import Silicon

MODELS = {
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "deepseek-ai/DeepSeek-R1": "deepseek-r1",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "Qwen/Qwen3-32B": "qwen3-32b",
}
SYSTEMS = {"h100_sxm": "H100", "h200_sxm": "H200", "b200_sxm": "B200", "gb200": "GB200", "gb300": "GB300"}
# A run whose batch does not fit waits in a queue, and its speed says little about the step.
LONGEST_WAIT = 0.2


@dataclass(frozen=True, slots=True)
class Point:
    """One aggregated run in a closed loop of `batch` users; times in seconds."""

    model: str
    hardware: str
    engine: str
    layout: Parallelism
    serving: Serving
    isl: float
    osl: float
    batch: float
    ttft_s: float
    tpot_s: float


def points() -> Iterator[Point]:
    """Go through the aggregated runs of our models on our hardware, on one node, that do not wait long."""
    with database.sample().open(newline="") as file:
        for row in csv.DictReader(file):
            if row["mode"] == "agg" and row["model_path"] in MODELS and row["system"] in SYSTEMS:
                point = _point(row)
                if point is not None and point.ttft_s < LONGEST_WAIT * point.osl * point.tpot_s:
                    yield point


def errors(among: Iterable[Point]) -> Mapping[tuple[str, str, str], list[tuple[float, float]]]:
    """Return predicted/measured - 1 of TPOT by (model, hardware, engine): silicon's and roofline's.

    Prompts are read between the steps: over a cycle of `osl` steps each of `batch` slots is refilled once, so
    TPOT = step(batch) + time of batch prompts / osl.
    """
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    made: dict[tuple[str, str, str, Serving], tuple[Silicon, Roofline] | None] = {}
    for point in among:
        key = (point.model, point.hardware, point.engine)
        if (*key, point.serving) not in made:
            made[(*key, point.serving)] = _backends(point)
        pair = made[(*key, point.serving)]
        if pair is None or why_not(point.layout, pair[0].arch, pair[0].hardware):
            continue
        try:
            both = _error(point, pair[0]), _error(point, pair[1])
        except MissingDataError:
            continue
        found[key].append(both)
    return found


def _error(point: Point, backend: Silicon | Roofline) -> float:
    step, prompts = (
        SweepPoint(Role.AGGREGATED, point.layout, phase, tokens, point.batch)
        for phase, tokens in ((Phase.DECODE, point.isl + point.osl / 2), (Phase.PREFILL, point.isl))
    )
    step_s, prompts_s = backend.measure(step), backend.measure(prompts)
    if isinstance(step_s, Refusal) or isinstance(prompts_s, Refusal):
        raise MissingDataError(str(step_s if isinstance(step_s, Refusal) else prompts_s))
    return (step_s.seconds + prompts_s.seconds / point.osl) / point.tpot_s - 1.0


def _backends(point: Point) -> tuple[Silicon, Roofline] | None:
    """Return both backends, None where one lacks the engine or the format."""
    try:
        arch = reference.architecture(point.model).served(point.serving)
        hardware, engine = reference.hardware(point.hardware), reference.engine(point.engine)
        silicon = Silicon(arch, hardware, engine, point.serving)
        return silicon, Roofline(arch, hardware, engine, point.serving)
    except ConfigError:
        return None


def _point(row: dict[str, str]) -> Point | None:
    widths = [row[k] for k in ("tp_size", "pp_size", "attention_dp_size", "moe_ep_size")]
    tp, pp, dp, ep = (round(float(width or 1)) or 1 for width in widths)
    model = MODELS[row["model_path"]]
    serving = _serving(model, row["precision"], row["backend"])
    if serving is None or not row["batch_size"] or dp > 1 or tp > 8 or tp % ep:
        return None
    return Point(
        model,
        SYSTEMS[row["system"]],
        row["backend"],
        Parallelism(tp=tp, pp=pp, ep=ep),
        serving,
        float(row["isl"]),
        float(row["osl"]),
        float(row["batch_size"]),
        float(row["silicon_ttft_ms"]) / 1e3,
        float(row["silicon_tpot_ms"]) / 1e3,
    )


def _serving(model: str, precision: str, engine: str) -> Serving | None:
    """Return the formats of a run, None where it does not say.

    gpt-oss has one checkpoint, whatever the label. Runs do not tell the cache's format: TensorRT-LLM takes it
    from its quantised checkpoints (fp8), the others keep bf16 unless told otherwise.
    """
    if model == "gpt-oss-120b":
        return Serving()
    weights = {"fp8": Precision.FP8, "fp4": Precision.FP4, "bf16": Precision.BF16}.get(precision)
    quantised = engine == "trtllm" and weights is not Precision.BF16
    return Serving(weights, Precision.FP8 if quantised else Precision.BF16) if weights else None
