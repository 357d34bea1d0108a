"""Thieves with the grants of the exporter, the copier and the pruner of a vault: yesterday's run survives them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from google.api_core.exceptions import Forbidden
from google.cloud import storage

from bqdump.core.documents.layout import Layout
from bqdump.core.times import rfc3339
from bqdump.render.append_only import COPIER, PRUNER
from integration.stage import Stage
from integration.test_append_only import ATTACKS, noted
from integration.test_vault import STATE, bucket_url, create_bucket, dest, entry, export, local, name_of, objects

ROLES = {"exporter": (), "copier": COPIER, "pruner": PRUNER}
SIGN, TRUST = ("--sign", "copier.key"), ("--trust", "copier.pub")
LAYOUT = Layout("sales/")


def grant(stage: Stage, *permissions: str) -> None:
    local(stage, "granted", {"buckets": {name_of(stage): [{"permissions": permissions}]}})


def release(stage: Stage) -> None:
    local(stage, "granted", {"buckets": {}})


@pytest.fixture
def vault(stage: Stage) -> Iterator[Stage]:
    """A vault with the signed copy of yesterday's run."""
    stage.table("a")
    create_bucket(stage)
    assert stage.command("keys", "new", "copier").code == 0
    export(stage, "yesterday")
    copy(stage)
    yield stage
    release(stage)


def copy(stage: Stage) -> None:
    called = stage.command("copy", dest(stage), "--lock", "35d", *SIGN)
    assert called.code == 0, called.text


def survives(stage: Stage) -> str:
    """Hold that the vault's run is yesterday's, whole, and restores equal; what was said meanwhile."""
    release(stage)
    at = ("--to", dest(stage), *TRUST)
    called = stage.command("verify", "--read", "--json", *at)
    assert called.code == 0, called.text
    assert json.loads(called.out)["run"] == "yesterday"
    into = f"{stage.dataset}_restored"
    words = ("--project", stage.project, "--into", into, "--via", f"gs://{stage.bucket}/via")
    restored = stage.command("restore", *at, *words)
    assert restored.code == 0, restored.text
    tables = (f"`{stage.project}.{dataset}.a` ORDER BY id" for dataset in (stage.dataset, into))
    before, after = (stage.sql(f"SELECT * FROM {table}") for table in tables)
    assert before == after
    return called.err


def shortened(blob: storage.Blob) -> None:
    sooner = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    retain(blob, {"mode": "Unlocked", "retainUntilTime": sooner})


def unlocked(blob: storage.Blob) -> None:
    retain(blob, None)


def retain(blob: storage.Blob, retention: dict[str, str] | None) -> None:
    blob.client._connection.api_request(
        "PATCH", blob.path, query_params={"overrideUnlockedRetention": "true"}, data={"retention": retention}
    )


def without_a_policy(blob: storage.Blob) -> None:
    policy = {"retentionPolicy": None, "softDeletePolicy": {"retentionDurationSeconds": "0"}}
    blob.client._connection.api_request("PATCH", blob.bucket.path, data=policy)


def bucket_deleted(blob: storage.Blob) -> None:
    blob.client._connection.api_request("DELETE", blob.bucket.path)


@pytest.mark.parametrize("role", ROLES)
def test_a_thief_changes_no_object_of_the_vault(role: str, vault: Stage) -> None:
    before = {name: object_["generation"] for name, object_ in objects(vault).items()}
    grant(vault, *ROLES[role])
    passed = set[tuple[str, str]]()
    attacks: tuple[Callable[[storage.Blob], None], ...] = (
        *ATTACKS, shortened, unlocked, without_a_policy, bucket_deleted,
    )  # fmt: skip
    for name in before:
        for attack in attacks:
            try:
                attack(vault.store.bucket(name_of(vault)).blob(name))
            except Forbidden:
                continue
            passed.add((attack.__name__, name))
    # What an object's metadata say beside its content is not believed.
    assert {attack for attack, _ in passed} == ({noted.__name__} if role == "copier" else set())
    release(vault)
    assert {name: object_["generation"] for name, object_ in objects(vault).items()} == before
    survives(vault)


def test_what_a_thief_plants_with_the_copiers_grants_is_named(vault: Stage) -> None:
    bucket = vault.store.bucket(name_of(vault))
    documents = {name: bucket.blob(name).download_as_bytes() for name in objects(vault)}
    grant(vault, *COPIER)

    def plant(name: str, data: bytes) -> None:
        bucket.blob(name).upload_from_string(data, if_generation_match=0)

    own = entry(vault, "yesterday")
    taken = json.loads(documents[own])["snapshot"]

    def enter(run: str, later: int, /, **changed: object) -> str:
        """Yesterday's entry as one of another run or time; its name. later: by so many milliseconds."""
        snapshot = taken + later
        times = {"snapshot": snapshot, "snapshot_time": rfc3339(snapshot)}
        name = LAYOUT.entry(run, snapshot).name
        plant(name, json.dumps(json.loads(documents[own]) | times | changed).encode())
        return name

    def plant_run(run: str, later: int, **changed: object) -> str:
        """A complete run, with all of its documents, which fits its file; another signature than its own."""
        for name, data in documents.items():
            if "yesterday" in name and name != own and "manifest.json" not in name:
                plant(name.replace("yesterday", run), data.replace(b"yesterday", run.encode()))
        manifest = json.loads(documents[f"{STATE}/runs/yesterday/manifest.json"].replace(b"yesterday", run.encode()))
        (file,) = manifest["tables"][0]["files"]
        file["generation"] = int(bucket.get_blob(file["name"]).generation)
        changed |= {"snapshot": taken + later, "snapshot_time": rfc3339(taken + later)}
        name = f"{STATE}/runs/{run}/manifest.json"
        plant(name, json.dumps(manifest | changed, separators=(",", ":")).encode())
        return enter(run, later, run=run, generation=int(bucket.get_blob(name).generation), **changed)

    century = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000) - taken
    named = [
        plant_run("newer", 1),
        plant_run("stranger", 1, dataset="stranger"),
        plant_run("future", century),
        # Of a run that is signed.
        enter("yesterday", 1),
        enter("yesterday", century),
        enter("back", 1),
        enter("missing", 1, run="missing"),
        LAYOUT.entry("junk", taken + 1).name,
        f"{STATE}/log/junk.json",
    ]
    plant_run("older", -1)
    for name in named[-2:]:
        plant(name, b"junk")
    # What says that a set of datasets is there, or that another run was planned.
    listed = {"dataset": "stranger", "location": "EU", "state": "published", "run": "stranger", "status": "complete"}
    project = {"run": "stranger", "tool": "", "status": "complete", "project": "p", "prefix": "sales/", "snapshot": 1}
    member = listed | dict.fromkeys(("tables", "rows", "files", "bytes", "manifest_generation"), 0)
    member |= {
        "snapshot_time": "1970-01-01T00:00:00.001Z",
        "manifest": "sales/stranger/_bqdump/runs/stranger/manifest.json",
    }
    project |= {"format_version": 1, "snapshot_time": "1970-01-01T00:00:00.001Z", "datasets": [member]}
    plant(f"{STATE}/project.json", json.dumps(project).encode())
    plant(f"{STATE}/latest.json", documents[own])
    plant(f"{STATE}/newest.json", json.dumps({"format_version": 1, "run": "newer"}).encode())
    plant(f"{STATE}/runs/junk/manifest.json", b"junk")
    plant("sales/junk", b"junk" * 1000)
    said = survives(vault)
    for name in named:
        assert f"{name} is not used" in said, (name, said)
    at = ("--to", dest(vault), *TRUST)
    drilled = vault.command("drill", *at, "--project", vault.project, "--via", f"gs://{vault.bucket}/via")
    assert (drilled.code, "1 of 1 table" in drilled.out) == (0, True), drilled.text
    for run in ("newer", "stranger", "future", "older"):
        called = vault.command("verify", run, *at)
        assert (called.code, f"cannot trust run {run}" in called.err) == (4, True), called
    # The next copy is the published run all the same.
    export(vault, "today")
    copy(vault)
    assert json.loads(vault.command("verify", "--json", *at).out)["run"] == "today"


def test_a_run_that_a_thief_has_copied_and_signed_first_is_no_success_of_a_copy_of_all_runs(vault: Stage) -> None:
    export(vault, "today")
    assert vault.command("keys", "new", "thief").code == 0
    stolen = vault.command("copy", dest(vault), "today", "--lock", "35d", "--sign", "thief.key")
    assert stolen.code == 0, stolen.text
    export(vault, "tonight")
    every = ("copy", dest(vault), "--all", "--lock", "35d", *SIGN)
    for tonight, words in (("missing", ("--dry-run",)), ("copied", ()), ("there", ())):
        called = vault.command(*every, "--json", *words)
        assert called.code == 3, called.text
        runs = {run["run"]: run for run in json.loads(called.out)["runs"]}
        states = {run: found["state"] for run, found in runs.items()}
        assert states == {"yesterday": "there", "today": "not trusted", "tonight": tonight}
        assert "none of the key of this copy" in runs["today"]["problem"]
        assert words or "today (it has a signature of SHA256:" in called.err, called.err
    shown = vault.command(*every)
    (line,) = [line for line in shown.out.splitlines() if line.startswith("today ")]
    assert (shown.code, "not trusted" in line, "Name the run" in line) == (3, True, True), shown.text
    # Named, it is compared and signed.
    assert vault.command("copy", dest(vault), "today", "--lock", "35d", *SIGN).code == 0
    assert vault.command("verify", "today", "--to", dest(vault), *TRUST).code == 0
    again = vault.command(*every)
    assert (again.code, "not trusted" in again.text) == (0, False), again.text


def unlock_all(stage: Stage) -> None:
    """End every lock, as time would."""
    for name in objects(stage):
        url = f"{bucket_url(stage)}/o/{quote(name, safe='')}?overrideUnlockedRetention=true"
        requests.patch(url, json={"retention": None}, timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"copy_of": {"locked_until": 0}}, 4, "it was changed, and is not signed"),
        ({"copy_of": {"source": "gs://elsewhere/sales"}}, 4, "its manifest names source gs://elsewhere/sales"),
        ({"dataset": "stranger"}, 2, "has another run of this id"),
    ],
)
def test_a_manifest_of_another_lock_or_source_is_not_signed_in_a_vault(
    changed: dict[str, Any], code: int, said: str, stage: Stage
) -> None:
    stage.table("a")
    create_bucket(stage)
    assert stage.command("keys", "new", "copier").code == 0
    export(stage, "today")
    lock = ("copy", dest(stage), "--lock", "35d")
    assert stage.command(*lock).code == 0
    unlock_all(stage)
    there = stage.store.bucket(name_of(stage)).blob(f"{STATE}/runs/today/manifest.json")
    manifest = json.loads(there.download_as_bytes())
    for name, value in changed.items():
        manifest[name] = manifest[name] | value if isinstance(value, dict) else value
    there.upload_from_string(json.dumps(manifest, separators=(",", ":")))
    called = stage.command(*lock, *SIGN)
    assert (called.code, said in called.err) == (code, True), called.text
    assert not stage.store.bucket(name_of(stage)).blob(f"{STATE}/runs/today/signature.json").exists()


def test_the_copier_needs_each_of_its_permissions_and_no_other(vault: Stage) -> None:
    export(vault, "today", "--incremental")
    export(vault, "tonight", "--incremental")
    grant(vault, *COPIER)
    copy(vault)
    for run, missing in enumerate(COPIER):
        export(vault, f"r{run}", "--incremental")
        grant(vault, *(permission for permission in COPIER if permission != missing))
        called = vault.command("copy", dest(vault), "--lock", "36d", *SIGN)
        assert called.code == 5, (missing, called.text)
    grant(vault, *COPIER)
    copy(vault)


def test_the_pruner_needs_each_of_its_permissions_and_creates_nothing(vault: Stage) -> None:
    export(vault, "today")
    copy(vault)
    prune = ("prune", "--to", dest(vault), "--keep-last", "1", "--yes")
    grant(vault, *PRUNER)
    locked = vault.command(*prune)
    assert (locked.code, "kept: locked until" in locked.out) == (0, True), locked
    release(vault)
    unlock_all(vault)
    for missing in PRUNER:
        grant(vault, *(permission for permission in PRUNER if permission != missing))
        called = vault.command(*prune)
        # What may not be deleted is left, and named.
        assert called.code == 5 or "left: " in called.out, (missing, called.text)
    grant(vault, *PRUNER)
    with pytest.raises(Forbidden):
        vault.store.bucket(name_of(vault)).blob("sales/new").upload_from_string(b"")
    assert vault.command(*prune).code == 0
    release(vault)
    assert not [name for name in objects(vault) if "yesterday" in name]
    # Nothing is locked any more, and all else is as it was.
    verified = json.loads(vault.command("verify", "--read", "--json", "--to", dest(vault), *TRUST).out)
    assert {finding["kind"] for finding in verified["findings"]} == {"lock"}
    assert verified["read"]["files"] == 1
