"""Say in the configuration what kinds of requests there are and what each was promised."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field, model_validator

from config.deferral import DeferralSettings
from config.perhardware import Money
from config.quantities import Count, Duration, Share, Whole
from config.section import Problems, Section, refuse
from models.policy import ClassMatch
from models.values import RequestClass, Slo

NAME = r"^[a-z]([a-z0-9]|-[a-z0-9])*-?$"
"""A DNS label without double hyphens: `SHOP_EU` in an environment variable can only mean `shop-eu`."""


def _name(text: str) -> str:
    if len(text) > 63 or not re.match(NAME, text) or text.endswith("-"):
        raise ValueError(
            "a name begins with a letter, holds lower-case letters, digits and single hyphens, "
            "and has at most 63 characters"
        )
    return text


def _label(text: str) -> str:
    if not re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", text):
        raise ValueError("is not a label's name: letters, digits, underscores, and no two of these in front")
    return text


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME, "maxLength": 63})]
LabelName = Annotated[str, AfterValidator(_label)]
Labels = Mapping[LabelName, str]


class SloSettings(Section):
    """What a request of the class was promised. Without any limit it is served at no particular speed."""

    ttft_s: Duration | None = Field(
        default=None,
        alias="ttft",
        description="Time to first token, a duration from the request's arrival; contains the queue. null: "
        "not promised.",
    )
    itl_s: Duration | None = Field(
        default=None,
        alias="itl",
        description="Inter-token latency, a duration: the mean gap between the output tokens of one request "
        "(its TPOT). null: not promised.",
    )
    e2e_s: Duration | None = Field(
        default=None,
        alias="e2e",
        description="End-to-end latency, a duration from arrival to the last token. null: not promised.",
    )
    quantile: Share = Field(
        default=Slo().quantile,
        gt=0,
        lt=1,
        description='Share of requests that meet every stated limit at a steady load, 0.99 or "99%". The '
        "default is what a p99 promise means.",
    )
    attainment: Share | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of this class's arrivals, over the forecast distribution, that must meet every "
        "stated limit. null: the deployment's `attainment`, or `quantile` where that is less.",
    )

    @model_validator(mode="after")
    def _promises_hold_together(self) -> "SloSettings":
        if self.ttft_s is not None and self.e2e_s is not None and self.e2e_s < self.ttft_s:
            refuse([(("e2e",), "end-to-end contains the time to first token, so it cannot be below `ttft`")])
        stated = [("quantile", self.quantile != Slo().quantile), ("attainment", self.attainment is not None)]
        key = next((key for key, changed in stated if changed), None)
        if self.to_policy().throughput_only and key is not None:
            refuse(
                [((key,), "promises nothing without a limit; state `ttft`, `itl` or `e2e`, or leave it out")]
            )
        return self

    def to_policy(self) -> Slo:
        """Return the promise that sizing works with."""
        return Slo(self.ttft_s, self.itl_s, self.e2e_s, self.quantile, self.attainment)


class TokenRange(Section):
    """A range of input lengths, both ends included."""

    min: Count | None = Field(
        default=None, ge=0, description='Fewest input tokens, a count such as "4k". null: no lower end.'
    )
    max: Count | None = Field(
        default=None, ge=1, description='Most input tokens, a count such as "4k". null: no upper end.'
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> "TokenRange":
        if self.min is None and self.max is None:
            refuse([((), "states neither `min` nor `max`; leave it out to match any length")])
        if self.min is not None and self.max is not None and self.max < self.min:
            refuse([(("max",), f"is below `min` ({self.min})")])
        return self


class MatchSettings(Section):
    """Which requests belong to the class."""

    input_tokens: TokenRange | None = Field(
        default=None,
        description="Lengths of the input that belong to the class; tells the classes of a recorded trace "
        "apart. The first class that admits a length takes it. null: the length does not tell.",
    )
    labels: Labels = Field(
        default_factory=dict,
        description="Prometheus labels, name to exact value, of the series that count this class. Empty: "
        "its series carry no label of their own.",
    )

    @model_validator(mode="after")
    def _asks_for_something(self) -> "MatchSettings":
        if self.input_tokens is None and not self.labels:
            refuse([((), "states nothing; leave `match` out for the class that takes all other requests")])
        return self


class ClassSettings(Section):
    """A kind of request with a promise of its own."""

    name: Name = Field(
        description="Name of the class, in reports, metrics and the `class` column of a trace."
    )
    slo: SloSettings = Field(
        default_factory=SloSettings,
        description="What was promised. Empty: nothing but to be served (throughput only), as night-time "
        "batches are.",
    )
    priority: Whole = Field(
        default=0,
        ge=-1_000_000,
        le=1_000_000,
        description="When GPUs lack, the class of the higher number keeps its promise first.",
    )
    miss_price: Money | None = Field(
        default=None,
        description="What a request that misses its promise costs, in the currency of `price`. As many are "
        "kept as are worth their GPUs; an `attainment` of the class is kept besides. null: the class aims at "
        "its attainment alone.",
    )
    deferrable: DeferralSettings | None = Field(
        default=None,
        description="Lets the requests of a class without a latency promise wait in a queue of yours: idle "
        "replicas serve them first, and replicas are added only where they would be late. The further "
        "`forecast.reach`, the more is left for troughs. null: they are served as they come.",
    )
    match: MatchSettings | None = Field(
        default=None,
        description="Which requests belong to the class. null: those that no other class takes; exactly one "
        "class of a deployment is such.",
    )

    @model_validator(mode="after")
    def _waits_only_where_nobody_does(self) -> "ClassSettings":
        if self.deferrable is not None and not self.slo.to_policy().throughput_only:
            refuse([(("deferrable",), "is for a class without a latency promise; leave out its `slo`")])
        return self

    def to_policy(self, timezone: str = "UTC") -> RequestClass:
        """Return the class as sizing knows it; times of the day are those of `timezone`."""
        deferral = None if self.deferrable is None else self.deferrable.to_policy(timezone)
        return RequestClass(self.name, self.slo.to_policy(), self.priority, self.miss_price, deferral)

    def to_match(self) -> ClassMatch:
        """Return the rule that tells which requests belong to the class."""
        if self.match is None:
            return ClassMatch(self.name)
        tokens = self.match.input_tokens
        return ClassMatch(
            self.name,
            min_input_tokens=None if tokens is None else tokens.min,
            max_input_tokens=None if tokens is None else tokens.max,
            labels=dict(self.match.labels),
        )


class HasName(Protocol):
    """Anything that goes by a name."""

    @property
    def name(self) -> str:
        """Return the name."""
        ...


def class_problems(classes: Sequence[ClassSettings]) -> Problems:
    """Return what is wrong between classes: a name twice, none or two for the rest, labels that overlap."""
    return [*names_twice(classes), *_not_one_for_the_rest(classes), *_overlapping_labels(classes)]


def names_twice(named: Sequence[HasName]) -> Problems:
    """Return a problem for each item that repeats an earlier item's name."""
    first: dict[str, int] = {}
    problems: Problems = []
    for i, each in enumerate(named):
        if each.name in first:
            problems.append(((i, "name"), f"is the name of item {first[each.name]} too"))
        first.setdefault(each.name, i)
    return problems


def _not_one_for_the_rest(classes: Sequence[ClassSettings]) -> Problems:
    rest = [i for i, each in enumerate(classes) if each.match is None]
    if not rest:
        sentence = "every class has a `match`, so a request could belong to none; leave it out of one class"
        return [((), sentence)]
    sentence = (
        f"has no `match`, and neither has classes[{rest[0]}]: only one class can take all other requests"
    )
    return [((i,), sentence) for i in rest[1:]]


def _overlapping_labels(classes: Sequence[ClassSettings]) -> Problems:
    labelled = [(i, each.match.labels) for i, each in enumerate(classes) if each.match and each.match.labels]
    sentence = (
        "a series can carry these and the labels of classes[{}], and would count twice; tell them apart"
    )
    return [
        ((i, "match", "labels"), sentence.format(j))
        for position, (i, labels) in enumerate(labelled)
        for j, others in labelled[:position]
        if all(others.get(key, value) == value for key, value in labels.items())
    ]
