"""Definitions in statements: they set what the API sets."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, finish


@pytest.fixture
def dataset(world: Cloud) -> str:
    return world.dataset()


def resource(world: Cloud, name: str) -> dict[str, Any]:
    found: dict[str, Any] = world.client.get_table(name).to_api_repr()
    return found


def columns(world: Cloud, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = resource(world, name)["schema"]["fields"]
    return found


def test_columns_keep_lengths_modes_defaults_and_options(world: Cloud, dataset: str) -> None:
    world.sql(f"""
        CREATE TABLE {dataset}.t (
            s STRING(9) NOT NULL OPTIONS(description='text'), b BYTES(5), n NUMERIC(9, 2) DEFAULT 5,
            g BIGNUMERIC(40, 3) OPTIONS(rounding_mode='ROUND_HALF_EVEN'), c STRING COLLATE 'und:ci',
            r STRUCT<a STRING(3) NOT NULL OPTIONS(description='inner'), d RANGE<DATE>>, l ARRAY<STRING(4)>
        )
    """)
    nullable = {"mode": "NULLABLE"}
    assert columns(world, f"{dataset}.t") == [
        {"name": "s", "type": "STRING", "mode": "REQUIRED", "maxLength": "9", "description": "text"},
        {"name": "b", "type": "BYTES", **nullable, "maxLength": "5"},
        {"name": "n", "type": "NUMERIC", **nullable, "precision": "9", "scale": "2", "defaultValueExpression": "5"},
        {"name": "g", "type": "BIGNUMERIC", **nullable, "precision": "40", "scale": "3",
         "roundingMode": "ROUND_HALF_EVEN"},
        {"name": "c", "type": "STRING", **nullable, "collation": "und:ci"},
        {"name": "r", "type": "RECORD", **nullable, "fields": [
            {"name": "a", "type": "STRING", "mode": "REQUIRED", "maxLength": "3", "description": "inner"},
            {"name": "d", "type": "RANGE", **nullable, "rangeElementType": {"type": "DATE"}}]},
        {"name": "l", "type": "STRING", "mode": "REPEATED", "maxLength": "4"},
    ]  # fmt: skip


def test_a_table_keeps_its_options_and_keys(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.other (id INT64, PRIMARY KEY (id) NOT ENFORCED)")
    world.sql(f"""
        CREATE TABLE {dataset}.t (id INT64, ts TIMESTAMP, PRIMARY KEY (id) NOT ENFORCED,
            CONSTRAINT fk FOREIGN KEY (id) REFERENCES {dataset}.other(id) NOT ENFORCED)
        PARTITION BY DATE(ts) CLUSTER BY id
        OPTIONS(description='a table', friendly_name='T', labels=[('a', 'b'), ('c', '')],
            expiration_timestamp=TIMESTAMP '2100-01-01 00:00:00 UTC', require_partition_filter=true,
            partition_expiration_days=1000.5, kms_key_name='projects/p/locations/us/keyRings/r/cryptoKeys/k',
            max_staleness=INTERVAL '4:0:0' HOUR TO SECOND)
    """)
    found = resource(world, f"{dataset}.t")
    place = {"projectId": PROJECT, "datasetId": dataset, "tableId": "other"}
    pairs = [{"referencingColumn": "id", "referencedColumn": "id"}]
    required = {
        "description": "a table", "friendlyName": "T", "labels": {"a": "b", "c": ""},
        "expirationTime": "4102444800000", "requirePartitionFilter": True, "maxStaleness": "0-0 0 4:0:0",
        "timePartitioning": {"type": "DAY", "field": "ts", "expirationMs": "86443200000"},
        "clustering": {"fields": ["id"]},
        "encryptionConfiguration": {"kmsKeyName": "projects/p/locations/us/keyRings/r/cryptoKeys/k"},
        "tableConstraints": {"primaryKey": {"columns": ["id"]}, "foreignKeys": [
            {"name": "fk", "referencedTable": place, "columnReferences": pairs}]},
    }  # fmt: skip
    assert {key: found[key] for key in required} == required


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("CREATE TABLE {d}.t (a INT64) OPTIONS(file_format='PARQUET')", "the option file_format"),
        ("CREATE TEMP TABLE t AS SELECT 1 AS a", "temporary tables"),
        ("CREATE EXTERNAL TABLE {d}.t OPTIONS(format='CSV', uris=['gs://a/b'])", "CREATE EXTERNAL TABLE"),
        ("CREATE VIEW {d}.t OPTIONS(privacy_policy='{{}}') AS SELECT 1 AS a", "the option privacy_policy"),
    ],
)
def test_what_has_no_effect_is_refused_by_name(world: Cloud, dataset: str, statement: str, missing: str) -> None:
    with pytest.raises(Exception, match=f"does not support {missing}"):
        world.client.query(
            statement.format(d=dataset), job_config=bigquery.QueryJobConfig(default_dataset=f"{PROJECT}.{dataset}")
        ).result(retry=None, job_retry=None)


def test_options_of_tables_views_and_datasets_can_be_changed(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t (a INT64 OPTIONS(description='old'), b STRING(5))")
    world.sql(f"ALTER TABLE {dataset}.t SET OPTIONS()")
    world.sql(f"ALTER TABLE {dataset}.t SET OPTIONS(description='new', labels=[('x', 'y')])")
    world.sql(f"ALTER TABLE {dataset}.t ALTER COLUMN a SET OPTIONS(description='a, b')")
    world.sql(f"ALTER TABLE {dataset}.t ALTER COLUMN b SET DEFAULT 'z', ALTER COLUMN b SET DATA TYPE STRING(9)")
    found = resource(world, f"{dataset}.t")
    assert (found["description"], found["labels"]) == ("new", {"x": "y"})
    first, second = found["schema"]["fields"]
    assert first["description"] == "a, b"
    assert (second["maxLength"], second["defaultValueExpression"]) == ("9", "'z'")
    world.sql(f"ALTER TABLE {dataset}.t SET OPTIONS(description=NULL), ALTER COLUMN b DROP DEFAULT")
    found = resource(world, f"{dataset}.t")
    assert "description" not in found
    assert "defaultValueExpression" not in found["schema"]["fields"][1]

    world.sql(f"CREATE VIEW {dataset}.v (x OPTIONS(description='X'), y) OPTIONS(description='V') AS SELECT 1, 'a'")
    assert [field.name for field in world.client.get_table(f"{dataset}.v").schema] == ["x", "y"]
    assert columns(world, f"{dataset}.v")[0]["description"] == "X"
    assert world.sql(f"SELECT y, x FROM {dataset}.v") == [("a", 1)]
    world.sql(f"ALTER VIEW {dataset}.v SET OPTIONS(friendly_name='W')")
    assert resource(world, f"{dataset}.v")["friendlyName"] == "W"

    world.sql(f"ALTER SCHEMA {dataset} SET OPTIONS(default_table_expiration_days=2, max_time_travel_hours=72)")
    changed = world.client.get_dataset(dataset).to_api_repr()
    assert (changed["defaultTableExpirationMs"], changed["maxTimeTravelHours"]) == ("172800000", "72")


def test_columns_added_by_a_statement_keep_what_it_says(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t AS SELECT 1 AS a")
    world.sql(f"ALTER TABLE {dataset}.t ADD COLUMN c STRING(3) OPTIONS(description='C'), ADD COLUMN l ARRAY<INT64>")
    assert columns(world, f"{dataset}.t")[1:] == [
        {"name": "c", "type": "STRING", "mode": "NULLABLE", "maxLength": "3", "description": "C"},
        {"name": "l", "type": "INTEGER", "mode": "REPEATED"},
    ]
    assert world.sql(f"SELECT * FROM {dataset}.t") == [(1, None, [])]


def test_keys_can_be_added_and_dropped_and_tables_renamed(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t AS SELECT 1 AS a")
    world.sql(f"ALTER TABLE {dataset}.t ADD PRIMARY KEY (a) NOT ENFORCED")
    assert resource(world, f"{dataset}.t")["tableConstraints"] == {"primaryKey": {"columns": ["a"]}}
    world.sql(f"ALTER TABLE {dataset}.t DROP PRIMARY KEY")
    assert "tableConstraints" not in resource(world, f"{dataset}.t")
    world.sql(f"ALTER TABLE {dataset}.t RENAME TO u")
    assert world.sql(f"SELECT a FROM {dataset}.u") == [(1,)]
    with pytest.raises(NotFound):
        world.client.get_table(f"{dataset}.t")
    world.sql(f"ALTER TABLE IF EXISTS {dataset}.t RENAME TO w")


def test_a_table_can_be_created_like_another(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t (a STRING(4) NOT NULL, d DATE) PARTITION BY d OPTIONS(description='T')")
    world.sql(f"CREATE TABLE {dataset}.u LIKE {dataset}.t")
    one, two = resource(world, f"{dataset}.t"), resource(world, f"{dataset}.u")
    assert [one[key] for key in ("schema", "timePartitioning")] == [two[key] for key in ("schema", "timePartitioning")]


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("STRING(3)", "'äöü'", "'abcd'"),
        ("BYTES(3)", "b'abc'", "b'abcd'"),
        ("NUMERIC(4, 1)", "NUMERIC '999.9'", "NUMERIC '1000'"),
        ("ARRAY<STRING(2)>", "['ab']", "['a', 'abc']"),
        ("STRUCT<x STRING(2)>", "STRUCT('ab' AS x)", "STRUCT('abc' AS x)"),
    ],
)
@pytest.mark.parametrize("way", ["inserted", "updated", "created"])
def test_a_value_that_exceeds_its_column_is_refused(
    world: Cloud, dataset: str, column: str, good: str, bad: str, way: str
) -> None:
    world.sql(f"CREATE TABLE {dataset}.t (i INT64, c {column})")
    world.sql(f"INSERT INTO {dataset}.t (i, c) VALUES (1, {good})")
    statement = {
        "inserted": f"INSERT INTO {dataset}.t (i, c) VALUES (2, {bad})",
        "updated": f"UPDATE {dataset}.t SET c = {bad} WHERE true",
        "created": f"CREATE TABLE {dataset}.u (c {column}) AS SELECT {bad} AS c",
    }[way]
    with pytest.raises(BadRequest, match="exceeds"):
        world.sql(statement)
    assert world.sql(f"SELECT i FROM {dataset}.t") == [(1,)]


def test_dml_reports_its_rows_by_kind(world: Cloud, dataset: str) -> None:
    def stats(statement: str) -> tuple[int, int, int]:
        found = world.client.query(statement.format(t=f"{dataset}.t"))
        found.result()
        counted = found.dml_stats
        return counted.inserted_row_count, counted.updated_row_count, counted.deleted_row_count

    world.sql(f"CREATE TABLE {dataset}.t (i INT64, s STRING)")
    assert stats("INSERT INTO {t} (i) VALUES (1), (2), (3)") == (3, 0, 0)
    assert stats("UPDATE {t} SET s = 'x' WHERE i > 1") == (0, 2, 0)
    assert stats("DELETE FROM {t} WHERE i = 3") == (0, 0, 1)
    merge = "MERGE {t} AS t USING (SELECT 1 AS i UNION ALL SELECT 9) AS n ON t.i = n.i "
    merge += "WHEN MATCHED THEN UPDATE SET s = 'm' WHEN NOT MATCHED THEN INSERT (i) VALUES (n.i)"
    assert stats(merge) == (1, 1, 0)
    assert stats("TRUNCATE TABLE {t}") == (0, 0, 3)


def test_names_of_a_case_insensitive_dataset_differ_by_more_than_case(world: Cloud) -> None:
    world.sql("CREATE SCHEMA either OPTIONS(is_case_insensitive=true)")
    world.sql("CREATE TABLE either.Ta AS SELECT 1 AS a")
    assert world.client.get_table("either.tA").table_id == "Ta"
    assert world.sql("SELECT a FROM either.TA") == [(1,)]
    with pytest.raises(Conflict):
        world.client.create_table(bigquery.Table(f"{PROJECT}.either.TA"))
    assert world.sql("SELECT a FROM EITHER.ta") == [(1,)]
    assert world.client.get_table("Either.ta").reference.dataset_id == "either"
    with pytest.raises(Conflict):
        world.client.create_dataset("EITHER")
    world.client.delete_table("either.TA")
    assert list(world.client.list_tables("either")) == []


def test_streamed_rows_follow_changes_of_columns(world: Cloud, dataset: str) -> None:
    table = bigquery.Table(f"{PROJECT}.{dataset}.t", [bigquery.SchemaField("a", "INT64")])
    world.client.create_table(table)
    assert world.client.insert_rows_json(table, [{"a": 1}]) == []
    world.sql(f"ALTER TABLE {dataset}.t RENAME COLUMN a TO b")
    assert [tuple(row.values()) for row in world.client.list_rows(f"{dataset}.t")] == [(1,)]
    found = world.client.get_table(f"{dataset}.t")
    found.schema = [*found.schema, bigquery.SchemaField("c", "STRING")]
    world.client.update_table(found, ["schema"])
    assert [tuple(row.values()) for row in world.client.list_rows(f"{dataset}.t")] == [(1, None)]
    assert world.sql(f"SELECT b, c FROM {dataset}.t") == [(1, None)]


def test_more_columns_than_a_table_may_have_are_refused(world: Cloud, dataset: str) -> None:
    names = [bigquery.SchemaField(f"c{number}", "INT64") for number in range(1_500)]
    world.client.create_table(bigquery.Table(f"{PROJECT}.{dataset}.wide", names))
    world.sql(f"INSERT INTO {dataset}.wide (c0, c1499) VALUES (1, 2)")
    assert world.sql(f"SELECT c0, c700, c1499 FROM {dataset}.wide") == [(1, None, 2)]
    assert world.client.get_table(f"{dataset}.wide").num_bytes == 16
    too_many = [bigquery.SchemaField(f"c{number}", "INT64") for number in range(10_001)]
    with pytest.raises(BadRequest, match=r"Too many columns: 10001\. Limit is 10000"):
        world.client.create_table(bigquery.Table(f"{PROJECT}.{dataset}.wider", too_many))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE TABLE {0}.t (a INT64) CLUSTER BY none",
        "CREATE OR REPLACE TABLE {0}.t CLONE {0}.t OPTIONS (expiration_timestamp=TIMESTAMP '2001-01-01')",
    ],
)
def test_a_table_that_cannot_be_replaced_stays(world: Cloud, dataset: str, statement: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t AS SELECT 7 AS a")
    with pytest.raises(BadRequest):
        world.sql(statement.format(dataset))
    assert world.sql(f"SELECT a FROM {dataset}.t") == [(7,)]


def test_a_table_can_be_replaced_by_a_clone_of_itself(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t AS SELECT 7 AS a")
    world.sql(f"CREATE OR REPLACE TABLE {dataset}.t CLONE {dataset}.t")
    assert world.sql(f"SELECT a FROM {dataset}.t") == [(7,)]


def test_a_partition_can_be_deleted(world: Cloud, dataset: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t (d DATE, i INT64) PARTITION BY d")
    world.sql(f"INSERT INTO {dataset}.t (d, i) VALUES ('2026-11-17', 1), ('2026-11-18', 2), (NULL, 3)")
    world.client.delete_table(f"{PROJECT}.{dataset}.t$20261117")
    world.client.delete_table(f"{PROJECT}.{dataset}.t$__NULL__")
    assert world.sql(f"SELECT d, i FROM {dataset}.t") == [(dt.date(2026, 11, 18), 2)]
    with pytest.raises(BadRequest, match="Invalid partition key: 2026"):
        world.client.delete_table(f"{PROJECT}.{dataset}.t$2026")


def test_a_default_is_the_value_of_a_column_that_is_left_out(world: Cloud, dataset: str) -> None:
    name = f"{dataset}.t"
    world.sql(f"CREATE TABLE {name} (i INT64, s STRING DEFAULT 'none', b BYTES DEFAULT b'x', at TIMESTAMP)")
    world.sql(f"ALTER TABLE {name} ALTER COLUMN at SET DEFAULT CURRENT_TIMESTAMP()")
    world.sql(f"INSERT INTO {name} (i) VALUES (1)")
    world.sql(f"INSERT INTO {name} (i, s, b, at) VALUES (2, DEFAULT, NULL, DEFAULT)")
    world.sql(f"MERGE {name} AS t USING (SELECT 3 AS i) AS n ON t.i = n.i WHEN NOT MATCHED THEN INSERT (i) VALUES (i)")
    config = bigquery.LoadJobConfig(schema=[bigquery.SchemaField("i", "INT64")], source_format="NEWLINE_DELIMITED_JSON")
    finish(world.client.load_table_from_json([{"i": 4}], f"{PROJECT}.{name}", job_config=config))
    assert world.client.insert_rows_json(f"{PROJECT}.{name}", [{"i": 5}, {"i": 6, "s": None}]) == []
    rows = world.sql(f"SELECT i, s, b, at IS NOT NULL AND at > '2026-01-01' FROM {name} ORDER BY i")
    assert rows == [
        (1, "none", b"x", True), (2, "none", None, True), (3, "none", b"x", True), (4, "none", b"x", True),
        (5, "none", b"x", True), (6, None, b"x", True),
    ]  # fmt: skip
