"""Choose the layouts that keep a promise with the fewest GPUs, and say who lost and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.artifact import LayoutProfile, Question, Selection
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, describe
from models.hardware import Hardware
from models.mix import RequestMix
from models.plan.search import FleetSearch
from models.topology import Topology
from models.units import show_count, show_duration
from models.values import RequestClass, Role, Router, Slo

Pairing = Mapping[Role, LayoutProfile]
Progress = Callable[[int, int, str], None]

# The search looks 16 replicas beyond its start; so often it starts again from where it ended.
_WIDENINGS = 8


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hold the smallest fleet of one pairing that keeps the promise, and what it is expected to deliver."""

    pairing: Pairing
    replicas: Mapping[Role, int]
    prediction: Prediction

    @property
    def name(self) -> str:
        """The pairing's name, such as `prefill=TP1 decode=TEP4`."""
        return name_of(self.pairing)

    @property
    def counted(self) -> str:
        """Replicas with their layout, such as `3 x TP1 prefill and 2 x TEP4 decode`."""
        return " and ".join(
            f"{self.replicas[role]} x {layout.parallelism.name} {role}"
            for role, layout in self.pairing.items()
        )

    def rank(self) -> tuple[float, float, int, str]:
        """Order fleets: fewest GPUs, then attainment to 0.1 %, then the finer steps, then the name."""
        widest = max(layout.gpus for layout in self.pairing.values())
        return self.prediction.gpus, -round(self.prediction.expected_attainment, 3), widest, self.name


def select(
    layouts: Sequence[LayoutProfile],
    question: Question,
    hardware: Hardware,
    progress: Progress | None = None,
) -> Selection:
    """Choose a layout per role for the question; an answer that fails says so in `feasible` and `why`."""
    options = pairings(layouts)
    if not options:
        return Selection({}, {}, 0, False, "no layout of the model fits this hardware in any role")
    load = ClassLoad.steady(promise(question), question.rate_rps, mix(question))
    searches, short = _able(options, load, question)
    if not searches:
        return _impossible(short, question)
    apart = [s for s in searches if Role.AGGREGATED not in s[1].model.layouts]
    together = [s for s in searches if Role.AGGREGATED in s[1].model.layouts]
    fleets = sorted(_fleets(apart, progress) + _fleets(together, progress), key=Fleet.rank)
    if not fleets:
        return _impossible([search for _, search in searches], question)
    fitting = [fleet for fleet in fleets if _why_unplaced(fleet, question, hardware) is None]
    best = (fitting or fleets)[0]
    runner_up = next((fleet for fleet in fitting if fleet is not best), None)
    needs = f"{best.counted}: {_gpus(best)} {_purpose(question)}"
    other = next((f for f in fitting or fleets if set(f.pairing) != set(best.pairing)), None)
    if not fitting:
        short_of = _why_unplaced(best, question, hardware)
        return _answer(best, False, f"{needs}, but {short_of}", runner_up, other)
    return _answer(best, True, f"{needs}, {_delivered(best)}", runner_up, other)


def pairings(layouts: Sequence[LayoutProfile]) -> list[Pairing]:
    """Return every prefill layout with every decode layout, and every aggregated layout alone."""
    by_role = {role: [layout for layout in layouts if layout.role is role] for role in Role}
    apart: list[Pairing] = [
        {Role.PREFILL: prefill, Role.DECODE: decode}
        for prefill in by_role[Role.PREFILL]
        for decode in by_role[Role.DECODE]
    ]
    return [*apart, *({Role.AGGREGATED: layout} for layout in by_role[Role.AGGREGATED])]


def name_of(pairing: Pairing) -> str:
    """Name a pairing, such as `prefill=TP1 decode=TEP4`."""
    return " ".join(layout.key for layout in pairing.values())


def promise(question: Question) -> RequestClass:
    """Return the question's promise as a request class."""
    slo = Slo(question.ttft_s, question.itl_s, question.e2e_s, question.quantile)
    return RequestClass("requests", slo)


def mix(question: Question) -> RequestMix:
    """Return the question's requests: all alike."""
    return RequestMix.constant(question.isl_tokens, question.osl_tokens)


def _able(
    options: Sequence[Pairing], load: ClassLoad, question: Question
) -> tuple[list[tuple[float, FleetSearch]], list[FleetSearch]]:
    """Split pairings by whether one request alone keeps the promise; the able ones with a bound on GPUs.

    The bound is what each role would take if it never idled: no fleet of the pairing is smaller.
    """
    able, short = [], []
    targets = {load.request_class.name: question.quantile}
    for pairing in options:
        model = FleetModel(pairing, [[load]], Router.LOAD)
        search = FleetSearch(model, np.ones(1), targets)
        if search.by_layout or not _holds_one(pairing, question):
            short.append(search)
        else:
            bound = sum(max(model.offered(role), 1.0) * layout.gpus for role, layout in pairing.items())
            able.append((bound, search))
    return sorted(able, key=lambda pair: (pair[0], name_of(pair[1].model.layouts))), short


def _holds_one(pairing: Pairing, question: Question) -> bool:
    """Whether the KV cache of each replica holds one whole request."""
    tokens = question.isl_tokens + question.osl_tokens
    return all(tokens + x.kv_fixed_tokens <= x.kv_capacity_tokens for x in pairing.values())


def _fleets(searches: Sequence[tuple[float, FleetSearch]], progress: Progress | None) -> list[Fleet]:
    """Return the smallest fleet per pairing, best first; pairings that cannot be second-best are skipped."""
    found: list[Fleet] = []
    for done, (bound, search) in enumerate(searches):
        if progress:
            progress(done, len(searches), "selecting")
        ranked = sorted(fleet.prediction.gpus for fleet in found)
        if len(ranked) >= 2 and bound > ranked[1]:
            break
        counts = _counts(search)
        if counts is not None:
            found.append(Fleet(search.model.layouts, counts, describe(search.model, counts)))
    if progress:
        progress(len(searches), len(searches), "selecting")
    return sorted(found, key=Fleet.rank)


def _counts(search: FleetSearch) -> Mapping[Role, int] | None:
    """Return the fewest replicas that keep the promise; None when widening the search finds none either."""
    counts: Mapping[Role, int] = {role: search.alone(role) for role in search.roles}
    for _ in range(_WIDENINGS):
        counts = search.cheapest(counts)
        if search.reaches(counts):
            return counts
    return None


def _why_unplaced(fleet: Fleet, question: Question, hardware: Hardware) -> str | None:
    """Return why a fleet does not fit the budget's GPUs, laid out as nodes and NVLink domains."""
    if question.budget_gpus is None:
        return None
    if fleet.prediction.gpus > question.budget_gpus:
        return f"the budget is {question.budget_gpus}"
    counts: dict[int, int] = {}
    for role, layout in fleet.pairing.items():
        counts[layout.gpus] = counts.get(layout.gpus, 0) + fleet.replicas[role]
    topology = Topology.of(hardware, question.budget_gpus)
    return topology.why_not(counts, one_clique=topology.cliques == 1)


def _impossible(short: Sequence[FleetSearch], question: Question) -> Selection:
    """Say that no layout can keep the promise, with the figures of the nearest."""
    nearest = min(short, key=lambda search: (_excess(search.model, question), name_of(search.model.layouts)))
    alone = _alone(nearest.model)
    said = [
        f"{label} {show_duration(alone[label])} over {show_duration(limit)}"
        for label, limit in _limits(question).items()
        if alone[label] > limit
    ]
    if not said:
        tokens = show_count(question.isl_tokens + question.osl_tokens)
        said = [
            f"no fleet large enough was found, or a KV cache holds less than one request's {tokens} tokens"
        ]
    layouts = {role: layout.parallelism.name for role, layout in nearest.model.layouts.items()}
    return Selection(
        layouts,
        dict.fromkeys(layouts, 0),
        0,
        False,
        f"no layout keeps the promise even for one request alone; nearest is "
        f"{name_of(nearest.model.layouts)}: {', '.join(said)}. More replicas do not help: "
        "relax the promise, or take faster hardware or a smaller model",
    )


def _alone(model: FleetModel) -> dict[str, float]:
    """Return the latencies of one request that meets an idle fleet, by the name of the limit."""
    step_s = model.curve.at(1.0)
    ttft_s = float(model.classes[0].alone_s.max()) + step_s
    osl = float(model.osl_tokens[0])
    return {"TTFT": ttft_s, "ITL": step_s, "end-to-end": ttft_s + max(osl - 1.0, 0.0) * step_s}


def _limits(question: Question) -> dict[str, float]:
    stated = {"TTFT": question.ttft_s, "ITL": question.itl_s, "end-to-end": question.e2e_s}
    return {label: limit for label, limit in stated.items() if limit is not None}


def _excess(model: FleetModel, question: Question) -> float:
    """Return by what factor the worst latency of one request alone exceeds its limit."""
    alone = _alone(model)
    return max((alone[label] / limit for label, limit in _limits(question).items()), default=0.0)


def _answer(best: Fleet, feasible: bool, why: str, runner_up: Fleet | None, other: Fleet | None) -> Selection:
    return Selection(
        layouts={role: layout.parallelism.name for role, layout in best.pairing.items()},
        replicas=dict(best.replicas),
        gpus=best.prediction.gpus,
        feasible=feasible,
        why=why,
        runner_up=runner_up.name if runner_up else "",
        runner_up_lost=_lost(runner_up, best) if runner_up else "",
        alternatives={role: layout.parallelism.name for role, layout in other.pairing.items()}
        if other
        else {},
    )


def _lost(fleet: Fleet, best: Fleet) -> str:
    """Say why a fleet lost against the best, by the first figure that tells them apart."""
    more = fleet.prediction.gpus - best.prediction.gpus
    if more > 0:
        return f"{fleet.counted} takes {_gpus(fleet)}, {more} more"
    mine, theirs = fleet.prediction.expected_attainment, best.prediction.expected_attainment
    if round(mine, 3) < round(theirs, 3):
        return f"the same {_gpus(fleet)} keep {mine:.2%} of promises against {theirs:.2%}"
    wide = max(layout.gpus for layout in fleet.pairing.values())
    narrow = max(layout.gpus for layout in best.pairing.values())
    if wide > narrow:
        return f"the same {_gpus(fleet)}, in steps of {wide} instead of {narrow} when it scales"
    return f"the same {_gpus(fleet)} and promises kept: equal, decided by name"


def _gpus(fleet: Fleet) -> str:
    return f"{fleet.prediction.gpus} GPU{'s' if fleet.prediction.gpus > 1 else ''}"


def _purpose(question: Question) -> str:
    limits = [f"{label} {show_duration(limit)}" for label, limit in _limits(question).items()]
    lengths = f"{show_count(question.isl_tokens)}/{show_count(question.osl_tokens)} tokens"
    head = f"for {show_count(question.rate_rps)} requests/s of {lengths}"
    if not limits:
        return f"{head}, no latency promised"
    return f"{head} with {' and '.join(limits)} for {question.quantile * 100:.4g} % of them"


def _delivered(fleet: Fleet) -> str:
    p = fleet.prediction
    return (
        f"expected {p.expected_attainment:.2%} kept, TTFT p99 {show_duration(p.ttft_s.p99)}, "
        f"ITL {show_duration(p.itl_s.mean)}, end-to-end p99 {show_duration(p.e2e_s.p99)}"
    )
