"""Give every test a helm of its own."""

from pathlib import Path

import pytest

from tests.chart.helm import Helm


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Give helm, without a cluster."""
    return Helm(tmp_path)
