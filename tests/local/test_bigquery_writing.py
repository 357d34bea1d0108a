"""How load, copy and DML jobs write to tables that exist: what a restore relies on."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, finish

ID = {"name": "id", "type": "INTEGER"}
AT = {"name": "at", "type": "DATE"}
SCHEMA = {"fields": [ID, AT]}
BY_DAY = {"type": "DAY", "field": "at"}
TAGGED = {"fields": [{**ID, "policyTags": {"names": ["projects/p/t"]}}, AT]}
FULL = {
    "schema": TAGGED,
    "description": "Orders",
    "labels": {"a": "b"},
    "timePartitioning": BY_DAY,
    "clustering": {"fields": ["id"]},
    "tableConstraints": {"primaryKey": {"columns": ["id"]}},
    "encryptionConfiguration": {"kmsKeyName": "key"},
}


@pytest.fixture
def dataset(world: Cloud) -> str:
    return world.dataset()


@pytest.fixture
def bucket(world: Cloud) -> str:
    return world.bucket()


def create(world: Cloud, dataset: str, table: str, **body: Any) -> str:
    """A table with this definition."""
    reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": table}
    resource = {"schema": SCHEMA, **body, "tableReference": reference}
    world.client.create_table(bigquery.Table.from_api_repr(resource))
    return f"{dataset}.{table}"


def definition(world: Cloud, table: str) -> dict[str, Any]:
    resource: dict[str, Any] = world.client.get_table(f"{PROJECT}.{table}").to_api_repr()
    return resource


def load(world: Cloud, table: str, *uris: str, **options: Any) -> Any:
    """A load job, by the API's names of the options, that has ended."""
    config = bigquery.LoadJobConfig.from_api_repr({"load": {"createDisposition": "CREATE_NEVER", **options}})
    return finish(world.client.load_table_from_uri(list(uris), f"{PROJECT}.{table}", job_config=config))


def put(world: Cloud, bucket: str, name: str, data: bytes) -> str:
    world.storage.bucket(bucket).blob(name).upload_from_string(data)
    return f"gs://{bucket}/{name}"


def rows(world: Cloud, table: str) -> list[Any]:
    return sorted(row[0] for row in world.sql(f"SELECT id FROM {table} WHERE TRUE"))


def test_a_load_never_creates_a_table_that_must_exist(world: Cloud, dataset: str, bucket: str) -> None:
    uri = put(world, bucket, "one.csv", b"1,\n")
    with pytest.raises(NotFound, match="gone"):
        load(world, f"{dataset}.gone", uri, schema=SCHEMA)
    assert list(world.client.list_tables(dataset)) == []


def test_write_empty_needs_an_empty_table_and_append_does_not(world: Cloud, dataset: str, bucket: str) -> None:
    table, uri = create(world, dataset, "t"), put(world, bucket, "one.csv", b"1,\n")
    assert load(world, table, uri, writeDisposition="WRITE_EMPTY").output_rows == 1
    with pytest.raises(Conflict, match="Already Exists"):
        load(world, table, uri, writeDisposition="WRITE_EMPTY")
    assert load(world, table, uri, writeDisposition="WRITE_APPEND").output_rows == 1
    assert rows(world, table) == [1, 1]


@pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"])
def test_truncating_keeps_the_definition_or_only_part_of_it(
    world: Cloud, dataset: str, bucket: str, disposition: str
) -> None:
    table, uri = create(world, dataset, "t", **FULL), put(world, bucket, "one.csv", b"2,2024-01-01\n")
    world.sql(f"INSERT INTO {table} (id) VALUES (1)")
    policy = {"project": PROJECT, "dataset": dataset, "table": "t", "name": "eu"}
    world.control("POST", "policies", policy)
    job = load(world, table, uri, writeDisposition=disposition)
    assert (job.output_rows, rows(world, table)) == (1, [2])
    found = definition(world, table)
    for key in ("description", "labels", "timePartitioning", "clustering"):
        assert found[key] == FULL[key]
    kept = disposition == "WRITE_TRUNCATE_DATA"
    assert ("tableConstraints" in found, "encryptionConfiguration" in found) == (kept, kept)
    assert ("policyTags" in found["schema"]["fields"][0]) == kept
    named = [
        one
        for one in world.control("GET", "policies")["policies"]
        if one["rowAccessPolicyReference"]["datasetId"] == dataset
    ]
    assert bool(named) == kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([ID, {**AT, "type": "TIMESTAMP"}], "Field at has changed type from DATE to TIMESTAMP"),
        ([ID, {**AT, "mode": "REQUIRED"}], "Field at has changed mode from NULLABLE to REQUIRED"),
        ([ID, AT, {"name": "more", "type": "STRING"}], r"Cannot add fields \(field: more\)"),
    ],
)
def test_a_load_needs_the_schema_of_the_table(
    world: Cloud, dataset: str, bucket: str, fields: list[dict[str, Any]], message: str
) -> None:
    table, uri = create(world, dataset, "t"), put(world, bucket, "one.csv", b"1,,\n")
    with pytest.raises(BadRequest, match=message):
        load(world, table, uri, schema={"fields": fields})
    assert rows(world, table) == []


@pytest.mark.parametrize(
    ("type_", "value", "as_type"),
    [
        ("DATETIME", "DATETIME '2024-01-01 00:00:00'", "TIMESTAMP"),
        ("JSON", "JSON '{}'", "STRING"),
    ],
)
def test_parquet_needs_a_schema_for_types_that_it_does_not_have(
    world: Cloud, dataset: str, bucket: str, type_: str, value: str, as_type: str
) -> None:
    world.sql(f"CREATE TABLE {dataset}.source AS SELECT {value} AS v")
    uri = f"gs://{bucket}/file"
    world.extract(f"{dataset}.source", uri, destination_format="PARQUET")
    schema = {"fields": [{"name": "v", "type": type_}]}
    table = create(world, dataset, "t", schema=schema)
    with pytest.raises(BadRequest, match=f"Field v has changed type from {type_} to {as_type}"):
        load(world, table, uri, sourceFormat="PARQUET")
    assert load(world, table, uri, sourceFormat="PARQUET", schema=schema).output_rows == 1


@pytest.mark.parametrize("nested", [False, True])
def test_json_does_not_load_ranges(world: Cloud, dataset: str, bucket: str, nested: bool) -> None:
    field: dict[str, Any] = {"name": "v", "type": "RANGE", "rangeElementType": {"type": "DATE"}}
    fields = [{"name": "r", "type": "RECORD", "fields": [field]}] if nested else [field]
    value = b'{"v":"[2024-01-01, UNBOUNDED)"}'
    uri = put(world, bucket, "x.json", b'{"r":%s}' % value if nested else value)
    table = create(world, dataset, "t", schema={"fields": fields})
    with pytest.raises(BadRequest, match="RANGE"):
        load(world, table, uri, sourceFormat="NEWLINE_DELIMITED_JSON")


def test_a_load_is_all_or_nothing(world: Cloud, dataset: str, bucket: str) -> None:
    table = create(world, dataset, "t")
    good, bad = put(world, bucket, "good.csv", b"1,\n2,\n"), put(world, bucket, "bad.csv", b"3,\nx,\n")
    with pytest.raises(BadRequest, match="Error while reading data"):
        load(world, table, good, bad)
    assert rows(world, table) == []


def test_a_uri_with_a_generation_is_not_found(world: Cloud, dataset: str, bucket: str) -> None:
    table, uri = create(world, dataset, "t"), put(world, bucket, "one.csv", b"1,\n")
    with pytest.raises(NotFound, match="#1"):
        load(world, table, f"{uri}#1")


def test_a_load_takes_10_000_uris(world: Cloud, dataset: str) -> None:
    table = create(world, dataset, "t")
    with pytest.raises(BadRequest, match=r"Too many sources provided: 10001\. Limit is 10000"):
        load(world, table, *(f"gs://b/{number}" for number in range(10_001)))


def test_a_load_refuses_an_option_that_does_not_exist(world: Cloud, dataset: str) -> None:
    with pytest.raises(BadRequest, match=r"Unknown name .skipRows. at 'job\.configuration\.load'"):
        load(world, create(world, dataset, "t"), "gs://b/o", skipRows=1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.csv.gz", {}),
        ("x.json.gz", {"sourceFormat": "NEWLINE_DELIMITED_JSON"}),
        ("x.csv", {"allowQuotedNewlines": True}),
    ],
)
def test_large_files_that_cannot_be_split_are_refused(
    world: Cloud, dataset: str, bucket: str, name: str, options: dict[str, Any]
) -> None:
    data = b'{"id":1}\n' if "json" in name else b"1,\n"
    uri = put(world, bucket, name, gzip.compress(data) if name.endswith("gz") else data)
    table = create(world, dataset, "t")
    assert load(world, table, uri, **options).output_rows == 1
    with world.settings(largest_unsplit_bytes=2), pytest.raises(BadRequest, match="not splittable"):
        load(world, table, uri, **options)


DAYS = b"".join(b"%d,2024-01-%02d\n" % (day, day) for day in range(1, 5))


def test_a_job_changes_a_limited_number_of_partitions(world: Cloud, dataset: str, bucket: str) -> None:
    uri = put(world, bucket, "days.csv", DAYS)
    parts, scratch = create(world, dataset, "t", timePartitioning=BY_DAY), create(world, dataset, "scratch")
    load(world, scratch, uri)
    message = "Too many partitions produced by query, allowed 3, query produces at least 4 partitions"
    insert = f"INSERT INTO {parts} (id, at) SELECT id, at FROM {scratch} WHERE at"
    with world.settings(partitions_per_job=3):
        with pytest.raises(BadRequest, match=message):
            load(world, parts, uri)
        with pytest.raises(BadRequest, match=message):
            world.sql(f"{insert} > '1970-01-01'")
        assert rows(world, parts) == []
        for condition in ("< '2024-01-03'", ">= '2024-01-03'"):
            world.sql(f"{insert} {condition}")
        assert rows(world, parts) == [1, 2, 3, 4]
        # Partitions that are there already do not count.
        load(world, parts, put(world, bucket, "more.csv", b"5,2024-01-05\n"))
    assert rows(world, parts) == [1, 2, 3, 4, 5]


def test_integer_ranges_are_partitions_too(world: Cloud, dataset: str, bucket: str) -> None:
    ranges = {"field": "id", "range": {"start": "0", "end": "100", "interval": "2"}}
    table = create(world, dataset, "t", rangePartitioning=ranges)
    # 0–1, 2–3, outside of the range, and NULL.
    uri = put(world, bucket, "ids.csv", b"1,\n2,\n3,\n500,\n,\n")
    with world.settings(partitions_per_job=3), pytest.raises(BadRequest, match="at least 4 partitions"):
        load(world, table, uri)
    with world.settings(partitions_per_job=4):
        assert load(world, table, uri).output_rows == 5


def test_a_table_that_requires_a_partition_filter_can_be_written(world: Cloud, dataset: str, bucket: str) -> None:
    table = create(world, dataset, "t", timePartitioning=BY_DAY, requirePartitionFilter=True)
    load(world, table, put(world, bucket, "days.csv", DAYS))
    world.sql(f"INSERT INTO {table} (id, at) SELECT 9, DATE '2024-01-09'")
    assert world.sql(f"SELECT COUNT(*) FROM {table} WHERE at > '2024-01-01'") == [(4,)]


def test_rows_that_have_expired_are_counted_but_not_there(world: Cloud, dataset: str, bucket: str) -> None:
    expiring = {**BY_DAY, "expirationMs": "86400000"}
    table = create(world, dataset, "t", timePartitioning=expiring)
    assert load(world, table, put(world, bucket, "days.csv", DAYS)).output_rows == 4
    assert rows(world, table) == []


def arrivals(world: Cloud, table: str) -> list[Any]:
    return world.sql(f"SELECT id, FORMAT_TIMESTAMP('%F %H', _PARTITIONTIME) FROM {table} ORDER BY id")


@pytest.mark.parametrize(("unit", "hour"), [("HOUR", "07"), ("DAY", "00"), ("MONTH", "00"), ("YEAR", "00")])
def test_an_insert_sets_the_partition_of_each_row(world: Cloud, dataset: str, unit: str, hour: str) -> None:
    table = create(world, dataset, "t", timePartitioning={"type": unit})
    at = f"TIMESTAMP '2023-01-01 {hour}:00:00+00'"
    name = f"`{PROJECT}`.`{dataset}`.`t`"
    source = f"(SELECT 1 AS id, {at} AS arrived UNION ALL SELECT 2, TIMESTAMP '2022-01-01 00:00:00+00')"
    world.sql(f"INSERT INTO {name} (_PARTITIONTIME, `id`) SELECT arrived, id FROM {source}")
    assert arrivals(world, table) == [(1, f"2023-01-01 {hour}"), (2, "2022-01-01 00")]
    odd = "TIMESTAMP '2023-01-01 07:30:00+00'"
    with pytest.raises(BadRequest, match="must be the start of a partition"):
        world.sql(f"INSERT INTO {name} (_PARTITIONTIME, id) SELECT {odd}, 3")
    world.sql(f"INSERT INTO {name} (id) VALUES (4)")
    assert [row[0] for row in arrivals(world, table)] == [1, 2, 4]


def test_an_insert_of_partition_times_counts_them(world: Cloud, dataset: str) -> None:
    table = create(world, dataset, "t", timePartitioning={"type": "DAY"})
    days = "SELECT TIMESTAMP(DATE_ADD(DATE '2024-01-01', INTERVAL d DAY)), d FROM UNNEST([1, 2, 3, 4]) AS d"
    insert = f"INSERT INTO {table} (_PARTITIONTIME, id) {days}"
    with world.settings(partitions_per_job=3), pytest.raises(BadRequest, match="at least 4 partitions"):
        world.sql(insert)
    world.sql(insert)
    assert rows(world, table) == [1, 2, 3, 4]


def test_an_insert_refuses_null_in_a_required_column(world: Cloud, dataset: str) -> None:
    table = create(world, dataset, "t", schema={"fields": [{**ID, "mode": "REQUIRED"}, AT]})
    with pytest.raises(BadRequest, match="Required field id cannot be null"):
        world.sql(f"INSERT INTO {table} (id) SELECT CAST(NULL AS INT64)")


def copied(world: Cloud, source: str, to: str, **options: Any) -> Any:
    config = bigquery.CopyJobConfig(create_disposition="CREATE_NEVER", write_disposition="WRITE_TRUNCATE", **options)
    return finish(world.client.copy_table(f"{PROJECT}.{source}", f"{PROJECT}.{to}", job_config=config))


def test_a_copy_replaces_rows_schema_and_constraints_and_keeps_the_rest(world: Cloud, dataset: str) -> None:
    layout = {"timePartitioning": BY_DAY, "clustering": {"fields": ["id"]}}
    old = create(world, dataset, "old", **FULL)
    new = create(
        world, dataset, "new", **layout, labels={"c": "d"}, description="new",
        schema={"fields": [*SCHEMA["fields"], {"name": "more", "type": "STRING"}]},
        tableConstraints={"primaryKey": {"columns": ["id", "at"]}},
    )  # fmt: skip
    world.sql(f"INSERT INTO {old} (id) VALUES (1)")
    world.sql(f"INSERT INTO {new} (id) VALUES (2)")
    copied(world, new, old)
    found = definition(world, old)
    assert rows(world, old) == [2]
    assert [field["name"] for field in found["schema"]["fields"]] == ["id", "at", "more"]
    assert found["tableConstraints"] == {"primaryKey": {"columns": ["id", "at"]}}
    assert (found["description"], found["labels"]) == ("Orders", {"a": "b"})
    assert "encryptionConfiguration" not in found


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"timePartitioning": {"type": "MONTH", "field": "at"}},
        {"timePartitioning": {"type": "DAY"}},
        {"timePartitioning": BY_DAY, "clustering": {"fields": ["id"]}},
        {"rangePartitioning": {"field": "id", "range": {"start": "0", "end": "9", "interval": "1"}}},
    ],
)
def test_a_copy_cannot_change_partitioning_or_clustering(world: Cloud, dataset: str, layout: dict[str, Any]) -> None:
    old, new = create(world, dataset, "old", timePartitioning=BY_DAY), create(world, dataset, "new", **layout)
    world.sql(f"INSERT INTO {old} (id) VALUES (1)")
    with pytest.raises(BadRequest, match="Incompatible table partitioning specification"):
        copied(world, new, old)
    assert rows(world, old) == [1]


def test_a_copy_keeps_the_time_at_which_rows_arrived(world: Cloud, dataset: str) -> None:
    by_arrival = {"timePartitioning": {"type": "DAY"}}
    new, old = create(world, dataset, "new", **by_arrival), create(world, dataset, "old", **by_arrival)
    world.sql(f"INSERT INTO {new} (_PARTITIONTIME, id) VALUES (TIMESTAMP '2023-01-01 00:00:00+00', 1)")
    copied(world, new, old)
    assert arrivals(world, old) == [(1, "2023-01-01 00")]


def test_a_statement_runs_once_for_each_job_id(world: Cloud, dataset: str) -> None:
    table = create(world, dataset, "t")

    def insert() -> None:
        finish(world.client.query(f"INSERT INTO {table} (id) VALUES (1)", job_id=f"{dataset}-1", job_retry=None))

    insert()
    with pytest.raises(Conflict):
        insert()
    assert rows(world, table) == [1]


CASTS = [
    ("DATETIME", "CAST('2024-01-31T23:59:59.5' AS DATETIME)", '"2024-01-31T23:59:59.5"'),
    ("BIGNUMERIC", f"CAST('{'9' * 30}.{'1' * 30}' AS BIGNUMERIC)", f'"{"9" * 30}.{"1" * 30}"'),
    ("INTERVAL", "CAST('1-2 3 4:5:6.789' AS INTERVAL)", '"1-2 3 4:5:6.789"'),
    ("RANGE<DATE>", "CAST('[2026-01-01, UNBOUNDED)' AS RANGE<DATE>)", '"[2026-01-01, UNBOUNDED)"'),
    ("JSON", "PARSE_JSON('{\"a\": [1, null]}', wide_number_mode => 'round')", '{"a":[1,null]}'),
    ("GEOGRAPHY", "ST_GEOGFROMTEXT('POINT(1 2)')", '"POINT(1 2)"'),
    ("BYTES", 'FROM_BASE64(JSON_VALUE(\'{"b": "YWJj"}\', \'$."b"\'))', '"YWJj"'),
    ("INT64", 'CAST(JSON_VALUE(\'{"n": "5"}\', \'$."n"\') AS INT64)', '"5"'),
]


@pytest.mark.parametrize(("type_", "value", "exported"), CASTS)
def test_values_are_made_from_strings(world: Cloud, dataset: str, type_: str, value: str, exported: str) -> None:
    world.sql(f"CREATE TABLE {dataset}.t (v {type_})")
    world.sql(f"INSERT INTO {dataset}.t (v) SELECT {value}")
    data = world.exported(f"{dataset}.t", destination_format="NEWLINE_DELIMITED_JSON").decode()
    assert data == f'{{"v":{exported}}}\n'


def test_nested_values_are_made_from_strings_in_order(world: Cloud, dataset: str) -> None:
    nested: list[dict[str, Any]] = [
        {**ID},
        {"name": "at", "type": "DATETIME", "mode": "REPEATED"},
        {
            "name": "r", "type": "RECORD", "mode": "REPEATED",
            "fields": [{"name": "a", "type": "INTEGER"}, {"name": "at", "type": "DATETIME"}],
        },
    ]  # fmt: skip
    text = [{**ID}, {**nested[1], "type": "STRING"},
            {**nested[2], "fields": [{"name": "a", "type": "INTEGER"}, {"name": "at", "type": "STRING"}]}]  # fmt: skip
    create(world, dataset, "t", schema={"fields": nested})
    scratch = create(world, dataset, "scratch", schema={"fields": text})
    bucket = world.bucket()
    lines = (
        b'{"id":1,"at":["2024-01-02T00:00:00","2024-01-01T00:00:00"],"r":[{"a":2,"at":"2024-01-01T00:00:00"},{"a":1}]}\n'
        b'{"id":2}\n'
    )
    load(world, scratch, put(world, bucket, "x.json", lines), sourceFormat="NEWLINE_DELIMITED_JSON")
    element = "SELECT AS STRUCT one.a AS a, CAST(one.at AS DATETIME) AS at"
    world.sql(
        f"INSERT INTO {dataset}.t (id, at, r) SELECT id, "
        "ARRAY(SELECT CAST(one AS DATETIME) FROM UNNEST(at) AS one WITH OFFSET AS o ORDER BY o), "
        f"ARRAY({element} FROM UNNEST(r) AS one WITH OFFSET AS o ORDER BY o) FROM {scratch}"
    )
    data = world.exported(f"{dataset}.t", destination_format="NEWLINE_DELIMITED_JSON").decode().splitlines()
    assert sorted(data) == [
        '{"id":"1","at":["2024-01-02T00:00:00","2024-01-01T00:00:00"],"r":[{"a":"2","at":"2024-01-01T00:00:00"},{"a":"1"}]}',
        '{"id":"2","at":[],"r":[]}',
    ]
