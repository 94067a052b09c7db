"""Give every test the same ground: no settings from the developer's shell, examples that repeat."""

import os

import pytest
from hypothesis import settings

# The same examples in every run, so that a red test is the change's doing; no deadline, since a busy core is
# no defect. HYPOTHESIS_PROFILE=explore goes looking for new ones.
settings.register_profile("steady", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# What finds test data stays; what would change a run goes.
_FOR_TESTS = frozenset({"HEADGATE_TRACES", "HEADGATE_FACTS", "HEADGATE_REQUIRE_COMPONENTS"})


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name == "KUBECONFIG" or (name.startswith("HEADGATE_") and name not in _FOR_TESTS):
            monkeypatch.delenv(name)
