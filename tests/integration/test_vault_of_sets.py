"""Locked copies of a set of datasets: every command finds the set there, and nothing is written twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from integration.command import Called
from integration.stage import Stage
from integration.test_sets import DATASETS, EVERY, TABLES, fill
from integration.test_vault import KEEP, create_bucket, dest, local, objects, shorten

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


def asked(stage: Stage, *words: str) -> Any:
    called = stage.command(*words, "--json", "--to", dest(stage), env=AT)
    assert called.code == 0, called.text
    return json.loads(called.out)


def test_every_command_finds_the_newest_run_of_a_locked_set(vault: Stage) -> None:
    for run in ("one", "two"):
        export(vault, run)
        copy(vault)
    via = f"gs://{vault.bucket}/via"
    for words, expected in (
        (("runs",), "two"),
        (("status",), "two"),
        (("doctor",), "can delete no run before 20"),
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
