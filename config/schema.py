"""Define the configuration file: one fleet of settings, a deployment at a time."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from config.classes import ClassSettings, Name, class_problems, names_twice
from config.engines import EngineSettings
from config.money import PriceSettings, ReshapeSettings
from config.nodes import NodesSettings, nodes_problems
from config.perhardware import GpuBudget
from config.pools import PoolsSettings
from config.quantities import Duration, Place, Share, at_most, write_duration
from config.readiness import ReadinessSettings
from config.section import Problems, Section, refuse
from config.sharing import GpuPoolSettings, ShareSettings, sharing_problems
from config.sources import JournalSettings, PrometheusSettings
from config.stages import DecideSettings, ForecastSettings
from config.surfaces import SurfaceSettings
from config.targets import TargetSettings, pool_targets, taken_twice, target_problems
from models.policy import LONGEST_WINDOW_S, ClassMatch, Mode, PlanPolicy, TickPolicy
from models.target import PoolTarget
from models.values import Role, Router

_PLAN = PlanPolicy(classes=(), pools={})


def _tickable(seconds: float) -> float:
    if not 1 <= seconds <= 3600:
        raise ValueError("an interval is between 1s and 1h")
    return seconds


class BudgetSettings(Section):
    """What the fleet may take."""

    gpus: GpuBudget | None = Field(
        default=None,
        description="Most GPUs that all pools of the deployment take together, replicas that start or drain "
        "included; or so many per kind of hardware, as the profile names it: {H100: 32, GB200: 36}. null: no "
        "bound but the pools' own.",
    )

    def total_gpus(self) -> int | None:
        """Return the bound on all pools together, whatever their hardware."""
        return self.gpus if isinstance(self.gpus, int) else None


class DeploymentSettings(Section):
    """One served model with its pools, classes and promises."""

    name: Name = Field(description="Name of the deployment, in reports, metrics and environment variables.")
    model: str = Field(
        min_length=1,
        description="Model that is served, as the profile and the metrics name it, such as gpt-oss-120b.",
    )
    mode: Mode = Field(
        default=Mode.OBSERVE,
        description="What may be done with a decision: observe writes it down, recommend publishes it, act "
        "applies it. The default does nothing to the fleet.",
    )
    profile: Place | None = Field(
        default=None,
        description="Profile artifact of the model, relative to this file. null: the command line names it.",
    )
    budget: BudgetSettings = Field(default_factory=BudgetSettings, description="What the fleet may take.")
    share: ShareSettings | None = Field(
        default=None,
        description="The pool of GPUs that the deployment shares with others, and what it was promised of "
        "it. A budget of its own holds besides. null: it shares with nobody.",
    )
    router: Router = Field(
        default=_PLAN.router,
        description="How requests are spread over the replicas of a pool: load, round-robin or random. It "
        "decides how much load is safe; the default is what an inference gateway does.",
    )
    attainment: Share = Field(
        default=_PLAN.attainment,
        gt=0,
        lt=1,
        description="Share of expected arrivals that must meet their promise, over the forecast "
        "distribution, unless a class states its own. Nearer to 1 costs more GPUs.",
    )
    attainment_window_s: Annotated[Duration, at_most(LONGEST_WINDOW_S)] = Field(
        default=86_400.0,
        alias="attainment_window",
        description="Time over which the promise must hold, a duration. Replicas come whole: what most hours "
        "keep beyond the promise is spent where demand is only just too high for one fewer. 0s: the promise "
        "must hold at every moment.",
    )
    observation_lag_s: Duration = Field(
        default=_PLAN.observation_lag_s,
        alias="observation_lag",
        description="How old the newest demand is when it is read, a duration: about one scrape interval.",
    )
    backlog_recover_s: Duration = Field(
        default=_PLAN.backlog_recover_s,
        alias="backlog_recover",
        description="Time in which a queue must be gone once capacity for it is there, a duration.",
    )
    surface_correction: SurfaceSettings | None = Field(
        default=None,
        description="How far observed latencies may correct the profile's surfaces. null: they are believed; "
        "{} corrects them within the usual bounds.",
    )
    burstiness_limit: float = Field(
        default=_PLAN.burstiness_limit,
        ge=1.0,
        le=100.0,
        description="How bursty arrivals are is measured, as Ca^2: 1 for independent users, more where they "
        "come in batches, or where rates waver within the minute. It counts up to this; the default takes "
        "arrivals for independent.",
    )
    target: TargetSettings | None = Field(
        default=None,
        description="Where the replicas live in a cluster: the namespace, and a DynamoGraphDeployment if one "
        "holds them. null: each pool names its object, or none is named and pools are stated by "
        "--cluster-state.",
    )
    pools: PoolsSettings = Field(description="Pools of replicas: prefill and decode, or aggregated.")
    classes: tuple[ClassSettings, ...] = Field(
        default=(ClassSettings(name="default"),),
        min_length=1,
        max_length=100,
        description="Kinds of requests and what each was promised. Default: one class, throughput only.",
    )
    price: PriceSettings | None = Field(
        default=None,
        description="What GPUs cost. null: they are counted, not paid.",
    )
    reshape: ReshapeSettings = Field(
        default_factory=ReshapeSettings, description="When another layout is proposed for a role."
    )
    nodes: NodesSettings | None = Field(
        default=None,
        description="How nodes are had ahead of need. null: they follow pods that wait for one.",
    )
    engine: EngineSettings = Field(
        default_factory=EngineSettings,
        description="What the engines do that the profile does not show: speculation, pre-emption, memory "
        "behind the KV cache, prefix caches.",
    )
    forecast: ForecastSettings = Field(
        default_factory=ForecastSettings, description="How demand is forecast."
    )
    decide: DecideSettings = Field(
        default_factory=DecideSettings, description="On what evidence, and how fast, counts may change."
    )
    readiness: ReadinessSettings = Field(
        default_factory=ReadinessSettings,
        description="What the track record must show before the deployment is called ready to act.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "DeploymentSettings":
        problems: Problems = [
            (("classes", *where), sentence) for where, sentence in class_problems(self.classes)
        ]
        problems += self._budget_problems()
        problems += target_problems(self.target, self.pools.targets())
        if self.price is None:
            problems += [
                (
                    ("classes", i, "miss_price"),
                    "has no price of GPUs beside it; state `price.gpu_h` too",
                )
                for i, each in enumerate(self.classes)
                if each.miss_price is not None
            ]
        if self.decide.max_demand_age_s <= self.observation_lag_s:
            lag = write_duration(self.observation_lag_s)
            problems.append(
                (("decide", "max_demand_age"), f"is within `observation_lag` ({lag}): all would be stale")
            )
        refuse(problems)
        return self

    @property
    def own_gpus(self) -> int | None:
        """Return the bound on its GPUs that is its own, whatever it shares."""
        return self.budget.total_gpus()

    @property
    def least_gpus(self) -> int | None:
        """Return the GPUs of its smallest fleet; `None` while a layout is left to the profile."""
        return self.pools.least_gpus()

    def _budget_problems(self) -> Problems:
        """Return where a budget is below what the pools' floors take."""
        gpus = self.budget.gpus
        stated = {None: gpus} if isinstance(gpus, int) else dict((gpus or {}).items())
        problems: Problems = []
        if self.share is not None and self.budget.total_gpus() is None and gpus is not None:
            sentence = "is a bound per hardware, and a shared pool holds one kind of GPUs; state one number"
            problems.append((("budget", "gpus"), sentence))
        for hardware, most in stated.items():
            least = self.pools.least_gpus(hardware)
            if least is not None and least > most:
                key = ("budget", "gpus") if hardware is None else ("budget", "gpus", hardware)
                problems.append((key, f"is below the {least} GPUs that the pools' `min` take"))
        return problems

    def to_plan_policy(self, interval_s: float) -> PlanPolicy:
        """Return what fleet is allowed and what it must attain, with one tick every `interval_s`."""
        return PlanPolicy(
            classes=tuple(each.to_policy(self.forecast.timezone) for each in self.classes),
            pools=self.pools.to_policy(),
            budget_gpus=self.budget.total_gpus(),
            attainment=self.attainment,
            attainment_window_s=self.attainment_window_s,
            router=self.router,
            interval_s=interval_s,
            observation_lag_s=self.observation_lag_s,
            backlog_recover_s=self.backlog_recover_s,
            reactive=self.decide.reactive,
            burstiness_limit=self.burstiness_limit,
            surface=None if self.surface_correction is None else self.surface_correction.to_policy(),
            currency="" if self.price is None else self.price.currency,
            reshape=self.reshape.to_policy(),
        )

    def to_tick_policy(self, interval_s: float, config_digest: str = "") -> TickPolicy:
        """Return all that one tick of this deployment needs to know."""
        plan = self.to_plan_policy(interval_s)
        return TickPolicy(
            deployment=self.name,
            forecast=self.forecast.to_policy(self.least_reach_s(interval_s)),
            plan=plan,
            decide=self.decide.to_policy(self.forecast.timezone),
            config_digest=config_digest,
            nodes=None if self.nodes is None else self.nodes.to_policy(),
        )

    def least_reach_s(self, interval_s: float) -> float:
        """Return how far forecasts must reach: as pools start and drain, nodes made first where they are."""
        plan = self.to_plan_policy(interval_s)
        if self.nodes is None:
            return plan.least_reach_s()
        return max(plan.with_nodes_first(self.nodes.lead_s).least_reach_s(), self.nodes.hold_s)

    def matches(self) -> tuple[ClassMatch, ...]:
        """Return, in the order of the file, which requests belong to each class."""
        return tuple(each.to_match() for each in self.classes)

    def targets(self) -> dict[Role, PoolTarget]:
        """Return whose replicas each pool is in a cluster; empty where the file does not say."""
        return pool_targets(self.target, self.pools.targets())

    def layouts(self) -> dict[Role, str]:
        """Return the layouts that are stated; a role that is not here takes what its profile selected."""
        return self.pools.layouts()


class Settings(Section):
    """The configuration of Headgate."""

    interval_s: Annotated[Duration, AfterValidator(_tickable)] = Field(
        default=_PLAN.interval_s,
        alias="interval",
        description="Time between two ticks, a duration from 1s to 1h. The default is the grid of the "
        "forecast: more often sees nothing new, less often orders capacity later.",
    )
    prometheus: PrometheusSettings | None = Field(
        default=None,
        description="The Prometheus API that demand is read from. null: none; enough for a replay.",
    )
    journal: JournalSettings = Field(
        default={},
        validate_default=True,  # so that its folder, too, starts at the file
        description="Where the records of all ticks are kept.",
    )
    gpu_pools: tuple[GpuPoolSettings, ...] = Field(
        default=(),
        max_length=100,
        description="Pools of GPUs that several deployments share, each by its `share`. Empty: none.",
    )
    deployments: tuple[DeploymentSettings, ...] = Field(
        min_length=1, max_length=1000, description="The served models that Headgate looks after."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "Settings":
        problems: Problems = [
            (("deployments", *where), sentence) for where, sentence in names_twice(self.deployments)
        ]
        problems += [(("gpu_pools", *where), sentence) for where, sentence in names_twice(self.gpu_pools)]
        problems += sharing_problems(self.gpu_pools, self.deployments)
        problems += [(("deployments", *where), sentence) for where, sentence in taken_twice(self.deployments)]
        problems += [
            (("deployments", *where), sentence) for where, sentence in nodes_problems(self.deployments)
        ]
        for i, each in enumerate(self.deployments):
            needed_s = each.least_reach_s(self.interval_s)
            if each.forecast.reach_s is not None and each.forecast.reach_s < needed_s:
                sentence = (
                    f"does not span what the pools' start-up and drain need ({write_duration(needed_s)})"
                )
                problems.append((("deployments", i, "forecast", "reach"), sentence))
        refuse(problems)
        return self
