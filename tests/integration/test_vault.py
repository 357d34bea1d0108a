"""Locked copies: every object is written once, every command reads them, and nothing is deleted before its date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from google.cloud import storage

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.render.append_only import COPIER, PRUNER
from integration.command import Called, call_in
from integration.stage import Stage
from integration.test_append_only import destroys

KEEP = ("--path", "{run}/{table}/{table}_*.{ext}")
STATE = "sales/_bqdump"


def local(stage: Stage, what: str, body: dict[str, Any]) -> None:
    requests.put(f"{stage.stack.storage}/_local/{what}", json=body, timeout=10).raise_for_status()


def name_of(stage: Stage) -> str:
    return f"{stage.bucket}-vault"


def dest(stage: Stage) -> str:
    return f"gs://{name_of(stage)}/sales"


def bucket_url(stage: Stage) -> str:
    return f"{stage.stack.storage}/storage/v1/b/{name_of(stage)}"


def create_bucket(stage: Stage, settings: dict[str, Any] | None = None, *, locks: bool = True) -> storage.Bucket:
    """An empty bucket in which single objects can be locked."""
    query = {"project": stage.project, **({"enableObjectRetention": "true"} if locks else {})}
    body = {"name": name_of(stage), "softDeletePolicy": {"retentionDurationSeconds": "0"}, **(settings or {})}
    answer = requests.post(f"{stage.stack.storage}/storage/v1/b", params=query, json=body, timeout=10)
    answer.raise_for_status()
    return stage.store.bucket(name_of(stage))


@pytest.fixture
def vault(stage: Stage) -> Iterator[Stage]:
    """A stage with two tables and a vault."""
    stage.table("a")
    stage.table("b")
    create_bucket(stage)
    yield stage
    local(stage, "granted", {"buckets": {}})


def export(stage: Stage, run: str, *words: str) -> None:
    ran = stage.run("--run-id", run, *KEEP, *words)
    assert ran.code == 0, ran.err


def copy(stage: Stage, *words: str, lock: str = "35d") -> Called:
    called = stage.command("copy", dest(stage), *words, "--lock", lock)
    assert called.code == 0, called.text
    return called


def objects(stage: Stage) -> dict[str, Any]:
    found = requests.get(f"{bucket_url(stage)}/o", timeout=10).json()
    return {one["name"]: one for one in found.get("items", [])}


def until(resource: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(resource["retention"]["retainUntilTime"])


def manifest(stage: Stage, run: str) -> Manifest:
    name = f"{STATE}/runs/{run}/manifest.json"
    return decode(stage.store.bucket(name_of(stage)).blob(name).download_as_bytes(), Manifest, name)


def entry(stage: Stage, run: str) -> str:
    """The name of the entry of a run in the log."""
    (name,) = [name for name in objects(stage) if f"{STATE}/log/" in name and name.endswith(f"-{run}.json")]
    return name


def shorten(stage: Stage, name: str) -> None:
    """End the lock of an object earlier, as whoever has the permission may in mode governance."""
    body = {"retention": {"mode": "Unlocked", "retainUntilTime": (datetime.now(UTC) + timedelta(days=3)).isoformat()}}
    url = f"{bucket_url(stage)}/o/{quote(name, safe='')}?overrideUnlockedRetention=true"
    requests.patch(url, json=body, timeout=10).raise_for_status()


def test_a_copy_says_until_when_each_run_is_locked(vault: Stage) -> None:
    export(vault, "one")
    dry = json.loads(copy(vault, "--dry-run", "--json").out)["runs"]
    assert [(run["state"], run["locked_until"]) for run in dry] == [("missing", None)]
    for lock, days, state in (("35d", 35, "copied"), ("40d", 40, "there"), ("2d", 40, "there")):
        (run,) = json.loads(copy(vault, "--json", lock=lock).out)["runs"]
        ends = {until(one) for name, one in objects(vault).items() if "/_bqdump/" not in name or "/runs/one/" in name}
        assert (run["state"], {datetime.fromisoformat(run["locked_until"])}) == (state, ends)
        assert abs(min(ends) - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=10)
    shown = copy(vault)
    assert "there before" in shown.out
    assert f"{min(ends):%Y-%m-%dT%H:%M:%S}.000Z" in shown.out
    # A file whose lock was shortened by somebody who may: the lock of the run is what this copy has made of it.
    name = next(name for name in objects(vault) if "/_bqdump/" not in name)
    body = {"retention": {"mode": "Unlocked", "retainUntilTime": (datetime.now(UTC) + timedelta(days=3)).isoformat()}}
    url = f"{bucket_url(vault)}/o/{quote(name, safe='')}?overrideUnlockedRetention=true"
    requests.patch(url, json=body, timeout=10).raise_for_status()
    (run,) = json.loads(copy(vault, "--json", lock="9d").out)["runs"]
    assert datetime.fromisoformat(run["locked_until"]) == until(objects(vault)[name])
    assert until(objects(vault)[name]) < min(ends)


def test_a_bucket_that_keeps_all_objects_takes_locked_copies(stage: Stage) -> None:
    stage.table("a")
    create_bucket(stage, {"retentionPolicy": {"retentionPeriod": "3600"}, "defaultEventBasedHold": True})
    for run in ("one", "two"):
        export(stage, run)
        copy(stage)
    assert stage.command("verify", "--read", "--to", dest(stage)).code == 0
    pruned = stage.command("prune", "--to", dest(stage), "--keep-last", "1", "--yes")
    assert pruned.code == 0, pruned.text
    assert "kept: locked until" in pruned.out


def test_files_that_a_newer_run_names_are_locked_until_its_date(vault: Stage) -> None:
    for run, lock in (("one", "1d"), ("two", "2d"), ("three", "9d")):
        export(vault, run, "--incremental")
        copy(vault, lock=lock)
    origin = manifest(vault, "three").copy_of
    assert origin
    there = objects(vault)
    names = [file.name for table in manifest(vault, "three").tables for file in table.files]
    assert names
    assert all("/two/" in name for name in names)
    ends = {until(there[name]).timestamp() * 1000 for name in names}
    assert ends == {origin.locked_until}
    # Whoever may do so ends one earlier.
    (name, _) = names
    document = entry(vault, "three")
    for one in (name, document):
        shorten(vault, one)
    called = vault.command("verify", "--to", dest(vault), "--json")
    assert called.code == 4
    assert [(one["kind"], one["file"]) for one in json.loads(called.out)["findings"]] == [
        ("lock", document),
        ("lock", name),
    ]
    # The next copy of the run locks it again.
    copy(vault, lock="10d")
    assert vault.command("verify", "--to", dest(vault)).code == 0


def test_what_cannot_be_a_vault_is_refused_in_one_sentence(stage: Stage) -> None:
    stage.table("a")
    export(stage, "one")
    called = stage.command("copy", "folder", "--lock", "35d")
    assert (called.code, "files in a folder cannot be locked" in called.err) == (2, True), called
    for words, expected in (
        (("--lock-mode", "governance"), "for how long"),
        (("--lock", "35"), "it has no unit"),
        (("--lock", "35m"), "a lock that ends within a day protects nothing"),
        (("--lock", "1d", "--lock-mode", "strict"), "expected governance or compliance"),
    ):
        called = stage.command("copy", dest(stage), *words)
        assert (called.code, expected in called.err) == (2, True), called
    create_bucket(stage, locks=False)
    called = stage.command("copy", dest(stage), "--lock", "35d")
    assert (called.code, "--enable-per-object-retention" in called.err) == (2, True), called
    assert objects(stage) == {}
    assert stage.command("copy", dest(stage)).code == 0
    called = stage.command("copy", dest(stage), "--lock", "35d")
    assert (called.code, "it holds copies that are not locked" in called.err) == (2, True), called


def test_a_vault_takes_no_copies_that_are_not_locked_and_none_of_another_mode(vault: Stage) -> None:
    export(vault, "one")
    copy(vault)
    before = objects(vault)
    for words, expected in (
        ((), "it holds locked copies"),
        (("--lock", "9d", "--lock-mode", "compliance"), "governance"),
    ):
        called = vault.command("copy", dest(vault), *words)
        assert (called.code, expected in called.err) == (2, True), called
    assert objects(vault) == before


def test_a_drill_takes_nothing_but_the_vault_the_key_and_a_project(vault: Stage) -> None:
    assert vault.command("keys", "new", "copier").code == 0
    export(vault, "one")
    copy(vault, "--sign", "copier.key")
    # The export is lost, and the dataset.
    for blob in vault.store.list_blobs(vault.bucket):
        blob.delete()
    vault.big.delete_dataset(vault.dataset, delete_contents=True)
    local(vault, "granted", {"buckets": {name_of(vault): [{"permissions": COPIER[:3]}]}})
    lost = ("SOURCE_DATASET", "DESTINATION_BUCKET")
    alone = {name: value for name, value in vault.variables.items() if name not in lost}
    trust = ("--to", dest(vault), "--trust", "copier.pub")
    called = call_in(vault.folder, alone, "drill", *trust, "--via", f"gs://{vault.bucket}/via")
    assert called.code == 0, called.text
    assert "2 of 2 tables" in called.text
    local(vault, "granted", {"buckets": {}})
    listed = json.loads(call_in(vault.folder, alone, "runs", "--json", "--to", dest(vault)).out)
    assert [(run["run"], run["proven_tables"]) for run in listed] == [("one", 2)]
    refused = call_in(vault.folder, alone, "drill", "--to", dest(vault), "--trust", "signing.pub")
    assert refused.code == 2, refused


def test_where_the_source_is_signed_a_copier_gets_another_key_and_every_night_is_quiet(vault: Stage) -> None:
    for name in ("exporter", "first", "second"):
        assert vault.command("keys", "new", name).code == 0
    words = ("copy", dest(vault), "--all", "--lock", "35d")
    for run, signer, trusted in (
        ("one", "first", "exporter.pub"),
        ("two", "second", "exporter.pub,first.pub"),
        ("three", "second", "exporter.pub,first.pub"),
    ):
        ran = vault.run("--run-id", run, *KEEP, "--sign", "exporter.key")
        assert ran.code == 0, ran.err
        copied = vault.command(*words, "--sign", f"{signer}.key", "--trust", trusted)
        assert copied.code == 0, copied.text
    for run in ("one", "two", "three"):
        assert vault.command("verify", run, "--to", dest(vault), "--trust", "first.pub,second.pub").code == 0
    # Without the former key, the copy says which one to add.
    forgot = vault.command(*words, "--sign", "second.key", "--trust", "exporter.pub")
    assert forgot.code == 3
    assert "{setting" not in forgot.text
    assert "or trust that key as well, where the source is signed" in forgot.text


def test_the_doctor_says_before_which_date_its_account_can_delete_no_copy(vault: Stage) -> None:
    at = ("--to", dest(vault))
    for run, lock in (("one", "2d"), ("two", "3d")):
        export(vault, run)
        copy(vault, lock=lock)
    ends = [
        f"{until(objects(vault)[f'{STATE}/runs/{run}/manifest.json']):%Y-%m-%dT%H:%M:%S}.000Z" for run in ("one", "two")
    ]
    earlier = "; an account that may override governance locks can"
    expected = f"this account can delete no run before {ends[0]} (the last one: {ends[1]}){earlier}"
    assert destroys(vault, *at)[1:] == ("ok", expected)
    # As the pruner, which creates nothing, and the copier, which deletes nothing.
    for permissions, found in ((PRUNER, expected), (COPIER, "this account cannot delete or overwrite anything")):
        local(vault, "granted", {"buckets": {name_of(vault): [{"permissions": permissions}]}})
        assert destroys(vault, *at)[1:] == ("ok", found)
    local(vault, "granted", {"buckets": {}})
    url = f"{bucket_url(vault)}/o/{quote(f'{STATE}/runs/one/manifest.json', safe='')}?overrideUnlockedRetention=true"
    requests.patch(url, json={"retention": None}, timeout=10).raise_for_status()
    expected = f"this account can delete only 1 run, and no other before {ends[1]} (the last one: {ends[1]}){earlier}"
    assert destroys(vault, *at)[1:] == ("warning", expected)


def test_a_bucket_in_which_locked_objects_can_be_hidden_as_versions_is_no_vault(stage: Stage) -> None:
    stage.table("a")
    create_bucket(stage, {"versioning": {"enabled": True}})
    export(stage, "one")
    refused = stage.command("copy", dest(stage), "--lock", "35d")
    assert (refused.code, "Object Versioning is on" in refused.err) == (2, True), refused.text
    assert objects(stage) == {}
    update = {"versioning": {"enabled": False}}
    requests.patch(bucket_url(stage), json=update, timeout=10).raise_for_status()
    copy(stage)
    # Turned on later, it does not stop copies, which would leave the newest runs without any.
    requests.patch(bucket_url(stage), json={"versioning": {"enabled": True}}, timeout=10).raise_for_status()
    export(stage, "two")
    copy(stage)
    _, outcome, said = destroys(stage, "--to", dest(stage))
    assert (outcome, "can hide all of them as noncurrent versions" in said) == ("warning", True), said


@pytest.mark.parametrize(
    ("keeping", "back"),
    [
        ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, "gcloud storage restore 'gs://{object}'"),
        ({"versioning": {"enabled": True}}, "gcloud storage cp 'gs://{object}' gs://{name}"),
    ],
)
def test_a_deleted_file_is_named_with_what_brings_it_back(keeping: dict[str, Any], back: str, stage: Stage) -> None:
    stage.table("a")
    url = f"{stage.stack.storage}/storage/v1/b/{stage.bucket}"
    requests.patch(url, json=keeping, timeout=10).raise_for_status()
    export(stage, "one")
    name, generation = next((name, made) for name, made in stage.objects().items() if name.endswith(".csv"))
    stage.store.bucket(stage.bucket).blob(name).delete()
    called = stage.command("verify")
    address = f"{stage.bucket}/{name}"
    expected = back.format(object=f"{address}#{generation}", name=address)
    assert (called.code, f"bring it back: {expected}" in called.out) == (4, True), called.text
