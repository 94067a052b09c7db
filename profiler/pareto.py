"""Trade a user's speed against a GPU's output: the front that no other pairing beats in both."""

from collections.abc import Iterable, Sequence

from models.artifact import LayoutProfile, ParetoPoint, Question
from models.capacity.decode import DecodeCurve
from models.capacity.prefill import prefill_work
from models.mix import RequestMix
from models.values import Role


def front(layouts: Sequence[LayoutProfile], question: Question) -> tuple[ParetoPoint, ...]:
    """Return the undominated points over layouts and batches, the fastest for a user first.

    Decode layouts are matched with as many GPUs of the cheapest prefill layout that keeps the promised
    TTFT as their output needs; an aggregated replica spends its time on both.
    """
    mix = question.mix
    in_time = [x for x in layouts if x.role is not Role.DECODE and _in_time(x, mix, question)]
    # A promise that nobody keeps alone is the selection's to report; the front still shows what there is.
    able = in_time or [x for x in layouts if x.role is not Role.DECODE]
    prefills = [x for x in able if x.role is Role.PREFILL]
    cheapest = min(prefills, key=lambda x: _gpu_s_per_prompt(x, mix), default=None)
    points: list[ParetoPoint] = []
    for layout in layouts:
        if layout.role is Role.DECODE and cheapest is not None:
            points += _apart(layout, cheapest, mix)
        elif layout.role is Role.AGGREGATED and layout in able:
            points += _aggregated(layout, mix)
    return tuple(undominated(points))


def undominated(points: Iterable[ParetoPoint]) -> list[ParetoPoint]:
    """Return the points that no other beats in both speeds, the fastest for a user first."""
    ordered = sorted(points, key=lambda p: (-p.tokens_per_s_per_user, -p.tokens_per_s_per_gpu, p.layout))
    kept: list[ParetoPoint] = []
    for point in ordered:
        if not kept or point.tokens_per_s_per_gpu > kept[-1].tokens_per_s_per_gpu:
            kept.append(point)
    return kept


def _in_time(layout: LayoutProfile, mix: RequestMix, question: Question) -> bool:
    return question.ttft_s is None or float(prefill_work(layout, mix).alone_s.max()) <= question.ttft_s


def _gpu_s_per_prompt(layout: LayoutProfile, mix: RequestMix) -> float:
    return prefill_work(layout, mix).mean_service_s * layout.gpus


def _batches(curve: DecodeCurve) -> list[tuple[float, float]]:
    """Return (batch, seconds per step) at the grid's batches that the KV cache holds, and at its limit."""
    batches = sorted({n for n in curve.batches if n < curve.limit} | {curve.limit})
    return [(n, curve.at(n)) for n in batches]


def _apart(layout: LayoutProfile, prefill: LayoutProfile, mix: RequestMix) -> list[ParetoPoint]:
    context = mix.decode_context_tokens
    name = f"{prefill.key} {layout.key}"
    per_prompt = _gpu_s_per_prompt(prefill, mix)
    points = []
    for batch, step_s in _batches(DecodeCurve(layout, context, context)):
        tokens_per_s = batch / step_s
        gpus = layout.gpus + tokens_per_s / mix.mean_osl_tokens * per_prompt
        points.append(ParetoPoint(name, 1.0 / step_s, tokens_per_s / gpus))
    return points


def _aggregated(layout: LayoutProfile, mix: RequestMix) -> list[ParetoPoint]:
    """Return the points of a replica that reads prompts between steps.

    With n sequences it serves x = n / (OSL * step + n * prompt) requests per second: while one sequence is
    written, n prompts of others are read.
    """
    context = mix.decode_context_tokens
    prompt_s = prefill_work(layout, mix).mean_service_s
    points = []
    for batch, step_s in _batches(DecodeCurve(layout, context, context)):
        per_request_s = mix.mean_osl_tokens * step_s + batch * prompt_s
        tokens_per_s = batch * mix.mean_osl_tokens / per_request_s
        points.append(ParetoPoint(layout.key, tokens_per_s / batch, tokens_per_s / layout.gpus))
    return points
