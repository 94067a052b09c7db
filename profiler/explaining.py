"""Say why a layout won, why each other lost, and what would change the choice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from models.artifact import Contender, LayoutProfile, Question, Selection
from models.capacity.fleet import FleetModel
from models.capacity.predict import Prediction
from models.mix import RequestAtom, RequestMix
from models.render.formats import share
from models.units import show_count, show_duration
from models.values import Role

# How far from what was asked the choice is looked at again, nearest first.
_LADDER = (1.1, 1.25, 1.5, 2.0)
# By how much another pairing must be cheaper to be worth a word: fleets of equal size take turns all along.
_CLEARLY = 1.05


class Fleet(Protocol):
    """What is said about a fleet needs of it; see `profiler.selecting.Fleet`."""

    @property
    def pairing(self) -> Mapping[Role, LayoutProfile]:
        """The layout of each role."""
        ...

    @property
    def replicas(self) -> Mapping[Role, int]:
        """The replicas of each role."""
        ...

    @property
    def prediction(self) -> Prediction:
        """What it is expected to deliver."""
        ...

    @property
    def cost(self) -> float:
        """GPUs, or money per hour."""
        ...

    @property
    def name(self) -> str:
        """The pairing's name."""
        ...


Again = Callable[[Question, Mapping[str, float]], tuple[Fleet | None, Fleet | None]]
"""Answers another question, the layouts of some keys slower by a factor: with the best fleet, and the
smallest of the pairing that was chosen; None where none keeps the promise within the budget."""


def counted(fleet: Fleet) -> str:
    """Say replicas with their layout, such as `3 x TP1 prefill and 2 x TEP4 decode`."""
    return " and ".join(
        f"{fleet.replicas[role]} x {layout.parallelism.name} {role}" for role, layout in fleet.pairing.items()
    )


def answer(
    best: Fleet, ranked: Sequence[Fleet], lost_by: Mapping[str, str], question: Question, unplaced: str | None
) -> Selection:
    """Return the selection of `best`, the first of `ranked`; `unplaced` says why it exceeds the budget."""
    needs = f"{counted(best)}: {_gpus(best)}{_money(best, question)} {_purpose(question)}"
    why = f"{needs}, {_delivered(best)}" if unplaced is None else f"{needs}, but {unplaced}"
    runner_up = ranked[1].name if len(ranked) > 1 else ""
    return Selection(
        layouts={role: layout.parallelism.name for role, layout in best.pairing.items()},
        replicas=dict(best.replicas),
        gpus=best.prediction.gpus,
        feasible=unplaced is None,
        why=why,
        runner_up=runner_up,
        runner_up_lost=lost_by.get(runner_up, ""),
        goodput_rps_per_gpu=_goodput(best),
        ranking=tuple(_contender(fleet, lost_by.get(fleet.name, "")) for fleet in ranked),
    )


def lost(fleet: Fleet, best: Fleet) -> str:
    """Say why a fleet lost against the best, by the first figure that tells them apart."""
    more = fleet.prediction.gpus - best.prediction.gpus
    if fleet.cost > best.cost and more > 0:
        return f"{counted(fleet)} takes {_gpus(fleet)}, {more} more"
    if fleet.cost > best.cost:
        return f"{counted(fleet)} costs {fleet.cost / best.cost - 1:.1%} more"
    mine, theirs = fleet.prediction.expected_attainment, best.prediction.expected_attainment
    if round(mine, 3) < round(theirs, 3):
        return f"the same {_gpus(fleet)} keep {share(mine)} of promises against {share(theirs)}"
    if steps(fleet) > steps(best):
        return (
            f"the same {_gpus(fleet)}, in steps of {_widths(fleet)} instead of {_widths(best)} when it scales"
        )
    slower, faster = end_to_end_s(fleet), end_to_end_s(best)
    if slower > faster:
        return f"the same {_gpus(fleet)}, {show_duration(slower)} end to end against {show_duration(faster)}"
    return f"the same {_gpus(fleet)} and promises kept: equal, decided by name"


def steps(fleet: Fleet) -> float:
    """Return how coarse the steps are in which a fleet scales: the mean GPUs of a replica over its roles."""
    return sum(layout.gpus for layout in fleet.pairing.values()) / len(fleet.pairing)


def end_to_end_s(fleet: Fleet) -> float:
    """Return the mean time to the last token, to two digits: less than that tells no fleets apart."""
    return float(f"{fleet.prediction.e2e_s.mean:.2g}")


def _widths(fleet: Fleet) -> str:
    return " and ".join(str(layout.gpus) for layout in fleet.pairing.values())


def would_change(question: Question, chosen: Sequence[LayoutProfile], again: Again) -> tuple[str, ...]:
    """Return in sentences what would make another pairing clearly cheaper, the nearest first.

    Empty when the choice stays within 5 % of the best up to twice and half of everything that was asked.
    """
    found: list[tuple[float, str]] = []
    beyond: list[str] = []
    for variant in _variants(question, chosen):
        for factor in _LADDER:
            said, asked, slower = variant(factor)
            best, own = again(asked, slower)
            if best is None:
                beyond.append(said)
                break
            if own is None or own.cost > best.cost * _CLEARLY:
                instead = "this choice keeps it with none" if own is None else f"this choice {_gpus(own)}"
                found.append((factor, f"{said}: {best.name} with {_gpus(best)}, {instead}"))
                break
    said_so = [text for _, text in sorted(found, key=lambda pair: pair[0])]
    if beyond:
        said_so.append(f"no fleet keeps the promise with {' or '.join(beyond)}")
    return tuple(said_so)


_Variant = Callable[[float], tuple[str, Question, Mapping[str, float]]]
"""Takes how far to go (1: not at all); returns what differs, the question, and the slower layouts by key."""


def _variants(question: Question, chosen: Sequence[LayoutProfile]) -> list[_Variant]:
    """List what may differ from what was asked, each up and down, and from what was profiled, slower."""

    def rate(factor: float) -> tuple[str, Question, Mapping[str, float]]:
        asked = replace(question, rate_rps=question.rate_rps * factor)
        return f"a rate of {_three(asked.rate_rps)} requests/s", asked, {}

    def prompts(factor: float) -> tuple[str, Question, Mapping[str, float]]:
        asked = replace(question, mix=_stretched(question, factor, 1.0))
        return f"prompts of {_three(asked.isl_tokens)} tokens", asked, {}

    def outputs(factor: float) -> tuple[str, Question, Mapping[str, float]]:
        asked = replace(question, mix=_stretched(question, 1.0, factor))
        return f"outputs of {_three(asked.osl_tokens)} tokens", asked, {}

    both_ways: list[_Variant] = [rate, prompts, outputs]
    both_ways += [
        partial(_limited, question, label, name)
        for label, name in (("TTFT", "ttft_s"), ("ITL", "itl_s"), ("end-to-end", "e2e_s"))
        if getattr(question, name) is not None
    ]
    slower = [partial(_slowed, question, layout.key) for layout in chosen]
    return [*both_ways, *(partial(_inverse, each) for each in both_ways), *slower]


def _three(value: float) -> str:
    return show_count(float(f"{value:.3g}"))


def _inverse(variant: _Variant, factor: float) -> tuple[str, Question, Mapping[str, float]]:
    return variant(1.0 / factor)


def _limited(
    question: Question, label: str, name: str, factor: float
) -> tuple[str, Question, Mapping[str, float]]:
    limit_s = float(f"{getattr(question, name) * factor:.3g}")
    limits: dict[str, Any] = {name: limit_s}
    return f"a promised {label} of {show_duration(limit_s)}", replace(question, **limits), {}


def _slowed(question: Question, key: str, factor: float) -> tuple[str, Question, Mapping[str, float]]:
    return f"{key} {factor - 1:.0%} slower than profiled", question, {key: factor}


def _stretched(question: Question, isl: float, osl: float) -> RequestMix:
    """Return the question's mix with prompts and outputs longer by a factor."""
    return RequestMix(
        tuple(
            RequestAtom(a.isl_tokens * isl, max(a.osl_tokens * osl, 1.0), a.cached_tokens * isl, a.weight)
            for a in question.mix.atoms
        )
    )


def impossible(models: Sequence[FleetModel], question: Question) -> Selection:
    """Say that no layout can keep the promise, with the figures of the nearest."""
    nearest = min(models, key=lambda model: (_excess(model, question), _name(model)))
    alone = _alone(nearest)
    said = [
        f"{label} {show_duration(alone[label])} over {show_duration(limit)}"
        for label, limit in _limits(question).items()
        if alone[label] > limit
    ]
    if not said:
        longest = max(atom.isl_tokens + atom.osl_tokens for atom in question.mix.atoms)
        held = f"a KV cache holds less than one request's {show_count(longest)} tokens"
        said = [f"no fleet large enough was found, or {held}"]
    layouts = {role: layout.parallelism.name for role, layout in nearest.layouts.items()}
    return Selection(
        layouts,
        dict.fromkeys(layouts, 0),
        0,
        False,
        f"no layout keeps the promise even for one request alone; nearest is {_name(nearest)}: "
        f"{', '.join(said)}. More replicas do not help: relax the promise, or take faster hardware or a "
        "smaller model",
    )


def _name(model: FleetModel) -> str:
    return " ".join(layout.key for layout in model.layouts.values())


def _alone(model: FleetModel) -> dict[str, float]:
    """Return the latencies of one request that meets an idle fleet, by the name of the limit."""
    step_s = model.curve.at(1.0)
    alone = model.classes[0]
    first_s = alone.work.alone_s + step_s
    whole_s = first_s + (alone.osl_tokens - 1.0).clip(min=0.0) * step_s
    return {"TTFT": float(first_s.max()), "ITL": step_s, "end-to-end": float(whole_s.max())}


def _limits(question: Question) -> dict[str, float]:
    stated = {"TTFT": question.ttft_s, "ITL": question.itl_s, "end-to-end": question.e2e_s}
    return {label: limit for label, limit in stated.items() if limit is not None}


def _excess(model: FleetModel, question: Question) -> float:
    """Return by what factor the worst latency of one request alone exceeds its limit."""
    alone = _alone(model)
    return max((alone[label] / limit for label, limit in _limits(question).items()), default=0.0)


def _contender(fleet: Fleet, lost_by: str) -> Contender:
    return Contender(
        fleet.name,
        dict(fleet.replicas),
        fleet.prediction.gpus,
        fleet.prediction.expected_attainment,
        _goodput(fleet),
        lost_by,
    )


def _goodput(fleet: Fleet) -> float:
    """Return the requests per second and GPU that keep the promise."""
    p = fleet.prediction
    return float(f"{p.rate_rps * p.expected_attainment / p.gpus:.6g}")


def _gpus(fleet: Fleet) -> str:
    by_hardware: dict[str, int] = {}
    for role, layout in fleet.pairing.items():
        by_hardware[layout.hardware] = (
            by_hardware.get(layout.hardware, 0) + fleet.replicas[role] * layout.gpus
        )
    if len(by_hardware) > 1:
        return " and ".join(f"{gpus} GPUs of {name}" for name, gpus in by_hardware.items())
    return f"{fleet.prediction.gpus} GPU{'s' if fleet.prediction.gpus > 1 else ''}"


def _money(fleet: Fleet, question: Question) -> str:
    return f" at {fleet.cost:.6g} an hour" if question.price_per_gpu_h else ""


def _purpose(question: Question) -> str:
    limits = [f"{label} {show_duration(limit)}" for label, limit in _limits(question).items()]
    lengths = f"{show_count(question.isl_tokens)}/{show_count(question.osl_tokens)} tokens"
    mixed = " on average" if len(question.mix.atoms) > 1 else ""
    head = f"for {show_count(question.rate_rps)} requests/s of {lengths}{mixed}"
    if not limits:
        return f"{head}, no latency promised"
    return f"{head} with {' and '.join(limits)} for {question.quantile * 100:.4g} % of them"


def _delivered(fleet: Fleet) -> str:
    p = fleet.prediction
    return (
        f"expected {share(p.expected_attainment)} kept, TTFT p99 {show_duration(p.ttft_s.p99)}, "
        f"ITL {show_duration(p.itl_s.mean)}, end-to-end p99 {show_duration(p.e2e_s.p99)}"
    )
