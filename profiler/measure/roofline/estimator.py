"""Answer the sweep from published figures alone: the roofline backend."""

from dataclasses import dataclass, field

from models.architecture import Architecture
from models.artifact import EngineLimits, Phase
from models.engine import Engine, Serving
from models.hardware import Hardware, Precision
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint
from profiler.measure.roofline.collectives import collectives_s
from profiler.measure.roofline.compute import compute_s
from profiler.measure.roofline.iteration import Iteration, decode_step, prefill_chunks
from profiler.measure.roofline.memory import (
    gpu_budget,
    kv_bytes_per_token,
    kv_fixed_tokens,
    traffic_bytes,
)


@dataclass(frozen=True, slots=True)
class Roofline:
    """Estimate times of one model on one hardware with one engine.

    Each part of the transformer takes the longer of its arithmetic and its memory traffic (Williams 2009);
    parts, collectives and kernel latencies follow one another; the host dispatches ahead. `decode_hardware`
    is where finished prompts are handed over to, where that is other hardware.
    """

    arch: Architecture
    hardware: Hardware
    engine: Engine
    serving: Serving = field(default_factory=Serving)
    decode_hardware: Hardware | None = None
    name: str = "roofline"
    computed: bool = True

    @property
    def identity(self) -> str:
        """The cards that the times follow from."""
        return f"roofline of {self.arch.name} on {self.hardware.name} with {self.engine.name}"

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return limits, memory and fixed costs of a layout, or why it does not fit."""
        budget = gpu_budget(self.arch, self.hardware, self.engine, parallelism)
        per_token = kv_bytes_per_token(self.arch, parallelism)
        fixed = kv_fixed_tokens(self.arch)
        ranks = parallelism.dp
        capacity = budget.kv_bytes / per_token * ranks
        needed = (self.engine.max_num_batched_tokens + fixed) * per_token
        if budget.kv_bytes < needed:
            held, reserved = budget.weights_bytes / 1e9, budget.reserve_bytes / 1e9
            memory = f"its {self.hardware.hbm_bytes / 1e9:.1f} GB"
            took = f"per GPU {held:.1f} GB of weights and {reserved:.1f} GB of reserve"
            if budget.kv_bytes <= 0:
                return Refusal(f"{took} exceed {memory}")
            return Refusal(
                f"{took} leave {budget.kv_bytes / 1e9:.1f} of {memory} for the KV cache; one iteration of "
                f"{self.engine.max_num_batched_tokens} tokens takes {needed / 1e9:.1f} GB"
            )
        return Replica(
            # Each pipeline stage works on a batch of its own.
            limits=EngineLimits(
                self.engine.max_num_seqs * ranks * parallelism.pp, self.engine.max_num_batched_tokens * ranks
            ),
            kv_capacity_tokens=capacity,
            kv_fixed_tokens=fixed,
            overhead_s=0.0 if role is Role.DECODE else self.engine.constants.request_s,
            handover_s_per_token=self._handover_s_per_token(parallelism) if role is Role.PREFILL else 0.0,
            handover_steps=self.engine.handover_steps if role is Role.DECODE else 0.0,
            kv_bytes_per_token=per_token,
            provenance=f"roofline, {self.engine.name} constants fitted on {self.engine.fitted_on}",
        )

    def cost_s(self, point: SweepPoint) -> float:
        """Return 0: nothing is held while a formula is computed."""
        return 0.0

    def release(self, role: Role, parallelism: Parallelism) -> None:
        """Do nothing: nothing is held."""

    def measure(self, point: SweepPoint) -> Measurement:
        """Return the seconds of one point."""
        if point.phase is Phase.DECODE:
            return Measurement(self.decode_s(point.parallelism, point.tokens, point.batch))
        return Measurement(self.prefill_s(point.parallelism, point.tokens, point.batch, point.cached_tokens))

    def decode_s(self, layout: Parallelism, context_tokens: float, batch: float) -> float:
        """Return the seconds per output token of each of `batch` sequences.

        With `pp` stages the batch is cut into as many parts, which follow one another through the stages:
        each part's step takes one pass of all layers. A speculated step verifies the drafts, which a head of
        about one layer proposes one by one (MTP, EAGLE), and emits `accepted_tokens`.
        """
        part = max(batch / layout.pp, 1.0)
        work = decode_step(self.arch, layout, context_tokens, part, self.serving.draft_tokens + 1)
        step_s = self._pass_s(layout, work)
        if self.serving.draft_tokens:
            single_s = self._pass_s(layout, decode_step(self.arch, layout, context_tokens, part))
            step_s += self.serving.draft_tokens * single_s / self.arch.layers
        return step_s / self.serving.accepted_tokens

    def prefill_s(
        self, layout: Parallelism, tokens: float, batch: float, cached_tokens: float = 0.0
    ) -> float:
        """Return the engine seconds in which `batch` prompts are read together.

        `tokens` of each are computed behind `cached_tokens`. Chunks follow one another through `pp` stages:
        m chunks take (m + pp - 1) / pp passes of all layers.
        """
        chunk = self.engine.max_num_batched_tokens
        iterations, work = prefill_chunks(self.arch, layout, tokens, batch, chunk, cached_tokens)
        return (iterations + layout.pp - 1) / layout.pp * self._pass_s(layout, work)

    def _pass_s(self, layout: Parallelism, work: Iteration) -> float:
        """Return one pass of all layers, the sends between pipeline stages included."""
        seconds = self._iteration_s(layout, work)
        if layout.pp == 1:
            return seconds
        activation = work.rank_tokens * self.arch.hidden * Precision.BF16.bytes / layout.tp
        link = self.hardware.link_bytes_per_s(layout.gpus)
        hop_s = activation / link + self.engine.constants.collective_s
        return seconds + (layout.pp - 1) * hop_s

    def _iteration_s(self, layout: Parallelism, work: Iteration) -> float:
        constants = self.engine.constants
        compute = compute_s(self.arch, self.hardware, constants.expert_ratio, layout, work)
        traffic = traffic_bytes(self.arch, layout, work)
        reached = self.hardware.hbm_bytes_per_s * self.hardware.hbm_reached_ratio
        kernels = sum(max(seconds, moved / reached) for seconds, moved in compute.paired(traffic))
        kernels += self.arch.layers * constants.kernel_s
        kernels += collectives_s(self.arch, self.hardware, constants.collective_s, layout, work)
        return max(kernels, self.arch.layers * constants.dispatch_s) + work.sequences * constants.sequence_s

    def _handover_s_per_token(self, layout: Parallelism) -> float:
        """Return the transfer time of one prompt token's cache, sent by the ranks that hold its parts.

        Inside an NVLink domain that spans nodes the cache moves at its bandwidth, else over the network, at
        the slower side's.
        """
        here, there = self.hardware, self.decode_hardware or self.hardware
        across = here.name == there.name and here.scaleup_gpus > here.gpus_per_node
        network = min(here.scaleout_bytes_per_s, there.scaleout_bytes_per_s)
        return kv_bytes_per_token(self.arch, layout) / (here.scaleup_bytes_per_s if across else network)
