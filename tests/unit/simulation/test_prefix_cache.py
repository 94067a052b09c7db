"""Hold prefix caches to a plain list that is searched and sorted, and routers to what they know of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import LayoutProfile
from models.features import Features, PrefixCache
from models.simulation.blocks import BlockCache
from models.simulation.ledger import COMPLETED
from models.simulation.workload import PrefixBlocks, Workload
from models.values import Role, Router
from planner.observe.trace import read_trace
from tests.components import trace
from tests.unit.simulation.fleets import aggregated, decode, fleet, pair, prefill

BLOCK = 100


class ListedCache:
    """Do what a two-tier cache does, on one list from the block used last to the one that goes first."""

    def __init__(self, blocks: int, tier_blocks: int) -> None:
        self.blocks, self.room = blocks, blocks + tier_blocks
        self.used: list[int] = []

    def use(self, hashes: list[int]) -> tuple[int, int]:
        found = next((i for i, h in enumerate(hashes) if h not in self.used), len(hashes))
        restored = sum(self.used.index(h) >= self.blocks for h in hashes[:found])
        for block in reversed(hashes):
            if block in self.used:
                self.used.remove(block)
            self.used.insert(0, block)
            del self.used[self.room :]
        return found, restored


def workload(prompts: list[list[int]], gap_s: float = 1.0, osl: int = 1, block: int = BLOCK) -> Workload:
    """Make requests whose prompts are whole blocks and half a block more."""
    times = [gap_s * i for i in range(len(prompts))]
    lengths = [len(p) * block + block // 2 for p in prompts]
    offsets = np.concatenate(([0], np.cumsum([len(p) for p in prompts])))
    hashes = np.array([h for p in prompts for h in p], dtype=np.int64)
    return replace(Workload.of(times, lengths, osl), blocks=PrefixBlocks(offsets, hashes, block))


def caching(layout: LayoutProfile, blocks: float, **changes: float) -> LayoutProfile:
    cache = PrefixCache(blocks * BLOCK, **changes)  # type: ignore[arg-type]
    return replace(layout, features=Features(prefix_cache=cache))


def sessions(count: int, turns: int, seed: int = 0) -> list[list[int]]:
    """Interleave conversations that all begin alike and grow by two blocks a turn."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.arange(count), turns))
    seen = dict.fromkeys(range(count), 0)
    prompts = []
    for who in order.tolist():
        seen[who] += 1
        prompts.append([0, 1, *(1000 * (who + 1) + i for i in range(2 * seen[who]))])
    return prompts


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=60),
    st.integers(1, 12),
    st.integers(0, 12),
)
def test_a_cache_finds_what_a_searched_and_sorted_list_finds(
    prompts: list[tuple[int, int]], blocks: int, tier: int
) -> None:
    cache, plain = BlockCache(blocks, tier), ListedCache(blocks, tier)
    for family, length in prompts:
        # The first two blocks are common to families 0 and 1, and to 2 and 3.
        hashes = [(family // 2 if i < 2 else 10 + family) * 100 + i for i in range(length)]
        assert cache.use(hashes) == plain.use(hashes)
        assert len(cache) <= blocks
        assert cache.in_tier <= tier
        assert len(cache) + cache.in_tier == len(plain.used)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("blocks", "tier"), [(1000, 0), (40, 0), (40, 80)])
def test_every_prompt_computes_what_the_list_does_not_hold(together: bool, blocks: int, tier: int) -> None:
    prompts = sessions(12, 10)
    front = aggregated(1e-5, 1e-6) if together else prefill(1e-5)
    made = caching(front, blocks, tier_tokens=tier * BLOCK, s_per_token=1e-6)
    layouts = {Role.AGGREGATED: made} if together else pair(made, decode(1e-6))
    opened = fleet(workload(prompts), layouts)
    opened.advance(1e4)
    ttft, _, _ = opened.ledger.latencies(np.arange(len(prompts)))

    plain, least_s, found_in_all = ListedCache(blocks, tier), [], 0
    for prompt in prompts:
        found, restored = plain.use(prompt)
        left = len(prompt) * BLOCK + BLOCK // 2 - found * BLOCK
        found_in_all += found
        least_s.append(left * 1e-5 + restored * BLOCK * 1e-6)
    assert found_in_all > 200
    # One at a time, so that nothing waits; the step to the first token takes 1 us.
    np.testing.assert_allclose(ttft, least_s, atol=2e-6)
    held = opened.ledger.workload.isl_tokens - opened.ledger.cached_tokens
    assert held.tolist() == opened.ledger.prefill_tokens.tolist()


def test_a_prompt_that_is_held_to_its_end_still_computes_its_last_token() -> None:
    whole = replace(workload([[1, 2], [1, 2]]), isl_tokens=np.array([200, 200], dtype=np.int32))
    opened = fleet(whole, pair(caching(prefill(1e-5), 10), decode(1e-6)))
    opened.advance(100.0)

    assert opened.ledger.prefill_tokens.tolist() == [200, 1]


def test_prompts_of_one_iteration_find_each_others_blocks() -> None:
    busy = workload([[9], [1, 2, 3], [1, 2, 3]], gap_s=0.0)
    opened = fleet(busy, pair(caching(prefill(1e-5), 10), decode(1e-6)))
    opened.advance(100.0)

    assert opened.ledger.prefill_tokens.tolist() == [150, 350, 50]


def computed(prompts: list[list[int]], times: list[float], weight: float = 1.0) -> list[int]:
    """Return what each prompt had computed on a fleet of two prefill replicas."""
    layouts = pair(caching(prefill(1e-5), 50, overlap_weight=weight), decode(1e-6))
    load = replace(workload(prompts), arrival_s=np.array(times))
    opened = fleet(load, layouts, {Role.PREFILL: 2, Role.DECODE: 1})
    opened.advance(100.0)
    return opened.ledger.prefill_tokens.tolist()


def test_an_aware_router_goes_where_the_prefix_is_until_the_queue_there_is_longer() -> None:
    long, unknown, short = list(range(1, 21)), list(range(100, 130)), [1, 2, 3, 99]

    # The first replica holds `long`, and idles when it comes again.
    assert computed([long, unknown[:1], long], [0.0, 1.0, 2.0]) == [2050, 150, 50]
    # It has 3,050 tokens to read when a prompt comes of which it holds 300 of 450: the other reads all of it.
    assert computed([long, unknown, short], [0.0, 1.0, 1.0]) == [2050, 3050, 450]
    # Where a token that is not computed counts for a hundred that wait, it queues.
    assert computed([long, unknown, short], [0.0, 1.0, 1.0], weight=100.0) == [2050, 3050, 150]


@pytest.mark.parametrize("router", [Router.LOAD, Router.ROUND_ROBIN])
def test_what_a_blind_router_finds_is_what_an_aware_one_finds_on_one_replica(router: Router) -> None:
    prompts = sessions(10, 8)
    cached = caching(prefill(1e-5), 1000, overlap_weight=0.0 if router is Router.LOAD else 1.0)
    one, aware = (
        fleet(workload(prompts), pair(layout, decode(1e-6)), router=router)
        for layout in (cached, caching(prefill(1e-5), 1000))
    )
    for opened in (one, aware):
        opened.advance(1e4)

    assert one.ledger.prefill_tokens == aware.ledger.prefill_tokens


def test_an_aware_router_finds_more_than_a_blind_one_and_waits_less() -> None:
    prompts = sessions(40, 12)
    found, mean_s = {}, {}
    for weight in (0.0, 1.0):
        layouts = pair(caching(prefill(1e-5), 300, overlap_weight=weight), decode(1e-6))
        opened = fleet(workload(prompts, gap_s=0.004), layouts, {Role.PREFILL: 4, Role.DECODE: 1})
        opened.advance(1e4)
        assert (opened.ledger.states() == COMPLETED).all()
        assert all(load == pytest.approx(0.0) for load in opened._front.loads)
        found[weight] = int(opened.ledger.cached_tokens.sum())
        mean_s[weight] = float(opened.ledger.latencies(np.arange(len(prompts)))[0].mean())

    assert found[1.0] > 1.3 * found[0.0]
    assert mean_s[1.0] < 0.8 * mean_s[0.0]


def test_hashes_change_nothing_where_nobody_caches_and_a_cache_nothing_without_hashes() -> None:
    prompts = workload(sessions(10, 8), gap_s=0.005)
    plain = pair(prefill(1e-5), decode(1e-6))
    cached = pair(caching(prefill(1e-5), 100), decode(1e-6))
    one, two, three = (
        fleet(load, layouts)
        for load, layouts in ((prompts, plain), (replace(prompts, blocks=None), cached), (prompts, cached))
    )
    for opened in (one, two, three):
        opened.advance(1e3)

    assert one.ledger.finish_s == two.ledger.finish_s
    assert one.ledger.finish_s != three.ledger.finish_s


def test_copies_of_a_busier_trace_talk_among_themselves() -> None:
    prompts = workload(sessions(5, 4))
    assert prompts.blocks is not None
    doubled = prompts.scaled(2.0).blocks
    assert doubled is not None

    own = set(prompts.blocks.hashes.tolist())
    mine = [h for h in doubled.hashes.tolist() if h in own]
    others = [h for h in doubled.hashes.tolist() if h not in own]
    assert sorted(mine) == sorted(prompts.blocks.hashes.tolist())
    assert len(others) == len(mine)
    # As many distinct blocks, as often each: the copies repeat themselves as the originals do.
    assert len(set(others)) == len(own)


def test_recorded_prompts_hit_an_endless_cache_as_often_as_their_blocks_were_seen_before() -> None:
    recorded = read_trace(trace("mooncake_conversation.jsonl.gz")).workload
    assert recorded.blocks is not None
    endless = replace(prefill(1e-9), features=Features(prefix_cache=PrefixCache(1e12)))
    opened = fleet(recorded, pair(endless, decode(1e-4)))
    opened.advance(recorded.span_s + 60.0)

    seen: set[int] = set()
    held = []
    bounds = recorded.blocks.offsets
    for i, isl in enumerate(recorded.isl_tokens.tolist()):
        hashes = recorded.blocks.hashes[bounds[i] : min(bounds[i + 1], bounds[i] + isl // 512)].tolist()
        found = next((n for n, h in enumerate(hashes) if h not in seen), len(hashes))
        held.append(min(found * 512, isl - 1))
        seen.update(hashes)
    assert opened.ledger.cached_tokens.tolist() == held
    # 0.37 of all prompt tokens were seen before.
    assert sum(held) / recorded.isl_tokens.sum() == pytest.approx(0.37, abs=0.02)
