"""Dealing, seeding, finding again, following and cleaning up, on a cluster in memory."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors import ConfigError, InputError, MeasureError
from models.values import Parallelism, Role
from profiler.cluster import names
from profiler.jobs import published
from profiler.jobs.cards import packed, unpacked
from profiler.jobs.filememory import FileMemory
from profiler.jobs.following import Patience
from profiler.jobs.inputs import Cost, deal, parse_inputs
from profiler.jobs.launching import Launch, check_candidates, prepare
from profiler.jobs.naming import sweep_name
from profiler.jobs.pages import Pages, page_data
from profiler.jobs.running import Local, Voice, merged, run_job, seeds
from profiler.jobs.shard import run_shard
from profiler.measure.backend import Refusal
from profiler.measure.deployed.deployer import NOT_STARTED
from profiler.order import Order
from profiler.store import Entry, FileStore
from profiler.sweep import Swept
from tests.unit.deployed.fake_cluster import FakeCluster
from tests.unit.deployed.stage import TEMPLATE, ShortMemory, rendered
from tests.unit.jobs.sweeps import KINDS, REPLICA, SHAPE, TP1, TP4, entry, inputs, other, swept

USED = (("apps/v1", "Deployment"), ("v1", "Service"))
QUICK = Patience(server_s=2.0, pod_s=0.0)


class Console:
    """Hear what a person would."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @property
    def voice(self) -> Voice:
        return Voice(self.said.append)


class PodRunner(FakeCluster):
    """Run every shard at once when the last Job has been created, as pods would."""

    def __init__(self, finds: dict[int, Swept] | None, knows_indexed_jobs: bool = True) -> None:
        super().__init__(knows_indexed_jobs)
        self.finds = finds

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[dict[str, object]]:
        if kind == "ConfigMap" and self.finds is not None and any(key[1] == "Job" for key in self.objects):
            finds, self.finds = self.finds, None
            for number, found in finds.items():
                self.run(number, found)
        return super().find(api_version, kind, namespace, labels)

    def run(self, number: int, found: Swept) -> None:
        def work(given: object, shard: object, pages: Pages, owners: object) -> Swept:
            pages.add(entry(100 + number))
            pages.progress(1, 2, "prefill TP1")
            pages.note("deploying small-tp1 (1 GPUs)")
            return found

        run_shard(self, "lab", "small", {"JOB_COMPLETION_INDEX": str(number), "HEADGATE_POD": "p"}, work)


def local(tmp_path: Path) -> Local:
    return Local(FileStore(tmp_path / "m.jsonl", "job gpt-oss-120b"), ShortMemory())


def prepared(cluster: FakeCluster, said: list[str] | None = None) -> Launch:
    return prepare(cluster, inputs(), SHAPE, KINDS, [], (said if said is not None else []).append)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_sweep_gathers_what_its_shards_found_and_leaves_nothing(tmp_path: Path, indexed: bool) -> None:
    cluster = PodRunner({0: swept(TP1), 1: swept(TP4, points=4)}, indexed)
    console, kept = Console(), local(tmp_path)

    found = run_job(
        cluster, inputs(), lambda: prepared(cluster, console.said), USED, kept, console.voice, patience=QUICK
    )

    assert [left.layout for left in found.left_out] == ["TP1", "TP4"]
    assert found.effort.points == 7
    assert sorted(each.tokens for each in kept.store.read()) == [100, 101]
    assert cluster.objects == {}
    assert "deploying small-tp1 (1 GPUs)" in console.said
    jobs = [key[2] for verb, key in cluster.calls if verb == "create" and key[1] == "Job"]
    assert jobs == (["small"] if indexed else ["small-0", "small-1"])
    assert any("does not know Indexed Jobs" in sentence for sentence in console.said) is not indexed


def test_the_root_is_made_first_the_jobs_last_and_the_root_goes_last(tmp_path: Path) -> None:
    cluster = PodRunner({0: swept(), 1: swept(TP4)})

    run_job(
        cluster, inputs(), lambda: prepared(cluster), USED, local(tmp_path), Console().voice, patience=QUICK
    )

    created = [key[1:3] for verb, key in cluster.calls if verb == "create"]
    deleted = [key[1:3] for verb, key in cluster.calls if verb == "delete"]
    assert created[0] == deleted[-1] == ("ConfigMap", "small")
    assert created[-1] == deleted[0] == ("Job", "small")
    assert sorted(created) == sorted(deleted)


def test_a_job_that_fails_says_why_keeps_the_points_and_cleans_up(tmp_path: Path) -> None:
    cluster = PodRunner({0: swept()})
    kept = local(tmp_path)

    def made() -> Launch:
        launch = prepared(cluster)
        failed = {"type": "Failed", "status": "True", "message": "backoff limit"}
        return replace(launch, jobs=tuple({**job, "status": {"conditions": [failed]}} for job in launch.jobs))

    with pytest.raises(MeasureError, match="Job small failed: backoff limit; what was measured is kept"):
        run_job(cluster, inputs(), made, USED, kept, Console().voice, patience=QUICK)

    assert cluster.objects == {}


def test_keep_leaves_everything_and_says_how_to_end_it(tmp_path: Path) -> None:
    cluster, console = PodRunner({0: swept(), 1: swept(TP4)}), Console()

    run_job(
        cluster,
        inputs(),
        lambda: prepared(cluster),
        USED,
        local(tmp_path),
        console.voice,
        True,
        patience=QUICK,
    )

    assert ("batch/v1", "Job", "small", "lab") in cluster.objects
    assert "`kubectl -n lab delete configmap small` ends it" in console.said[-1]


def test_a_running_sweep_of_other_inputs_is_left_alone(tmp_path: Path) -> None:
    cluster = FakeCluster()
    for manifest in prepared(cluster).all:
        cluster.create(manifest)
    before = dict(cluster.objects)

    with pytest.raises(InputError, match="a sweep small with other inputs runs in namespace lab"):
        run_job(cluster, other(inputs()), lambda: prepared(cluster), USED, local(tmp_path), Console().voice)

    assert cluster.objects == before


def test_a_config_map_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "small", "namespace": "lab"}}
    )

    with pytest.raises(InputError, match="that no sweep made; give this one another --name"):
        run_job(cluster, inputs(), lambda: prepared(cluster), USED, local(tmp_path), Console().voice)


def test_a_sweep_that_ended_while_nobody_looked_is_collected(tmp_path: Path) -> None:
    cluster, console = PodRunner({0: swept(TP1), 1: swept(TP4)}), Console()
    for manifest in prepared(cluster).all:
        cluster.create(manifest)
    cluster.status("Job", "small", {"conditions": [{"type": "Complete", "status": "True"}]})

    found = run_job(
        cluster,
        inputs(),
        lambda: pytest.fail("started again"),
        USED,
        local(tmp_path),
        console.voice,
        patience=QUICK,
    )

    assert console.said[0] == "Job small is done already: collecting what it found"
    assert len(found.left_out) == 2
    assert cluster.objects == {}


def test_what_an_ended_sweep_left_in_the_cluster_is_taken_over(tmp_path: Path) -> None:
    cluster = PodRunner({0: swept(), 1: swept(TP4)})
    for manifest in prepare(cluster, inputs(), SHAPE, KINDS, [page_data([entry(16)], {})], print).all:
        if manifest["kind"] != "Job":
            cluster.create(manifest)
    cluster.create(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "small", "namespace": "lab", "labels": {"headgate.io/sweep": "small"}},
            "status": {"conditions": [{"type": "Failed", "status": "True"}]},
        }
    )
    cluster.finds = None
    kept, console = local(tmp_path), Console()

    def made() -> Launch:
        cluster.finds = {0: swept(), 1: swept(TP4)}
        return prepared(cluster)

    run_job(cluster, inputs(), made, USED, kept, console.voice, patience=QUICK)

    assert console.said[0] == "taking over what an earlier sweep small measured"
    assert entry(16).point in kept.store.read()


def test_seeds_hold_a_shards_own_points_but_not_starts_that_failed() -> None:
    memory = ShortMemory()
    memory.keep(Role.PREFILL, TP1, REPLICA)
    failed = Entry(entry(64).point, Refusal(f"{NOT_STARTED}no node"))
    refused = Entry(entry(128).point, Refusal("too long for the engine"))

    first, second = seeds(inputs(), [entry(16), entry(32, TP4), failed, refused], Local(None, memory))  # type: ignore[arg-type]

    assert [
        json.loads(line)["point"]["tokens"] for key, line in first[0].items() if key.startswith("point")
    ] == [16, 128]
    assert [key for key in first[0] if key.startswith("replica")] == ["replica-prefill-TP1"]
    assert [json.loads(line)["point"]["tokens"] for line in second[0].values()] == [32]


def test_work_is_dealt_evenly_by_cost_with_roles_of_a_layout_together() -> None:
    widths = (1, 2, 4, 8)
    costs = [
        Cost(role, Parallelism(tp=tp), 10, float(tp)) for tp in widths for role in (Role.PREFILL, Role.DECODE)
    ]

    shards = deal(costs, 2, together=True, budget=90.0)

    assert [sorted({layout.tp for _, layout in shard.work}) for shard in shards] == [[8], [1, 2, 4]]
    assert [shard.gpu_minutes for shard in shards] == [pytest.approx(48.0), pytest.approx(42.0)]
    assert sum(shard.points for shard in shards) == 80


def test_there_are_no_more_shards_than_work() -> None:
    assert len(deal([Cost(Role.DECODE, TP1, 1, 0.0)], 8, together=False, budget=None)) == 1


def test_inputs_come_back_as_they_were_and_another_versions_are_refused() -> None:
    assert parse_inputs(inputs().dump()) == inputs()
    with pytest.raises(InputError, match="another version of headgate"):
        parse_inputs("{}")


def test_the_same_inputs_have_the_same_digest_and_others_another() -> None:
    assert inputs().digest == inputs().digest != other(inputs()).digest


def test_cards_that_are_files_travel_with_the_order(tmp_path: Path) -> None:
    card = tmp_path / "mine.yaml"
    card.write_text("name: mine\n")
    order = Order(model="gpt-oss-120b", hardware=f"prefill={card},decode=gb200", backend="job")

    sent, files = packed(order)
    arrived = unpacked(sent, files, tmp_path / "..")

    assert str(tmp_path) not in sent.hardware
    assert list(files.values()) == ["name: mine\n"]
    assert arrived.hardware == f"prefill={tmp_path / '..' / 'card-0.yaml'},decode=gb200"
    assert arrived.model == "gpt-oss-120b"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (TEMPLATE.replace("kind: Service", "kind: ClusterRole"), "belongs to no namespace"),
        (TEMPLATE.replace('"${gpus}"', "2"), "asks for 2 GPUs for sweep-tp4, which takes 4"),
    ],
)
def test_a_candidate_that_cannot_be_swept_is_refused_before_the_start(template: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_candidates(FakeCluster(), [rendered(text=template)])


def test_checking_candidates_creates_none_and_names_all() -> None:
    cluster = FakeCluster()

    kinds = check_candidates(cluster, [rendered(4), rendered(8)])

    assert [(kind.plural, kind.names) for kind in kinds] == [
        ("deployments", ("sweep-tp4", "sweep-tp8")),
        ("services", ("sweep-tp4", "sweep-tp8")),
    ]
    assert cluster.objects == {}


@pytest.mark.parametrize("index", ["", "x", "2", "-1"])
def test_a_pod_without_a_share_says_so(index: str) -> None:
    cluster = FakeCluster()
    for manifest in prepared(cluster).all:
        cluster.create(manifest)

    with pytest.raises(InputError, match=r"JOB_COMPLETION_INDEX is .*the shards are 0 to 1"):
        run_shard(cluster, "lab", "small", {"JOB_COMPLETION_INDEX": index}, lambda *_: swept())


def test_a_shard_that_is_done_is_not_done_again() -> None:
    cluster = FakeCluster()
    for manifest in prepared(cluster).all:
        cluster.create(manifest)
    environ = {"JOB_COMPLETION_INDEX": "1", "HEADGATE_POD": "p"}

    assert run_shard(cluster, "lab", "small", environ, lambda *_: swept()) == swept()
    assert run_shard(cluster, "lab", "small", environ, lambda *_: pytest.fail("swept again")) is None


def test_names_are_made_from_the_models_and_checked() -> None:
    assert sweep_name(None, "Llama-3.1-70B-Instruct-with-a-long-name") == "sweep-llama-3-1-70b-instruct-w"
    with pytest.raises(ConfigError, match="up to 30 lower-case letters"):
        sweep_name("Mine", "m")


def test_an_artifact_lands_in_a_config_map_plain_or_packed() -> None:
    cluster = FakeCluster()
    small, large = '{"a": 1}', json.dumps(list(range(300_000)))

    for text in (small, large, small):
        name = published.publish(cluster, "small", "lab", text)
        found = cluster.get("v1", "ConfigMap", name, "lab")
        assert found is not None
        assert published.read_profile(found) == text
        assert (published.PACKED in found.get("binaryData", {})) is (text == large)


def test_an_artifact_that_no_config_map_holds_says_where_to_put_it() -> None:
    import random

    text = random.Random(1).randbytes(1_500_000).hex()

    with pytest.raises(InputError, match="copy the file of --out to a volume"):
        published.profile_manifest("small", "lab", text)


def test_an_artifact_outlives_the_sweep() -> None:
    labels = published.profile_manifest("small", "lab", "{}")["metadata"]["labels"]

    assert "headgate.io/sweep" not in labels


def test_what_replicas_said_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    FileMemory(path, "one").keep(Role.PREFILL, TP1, REPLICA)

    assert FileMemory(path, "one").recall(Role.PREFILL, TP1) == REPLICA
    assert FileMemory(path, "another").recall(Role.PREFILL, TP1) is None


def test_merging_adds_up_what_shards_found() -> None:
    found = merged([swept(TP1, 3), swept(TP4, 4)])

    assert (found.effort.points, found.effort.grid_points, found.effort.gpu_minutes) == (7, 18, 3.0)


def test_objects_go_by_version_kind_name_and_namespace() -> None:
    assert names(rendered().objects[1]) == ("v1", "Service", "sweep-tp4", "lab")
