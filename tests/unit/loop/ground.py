"""Lay out what a live command needs: a configuration, a profile, a cluster state and a steady Prometheus."""

from pathlib import Path

from models.artifact import Machine, ProfileArtifact, Selection, dump
from tests import builders
from tests.unit.observe.http_server import Request, series, success

CONFIG = """\
interval: 1s
prometheus: {{url: "{url}", timeout: 2s, retries: 0}}
journal: {{dir: journal}}
deployments:
  - name: shop
    model: gpt-oss-120b
    profile: profile.json
    budget: {{gpus: 40}}
    pools: {{prefill: {{min: 1}}, decode: {{min: 1}}}}
    classes: [{{name: chat, slo: {{ttft: 500ms, itl: 30ms}}}}]
"""


def frontend(request: Request, rps: float = 2.0) -> tuple[int, str]:
    """Answer as a Prometheus whose frontend takes so many requests a second, whatever moment is asked for."""
    if request.path.endswith("query_range"):
        begin, end, step = (float(request.query[k]) for k in ("start", "end", "step"))
        moments = [begin + i * step for i in range(int((end - begin) / step) + 1)]
    else:
        at_s = float(request.query["time"])
        moments = [at_s - 15.0 * i for i in range(60)][::-1]
    query = request.query["query"]
    if query.startswith(("up{", "count")):
        return 200, success([])
    if query.startswith("timestamp("):
        return 200, success([series("", [(at, at) for at in moments])])
    if "requests_started" in query:
        counter = series("dynamo_frontend_requests_started_total", _rising(moments, rps))
        waiting = series("dynamo_frontend_queued_requests", [(at, 0) for at in moments])
        return 200, success([counter, waiting] if "queued_requests" in query else [counter])
    found = []
    for name, mean in (("input", 1000.0), ("output", 200.0)):
        base = f"dynamo_frontend_{name}_sequence_tokens"
        found.append(series(f"{base}_sum", _rising(moments, rps * mean)))
        found.append(series(f"{base}_count", _rising(moments, rps)))
    return 200, success(found)


def _rising(moments: list[float], rate: float) -> list[tuple[float, float]]:
    return [(at, rate * (at - 1.6e9)) for at in moments]


def prepare(folder: Path, url: str) -> Path:
    layouts = builders.layouts()
    chosen = {role: layout.parallelism.name for role, layout in layouts.items()}
    artifact = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts.values()),
        selection=Selection(chosen, dict.fromkeys(chosen, 1), 5, True, "for this test"),
    )
    (folder / "profile.json").write_text(dump(artifact))
    (folder / "state.yaml").write_text("pools: {prefill: {replicas: 4}, decode: {replicas: 4}}")
    (folder / "headgate.yaml").write_text(CONFIG.format(url=url))
    return folder / "headgate.yaml"
