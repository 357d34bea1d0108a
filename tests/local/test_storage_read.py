"""The Storage Read API: sessions, streams, offsets, snapshot times, types and errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from local.bigquery_server import PROJECT, Cloud

COLUMNS = """
    id INT64 NOT NULL, s STRING, f FLOAT64, b BOOL, raw BYTES, n NUMERIC, big BIGNUMERIC, d DATE, tm TIME,
    dt DATETIME, ts TIMESTAMP, j JSON, g GEOGRAPHY, l ARRAY<INT64>, r STRUCT<a INT64, b ARRAY<STRUCT<c STRING>>>
"""
ROW = """
    1, 'a,"b"', 1.5, TRUE, b'abc', NUMERIC '12.50', CAST('0.12345678901234567890' AS BIGNUMERIC), DATE '0001-01-01',
    TIME '10:00:00.000005', DATETIME '9999-12-31 23:59:59.999999', TIMESTAMP '2024-02-29 10:00:00.250 UTC',
    JSON '{"k": 1}', 'POINT(1 2)', [1, 2], STRUCT(7 AS a, [STRUCT('x' AS c)] AS b)
"""
UTC = dt.UTC
LAST = dt.datetime.fromisoformat("9999-12-31T23:59:59.999999")


@pytest.fixture(scope="module")
def client(world: Cloud) -> Iterator[BigQueryReadClient]:
    with grpc.insecure_channel(world.reads) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


@pytest.fixture(scope="module")
def numbers(world: Cloud) -> str:
    """A table of 1,000 rows in order."""
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT n, CAST(n AS STRING) AS s FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n")
    return f"{name}.t"


def session(client: BigQueryReadClient, table: str, **request: Any) -> Any:
    dataset, _, name = table.partition(".")
    counts = {key: request.pop(key) for key in ("max_stream_count", "preferred_min_stream_count") if key in request}
    expected = {"table": f"projects/{PROJECT}/datasets/{dataset}/tables/{name}", "data_format": "ARROW", **request}
    requested = types.CreateReadSessionRequest(parent=f"projects/{PROJECT}", read_session=expected, **counts)
    return client.create_read_session(requested)


def arrow(client: BigQueryReadClient, opened: Any, stream: str = "", offset: int = 0) -> Any:
    schema = pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))
    answers = client.read_rows(stream or opened.streams[0].name, offset)
    messages = [pa.py_buffer(answer.arrow_record_batch.serialized_record_batch) for answer in answers]
    return pa.Table.from_batches([pa.ipc.read_record_batch(message, schema) for message in messages], schema)


def rows(client: BigQueryReadClient, opened: Any, offset: int = 0) -> list[dict[str, Any]]:
    streams = [arrow(client, opened, stream.name, offset).to_pylist() for stream in opened.streams]
    return [row for stream in streams for row in stream]


@contextmanager
def fault(world: Cloud, **rule: Any) -> Iterator[None]:
    world.control("PUT", "faults", {"rules": [rule]})
    try:
        yield
    finally:
        world.control("DELETE", "faults")


def test_every_type_is_sent_like_by_bigquery(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t ({COLUMNS})")
    world.sql(f"INSERT INTO {name}.t VALUES ({ROW})")
    world.sql(f"INSERT INTO {name}.t (id) VALUES (2)")
    opened = session(client, f"{name}.t")
    table = arrow(client, opened)
    kinds = {field.name: field.type for field in table.schema}
    assert kinds == {
        "id": pa.int64(), "s": pa.string(), "f": pa.float64(), "b": pa.bool_(), "raw": pa.binary(),
        "n": pa.decimal128(38, 9), "big": pa.decimal256(76, 38), "d": pa.date32(), "tm": pa.time64("us"),
        "dt": pa.timestamp("us"), "ts": pa.timestamp("us", "UTC"), "j": pa.string(), "g": pa.string(),
        "l": pa.list_(pa.int64()),
        "r": pa.struct([("a", pa.int64()), ("b", pa.list_(pa.struct([("c", pa.string())])))]),
    }  # fmt: skip
    assert not table.schema.field("id").nullable
    extension = b"ARROW:extension:name"
    assert table.schema.field("dt").metadata == {extension: b"google:sqlType:datetime"}
    assert table.schema.field("j").metadata == {extension: b"google:sqlType:json"}
    assert table.schema.field("g").metadata[extension] == b"google:sqlType:geography"
    assert table.to_pylist() == [
        {
            "id": 1, "s": 'a,"b"', "f": 1.5, "b": True, "raw": b"abc", "n": Decimal("12.5"),
            "big": Decimal("0.12345678901234567890"), "d": dt.date(1, 1, 1), "tm": dt.time(10, 0, 0, 5),
            "dt": LAST, "ts": dt.datetime(2024, 2, 29, 10, 0, 0, 250000, UTC),
            "j": '{"k":1}', "g": "POINT(1 2)", "l": [1, 2], "r": {"a": 7, "b": [{"c": "x"}]},
        },
        {**dict.fromkeys(kinds), "id": 2, "l": []},
    ]  # fmt: skip


def test_intervals_and_ranges_have_types_of_their_own(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    schema = [
        {"name": "i", "type": "INTERVAL"},
        {"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
        {"name": "n", "type": "NUMERIC", "precision": "10", "scale": "2"},
    ]
    resource = {
        "tableReference": {"projectId": PROJECT, "datasetId": name, "tableId": "t"},
        "schema": {"fields": schema},
    }
    world.client.create_table(bigquery.Table.from_api_repr(resource))
    values = ("'1-2 3 4:5:6.789'", "'[2020-01-01, UNBOUNDED)'"), ("'-1-2 -3 -0:0:0.5'", "'[UNBOUNDED, 2020-12-31)'")
    for interval, day in values:
        world.sql(f"INSERT INTO {name}.t VALUES ({interval}, {day}, 1.25)")
    opened = session(client, f"{name}.t")
    table = arrow(client, opened)
    assert table.schema.field("i").type == pa.month_day_nano_interval()
    assert table.schema.field("n").type == pa.decimal128(10, 2)
    assert table.column("i").to_pylist() == [
        (14, 3, (4 * 3600 + 5 * 60 + 6) * 10**9 + 789_000_000), (-14, -3, -500_000_000)
    ]  # fmt: skip
    assert table.column("r").to_pylist() == [
        {"start": dt.date(2020, 1, 1), "end": None}, {"start": None, "end": dt.date(2020, 12, 31)}
    ]  # fmt: skip


def test_a_bignumeric_of_77_digits_is_sent_in_256_bits(world: Cloud, client: BigQueryReadClient) -> None:
    name, large = world.dataset(), "578960446186580977117854925043439539266.34992332820282019728792003956564819967"
    least, text = f"-{large[:-1]}8", "CAST('{}' AS BIGNUMERIC)".format
    world.sql(f"CREATE TABLE {name}.t (big BIGNUMERIC)")
    for number in (large, least, "-0.5"):
        world.sql(f"INSERT INTO {name}.t VALUES ({text(number)})")
    world.sql(f"INSERT INTO {name}.t VALUES (NULL)")
    opened = session(client, f"{name}.t")
    found = [row["big"] for row in rows(client, opened)]
    assert found == [Decimal(large), Decimal(least), Decimal("-0.5"), None]
    with world.settings(read_batch_bytes=32):
        assert [row["big"] for row in rows(client, opened, 1)] == found[1:]


def test_values_out_of_range_for_arrow_are_refused_by_value(world: Cloud, client: BigQueryReadClient) -> None:
    name, large, beyond, long = world.dataset(), f"5{'0' * 38}", f"6{'0' * 38}", "0-0 0 87840000:0:0"
    cases = (
        ("ARRAY<BIGNUMERIC>", f"[CAST('{large}' AS BIGNUMERIC)]", large),
        ("BIGNUMERIC", f"CAST('{beyond}' AS BIGNUMERIC)", beyond),
        ("INTERVAL", f"CAST('{long}' AS INTERVAL)", long),
    )
    for number, (kind, literal, reported) in enumerate(cases):
        world.sql(f"CREATE TABLE {name}.t{number} (x {kind})")
        world.sql(f"INSERT INTO {name}.t{number} VALUES ({literal})")
        with pytest.raises(exceptions.InvalidArgument, match=f"value out of range for Arrow: {reported}$"):
            rows(client, session(client, f"{name}.t{number}"))


def test_streams_contain_every_row_once(world: Cloud, client: BigQueryReadClient, numbers: str) -> None:
    opened = session(client, numbers, preferred_min_stream_count=7)
    assert len(opened.streams) == 7
    assert opened.estimated_row_count == 1000
    assert [row["n"] for row in rows(client, opened)] == list(range(1, 1001))
    with world.settings(read_stream_bytes=100):
        assert len(session(client, numbers).streams) > 3
        assert len(session(client, numbers, max_stream_count=3).streams) == 3


@pytest.mark.parametrize("offset", [0, 1, 499, 500, 999, 1000])
def test_an_offset_starts_at_exactly_that_row(
    world: Cloud, client: BigQueryReadClient, numbers: str, offset: int
) -> None:
    with world.settings(read_batch_bytes=300):
        opened = session(client, numbers, max_stream_count=1)
        read = list(client.read_rows(opened.streams[0].name, offset))
    assert sum(answer.row_count for answer in read) == 1000 - offset
    assert [row["n"] for row in rows(client, opened, offset)] == list(range(offset + 1, 1001))


def test_an_offset_beyond_the_end_is_refused(client: BigQueryReadClient, numbers: str) -> None:
    opened = session(client, numbers, max_stream_count=1)
    with pytest.raises(exceptions.FailedPrecondition, match="offset 1001 has not been allocated yet"):
        list(client.read_rows(opened.streams[0].name, 1001))


def test_a_session_reads_the_table_as_it_was(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS n")
    before = world.sql("SELECT CURRENT_TIMESTAMP()")[0][0]
    while world.sql("SELECT CURRENT_TIMESTAMP()")[0][0] <= before:
        pass
    opened = session(client, f"{name}.t")
    world.sql(f"INSERT INTO {name}.t VALUES (2)")
    past = session(client, f"{name}.t", table_modifiers={"snapshot_time": before})
    assert rows(client, past) == [{"n": 1}]
    assert rows(client, opened) == [{"n": 1}]
    assert rows(client, session(client, f"{name}.t")) == [{"n": 1}, {"n": 2}]


def test_columns_and_rows_can_be_selected(world: Cloud, client: BigQueryReadClient, numbers: str) -> None:
    options = {"selected_fields": ["s"], "row_restriction": "n > 998 AND s != '1000'"}
    assert rows(client, session(client, numbers, read_options=options)) == [{"s": "999"}]
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT 1 AS x, STRUCT(2 AS a, 3 AS b) AS r")
    inner = session(client, f"{name}.t", read_options={"selected_fields": ["r.b", "x"]})
    assert rows(client, inner) == [{"x": 1, "r": {"b": 3}}]


@pytest.mark.parametrize("codec", ["LZ4_FRAME", "ZSTD"])
def test_buffers_are_compressed_as_requested(client: BigQueryReadClient, numbers: str, codec: str) -> None:
    options = {"arrow_serialization_options": {"buffer_compression": codec}}
    plain, packed = session(client, numbers), session(client, numbers, read_options=options)
    assert rows(client, packed) == rows(client, plain)

    def size(opened: Any) -> int:
        answers = client.read_rows(opened.streams[0].name)
        return sum(len(answer.arrow_record_batch.serialized_record_batch) for answer in answers)

    assert size(packed) < size(plain)


def test_an_empty_table_has_no_streams(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (n INT64)")
    opened = session(client, f"{name}.t")
    assert list(opened.streams) == []
    assert pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema)).names == ["n"]


def test_a_stream_is_split_into_two_consecutive_streams(client: BigQueryReadClient, numbers: str) -> None:
    opened = session(client, numbers, max_stream_count=1)
    stream = opened.streams[0]
    split = client.split_read_stream({"name": stream.name, "fraction": 0.3})
    parts = [arrow(client, opened, part.name) for part in (split.primary_stream, split.remainder_stream)]
    assert [part.num_rows for part in parts] == [300, 700]
    assert [row["n"] for part in parts for row in part.to_pylist()] == list(range(1, 1001))
    assert len(rows(client, opened)) == 1000
    one = client.split_read_stream({"name": stream.name, "fraction": 0.0001})
    assert one.primary_stream.name == ""


def test_what_cannot_be_read_is_refused_by_name(world: Cloud, client: BigQueryReadClient, numbers: str) -> None:
    dataset = numbers.partition(".")[0]
    world.sql(f"CREATE VIEW {dataset}.v AS SELECT 1 AS n")
    with pytest.raises(exceptions.InvalidArgument, match="non-table entities cannot be read with the storage API"):
        session(client, f"{dataset}.v")
    with pytest.raises(exceptions.NotFound, match=f"Not found: Table {PROJECT}:{dataset}.nothing"):
        session(client, f"{dataset}.nothing")
    with pytest.raises(exceptions.InvalidArgument, match="do not exist in the table schema: nope"):
        session(client, numbers, read_options={"selected_fields": ["nope"]})
    with pytest.raises(exceptions.InvalidArgument, match="Unrecognized name: nope"):
        session(client, numbers, read_options={"row_restriction": "nope = 1"})
    for hostile in ("n = ", "n = 1) OR (1 = 1", "n IN (SELECT 1)", "1 = 1; DROP TABLE t", "n = 1 LIMIT 2"):
        with pytest.raises(exceptions.InvalidArgument, match="Query error"):
            session(client, numbers, read_options={"row_restriction": hostile})
    with pytest.raises(exceptions.InvalidArgument, match="ARROW or AVRO is required"):
        session(client, numbers, data_format="DATA_FORMAT_UNSPECIFIED")
    world.sql(f"CREATE TABLE {dataset}.ranges (r RANGE<DATE>)")
    with pytest.raises(exceptions.InvalidArgument, match="Unsupported type RANGE for Avro"):
        session(client, f"{dataset}.ranges", data_format="AVRO")
    with pytest.raises(exceptions.NotFound, match="read stream"):
        list(client.read_rows("projects/p/locations/us/sessions/x/streams/y"))


def test_a_required_partition_filter_is_enforced(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    time = bigquery.TimePartitioning()
    table = bigquery.Table(f"{PROJECT}.{name}.t", schema=[bigquery.SchemaField("a", "INT64")])
    table.time_partitioning, table.require_partition_filter = time, True
    world.client.create_table(table)
    world.sql(f"INSERT INTO {name}.t (a) VALUES (1)")
    for options in ({}, {"row_restriction": "a = 1"}):
        with pytest.raises(exceptions.InvalidArgument, match=r"filter over column\(s\) .*'_PARTITIONTIME'"):
            session(client, f"{name}.t", read_options=options)
    opened = session(client, f"{name}.t", read_options={"row_restriction": "_PARTITIONTIME IS NOT NULL AND a = 1"})
    assert rows(client, opened) == [{"a": 1}]


def test_partition_times_are_read_only_where_they_are_selected(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t (a INT64) PARTITION BY _PARTITIONDATE")
    world.sql(f"INSERT INTO {name}.t (_PARTITIONTIME, a) VALUES (TIMESTAMP '2020-01-02', 1)")
    assert rows(client, session(client, f"{name}.t")) == [{"a": 1}]
    opened = session(client, f"{name}.t", read_options={"selected_fields": ["_PARTITIONTIME", "a"]})
    assert rows(client, opened) == [{"a": 1, "_PARTITIONTIME": dt.datetime(2020, 1, 2, tzinfo=dt.UTC)}]
    world.sql(f"CREATE TABLE {name}.u (a INT64)")
    with pytest.raises(exceptions.InvalidArgument, match="do not exist in the table schema: _PARTITIONTIME"):
        session(client, f"{name}.u", read_options={"selected_fields": ["_PARTITIONTIME"]})


@pytest.mark.parametrize("permission", ["readsessions.create", "tables.getData", "readsessions.getData"])
def test_sessions_and_streams_require_their_own_permissions(
    world: Cloud, client: BigQueryReadClient, numbers: str, permission: str
) -> None:
    world.control("PUT", "denied", {"projects": {PROJECT: [f"bigquery.{permission}"]}})
    try:
        with pytest.raises(exceptions.PermissionDenied, match=permission):
            rows(client, session(client, numbers))
    finally:
        world.control("PUT", "denied", {})


def test_a_session_expires(world: Cloud, client: BigQueryReadClient, numbers: str) -> None:
    opened = session(client, numbers)
    with (
        world.clock(6 * 3600 + 1),
        pytest.raises(exceptions.FailedPrecondition, match="session expired"),
    ):
        list(client.read_rows(opened.streams[0].name))


def test_a_stream_breaks_after_the_given_number_of_rows(world: Cloud, client: BigQueryReadClient, numbers: str) -> None:
    opened = session(client, numbers, max_stream_count=1)
    name = opened.streams[0].name
    with fault(world, operation="readRows", status="reset", rows=123, times=1):
        read = client.read_rows(name, retry=None)
        wires: Any = read._wrapped
        assert next(wires).row_count == 123
        with pytest.raises(exceptions.ServiceUnavailable):
            next(wires)
    with fault(world, operation="createReadSession", status=429, times=1), pytest.raises(exceptions.ResourceExhausted):
        session(client, numbers)
    with fault(world, operation="readRows", status="reset", rows=500, times=1):
        # The official client takes a broken stream up again by itself.
        assert [row["n"] for row in rows(client, opened)] == list(range(1, 1001))
    counted = world.control("GET", "requests")
    assert counted["injected"]["bigquery.storage.readRows"] == 2
    assert counted["requests"]["bigquery.storage.createReadSession"] > 1
