"""What engines do is stated once, in units that a person knows, and reaches the layouts that are sized."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.bytesizes import read_bandwidth, read_bytes, write_bandwidth, write_bytes
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.engine import Serving
from models.equipping import EnginePolicy, OffloadPolicy, PrefixPolicy
from models.errors import ConfigError
from models.features import PLAIN, KvTier, PrefixCache
from models.policy import PlanPolicy
from models.values import Role
from planner.tick import plan
from planner.wiring import Deployment, deployment, read_config
from tests import builders
from tests.builders import decode_layout, prefill_layout
from tests.unit.config.files import VALID, changed, loaded, write

WHOLE = """\
    engine:
      accepted_tokens: 2.4
      step_ratio: 1.2
      preemption: true
      kv_bytes_per_token: 40kB
      handover_bandwidth: 50GB/s
      kv_offload: {memory: 400GB, bandwidth: 100GB/s, turn_tokens: 32}
      prefix_cache: {tokens: 2M, overlap_weight: 1.5, block_tokens: 16}
"""


def built(folder: Path, text: str, serving: Serving = Serving()) -> Deployment:  # noqa: B008 (frozen)
    artifact = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("GB200", 4, 72),),
        engine="trtllm",
        backend="roofline",
        created_at="2026-01-01T00:00:00Z",
        layouts=(prefill_layout(), decode_layout()),
        selection=Selection({Role.PREFILL: "TP1", Role.DECODE: "TP4"}, {}, 0, True, "alone"),
        serving=serving,
    )
    (folder / "profile.json").write_text(dump(artifact), encoding="utf-8")
    return deployment(read_config(write(folder, text.replace("TEP4", "TP4"))))


def test_everything_that_may_be_stated_is_read(tmp_path: Path) -> None:
    stated = loaded(tmp_path, VALID + WHOLE).deployment(None).engine.to_policy()

    assert stated == EnginePolicy(
        accepted_tokens=2.4,
        step_ratio=1.2,
        preempts=True,
        kv_bytes_per_token=40_000.0,
        handover_bytes_per_s=50e9,
        offload=OffloadPolicy(400e9, 100e9, 32.0),
        prefix_cache=PrefixPolicy(2e6, 1.5, 16),
    )


def test_nothing_stated_leaves_the_layouts_of_the_profile_as_they_are(tmp_path: Path) -> None:
    assert loaded(tmp_path).deployment(None).engine.to_policy() == EnginePolicy()
    layouts = built(tmp_path, VALID).served.layouts

    assert layouts == {Role.PREFILL: prefill_layout(), Role.DECODE: decode_layout()}
    assert all(layout.features == PLAIN for layout in layouts.values())


def test_what_is_stated_reaches_the_layouts_that_are_sized_and_replayed(tmp_path: Path) -> None:
    layouts = built(tmp_path, VALID + WHOLE).served.layouts
    prefill, decode = layouts[Role.PREFILL], layouts[Role.DECODE]
    plain = decode_layout()
    assert plain.decode is not None
    assert decode.decode is not None

    assert prefill.handover_s_per_token == pytest.approx(40_000.0 / 50e9)
    tier = KvTier(400e9 / 40_000.0, 40_000.0 / 100e9, 32.0)
    assert prefill.features.prefix_cache == PrefixCache(2e6, 1.5, 16, tier.tokens, tier.s_per_token)
    assert (prefill.features.preempts, prefill.features.tier) == (False, None)
    assert (decode.features.preempts, decode.features.tier) == (True, tier)
    assert decode.features.accepted_tokens == 2.4
    assert decode.features.prefix_cache is None
    assert decode.decode.at(1000, 8) == pytest.approx(plain.decode.at(1000, 8) * 1.2 / 2.4)


def test_a_profile_that_speculates_says_what_a_step_emits_and_traffic_may_say_otherwise(
    tmp_path: Path,
) -> None:
    serving = Serving(draft_tokens=3, accepted_tokens=2.0)
    plain = decode_layout()
    profiled = built(tmp_path, VALID, serving).served.layouts[Role.DECODE]
    observed = built(tmp_path, VALID + "    engine: {accepted_tokens: 2.5}\n", serving).served.layouts
    surface = observed[Role.DECODE].decode
    assert plain.decode is not None
    assert surface is not None

    assert profiled.features.accepted_tokens == 2.0
    assert profiled.decode == plain.decode
    assert surface.at(1000, 8) == pytest.approx(plain.decode.at(1000, 8) * 2.0 / 2.5)


def test_alternatives_are_run_by_the_same_engines(tmp_path: Path) -> None:
    text = changed("decode: {layout: TEP4, min: 1}", "decode: {layout: TEP4, min: 1, alternatives: [TP4]}")
    found = built(tmp_path, text + "    engine: {preemption: true}\n")

    assert all(each.features.preempts for each in found.served.alternatives[Role.DECODE])


def test_bytes_that_neither_profile_nor_file_states_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"deployment shop: engine\.handover_bandwidth needs the bytes"
    ) as told:
        built(tmp_path, VALID + "    engine: {handover_bandwidth: 50GB/s}\n")

    assert "set kv_bytes_per_token" in str(told.value)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("400GB", 4e11), ("1.5 TB", 1.5e12), ("64KiB", 65_536.0), ("40kb", 40_000.0), ("7B", 7.0)],
)
def test_memory_is_read_with_decimal_and_binary_units(text: str, bytes_: float) -> None:
    assert read_bytes(text) == bytes_


@given(st.integers(1, 10**15))
def test_memory_is_written_as_it_is_read(size: int) -> None:
    assert read_bytes(write_bytes(float(size))) == size
    assert read_bandwidth(write_bandwidth(float(size))) == size


def test_what_engines_do_changes_what_a_tick_asks_for(tmp_path: Path) -> None:
    plain, speculating = (
        built(tmp_path, VALID.replace("layout: TEP4, min: 1", "layout: TEP4, min: 1, max: 40") + engine)
        for engine in ("", "    engine: {accepted_tokens: 2}\n")
    )
    rates = {"pages": 50.0, "email": 900.0}
    needed = []
    for chosen in (plain, speculating):
        seen, expected = builders.observation(rates), builders.forecast(rates)
        sizing, decision = plan(
            seen, expected, replace(chosen.policy, plan=unbounded(chosen)), chosen.served.layouts
        )
        assert sizing is not None
        needed.append((sizing.roles[Role.DECODE].uncapped, decision.final[Role.DECODE]))

    # The digest of a Record names the file, so that it replays with the same engines.
    assert plain.policy.config_digest != speculating.policy.config_digest
    assert needed[1][0] < needed[0][0]


def unbounded(chosen: Deployment) -> PlanPolicy:
    """Take the budget away: what engines need is asked, not what there is."""
    return replace(chosen.policy.plan, budget_gpus=None, topology=None)
