"""Answer the sweep from a live endpoint: the endpoint backend."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from models.artifact import EngineLimits, Phase
from models.errors import MeasureError
from models.values import Parallelism, Role
from profiler.measure.backend import Backend, Measurement, Refusal, Replica, SweepPoint
from profiler.measure.endpoint.client import Client
from profiler.measure.endpoint.decode import LONGEST_WINDOW, measure_decode
from profiler.measure.endpoint.dialect import Dialect, learn
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.policy import EndpointPolicy, Stated
from profiler.measure.endpoint.prefill import measure_prefill
from profiler.measure.endpoint.probe import Overhead, probe
from profiler.measure.endpoint.published import published
from profiler.measure.endpoint.session import Session

if TYPE_CHECKING:
    from numpy.random import Generator

T = TypeVar("T")

# So many points in a row that fail in a suspect way are the endpoint's failure.
MOST_SUSPECT_POINTS = 3


class Endpoint:
    """Measure the layouts that an OpenAI-compatible endpoint runs.

    Between points nothing is open: each opens its own connections, and closes them whatever happens.
    """

    name = "endpoint"
    computed = False

    def __init__(self, policy: EndpointPolicy, prior: Backend, seed: int | None = None) -> None:
        """Connect lazily.

        `prior` computes the same cards: it foretells costs and fills in what is not published. `seed` makes
        prompts repeatable, which a prefix cache that outlives the process would notice.
        """
        self._policy = policy
        self._prior = prior
        self._seed = seed
        self._rng: Generator | None = None
        self._dialect: Dialect | None = None
        self._overhead: Overhead | None = None
        self._published: dict[Role, Stated] = {}
        self._suspect_points = 0

    @property
    def identity(self) -> str:
        """The endpoint, the model there and what runs behind it."""
        policy = self._policy
        layouts = ",".join(
            f"{role}={layout}x{policy.copies(role)}" for role, layout in sorted(policy.deployed.items())
        )
        return f"{policy.base} {policy.served_model or policy.model} {layouts}"

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return limits, memory and fixed costs of a layout, asking the endpoint the first time.

        Raises MeasureError when the endpoint cannot be measured at all.
        """
        policy = self._policy
        if policy.deployed.get(role) != parallelism:
            runs = ", ".join(f"{r}={layout}" for r, layout in policy.deployed.items())
            return Refusal(f"not deployed at {policy.base}, which runs {runs}")
        try:
            dialect, overhead = self._run(self._acquaint)
        except AnswerError as error:
            raise MeasureError(f"{policy.base} did not answer single short prompts: {error.reason}") from None
        return self._replica(role, parallelism, dialect, overhead)

    def cost_s(self, point: SweepPoint) -> float:
        """Return the seconds that rounds of this point take by the prior, the warm-up included."""
        rounds = 1 + self._policy.min_repeats
        if point.phase is Phase.PREFILL:
            request_s = self._overhead.seconds if self._overhead else 0.0
            return rounds * (self._foretold_s(point) + request_s)
        reading = self._foretold_s(self._reading(point))
        return 2 * (reading + (LONGEST_WINDOW + self._stagger(point)) * self._foretold_s(point))

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        """Return the time of one point; raises MeasureError when the endpoint is gone or keeps failing."""
        try:
            measured = self._run(lambda session: self._measure(session, point))
        except AnswerError as error:
            return self._refusal(point, error)
        self._suspect_points = 0
        return measured

    def release(self, role: Role, parallelism: Parallelism) -> None:
        """Do nothing: the endpoint is not ours, and no connection is held between points."""

    def _refusal(self, point: SweepPoint, error: AnswerError) -> Refusal:
        if not error.suspect:
            return Refusal(error.reason)
        self._suspect_points += 1
        if self._suspect_points >= MOST_SUSPECT_POINTS:
            raise MeasureError(
                f"{self._policy.base} failed {self._suspect_points} points in a row, the last ({point.phase} "
                f"of {point.batch:.0f} x {point.tokens:.0f} tokens) with: {error.reason}; look at the "
                "endpoint's log, then run the same command again: measured points are kept"
            )
        return Refusal(error.reason)

    async def _measure(self, session: Session, point: SweepPoint) -> Measurement:
        _, overhead = await self._acquaint(session)
        session = replace(session, believes_cached=overhead.believes_cached)
        try:
            if point.phase is Phase.PREFILL:
                return await measure_prefill(session, point, overhead)
            return await measure_decode(session, point, self._stagger(point))
        except AnswerError as error:
            if error.suspect and not await _answers(session):
                raise MeasureError(
                    f"{self._policy.base} answers short prompts no more: {error.reason}; look at its log, "
                    "then run the same command again: measured points are kept"
                ) from None
            raise

    async def _acquaint(self, session: Session) -> tuple[Dialect, Overhead]:
        """Probe the endpoint once, and ask what it publishes."""
        if self._overhead is None:
            self._overhead = await probe(session)
            for role, layout in self._policy.deployed.items():
                found = await published(session.client, self._policy, session.dialect.model, layout.dp)
                self._published[role] = found
        return session.dialect, self._overhead

    def _run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run one piece of work in an event loop of its own; an interrupt closes its streams."""

        async def connected() -> T:
            policy = self._policy
            if self._rng is None:
                from numpy.random import default_rng

                self._rng = default_rng(self._seed)
            async with Client(
                policy.base, policy.headers, policy.api_key, policy.ca_file, policy.silence_s
            ) as client:
                if self._dialect is None:
                    self._dialect = await learn(client, policy, self._rng)
                return await work(Session(client, self._dialect, policy, self._rng))

        return asyncio.run(connected())

    def _replica(
        self, role: Role, parallelism: Parallelism, dialect: Dialect, overhead: Overhead
    ) -> Replica | Refusal:
        policy = self._policy
        prior = self._prior.describe(role, parallelism)
        computed = Stated()
        if isinstance(prior, Replica):
            limits = prior.limits
            computed = Stated(limits.max_num_seqs, limits.max_num_batched_tokens, prior.kv_capacity_tokens)
        known = policy.stated.filled(self._published.get(role, Stated()))
        filled = known.filled(computed)
        if (
            filled.max_num_seqs is None
            or filled.max_num_batched_tokens is None
            or filled.kv_capacity_tokens is None
        ):
            reason = prior.reason if isinstance(prior, Refusal) else "nothing is known"
            return Refusal(
                f"{policy.base} does not publish its limits and the {self._prior.name} backend has none "
                f"({reason}); state --max-num-seqs, --max-num-batched-tokens and --kv-capacity"
            )
        return Replica(
            limits=EngineLimits(filled.max_num_seqs, filled.max_num_batched_tokens),
            kv_capacity_tokens=filled.kv_capacity_tokens,
            kv_fixed_tokens=prior.kv_fixed_tokens if isinstance(prior, Replica) else 0.0,
            overhead_s=0.0 if role is Role.DECODE else overhead.beside_a_step_s,
            handover_s_per_token=overhead.handover_s_per_token if role is Role.PREFILL else 0.0,
            kv_bytes_per_token=prior.kv_bytes_per_token if isinstance(prior, Replica) else 0.0,
            provenance=self._provenance(role, dialect, known),
        )

    def _provenance(self, role: Role, dialect: Dialect, known: Stated) -> str:
        policy, prior = self._policy, self._prior.name
        stated, found = policy.stated, self._published.get(role, Stated())
        sources = {
            name: "stated" if getattr(stated, key) else "published" if getattr(found, key) else f"by {prior}"
            for name, key in (
                ("KV capacity", "kv_capacity_tokens"),
                ("max_num_seqs", "max_num_seqs"),
                ("max_num_batched_tokens", "max_num_batched_tokens"),
            )
        }
        copies = policy.copies(role)
        shared = f", spread over {copies} replicas by its router" if copies > 1 else ""
        limits = ", ".join(f"{name} {source}" for name, source in sources.items())
        return f"measured at {policy.base} ({dialect.model}){shared}; {dialect}; {limits}"

    def _stagger(self, point: SweepPoint) -> float:
        """Foretell how many tokens the first sequence writes while the prompts of the others are read.

        A replica that does both writes one in each iteration that reads prompts; with prefill apart decoding
        goes on at its own pace.
        """
        reading = self._reading(point)
        if not self._policy.disaggregated:
            prior = self._prior.describe(point.role, point.parallelism)
            chunk = prior.limits.max_num_batched_tokens if isinstance(prior, Replica) else reading.tokens
            return reading.batch * reading.tokens / chunk
        return self._foretold_s(reading) / max(self._foretold_s(point), 1e-6)

    def _reading(self, point: SweepPoint) -> SweepPoint:
        """Return the prefill point that precedes a decode point."""
        role = Role.AGGREGATED if not self._policy.disaggregated else Role.PREFILL
        layout = self._policy.deployed.get(role, point.parallelism)
        return SweepPoint(role, layout, Phase.PREFILL, point.tokens, point.batch)

    def _foretold_s(self, point: SweepPoint) -> float:
        foretold = self._prior.measure(point)
        return foretold.seconds if isinstance(foretold, Measurement) else 0.0


async def _answers(session: Session) -> bool:
    """Whether the endpoint still answers a short prompt: then it was the point that it failed at."""
    try:
        await session.burst(1, session.templated(), 1)
    except AnswerError:
        return False
    return True
