"""Locked copies of a set of datasets: every command finds the set there, and nothing is written twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bqdump.core.documents.codec import decode
from bqdump.core.documents.sets import SetManifest
from integration.command import Called
from integration.stage import Stage
from integration.test_sets import DATASETS, EVERY, TABLES, fill
from integration.test_vault import KEEP, create_bucket, dest, local, name_of, objects, shorten, until

STATE = "sales/_bqdump"
AT = {"SOURCE_DATASET": "*"}


@pytest.fixture
def vault(stage: Stage) -> Iterator[Stage]:
    """Two datasets, and a vault."""
    fill(stage)
    create_bucket(stage)
    yield stage
    local(stage, "granted", {"buckets": {}})


def export(stage: Stage, run: str, *words: str, env: dict[str, str] | None = None) -> None:
    ran = stage.run("--run-id", run, *KEEP, *words, env=env or EVERY)
    assert ran.code == 0, ran.err


def copy(stage: Stage, *words: str, lock: str = "35d") -> Called:
    called = stage.command("copy", dest(stage), "--lock", lock, *words, env=EVERY)
    assert called.code == 0, called.text
    return called


def manifest(stage: Stage, run: str) -> SetManifest:
    """The only manifest of a run of the set."""
    (name,) = [
        name
        for name in objects(stage)
        if name.startswith(f"{STATE}/projects/{run}/") and name.endswith("manifest.json")
    ]
    return decode(stage.store.bucket(name_of(stage)).blob(name).download_as_bytes(), SetManifest, name)


def asked(stage: Stage, *words: str) -> Any:
    called = stage.command(*words, "--json", "--to", dest(stage), env=AT)
    assert called.code == 0, called.text
    return json.loads(called.out)


def test_each_object_of_a_set_is_locked_and_written_once(vault: Stage) -> None:
    dry = json.loads(copy_dry(vault).out)["runs"]
    assert {(run["dataset"], run["state"]) for run in dry} == {(name, "missing") for name in DATASETS}
    assert objects(vault) == {}
    copy(vault)
    first = objects(vault)
    expected = datetime.now(UTC) + timedelta(days=35)
    for name, resource in first.items():
        assert abs(until(resource) - expected) < timedelta(minutes=10), name
    assert manifest(vault, "one").published == 2
    export(vault, "two", "--incremental")
    copy(vault, lock="50d")
    second = objects(vault)
    assert {name: second[name]["generation"] for name in first} == {
        name: one["generation"] for name, one in first.items()
    }
    # What says which place it is stays locked as long as the last copy.
    later = datetime.now(UTC) + timedelta(days=49)
    for name in ("latest.json", "project.json", "copies.json", "dataset.json"):
        assert until(second[f"{STATE}/{name}"]) > later
    # A copy again moves no file, and extends all locks.
    again = json.loads(copy(vault, "--json", lock="60d").out)["runs"]
    assert {(run["dataset"], run["run"], run["state"], run["moved_files"]) for run in again} == {
        (name, "two", "there", 0) for name in DATASETS
    }
    third = objects(vault)
    assert third.keys() == second.keys()
    latest = datetime.now(UTC) + timedelta(days=59)
    (name,) = [name for name in third if name.startswith(f"{STATE}/projects/two/")]
    (pointer,) = [name for name in third if name.startswith(f"{STATE}/pointers/two.")]
    assert min(until(third[name]), until(third[pointer])) > latest


def copy_dry(stage: Stage) -> Called:
    export(stage, "one")
    called = stage.command("copy", dest(stage), "--lock", "35d", "--dry-run", "--json", env=EVERY)
    assert called.code == 0, called.text
    return called


def test_every_command_finds_the_newest_run_of_a_locked_set(vault: Stage) -> None:
    for run in ("one", "two"):
        export(vault, run)
        copy(vault)
    via = f"gs://{vault.bucket}/via"
    for words, expected in (
        (("runs",), "two"),
        (("status",), "two"),
        (("status", "one"), "superseded"),
        (("verify", "--read"), "Every file is there"),
        (("verify", "one"), "ops_eu"),
        (("ls",), "sales"),
        (("diff",), ""),
        (("report", "-o", "page.html"), "page.html"),
        (("drill", "--via", via), "two"),
        (("restore", "--into", "{dataset}_back", "--via", via, "--verify"), "orders"),
        (("restore", "one", "--into", "{dataset}_old", "--via", via), "orders"),
        (("copy", "./back"), "sales"),
        (("runs", "--tag", "audit", "one"), "audit"),
    ):
        called = vault.command(*words, "--to", dest(vault), env=AT)
        assert called.code == 0, (words, called.text)
        assert expected in called.text, (words, called.text)
    for dataset in DATASETS:
        assert {table.table_id for table in vault.big.list_tables(f"{dataset}_back")} == set(TABLES)
    status = asked(vault, "status")
    assert (status["state"], status["latest"], status["resume"]) == ("published", "two", "")
    assert {one["state"] for one in status["datasets"]} == {"published"}
    assert vault.command("status", "--to", "./back", env=AT).code == 0


def test_a_table_is_not_erased_from_a_locked_set_and_the_date_is_named(vault: Stage) -> None:
    export(vault, "one")
    copy(vault)
    before = objects(vault)
    for table in ("orders", "sales.orders"):
        for words in ((), ("--yes",)):
            called = vault.command("erase", table, "--reason", "a request", *words, "--to", dest(vault), env=AT)
            assert (called.code, "is locked until 20" in called.err) == (2, True), called.text
    assert objects(vault) == before


def test_the_doctor_says_before_which_date_no_run_of_a_set_can_be_deleted(vault: Stage) -> None:
    export(vault, "one")
    copy(vault)
    env = {"SOURCE_DATASET": "*"}
    called = vault.command("doctor", "--to", dest(vault), "--json", env=env)
    found = [one for one in json.loads(called.out)["checks"] if one["name"] == "could destroy"]
    assert found, called.text
    assert all("can delete no run before 20" in one["detail"] for one in found), found


def test_verify_names_documents_of_a_set_that_are_locked_for_a_shorter_time_than_its_run(vault: Stage) -> None:
    assert vault.command("keys", "new", "copier").code == 0
    for run in ("one", "two"):
        export(vault, run)
        copy(vault, "--sign", "copier.key")
    at = ("--json", "--to", dest(vault), "--trust", "copier.pub")
    assert vault.command("verify", *at, env=AT).code == 0
    own = [name for name in objects(vault) if name.startswith((f"{STATE}/pointers/two.", f"{STATE}/projects/two/"))]
    own += [f"{STATE}/latest.json", "sales/ops_eu/_bqdump/runs/two/manifest.json"]
    assert len(own) == 5
    for name in own:
        shorten(vault, name)
    called = vault.command("verify", *at, env=AT)
    findings = json.loads(called.out)["findings"]
    assert (called.code, {(one["kind"], one["file"]) for one in findings}) == (4, {("lock", name) for name in own})
    assert {one["table"] for one in findings} == {"", "ops_eu"}
    # What says that the place is a set's is of every run.
    called = vault.command("verify", "one", *at, env=AT)
    assert [one["file"] for one in json.loads(called.out)["findings"]] == [f"{STATE}/latest.json"]
    copy(vault, "--sign", "copier.key")
    assert vault.command("verify", *at, env=AT).code == 0
