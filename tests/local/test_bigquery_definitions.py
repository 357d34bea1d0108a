"""Definitions of datasets and tables: what requests set, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from deploy import discovery
from local.bigquery_server import PROJECT, Cloud

HOUR, DAY = 3_600_000, 86_400_000
ID = {"name": "id", "type": "INTEGER", "mode": "REQUIRED"}
AT = {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"}
KEYED = {"schema": {"fields": [ID, AT]}, "tableConstraints": {"primaryKey": {"columns": ["id"]}}}
FULL = {
    "friendlyName": "Orders",
    "description": "All orders",
    "labels": {"team": "shop", "empty": ""},
    "resourceTags": {"proj/env": "test"},
    "schema": {
        "fields": [
            {**ID, "description": "Its number", "policyTags": {"names": ["projects/p/locations/us/taxonomies/1"]}},
            {**AT, "defaultValueExpression": "CURRENT_TIMESTAMP()"},
            {"name": "name", "type": "STRING", "mode": "NULLABLE", "collation": "und:ci", "maxLength": "20"},
            {
                "name": "price",
                "type": "NUMERIC",
                "mode": "NULLABLE",
                "precision": "10",
                "scale": "2",
                "roundingMode": "ROUND_HALF_EVEN",
            },
            {
                "name": "lines",
                "type": "RECORD",
                "mode": "REPEATED",
                "description": "Its lines",
                "fields": [
                    {"name": "sku", "type": "STRING", "mode": "NULLABLE", "dataPolicies": [{"name": "projects/p/x"}]},
                    {
                        "name": "valid",
                        "type": "RANGE",
                        "mode": "NULLABLE",
                        "rangeElementType": {"type": "DATE"},
                    },
                ],
            },
        ]
    },
    "timePartitioning": {"type": "DAY", "field": "at", "expirationMs": str(4000 * DAY)},
    "clustering": {"fields": ["name", "id"]},
    "requirePartitionFilter": True,
    "tableConstraints": {"primaryKey": {"columns": ["id"]}},
    "encryptionConfiguration": {"kmsKeyName": "projects/p/locations/us/keyRings/r/cryptoKeys/k"},
    "defaultCollation": "und:ci",
    "defaultRoundingMode": "ROUND_HALF_AWAY_FROM_ZERO",
    "maxStaleness": "0-0 0 4:0:0",
    "expirationTime": "32503680000000",
}


@pytest.fixture
def dataset(world: Cloud) -> str:
    return world.dataset()


def call(world: Cloud, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A request to the API below the project; raises the service's message for an error."""
    answer = requests.request(method, f"{world.address}/bigquery/v2/projects/{PROJECT}/{path}", json=body, timeout=30)
    decoded: dict[str, Any] = answer.json() if answer.content else {}
    if answer.status_code >= 400:
        error = decoded["error"]
        raise {404: NotFound}.get(answer.status_code, BadRequest)(error["message"], errors=error["errors"])
    return decoded


def create(world: Cloud, dataset: str, table: str, **body: Any) -> dict[str, Any]:
    return call(world, "POST", f"datasets/{dataset}/tables", {"tableReference": {"tableId": table}, **body})


def rows(world: Cloud, table: str) -> list[int]:
    return sorted(row[0] for row in world.sql(f"SELECT id FROM {table}"))


def test_a_table_keeps_everything_that_its_definition_sets(world: Cloud, dataset: str) -> None:
    assert discovery.check("bigquery.v2", "Table", FULL) == []
    made = create(world, dataset, "orders", **FULL)
    found = call(world, "GET", f"datasets/{dataset}/tables/orders")
    assert discovery.check("bigquery.v2", "Table", found) == []
    for key, value in FULL.items():
        assert made[key] == found[key] == value, key
    # The returned resource creates the same table elsewhere: what only the service sets is ignored.
    create(world, dataset, "copy", **{key: value for key, value in found.items() if key != "tableReference"})
    again = call(world, "GET", f"datasets/{dataset}/tables/copy")
    assert {key: again[key] for key in FULL} == FULL
    assert (again["id"], again["numRows"]) == (f"{PROJECT}:{dataset}.copy", "0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fancy": 1}, "Unknown name \"fancy\" at 'table'"),
        ({"timePartitioning": {"type": "DAY", "column": "at"}}, "Unknown name \"column\" at 'table.time_partitioning'"),
        ({"schema": {"fields": [ID, {**AT, "nullable": True}]}}, r"'table\.schema\.fields\[1\]'"),
        ({"timePartitioning": {"type": "WEEK"}}, "WEEK is not a valid value"),
        ({"timePartitioning": {"field": "at"}}, "timePartitioning.type"),
        ({"timePartitioning": {"type": "DAY", "field": "gone"}}, "gone"),
        ({"timePartitioning": {"type": "DAY", "field": "id"}}, "partitioning column id"),
        ({"rangePartitioning": {"field": "at", "range": {"start": 0, "end": 1, "interval": 1}}}, "column at"),
        ({"clustering": {"fields": ["gone"]}}, "clustering"),
        ({"clustering": {"fields": ["id", "at", "id", "at", "id"]}}, "Limit is 4"),
        ({"tableConstraints": {"primaryKey": {"columns": ["gone"]}}}, "gone"),
        ({"expirationTime": "1000"}, "in the past"),
        ({"schema": {"fields": [ID, ID]}}, "Duplicate field name"),
        ({"schema": {"fields": [{"name": "s", "type": "STRING", "mode": "SOMETIMES"}]}}, "mode of field s"),
        ({"schema": {"fields": [{"name": "i", "type": "INT64", "maxLength": 4}]}}, "only for STRING and BYTES"),
        ({"schema": {"fields": [{"name": "n", "type": "NUMERIC", "precision": 30}]}}, "precision or scale of field n"),
        ({"schema": {"fields": [{"name": "n", "type": "NUMERIC", "scale": 2}]}}, "precision or scale of field n"),
        ({"schema": {"fields": [{"name": "n", "type": "NUMERIC", "precision": 39, "scale": 10}]}}, "field n"),
        ({"schema": {"fields": [{"name": "i", "type": "INT64", "precision": 4}]}}, "precision or scale of field i"),
        (
            {"schema": {"fields": [{"name": "r", "type": "RECORD", "fields": [{**ID, "mode": "OFTEN"}]}]}},
            "mode of field id",
        ),
    ],
)
def test_a_definition_that_does_not_fit_is_refused(
    world: Cloud, dataset: str, change: dict[str, Any], message: str
) -> None:
    body = {"schema": {"fields": [ID, AT]}, **change}
    with pytest.raises(BadRequest, match=message):
        create(world, dataset, "t", **body)
    with pytest.raises(NotFound):
        call(world, "GET", f"datasets/{dataset}/tables/t")


def foreign(dataset: str, table: str, column: str = "id") -> dict[str, Any]:
    reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": table}
    pairs = [{"referencingColumn": "id", "referencedColumn": column}]
    return {"foreignKeys": [{"name": "fk", "referencedTable": reference, "columnReferences": pairs}]}


def test_a_foreign_key_needs_the_primary_key_that_it_references(world: Cloud, dataset: str) -> None:
    columns = {"schema": {"fields": [ID, AT]}}
    with pytest.raises(NotFound, match="parent"):
        create(world, dataset, "child", **columns, tableConstraints=foreign(dataset, "parent"))
    create(world, dataset, "parent", **columns)
    create(world, dataset, "child", **columns)
    path = f"datasets/{dataset}/tables/child"
    with pytest.raises(BadRequest, match="primary key of table parent"):
        call(world, "PATCH", path, {"tableConstraints": foreign(dataset, "parent")})
    call(world, "PATCH", f"datasets/{dataset}/tables/parent", {"tableConstraints": KEYED["tableConstraints"]})
    with pytest.raises(BadRequest, match="primary key of table parent"):
        call(world, "PATCH", path, {"tableConstraints": foreign(dataset, "parent", "at")})
    with pytest.raises(BadRequest, match="another dataset"):
        call(world, "PATCH", path, {"tableConstraints": foreign(world.dataset(), "parent")})
    call(world, "PATCH", path, {"tableConstraints": foreign(dataset, "parent")})
    assert call(world, "GET", path)["tableConstraints"] == foreign(dataset, "parent")
    call(world, "PATCH", path, {"tableConstraints": None})
    assert "tableConstraints" not in call(world, "GET", path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([ID], "Field at is missing in new schema"),
        ([ID, {**AT, "type": "DATE"}], "Field at has changed type from TIMESTAMP to DATE"),
        ([ID, {**AT, "mode": "REQUIRED"}], "Field at has changed mode from NULLABLE to REQUIRED"),
        ([ID, AT, {**ID, "name": "more"}], "Cannot add required fields"),
    ],
)
def test_a_patch_cannot_break_the_columns(
    world: Cloud, dataset: str, fields: list[dict[str, Any]], message: str
) -> None:
    create(world, dataset, "t", **KEYED)
    with pytest.raises(BadRequest, match=message):
        call(world, "PATCH", f"datasets/{dataset}/tables/t", {"schema": {"fields": fields}})


def test_a_patch_sets_defaults_descriptions_and_tags_of_columns_and_relaxes_them(world: Cloud, dataset: str) -> None:
    create(world, dataset, "t", **KEYED)
    world.sql(f"INSERT INTO {dataset}.t (id) VALUES (1)")
    columns = [
        {**ID, "mode": "NULLABLE", "description": "x"},
        {**AT, "defaultValueExpression": "CURRENT_TIMESTAMP()", "policyTags": {"names": ["a"]}},
    ]
    path = f"datasets/{dataset}/tables/t"
    call(world, "PATCH", path, {"schema": {"fields": columns}})
    found = call(world, "GET", path)
    assert found["schema"]["fields"] == columns
    assert found["numRows"] == "1"


def test_a_dataset_keeps_everything_that_its_definition_sets(world: Cloud) -> None:
    full = {
        "location": "EU",
        "friendlyName": "Shop",
        "description": "All tables",
        "labels": {"team": "shop"},
        "access": [{"role": "READER", "userByEmail": "a@example.com"}],
        "defaultTableExpirationMs": str(10 * DAY),
        "defaultPartitionExpirationMs": str(20 * DAY),
        "defaultCollation": "und:ci",
        "defaultRoundingMode": "ROUND_HALF_EVEN",
        "defaultEncryptionConfiguration": {"kmsKeyName": "k"},
        "maxTimeTravelHours": "48",
        "storageBillingModel": "PHYSICAL",
        "isCaseInsensitive": True,
    }
    reference = {"datasetReference": {"projectId": PROJECT, "datasetId": "full"}}
    call(world, "POST", "datasets", {**full, **reference, "creationTime": "1"})
    found = call(world, "GET", "datasets/full")
    assert discovery.check("bigquery.v2", "Dataset", found) == []
    assert {key: found[key] for key in full} == full
    assert found["creationTime"] != "1"
    call(world, "PATCH", "datasets/full", {"defaultTableExpirationMs": None, "labels": {"team": None, "new": "x"}})
    found = call(world, "GET", "datasets/full")
    assert "defaultTableExpirationMs" not in found
    assert (found["labels"], found["storageBillingModel"]) == ({"new": "x"}, "PHYSICAL")


@pytest.mark.parametrize(
    ("body", "message"),
    [({"owner": "me"}, "Unknown name"), ({"defaultTableExpirationMs": "1000"}, "minimum is 3600000")],
)
def test_a_dataset_that_does_not_fit_is_refused(world: Cloud, body: dict[str, Any], message: str) -> None:
    reference = {"datasetReference": {"projectId": PROJECT, "datasetId": "refused"}}
    with pytest.raises(BadRequest, match=message):
        call(world, "POST", "datasets", {**reference, **body})
    with pytest.raises(NotFound):
        call(world, "GET", "datasets/refused")


def test_default_expirations_of_a_dataset_apply_to_new_tables(world: Cloud, dataset: str) -> None:
    create(world, dataset, "before", **KEYED)
    defaults = {"defaultTableExpirationMs": str(DAY), "defaultPartitionExpirationMs": str(2 * DAY)}
    call(world, "PATCH", f"datasets/{dataset}", defaults)
    assert "expirationTime" not in call(world, "GET", f"datasets/{dataset}/tables/before")
    plain = create(world, dataset, "plain", **KEYED)
    assert int(plain["expirationTime"]) == int(plain["creationTime"]) + DAY
    parts = create(world, dataset, "parts", **KEYED, timePartitioning={"type": "DAY"})
    assert parts["timePartitioning"] == {"type": "DAY", "expirationMs": str(2 * DAY)}
    assert "expirationTime" not in parts
    own = create(world, dataset, "own", **KEYED, expirationTime="32503680000000")
    assert own["expirationTime"] == "32503680000000"


def test_a_table_disappears_when_it_expires(world: Cloud, dataset: str) -> None:
    now = int(create(world, dataset, "t", **KEYED)["creationTime"])
    call(world, "PATCH", f"datasets/{dataset}/tables/t", {"expirationTime": str(now + DAY)})
    assert call(world, "GET", f"datasets/{dataset}/tables/t")
    with world.clock(24 * 3600):
        assert "tables" not in call(world, "GET", f"datasets/{dataset}/tables")
        with pytest.raises(NotFound):
            call(world, "GET", f"datasets/{dataset}/tables/t")
        create(world, dataset, "t", **KEYED)


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "TIMESTAMP"])
def test_rows_of_expired_partitions_are_deleted_when_they_are_written(world: Cloud, dataset: str, kind: str) -> None:
    columns = [{"name": "id", "type": "INTEGER"}, {"name": "at", "type": kind}]
    by_day = {"type": "DAY", "field": "at", "expirationMs": str(10 * DAY)}
    create(world, dataset, "t", schema={"fields": columns}, timePartitioning=by_day)
    at = f"CAST(TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL days * 24 HOUR) AS {kind})"
    world.sql(f"INSERT INTO {dataset}.t (id, at) SELECT days, {at} FROM UNNEST([0, 8, 11, 400]) AS days")
    world.sql(f"INSERT INTO {dataset}.t (id, at) VALUES (99, NULL)")
    assert rows(world, f"{dataset}.t") == [0, 8, 99]


def test_a_partition_expiration_that_is_set_later_deletes_old_partitions(world: Cloud, dataset: str) -> None:
    columns = [{"name": "id", "type": "INTEGER"}, {"name": "at", "type": "DATE"}]
    by_day = {"type": "DAY", "field": "at"}
    create(world, dataset, "t", schema={"fields": columns}, timePartitioning=by_day)
    world.sql(f"INSERT INTO {dataset}.t (id, at) VALUES (1, DATE '2001-01-01'), (2, CURRENT_DATE())")
    path = f"datasets/{dataset}/tables/t"
    call(world, "PATCH", path, {"timePartitioning": {**by_day, "expirationMs": str(36_500 * DAY)}})
    assert rows(world, f"{dataset}.t") == [1, 2]
    call(world, "PATCH", path, {"timePartitioning": {**by_day, "expirationMs": str(10 * DAY)}})
    assert rows(world, f"{dataset}.t") == [2]


def test_views_are_built_on_views_and_materialized_views_on_tables(world: Cloud, dataset: str) -> None:
    create(world, dataset, "base", **KEYED)
    create(world, dataset, "v", view={"query": f"SELECT id FROM {dataset}.base", "useLegacySql": False})
    made = create(world, dataset, "w", view={"query": f"SELECT id + 1 AS next FROM {dataset}.v", "useLegacySql": False})
    assert [field["name"] for field in made["schema"]["fields"]] == ["next"]
    materialized = {
        "query": f"SELECT COUNT(*) AS n FROM {dataset}.base",
        "enableRefresh": False,
        "refreshIntervalMs": "1",
    }
    made = create(world, dataset, "m", materializedView=materialized, labels={"a": "b"})
    assert (made["type"], made["materializedView"], made["labels"]) == ("MATERIALIZED_VIEW", materialized, {"a": "b"})
    world.sql(f"INSERT INTO {dataset}.base (id) VALUES (1)")
    assert world.sql(f"SELECT next FROM {dataset}.w") == [(2,)]
    with pytest.raises(NotFound, match="gone"):
        create(world, dataset, "x", view={"query": f"SELECT id FROM {dataset}.gone", "useLegacySql": False})
    client: bigquery.Client = world.client
    assert client.get_table(f"{dataset}.m").mview_enable_refresh is False


def test_an_update_of_a_view_replaces_all_of_it(world: Cloud, dataset: str) -> None:
    create(world, dataset, "base", **KEYED)
    view = {"query": f"SELECT id FROM {dataset}.base", "useLegacySql": False}
    create(world, dataset, "v", view=view, description="old", labels={"a": "1"})
    other = {"query": f"SELECT at FROM {dataset}.base", "useLegacySql": False}
    call(world, "PUT", f"datasets/{dataset}/tables/v", {"view": other, "labels": {"b": "2"}})
    found = call(world, "GET", f"datasets/{dataset}/tables/v")
    assert (found["view"], found["labels"], found.get("description")) == (other, {"b": "2"}, None)
    assert [field["name"] for field in found["schema"]["fields"]] == ["at"]
