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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--path", "{table}/{table}.{ext}"], ["not 0", "exactly one"]),
        (["--path", "{table}/*_*.{ext}"], ["not 2", "exactly one"]),
        (["--path", "*/{table}.{ext}"], ["last part"]),
        (["--path", "{tabel}/*.{ext}"], ["unknown field {tabel}", "{table}"]),
        (["--path", "../{table}_*.{ext}"], ["--path", "are not allowed"]),
        (["--path", "/{table}_*.{ext}"], ["--path", "are not allowed"]),
        (["--path", "_bqdump/{table}_*.{ext}"], ["bqdump's own documents"]),
        (["--path", "all/part_*.{ext}"], ["{table}"]),
        (["--path", "{date}/{table}_*.{ext}"], ["{run}"]),
        (["--path", "{table}/{table_*.{ext}"], ["path"]),
        (["--prefix", "a/../b"], ["--prefix"]),
        (["--format", "xml"], ["xml", "csv, json, avro or parquet"]),
        (["--format", "avro", "--compression", "gzip"], ["gzip", "deflate or snappy"]),
        (["--compression", "zstd"], ["zstd", "none or gzip"]),
        (["--delimiter", "||"], ["--delimiter", "one character"]),
        (["--delimiter", "é"], ["--delimiter", "expected an ASCII character"]),
        (["--delimiter", "\n"], ["--delimiter", "a quote or a line break"]),
        (["--null-marker", 'say "no"'], ["--null-marker", "without quotes and line breaks"]),
        (["--null-marker", "a\nb"], ["--null-marker", "without quotes and line breaks"]),
        (["--null-marker", "N/A,"], ["--null-marker", "contains the delimiter ','"]),
        (["--null-marker", "-", "--delimiter", "-"], ["--null-marker", "contains the delimiter '-'"]),
        (["--null-marker", "NULL", "--format", "parquet"], ["--null-marker", "only valid for CSV", "--format csv"]),
        (["--row-group-rows", "10"], ["--row-group-rows", "only valid for Parquet", "--format parquet"]),
        (["--null-marker", "NULL", "--tables", '{"*": {"format": "json"}}'], ["--null-marker", "only valid for CSV"]),
        (["--concurrency", "0"], ["--concurrency", "1 to 1000"]),
        (["--labels", "Team=x"], ["Team"]),
        (["--run-id", "a/b"], ["--run-id", "letters, digits"]),
        (["--snapshot-time", "yesterday"], ["--snapshot-time", "2026-01-31T03:00:00Z"]),
        (["--bucket", "gs://target"], ["--bucket", "without gs://"]),
        (["--include", "tabel"], ["tabel", "Did you mean 'table'?"]),
        (["--location", "EU"], ["is in US"]),
        (["--snapshot-time", "2999-01-01T00:00:00Z"], ["future"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
def test_a_setting_that_cannot_be(
    outside: Stage, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    outside.table("table")
    refused(call(capsys, "run", *arguments), 2, *words)
    assert outside.objects() == {}
    assert outside.extracts() == []


def test_an_option_that_does_not_exist(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    refused(call(capsys, "run", "--formt", "csv"), 2, "--formt", "--format")
    refused(call(capsys, "runn"), 2, "runn", "Did you mean run?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('format = "csv"\nheader = yes\n', ["line 2"]),
        ('formt = "csv"\n', ["formt", "'format'"]),
        ('format = "xml"\n', ["bqdump.toml", "format", "xml"]),
    ],
    ids=["no TOML", "unknown setting", "wrong value"],
)
def test_a_settings_file_that_cannot_be_used(
    outside: Stage, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    (outside.folder / "bqdump.toml").write_text(text)
    refused(call(capsys, "run"), 2, "bqdump.toml", *words)
    assert outside.objects() == {}


def test_a_settings_file_that_does_not_exist_is_refused(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    refused(call(capsys, "run", "--config", "missing.toml"), 2, "missing.toml", "No such file")


def test_an_unknown_dataset_is_named_and_nothing_is_written(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    refused(call(capsys, "run", "--dataset", "nowhere"), 5, f"{outside.project}.nowhere", "Check project and dataset")
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


def test_a_missing_bucket_is_named_before_anything_is_exported(
    outside: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.table("a")
    refused(call(capsys, "run", "--bucket", "no-such-bucket"), 5, "gs://no-such-bucket")
    assert outside.extracts() == []


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


def test_nested_columns_are_refused_in_csv_and_exported_as_json(
    outside: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.table("flat")
    outside.sql("CREATE TABLE deep AS SELECT 1 AS id, [1, 2] AS many, STRUCT(1 AS x) AS one")
    refused(call(capsys, "run"), 2, "deep: many ARRAY<INT64>, one STRUCT", "json, avro or parquet", "--exclude")
    assert outside.objects() == {}
    assert outside.extracts() == []
    assert call(capsys, "run", "--format", "json").code == 0
    assert outside.files() == ["deep/deep_000000000000.json", "flat/flat_000000000000.json"]


def test_a_run_that_was_planned_with_other_settings(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    outside.table("a")
    assert call(capsys, "run", "--run-id", "first").code == 0
    before = outside.objects()
    refused(call(capsys, "run", "--run-id", "first", "--format", "json"), 2, "run first", "other settings (format)")
    assert outside.objects() == before


def test_a_folder_that_holds_the_export_of_another_dataset(outside: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    outside.table("a")
    assert call(capsys, "run", "--run-id", "one").code == 0
    before = outside.objects()
    outside.big.create_dataset("another")
    refused(
        call(capsys, "run", "--dataset", "another", "--run-id", "two"),
        2,
        f"{outside.project}.{outside.dataset}",
        "--prefix",
    )
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
