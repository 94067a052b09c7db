"""Put a profile artifact where the planner mounts it: a ConfigMap of its own, which outlives the sweep."""

import base64
import gzip

from models.errors import ClusterError, InputError
from profiler.cluster import Cluster, Manifest, names
from profiler.jobs.naming import PROFILE, labels, profile_name
from profiler.jobs.pages import MOST_BYTES

PLAIN, PACKED = "profile.json", "profile.json.gz"
CONFLICT = 409


def profile_manifest(sweep: str, namespace: str, artifact: str) -> Manifest:
    """Return the ConfigMap: the artifact as text while it fits, compressed (tenfold) beyond.

    Raises InputError when even that is too large: then only the file holds it.
    """
    marked = {**labels(sweep), "app.kubernetes.io/component": "profile", PROFILE: sweep}
    del marked["headgate.io/sweep"]  # it stays when the sweep is cleaned up
    made: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": profile_name(sweep), "namespace": namespace, "labels": marked},
    }
    raw = artifact.encode()
    if len(raw) <= MOST_BYTES:
        return {**made, "data": {PLAIN: artifact}}
    packed = base64.b64encode(gzip.compress(raw, mtime=0)).decode()
    if len(packed) > MOST_BYTES:
        raise InputError(
            f"the profile is {len(packed):,} bytes compressed, and a ConfigMap holds 1 MiB: copy the file of "
            "--out to a volume that the planner mounts, or sweep fewer layouts"
        )
    return {**made, "binaryData": {PACKED: packed}}


def publish(cluster: Cluster, sweep: str, namespace: str, artifact: str) -> str:
    """Create the ConfigMap, or replace what an earlier sweep left in it; return its name."""
    manifest = profile_manifest(sweep, namespace, artifact)
    try:
        cluster.create(manifest)
    except ClusterError as error:
        if error.status != CONFLICT:
            raise
        # Both keys are named, so that none of an earlier form stays beside the new one.
        cluster.patch(_both(manifest))
    return names(manifest)[2]


def read_profile(found: Manifest) -> str:
    """Return the artifact's text from its ConfigMap."""
    if PACKED in (found.get("binaryData") or {}):
        return gzip.decompress(base64.b64decode(found["binaryData"][PACKED])).decode()
    text: str = found["data"][PLAIN]
    return text


def _both(manifest: Manifest) -> Manifest:
    data = {PLAIN: None, **manifest.get("data", {})}
    return {**manifest, "data": data, "binaryData": {PACKED: None, **manifest.get("binaryData", {})}}
