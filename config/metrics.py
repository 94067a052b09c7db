"""Read metric presets: which series of a serving stack say what, from our own or a user's file."""

import re
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from config.document import Document, Kind, read_file, read_text
from config.section import Section
from models.errors import ConfigError
from models.metric_names import MetricNames, Ratio

_PRESETS = resources.files("config") / "presets" / "metrics"
_SHAPE = "a metric preset is a mapping such as config/presets/metrics/dynamo.yaml"
_KIND = Kind("metric preset", _SHAPE, _SHAPE)
_FILE_ENDINGS = (".yaml", ".yml", ".json")


def _metric(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text):
        raise ValueError(f"{text!r} is not the name of a Prometheus metric")
    return text


def _base(text: str) -> str:
    for ending in ("_bucket", "_sum", "_count"):
        if text.endswith(ending):
            raise ValueError(f"names a histogram: write {text.removesuffix(ending)} without {ending}")
    return _metric(text)


def _label(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", text):
        raise ValueError(f"{text!r} is not the name of a label")
    return text


Metric = Annotated[str, AfterValidator(_metric)]
Histogram = Annotated[str, AfterValidator(_base)]
Label = Annotated[str, AfterValidator(_label)]


class RatioSettings(Section):
    """Two counters of which one's increase is divided by the other's."""

    part: Metric
    whole: Metric

    def to_policy(self) -> Ratio:
        """Return the pair."""
        return Ratio(self.part, self.whole)


class MetricSettings(Section):
    """The series of one serving stack; each list names alternatives, best first."""

    preset: str = Field(min_length=1, description="Name of the preset, in messages.")
    model_label: Label = Field(default="model", description="Label that tells served models apart.")
    target_labels: tuple[Label, ...] = Field(
        default=("job", "instance"),
        min_length=1,
        description="Labels that name a scraped process, on its series and on `up` alike.",
    )
    started: tuple[Metric, ...] = Field(description="Counters of requests that arrived.")
    completed: tuple[Metric, ...] = Field(default=(), description="Counters of requests that ended.")
    in_flight: tuple[Metric, ...] = Field(
        default=(), description="Gauges of requests inside, added up; they correct `completed`."
    )
    input_tokens: tuple[Histogram, ...] = Field(default=(), description="Histograms of prompt lengths.")
    output_tokens: tuple[Histogram, ...] = Field(default=(), description="Histograms of output lengths.")
    input_means: tuple[RatioSettings, ...] = Field(default=(), description="Mean prompt length otherwise.")
    output_means: tuple[RatioSettings, ...] = Field(default=(), description="Mean output length otherwise.")
    cached: tuple[RatioSettings, ...] = Field(
        default=(), description="Share of prompt tokens found in the prefix cache."
    )
    cached_ratios: tuple[Metric, ...] = Field(default=(), description="Gauges of the same share, 0 to 1.")
    ttft: tuple[Histogram, ...] = Field(default=(), description="Histograms of time to first token, seconds.")
    itl: tuple[Histogram, ...] = Field(default=(), description="Histograms of inter-token latency, seconds.")
    waiting: tuple[Metric, ...] = Field(
        default=(), description="Gauges of requests that wait for their first token."
    )

    def to_policy(self) -> MetricNames:
        """Return the names as a frozen value."""
        plain = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name not in ("input_means", "output_means", "cached")
        }
        return MetricNames(
            **plain,
            input_means=tuple(r.to_policy() for r in self.input_means),
            output_means=tuple(r.to_policy() for r in self.output_means),
            cached=tuple(r.to_policy() for r in self.cached),
        )


def presets() -> tuple[str, ...]:
    """Return the names of the presets that come with Headgate."""
    return tuple(sorted(entry.name[:-5] for entry in _PRESETS.iterdir() if entry.name.endswith(".yaml")))


def read_metrics(preset: str, base: Path = Path()) -> MetricNames:
    """Return the names of a preset, or of a file: a path relative to `base`, or what ends in .yaml.

    Raises ConfigError that names the nearest presets, or the file, the key and the nearest known key.
    """
    if "/" in preset or preset.endswith(_FILE_ENDINGS):
        path = base / preset
        return _names(read_file(path, _KIND), str(path))
    if preset not in presets():
        near = get_close_matches(preset, presets(), n=2, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(presets())}"
        raise ConfigError(
            f"prometheus.preset: there is no metric preset {preset!r}; {meant} "
            "(a file of your own is named by its path, such as ./metrics.yaml)"
        )
    text = (_PRESETS / f"{preset}.yaml").read_text(encoding="utf-8")
    return _names(read_text(text, f"preset {preset}"), f"preset {preset}")


def _names(document: Document, source: str) -> MetricNames:
    if document.faults:
        fault = document.faults[0]
        raise ConfigError(f"{source}:{fault.line}: {'.'.join(map(str, fault.path))} {fault.sentence}")
    try:
        settings = MetricSettings.model_validate(document.values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, document, source)) from None
    if not settings.started and not settings.completed:
        raise ConfigError(
            f"{source}: neither `started` nor `completed` names a counter of requests; demand needs one"
        )
    return settings.to_policy()


def _first_problem(error: ValidationError, document: Document, source: str) -> str:
    # A mistyped key also leaves its rightful one missing: name the key that was written.
    problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    path = tuple(problem["loc"])
    line = document.line(path)
    where = f"{source}:{line}" if line else source
    key = ".".join(map(str, path)) or "the file"
    if problem["type"] == "extra_forbidden":
        known = RatioSettings.model_fields if len(path) > 1 else MetricSettings.model_fields
        near = get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        meant = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
        return f"{where}: unknown key `{key}`; {meant}"
    if problem["type"] == "missing":
        return f"{where}: `{key}` is missing"
    return f"{where}: `{key}`: {problem['msg'].removeprefix('Value error, ')}"
