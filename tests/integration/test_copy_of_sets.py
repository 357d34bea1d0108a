"""A set of datasets is copied as a set: every command finds it there, with what its datasets have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from integration.stage import Stage
from integration.test_sets import DATASETS, EVERY, TABLES, fill
from integration.test_vault import KEEP, create_bucket
from integration.test_vault import dest as vault_at
from s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.bucket()
        yield server


def test_a_set_is_copied_as_a_set_and_restored_from_the_copy(stage: Stage, s3: S3Server) -> None:
    fill(stage)
    assert stage.run("--run-id", "n1", env=EVERY).code == 0
    for dest in (str(stage.folder / "second"), "s3://bucket/second"):
        dry = stage.command("copy", dest, "--dry-run", "--json", env=EVERY)
        assert dry.code == 0, dry.text
        assert {run["state"] for run in json.loads(dry.out)["runs"]} == {"missing"}
        called = stage.command("copy", dest, env=EVERY)
        assert called.code == 0, called.text
        assert all(dataset in called.out for dataset in DATASETS)
        again = json.loads(stage.command("copy", dest, "--json", env=EVERY).out)
        assert {(run["dataset"], run["state"]) for run in again["runs"]} == {(one, "there") for one in DATASETS}
        every = {"SOURCE_DATASET": "*"}
        status = json.loads(stage.command("status", "--to", dest, "--json", env=every).out)
        assert (status["state"], status["latest"]) == ("published", "n1")
        assert {one["dataset"] for one in status["datasets"]} == set(DATASETS)
        runs = stage.command("runs", "--to", dest, env=every)
        assert (runs.code, runs.out.count("n1")) == (0, 3), runs.text
        verified = stage.command("verify", "--read", "--to", dest, env=every)
        assert verified.code == 0, verified.text
        pruned = stage.command("prune", "--to", dest, "--keep-last", "1", "--yes", env=every)
        assert pruned.code == 0, pruned.text
    via = f"gs://{stage.bucket}/via"
    restored = stage.command(
        "restore", "--to", "s3://bucket/second", "--into", "{dataset}_back", "--via", via, "--verify", env=every
    )
    assert restored.code == 0, restored.text
    for dataset in DATASETS:
        assert {table.table_id for table in stage.big.list_tables(f"{dataset}_back")} == set(TABLES)


def test_a_place_is_of_a_set_or_of_one_dataset_and_locked_or_not(stage: Stage) -> None:
    fill(stage)
    assert stage.run("--run-id", "n1", *KEEP, env=EVERY).code == 0
    create_bucket(stage)
    at, lock = vault_at(stage), ("--lock", "35d")
    one = ("--to", f"gs://{stage.bucket}/x/sales")
    assert stage.command("copy", at, *lock, env=EVERY).code == 0
    assert stage.command("copy", f"{at}-plain", env=EVERY).code == 0
    assert stage.command("copy", f"{at}-one", *one, *lock, env=EVERY).code == 0
    for words, expected in (
        ((at,), "it holds locked copies"),
        ((at, *lock, "--lock-mode", "compliance"), "governance"),
        ((at, *one, *lock), "it holds copies of a set of datasets of "),
        ((f"{at}-plain", *lock), "it holds copies that are not locked"),
        ((f"{at}-one", *lock), "and this is a set of datasets of "),
    ):
        called = stage.command("copy", *words, env=EVERY)
        assert (called.code, expected in called.err) == (2, True), (words, called.text)
