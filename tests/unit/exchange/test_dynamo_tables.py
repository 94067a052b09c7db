"""Layouts become Dynamo's tables and come back without loss."""

from dataclasses import replace

import numpy as np
import pytest

from models.artifact import EngineLimits, Phase
from models.capacity.prefill import full_batch, prefill_work
from models.dynamo_tables import DecodeTable, PrefillTable, decode_points, prefill_points, prefill_surface
from models.mix import RequestMix
from models.values import Parallelism, Role
from profiler.exchange.dynamo import (
    MockerTable,
    decode_table,
    kept_decode_table,
    kept_prefill_table,
    mocker_table,
    prefill_table,
)
from tests.builders import decode_layout, prefill_layout

LIMITS = EngineLimits(max_num_seqs=128, max_num_batched_tokens=16_384)


def test_a_prefill_table_holds_ttft_with_its_overhead_and_throughput_of_full_iterations() -> None:
    layout = prefill_layout(110_000.0)

    table = prefill_table(layout)

    assert table.isl == (128.0, 512.0, 2048.0, 8192.0, 32768.0)
    # 30 ms of overhead, 1 ms per iteration, then 110,000 tokens a second.
    assert table.ttft_ms == pytest.approx([31 + n / 110 for n in table.isl])
    batches = [full_batch(layout, n) for n in table.isl]
    expected = [n * b / (0.001 + n * b / 110_000) for n, b in zip(table.isl, batches, strict=True)]
    assert table.thpt_per_gpu == pytest.approx(expected)
    assert prefill_table(layout, 1_000).isl == (128.0, 512.0)


def test_a_decode_table_keeps_to_dynamos_definitions() -> None:
    layout = decode_layout(tp=4)

    table = decode_table(layout, osl_tokens=500)

    room = table.max_kv_tokens
    assert room == 8_000_000
    n = np.array(table.kv_usage) * room / np.array(table.context)
    # Batches are the surface's own; rounding is that of one product and one quotient.
    assert n == pytest.approx(np.round(n), rel=1e-12)
    itl = [0.0019 + b * (0.000013 + c * 2e-9) for b, c in zip(n, table.context, strict=True)]
    assert table.itl_ms == pytest.approx(np.array(itl) * 1e3, rel=1e-12)
    assert table.thpt_per_gpu == pytest.approx(n / np.array(itl) / 4)


def test_a_decode_point_has_room_for_its_sequences_to_their_ends() -> None:
    layout = replace(decode_layout(), kv_fixed_tokens=2_000.0)

    table = decode_table(layout, osl_tokens=1_000)

    for usage, context in zip(table.kv_usage, table.context, strict=True):
        n = usage * table.max_kv_tokens / context
        assert n * (context + 500 + 2_000) <= table.max_kv_tokens * (1 + 1e-12)
    assert max(table.context) == 16_384
    assert max(decode_table(layout, 900, 1_000).context) == 1_024


def test_one_prompt_at_a_time_makes_n_prompts_last_n_times_as_long() -> None:
    isl = (100.0, 1_000.0, 8_000.0)
    ttft = (20.0, 40.0, 170.0)
    table = PrefillTable(isl, ttft, tuple(n / t / 2 * 1e3 for n, t in zip(isl, ttft, strict=True)))

    surface, said = prefill_surface(prefill_points(table, 2), Parallelism(tp=2), LIMITS)

    for n, t in zip(isl, ttft, strict=True):
        for batch in (1, 3, 16):
            assert surface.at(n, batch) == pytest.approx(batch * t / 1e3)
    assert "one prompt at a time" in said


def test_dp_ranks_read_their_prompts_side_by_side() -> None:
    """Dynamo's profiler sends one prompt per attention rank: dp of them take the time of one."""
    isl, ttft, ranks = (500.0, 4_000.0), (30.0, 200.0), 4
    table = PrefillTable(isl, ttft, tuple(n / t * 1e3 * ranks / 4 for n, t in zip(isl, ttft, strict=True)))

    surface, said = prefill_surface(prefill_points(table, 4), Parallelism(dp=4, ep=4), LIMITS)

    assert surface.at(500, 1) == surface.at(500, 4) == pytest.approx(0.030)
    assert surface.at(4_000, 8) == pytest.approx(0.400)
    assert "each of 4 ranks" in said


def test_throughput_at_saturation_gives_a_bulk_servers_surface_back() -> None:
    layout = prefill_layout(110_000.0)
    points = prefill_points(prefill_table(layout), layout.gpus, layout.overhead_s)

    surface, said = prefill_surface(points, layout.parallelism, layout.limits, layout.overhead_s)

    imported = replace(layout, prefill=surface)
    mix = RequestMix.constant(2_048, 100)
    assert prefill_work(imported, mix).mean_service_s == pytest.approx(
        prefill_work(layout, mix).mean_service_s
    )
    assert prefill_work(imported, mix).mean_alone_s == pytest.approx(prefill_work(layout, mix).mean_alone_s)
    assert "saturation" in said


def test_an_overhead_longer_than_a_ttft_is_refused() -> None:
    table = PrefillTable((100.0, 200.0), (20.0, 40.0), (5_000.0, 5_000.0))

    with pytest.raises(ValueError, match="leaves nothing of the TTFT of 20 ms"):
        prefill_points(table, 1, 0.02)


@pytest.mark.parametrize("overhead_s", [0.0, 0.004])
def test_kept_tables_are_the_tables_that_were_imported(overhead_s: float) -> None:
    generator = np.random.default_rng(5)
    isl = tuple(float(n) for n in range(100, 9_000, 987))
    ttft = tuple(generator.uniform(10, 400, len(isl)))
    prefill = PrefillTable(isl, ttft, tuple(generator.uniform(1e3, 5e4, len(isl))))
    context = (350.0, 350.0, 2_997.5, 2_997.5)
    decode = DecodeTable(
        tuple(c * n / 945_029 for c, n in zip(context, (1, 787, 3, 200), strict=True)),
        context,
        tuple(generator.uniform(4, 50, 4)),
        tuple(generator.uniform(200, 2e4, 4)),
        945_029,
    )
    first = replace(
        prefill_layout(tp=3), measured=prefill_points(prefill, 3, overhead_s), overhead_s=overhead_s
    )
    second = replace(decode_layout(tp=3), measured=decode_points(decode, 3), kv_capacity_tokens=945_029.0)

    kept, kept_decode = kept_prefill_table(first), kept_decode_table(second)

    # Milliseconds to seconds and back costs the last bits.
    assert kept.isl == prefill.isl
    assert kept.ttft_ms == pytest.approx(prefill.ttft_ms, rel=1e-12)
    assert kept.thpt_per_gpu == pytest.approx(prefill.thpt_per_gpu, rel=1e-12)
    for name in ("kv_usage", "context", "itl_ms", "thpt_per_gpu"):
        assert getattr(kept_decode, name) == pytest.approx(getattr(decode, name), rel=1e-12)
    assert kept_decode.max_kv_tokens == 945_029
    assert [p.batch for p in second.measured] == [1.0, 787.0, 3.0, 200.0]


def test_the_mockers_table_reads_like_the_surface() -> None:
    layout = decode_layout()

    table = mocker_table(prefill_layout(), layout)

    assert layout.decode is not None
    generator = np.random.default_rng(3)
    for _ in range(300):
        context = float(np.exp(generator.uniform(np.log(128), np.log(16_384))))
        most = min(2_048.0, layout.kv_capacity_tokens / context)
        batch = float(np.exp(generator.uniform(0, np.log(most))))
        # Lines 5 % and 13 % apart in ratio: the reading between them is within 2 %.
        assert bilinear(table, batch * context, context) == pytest.approx(
            layout.decode.at(context, batch) * 1e3, rel=0.02
        )
    # The engine's time alone: the 30 ms of overhead pass in the frontend.
    assert table.isl == (128.0, 512.0, 2048.0, 8192.0, 32768.0)
    assert table.ttft_ms == pytest.approx([1 + n / 110 for n in table.isl])


def test_a_layout_without_the_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="decode=TP4 has no prefill surface"):
        prefill_table(decode_layout())
    with pytest.raises(ValueError, match="prefill=TP1 has no decode surface"):
        decode_table(prefill_layout())


def test_points_say_their_phase() -> None:
    assert {p.phase for p in prefill_points(PrefillTable((1.0,), (1.0,), (1.0,)), 1)} == {Phase.PREFILL}
    assert decode_layout().role is Role.DECODE


def bilinear(table: MockerTable, kv_tokens: float, context: float) -> float:
    """Read the table as the mocker does."""
    values = np.array(table.itl_ms)

    def place(axis: tuple[float, ...], value: float) -> tuple[int, float]:
        i = min(max(int(np.searchsorted(axis, value)) - 1, 0), len(axis) - 2)
        return i, (min(max(value, axis[0]), axis[-1]) - axis[i]) / (axis[i + 1] - axis[i])

    (i, u), (j, v) = place(table.kv_tokens, kv_tokens), place(table.context, context)
    top = values[i, j] * (1 - v) + values[i, j + 1] * v
    bottom = values[i + 1, j] * (1 - v) + values[i + 1, j + 1] * v
    return float(top * (1 - u) + bottom * u)
