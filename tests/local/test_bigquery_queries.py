"""Queries: statements, types, parameters, time travel, dry runs and EXPORT DATA."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, finish


@pytest.fixture
def table(world: Cloud) -> str:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, 'x' AS s UNION ALL SELECT 2, 'y'")
    return f"{name}.t"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1", 1),
        ("(SELECT STRING_AGG(CONCAT(x, i), ',' ORDER BY i) FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS i)", "a0,b1"),
        ("(SELECT x FROM UNNEST(['a', 'b']) AS x WITH OFFSET WHERE offset = 0)", "a"),
        ("(SELECT COUNT(*) FROM UNNEST([1, 2]) LEFT JOIN UNNEST(CAST([] AS ARRAY<INT64>)) AS x WITH OFFSET)", 2),
        ("1.5", 1.5),
        ("7 / 2", 3.5),
        ("'x'", "x"),
        ("b'x'", b"x"),
        ("TRUE", True),
        ("NULL", None),
        ("NUMERIC '1.10'", Decimal("1.1")),
        ("CAST('1.5' AS BIGNUMERIC)", Decimal("1.5")),
        ("DATE '2024-01-31'", date(2024, 1, 31)),
        ("TIMESTAMP '2024-01-01 00:00:00+01:00'", datetime(2023, 12, 31, 23, tzinfo=UTC)),
        ("TIMESTAMP_MILLIS(1500)", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("[1, 2]", [1, 2]),
        ("STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
        ("JSON '[1]'", [1]),
    ],
)
def test_values_have_their_types(world: Cloud, expression: str, value: Any) -> None:
    assert world.sql(f"SELECT {expression} AS v") == [(value,)]


@pytest.mark.parametrize(
    "relation", ["read_text({file})", "read_csv({file}) AS t", "(SELECT * FROM read_blob({file}))", "range(3)"]
)
def test_queries_cannot_read_local_files(world: Cloud, table: str, relation: str, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a,s\n1,secret\n")
    requested = relation.format(file=f"'{tmp_path / 'secret.csv'}'")
    for text in (f"SELECT * FROM {requested}", f"CREATE VIEW {table}_view AS SELECT * FROM {requested}",
                 f"INSERT INTO {table} SELECT 1, 'x' FROM {requested}"):  # fmt: skip
        with pytest.raises(BadRequest, match="Table-valued function not found"):
            world.sql(text)


def test_unnamed_columns_are_numbered(world: Cloud) -> None:
    rows = world.client.query_and_wait("SELECT 1, 2 AS b, 3")
    assert [field.name for field in rows.schema] == ["f0_", "b", "f1_"]


def test_the_clock_is_the_server_s(world: Cloud) -> None:
    with world.clock(-3600):
        [(now,)] = world.sql("SELECT CURRENT_TIMESTAMP()")
    assert 3500 < (datetime.now(UTC) - now).total_seconds() < 3700


def test_names_can_be_quoted_completely_or_in_parts(world: Cloud, table: str) -> None:
    dataset, _, name = table.partition(".")
    for text in (f"`{PROJECT}.{dataset}.{name}`", f"`{PROJECT}`.{dataset}.{name}", f"{PROJECT}.{dataset}.`{name}`"):
        assert world.sql(f"SELECT count(*) FROM {text}") == [(2,)]
    whole = f"`{PROJECT}.{dataset}.{name}`"
    assert world.sql(f"SELECT {whole}.`a`, {whole}.`s` FROM {whole} ORDER BY 1") == [(1, "x"), (2, "y")]
    config = bigquery.QueryJobConfig(default_dataset=f"{PROJECT}.{dataset}")
    assert world.sql(f"SELECT {name}.a FROM {name} ORDER BY 1", job_config=config) == [(1,), (2,)]
    assert world.sql(f"WITH t AS (SELECT a FROM {table} AS inside) SELECT sum(a) FROM t") == [(3,)]


def test_parameters_are_named_or_positional(world: Cloud, table: str) -> None:
    named = bigquery.QueryJobConfig(
        query_parameters=[
            bigquery.ScalarQueryParameter("s", "STRING", "y"),
            bigquery.ArrayQueryParameter("all", "INT64", [1, 2]),
        ]
    )
    assert world.sql(f"SELECT a FROM {table} WHERE s = @s AND a IN UNNEST(@all)", job_config=named) == [(2,)]
    positional = bigquery.QueryJobConfig(query_parameters=[bigquery.ScalarQueryParameter(None, "INT64", 1)])
    assert world.sql(f"SELECT s FROM {table} WHERE a = ?", job_config=positional) == [("x",)]


def test_rows_are_changed_by_dml(world: Cloud, table: str) -> None:
    job = world.client.query(f"INSERT INTO {table} (a, s) VALUES (3, 'z')")
    job.result()
    assert (job.num_dml_affected_rows, job.statement_type) == (1, "INSERT")
    world.sql(f"UPDATE {table} SET s = 'new' WHERE a = 1")
    world.sql(f"DELETE FROM {table} WHERE a = 2")
    assert world.sql(f"SELECT a, s FROM {table} ORDER BY a") == [(1, "new"), (3, "z")]
    merge = "WHEN MATCHED THEN UPDATE SET s = n.s WHEN NOT MATCHED THEN INSERT (a, s) VALUES (n.a, n.s)"
    world.sql(f"MERGE {table} o USING (SELECT 3 AS a, 'm' AS s UNION ALL SELECT 4, 'n') n ON o.a = n.a {merge}")
    assert world.sql(f"SELECT a, s FROM {table} ORDER BY a") == [(1, "new"), (3, "m"), (4, "n")]
    world.sql(f"TRUNCATE TABLE {table}")
    assert world.sql(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_failed_change_changes_nothing(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest):
        world.sql(f"INSERT INTO {table} (a) SELECT CAST(s AS INT64) FROM {table}")
    assert world.client.get_table(table).num_rows == 2


def test_tables_are_created_and_dropped(world: Cloud, table: str) -> None:
    copy = f"{table}_copy"
    world.sql(f"CREATE TABLE {copy} PARTITION BY d CLUSTER BY a AS SELECT a, DATE '2024-01-01' AS d FROM {table}")
    found = world.client.get_table(copy)
    assert (found.num_rows, found.time_partitioning.field, found.clustering_fields) == (2, "d", ["a"])
    world.sql(f"CREATE TABLE IF NOT EXISTS {copy} (b INT64)")
    world.sql(f"CREATE OR REPLACE TABLE {copy} AS SELECT 'only' AS one")
    assert world.sql(f"SELECT * FROM {copy}") == [("only",)]
    world.sql(f"DROP TABLE {copy}")
    with pytest.raises(NotFound):
        world.sql(f"SELECT * FROM {copy}")
    world.sql(f"DROP TABLE IF EXISTS {copy}")


def test_a_dataset_can_be_created_by_sql(world: Cloud) -> None:
    world.sql("CREATE SCHEMA by_sql OPTIONS (location = 'EU')")
    assert world.client.get_dataset("by_sql").location == "EU"
    world.sql("DROP SCHEMA by_sql", location="EU")


def test_a_view_is_read_as_its_query(world: Cloud, table: str) -> None:
    world.sql(f"CREATE VIEW {table}_view AS SELECT a + 1 AS b FROM {table}")
    assert world.sql(f"SELECT sum(b) FROM {table}_view") == [(5,)]
    world.sql(f"INSERT INTO {table} VALUES (3, 'z')")
    assert world.sql(f"SELECT sum(b) FROM {table}_view") == [(9,)]


def test_time_travel_reads_an_earlier_state(world: Cloud, table: str) -> None:
    [(moment,)] = world.sql("SELECT CURRENT_TIMESTAMP()")
    with world.clock(60):
        world.sql(f"DELETE FROM {table} WHERE TRUE")
        clause = f"FOR SYSTEM_TIME AS OF TIMESTAMP '{moment.isoformat(sep=' ')}'"
        assert world.sql(f"SELECT count(*) FROM {table} {clause}") == [(2,)]
        assert world.sql(f"SELECT count(*) FROM {table} AS o {clause} JOIN {table} AS n ON o.a = n.a") == [(0,)]
        earlier = "FOR SYSTEM_TIME AS OF TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 30 SECOND)"
        assert world.sql(f"SELECT count(*) FROM {table} {earlier}") == [(2,)]


def test_arrival_time_is_a_hidden_column(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64) PARTITION BY _PARTITIONDATE")
    world.sql(f"INSERT INTO {name}.t (a) VALUES (1)")
    assert world.sql(f"SELECT * FROM {name}.t") == [(1,)]
    [(a, day)] = world.sql(f"SELECT *, _PARTITIONDATE AS day FROM {name}.t WHERE _PARTITIONTIME IS NOT NULL")
    assert (a, day) == (1, datetime.now(UTC).date())
    assert world.exported(f"{name}.t${day:%Y%m%d}") == b"a\n1\n"


def test_rows_are_inserted_into_the_partition_that_the_statement_names(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64) PARTITION BY TIMESTAMP_TRUNC(_PARTITIONTIME, MONTH)")
    world.sql(f"INSERT INTO {name}.t (_PARTITIONTIME, a) SELECT TIMESTAMP '2020-02-01', 1 UNION ALL SELECT NULL, 2")
    this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = [(1, datetime(2020, 2, 1, tzinfo=UTC)), (2, this_month)]
    assert world.sql(f"SELECT *, _PARTITIONTIME AS time FROM {name}.t ORDER BY a") == found
    now = world.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")[0][0]
    world.sql(f"UPDATE {name}.t SET _PARTITIONTIME = TIMESTAMP '2021-01-01' WHERE a = 2")
    then = f"FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS({now})"
    assert world.sql(f"SELECT *, _PARTITIONTIME AS time FROM {name}.t {then} ORDER BY a") == found
    assert world.sql(f"SELECT a FROM {name}.t WHERE _PARTITIONTIME = TIMESTAMP '2021-01-01'") == [(2,)]
    with pytest.raises(BadRequest, match="_PARTITIONTIME must be the start of a partition, and is 2020-02-02 00:00:00"):
        world.sql(f"INSERT INTO {name}.t (_PARTITIONTIME, a) VALUES (TIMESTAMP '2020-02-02', 3)")


def test_bytes_are_reported_and_billed(world: Cloud, table: str) -> None:
    job = world.client.query(f"SELECT a FROM {table}")
    job.result()
    assert (job.total_bytes_processed, job.total_bytes_billed) == (2 * 8 + 2 * 3, 10 << 20)


def test_a_dry_run_returns_bytes_and_creates_no_job(world: Cloud, table: str) -> None:
    before = len(list(world.client.list_jobs()))
    config = bigquery.QueryJobConfig(dry_run=True)
    job = world.client.query(f"SELECT a FROM {table}", job_config=config)
    assert (job.total_bytes_processed, job.state) == (22, "DONE")
    assert [field.name for field in job.schema] == ["a"]
    world.client.query(f"DROP TABLE {table}", job_config=config)
    assert world.client.get_table(table).num_rows == 2
    assert len(list(world.client.list_jobs())) == before
    with pytest.raises(BadRequest, match="Unrecognized name"):
        world.client.query(f"SELECT nope FROM {table}", job_config=config)


def test_results_come_in_pages(world: Cloud) -> None:
    text = "SELECT i FROM UNNEST(GENERATE_ARRAY(1, 25)) AS i ORDER BY i"
    rows = world.client.query(text).result(page_size=10)
    assert [len(list(page)) for page in rows.pages] == [10, 10, 5]
    assert [row.i for row in world.client.query_and_wait(text, page_size=10)] == list(range(1, 26))


def test_a_result_can_go_into_a_table(world: Cloud, table: str) -> None:
    target = f"{PROJECT}.{table}_result"
    config = bigquery.QueryJobConfig(destination=target, write_disposition="WRITE_TRUNCATE")
    for _ in range(2):
        world.client.query(f"SELECT a FROM {table}", job_config=config).result()
    assert world.client.get_table(target).num_rows == 2


def test_a_script_does_its_statements_in_turn(world: Cloud, table: str) -> None:
    assert world.sql(f"INSERT INTO {table} VALUES (3, 'z'); SELECT count(*) FROM {table}") == [(3,)]


def test_a_syntax_error_is_an_invalid_query(world: Cloud) -> None:
    with pytest.raises(BadRequest, match="Syntax error") as caught:
        world.client.query("SELEC 1").result()
    assert caught.value.errors[0]["reason"] == "invalidQuery"


def export(world: Cloud, table: str, options: str) -> Any:
    return finish(world.client.query(f"EXPORT DATA OPTIONS ({options}) AS SELECT * FROM {table} ORDER BY a"))


def test_export_data_writes_a_query_without_a_header(world: Cloud, table: str) -> None:
    bucket = world.bucket()
    job = export(world, table, f"uri='gs://{bucket}/x-*.csv', format='CSV'")
    assert job._properties["statistics"]["query"]["exportDataStatistics"] == {"fileCount": "1", "rowCount": "2"}
    assert job.statement_type == "EXPORT_DATA"
    assert world.read(bucket, "x-000000000000.csv") == b"1,x\n2,y\n"


def test_export_data_reads_views_and_earlier_moments(world: Cloud, table: str) -> None:
    bucket = world.bucket()
    world.sql(f"CREATE VIEW {table}_v AS SELECT a FROM {table}")
    export(world, f"{table}_v", f"uri='gs://{bucket}/*', format='JSON'")
    assert world.read(bucket, "000000000000") == b'{"a":"1"}\n{"a":"2"}\n'


def test_export_data_overwrites_only_with_the_option(world: Cloud, table: str) -> None:
    bucket = world.bucket()
    options = f"uri='gs://{bucket}/*', format='CSV', header=true, field_delimiter=';'"
    export(world, table, options)
    with pytest.raises(BadRequest, match="not empty"):
        export(world, table, options)
    export(world, table, f"{options}, overwrite=true")
    assert world.read(bucket, "000000000000") == b"a;s\n1;x\n2;y\n"


def test_export_data_shards_by_size(world: Cloud, table: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=11):
        job = export(world, table, f"uri='gs://{bucket}/*', format='PARQUET', compression='SNAPPY'")
    statistics = job._properties["statistics"]["query"]["exportDataStatistics"]
    assert statistics == {"fileCount": "2", "rowCount": "2"}
    assert len(world.names(bucket)) == 2


def test_export_data_has_no_zstd_and_avro_logical_types_by_default(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="one of GZIP, DEFLATE, SNAPPY"):
        export(world, table, "uri='gs://b/*', format='PARQUET', compression='ZSTD'")
    bucket = world.bucket()
    query = "SELECT DATE '2024-02-29' AS d, TIME '10:00:00' AS t"
    for name, options in (("default", ""), ("plain", ", use_avro_logical_types=false")):
        where = f"uri='gs://{bucket}/{name}*', format='AVRO'{options}"
        finish(world.client.query(f"EXPORT DATA OPTIONS ({where}) AS {query}"))
    rows = [list(fastavro.reader(io.BytesIO(world.read(bucket, name)))) for name in world.names(bucket)]
    assert rows == [[{"d": date(2024, 2, 29), "t": time(10)}], [{"d": "2024-02-29", "t": "10:00:00"}]]


def test_export_data_needs_a_wildcard(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="wild card"):
        export(world, table, "uri='gs://b/x', format='CSV'")


def test_an_external_table_is_read_from_its_files(world: Cloud) -> None:
    name, bucket = world.dataset(), world.bucket()
    world.storage.bucket(bucket).blob("in/1.csv").upload_from_string("a,s\n1,x\n2,y\n")
    table = bigquery.Table(f"{PROJECT}.{name}.x")
    table.schema = [bigquery.SchemaField("a", "INT64"), bigquery.SchemaField("s", "STRING")]
    config = bigquery.ExternalConfig("CSV")
    config.source_uris = [f"gs://{bucket}/in/*.csv"]
    config.csv_options.skip_leading_rows = 1
    table.external_data_configuration = config
    world.client.create_table(table)
    assert world.sql(f"SELECT sum(a) FROM {name}.x") == [(3,)]
    export(world, f"{name}.x", f"uri='gs://{bucket}/out/*', format='CSV'")
    assert world.read(bucket, "out/000000000000") == b"1,x\n2,y\n"


def test_a_dry_run_reports_the_tables_and_its_accuracy(world: Cloud, table: str) -> None:
    name = table.split(".")[-2]
    world.sql(f"CREATE VIEW {name}.v AS SELECT * FROM {table}")
    requested = bigquery.QueryJobConfig(dry_run=True)
    statistics = world.client.query(f"SELECT * FROM {name}.v", job_config=requested)._properties["statistics"]["query"]
    assert [found["tableId"] for found in statistics["referencedTables"]] == [table.split(".")[-1]]
    assert statistics["totalBytesProcessedAccuracy"] == "PRECISE"


def test_a_query_over_its_billing_limit_is_refused(world: Cloud, table: str) -> None:
    limit = bigquery.QueryJobConfig(maximum_bytes_billed=10_000_000)
    with pytest.raises(BadRequest, match=r"limit for bytes billed: 10000000\. 10485760 or higher required"):
        world.sql(f"SELECT * FROM {table}", job_config=limit)
    limit.maximum_bytes_billed = 10_485_760
    assert len(world.sql(f"SELECT * FROM {table}", job_config=limit)) == 2


def test_the_billing_limit_of_a_script_holds_for_its_statements_together(world: Cloud, table: str) -> None:
    made = table.replace("`", "") + "_made"
    limit = bigquery.QueryJobConfig(maximum_bytes_billed=10_485_760)
    world.sql(f"CREATE TABLE `{made}` (n INT64); INSERT INTO `{made}` VALUES (1)", job_config=limit)
    with pytest.raises(BadRequest, match=r"limit for bytes billed: 10485760\. 20971520 or higher required"):
        world.sql(f"SELECT * FROM {table}; SELECT * FROM {table}", job_config=limit)


def test_a_view_has_no_time_travel(world: Cloud, table: str) -> None:
    name = table.split(".")[-2]
    world.sql(f"CREATE VIEW {name}.past AS SELECT * FROM {table}")
    with pytest.raises(BadRequest, match="FOR SYSTEM_TIME AS OF cannot be used"):
        world.sql(f"SELECT * FROM {name}.past FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()")


def test_a_literal_that_cannot_be_cast_is_refused_while_the_query_is_analysed(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match='Could not cast literal "x" to type INT64'):
        world.client.query(
            f"SELECT CAST('x' AS INT64) AS a FROM {table}", job_config=bigquery.QueryJobConfig(dry_run=True)
        )


@pytest.mark.parametrize(
    ("partitioned", "column"), [("PARTITION BY d", "d"), ("PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 9, 1))", "n")]
)
def test_a_required_partition_filter_is_enforced(world: Cloud, partitioned: str, column: str) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t {partitioned} AS SELECT DATE '2024-01-01' AS d, 1 AS n, 'x' AS s")
    table = world.client.get_table(f"{name}.t")
    table.require_partition_filter = True
    world.client.update_table(table, ["require_partition_filter"])
    expected = f"without a filter over column\\(s\\) '{column}' that can be used for partition elimination"
    for where in ("", "WHERE s = 'x'", f"WHERE {column} IS NOT NULL OR s = 'x'"):
        for dry_run in (True, False):
            with pytest.raises(BadRequest, match=expected):
                world.client.query(
                    f"SELECT * FROM {name}.t {where}", job_config=bigquery.QueryJobConfig(dry_run=dry_run)
                ).result()
    for where in (f"{column} IS NOT NULL", f"(s = 'x') AND ({column} IS NULL OR {column} IS NOT NULL)"):
        assert world.sql(f"SELECT s FROM {name}.t WHERE {where}") == [("x",)]
    assert world.exported(f"{name}.t").splitlines()[0] == b"d,n,s"


def test_temporary_tables_last_as_long_as_their_script(world: Cloud) -> None:
    script = """
        CREATE TEMP TABLE Example (x INT64, y STRING);
        INSERT INTO Example VALUES (5, 'foo'), (6, 'bar');
        CREATE TEMP TABLE Twice AS SELECT Example.x * 2 AS x FROM Example;
        UPDATE Example SET y = 'baz' WHERE Example.x = 6;
        SELECT e.y, t.x FROM Example AS e JOIN Twice AS t ON t.x = 2 * e.x ORDER BY 1;
    """
    before = {item.dataset_id for item in world.client.list_datasets(include_all=True)}
    assert [tuple(row) for row in world.sql(script)] == [("baz", 12), ("foo", 10)]
    after = {item.dataset_id for item in world.client.list_datasets(include_all=True)}
    assert not any(name.startswith("_script") for name in after - before)
    with pytest.raises(BadRequest, match="must be qualified"):
        world.sql("SELECT * FROM Example")
    with pytest.raises(BadRequest, match="division by zero"):
        world.sql("CREATE TEMP TABLE Gone AS SELECT 1 AS x; SELECT ERROR('division by zero') FROM Gone")
    assert not any(item.dataset_id.startswith("_script") for item in world.client.list_datasets(include_all=True))


def test_a_script_may_drop_what_it_has_read(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.sql(f"CREATE TABLE {name}.u AS SELECT * FROM {name}.t; DROP TABLE {name}.t")
    assert [item.table_id for item in world.client.list_tables(name)] == ["u"]


def test_a_column_may_be_qualified_by_the_path_of_its_table(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 7 AS a")
    for path in (f"{name}.t", f"{PROJECT}.{name}.t"):
        assert world.sql(f"SELECT `{path}`.a FROM `{path}` WHERE `{path}`.`a` > 1") == [(7,)]


def test_datasets_without_a_project_may_be_those_of_another_one(world: Cloud) -> None:
    """The connection property `dataset_project_id`, in a job and in a query without one."""
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 7 AS a")
    base = f"{world.address}/bigquery/v2/projects/billing"
    chosen = {"connectionProperties": [{"key": "dataset_project_id", "value": PROJECT}]}
    query: dict[str, Any] = {"query": f"SELECT a FROM {name}.t", "useLegacySql": False}
    found = requests.post(f"{base}/queries", json={**query, **chosen}, timeout=30).json()
    assert found["rows"] == [{"f": [{"v": "7"}]}]
    assert requests.post(f"{base}/queries", json=query, timeout=30).status_code == 404
    job = requests.post(f"{base}/jobs", json={"configuration": {"query": {**query, **chosen}}}, timeout=30).json()
    results = f"{base}/queries/{job['jobReference']['jobId']}"
    assert requests.get(results, timeout=30).json()["rows"] == found["rows"]


@pytest.mark.parametrize(
    ("properties", "status"),
    [([("time_zone", "UTC")], 501), ([("session_id", "x")], 501), ([("mine", "x")], 200), ([("a", "x")] * 2, 400)],
)
def test_connection_properties_are_refused_or_ignored_as_documented(
    world: Cloud, properties: list[tuple[str, str]], status: int
) -> None:
    body = {"query": "SELECT 1", "connectionProperties": [{"key": key, "value": value} for key, value in properties]}
    answer = requests.post(f"{world.address}/bigquery/v2/projects/{PROJECT}/queries", json=body, timeout=30)
    assert answer.status_code == status
