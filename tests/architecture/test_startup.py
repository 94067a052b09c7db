"""Hold the command lines to an instant answer: help loads no heavy library."""

import json
import subprocess
import sys
import tomllib

import pytest

from tests.components import REPOSITORY

HEAVY = (
    "aiconfigurator_core",
    "aiohttp",
    "altair",
    "apscheduler",
    "azure",
    "holidays",
    "kubernetes",
    "pandas",
    "prometheus_api_client",
    "prometheus_client",
    "prophet",
    "pyarrow",
    "requests",
    "scipy",
    "sklearn",
    "statsmodels",
    "vl_convert",
)

SCRIPTS: dict[str, str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]

ASK_FOR_HELP = """
import importlib, json, sys
module, function = sys.argv.pop(1).split(":")
sys.argv.append("--help")
try:
    getattr(importlib.import_module(module), function)()
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_help_loads_no_heavy_library(script: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, SCRIPTS[script]],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "Usage:" in ran.stdout
    loaded = set(json.loads(ran.stderr.splitlines()[-1]))
    assert sorted(loaded.intersection(HEAVY)) == []
