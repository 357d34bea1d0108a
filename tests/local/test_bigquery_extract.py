"""Extract jobs: names, shards, formats, decorators and errors."""

from __future__ import annotations

import gzip
import io
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import polars as pl
import pyarrow.parquet as pq
import pytest
import requests
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from starlette.responses import Response

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.files.objects import ObjectStore
from local.bigquery_server import PROJECT, Cloud
from local.storage_server import serving

if TYPE_CHECKING:
    from pathlib import Path

JSON, CSV, AVRO, PARQUET = "NEWLINE_DELIMITED_JSON", "CSV", "AVRO", "PARQUET"

FLAT = """
    id INT64 NOT NULL, s STRING, f FLOAT64, b BOOL, raw BYTES, n NUMERIC, big BIGNUMERIC, d DATE, tm TIME,
    dt DATETIME, ts TIMESTAMP, j JSON, g GEOGRAPHY
"""
ROW = """
    1, 'a,"b" <&>', 1.5, TRUE, b'abc', NUMERIC '12.50', CAST('0.12345678901234567890' AS BIGNUMERIC),
    DATE '2024-02-29', TIME '10:00:00.5', DATETIME '2024-02-29 10:00:00', TIMESTAMP '2024-02-29 10:00:00.250 UTC',
    JSON '{"k": "<v>"}', 'POINT(1 2)'
"""


@pytest.fixture(scope="module")
def flat(world: Cloud) -> str:
    """A table with every scalar type, with one row of values and one of NULLs."""
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.flat ({FLAT})")
    world.sql(f"INSERT INTO {name}.flat VALUES ({ROW})")
    world.sql(f"INSERT INTO {name}.flat (id) VALUES (2)")
    return f"{name}.flat"


@pytest.fixture(scope="module")
def nested(world: Cloud) -> str:
    """A table with a record and lists."""
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.nested (id INT64, r STRUCT<a INT64, b ARRAY<STRING>>, ts ARRAY<TIMESTAMP>)")
    world.sql(f"INSERT INTO {name}.nested VALUES (1, STRUCT(2 AS a, ['x', 'y'] AS b), [TIMESTAMP '2024-01-01'])")
    world.sql(f"INSERT INTO {name}.nested (id) VALUES (2)")
    return f"{name}.nested"


@pytest.fixture(scope="module")
def thousand(world: Cloud) -> str:
    """A table of 1,000 rows of 8 bytes."""
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.thousand AS SELECT i FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS i")
    return f"{name}.thousand"


def test_csv_has_the_text_formats_of_the_service(world: Cloud, flat: str) -> None:
    header, full, nulls = world.exported(flat).decode().splitlines()
    assert header == "id,s,f,b,raw,n,big,d,tm,dt,ts,j,g"
    assert full == (
        '1,"a,""b"" <&>",1.5,true,YWJj,12.5,0.1234567890123456789,2024-02-29,10:00:00.5,2024-02-29T10:00:00,'
        '2024-02-29 10:00:00.25 UTC,"{""k"":""<v>""}",POINT(1 2)'
    )
    assert nulls == "2" + "," * 12


def test_csv_does_not_distinguish_null_from_empty(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, '' AS s UNION ALL SELECT 2, CAST(NULL AS STRING)")
    assert world.exported(f"{name}.t") == b"a,s\n1,\n2,\n"


def test_csv_can_have_a_delimiter_and_no_header(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, 'x' AS b")
    assert world.exported(f"{name}.t", field_delimiter="\t", print_header=False) == b"1\tx\n"
    assert world.exported(f"{name}.t", field_delimiter="tab") == b"a\tb\n1\tx\n"
    assert world.exported(f"{name}.t", field_delimiter="|") == b"a|b\n1|x\n"


def test_json_quotes_integers_omits_nulls_and_escapes(world: Cloud, flat: str) -> None:
    full, nulls = world.exported(flat, destination_format=JSON).decode().splitlines()
    assert json.loads(nulls) == {"id": "2"}
    assert json.loads(full) == {
        "id": "1", "s": 'a,"b" <&>', "f": 1.5, "b": True, "raw": "YWJj", "n": "12.5", "big": "0.1234567890123456789",
        "d": "2024-02-29", "tm": "10:00:00.5", "dt": "2024-02-29T10:00:00", "ts": "2024-02-29 10:00:00.25 UTC",
        "j": {"k": "<v>"}, "g": "POINT(1 2)",
    }  # fmt: skip
    assert r"\u003c\u0026\u003e" in full
    assert not set("<>&") & set(full)


def test_json_has_nested_values(world: Cloud, nested: str) -> None:
    full, nulls = map(json.loads, world.exported(nested, destination_format=JSON).splitlines())
    assert full == {"id": "1", "r": {"a": "2", "b": ["x", "y"]}, "ts": ["2024-01-01 00:00:00 UTC"]}
    assert nulls == {"id": "2", "ts": []}


def test_nan_and_infinities_are_words(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT CAST(x AS FLOAT64) AS f FROM UNNEST(['inf', '-inf', 'nan', '1']) AS x")
    assert world.exported(f"{name}.t") == b"f\nInfinity\n-Infinity\nNaN\n1\n"
    lines = world.exported(f"{name}.t", destination_format=JSON).splitlines()
    assert lines == [b'{"f":"Infinity"}', b'{"f":"-Infinity"}', b'{"f":"NaN"}', b'{"f":1}']


# The digits in BigQuery's files, like those of C's printf: 15 if they parse back to the same value, else 17.
FLOATS = {
    "3800": "3800", "-5": "-5", "0": "0", "52": "52", "37.85": "37.85", "0.1": "0.1", "-73.972125": "-73.972125",
    "-73.781852722167969": "-73.781852722167969", "40.644840240478516": "40.644840240478516",
    "-73.9787368774414": "-73.9787368774414", "0.30000000000000004": "0.30000000000000004",
    "123456789012345": "123456789012345", "-1e15": "-1e+15", "1.7976931348623157e308": "1.7976931348623157e+308",
    "5e-324": "4.94065645841247e-324", "-0.0": "-0", "1e-5": "1e-05",
}  # fmt: skip


@pytest.fixture(scope="module")
def floats(world: Cloud) -> str:
    name = world.dataset()
    members = "STRUCT(CAST(x AS FLOAT64) AS f) AS r, [CAST(x AS FLOAT64)] AS l"
    world.sql(f"""CREATE TABLE {name}.t AS SELECT n, CAST(x AS FLOAT64) AS f, {members}
                  FROM UNNEST({list(FLOATS)}) AS x WITH OFFSET AS n ORDER BY n""")
    return f"{name}.t"


def test_floats_in_text_files_have_15_digits_or_17(world: Cloud, floats: str) -> None:
    dataset = floats.partition(".")[0]
    world.sql(f"CREATE TABLE {dataset}.flat AS SELECT f FROM {floats} ORDER BY n")
    assert world.exported(f"{dataset}.flat", print_header=False).decode().splitlines() == list(FLOATS.values())
    lines = world.exported(floats, destination_format=JSON).decode().splitlines()
    assert [line.partition(",")[2] for line in lines] == [
        f'"f":{text},"r":{{"f":{text}}},"l":[{text}]}}' for text in FLOATS.values()
    ]


@pytest.mark.parametrize(("format_", "suffix"), [("CSV", ""), ("JSON", "}")])
def test_queries_export_floats_in_the_same_way(world: Cloud, floats: str, format_: str, suffix: str) -> None:
    bucket = world.bucket()
    options = f"uri='gs://{bucket}/x-*', format='{format_}'"
    world.sql(f"EXPORT DATA OPTIONS ({options}) AS SELECT f FROM {floats} ORDER BY n")
    lines = world.read(bucket, "x-000000000000").decode().splitlines()
    assert [line.removeprefix('{"f":').removesuffix(suffix) for line in lines] == list(FLOATS.values())


def test_answers_of_the_api_keep_the_point_of_integral_floats(world: Cloud, floats: str) -> None:
    address = f"{world.address}/bigquery/v2/projects/{PROJECT}"
    dataset, _, table = floats.partition(".")
    data = requests.get(f"{address}/datasets/{dataset}/tables/{table}/data", timeout=20).json()
    query = {"query": f"SELECT * FROM {floats} ORDER BY n", "useLegacySql": False}
    for answer in (data, requests.post(f"{address}/queries", json=query, timeout=20).json()):
        values = [[cell["v"] for cell in row["f"]] for row in answer["rows"]]
        assert values[0][1:] == ["3800.0", {"f": [{"v": "3800.0"}]}, [{"v": "3800.0"}]]
        assert [row[1] for row in values[1:3]] == ["-5.0", "0.0"]


def test_avro_has_the_types_of_the_service(world: Cloud, flat: str) -> None:
    reader = fastavro.reader(io.BytesIO(world.exported(flat, destination_format=AVRO)))
    full, nulls = list(reader)
    assert (full["n"], full["big"], full["raw"]) == (Decimal("12.5"), Decimal("0.12345678901234567890"), b"abc")
    assert (full["d"], full["tm"], full["dt"]) == ("2024-02-29", "10:00:00.5", "2024-02-29T10:00:00")
    assert full["ts"].isoformat() == "2024-02-29T10:00:00.250000+00:00"
    assert {key for key, value in nulls.items() if value is not None} == {"id"}
    schema = json.loads(reader.metadata["avro.schema"])
    assert schema["name"] == "Root"
    assert schema["fields"][:2] == [
        {"name": "id", "type": "long"}, {"name": "s", "type": ["null", "string"], "default": None}
    ]  # fmt: skip


def test_avro_has_logical_types_on_request(world: Cloud, flat: str) -> None:
    data = world.exported(flat, destination_format=AVRO, use_avro_logical_types=True)
    full, _ = list(fastavro.reader(io.BytesIO(data)))
    assert (str(full["d"]), str(full["tm"]), full["dt"]) == ("2024-02-29", "10:00:00.500000", "2024-02-29T10:00:00")


def test_avro_has_nested_values(world: Cloud, nested: str) -> None:
    full, nulls = list(fastavro.reader(io.BytesIO(world.exported(nested, destination_format=AVRO))))
    assert full["r"] == {"a": 2, "b": ["x", "y"]}
    assert nulls == {"id": 2, "r": None, "ts": []}


def test_avro_names_records_in_title_case_and_has_descriptions(world: Cloud) -> None:
    name = world.dataset()
    inner = [bigquery.SchemaField("x", "INT64")]
    counted = [
        bigquery.SchemaField("value", "INT64", description='of a "member"'),
        bigquery.SchemaField("inner_Part", "STRUCT", fields=inner),
    ]
    schema = [
        bigquery.SchemaField("AS_MQRankSum_ft", "STRUCT", "REPEATED", description="what it counts", fields=counted),
        bigquery.SchemaField("inner_Part", "STRUCT", fields=[bigquery.SchemaField("x", "STRING")]),
        bigquery.SchemaField("n", "INT64", "REQUIRED", description="Zahl ü"),
        bigquery.SchemaField("plain", "INT64"),
    ]
    world.client.create_table(bigquery.Table(f"{PROJECT}.{name}.t", schema))
    world.sql(
        f"INSERT INTO {name}.t VALUES ([STRUCT(1 AS value, STRUCT(2 AS x) AS inner_Part)], STRUCT('y' AS x), 3, 4)"
    )
    reader = fastavro.reader(io.BytesIO(world.exported(f"{name}.t", destination_format=AVRO)))
    assert json.loads(reader.metadata["avro.schema"]) == {
        "type": "record", "name": "Root", "fields": [
            {"name": "AS_MQRankSum_ft", "doc": "what it counts", "type": {"type": "array", "items": {
                "type": "record", "namespace": "root", "name": "As_Mqranksum_Ft", "fields": [
                    {"name": "value", "doc": 'of a "member"', "type": ["null", "long"], "default": None},
                    {"name": "inner_Part", "default": None, "type": ["null", {
                        "type": "record", "namespace": "root.as_mqranksum_ft", "name": "Inner_Part",
                        "fields": [{"name": "x", "type": ["null", "long"], "default": None}]}]}]}}},
            {"name": "inner_Part", "default": None, "type": ["null", {
                "type": "record", "namespace": "root", "name": "Inner_Part",
                "fields": [{"name": "x", "type": ["null", "string"], "default": None}]}]},
            {"name": "n", "doc": "Zahl ü", "type": "long"},
            {"name": "plain", "type": ["null", "long"], "default": None},
        ]}  # fmt: skip
    first = {"value": 1, "inner_Part": {"x": 2}}
    assert list(reader) == [{"AS_MQRankSum_ft": [first], "inner_Part": {"x": "y"}, "n": 3, "plain": 4}]


def test_parquet_has_lists_and_elements_that_are_required(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (id INT64 NOT NULL, l ARRAY<STRING>, r STRUCT<l ARRAY<STRUCT<a INT64>>>)")
    world.sql(
        f"INSERT INTO {name}.t VALUES (1, ['a'], STRUCT([STRUCT(1 AS a), STRUCT(NULL AS a)] AS l)), (2, [], NULL)"
    )
    for codec in ("NONE", "SNAPPY"):
        file = pq.ParquetFile(io.BytesIO(world.exported(f"{name}.t", destination_format=PARQUET, compression=codec)))
        assert [line.strip() for line in str(file.schema).replace("field_id=-1 ", "").splitlines()[1:]] == [
            "required group schema {",
            "required int64 id;",
            "required group l (List) {", "repeated group list {", "required binary element (String);", "}", "}",
            "optional group r {",
            "required group l (List) {", "repeated group list {",
            "required group element {", "optional int64 a;", "}", "}", "}", "}", "}",
        ]  # fmt: skip
        rows = file.read().to_pylist()
        assert rows == [{"id": 1, "l": ["a"], "r": {"l": [{"a": 1}, {"a": None}]}}, {"id": 2, "l": [], "r": None}]
        assert rows == pl.read_parquet(io.BytesIO(world.exported(f"{name}.t", destination_format=PARQUET))).to_dicts()


def test_parquet_has_the_types_of_the_service(world: Cloud, flat: str) -> None:
    data = world.exported(flat, destination_format=PARQUET)
    file = pq.ParquetFile(io.BytesIO(data))
    kinds = {name: str(file.schema.column(number).logical_type) for number, name in enumerate(file.schema.names)}
    assert kinds["n"] == "Decimal(precision=38, scale=9)"
    assert kinds["big"] == "Decimal(precision=76, scale=38)"
    assert kinds["d"] == "Date"
    assert kinds["tm"].startswith("Time(isAdjustedToUTC=true, timeUnit=microseconds")
    for name in ("dt", "ts"):
        assert kinds[name].startswith("Timestamp(isAdjustedToUTC=false, timeUnit=microseconds")
    assert [kinds[name] for name in ("s", "j", "raw", "g")] == ["String", "String", "None", "None"]
    row = file.read().to_pylist()[0]
    assert (row["id"], row["n"], row["raw"], row["j"]) == (1, Decimal("12.5"), b"abc", '{"k":"<v>"}')
    assert row["big"] == Decimal("0.12345678901234567890")
    geo = json.loads(file.metadata.metadata[b"geo"])
    assert geo["columns"] == {"g": {"encoding": "WKB", "geometry_types": [], "edges": "spherical"}}


def test_parquet_has_nested_values(world: Cloud, nested: str) -> None:
    frame = pl.read_parquet(io.BytesIO(world.exported(nested, destination_format=PARQUET)))
    assert frame.row(0, named=True)["r"] == {"a": 2, "b": ["x", "y"]}


@pytest.mark.parametrize("codec", ["NONE", "SNAPPY", "GZIP", "ZSTD"])
def test_parquet_is_compressed_with_the_codec(world: Cloud, thousand: str, codec: str) -> None:
    data = world.exported(thousand, destination_format=PARQUET, compression=codec)
    used = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression
    assert used == {"NONE": "UNCOMPRESSED"}.get(codec, codec)
    assert pl.read_parquet(io.BytesIO(data)).height == 1000


@pytest.mark.parametrize("codec", ["NONE", "DEFLATE", "SNAPPY"])
def test_avro_is_compressed_with_the_codec(world: Cloud, thousand: str, codec: str) -> None:
    reader = fastavro.reader(io.BytesIO(world.exported(thousand, destination_format=AVRO, compression=codec)))
    assert reader.metadata["avro.codec"] == {"NONE": "null"}.get(codec, codec.lower())
    assert len(list(reader)) == 1000


@pytest.mark.parametrize("format_", [CSV, JSON])
def test_text_formats_can_be_gzipped(world: Cloud, thousand: str, format_: str) -> None:
    data = world.exported(thousand, destination_format=format_, compression="GZIP")
    assert gzip.decompress(data) == world.exported(thousand, destination_format=format_)


@pytest.mark.parametrize(
    ("format_", "codec", "refusal"),
    [
        *((format_, codec, f"{codec} compression is not supported for the format {format_}")
          for format_, codec in ((CSV, "SNAPPY"), (JSON, "ZSTD"), (AVRO, "GZIP"), (PARQUET, "DEFLATE"))),
        ("ORC", "NONE", "destinationFormat: ORC is not a valid value"),
    ],
)  # fmt: skip
def test_unsupported_codecs_and_formats_are_refused_at_once(
    world: Cloud, thousand: str, format_: str, codec: str, refusal: str
) -> None:
    with pytest.raises(BadRequest, match=refusal):
        world.extract(thousand, "gs://b/o", wait=False, destination_format=format_, compression=codec)


@pytest.mark.parametrize(
    ("uri", "refusal"),
    [
        *((uri, "can only contain one '*', in the name of the file") for uri in ("gs://b/*/x-*", "gs://b/*/x")),
        *((uri, "Only Google Cloud Storage URIs") for uri in ("s3://b/o", "gs://b", "gs://*/x")),
    ],
)
def test_invalid_uris_are_refused_at_once(world: Cloud, thousand: str, uri: str, refusal: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(refusal)):
        world.extract(thousand, uri, wait=False)


def test_shards_are_numbered_with_twelve_digits_and_each_has_a_header(world: Cloud, thousand: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=2000):
        job = world.extract(thousand, f"gs://{bucket}/a/t-*.csv")
    assert world.names(bucket) == [f"a/t-{number:012d}.csv" for number in range(4)]
    assert job.destination_uri_file_counts == [4]
    assert int(job._properties["statistics"]["extract"]["inputBytes"]) == 8000
    parts = [world.read(bucket, name).decode().splitlines() for name in world.names(bucket)]
    assert [part[0] for part in parts] == ["i"] * 4
    assert sorted(int(line) for part in parts for line in part[1:]) == list(range(1, 1001))


@pytest.mark.parametrize("format_", [JSON, AVRO, PARQUET])
def test_shards_of_any_format_contain_every_row_once(world: Cloud, thousand: str, format_: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=3000):
        world.extract(thousand, f"gs://{bucket}/*", destination_format=format_)
    found: list[int] = []
    for name in world.names(bucket):
        data = world.read(bucket, name)
        match format_:
            case "AVRO":
                found += [record["i"] for record in fastavro.reader(io.BytesIO(data))]
            case "PARQUET":
                found += pl.read_parquet(io.BytesIO(data))["i"].to_list()
            case _:
                found += [int(json.loads(line)["i"]) for line in data.splitlines()]
    assert len(world.names(bucket)) == 3
    assert sorted(found) == list(range(1, 1001))


def test_several_uris_each_get_files(world: Cloud, thousand: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=1600):
        job = world.extract(thousand, f"gs://{bucket}/a-*", f"gs://{bucket}/b-*")
    assert job.destination_uri_file_counts == [3, 2]
    assert len(world.names(bucket)) == 5


def test_a_single_file_has_a_maximum_size(world: Cloud, thousand: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=7999), pytest.raises(BadRequest, match="too large to be exported to a single file"):
        world.extract(thousand, f"gs://{bucket}/x")
    with world.settings(shard_bytes=8000):
        world.extract(thousand, f"gs://{bucket}/x")


def test_an_empty_table_gives_one_file_or_none(world: Cloud) -> None:
    name, bucket = world.dataset(), world.bucket()
    world.sql(f"CREATE TABLE {name}.t (a INT64)")
    job = world.extract(f"{name}.t", f"gs://{bucket}/*.csv")
    assert job.destination_uri_file_counts == [1]
    assert world.read(bucket, "000000000000.csv") == b"a\n"
    for format_ in (JSON, AVRO, PARQUET):
        world.exported(f"{name}.t", destination_format=format_)
    with world.settings(empty_table_files=0):
        job = world.extract(f"{name}.t", f"gs://{world.bucket()}/*.csv")
    assert job.destination_uri_file_counts == [0]


@pytest.mark.parametrize(("format_", "codec"), [(CSV, "NONE"), (CSV, "GZIP"), (JSON, "NONE"), (JSON, "GZIP"),
                                                (AVRO, "NONE"), (AVRO, "SNAPPY"), (PARQUET, "NONE")])  # fmt: skip
@pytest.mark.parametrize("bare", [False, True])
def test_files_without_rows_are_written_between_others_on_request(
    world: Cloud, thousand: str, format_: str, codec: str, bare: bool
) -> None:
    """EXPORT DATA of the service has written 100 such files between others."""
    bucket = world.bucket()
    with world.settings(shard_bytes=4000, empty_shards=3, bare_empty_files=bare):
        job = world.extract(thousand, f"gs://{bucket}/*", destination_format=format_, compression=codec)
    assert job.destination_uri_file_counts == [5]
    files = [world.read(bucket, name) for name in world.names(bucket)]
    rows = [_rows(format_, data) for data in files]
    assert [bool(found) for found in rows] == [False, False, True, False, True]
    assert sorted(row for found in rows for row in found) == list(range(1, 1001))
    if format_ in (CSV, JSON):
        plain = b"" if bare or format_ == JSON else b"i\n"
        assert {gzip.decompress(data) if codec == "GZIP" else data for data in files[:2]} == {plain}
        assert (files[0] == b"") == (plain == b"" and (bare or codec == "NONE"))


def _rows(format_: str, data: bytes) -> list[int]:
    match format_:
        case "AVRO":
            return [record["i"] for record in fastavro.reader(io.BytesIO(data))]
        case "PARQUET":
            found: list[int] = pl.read_parquet(io.BytesIO(data))["i"].to_list()
            return found
        case _:
            text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            lines = text.decode().splitlines()
            return (
                [int(line) for line in lines[1:]] if format_ == CSV else [int(json.loads(line)["i"]) for line in lines]
            )


@pytest.mark.parametrize("bare", [False, True])
def test_queries_write_files_without_rows_between_others_on_request(world: Cloud, thousand: str, bare: bool) -> None:
    bucket = world.bucket()
    with world.settings(empty_shards=2, bare_empty_files=bare):
        world.sql(f"EXPORT DATA OPTIONS (uri='gs://{bucket}/*', format='CSV', header=true) AS SELECT * FROM {thousand}")
    first, second, third = (world.read(bucket, name) for name in world.names(bucket))
    assert first == second == (b"" if bare else b"i\n")
    assert len(third.splitlines()) == 1001


def test_an_empty_table_may_have_files_without_a_header(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64)")
    with world.settings(bare_empty_files=True, empty_shards=5):
        assert world.exported(f"{name}.t") == b""
        assert world.exported(f"{name}.t", compression="GZIP") == b""


def test_objects_are_overwritten_and_old_shards_stay(world: Cloud, thousand: str) -> None:
    bucket = world.bucket()
    with world.settings(shard_bytes=4000):
        world.extract(thousand, f"gs://{bucket}/*")
    before = len(world.read(bucket, "000000000000"))
    world.extract(thousand, f"gs://{bucket}/*")
    assert world.names(bucket) == ["000000000000", "000000000001"]
    assert len(world.read(bucket, "000000000000")) > before


def test_consecutive_slashes_are_merged(world: Cloud, thousand: str) -> None:
    bucket = world.bucket()
    world.extract(thousand, f"gs://{bucket}/a//b///c.csv")
    assert world.names(bucket) == ["a/b/c.csv"]


def test_a_missing_bucket_fails_the_job(world: Cloud, thousand: str) -> None:
    with pytest.raises(NotFound, match="Not found: URI gs://no-such-bucket"):
        world.extract(thousand, "gs://no-such-bucket/x")


@pytest.mark.parametrize(("status", "reason"), [(403, "accessDenied"), (503, "backendError")])
def test_an_error_of_the_storage_fails_the_job(tmp_path: Path, status: int, reason: str) -> None:
    async def refuse(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await Response("No.", status)(_scope, receive, send)

    path = tmp_path / "file"
    path.write_bytes(b"data")
    with serving(refuse) as address, pytest.raises(BigQueryError) as caught:
        ObjectStore(address).put("gs://bucket/x", path)
    assert caught.value.reason == reason


def test_nested_columns_are_refused_for_csv(world: Cloud, nested: str) -> None:
    with pytest.raises(BadRequest, match=r"Operation cannot be performed on a nested schema\. Field: r"):
        world.exported(nested)


def test_views_and_other_non_tables_are_refused(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    world.sql(f"CREATE VIEW {name}.v AS SELECT a FROM {name}.t")
    world.sql(f"CREATE MATERIALIZED VIEW {name}.m AS SELECT a FROM {name}.t")
    for table, kind in (("v", "VIEW"), ("m", "MATERIALIZED_VIEW")):
        job = world.extract(f"{name}.{table}", "gs://b/o", wait=False)
        with pytest.raises(BadRequest, match=f"currently a {kind}"):
            job.result()
        assert job.error_result["reason"] == "invalid"


def test_a_partition_decorator_selects_one_partition(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (d DATE, a INT64) PARTITION BY d")
    world.sql(f"INSERT INTO {name}.t VALUES (DATE '2024-01-01', 1), (DATE '2024-01-02', 2), (NULL, 3)")
    found = {key: world.exported(f"{name}.t${key}") for key in ("20240101", "20240102", "20240103", "__NULL__")}
    assert found == {
        "20240101": b"d,a\n2024-01-01,1\n",
        "20240102": b"d,a\n2024-01-02,2\n",
        "20240103": b"d,a\n",
        "__NULL__": b"d,a\n,3\n",
    }
    for wrong in ("2024", "x"):
        with pytest.raises(BadRequest, match="Invalid partition key"):
            world.exported(f"{name}.t${wrong}")


@pytest.mark.parametrize(("unit", "key"), [("HOUR", "2024010110"), ("MONTH", "202401"), ("YEAR", "2024")])
def test_partitions_can_have_any_length(world: Cloud, unit: str, key: str) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64, ts TIMESTAMP) PARTITION BY TIMESTAMP_TRUNC(ts, {unit})")
    world.sql(f"INSERT INTO {name}.t VALUES (1, TIMESTAMP '2024-01-01 10:00:00'), (2, TIMESTAMP '2023-02-02 11:00:00')")
    assert world.exported(f"{name}.t${key}", print_header=False).startswith(b"1,")


def test_integer_ranges_are_partitions(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64) PARTITION BY RANGE_BUCKET(a, GENERATE_ARRAY(0, 100, 10))")
    world.sql(f"INSERT INTO {name}.t VALUES (5), (15), (500), (NULL)")
    keys = ("0", "10", "__UNPARTITIONED__", "__NULL__")
    found = [world.exported(f"{name}.t${key}", print_header=False) for key in keys]
    assert found == [b"5\n", b"15\n", b"500\n", b"\n"]


def test_a_table_without_partitions_refuses_a_partition_decorator(world: Cloud, thousand: str) -> None:
    with pytest.raises(BadRequest, match="not partitioned"):
        world.exported(f"{thousand}$20240101")


def test_a_time_decorator_selects_the_rows_at_that_time(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    [(moment,)] = world.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")
    with world.clock(60):
        world.sql(f"INSERT INTO {name}.t VALUES (2)")
        world.sql(f"ALTER TABLE {name}.t ADD COLUMN b STRING")
        assert world.exported(f"{name}.t@{moment}") == b"a\n1\n"
        assert world.exported(f"{name}.t@-30000") == b"a\n1\n"
        assert world.exported(f"{name}.t@0") == b"a\n1\n"
        [(later,)] = world.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")
        assert world.exported(f"{name}.t@{later}") == b"a,b\n1,\n2,\n"


def test_a_time_decorator_selects_the_columns_at_that_time(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a, 'x' AS b, DATE '2026-01-31' AS c")
    [(moment,)] = world.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")
    with world.clock(60):
        for change in (
            "DROP COLUMN c",
            "ADD COLUMN d BOOL",
            "RENAME COLUMN b TO e",
            "ALTER COLUMN a SET DATA TYPE FLOAT64",
        ):
            world.sql(f"ALTER TABLE {name}.t {change}")
        fields = [(field.name, field.field_type) for field in world.client.get_table(f"{name}.t").schema]
        assert fields == [("a", "FLOAT"), ("e", "STRING"), ("d", "BOOLEAN")]
        assert world.sql(f"SELECT a, e, d FROM {name}.t") == [(1.0, "x", None)]
        assert world.exported(f"{name}.t@{moment}") == b"a,b,c\n1,x,2026-01-31\n"
        for change in ("DROP COLUMN c", "RENAME COLUMN b TO f", "ALTER COLUMN b SET DATA TYPE STRING"):
            with pytest.raises(BadRequest, match="Column not found"):
                world.sql(f"ALTER TABLE {name}.t {change}")


def test_both_decorators_work_together(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (d DATE) PARTITION BY d")
    world.sql(f"INSERT INTO {name}.t VALUES (DATE '2024-01-01'), (DATE '2024-01-02')")
    [(moment,)] = world.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")
    with world.clock(60):
        world.sql(f"INSERT INTO {name}.t VALUES (DATE '2024-01-01')")
        assert world.exported(f"{name}.t$20240101@{moment}") == b"d\n2024-01-01\n"
        assert world.exported(f"{name}.t$20240101") == b"d\n2024-01-01\n2024-01-01\n"


def test_a_time_outside_of_time_travel_is_refused(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    created = round(world.client.get_table(f"{name}.t").created.timestamp() * 1000)
    with pytest.raises(BadRequest, match="Cannot read before"):
        world.exported(f"{name}.t@{created - 1}")
    with pytest.raises(BadRequest, match="in the future"):
        world.exported(f"{name}.t@{created + 3_600_000}")
    with world.clock(8 * 24 * 3600), pytest.raises(BadRequest, match="Cannot read before"):
        world.exported(f"{name}.t@{created + 1}")


def test_versions_older_than_a_week_are_removed_except_the_newest(world: Cloud) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    with world.clock(8 * 24 * 3600):
        world.sql(f"INSERT INTO {name}.t VALUES (2)")
        assert world.exported(f"{name}.t@-3600000") == b"a\n1\n"


def test_the_project_of_the_table_is_part_of_its_name(world: Cloud, thousand: str) -> None:
    dataset, _, _ = thousand.partition(".")
    message = f"Not found: Table {PROJECT}:{dataset}.nope was not found in location US"
    with pytest.raises(NotFound, match=message):
        world.exported(f"{dataset}.nope")
