"""Check waiting times against closed forms and published safe loads."""

import math

import pytest

from models.capacity.waiting import erlang_c, wait_tail
from models.values import Router


def safe_load(replicas: int, router: Router, service_cv2: float) -> float:
    """Return the utilisation at which one arrival in a hundred waits longer than two services."""
    low, high = 0.0, 0.9999
    for _ in range(50):
        rho = (low + high) / 2
        tail = wait_tail(replicas, rho * replicas, 1.0, service_cv2, router)
        late = tail.probability * math.exp(-tail.rate_per_s * 2.0)
        low, high = (rho, high) if late < 0.01 else (low, rho)
    return low


def test_one_server_waits_as_often_as_it_is_busy() -> None:
    assert erlang_c(1, 0.7) == pytest.approx(0.7)


def test_erlang_c_of_two_servers_has_its_closed_form() -> None:
    a = 1.2
    # C(2, a) = a^2 / (2 + a), from the definition with k = 2.
    assert erlang_c(2, a) == pytest.approx(a**2 / (2 + a))


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("router", list(Router))
def test_one_replica_is_mm1_whatever_the_router(rho: float, router: Router) -> None:
    tail = wait_tail(1, rho, 1.0, 1.0, router)
    assert tail.mean_s == pytest.approx(rho / (1 - rho), rel=0.01)
    assert tail.probability == pytest.approx(rho, rel=0.01)


@pytest.mark.parametrize(("replicas", "load"), [(1, 0.06), (2, 0.32), (4, 0.59), (8, 0.77), (32, 0.94)])
def test_safe_load_rises_with_the_pool(replicas: int, load: float) -> None:
    # Figures of METHODS section 4: Cs^2 = 1, wait of two services, p99.
    assert safe_load(replicas, Router.LOAD, 1.0) == pytest.approx(load, abs=0.01)


def test_the_router_decides_how_much_load_is_safe() -> None:
    # METHODS section 4: lognormal work with sigma 0.8, k = 8. The round-robin figure is a simulated one;
    # Kraemer and Langenbach-Belz overstate it by a sixth.
    cv2 = math.exp(0.8**2) - 1
    assert safe_load(8, Router.LOAD, cv2) == pytest.approx(0.78, abs=0.01)
    assert safe_load(8, Router.ROUND_ROBIN, cv2) == pytest.approx(0.26, abs=0.05)
    assert safe_load(8, Router.RANDOM, cv2) == pytest.approx(0.07, abs=0.01)


def test_a_saturated_pool_waits_without_bound() -> None:
    tail = wait_tail(4, 4.0, 1.0, 1.0, Router.LOAD)
    assert tail.utilisation >= 1
    assert tail.mean_s == math.inf


def test_no_load_waits_for_nothing() -> None:
    assert wait_tail(4, 0.0, 1.0, 1.0, Router.LOAD).mean_s == 0.0
