"""Write configuration files for tests: one valid text, and ways to change a line of it."""

from pathlib import Path

from config.loading import Loaded, load
from models.errors import ConfigError
from tests.components import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "config" / "examples").glob("*.yaml"))

VALID = """\
interval: 60s
prometheus:
  url: http://prometheus:9090
  headers: {X-Scope-OrgID: tenant-secret}
deployments:
  - name: shop
    model: gpt-oss-120b
    profile: profile.json
    budget: {gpus: 40}
    pools:
      prefill: {layout: TP1, min: 2, max: 36, startup: 120s}
      decode: {layout: TEP4, min: 1}
    classes:
      - name: pages
        slo: {ttft: 300ms, e2e: 500ms, quantile: 0.99}
        priority: 10
        match: {input_tokens: {min: 4k}}
      - name: email
    forecast: {reach: 30m}
    decide: {max_step_down: 1}
"""


def write(folder: Path, text: str = VALID, name: str = "headgate.yaml") -> Path:
    """Write a configuration file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    """Return the valid text with one passage changed; it must be there, once."""
    assert VALID.count(old) == 1, f"{old!r} is not once in the valid text"
    return VALID.replace(old, new)


def loaded(folder: Path, text: str = VALID) -> Loaded:
    """Load a text as a file, with an empty environment."""
    return load(write(folder, text), environ={})


def errors(folder: Path, text: str) -> list[str]:
    """Return what loading a text complains about, a line each, without the folder's name."""
    try:
        loaded(folder, text)
    except ConfigError as error:
        lines = str(error).replace(f"{folder}/", "").splitlines()
        return lines[1:] if len(lines) > 1 else lines
    raise AssertionError("the text was accepted")
