"""Tables whose names BigQuery does not allow, but another server of its API may: exported as they are."""

from __future__ import annotations

import json
import string
import tempfile
from pathlib import Path

import pytest

from integration.stage import Stage

REFUSED_BY_THE_STAND_IN = "$/:.@\\`"
NAMES = [*(f"a{char}b" for char in string.punctuation if char not in REFUSED_BY_THE_STAND_IN),
         "%2F", "%2e%2e", "#h", "?", "&a=b", " x", "x ", "é", "a"]  # fmt: skip
EXPORTED = [name for name in NAMES if "*" not in name]


def make(stage: Stage, name: str) -> None:
    """A table with one column that is called after the table's place in NAMES: no other table has that definition."""
    body = {
        "tableReference": {"projectId": stage.project, "datasetId": stage.dataset, "tableId": name},
        "schema": {"fields": [{"name": f"c{NAMES.index(name)}", "type": "INT64"}]},
    }
    stage.stack.jobs(any_table_names=True)
    path = f"/projects/{stage.project}/datasets/{stage.dataset}/tables"
    stage.big._call_api(None, method="POST", path=path, data=body)


@pytest.mark.parametrize("route", ["query", "read"])
def test_every_table_is_exported_under_its_name_with_its_own_definition(stage: Stage, route: str) -> None:
    for name in EXPORTED:
        make(stage, name)
    called = stage.command("run", "--route", route)
    assert called.code == 0, called
    tables = {table.table: table for table in stage.manifest().tables}
    assert sorted(tables) == sorted(EXPORTED)
    for name, table in tables.items():
        assert f'"c{NAMES.index(name)}"'.encode() in bytes(table.definition)
        assert [file.name for file in table.files] == [f"{name}/{name}_000000000000.csv"]
    assert stage.command("verify").code == 0


@pytest.mark.parametrize("format_", ["avro", "parquet"])
def test_folders_named_like_a_column_or_a_pattern_change_no_value(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    stage.sql("CREATE TABLE t (k INT64, region STRING) PARTITION BY RANGE_BUCKET(k, GENERATE_ARRAY(0, 100, 10))")
    stage.sql("INSERT INTO t VALUES (1, 'us'), (13, 'ap')")
    temporary = tmp_path / "region=tmp" / "g[1]*"
    temporary.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    # Only BigQuery writes Avro, and into buckets only.
    at = ("--bucket", stage.bucket) if format_ == "avro" else ("--to", str(tmp_path / "region=eu" / "g[1]"))
    by_partition = ("--path", "{run}/{table}/k={partition}/{table}_*.{ext}", "--partitions-min-bytes", "0")
    made = stage.command("run", *at, "--format", format_, *by_partition)
    assert made.code == 0, made.text
    found = stage.command("sql", *at, "-c", "SELECT k, region FROM t ORDER BY k", "--json")
    assert json.loads(found.out)["rows"] == [[1, "us"], [13, "ap"]], found.text
    verified = stage.command("verify", *at, "--read", "--source")
    assert verified.code == 0, verified.text
    if format_ == "avro":
        assert stage.command("drill", *at).code == 0
