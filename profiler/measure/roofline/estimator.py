"""Answer the sweep from published figures alone: the roofline backend."""

from dataclasses import dataclass

from models.architecture import Architecture
from models.artifact import EngineLimits
from models.engine import Engine
from models.hardware import Hardware
from models.values import Parallelism, Role
from profiler.measure.backend import Phase, Refusal, Replica, SweepPoint
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
    parts, collectives and kernel latencies follow one another; the host dispatches ahead.
    """

    arch: Architecture
    hardware: Hardware
    engine: Engine
    name: str = "roofline"
    computed: bool = True

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
            return Refusal(
                f"per GPU {held:.1f} GB of weights and {reserved:.1f} GB of reserve leave "
                f"{budget.kv_bytes / 1e9:.1f} of {self.hardware.hbm_bytes / 1e9:.1f} GB for the KV cache; "
                f"one iteration of {self.engine.max_num_batched_tokens} tokens takes {needed / 1e9:.1f} GB"
            )
        return Replica(
            limits=EngineLimits(self.engine.max_num_seqs * ranks, self.engine.max_num_batched_tokens * ranks),
            kv_capacity_tokens=capacity,
            kv_fixed_tokens=fixed,
            overhead_s=0.0 if role is Role.DECODE else self.engine.constants.request_s,
            handover_s_per_token=self._handover_s_per_token(parallelism) if role is Role.PREFILL else 0.0,
            provenance=f"roofline, {self.engine.name} constants fitted on {self.engine.fitted_on}",
        )

    def measure(self, point: SweepPoint) -> float:
        """Return the seconds of one point."""
        if point.phase is Phase.DECODE:
            return self.decode_s(point.parallelism, point.tokens, point.batch)
        return self.prefill_s(point.parallelism, point.tokens, point.batch)

    def decode_s(self, layout: Parallelism, context_tokens: float, batch: float) -> float:
        """Return the seconds of one decode step."""
        return self._iteration_s(layout, decode_step(self.arch, layout, context_tokens, batch))

    def prefill_s(self, layout: Parallelism, isl_tokens: float, batch: float) -> float:
        """Return the engine seconds in which `batch` prompts are read together."""
        chunk = self.engine.max_num_batched_tokens
        iterations, work = prefill_chunks(self.arch, layout, isl_tokens, batch, chunk)
        return iterations * self._iteration_s(layout, work)

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

        Inside an NVLink domain that spans nodes the cache moves at its bandwidth, else over the network.
        """
        across = self.hardware.scaleup_gpus > self.hardware.gpus_per_node
        link = self.hardware.scaleup_bytes_per_s if across else self.hardware.scaleout_bytes_per_s
        return kv_bytes_per_token(self.arch, layout) / link
