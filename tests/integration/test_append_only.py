"""An exporter with the grants of `bqdump render iam --append-only`: what it can do, and what a thief cannot."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator

import pytest
import requests
from google.api_core.exceptions import Forbidden
from google.cloud import storage

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.manifest import Manifest
from bqdump.core.progress.log_events import LogEvent
from bqdump.pool import turn as turns
from bqdump_local.processes import Processes
from integration.stage import Ran, Stage, csv_rows, records
from logged import lines_of

KEEP = ("--path", "{run}/{table}/{table}_*.{ext}")


def rendered(stage: Stage, *words: str) -> list[dict[str, str]]:
    """The grants on the bucket in the script that `bqdump render iam --append-only` prints."""
    script = stage.command("render", "iam", "--region", "europe-west1", "--append-only", *KEEP, *words).out
    grants = []
    for line in script.splitlines():
        if not line.startswith("granted gcloud storage buckets add-iam-policy-binding"):
            continue
        flags = dict(word.removeprefix("--").split("=", 1) for word in shlex.split(line) if word.startswith("--"))
        found = re.fullmatch(r"expression=(.*),title=.*", flags["condition"])
        grants.append({"role": flags["role"], **({"condition": found[1]} if found else {})})
    return grants


def grant(stage: Stage, grants: list[dict[str, str]]) -> None:
    url, body = f"{stage.stack.storage}/_local/granted", {"buckets": {stage.bucket: grants} if grants else {}}
    requests.put(url, json=body, timeout=10).raise_for_status()


@pytest.fixture
def appending(stage: Stage) -> Iterator[Stage]:
    """A stage whose bucket grants what the script grants, and nothing else."""
    grant(stage, rendered(stage))
    yield stage
    grant(stage, [])


def test_files_that_did_not_change_are_named_again(appending: Stage) -> None:
    appending.table("a")
    appending.table("b")
    # The second run exports them once more: it takes a reading from after the first one's snapshot time.
    for run in ("one", "two", "three"):
        assert appending.run("--run-id", run, *KEEP, "--incremental").code == 0
    manifest = appending.manifest()
    assert manifest.totals.reused == 2
    assert {file.name.split("/")[0] for table in manifest.tables for file in table.files} == {"two"}


def test_a_set_of_datasets_is_published(appending: Stage) -> None:
    appending.table("a")
    other = f"{appending.dataset}_other"
    appending.big.create_dataset(other)
    appending.sql(f"CREATE TABLE `{appending.project}.{other}.b` AS SELECT 1 AS id, 'x' AS name")
    both = {"SOURCE_DATASET": f"{appending.dataset},{other}"}
    for run in ("one", "two"):
        ran = appending.run("--run-id", run, *KEEP, env=both)
        assert ran.code == 0, ran.err
    assert json.loads(appending.read("_bqdump/project.json"))["run"] == "two"


def test_iceberg_tables_show_the_newest_run(appending: Stage) -> None:
    appending.table("a")
    for run in ("one", "two"):
        ran = appending.run("--run-id", run, *KEEP, "--format", "parquet", "--iceberg")
        assert ran.code == 0, ran.err
        # Columns are found by name: field ids would be appended to files that BigQuery has written.
        assert lines_of(records(ran.err), LogEvent.FILES_WITHOUT_IDS)
        assert not lines_of(records(ran.err), LogEvent.CLEANUP_FAILED)
    (hint,) = [name for name in appending.objects() if name.endswith("version-hint.text")]
    metadata = [name for name in appending.objects() if name.endswith(".metadata.json")]
    assert appending.read(hint).decode() in max(metadata, key=appending.objects().__getitem__)


@pytest.mark.parametrize(("route", "number"), [("extract", signal.SIGKILL), ("read", signal.SIGTERM)])
def test_a_stopped_run_resumes_and_is_published(route: str, number: int, appending: Stage) -> None:
    appending.table("a", 5000)
    appending.stack.jobs(run_seconds=1.0, read_batch_bytes=3_000)
    words = (*KEEP, "--route", route)

    async def stopped() -> Ran:
        processes = Processes()
        running = asyncio.create_task(
            appending.processes(*words, tasks=2, execution="e", processes=processes, max_retries=3)
        )
        while not any("/claims/" in name for name in await asyncio.to_thread(appending.objects)):
            await asyncio.sleep(0.02)
        for process in sorted(processes.running):
            processes.kill(process, number)
        return await running

    ran = asyncio.run(stopped())
    if set(ran.codes) != {0}:
        # SIGTERM ends a task for good.
        again = appending.execute(*words, tasks=2, execution="again", env={"BQDUMP_RUN_ID": "e"})
        assert again.codes == [0, 0], again.text
    assert appending.latest().run == "e"
    manifest = decode(appending.read(appending.latest().manifest), Manifest, "manifest")
    files = [file.name for table in manifest.tables for file in table.files]
    assert sum(len(csv_rows(appending.read(name))) - 1 for name in files) == 5000


def test_a_planner_that_takes_long_shows_that_it_is_alive(appending: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    appending.table("a")
    monkeypatch.setattr(turns, "PULSE_SECONDS", 0.0)
    ran = appending.run("--run-id", "one", *KEEP)
    assert ran.code == 0, ran.err
    assert int(appending.store.bucket(appending.bucket).get_blob(f"{STATE}/runs/one/planner.json").generation)


def deleted(blob: storage.Blob) -> None:
    blob.delete()


def overwritten(blob: storage.Blob) -> None:
    blob.upload_from_string(b"forged")


def copied_over(blob: storage.Blob) -> None:
    blob.bucket.copy_blob(blob, blob.bucket, blob.name)


def composed(blob: storage.Blob) -> None:
    blob.compose([blob, blob])


def renamed(blob: storage.Blob) -> None:
    blob.bucket.move_blob(blob, f"{blob.name}.gone")


def noted(blob: storage.Blob) -> None:
    blob.metadata = {"bqdump-note": "forged"}
    blob.patch()


ATTACKS = (deleted, overwritten, copied_over, composed, renamed, noted)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_thief_cannot_change_what_earlier_runs_have_written(
    attack: Callable[[storage.Blob], None], appending: Stage
) -> None:
    appending.table("a")
    for run in ("one", "two"):
        assert appending.run("--run-id", run, *KEEP).code == 0
    before = appending.objects()
    passed = []
    for name in before:
        try:
            attack(appending.store.bucket(appending.bucket).blob(name))
        except Forbidden:
            continue
        passed.append(name)
    pointers = {f"{STATE}/latest.json"}
    notes = {name for name in before if re.search(r"/runs/[^/]+/(planner\.json|publisher\.json|claims/)", name)}
    assert set(passed) == pointers | notes
    after = appending.objects()
    assert {name: after.get(name) for name in before if name not in passed} == {
        name: generation for name, generation in before.items() if name not in passed
    }
    for run in ("one", "two"):
        assert appending.command("verify", run).code == 0


def destroys(stage: Stage, *words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """What the doctor says that its account could destroy: its exit code, the outcome, and the sentence."""
    called = stage.command("doctor", "--json", *words, env=env)
    (found,) = [check for check in json.loads(called.out)["checks"] if check["name"] == "could destroy"]
    return called.code, found["outcome"], found["detail"]


def test_the_doctor_approves_an_append_only_account_and_leaves_nothing_behind(appending: Stage) -> None:
    appending.table("a")
    expected = (
        "append-only: this account cannot delete or overwrite files and manifests of runs; "
        "it can replace _bqdump/latest.json, so that readers find another run or none"
    )
    for published in (False, True):
        before = appending.objects()
        assert destroys(appending, *KEEP) == (0, "ok", expected)
        assert appending.objects() == before
        if not published:
            assert appending.run("--run-id", "one", *KEEP).code == 0
    assert "A run can start." in appending.command("doctor", *KEEP).out


def test_the_doctor_says_that_replacing_runs_need_more_than_an_append_only_account(appending: Stage) -> None:
    appending.table("a")
    called = appending.command("doctor", "--json")
    (found,) = [check for check in json.loads(called.out)["checks"] if check["outcome"] == "denied"]
    assert (called.code, found["name"], found["permission"]) == (5, "replace files", "storage.objects.delete")


def test_the_doctor_refuses_a_run_that_prunes_without_the_permission_to_delete(appending: Stage) -> None:
    appending.table("a")
    called = appending.command("doctor", "--json", *KEEP, "--prune", "--keep-last", "3")
    (found,) = [check for check in json.loads(called.out)["checks"] if check["outcome"] == "denied"]
    assert (called.code, found["name"]) == (5, "prune")
    assert "set --prune to false, and prune with a job and an account of its own" in found["detail"]
    printed = found["detail"].partition("of its own: bqdump ")[2]
    pasted = printed.replace("REGION", "europe-west1").replace("IMAGE", "registry/bqdump@sha256:12")
    job = appending.command(*shlex.split(pasted)).out
    assert re.search(r"args:\n *- prune\n", job)
    assert "bqdump-pruner@" in job
    # The way out: without pruning, a run can start.
    assert appending.command("doctor", *KEEP).code == 0


BARE = 'resource.name.endsWith("/_bqdump/latest.json") || resource.name.endsWith("/_bqdump/newest.json")'


@pytest.mark.parametrize(
    ("condition", "code", "outcome", "name"),
    [
        (BARE, 0, "warning", "replace notes of a run"),
        ('resource.name.endsWith("/_bqdump/newest.json")', 5, "denied", "replace pointers"),
    ],
)
def test_the_doctor_names_what_other_conditions_lack(
    condition: str, code: int, outcome: str, name: str, stage: Stage
) -> None:
    stage.table("a")
    roles = ("objectCreator", "objectViewer", "legacyBucketReader")
    grants = [{"role": f"roles/storage.{role}"} for role in roles]
    grant(stage, [*grants, {"role": "roles/storage.objectUser", "condition": condition}])
    called = stage.command("doctor", "--json", *KEEP)
    ran = [stage.run("--run-id", run, *KEEP).code for run in ("one", "two")]
    grant(stage, [])
    checks = {check["name"]: check for check in json.loads(called.out)["checks"]}
    assert (called.code, checks[name]["outcome"]) == (code, outcome)
    # A warning does not stop a run that is neither long nor killed.
    assert ran == [0, code]
