"""Say in the configuration which pools of replicas there are, and within which bounds they may move."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from config.quantities import Count, Duration, at_most, write_duration
from config.section import Problems, Section, refuse
from config.targets import PoolTargetSettings
from models.policy import LONGEST_STARTUP_S, MOST_REPLICAS, PoolPolicy
from models.values import Parallelism, Role

_PRIOR = PoolPolicy()
_LAYOUT = re.compile(
    r"(?:TP(?P<tp>[1-9]\d{0,3})(?:-DP(?P<dp>[1-9]\d{0,3})-EP(?P<ep>[1-9]\d{0,3}))?"
    r"|TEP(?P<tep>[1-9]\d{0,3})|DEP(?P<dep>[1-9]\d{0,3}))(?:-PP(?P<pp>[1-9]\d{0,3}))?"
)


def parallelism(name: str) -> Parallelism:
    """Read a layout's short name, such as TP1, TEP4, DEP8 or TP2-DP4-EP8; raises ValueError otherwise."""
    match = _LAYOUT.fullmatch(name)
    if match is None:
        raise ValueError(
            "is not a layout; write for example TP1, TEP4 (experts over TP) or DEP8 (experts over DP)"
        )
    width = {key: int(value) for key, value in match.groupdict().items() if value}
    pp = width.get("pp", 1)
    if "tep" in width:
        return Parallelism(tp=width["tep"], ep=width["tep"], pp=pp)
    if "dep" in width:
        return Parallelism(dp=width["dep"], ep=width["dep"], pp=pp)
    return Parallelism(tp=width["tp"], dp=width.get("dp", 1), ep=width.get("ep", 1), pp=pp)


Layout = Annotated[
    str,
    AfterValidator(lambda name: parallelism(name).name),
    Field(json_schema_extra={"pattern": f"^({re.sub(r'[?]P<[a-z]+>', '', _LAYOUT.pattern)})$"}),
]


def _at_least_one(replicas: int) -> int:
    if replicas < 0:
        raise ValueError("a pool has at least 1 replica")
    if replicas == 0:
        raise ValueError(
            "a pool without a replica is refused: nothing would say when to start one again (an activation "
            "metric does not exist yet), and Dynamo drops a model with no worker; the least is 1"
        )
    return replicas


class PoolSettings(Section):
    """The replicas of one role."""

    layout: Layout | None = Field(
        default=None,
        description="Parallelism of a replica, as the profile names it: TP1, TEP4, DEP8. null: the one that "
        "the profile selected for the role.",
    )
    hardware: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        description="Hardware of the replicas, as the profile names it: H100, GB200. null: that which the "
        "profile has for the layout.",
    )
    alternatives: tuple[Layout, ...] | None = Field(
        default=None,
        max_length=32,
        description="Layouts that may be proposed in place of the one that runs. null: all that the profile "
        "holds for the role on the same hardware; an empty list: none.",
    )
    min_replicas: Annotated[Count, AfterValidator(_at_least_one)] = Field(
        default=_PRIOR.min_replicas,
        alias="min",
        le=MOST_REPLICAS,
        json_schema_extra={"minimum": 1},
        description="Fewest replicas. At least 1: there is no activation metric yet that could start a pool "
        "anew.",
    )
    max_replicas: Count | None = Field(
        default=None,
        alias="max",
        ge=1,
        le=MOST_REPLICAS,
        description="Most replicas. null: as many as the budget allows.",
    )
    startup_s: Annotated[Duration, at_most(LONGEST_STARTUP_S)] = Field(
        default=_PRIOR.startup_s,
        alias="startup",
        description="Time until nine of ten new replicas are ready, a duration; the prior until it was "
        "measured. How far ahead capacity is ordered follows from it.",
    )
    startup_p99_s: Annotated[Duration, at_most(LONGEST_STARTUP_S)] = Field(
        default=_PRIOR.startup_p99_s,
        alias="startup_p99",
        description="Time after which a replica that is still not ready counts as stuck, a duration.",
    )
    drain_s: Annotated[Duration, at_most(LONGEST_STARTUP_S)] = Field(
        default=_PRIOR.drain_s,
        alias="drain",
        description="Time that a replica needs to finish what it holds before its GPUs are free, a duration.",
    )
    target: PoolTargetSettings | None = Field(
        default=None,
        description="The object of the cluster whose replicas the pool is. null: the component of the pool's "
        "type in the deployment's `target.dynamo`.",
    )

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "PoolSettings":
        problems: Problems = []
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            problems.append((("max",), f"is below `min` ({self.min_replicas})"))
        if self.startup_p99_s < self.startup_s:
            most, usual = write_duration(self.startup_p99_s), write_duration(self.startup_s)
            problems.append((("startup_p99",), f"{most} is below `startup` ({usual}); state a longer one"))
        refuse(problems)
        return self

    def to_policy(self) -> PoolPolicy:
        """Return the bounds and priors that sizing and the guards work with."""
        return PoolPolicy(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            startup_s=self.startup_s,
            startup_p99_s=self.startup_p99_s,
            drain_s=self.drain_s,
        )


class PoolsSettings(Section):
    """One pool per role: prefill and decode apart, or one aggregated pool that does both."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["prefill", "decode"]}, {"required": ["aggregated"]}]}
    )

    prefill: PoolSettings | None = Field(default=None, description="The pool that reads prompts.")
    decode: PoolSettings | None = Field(default=None, description="The pool that produces output tokens.")
    aggregated: PoolSettings | None = Field(default=None, description="The pool whose replicas do both.")

    @model_validator(mode="after")
    def _is_a_fleet(self) -> "PoolsSettings":
        present = set(self.by_role())
        if present not in ({Role.PREFILL, Role.DECODE}, {Role.AGGREGATED}):
            refuse([((), "a fleet is either `prefill` and `decode`, or `aggregated` alone")])
        return self

    @model_serializer(mode="wrap")
    def _without_absent_roles(self, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {role: pool for role, pool in inner(self).items() if pool is not None}

    def by_role(self) -> dict[Role, PoolSettings]:
        """Return the pools that the fleet has."""
        pools = {Role.PREFILL: self.prefill, Role.DECODE: self.decode, Role.AGGREGATED: self.aggregated}
        return {role: pool for role, pool in pools.items() if pool is not None}

    def to_policy(self) -> Mapping[Role, PoolPolicy]:
        """Return each role's bounds."""
        return {role: pool.to_policy() for role, pool in self.by_role().items()}

    def layouts(self) -> dict[Role, str]:
        """Return the layouts that are stated; a role that is not here takes what its profile selected."""
        return {role: pool.layout for role, pool in self.by_role().items() if pool.layout is not None}

    def hardware(self) -> dict[Role, str]:
        """Return the hardware that is stated; a role that is not here has that of its layout."""
        return {role: pool.hardware for role, pool in self.by_role().items() if pool.hardware is not None}

    def targets(self) -> dict[Role, PoolTargetSettings | None]:
        """Return what each pool says of its object in the cluster."""
        return {role: pool.target for role, pool in self.by_role().items()}

    def alternatives(self) -> dict[Role, tuple[str, ...]]:
        """Return the layouts that may be proposed, of the roles that narrow them down."""
        return {r: pool.alternatives for r, pool in self.by_role().items() if pool.alternatives is not None}

    def least_gpus(self, hardware: str | None = None) -> int | None:
        """Return the GPUs of the smallest allowed fleet; `None` while a layout is left to the profile.

        With `hardware` only of the pools that say they run on it.
        """
        pools = [
            pool
            for pool in self.by_role().values()
            if hardware is None or (pool.hardware or "").casefold() == hardware.casefold()
        ]
        taken = [p.min_replicas * parallelism(p.layout).gpus for p in pools if p.layout is not None]
        return sum(taken) if len(taken) == len(pools) else None
