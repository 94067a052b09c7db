"""Announce a change of several roles on their owner before it begins, so that nobody finds it half done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.target import ObjectRef
from models.values import Role
from planner.cluster.api import Cluster, Manifest
from planner.cluster.pauses import PREFIX
from planner.cluster.scalable import Scalable

INTENT = f"{PREFIX}/intent"
_POINTER = f"/metadata/annotations/{INTENT.replace('/', '~1')}"

# A tick gives the cluster less time than this: until then another holder may still be at it.
WORKING_S = 15.0
# Up to this age the demand that asked for the change is believed; later the state before it is.
FINISH_S = 600.0
# What could not be settled for so long is left to decisions, which see the fleet as it is.
ABANDON_S = 3600.0


@dataclass(frozen=True, slots=True)
class Step:
    """Say what one role's object was to be changed from and to; `uid` tells it from one made anew."""

    uid: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Intent:
    """Say who began to change which roles at which tick; `at_s` in Unix seconds."""

    tick: str
    at_s: float
    holder: str
    roles: Mapping[Role, Step]

    def dump(self) -> str:
        """Write it as the annotation's value."""
        roles = {r.value: {"uid": s.uid, "from": s.before, "to": s.after} for r, s in self.roles.items()}
        stated = {"tick": self.tick, "at_s": self.at_s, "holder": self.holder, "roles": roles}
        return json.dumps(stated, sort_keys=True)

    def __str__(self) -> str:
        """Say what was begun, such as `prefill 2 -> 3, decode 4 -> 3, begun by pod-a`."""
        steps = ", ".join(f"{role} {step.before} -> {step.after}" for role, step in self.roles.items())
        return f"{steps}, begun by {self.holder}"


def parse(text: str) -> Intent | None:
    """Read an annotation's value; `None` for what is none of ours."""
    try:
        stated = json.loads(text)
        roles = {
            Role(name): Step(str(each["uid"]), int(each["from"]), int(each["to"]))
            for name, each in stated["roles"].items()
        }
        return Intent(str(stated["tick"]), float(stated["at_s"]), str(stated["holder"]), roles)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def announce(cluster: Cluster, first: Scalable, intent: Intent) -> Manifest:
    """Write an intent on an owner at the version that was read, and return the owner; 409 if it moved on."""
    return cluster.patch(
        {
            **_named(first.owner),
            "metadata": {
                "name": first.owner.name,
                "namespace": first.owner.namespace,
                "uid": first.owner_uid,
                "resourceVersion": first.owner_version,
                "annotations": {INTENT: intent.dump()},
            },
        }
    )


def withdraw(cluster: Cluster, owner: ObjectRef, text: str) -> Manifest:
    """Remove an intent if it is still this one; status 422 where it is another, or gone."""
    operations = ({"op": "test", "path": _POINTER, "value": text}, {"op": "remove", "path": _POINTER})
    return cluster.patch_json(owner.identity, operations)


class Ending(StrEnum):
    """What is to be done with an intent that was found."""

    AT_WORK = "at_work"
    DONE = "done"
    WITHDRAWN = "withdrawn"
    FINISH = "finish"
    ROLL_BACK = "roll_back"
    LET_GO = "let_go"


@dataclass(frozen=True, slots=True)
class Settlement:
    """Say how an intent ends, to which counts that leads, and why."""

    ending: Ending
    to: Mapping[Role, int]
    why: str


def settle(
    intent: Intent, counts: Mapping[Role, int], uids: Mapping[Role, str], holder: str, now_s: float
) -> Settlement:
    """Decide how a found intent ends, from what is asked for now (`counts`) and its age.

    Downs are patched before ups. What is half done has its downs done: finishing gives the ups, and rolling
    back gives back what was taken. Neither takes a replica away on old knowledge.
    """
    age_s = abs(now_s - intent.at_s)
    if intent.holder != holder and age_s < WORKING_S:
        return Settlement(Ending.AT_WORK, {}, f"{intent.holder} may still be at it, since {age_s:.0f} s")
    gone = [role for role in intent.roles if role not in counts]
    anew = [role for role, step in intent.roles.items() if role in uids and uids[role] != step.uid]
    if gone or anew:
        what = f"{' and '.join(gone)} is gone" if gone else f"{' and '.join(anew)} was made anew"
        return Settlement(Ending.LET_GO, {}, what)
    done = {role: step for role, step in intent.roles.items() if counts[role] == step.after}
    undone = {role: step for role, step in intent.roles.items() if counts[role] == step.before}
    moved = [role for role in intent.roles if role not in done and role not in undone]
    if moved:
        said = ", ".join(f"{role} is {counts[role]} by now" for role in moved)
        return Settlement(Ending.LET_GO, {}, said)
    if not undone:
        return Settlement(Ending.DONE, {}, "all of it was applied")
    if not done:
        return Settlement(Ending.WITHDRAWN, {}, "none of it was applied")
    if age_s <= FINISH_S:
        return Settlement(Ending.FINISH, {r: s.after for r, s in undone.items()}, f"{age_s:.0f} s old")
    back = {role: step.before for role, step in done.items() if step.before > step.after}
    if back and age_s <= ABANDON_S:
        return Settlement(Ending.ROLL_BACK, back, f"{age_s:.0f} s old: too old to finish")
    return Settlement(Ending.LET_GO, {}, f"{age_s:.0f} s old: the fleet as it is counts")


def _named(owner: ObjectRef) -> dict[str, str]:
    return {"apiVersion": owner.api_version, "kind": owner.kind}
