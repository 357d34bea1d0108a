"""Bad input: one clear sentence, its exit code, and nothing is touched."""

from __future__ import annotations

import pytest
import requests

from integration.command import Called, call
from integration.stage import Stage, csv_rows, expected_rows, records


@pytest.fixture
def outside(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose three settings stand in the environment, in an empty working directory."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(stage.folder)
    return stage


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
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_or_empty_setting_is_refused(
    outside: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    refused(call(capsys, "run"), 2, name)
    assert outside.objects() == {}


def test_a_view_that_bigquery_cannot_read_is_refused_in_one_sentence(
    outside: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{outside.project}.{outside.dataset}"
    outside.table("orders")
    outside.sql(f"CREATE TABLE `{place}.base` AS SELECT 1 AS kept, 2 AS gone")
    outside.sql(f"CREATE VIEW `{place}.broken` AS SELECT gone FROM `{place}.base`")
    outside.sql(f"CREATE OR REPLACE TABLE `{place}.base` AS SELECT 1 AS kept")
    called = call(capsys, "plan")
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
def test_a_missing_permission_is_named_with_the_role_that_has_it(
    outside: Stage, capsys: pytest.CaptureFixture[str], permission: str
) -> None:
    outside.table("a")
    outside.deny(permission)
    refused(call(capsys, "run"), 5, permission, "roles/storage.objectUser")
    outside.deny()
    assert outside.files() == []


def test_a_bucket_with_a_retention_policy_is_refused(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    outside.table("a")
    bucket = outside.store.get_bucket(outside.bucket)
    bucket.retention_period = 3600
    bucket.patch()
    refused(call(capsys, "run"), 2, "retention policy", "3600 seconds", "Use a bucket without")
    assert outside.objects() == {}
    assert outside.extracts() == []


def test_a_run_that_was_planned_with_other_settings(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    outside.table("a")
    assert call(capsys, "run", "--run-id", "first").code == 0
    before = outside.objects()
    refused(call(capsys, "run", "--run-id", "first", "--format", "json"), 2, "run first", "other settings (format)")
    assert outside.objects() == before


HOSTILE = ["with space", "with-dash", "straße 東京", "100%", "a%2Fb", "quote'd", "-", "x@1", "a" * 255]


def test_hostile_names_of_tables_are_exported(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in HOSTILE if made(outside, name)]
    assert {"with space", "with-dash", "straße 東京", "a" * 255} <= set(names)
    called = call(capsys, "run")
    assert called.code == 0, called
    assert sorted(outside.files()) == sorted(f"{name}/{name}_000000000000.csv" for name in names)
    assert sorted(table.table for table in outside.manifest().tables) == sorted(names)


def made(stage: Stage, name: str) -> bool:
    """Make an empty table; False where BigQuery refuses the name."""
    body = {
        "tableReference": {"projectId": stage.project, "datasetId": stage.dataset, "tableId": name},
        "schema": {"fields": [{"name": "id", "type": "INT64"}]},
    }
    url = f"{stage.stack.bigquery}/bigquery/v2/projects/{stage.project}/datasets/{stage.dataset}/tables"
    return requests.post(url, json=body, timeout=10).ok


def test_a_name_too_long_for_an_object_is_refused_before_anything_is_written(
    outside: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "é" * 300
    assert made(outside, name)
    outside.table("short", 1)
    refused(call(capsys, "run"), 2, name[:60], "1,024", "--path")
    assert outside.objects() == {}
    assert call(capsys, "run", "--path", "{table}_*.{ext}").code == 0
    assert outside.files() == ["short_000000000000.csv", f"{name}_000000000000.csv"]
    assert csv_rows(outside.read("short_000000000000.csv")) == expected_rows("short", 1)
