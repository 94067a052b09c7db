"""Name the Prometheus series that say what a serving stack was asked for, as data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """Name two counters whose increases are divided: `part` over `whole`."""

    part: str
    whole: str


@dataclass(frozen=True, slots=True)
class MetricNames:
    """Name what is read; each tuple lists alternatives and the first one with data is used.

    `started` counts requests as they arrive; `completed` as they leave, with the `in_flight` gauges (all
    of them added up) to correct for those inside. `input_tokens` and `output_tokens` are histograms of
    request lengths without their `_bucket`, `_sum` or `_count`; `input_means` and `output_means` give a
    mean length where there is no histogram. `cached` is the share of prompt tokens found in the prefix
    cache, `cached_ratios` gauges that say so directly. `ttft` and `itl` are histograms in seconds,
    `waiting` gauges of requests that wait for their first token. `model_label` tells models apart;
    `target_labels` a scraped process, on its series and on `up` alike.
    """

    preset: str
    started: tuple[str, ...]
    completed: tuple[str, ...] = ()
    in_flight: tuple[str, ...] = ()
    input_tokens: tuple[str, ...] = ()
    output_tokens: tuple[str, ...] = ()
    input_means: tuple[Ratio, ...] = ()
    output_means: tuple[Ratio, ...] = ()
    cached: tuple[Ratio, ...] = ()
    cached_ratios: tuple[str, ...] = ()
    ttft: tuple[str, ...] = ()
    itl: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    model_label: str = "model"
    target_labels: tuple[str, ...] = ("job", "instance")

    def mean_counters(self) -> tuple[str, ...]:
        """Return every counter from which mean lengths and cache hits are read."""
        histograms = (*self.input_tokens, *self.output_tokens)
        ratios = (*self.input_means, *self.output_means, *self.cached)
        names = [f"{name}_{part}" for name in histograms for part in ("sum", "count")]
        return tuple(dict.fromkeys([*names, *(r.part for r in ratios), *(r.whole for r in ratios)]))

    def input_ratios(self) -> tuple[Ratio, ...]:
        """Return the ways to a mean prompt length, best first."""
        return (*(Ratio(f"{h}_sum", f"{h}_count") for h in self.input_tokens), *self.input_means)

    def output_ratios(self) -> tuple[Ratio, ...]:
        """Return the ways to a mean output length, best first."""
        return (*(Ratio(f"{h}_sum", f"{h}_count") for h in self.output_tokens), *self.output_means)
