"""Load jobs: what values of files become, and how they fit the table."""

from __future__ import annotations

import io
from decimal import Decimal
from json import dumps
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest
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


def parquet(value: str | None, precision: int, scale: int) -> bytes:
    make = pa.decimal128 if precision <= 38 else pa.decimal256
    out = io.BytesIO()
    number = None if value is None else Decimal(value)
    pq.write_table(pa.table({"n": pa.array([number], make(precision, scale))}), out)
    return out.getvalue()


def avro(value: str | None, precision: int, scale: int) -> bytes:
    kind = {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    schema = {"type": "record", "name": "Root", "fields": [{"name": "n", "type": ["null", kind]}]}
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(schema), [{"n": None if value is None else Decimal(value)}])
    return out.getvalue()


WRITERS = {"PARQUET": parquet, "AVRO": avro}


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize(
    ("precision", "scale", "types", "result"),
    [
        (38, 9, ["NUMERIC", "BIGNUMERIC"], "NUMERIC"),
        (38, 10, ["NUMERIC", "BIGNUMERIC"], "BIGNUMERIC"),
        (38, 10, ["BIGNUMERIC", "NUMERIC"], "BIGNUMERIC"),
        (38, 8, ["NUMERIC", "BIGNUMERIC"], "BIGNUMERIC"),
        (76, 38, ["NUMERIC", "BIGNUMERIC"], "BIGNUMERIC"),
        (76, 38, ["NUMERIC", "STRING"], "STRING"),
        (10, 2, ["STRING"], "STRING"),
        (38, 12, [], "NUMERIC"),
    ],
)
def test_a_decimal_becomes_the_first_target_type_that_holds_all_its_values(
    world: Cloud, table: str, format_: str, precision: int, scale: int, types: list[str], result: str
) -> None:
    data = WRITERS[format_]("1.5", precision, scale)
    load(world, table, data, source_format=format_, decimal_target_types=types, use_avro_logical_types=True)
    (column,) = world.client.get_table(table).schema
    assert column.field_type == result
    ((value,),) = rows(world, table)
    assert Decimal(value) == Decimal("1.5")
    assert isinstance(value, str) == (result == "STRING")


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize("given", [{"decimal_target_types": ["NUMERIC"]}, {}, {"schema": fields("n NUMERIC")}])
def test_a_decimal_that_does_not_fit_fails_and_is_not_rounded(
    world: Cloud, table: str, format_: str, given: dict[str, Any]
) -> None:
    options = {"source_format": format_, "use_avro_logical_types": True, **given}
    with pytest.raises(BadRequest, match=r"field n, out of valid NUMERIC range: 123\.999999999999"):
        load(world, table, WRITERS[format_]("123.999999999999", 38, 12), **options)
    with pytest.raises(BadRequest, match="out of valid NUMERIC range"):
        load(world, table, WRITERS[format_]("1" + "0" * 30, 38, 2), **options)
    load(world, table, WRITERS[format_]("-123.123456789", 38, 12), **options)
    load(world, table, WRITERS[format_](None, 38, 12), **options)
    assert rows(world, table) == [(None,), (Decimal("-123.123456789"),)]


@pytest.mark.parametrize("format_", WRITERS)
def test_a_decimal_keeps_all_digits_that_a_bignumeric_holds(world: Cloud, table: str, format_: str) -> None:
    value = "-12345678901234567890.123456789012"
    data = WRITERS[format_](value, 38, 12)
    load(world, table, data, source_format=format_, schema=fields("n BIGNUMERIC"), use_avro_logical_types=True)
    assert world.sql(f"SELECT CAST(n AS STRING) FROM `{table}`") == [(value,)]


def test_a_decimal_within_an_array_of_structs_becomes_the_target_type(world: Cloud, table: str) -> None:
    kind = pa.list_(pa.struct([("n", pa.decimal128(38, 12)), ("s", pa.string())]))
    out = io.BytesIO()
    pq.write_table(pa.table({"l": pa.array([[{"n": Decimal("0.123456789012"), "s": "x"}]], kind)}), out)
    options = bigquery.ParquetOptions()
    options.enable_list_inference = True
    load(world, table, out.getvalue(), source_format="PARQUET", parquet_options=options,
         decimal_target_types=["NUMERIC", "BIGNUMERIC"])  # fmt: skip
    assert [field.field_type for field in world.client.get_table(table).schema[0].fields] == ["BIGNUMERIC", "STRING"]
    assert rows(world, table) == [([{"n": Decimal("0.123456789012"), "s": "x"}],)]


@pytest.mark.parametrize("types", [["FLOAT64"], ["NUMERIC", "NUMERIC"]])
def test_unknown_and_duplicate_target_types_are_refused(world: Cloud, table: str, types: list[str]) -> None:
    with pytest.raises(BadRequest, match="decimalTargetTypes"):
        load(world, table, parquet("1", 10, 2), source_format="PARQUET", decimal_target_types=types)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1565357902.017896", 1565357902017896),
        ('"1381404436"', 1381404436000000),
        ("-1.5", -1500000),
        ("1.5e9", 1500000000000000),
        ('"2013-10-10 11:27:16 UTC"', 1381404436000000),
    ],
)
def test_a_number_is_loaded_as_seconds_into_a_timestamp(world: Cloud, table: str, text: str, micros: int) -> None:
    schema = fields("t TIMESTAMP")
    data = f'{{"t": {text}}}\n'.encode()
    load(world, table, data, source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    load(world, table, text.strip('"').encode() + b"\n", schema=schema)
    assert world.sql(f"SELECT UNIX_MICROS(t) FROM `{table}`") == [(micros,)] * 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("DQo=", b"\r\n"), ("DQ\no=\n", b"\r\n"), ("YWJj\nZGVm\n", b"abcdef"), ("YWI", b"ab"), ("", b"")],
)
def test_base64_may_have_line_breaks_and_no_padding(world: Cloud, table: str, text: str, value: bytes) -> None:
    schema = fields("b BYTES")
    json = f'{{"b": {dumps(text)}}}\n'
    load(world, table, json.encode(), source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    assert rows(world, table) == [(value,)]
    if value:
        load(world, table, f'"{text}"\n'.encode(), schema=schema, allow_quoted_newlines=True)
        assert rows(world, table) == [(value,)] * 2


def test_base64_of_an_impossible_length_is_refused(world: Cloud, table: str) -> None:
    with pytest.raises(BadRequest, match="Error while reading data"):
        load(world, table, b"YWJjZ\n", schema=fields("b BYTES"))


NESTED = [*fields("i INT64 REQUIRED", "s STRING", "l STRING REPEATED"),
          bigquery.SchemaField("r", "STRUCT", fields=fields("x INT64", "y STRING"))]  # fmt: skip


def test_rows_can_be_appended_with_fewer_nullable_columns(world: Cloud, table: str) -> None:
    world.client.create_table(bigquery.Table(table, NESTED))
    json = {"source_format": "NEWLINE_DELIMITED_JSON"}
    load(world, table, b'{"i": 1}\n', schema=fields("i INT64 REQUIRED"), **json)
    fewer = [*fields("i INT64 REQUIRED"), bigquery.SchemaField("r", "STRUCT", fields=fields("y STRING"))]
    load(world, table, b'{"i": 2, "r": {"y": "z"}}\n', schema=fewer, **json)
    assert rows(world, table) == [(1, None, [], None), (2, None, [], {"x": None, "y": "z"})]
    with pytest.raises(BadRequest, match="Field i is missing in new schema"):
        load(world, table, b'{"s": "x"}\n', schema=fields("s STRING"), **json)


def test_a_job_can_add_and_relax_columns_only_if_it_says_so(world: Cloud, table: str) -> None:
    world.client.create_table(bigquery.Table(table, NESTED))
    json = {"source_format": "NEWLINE_DELIMITED_JSON"}
    load(world, table, b'{"i": 1, "r": {"x": 1}}\n', **json)
    wider = [*fields("i INT64"), bigquery.SchemaField("r", "STRUCT", fields=fields("x INT64", "z STRING")),
             *fields("n STRING")]  # fmt: skip
    data = b'{"r": {"z": "new"}, "n": "also"}\n'
    with pytest.raises(BadRequest, match=r"has changed mode|Cannot add fields"):
        load(world, table, data, schema=wider, **json)
    options = ["ALLOW_FIELD_ADDITION", "ALLOW_FIELD_RELAXATION"]
    load(world, table, data, schema=wider, schema_update_options=options, **json)
    schema = world.client.get_table(table).schema
    assert [(field.name, field.mode) for field in schema] == [
        ("i", "NULLABLE"), ("s", "NULLABLE"), ("l", "REPEATED"), ("r", "NULLABLE"), ("n", "NULLABLE")
    ]  # fmt: skip
    assert [field.name for field in schema[3].fields] == ["x", "y", "z"]
    assert world.sql(f"SELECT i, r.x, r.z, n FROM `{table}` ORDER BY i") == [
        (None, None, "new", "also"), (1, 1, None, None)
    ]  # fmt: skip
    with pytest.raises(BadRequest, match="schemaUpdateOptions: ALLOW_ALL is not a valid value"):
        load(world, table, data, schema=wider, schema_update_options=["ALLOW_ALL"], **json)


def test_a_query_can_add_columns_to_its_destination(world: Cloud, table: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT 1 AS a")
    config = bigquery.QueryJobConfig(destination=table, write_disposition="WRITE_APPEND")
    with pytest.raises(BadRequest, match="Cannot add fields"):
        world.client.query("SELECT 2 AS a, 'x' AS b", job_config=config).result()
    config.schema_update_options = ["ALLOW_FIELD_ADDITION"]
    world.client.query("SELECT 2 AS a, 'x' AS b", job_config=config).result()
    assert rows(world, table) == [(1, None), (2, "x")]


def test_a_member_added_to_a_struct_is_null_in_its_rows(world: Cloud, table: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT STRUCT(1 AS x) AS r, [STRUCT(2 AS y)] AS l")
    found = world.client.get_table(table)
    found.schema = [
        bigquery.SchemaField("r", "STRUCT", fields=fields("x INT64", "z STRING")),
        bigquery.SchemaField("l", "STRUCT", mode="REPEATED", fields=fields("y INT64", "t STRING REPEATED")),
    ]
    world.client.update_table(found, ["schema"])
    assert rows(world, table) == [({"x": 1, "z": None}, [{"y": 2, "t": []}])]


def test_a_load_job_sets_the_properties_of_a_new_table_only(world: Cloud, table: str) -> None:
    named = {"destination_table_friendly_name": "Name", "destination_table_description": "Text"}
    load(world, table, b"1\n", schema=fields("a INT64"), **named)
    found = world.client.get_table(table)
    assert (found.friendly_name, found.description) == ("Name", "Text")
    load(world, table, b"2\n", schema=fields("a INT64"), **named)
    with pytest.raises(BadRequest, match="Cannot change description of the existing table"):
        load(world, table, b"3\n", schema=fields("a INT64"), destination_table_description="Other")
    assert rows(world, table) == [(1,), (2,)]


def test_the_columns_can_be_those_of_a_reference_file(world: Cloud, table: str) -> None:
    bucket = world.storage.bucket(world.bucket())
    bucket.blob("wide").upload_from_string(parquet("1.5", 38, 12))
    bucket.blob("narrow").upload_from_string(parquet("2", 10, 0))
    config = bigquery.LoadJobConfig(source_format="PARQUET", decimal_target_types=["NUMERIC", "BIGNUMERIC"])
    config.reference_file_schema_uri = f"gs://{bucket.name}/wide"
    finish(world.client.load_table_from_uri(f"gs://{bucket.name}/narrow", table, job_config=config))
    assert world.client.get_table(table).schema[0].field_type == "BIGNUMERIC"
    assert rows(world, table) == [(Decimal(2),)]


@pytest.mark.parametrize("given", [{}, {"referenceFileSchemaUri": "wide"}])
def test_an_external_table_has_the_columns_of_its_files(world: Cloud, table: str, given: dict[str, str]) -> None:
    bucket = world.storage.bucket(world.bucket())
    for name in ("wide", "narrow"):
        bucket.blob(name).upload_from_string(parquet("1.5", 38, 12 if name == "wide" else 10))
    external = bigquery.ExternalConfig("PARQUET")
    external.source_uris = [f"gs://{bucket.name}/narrow"]
    external.decimal_target_types = ["NUMERIC", "BIGNUMERIC"]
    for key, name in given.items():
        external._properties[key] = f"gs://{bucket.name}/{name}"
    made = bigquery.Table(table)
    made.external_data_configuration = external
    world.client.create_table(made)
    kind = world.client.get_table(table).schema[0].field_type
    assert kind == "BIGNUMERIC"
    assert rows(world, table) == [(Decimal("1.5"),)]


@pytest.mark.parametrize("value", [str(2**255 // 10**38), f"-{2**255 // 10**38}.5", "9" * 38])
def test_a_bignumeric_may_have_39_digits_before_the_point(world: Cloud, table: str, value: str) -> None:
    options = {"source_format": "AVRO", "use_avro_logical_types": True, "decimal_target_types": ["BIGNUMERIC"]}
    load(world, table, avro(value, 77, 38), **options)
    assert rows(world, table) == [(Decimal(value),)]
    with pytest.raises(BadRequest, match="out of valid BIGNUMERIC range"):
        load(world, table, avro(str(2**255 // 10**38 + 1), 77, 38), **options)


@pytest.mark.parametrize("format_", WRITERS)
def test_files_with_a_schema_replace_that_of_a_truncated_table(world: Cloud, table: str, format_: str) -> None:
    world.sql(f"CREATE TABLE `{table}` AS SELECT 'x' AS s")
    load(world, table, WRITERS[format_]("1.5", 10, 2), source_format=format_, use_avro_logical_types=True,
         write_disposition="WRITE_TRUNCATE")  # fmt: skip
    assert [(field.name, field.field_type) for field in world.client.get_table(table).schema] == [("n", "NUMERIC")]
    assert rows(world, table) == [(Decimal("1.5"),)]
