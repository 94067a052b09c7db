"""What holds of every estimate, whatever the model, layout and load."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from models.values import Parallelism, Role
from profiler.layouts import candidates
from profiler.measure.backend import Replica
from profiler.measure.roofline.compute import compute_s
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.roofline.iteration import prefill_chunks
from profiler.order import Order
from profiler.wiring import bench

BACKENDS = [
    found
    for model, engine in (
        ("gpt-oss-120b", "trtllm"),
        ("deepseek-r1", "sglang"),
        ("llama-3.1-70b", "trtllm"),
        ("qwen3-32b", "trtllm"),
    )
    for hardware in ("GB200", "H100")
    if isinstance(found := bench(Order(model, hardware, engine)).backend, Roofline)
]


@st.composite
def subjects(draw: st.DrawFn) -> tuple[Roofline, Parallelism]:
    backend = draw(st.sampled_from(BACKENDS))
    return backend, draw(st.sampled_from(candidates(backend.arch, backend.hardware).legal))


TOKENS = st.floats(1, 130_000)
BATCH = st.floats(1, 20_000)
MORE = st.floats(1, 4)
# Sums of floats in another order differ in the last digits.
SLACK = 1 + 1e-9


@given(subjects(), TOKENS, BATCH, MORE, MORE)
def test_a_decode_step_takes_time_and_never_less_for_more(
    subject: tuple[Roofline, Parallelism], context: float, batch: float, wider: float, longer: float
) -> None:
    backend, layout = subject

    step = backend.decode_s(layout, context, batch)

    assert step > 0
    assert backend.decode_s(layout, context, batch * wider) * SLACK >= step
    assert backend.decode_s(layout, context * longer, batch) * SLACK >= step


@given(subjects(), TOKENS, st.floats(1, 200), MORE, MORE)
def test_prefill_takes_time_and_never_less_for_more(
    subject: tuple[Roofline, Parallelism], isl: float, batch: float, wider: float, longer: float
) -> None:
    backend, layout = subject

    seconds = backend.prefill_s(layout, isl, batch)

    assert seconds > 0
    assert backend.prefill_s(layout, isl, batch * wider) * SLACK >= seconds
    assert backend.prefill_s(layout, isl * longer, batch) * SLACK >= seconds


@given(st.sampled_from(BACKENDS), TOKENS, st.floats(1, 200), st.sampled_from([1, 2, 4]))
def test_more_tensor_parallelism_is_never_slower_in_pure_arithmetic(
    backend: Roofline, isl: float, batch: float, tp: int
) -> None:
    def arithmetic_s(width: int) -> float:
        layout = Parallelism(tp=width)
        _, work = prefill_chunks(backend.arch, layout, isl, batch, 8192)
        parts = compute_s(backend.arch, backend.hardware, 0.2, layout, work)
        return sum(seconds for seconds, _ in parts.paired(parts))

    assert arithmetic_s(2 * tp) <= arithmetic_s(tp) * SLACK


@given(st.sampled_from(BACKENDS), st.integers(1, 40))
def test_kv_capacity_falls_as_weights_grow(backend: Roofline, more_layers: int) -> None:
    layout = Parallelism(tp=8)
    arch = backend.arch
    grown = replace(arch, intermediate=arch.intermediate + 512 * more_layers)
    if arch.experts is not None:
        experts = replace(arch.experts, routed=arch.experts.routed + 8 * more_layers)
        grown = replace(arch, experts=experts)

    before = backend.describe(Role.DECODE, layout)
    after = replace(backend, arch=grown).describe(Role.DECODE, layout)

    assert not isinstance(after, Replica) or (
        isinstance(before, Replica) and after.kv_capacity_tokens < before.kv_capacity_tokens
    )


@given(subjects())
def test_wider_replicas_hold_more(subject: tuple[Roofline, Parallelism]) -> None:
    backend, layout = subject
    wider = replace(layout, dp=layout.dp * 2, ep=layout.ep * 2) if layout.dp > 1 else None
    if wider is None or backend.arch.experts is None or wider.ep > backend.arch.experts.routed:
        return

    narrow, wide = (backend.describe(Role.DECODE, x) for x in (layout, wider))

    if isinstance(narrow, Replica):
        assert isinstance(wide, Replica)
        assert wide.kv_capacity_tokens > narrow.kv_capacity_tokens
