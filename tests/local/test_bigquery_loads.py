"""Load jobs: from objects and from uploaded files."""

from __future__ import annotations

import gzip
import io
import re
from decimal import Decimal
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import bigquery

from local.bigquery_server import PROJECT, Cloud, finish


@pytest.fixture
def table(world: Cloud) -> str:
    return f"{PROJECT}.{world.dataset()}.t"


def fields(*pairs: str) -> list[bigquery.SchemaField]:
    return [bigquery.SchemaField(*pair.split()) for pair in pairs]


def load(world: Cloud, table: str, data: bytes, **options: Any) -> Any:
    config = bigquery.LoadJobConfig(**options)
    return finish(world.client.load_table_from_file(io.BytesIO(data), table, size=len(data), job_config=config))


def rows(world: Cloud, table: str) -> list[tuple[Any, ...]]:
    return world.sql(f"SELECT * FROM `{table}` ORDER BY 1")


def test_csv_is_loaded_by_its_schema(world: Cloud, table: str) -> None:
    data = b'a,s,ts,raw\n1,"x\ny",2024-01-01 00:00:00 UTC,YWJj\n2,"",,\n3,,,\n'
    job = load(
        world, table, data, skip_leading_rows=1, allow_quoted_newlines=True,
        schema=fields("a INT64", "s STRING", "ts TIMESTAMP", "raw BYTES"),
    )  # fmt: skip
    assert (job.output_rows, job.input_files, job.input_file_bytes) == (3, 1, len(data))
    found = world.sql(f"SELECT a, s, UNIX_SECONDS(ts), raw FROM `{table}` ORDER BY a")
    assert found == [(1, "x\ny", 1704067200, b"abc"), (2, "", None, None), (3, None, None, None)]


def test_a_null_marker_is_loaded_as_null(world: Cloud, table: str) -> None:
    schema = fields("a INT64", "s STRING")
    load(world, table, b"1;NA\nNA;x\n", null_marker="NA", field_delimiter=";", schema=schema)
    assert sorted(rows(world, table), key=str) == [(1, None), (None, "x")]


def test_a_schema_can_be_detected(world: Cloud, table: str) -> None:
    load(
        world,
        table,
        b"a,b,t\n1,x,2013-01-01T10:00:00Z\nNA,y,\n",
        autodetect=True,
        skip_leading_rows=1,
        null_marker="NA",
    )
    assert [field.name for field in world.client.get_table(table).schema] == ["a", "b", "t"]
    assert world.client.get_table(table).num_rows == 2


def test_json_is_loaded_with_nested_values(world: Cloud, table: str) -> None:
    schema = [
        *fields("id INT64", "n NUMERIC", "tags STRING REPEATED"),
        bigquery.SchemaField("r", "STRUCT", fields=fields("x INT64", "when TIMESTAMP")),
    ]
    data = b'{"id": "1", "n": 1.5, "tags": ["a"], "r": {"x": "2", "when": "2024-01-01 00:00:00 UTC"}}\n{"id": 2}\n'
    load(world, table, data, source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    first, second = rows(world, table)
    assert first[:3] == (1, Decimal("1.5"), ["a"])
    assert (first[3]["x"], first[3]["when"].year) == (2, 2024)
    assert second == (2, None, [], None)


@pytest.mark.parametrize("format_", ["CSV", "NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET"])
def test_extracted_files_can_be_loaded(world: Cloud, table: str, format_: str) -> None:
    # A DATETIME comes back from Avro as a STRING.
    moment = "NULL" if format_ == "AVRO" else "DATETIME '2024-01-01 01:02:03.5'"
    world.sql(f"""
        CREATE TABLE `{table}` AS SELECT 1 AS i, 'ä"<' AS s, 1.5 AS f, TRUE AS b, b'abc' AS raw, NUMERIC '1.25' AS n,
        DATE '2024-01-01' AS d, TIME '01:02:03' AS tm, {moment} AS dt,
        TIMESTAMP '2024-01-01 01:02:03.25 UTC' AS ts, JSON '{{"a":1}}' AS j, CAST('1.5' AS BIGNUMERIC) AS big
    """)
    bucket, copy = world.bucket(), f"{table}_copy"
    name = table.partition(".")[2]
    world.extract(name, f"gs://{bucket}/*", destination_format=format_, use_avro_logical_types=True)
    config = bigquery.LoadJobConfig(source_format=format_, schema=world.client.get_table(table).schema)
    config.use_avro_logical_types = True
    if format_ == "CSV":
        config.skip_leading_rows = 1
    finish(world.client.load_table_from_uri(f"gs://{bucket}/*", copy, job_config=config))
    assert rows(world, copy) == rows(world, table)
    assert world.client.get_table(copy).num_bytes == world.client.get_table(table).num_bytes


@pytest.mark.parametrize("format_", ["AVRO", "PARQUET"])
def test_files_with_a_schema_need_no_other(world: Cloud, table: str, format_: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT 1 AS a, [1, 2] AS l, STRUCT('x' AS y) AS r, CURRENT_TIMESTAMP() AS t")
    bucket = world.bucket()
    world.extract(table.partition(".")[2], f"gs://{bucket}/x", destination_format=format_)
    config = bigquery.LoadJobConfig(source_format=format_, use_avro_logical_types=True)
    finish(world.client.load_table_from_uri(f"gs://{bucket}/x", f"{table}_copy", job_config=config))
    assert rows(world, f"{table}_copy") == rows(world, table)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b'{"a": 1, "Z": 2}', "Z"),
        (b'{"A": 1}', ""),
        (b'{"r": [{"x": 1}, {"y": {"q": 2}}]}', "r.y.q"),
        (b'{"r": [{"x": 1, "y": {"p": 2}}], "j": {"any": [1]}}', ""),
    ],
)
def test_a_key_that_is_no_column_is_an_error_unless_it_is_ignored(
    world: Cloud, table: str, line: bytes, path: str
) -> None:
    world.sql(f"CREATE TABLE `{table}` (a INT64, r ARRAY<STRUCT<x INT64, y STRUCT<p INT64>>>, j JSON)")
    options = {"source_format": "NEWLINE_DELIMITED_JSON", "ignore_unknown_values": False}
    if path:
        with pytest.raises(BadRequest, match=re.escape(f"No such field: {path}.")):
            load(world, table, b'{"a": 0}\n' + line, **options)
        assert rows(world, table) == []
        options["ignore_unknown_values"] = True
    assert load(world, table, b'{"a": 0}\n' + line, **options).output_rows == 2


def test_dispositions_determine_whether_old_rows_stay(world: Cloud, table: str) -> None:
    schema = fields("a INT64")
    load(world, table, b"1\n", schema=schema)
    load(world, table, b"2\n")
    assert rows(world, table) == [(1,), (2,)]
    with pytest.raises(Conflict, match="Already Exists"):
        load(world, table, b"3\n", write_disposition="WRITE_EMPTY")
    created = world.client.get_table(table).created
    load(world, table, b"x\n", schema=fields("s STRING"), write_disposition="WRITE_TRUNCATE")
    assert rows(world, table) == [("x",)]
    assert world.client.get_table(table).created == created
    with pytest.raises(NotFound):
        load(world, f"{table}_new", b"1\n", schema=schema, create_disposition="CREATE_NEVER")


def test_a_partition_can_be_replaced(world: Cloud, table: str) -> None:
    schema = fields("d DATE", "a INT64")
    partitioning = bigquery.TimePartitioning(field="d")
    load(world, table, b"2024-01-01,1\n2024-01-02,2\n", schema=schema, time_partitioning=partitioning)
    load(world, f"{table}$20240101", b"2024-01-01,9\n", write_disposition="WRITE_TRUNCATE")
    assert [row[1] for row in rows(world, table)] == [9, 2]


def test_ingestion_time_partitions_can_be_selected(world: Cloud, table: str) -> None:
    schema = fields("a INT64")
    load(world, f"{table}$20240101", b"1\n", schema=schema, time_partitioning=bigquery.TimePartitioning())
    assert world.exported(f"{table.partition('.')[2]}$20240101", print_header=False) == b"1\n"
    assert world.exported(f"{table.partition('.')[2]}$20240102", print_header=False) == b""


def test_gzipped_files_are_loaded_as_they_are(world: Cloud, table: str) -> None:
    load(world, table, gzip.compress(b"1\n2\n"), schema=fields("a INT64"))
    assert rows(world, table) == [(1,), (2,)]


def test_large_files_are_uploaded_in_parts(world: Cloud, table: str) -> None:
    data = b"".join(b"%d,%s\n" % (number, b"x" * 100) for number in range(20_000))
    config = bigquery.LoadJobConfig(schema=fields("a INT64", "s STRING"))
    file = io.BytesIO(data)
    finish(world.client.load_table_from_file(file, table, job_config=config))
    assert world.sql(f"SELECT count(*), max(a) FROM `{table}`") == [(20_000, 19_999)]


def test_an_invalid_value_fails_the_job(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="Error while reading data"):
        load(world, table, b"x\n", schema=fields("a INT64"))
    with pytest.raises(NotFound):
        world.client.get_table(table)


def test_a_required_column_refuses_null(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="Required field a cannot be null"):
        load(world, table, b",x\n", schema=fields("a INT64 REQUIRED", "s STRING"))


def test_a_missing_object_fails_the_job(world: Cloud, table: str) -> None:
    config = bigquery.LoadJobConfig(schema=fields("a INT64"))
    for uri in (f"gs://{world.bucket()}/none-*", "gs://no-such-bucket/x"):
        with pytest.raises(NotFound, match="Not found: URI"):
            finish(world.client.load_table_from_uri(uri, table, job_config=config))


def test_avro_instants_are_numbers_unless_logical_types_are_requested(world: Cloud, table: str) -> None:
    world.sql(
        f"CREATE TABLE `{table}` AS SELECT DATE '1970-01-02' AS d, TIME '00:00:01' AS t, TIMESTAMP_MILLIS(5) AS ts"
    )
    bucket = world.bucket()
    name = table.partition(".")[2]
    world.extract(name, f"gs://{bucket}/x", destination_format="AVRO", use_avro_logical_types=True)
    uri, config = f"gs://{bucket}/x", bigquery.LoadJobConfig(source_format="AVRO")
    finish(world.client.load_table_from_uri(uri, f"{table}_numbers", job_config=config))
    assert rows(world, f"{table}_numbers") == [(1, 1_000_000, 5_000)]
    config.schema = world.client.get_table(table).schema
    with pytest.raises(BadRequest, match="Field d has changed type from DATE to INTEGER"):
        finish(world.client.load_table_from_uri(uri, f"{table}_typed", job_config=config))


def test_an_avro_datetime_is_a_string_to_a_load_job(world: Cloud, table: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT DATETIME '2024-02-29 10:00:00' AS dt")
    bucket = world.bucket()
    name = table.partition(".")[2]
    world.extract(name, f"gs://{bucket}/x", destination_format="AVRO", use_avro_logical_types=True)
    config = bigquery.LoadJobConfig(source_format="AVRO", use_avro_logical_types=True, schema=fields("dt DATETIME"))
    with pytest.raises(BadRequest, match="Field dt has changed type from DATETIME to STRING"):
        finish(world.client.load_table_from_uri(f"gs://{bucket}/x", f"{table}_copy", job_config=config))


def test_a_parquet_list_is_a_repeated_field_only_on_request(world: Cloud, table: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT [1, 2] AS l")
    bucket = world.bucket()
    world.extract(table.partition(".")[2], f"gs://{bucket}/x", destination_format="PARQUET")
    uri = f"gs://{bucket}/x"
    config = bigquery.LoadJobConfig(source_format="PARQUET", schema=fields("l INT64 REPEATED"))
    with pytest.raises(BadRequest, match="field l is a LIST there"):
        finish(world.client.load_table_from_uri(uri, f"{table}_copy", job_config=config))
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    config.parquet_options = options
    finish(world.client.load_table_from_uri(uri, f"{table}_copy", job_config=config))
    assert rows(world, f"{table}_copy") == [([1, 2],)]


@pytest.mark.parametrize(
    ("data", "option"), [(b'"a\nb"\n', "allow_quoted_newlines"), (b"a\x00b\n", "preserve_ascii_control_characters")]
)
def test_line_breaks_and_nul_in_csv_must_be_allowed(world: Cloud, table: str, data: bytes, option: str) -> None:
    with pytest.raises(BadRequest, match="Bad character"):
        load(world, table, data, schema=fields("s STRING"))
    config = bigquery.LoadJobConfig(schema=fields("s STRING"))
    config._properties["load"][
        {"allow_quoted_newlines": "allowQuotedNewlines"}.get(option, "preserveAsciiControlCharacters")
    ] = True
    finish(world.client.load_table_from_file(io.BytesIO(data), table, size=len(data), job_config=config))
    assert rows(world, table) == [(data.strip(b'"\n').decode(),)]


def test_json_requires_intervals_in_iso_8601_and_csv_does_not(world: Cloud, table: str) -> None:
    schema = fields("iv INTERVAL")
    load(world, table, b'{"iv": "P1Y2M-3DT4H5M6.5S"}\n', source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    load(world, table, b"0-0 -5 0:0:0\n", schema=schema)
    assert sorted(world.sql(f"SELECT CAST(iv AS STRING) FROM `{table}`")) == [("0-0 -5 0:0:0",), ("1-2 -3 4:5:6.5",)]
    with pytest.raises(BadRequest, match="expected ISO 8601"):
        load(world, table, b'{"iv": "1-2 3 4:5:6"}\n', source_format="NEWLINE_DELIMITED_JSON", schema=schema)


@pytest.mark.parametrize("packed", [False, True])
def test_long_rows_of_csv_are_loaded(world: Cloud, table: str, packed: bool) -> None:
    """BigQuery supports rows of up to 100 MB."""
    text = 'long, "quoted"\n' * 500_000
    data = f'1,"{text.replace(chr(34), chr(34) * 2)}"\n2,short\n'.encode()
    assert len(data) > 7_000_000
    schema, options = fields("a INT64", "s STRING"), {"allow_quoted_newlines": True}
    load(world, table, gzip.compress(data, 1) if packed else data, schema=schema, **options)
    assert rows(world, table) == [(1, text), (2, "short")]


@pytest.mark.parametrize("format_", ["CSV", "NEWLINE_DELIMITED_JSON"])
def test_an_interval_that_is_null_stays_null(world: Cloud, table: str, format_: str) -> None:
    schema = [
        *fields("i INT64", "span INTERVAL"),
        *([] if format_ == "CSV" else [*fields("spans INTERVAL REPEATED"),
                                       bigquery.SchemaField("r", "STRUCT", fields=fields("span INTERVAL"))]),
    ]  # fmt: skip
    data = {
        "CSV": b"1,\n2,1-2 3 4:5:6\n",
        "NEWLINE_DELIMITED_JSON": b'{"i":1,"r":{"span":null}}\n'
        b'{"i":2,"span":"P1Y2M3DT4H5M6S","spans":["P1D"],"r":{"span":"P1M"}}\n',
    }[format_]
    load(world, table, data, source_format=format_, schema=schema)
    spans = "CAST(span AS STRING)"
    assert world.sql(f"SELECT {spans} FROM `{table}` ORDER BY i") == [(None,), ("1-2 3 4:5:6",)]
    if format_ != "CSV":
        assert world.sql(f"SELECT r.span IS NULL FROM `{table}` ORDER BY i") == [(True,), (False,)]


NESTED = [
    bigquery.SchemaField(
        "r", "STRUCT", fields=[
            *fields("x INT64", "tags STRING REPEATED"),
            bigquery.SchemaField("more", "STRUCT", mode="REPEATED", fields=fields("y INT64", "deep INT64 REPEATED")),
        ],
    ),
    bigquery.SchemaField("l", "STRUCT", mode="REPEATED", fields=fields("z INT64", "deep STRING REPEATED")),
]  # fmt: skip


@pytest.mark.parametrize("format_", ["NEWLINE_DELIMITED_JSON", "AVRO", "PARQUET"])
def test_a_missing_nested_array_is_an_empty_array(world: Cloud, table: str, format_: str) -> None:
    """In BigQuery no array is NULL, at any depth, and loaded rows can be exported in any format."""
    data = b'{"i":1,"r":{"x":1,"more":[{"y":1},{"deep":null}]},"l":[{"z":1}]}\n{"i":2}\n{"i":3,"r":{}}\n'
    schema = [*fields("i INT64"), *NESTED]
    load(world, table, data, source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    required: list[tuple[Any, ...]] = [
        (1, {"x": 1, "tags": [], "more": [{"y": 1, "deep": []}, {"y": None, "deep": []}]}, [{"z": 1, "deep": []}]),
        (2, None, []),
        (3, {"x": None, "tags": [], "more": []}, []),
    ]
    assert rows(world, table) == required
    assert world.sql(f"SELECT i FROM `{table}` WHERE ARRAY_LENGTH(r.tags) = 0 ORDER BY i") == [(1,), (3,)]
    bucket, name = world.bucket(), table.partition(".")[2]
    world.extract(name, f"gs://{bucket}/x", destination_format=format_)
    config = bigquery.LoadJobConfig(source_format=format_, schema=schema)
    if format_ == "PARQUET":
        options = bigquery.ParquetOptions()
        options.enable_list_inference = True
        config.parquet_options = options
    finish(world.client.load_table_from_uri(f"gs://{bucket}/x", f"{table}_copy", job_config=config))
    assert rows(world, f"{table}_copy") == required


@pytest.mark.parametrize("way", ["streamed", "inserted", "queried"])
def test_no_way_to_write_rows_leaves_an_array_null(world: Cloud, table: str, way: str) -> None:
    ddl = "i INT64, r STRUCT<x INT64, tags ARRAY<STRING>>, l ARRAY<STRUCT<z INT64, deep ARRAY<STRING>>>"
    values = "SELECT 1 AS i, STRUCT(1 AS x, CAST(NULL AS ARRAY<STRING>) AS tags) AS r, "
    values += "[STRUCT(1 AS z, CAST(NULL AS ARRAY<STRING>) AS deep)] AS l"
    if way == "queried":
        world.sql(f"CREATE TABLE `{table}` AS {values}")
    else:
        world.sql(f"CREATE TABLE `{table}` ({ddl})")
        if way == "inserted":
            world.sql(f"INSERT INTO `{table}` (i, r, l) {values}")
        else:
            assert world.client.insert_rows_json(table, [{"i": 1, "r": {"x": 1}, "l": [{"z": 1}]}]) == []
    assert rows(world, table) == [(1, {"x": 1, "tags": []}, [{"z": 1, "deep": []}])]
    # Streamed rows are in no extract job's files.
    for format_ in () if way == "streamed" else ("AVRO", "PARQUET", "NEWLINE_DELIMITED_JSON"):
        assert world.exported(table.partition(".")[2], destination_format=format_)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("format_", "codec"),
    [("CSV", "NONE"), ("CSV", "GZIP"), ("NEWLINE_DELIMITED_JSON", "GZIP"), ("AVRO", "SNAPPY"), ("PARQUET", "SNAPPY")],
)
def test_files_without_rows_can_be_loaded_with_others(
    world: Cloud, table: str, format_: str, codec: str, bare: bool
) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT i, CAST(i AS STRING) AS s FROM UNNEST(GENERATE_ARRAY(1, 20)) AS i")
    for rows_there, settings in (20, {"shard_bytes": 100, "empty_shards": 3}), (0, {}):
        bucket, copy = world.bucket(), f"{table}_copy_{rows_there}"
        if not rows_there:
            world.sql(f"DELETE FROM `{table}` WHERE true")
        with world.settings(bare_empty_files=bare, **settings):
            world.extract(table.partition(".")[2], f"gs://{bucket}/*", destination_format=format_, compression=codec)
        config = bigquery.LoadJobConfig(source_format=format_, schema=fields("i INT64", "s STRING"))
        if format_ == "CSV":
            config.skip_leading_rows = 1
        finish(world.client.load_table_from_uri(f"gs://{bucket}/*", copy, job_config=config))
        assert sorted(row[0] for row in rows(world, copy)) == list(range(1, rows_there + 1))


def test_a_job_ends_where_a_library_panics(world: Cloud, table: str) -> None:
    """A panic of a library in Rust is no Exception: here, about key-value metadata that is not UTF-8."""
    told = pyarrow.table({"a": [1]}).replace_schema_metadata({b"\xff\xfe": b"\x80"})
    file = io.BytesIO()
    pyarrow.parquet.write_table(told, file)
    with pytest.raises(MethodNotImplemented, match="PanicException"):
        load(world, table, file.getvalue(), source_format="PARQUET")
