"""Name and label what a sweep makes in a cluster."""

import re

from models.errors import ConfigError
from profiler.measure.deployed.candidate import SWEEP

SHARD, PROGRESS, WRITER = "headgate.io/shard", "headgate.io/progress", "headgate.io/writer"
INPUTS, IDENTITY = "headgate.io/inputs", "headgate.io/identity"
NOTE = "headgate.io/note"
PAGE, RESULT, PROFILE = "headgate.io/page", "headgate.io/result", "headgate.io/profile"
INPUTS_KEY, RESULT_KEY = "inputs.json", "swept.json.gz"

# Room for role and layout behind it, and for the component that Dynamo's operator appends.
MOST_CHARACTERS = 30
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def sweep_name(given: str | None, model: str) -> str:
    """Return the sweep's name, made from the model's where none is given; raises ConfigError."""
    if given is None:
        slug = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
        return f"sweep-{slug}"[:MOST_CHARACTERS].rstrip("-")
    if not _NAME.fullmatch(given) or len(given) > MOST_CHARACTERS:
        raise ConfigError(
            f"--name {given!r}: a name is up to {MOST_CHARACTERS} lower-case letters, digits and dashes, "
            "and begins with a letter"
        )
    return given


def labels(sweep: str) -> dict[str, str]:
    """Return the labels of everything that a sweep makes."""
    return {
        "app.kubernetes.io/name": "headgate",
        "app.kubernetes.io/component": "sweep",
        "app.kubernetes.io/managed-by": "headgate-profiler",
        SWEEP: sweep,
    }


def page_name(sweep: str, shard: int, page: int) -> str:
    """Name one page of a shard's measurements."""
    return f"{sweep}-{shard}-page-{page}"


def result_name(sweep: str, shard: int) -> str:
    """Name where a shard leaves its fitted layouts."""
    return f"{sweep}-{shard}-result"


def profile_name(sweep: str) -> str:
    """Name where the artifact lands."""
    return f"{sweep}-profile"
