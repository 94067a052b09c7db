"""Say what came of each role, and put that together for the tick."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.decision import Outcome, Status
from models.errors import ClusterError
from models.values import Role

BAD_REQUEST, FORBIDDEN, CONFLICT, INVALID = 400, 403, 409, 422
_DENIED = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
# What is worse is what a person must hear of; a role that was scaled counts before one that was left.
_FIRST = (Status.FAILED, Status.APPLIED, Status.SUPERSEDED, Status.HELD, Status.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Result:
    """Say what came of a role's change.

    `known` says whether the cluster's state after it is known, `lasting` whether the same would be refused
    again: an account without the verb, a quota, a count that the schema does not allow.
    """

    status: Status
    sentence: str
    known: bool = True
    lasting: bool = False


def refused(error: ClusterError) -> Result:
    """Return the result of a request that the server refused."""
    return Result(Status.FAILED, explained(error), lasting=error.status in (BAD_REQUEST, FORBIDDEN, INVALID))


def explained(error: ClusterError) -> str:
    """Say a refusal, with the rule of a Role that would have allowed it where the account lacks one."""
    denied = _DENIED.search(str(error)) if error.status == FORBIDDEN else None
    if denied is None:
        return str(error)
    rule = f'{{apiGroups: ["{denied["group"]}"], resources: ["{denied["resource"]}"], '
    rule += f'verbs: ["{denied["verb"]}"]}}'
    place = f"the Role in namespace {denied['namespace']}" if denied["namespace"] else "a ClusterRole"
    return (
        f"{error}; {place} lacks {rule}: the chart grants it where this target is among its targets, or "
        "add it there"
    )


def joined(results: Mapping[Role, Result], before: Iterable[str] = ()) -> Outcome:
    """Put the results of all roles together: the status that matters most, and every sentence.

    `before` are sentences about what was found at the beginning.
    """
    statuses = {result.status for result in results.values()}
    status = next((each for each in _FIRST if each in statuses), Status.UNCHANGED)
    # Roles that share an object share a result.
    sentences = dict.fromkeys([*before, *(result.sentence for result in results.values())])
    return Outcome(status, "; ".join(filter(None, sentences)))
