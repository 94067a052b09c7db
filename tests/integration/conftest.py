"""Start the servers that many test files share, once per test process."""

from collections.abc import Iterator

import pytest

from tests.integration import kube_apiserver
from tests.integration.kube_cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a Kubernetes API server; a test makes a namespace of its own in it."""
    with kube_apiserver.serving(tmp_path_factory.mktemp("kube")) as running:
        yield running
