"""Datasets, tables, their metadata and their streaming buffer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, Conflict, Forbidden, GoogleAPICallError, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, serve_world

if TYPE_CHECKING:
    from pathlib import Path


def test_a_dataset_keeps_its_location(world: Cloud) -> None:
    name = world.dataset(location="europe-west1")
    assert world.client.get_dataset(name).location == "europe-west1"
    assert name in [item.dataset_id for item in world.client.list_datasets()]


def test_a_dataset_exists_once(world: Cloud) -> None:
    name = world.dataset()
    with pytest.raises(Conflict, match="Already Exists: Dataset"):
        world.client.create_dataset(name)


def test_a_dataset_with_tables_is_deleted_only_with_its_contents(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64)")
    with pytest.raises(BadRequest, match="still in use"):
        world.client.delete_dataset(name)
    world.client.delete_dataset(name, delete_contents=True)
    with pytest.raises(NotFound, match="Not found: Dataset"):
        world.client.get_dataset(name)


def test_errors_have_the_format_of_the_service(world: Cloud) -> None:
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/nope"
    body = requests.get(url, timeout=10).json()
    message = f"Not found: Dataset {PROJECT}:nope"
    assert body == {
        "error": {
            "code": 404,
            "message": message,
            "errors": [{"domain": "global", "reason": "notFound", "message": message}],
            "status": "NOT_FOUND",
        }
    }


def test_tables_come_in_pages_of_fifty(world: Cloud) -> None:
    name = world.dataset()
    for number in range(53):
        world.client.create_table(f"{PROJECT}.{name}.t{number:03d}")
    first = requests.get(f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{name}/tables", timeout=10).json()
    assert (len(first["tables"]), first["totalItems"], "nextPageToken" in first) == (50, 53, True)
    assert len(list(world.client.list_tables(name))) == 53
    pages = list(world.client.list_tables(name, page_size=20).pages)
    assert [page.num_items for page in pages] == [20, 20, 13]


def test_a_listed_table_has_no_rows_bytes_or_modification_time(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (d DATE) PARTITION BY d OPTIONS(labels=[('team', 'data')])")
    [item] = world.client.list_tables(name)
    raw = item._properties
    assert (item.table_type, item.labels) == ("TABLE", {"team": "data"})
    assert raw["timePartitioning"] == {"type": "DAY", "field": "d"}
    assert not {"numRows", "numBytes", "lastModifiedTime", "etag", "schema"} & set(raw)


def test_every_kind_of_table_is_reported(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.sql(f"CREATE VIEW {name}.v AS SELECT a FROM {name}.t")
    world.sql(f"CREATE MATERIALIZED VIEW {name}.m AS SELECT a FROM {name}.t")
    external = bigquery.Table(f"{PROJECT}.{name}.x", schema=[bigquery.SchemaField("a", "INT64")])
    external.external_data_configuration = bigquery.ExternalConfig("CSV")
    external.external_data_configuration.source_uris = ["gs://bucket/file"]
    world.client.create_table(external)
    kinds = {item.table_id: item.table_type for item in world.client.list_tables(name)}
    assert kinds == {"t": "TABLE", "v": "VIEW", "m": "MATERIALIZED_VIEW", "x": "EXTERNAL"}
    assert [field.name for field in world.client.get_table(f"{name}.v").schema] == ["a"]


def test_a_table_keeps_its_definition(world: Cloud) -> None:
    name = world.dataset()
    schema = [
        bigquery.SchemaField("id", "INT64", mode="REQUIRED", description="The key."),
        bigquery.SchemaField("n", "NUMERIC", precision=10, scale=2),
        bigquery.SchemaField("r", "STRUCT", fields=[bigquery.SchemaField("x", "STRING", mode="REPEATED")]),
    ]
    table = bigquery.Table(f"{PROJECT}.{name}.t", schema=schema)
    table.range_partitioning = bigquery.RangePartitioning(
        bigquery.PartitionRange(start=0, end=100, interval=10), field="id"
    )
    table.clustering_fields = ["n"]
    world.client.create_table(table)
    found = world.client.get_table(table)
    assert [f.to_api_repr()["type"] for f in found.schema] == ["INTEGER", "NUMERIC", "RECORD"]
    assert (found.schema[0].description, found.schema[1].scale) == ("The key.", 2)
    assert found.range_partitioning.range_.interval == 10
    assert found.clustering_fields == ["n"]


def test_rows_bytes_and_modification_time_follow_the_data(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, 'abc' AS s")
    before = world.client.get_table(f"{name}.t")
    assert (before.num_rows, before.num_bytes) == (1, 8 + 2 + 3)
    world.sql(f"INSERT INTO {name}.t VALUES (2, NULL)")
    after = world.client.get_table(f"{name}.t")
    assert (after.num_rows, after.num_bytes) == (2, 8 + 2 + 3 + 8)
    assert after.modified >= before.modified
    assert after.created == before.created
    assert after.etag != before.etag


def test_a_basic_view_has_no_counts(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{name}/tables/t"
    raw = requests.get(url, params={"view": "BASIC"}, timeout=10).json()
    assert "schema" in raw
    assert not {"numRows", "numBytes", "lastModifiedTime"} & set(raw)


def test_a_column_can_be_added_but_not_removed(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    table = world.client.get_table(f"{name}.t")
    table.schema = [*table.schema, bigquery.SchemaField("b", "STRING")]
    world.client.update_table(table, ["schema"])
    assert world.sql(f"SELECT * FROM {name}.t") == [(1, None)]
    table = world.client.get_table(f"{name}.t")
    table.schema = table.schema[:1]
    with pytest.raises(BadRequest, match="Field b is missing in new schema"):
        world.client.update_table(table, ["schema"])


def test_labels_and_description_can_be_changed(world: Cloud) -> None:
    name = world.dataset()
    table = world.client.create_table(f"{PROJECT}.{name}.t")
    table.labels, table.description = {"a": "b"}, "Text."
    world.client.update_table(table, ["labels", "description"])
    found = world.client.get_table(f"{name}.t")
    assert (found.labels, found.description) == ({"a": "b"}, "Text.")


def test_a_deleted_table_is_gone(world: Cloud) -> None:
    name = world.dataset()
    world.client.create_table(f"{PROJECT}.{name}.t")
    with pytest.raises(Conflict, match="Already Exists: Table"):
        world.client.create_table(f"{PROJECT}.{name}.t")
    world.client.delete_table(f"{name}.t")
    with pytest.raises(NotFound, match=f"Not found: Table {PROJECT}:{name}.t"):
        world.client.get_table(f"{name}.t")


def test_the_tables_meta_table_has_all_counts(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.sql(f"CREATE VIEW {name}.v AS SELECT a FROM {name}.t")
    columns = "table_id, row_count, size_bytes, type, last_modified_time"
    [table, view] = world.sql(f"SELECT {columns} FROM `{PROJECT}.{name}.__TABLES__` ORDER BY table_id")
    modified = world.client.get_table(f"{name}.t").modified
    assert table == ("t", 1, 8, 1, round(modified.timestamp() * 1000))
    assert view[:4] == ("v", 0, 0, 2)


def test_information_schema_has_columns_and_definitions(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64 NOT NULL, b ARRAY<STRING>)")
    columns = world.sql(f"SELECT column_name, data_type, is_nullable FROM {name}.INFORMATION_SCHEMA.COLUMNS")
    assert columns == [("a", "INT64", "NO"), ("b", "ARRAY<STRING>", "YES")]
    [(kind, ddl)] = world.sql(f"SELECT table_type, ddl FROM `{PROJECT}.{name}.INFORMATION_SCHEMA.TABLES`")
    assert kind == "BASE TABLE"
    assert ddl.startswith(f"CREATE TABLE `{PROJECT}.{name}.t`")


def test_a_primary_key_is_part_of_the_definition(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64, b STRING, PRIMARY KEY (a, b) NOT ENFORCED)")
    world.sql(f"CREATE TABLE {name}.u (a INT64 PRIMARY KEY NOT ENFORCED, b STRING)")
    keys = [world.client.get_table(f"{name}.{table}").table_constraints.primary_key.columns for table in ("t", "u")]
    assert keys == [["a", "b"], ["a"]]


def test_a_watermark_marks_tables_with_change_data_capture(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64 PRIMARY KEY NOT ENFORCED)")
    world.sql(f"CREATE TABLE {name}.plain (a INT64)")
    question = f"SELECT table_name, upsert_stream_apply_watermark FROM `{PROJECT}`.`{name}`.INFORMATION_SCHEMA.TABLES"
    streamed = f"{question} WHERE upsert_stream_apply_watermark IS NOT NULL"
    assert world.sql(streamed) == []
    where = {"project": PROJECT, "dataset": name}
    world.control("PUT", "changes", {**where, "table": "t", "watermark": 1_700_000_000_000})
    [(table, moment)] = world.sql(streamed)
    assert (table, moment) == ("t", datetime.fromtimestamp(1_700_000_000, UTC))
    with pytest.raises(requests.HTTPError):
        world.control("PUT", "changes", {**where, "table": "plain", "watermark": 1})
    world.control("PUT", "changes", {**where, "table": "t", "watermark": None})
    assert world.sql(streamed) == []


def test_a_query_of_a_view_of_information_schema_bills_ten_megabytes(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE VIEW {name}.v AS SELECT table_name FROM `{PROJECT}`.{name}.INFORMATION_SCHEMA.TABLES")
    job = world.client.query(f"SELECT table_name FROM {name}.v")
    assert [tuple(row) for row in job.result()] == [("v",)]
    assert job.total_bytes_billed == 10 << 20


def test_a_query_of_information_schema_bills_ten_megabytes_and_needs_its_permissions(world: Cloud) -> None:
    name = world.dataset()
    question = f"SELECT table_name FROM {name}.INFORMATION_SCHEMA.TABLES"
    job = world.client.query(question)
    job.result()
    assert job.total_bytes_billed == 10 << 20
    with pytest.raises(GoogleAPICallError, match="exceeded limit for bytes billed"):
        world.client.query_and_wait(question, job_config=bigquery.QueryJobConfig(maximum_bytes_billed=10**6))
    world.control("PUT", "denied", {"projects": {PROJECT: ["bigquery.routines.list"]}})
    try:
        with pytest.raises(Forbidden):
            world.sql(question)
    finally:
        world.control("PUT", "denied", {"projects": {}})


def test_streamed_rows_are_queried_but_not_counted_or_extracted(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    assert world.client.get_table(f"{name}.t").streaming_buffer is None
    assert world.client.insert_rows_json(f"{name}.t", [{"a": 2}, {"a": 3}]) == []
    table = world.client.get_table(f"{name}.t")
    assert (table.num_rows, table.streaming_buffer.estimated_rows) == (1, 2)
    assert world.sql(f"SELECT count(*) FROM {name}.t") == [(3,)]
    assert world.exported(f"{name}.t") == b"a\n1\n"
    assert world.control("POST", "streaming/flush", {"table": "t"}) == {"rows": 2}
    table = world.client.get_table(f"{name}.t")
    assert (table.num_rows, table.streaming_buffer) == (3, None)
    assert world.exported(f"{name}.t") == b"a\n1\n2\n3\n"


def test_streaming_refuses_an_unknown_field(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    [error] = world.client.insert_rows_json(f"{name}.t", [{"nope": 2}])
    assert error["errors"][0]["message"] == "no such field: nope."


def test_rows_can_be_listed_without_a_query(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT i AS a, CAST(i AS STRING) AS s FROM UNNEST(GENERATE_ARRAY(1, 25)) AS i")
    rows = list(world.client.list_rows(f"{PROJECT}.{name}.t", selected_fields=[bigquery.SchemaField("a", "INT64")]))
    assert len(rows) == 25
    assert len(list(world.client.list_rows(world.client.get_table(f"{name}.t"), page_size=10))) == 25


def test_row_access_policies_are_listed(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    url = f"{world.address}/bigquery/v2/projects/{PROJECT}/datasets/{name}/tables/t/rowAccessPolicies"
    assert requests.get(url, timeout=10).json() == {}
    world.sql(f"CREATE ROW ACCESS POLICY p ON {name}.t GRANT TO ('user:a@example.com') FILTER USING (a = 1)")
    body = {"project": PROJECT, "dataset": name, "table": "t", "name": "q", "filter": "a = 2"}
    world.control("POST", "policies", body)
    policies = requests.get(url, timeout=10).json()["rowAccessPolicies"]
    found = [(p["rowAccessPolicyReference"]["policyId"], p["filterPredicate"]) for p in policies]
    assert found == [("p", "a = 1"), ("q", "a = 2")]
    world.sql(f"DROP ALL ROW ACCESS POLICIES ON {name}.t")
    assert requests.get(url, timeout=10).json() == {}


def test_a_table_can_have_an_unknown_kind(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.control("PUT", "kinds", {"project": PROJECT, "dataset": name, "table": "t", "kind": "GRAPH"})
    assert [item.table_type for item in world.client.list_tables(name)] == ["GRAPH"]
    assert world.client.get_table(f"{name}.t").table_type == "GRAPH"
    with pytest.raises(BadRequest, match="it is currently a GRAPH"):
        world.client.insert_rows_json(f"{name}.t", [{"a": 2}])


def test_everything_outlives_a_restart_with_a_data_folder(tmp_path: Path) -> None:
    with serve_world(tmp_path) as world:
        name = world.dataset(location="EU")
        world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, CAST('1.5' AS BIGNUMERIC) AS n")
        world.sql(f"CREATE VIEW {name}.v AS SELECT a FROM {name}.t")
        world.client.insert_rows_json(f"{name}.t", [{"a": 2}])
        created = world.client.get_table(f"{name}.t").created
    with serve_world(tmp_path) as world:
        table = world.client.get_table(f"{name}.t")
        assert (table.created, table.location, table.num_rows) == (created, "EU", 1)
        assert [field.field_type for field in table.schema] == ["INTEGER", "BIGNUMERIC"]
        assert world.sql(f"SELECT sum(a) FROM {name}.v") == [(3,)]
        world.sql(f"INSERT INTO {name}.t (a) VALUES (4)")
        assert world.client.get_table(f"{name}.t").num_rows == 2


ALLOWED = [
    "a",
    "_",
    "1",
    "-a",
    "a b",
    " a",
    "Ünïcode",
    "表_1",
    "ग्राहक",
    "a‿b",
    "a–b",
    "١٢",
    "Ⅷ",
    "a\u3000b",
    "é" * 512,
    "x" * 1024,
]
REFUSED = ["%2F", "#h", "?", "&a=b", "a*b", "a'b", 'a"b', "a,b", "(a)", "a+b", "a~b", "😀", "a\tb", "a\nb", "\x7f", "€",
           "a\u200bb", "a\u2028b", "é" * 512 + "x", "x" * 1025]  # fmt: skip


def _make(world: Cloud, dataset: str, name: str) -> requests.Response:
    body = {"tableReference": {"projectId": PROJECT, "datasetId": dataset, "tableId": name},
            "schema": {"fields": [{"name": "a", "type": "INT64"}]}}  # fmt: skip
    path = f"/bigquery/v2/projects/{PROJECT}/datasets/{dataset}/tables"
    return requests.post(world.address + path, json=body, timeout=20)


def test_table_names_follow_the_rules_of_bigquery(world: Cloud) -> None:
    """Letters, marks, numbers, connectors, dashes and spaces of Unicode, in up to 1,024 bytes."""
    dataset = world.dataset()
    for name in ALLOWED:
        assert _make(world, dataset, name).status_code == 200, name
    for name in REFUSED:
        refused = _make(world, dataset, name)
        assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (400, "invalid"), name
    with pytest.raises(BadRequest, match="Invalid table ID"):
        world.sql(f"CREATE TABLE {dataset}.`a#b` (a INT64)")
    assert sorted(table.table_id for table in world.client.list_tables(dataset)) == sorted(ALLOWED)


def test_other_table_names_are_possible_on_request(world: Cloud) -> None:
    dataset = world.dataset()
    with world.settings(any_table_names=True):
        assert _make(world, dataset, "%2F").status_code == 200
        assert _make(world, dataset, "a/b").status_code == 400
        assert _make(world, dataset, "a$b").status_code == 400


def test_partitions_are_listed_as_googles_client_does(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (day DATE) PARTITION BY day")
    world.sql(f"INSERT {name}.t VALUES (DATE '2026-01-31'), (DATE '2026-02-01'), (DATE '2026-02-01'), (NULL)")
    assert world.client.list_partitions(f"{name}.t") == ["20260131", "20260201", "__NULL__"]
    world.sql(f"CREATE TABLE {name}.whole (day DATE)")
    with pytest.raises(BadRequest, match="not partitioned"):
        world.client.list_partitions(f"{name}.whole")


def test_the_time_of_an_unchanged_partition_stays_when_older_versions_of_the_table_go(world: Cloud) -> None:
    name, week = world.dataset(), 7 * 86_400

    def times() -> dict[str, int]:
        parts = [f"t${id_}" for id_ in ("20260131", "20260201", "20260202")]
        return {part: world.client.get_table(f"{name}.{part}").modified for part in parts}

    world.sql(f"CREATE TABLE {name}.t (day DATE) PARTITION BY day")
    world.sql(f"INSERT {name}.t VALUES (DATE '2026-01-31')")
    world.sql(f"INSERT {name}.t VALUES (DATE '2026-02-01')")
    before = times()
    for later in (week + 10, week + 20, 2 * week + 30):
        with world.clock(later):
            world.sql(f"INSERT {name}.t VALUES (DATE '2026-02-02')")
            after = times()
            assert after["t$20260202"] > before["t$20260202"]
            assert {**after, "t$20260202": 0} == {**before, "t$20260202": 0}
    with world.clock(3 * week):
        world.sql(f"DELETE FROM {name}.t WHERE day = '2026-01-31'")
        world.sql(f"INSERT {name}.t VALUES (DATE '2026-01-31')")
        assert times()["t$20260131"] > before["t$20260131"]


def test_information_schema_has_options_paths_of_members_and_materialized_views(world: Cloud) -> None:
    name = world.dataset()
    world.sql(
        f"CREATE TABLE {name}.t (d DATE OPTIONS(description = 'the day'), s STRUCT<x INT64, y STRING>, c INT64) "
        'PARTITION BY d CLUSTER BY c OPTIONS(description = \'a "table"\', labels = [("team", "data")])'
    )
    world.sql(f"CREATE MATERIALIZED VIEW {name}.m AS SELECT c FROM {name}.t")

    def rows(view: str, columns: str, order: str = "1, 2") -> list[tuple[Any, ...]]:
        where = "WHERE table_name = 't'" if view != "MATERIALIZED_VIEWS" else ""
        return world.sql(f"SELECT {columns} FROM {name}.INFORMATION_SCHEMA.{view} {where} ORDER BY {order}")

    assert rows("COLUMN_FIELD_PATHS", "field_path, data_type, description") == [
        ("c", "INT64", None), ("d", "DATE", "the day"), ("s", "STRUCT<x INT64, y STRING>", None),
        ("s.x", "INT64", None), ("s.y", "STRING", None),
    ]  # fmt: skip
    assert rows("TABLE_OPTIONS", "option_name, option_type, option_value") == [
        ("description", "STRING", '"a \\"table\\""'),
        ("labels", "ARRAY<STRUCT<STRING, STRING>>", '[STRUCT("team", "data")]'),
    ]
    assert rows("COLUMNS", "column_name, is_partitioning_column, clustering_ordinal_position") == [
        ("c", "NO", 1), ("d", "YES", None), ("s", "NO", None),
    ]  # fmt: skip
    assert rows("MATERIALIZED_VIEWS", "table_schema, table_name") == [(name, "m")]
