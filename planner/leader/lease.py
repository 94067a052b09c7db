"""Hold a Lease of coordination.k8s.io/v1, so that of several processes one leads.

Nobody's clock is believed but one's own, and of that only how much time has passed. Who holds the Lease
leads until `renew_within_s` after it *sent* the last write that went through. Who waits takes it over only
after its own clock has seen it unchanged for the whole duration since the answer that showed it. What lies
between the two, a third of the duration, is what clocks may differ in speed and requests may still be on
their way.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from models.errors import ClusterError
from planner.cluster.api import Cluster, Manifest

API_VERSION, KIND = "coordination.k8s.io/v1", "Lease"
CONFLICT = 409
# A Lease that states more is waited for no longer: a slip in a manifest must not stop the fleet for a day.
LONGEST_S = 300


@dataclass(frozen=True, slots=True)
class Terms:
    """Say how long a Lease lasts, in whole seconds; shares as the controllers of Kubernetes use."""

    duration_s: int = 15

    @property
    def renew_within_s(self) -> float:
        """Time after which a holder that could not renew no longer leads."""
        return self.duration_s * 2.0 / 3.0

    @property
    def every_s(self) -> float:
        """Time between two attempts."""
        return self.duration_s * 2.0 / 15.0


class Lease:
    """Try to hold one Lease; `attempt` is called by one thread, `held` may be asked by any."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms = Terms(),
        elapsed_s: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; nothing is asked before the first attempt.

        `identity` is this process's alone. `elapsed_s` measures, `now_s` (Unix seconds) is only written down.
        """
        self._cluster, self._place = cluster, (API_VERSION, KIND, name, namespace)
        self.identity, self.terms = identity, terms
        self._elapsed_s, self._now_s = elapsed_s, now_s
        self._term: tuple[float, float] | None = None
        self._seen: tuple[str, float] | None = None
        self._known: Manifest | None = None
        self.trouble: str | None = None

    @property
    def name(self) -> str:
        """Its name and namespace, as messages show it."""
        return f"{self._place[3]}/{self._place[2]}"

    @property
    def held(self) -> bool:
        """Whether this process leads at this moment; false as soon as it could not renew for too long."""
        term = self._term
        return term is not None and term[0] <= self._elapsed_s() < term[1]

    @property
    def holder(self) -> str:
        """Who held it when it was last seen; empty for nobody."""
        known = self._known
        return "" if known is None else str(known.get("spec", {}).get("holderIdentity") or "")

    def attempt(self) -> bool:
        """Renew the Lease, or take it where nobody holds it; say whether it is held. Never raises.

        What an API server refused, or did not answer, is kept in `trouble` until an attempt is answered.
        """
        try:
            if not (self.held and self._renewed()):
                self._look()
        except ClusterError as error:
            self.trouble = str(error)
        else:
            self.trouble = None
        return self.held

    def release(self) -> None:
        """Give it up, so that another may take it at once; only when nothing is being changed any more."""
        was_held, self._term = self.held, None
        if not was_held or self._known is None:
            return
        try:
            self._write(self._known, "")
        except ClusterError as error:
            self.trouble = str(error)

    def revoke(self) -> None:
        """Lead no longer, and leave the Lease to run out: something may still be on its way."""
        self._term = None

    def _renewed(self) -> bool:
        """Renew what is held, by one request; false where somebody changed it meanwhile."""
        assert self._known is not None
        try:
            self._write(self._known, self.identity)
        except ClusterError as error:
            if error.status not in (CONFLICT, 404):
                raise
            return False
        return True

    def _look(self) -> None:
        """See how it stands, and take it if that is right."""
        found = self._cluster.get(*self._place)
        now_s = self._elapsed_s()
        if found is None:
            self._create()
            return
        self._known = found
        version = found["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = version, now_s
        waited_s = now_s - self._seen[1]
        if self.holder in ("", self.identity) or waited_s >= self._lasts_s(found):
            self._write(found, self.identity)

    def _lasts_s(self, found: Manifest) -> float:
        stated = found.get("spec", {}).get("leaseDurationSeconds") or 0
        return max(self.terms.duration_s, min(stated, LONGEST_S))

    def _create(self) -> None:
        """Make a Lease, to lead by it after a whole duration: it may have been deleted under its holder."""
        sent_s = self._elapsed_s()
        self._known = self._cluster.create(self._manifest({}, self.identity))
        self._term = self._elapsed_s() + self.terms.duration_s, sent_s + self.terms.renew_within_s

    def _write(self, onto: Manifest, holder: str) -> None:
        """Write the holder over a version that must be the current one."""
        sent_s = self._elapsed_s()
        self._known = self._cluster.patch(self._manifest(onto, holder))
        if holder:
            # A term that has not begun yet begins when it would have: the wait is not cut short.
            begins_s = self._term[0] if self._term is not None else sent_s
            self._term = begins_s, sent_s + self.terms.renew_within_s

    def _manifest(self, onto: Manifest, holder: str) -> Manifest:
        spec = onto.get("spec", {})
        now = datetime.fromtimestamp(self._now_s(), UTC).isoformat(timespec="microseconds")[:-6] + "Z"
        goes_on = spec.get("holderIdentity") == holder
        transitions = int(spec.get("leaseTransitions") or 0)
        api_version, kind, name, namespace = self._place
        metadata = {"name": name, "namespace": namespace}
        if onto:
            metadata["resourceVersion"] = onto["metadata"]["resourceVersion"]
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": self.terms.duration_s,
                "acquireTime": spec.get("acquireTime") if goes_on else now,
                "renewTime": now,
                "leaseTransitions": transitions if goes_on or not holder or not onto else transitions + 1,
            },
        }
