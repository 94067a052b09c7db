"""Hold the silicon backend to published runs, and the roofline to the silicon backend."""

from collections.abc import Iterator
from dataclasses import fields

from config import reference
from models.errors import ConfigError
from models.values import Parallelism, Role
from profiler.layouts import candidates
from profiler.measure.backend import Refusal
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.silicon.database import MissingDataError
from profiler.measure.silicon.estimator import Silicon
from profiler.measure.silicon.overheads import FITTED
from tests import components
from tests.bench import silicon_fit, silicon_sample
from tests.bench.calibrate import TARGETS, Target
from tests.bench.measured import mape

PAIRS = (
    ("gpt-oss-120b", "trtllm"),
    ("deepseek-r1", "sglang"),
    ("llama-3.1-70b", "trtllm"),
    ("qwen3-32b", "trtllm"),
)
HARDWARE = ("GB200", "GB300", "B200", "H200", "H100")
CONTEXTS, BATCHES = (1024.0, 4096.0, 16384.0), (1.0, 8.0, 32.0, 128.0, 512.0)
PROMPTS, TOGETHER = (512.0, 2048.0, 8192.0), (1.0, 4.0, 16.0)


def run() -> dict[str, str]:
    """Fit the overheads anew beside those in use, then compare."""
    components.silicon()
    figures: dict[str, str] = {}
    for target in TARGETS:
        figures |= _fitted(target)
    for model, engine in PAIRS:
        for hardware in HARDWARE:
            figures[f"roofline/silicon {model} {engine} {hardware}"] = _against_roofline(
                model, engine, hardware
            )
    for (model, hardware, engine), pairs in sorted(silicon_sample.errors(silicon_sample.points()).items()):
        ours, theirs = zip(*pairs, strict=True)
        figures[f"sample {model} {hardware} {engine}"] = (
            f"TPOT MAPE of {len(pairs)} aggregated runs: silicon {mape(ours):.0%} "
            f"(bias {_mean(ours):+.0%}), roofline {mape(theirs):.0%} (bias {_mean(theirs):+.0%})"
        )
    return figures


def _fitted(target: Target) -> dict[str, str]:
    steps = silicon_fit.steps(target)
    layers = silicon_fit.backend(target.engine, target.model).arch.layers
    fitted, used = silicon_fit.fit(target, steps), FITTED[target.engine]
    figures = {
        f"{target.engine} {field.name}": f"fitted {getattr(fitted, field.name):.4g}, in use "
        f"{getattr(used, field.name):.4g}"
        for field in fields(fitted)
        if field.name != "fitted_on"
    }
    for label, constants in (("kernels alone", silicon_fit.NOTHING), ("fitted", fitted), ("in use", used)):
        errors = [step.error(constants, layers) for step in steps]
        figures[f"{target.engine} {label}"] = (
            f"TPOT MAPE {mape(errors):.1%} of {len(steps)} runs, worst {max(errors, key=abs):+.0%}, "
            f"bulk prefill {silicon_fit.bulk_tokens_per_s_per_gpu(target, constants):,.0f} tokens/s/GPU"
        )
    left_out = {name: silicon_fit.without_layout(target, name) for name in sorted({s.layout for s in steps})}
    everyone = [error for errors in left_out.values() for error in errors]
    figures[f"{target.engine} one layout left out"] = f"TPOT MAPE {mape(everyone):.1%}: " + ", ".join(
        f"{name} {mape(errors):.1%}" for name, errors in left_out.items()
    )
    for step in steps:
        figures[f"{target.engine} {step.layout} x {step.users} users"] = (
            f"measured {step.tpot_s * 1e3:.2f} ms, {step.error(used, layers):+.0%}"
        )
    return figures


def _against_roofline(model: str, engine: str, hardware: str) -> str:
    """Return how far the roofline is from measured layouts of up to 8 GPUs, over a common range of loads."""
    cards = reference.architecture(model), reference.hardware(hardware), reference.engine(engine)
    try:
        silicon, roofline = Silicon(*cards), Roofline(*cards)
    except ConfigError as absent:
        return str(absent)
    parts = []
    for role in (Role.DECODE, Role.PREFILL):
        layouts = [layout for layout in candidates(*cards[:2]).legal if layout.gpus <= 8 and layout.pp == 1]
        errors = [error for layout in layouts for error in _errors(silicon, roofline, role, layout)]
        if errors:
            parts.append(f"{role} MAPE {mape(errors):.0%} (bias {_mean(errors):+.0%}, {len(errors)} points)")
    return ", ".join(parts) or "nothing measured"


def _errors(silicon: Silicon, roofline: Roofline, role: Role, layout: Parallelism) -> Iterator[float]:
    """Go through roofline/silicon - 1 of the points that fit in memory, of a layout that rests on data."""
    replica = silicon.describe(role, layout)
    if isinstance(replica, Refusal) or replica.extrapolated:
        return
    for tokens in CONTEXTS if role is Role.DECODE else PROMPTS:
        for batch in BATCHES if role is Role.DECODE else TOGETHER:
            if batch * (tokens + replica.kv_fixed_tokens) > replica.kv_capacity_tokens or batch < layout.dp:
                continue
            try:
                if role is Role.DECODE:
                    measured_s = silicon.decode_s(layout, tokens, batch)
                    yield roofline.decode_s(layout, tokens, batch) / measured_s - 1.0
                else:
                    measured_s = silicon.prefill_s(layout, tokens, batch, role=Role.AGGREGATED)
                    yield roofline.prefill_s(layout, tokens, batch) / measured_s - 1.0
            except MissingDataError:
                continue


def _mean(errors: tuple[float, ...] | list[float]) -> float:
    return sum(errors) / len(errors)
