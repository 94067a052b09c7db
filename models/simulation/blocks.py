"""Keep the prefix blocks that a replica holds, and tell what a prompt finds there."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from models.features import PrefixCache
from models.simulation.ledger import Ledger
from models.simulation.workload import PrefixBlocks


class BlockCache:
    """Hold the blocks used last: on the device, and those that fell out of it in a tier behind.

    Of a prompt's blocks the first counts as used last, so that a prefix outlives what follows it; engines
    free blocks in that order. What is found in the tier moves back to the device.
    """

    __slots__ = ("_blocks", "_device", "_tier", "_tier_blocks")

    def __init__(self, blocks: int, tier_blocks: int = 0) -> None:
        """Start empty, with room for so many blocks."""
        self._blocks = blocks
        self._tier_blocks = tier_blocks
        self._device: OrderedDict[int, None] = OrderedDict()
        self._tier: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        """Count the blocks on the device."""
        return len(self._device)

    @property
    def in_tier(self) -> int:
        """Count the blocks in the tier."""
        return len(self._tier)

    def overlap(self, hashes: Sequence[int]) -> int:
        """Return how many of the first blocks are held."""
        device, tier, found = self._device, self._tier, 0
        for block in hashes:
            if block not in device and block not in tier:
                break
            found += 1
        return found

    def use(self, hashes: Sequence[int]) -> tuple[int, int]:
        """Read a prompt: return how many first blocks were held, and how many of these in the tier."""
        found = self.overlap(hashes)
        device, tier = self._device, self._tier
        restored = sum(block not in device for block in hashes[:found])
        for block in reversed(hashes):
            if block in device:
                device.move_to_end(block)
            else:
                tier.pop(block, None)
                device[block] = None
                if len(device) > self._blocks:
                    self._evict()
        return found, restored

    def _evict(self) -> None:
        fallen, _ = self._device.popitem(last=False)
        if self._tier_blocks:
            self._tier[fallen] = None
            if len(self._tier) > self._tier_blocks:
                self._tier.popitem(last=False)


class Prefixes:
    """Know every request's blocks, and write down what it found.

    Only whole blocks can be found, and the last token of a prompt is always computed: its output is wanted.
    """

    def __init__(self, blocks: PrefixBlocks, settings: PrefixCache, ledger: Ledger) -> None:
        """Watch a ledger, whose requests stand in the order of `blocks`; none has found anything."""
        self.settings = settings
        self.tokens_per_block = settings.block_tokens or blocks.tokens_per_block
        self._ledger = ledger
        self._offsets = blocks.offsets
        self._hashes = blocks.hashes
        ledger.cached_tokens = np.zeros(len(ledger.workload), dtype=np.int32)

    def cache(self) -> BlockCache:
        """Make an empty cache of a replica."""
        size = self.tokens_per_block
        return BlockCache(int(self.settings.tokens // size), int(self.settings.tier_tokens // size))

    def of(self, request: int) -> list[int]:
        """Return the hashes of a request's whole blocks, in order."""
        first, last = self._offsets[request], self._offsets[request + 1]
        whole = self._ledger.isl_tokens[request] // self.tokens_per_block
        hashes: list[int] = self._hashes[first : min(last, first + whole)].tolist()
        return hashes

    def left(self, request: int, blocks: int) -> int:
        """Return the tokens of a prompt that are left to compute when so many blocks are held."""
        return max(self._ledger.isl_tokens[request] - blocks * self.tokens_per_block, 1)

    def read(self, request: int, cache: BlockCache, more_tokens: int = 0) -> float:
        """Have a replica read a prompt; return the seconds in which what its tier held is moved back.

        `more_tokens` come behind the prompt: what a sequence had made when it was thrown out.
        """
        found, restored = cache.use(self.of(request))
        left = self.left(request, found)
        self._ledger.prefill_tokens[request] = left + more_tokens
        self._ledger.cached_tokens[request] = self._ledger.isl_tokens[request] - left
        return restored * self.tokens_per_block * self.settings.s_per_token
