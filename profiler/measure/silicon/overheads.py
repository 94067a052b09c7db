"""Add what an engine spends beside its kernels: the database holds kernels alone."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overheads:
    """Hold six constants of an engine, fitted on its runs on one hardware (`fitted_on`).

    `gap_s` passes between the kernels of a layer. `dispatch_s` is the host's time per layer and `sequence_s`
    per sequence of a rank; both hide behind the GPU's work until they are longer. `collective_s` is what a
    layer waits for its ranks with every doubling of the GPUs beyond those whose communication was measured.
    Prefill workers reach `prefill_ratio` of the kernels' rate: they also send the cache away (aggregated
    runs, which do not, agree with the kernels better without it). `request_s` is paid once per request,
    outside the engine.
    """

    gap_s: float
    dispatch_s: float
    sequence_s: float
    collective_s: float
    prefill_ratio: float
    request_s: float
    fitted_on: str

    def decode_s(self, kernels_s: float, layers: int, sequences: float, doublings: float) -> float:
        """Return one step of `sequences` sequences of a rank."""
        device_s = kernels_s + layers * (self.gap_s + doublings * self.collective_s)
        return max(device_s, layers * self.dispatch_s + sequences * self.sequence_s)

    def prefill_s(
        self, kernels_s: float, layers: int, prompts: float, doublings: float, sends: bool
    ) -> float:
        """Return one pass that reads `prompts` prompts of a rank and `sends` the cache away, or keeps it."""
        reached_s = kernels_s / self.prefill_ratio if sends else kernels_s
        return self.decode_s(reached_s, layers, prompts, doublings)


# Fitted by `python -m tests.bench silicon` on public closed-loop runs (SemiAnalysis InferenceMAX, December
# 2025 to January 2026): 21 of gpt-oss-120b on TensorRT-LLM, 10 of DeepSeek-R1 fp8 on SGLang, all on GB200.
FITTED: Mapping[str, Overheads] = {
    "trtllm": Overheads(1.687e-6, 51.47e-6, 23.26e-6, 5.0e-6, 0.7565, 9.15e-3, "GB200"),
    "sglang": Overheads(2.717e-6, 161.9e-6, 20.83e-6, 22.41e-6, 0.849, 95.8e-3, "GB200"),
}


def of(engine: str, request_s: float) -> Overheads:
    """Return an engine's overheads; without a fit kernels alone, and `request_s` of its card."""
    return FITTED.get(engine) or Overheads(0.0, 0.0, 0.0, 0.0, 1.0, request_s, "")
