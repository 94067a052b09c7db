"""Say why a pod does not get ready, from its own status and from Events about it.

A pod that only waits for its turn (an image on its way, a node that was ordered) is not stuck: nothing is
said of it until something refuses.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.observation import Obstacle
from planner.cluster.moments import event_s, moment_s

# Node autoscalers answer a pod that fits nowhere within a scan or two (10 s each); nodes already on their way
# are waited for. What is still unanswered after this, nobody answers.
SCALE_UP_S = 60.0
# A container that was started this often and never served will not at the next attempt.
RESTARTS = 3
# Loading a large model takes minutes; what lasted longer did serve.
LASTING_S = 3600.0

_ON_THE_WAY = frozenset({"TriggeredScaleUp", "Nominated"})
_REFUSED = frozenset({"NotTriggerScaleUp", "FailedScaleUp", "FailedToScaleUpGroup", "FailedScheduling"})
WORTH_KEEPING = _ON_THE_WAY | _REFUSED | {"FailedCreate", "SuccessfulCreate"}
"""Reasons of the Events that are read here."""

_QUOTA = re.compile(r"quota", re.IGNORECASE)
_CAPACITY = re.compile(
    r"AllocationFailed|OverconstrainedAllocation|SkuNotAvailable|OutOfCapacity|InsufficientCapacity|"
    r"(insufficient|out of|no available|not enough) capacity|stockout|max(imum)? (node group |cluster )?"
    r"(size|limit|nodes?)\b.*reached|in backoff",
    re.IGNORECASE,
)
_IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"})
_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_LONGEST = 240


@dataclass(frozen=True, slots=True)
class Stuck:
    """Say what keeps a replica from starting, and in whose words."""

    obstacle: Obstacle
    sentence: str


def refusal(text: str, otherwise: Obstacle) -> Obstacle:
    """Tell a spent quota and a cloud without capacity by the words of whoever refused."""
    if _QUOTA.search(text):
        return Obstacle.QUOTA
    return Obstacle.CAPACITY if _CAPACITY.search(text) else otherwise


def of_pod(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]], now_s: float) -> Stuck | None:
    """Return why a pod that is not ready cannot start; `None` while it may only be on its way.

    `events` are those about the pod, in any order; `now_s` is the time by the server's clock.
    """
    status = pod.get("status") or {}
    scheduled = condition_of(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _unscheduled(scheduled, events, now_s)
    for kind, prefix in (("initContainerStatuses", "init container "), ("containerStatuses", "")):
        for each in status.get(kind) or ():
            stuck = _container(each, prefix)
            if stuck is not None:
                return stuck
    return None


def _unscheduled(
    scheduled: Mapping[str, Any], events: Sequence[Mapping[str, Any]], now_s: float
) -> Stuck | None:
    said = str(scheduled.get("message") or scheduled.get("reason") or "it fits on no node")
    coming_s = max((event_s(e) for e in events if e.get("reason") in _ON_THE_WAY), default=0.0)
    # The scheduler repeats itself while a node starts; only an autoscaler's own words answer an order.
    answers = [e for e in events if e.get("reason") in _REFUSED - {"FailedScheduling"}]
    last = max(answers, key=event_s, default=None)
    if last is not None and event_s(last) > coming_s:
        words = str(last.get("message") or last.get("reason"))
        obstacle = refusal(words, refusal(said, Obstacle.UNSCHEDULABLE))
        return Stuck(obstacle, short(f"{said}; {words}" if words not in said else said))
    since_s = moment_s(scheduled.get("lastTransitionTime"))
    if coming_s or (since_s is not None and now_s - since_s <= SCALE_UP_S):
        return None
    return Stuck(refusal(said, Obstacle.UNSCHEDULABLE), short(said))


def _container(status: Mapping[str, Any], prefix: str) -> Stuck | None:
    name = f"{prefix}{status.get('name', '')}"
    state, last = status.get("state") or {}, status.get("lastState") or {}
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    restarts = int(status.get("restartCount") or 0)
    if reason in _IMAGE:
        return Stuck(Obstacle.IMAGE, short(f"{name}: {reason}: {message or status.get('image', '')}"))
    if reason in _CONTAINER:
        return Stuck(Obstacle.CONTAINER, short(f"{name}: {reason}: {message}"))
    # Between two attempts a container runs again for a while; that is no sign that it will serve.
    ended = last.get("terminated") or state.get("terminated") or {}
    looping = restarts >= RESTARTS and not status.get("ready") and not _served(ended)
    if reason == "CrashLoopBackOff" or looping:
        if ended.get("exitCode") == 0 and prefix:
            return None
        how = f"exit code {ended['exitCode']}" if "exitCode" in ended else "it ends at once"
        why = str(ended.get("reason") or "")
        told = f"{why}, {how}" if why not in ("", "Error", "Completed") else how
        sentence = short(f"{name}: CrashLoopBackOff: restarted {restarts} times, {told}")
        return Stuck(Obstacle.INIT if prefix else Obstacle.CRASH_LOOP, sentence)
    failed = (state.get("terminated") or {}).get("exitCode")
    return Stuck(Obstacle.INIT, f"{name}: failed with exit code {failed}") if prefix and failed else None


def _served(ended: Mapping[str, Any]) -> bool:
    """Say whether the last attempt lasted, so that its end is news and no habit."""
    began, end = moment_s(ended.get("startedAt")), moment_s(ended.get("finishedAt"))
    return began is not None and end is not None and end - began > LASTING_S


def condition_of(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return the condition of a type; empty where there is none."""
    found: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    return next((each for each in found if each.get("type") == kind), {})


def short(text: str) -> str:
    """Return the words of another on one line, no longer than a line of a report."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
