"""Bad input: one clear sentence, its exit code, and nothing is touched."""

from __future__ import annotations

import pytest
import requests

from integration.command import Called
from integration.stage import Stage, csv_rows, expected_rows, records


def refused(called: Called, code: int, *words: str) -> None:
    """It ended with this code and told one error that says all of this."""
    assert called.code == code, called
    (error,) = called.errors
    for word in words:
        assert word in error
    assert "Traceback" not in called.out + called.err
    assert (
        error.rstrip()[-1] in ".?})"
        or "For example" in error
        or "Run:" in error
        or "bqdump run" in error
        or error.endswith(": bqdump init")
        or ": gcloud " in error
    )


@pytest.mark.parametrize("name", ["PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_setting_is_refused(stage: Stage, name: str, value: str) -> None:
    refused(stage.command("run", env={name: value}), 2, name)
    assert stage.objects() == {}


def test_a_view_that_bigquery_cannot_read_is_refused_in_one_sentence(stage: Stage) -> None:
    place = f"{stage.project}.{stage.dataset}"
    stage.table("orders")
    stage.sql(f"CREATE TABLE `{place}.base` AS SELECT 1 AS kept, 2 AS gone")
    stage.sql(f"CREATE VIEW `{place}.broken` AS SELECT gone FROM `{place}.base`")
    stage.sql(f"CREATE OR REPLACE TABLE `{place}.base` AS SELECT 1 AS kept")
    called = stage.command("plan")
    refused(called, 2, "table broken: BigQuery refuses to query it (broken: ", "gone", "--exclude broken")
    assert called.err.count("\n") == 1
    assert not any(word in called.err for word in ("POST", "http", "Job ID", "Location:"))


def test_every_task_reports_why_the_run_cannot_be_planned(stage: Stage) -> None:
    ran = stage.execute("--dataset", "nowhere", tasks=3)
    assert ran.codes == [5, 5, 5], ran.text
    reported = [record for record in records(ran.text) if record["severity"] == "ERROR"]
    assert len(reported) == 3
    assert all(f"{stage.project}.nowhere" in record["message"] for record in reported)
    assert stage.objects() == {}


@pytest.mark.parametrize("permission", ["storage.objects.create", "storage.objects.get", "storage.objects.list"])
def test_a_missing_permission_is_named_with_the_role_that_has_it(stage: Stage, permission: str) -> None:
    stage.table("a")
    stage.deny(permission)
    refused(stage.command("run"), 5, permission, "roles/storage.objectUser")
    stage.deny()
    assert stage.files() == []


def test_a_bucket_with_a_retention_policy_is_refused(stage: Stage) -> None:
    stage.table("a")
    bucket = stage.store.get_bucket(stage.bucket)
    bucket.retention_period = 3600
    bucket.patch()
    refused(stage.command("run"), 2, "retention policy", "3,600 seconds", "Use a bucket without")
    assert stage.objects() == {}
    assert stage.extracts() == []


def test_a_run_that_was_planned_with_other_settings(stage: Stage) -> None:
    stage.table("a")
    assert stage.command("run", "--run-id", "first").code == 0
    before = stage.objects()
    refused(stage.command("run", "--run-id", "first", "--format", "json"), 2, "run first", "other settings (format)")
    assert stage.objects() == before


HOSTILE = ["with space", "with-dash", "straße 東京", "100%", "a%2Fb", "quote'd", "-", "x@1", "a" * 255]


def test_hostile_names_of_tables_are_exported(stage: Stage) -> None:
    names = [name for name in HOSTILE if made(stage, name)]
    assert {"with space", "with-dash", "straße 東京", "a" * 255} <= set(names)
    called = stage.command("run")
    assert called.code == 0, called
    assert sorted(stage.files()) == sorted(f"{name}/{name}_000000000000.csv" for name in names)
    assert sorted(table.table for table in stage.manifest().tables) == sorted(names)


def made(stage: Stage, name: str) -> bool:
    """Make an empty table; False where BigQuery refuses the name."""
    body = {
        "tableReference": {"projectId": stage.project, "datasetId": stage.dataset, "tableId": name},
        "schema": {"fields": [{"name": "id", "type": "INT64"}]},
    }
    url = f"{stage.stack.bigquery}/bigquery/v2/projects/{stage.project}/datasets/{stage.dataset}/tables"
    return requests.post(url, json=body, timeout=10).ok


def test_a_name_too_long_for_an_object_is_refused_before_anything_is_written(stage: Stage) -> None:
    name = "é" * 300
    assert made(stage, name)
    stage.table("short", 1)
    refused(stage.command("run"), 2, name[:60], "1,024", "--path")
    assert stage.objects() == {}
    assert stage.command("run", "--path", "{table}_*.{ext}").code == 0
    assert stage.files() == ["short_000000000000.csv", f"{name}_000000000000.csv"]
    assert csv_rows(stage.read("short_000000000000.csv")) == expected_rows("short", 1)
