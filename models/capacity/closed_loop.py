"""Predict a closed loop: a fixed number of users, each of whom sends the next request when one ends."""

from collections.abc import Mapping

from models.artifact import LayoutProfile
from models.capacity.load import ClassLoad
from models.capacity.predict import Prediction, predict
from models.mix import RequestMix
from models.values import RequestClass, Role, Router

_ROUNDS = 50


def predict_closed(
    request_class: RequestClass,
    mix: RequestMix,
    concurrency: float,
    fleet: Mapping[Role, tuple[LayoutProfile, int]],
    router: Router = Router.LOAD,
) -> Prediction:
    """Return the steady state of `concurrency` users on a fleet.

    Little's law fixes the rate: X = N / (mean end-to-end time at X). The mean grows with the rate, without
    bound at saturation, so bisection finds the one crossing. The wait is that of an open queue at that rate,
    which is longer than a closed one's when few users share few replicas.
    """

    def at(rate_rps: float) -> Prediction:
        return predict([ClassLoad.steady(request_class, rate_rps, mix)], fleet, router)

    low, high = 0.0, concurrency / at(1e-9).e2e_s.mean
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * at(middle).e2e_s.mean < concurrency else (low, middle)
    return at(low)
