"""The Storage Read API in the format Avro, read by Google's own client."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import fastavro
import grpc
import pytest
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from local.bigquery_server import PROJECT, Cloud

EVERY_TYPE = """SELECT 7 AS i, 'é' AS s, b'\\x00\\xff' AS b, 1.5 AS f, TRUE AS t, NUMERIC '1.25' AS n,
    CAST('12345678901234567890123456789.5' AS BIGNUMERIC) AS big, DATE '2024-02-29' AS d, TIME '01:02:03.5' AS clock,
    DATETIME '2024-02-29 01:02:03' AS dt, TIMESTAMP '2024-02-29 01:02:03.000004 UTC' AS ts, [1, 2] AS many,
    STRUCT(1 AS x, 'y' AS y) AS inner_, CAST(NULL AS STRING) AS nothing"""


@pytest.fixture
def client(world: Cloud) -> Iterator[BigQueryReadClient]:
    """Google's client of the stack."""
    with grpc.insecure_channel(world.reads) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def opened(client: BigQueryReadClient, table: str, **options: Any) -> Any:
    """A session that reads Avro in one stream."""
    dataset, name = table.split(".")
    path = f"projects/{PROJECT}/datasets/{dataset}/tables/{name}"
    asked = {"table": path, "data_format": "AVRO", "read_options": options}
    request = {"parent": f"projects/{PROJECT}", "read_session": asked, "max_stream_count": 1}
    return client.create_read_session(request)


def test_every_type_arrives_with_its_value(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS {EVERY_TYPE}")
    session = opened(client, f"{name}.t")
    [row] = client.read_rows(session.streams[0].name).rows(session)
    assert row == {
        "i": 7, "s": "é", "b": b"\x00\xff", "f": 1.5, "t": True, "n": Decimal("1.25"),
        "big": Decimal("12345678901234567890123456789.5"), "d": dt.date(2024, 2, 29),
        "clock": dt.time(1, 2, 3, 500_000),
        "dt": "2024-02-29T01:02:03", "ts": dt.datetime(2024, 2, 29, 1, 2, 3, 4, dt.UTC), "many": [1, 2],
        "inner_": {"x": 1, "y": "y"}, "nothing": None,
    }  # fmt: skip
    schema = json.loads(session.avro_schema.schema)
    fastavro.parse_schema(schema)
    assert (schema["name"], len(schema["fields"])) == ("__root__", 14)


def test_a_stream_contains_every_row_once_and_continues_at_an_offset(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT n FROM UNNEST(GENERATE_ARRAY(1, 1000)) AS n")
    session = opened(client, f"{name}.t")
    with world.settings(read_batch_bytes=100):
        answers = list(client.read_rows(session.streams[0].name))
        rows = [row["n"] for row in client.read_rows(session.streams[0].name, offset=990).rows(session)]
    assert len(answers) > 10
    assert [bool(answer.avro_schema.schema) for answer in answers] == [True] + [False] * (len(answers) - 1)
    assert sum(answer.row_count for answer in answers) == 1000
    assert rows == list(range(991, 1001))


def test_columns_and_rows_can_be_selected(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT n, n * 2 AS twice FROM UNNEST(GENERATE_ARRAY(1, 10)) AS n")
    session = opened(client, f"{name}.t", selected_fields=["twice"], row_restriction="n > 8")
    found = list(client.read_rows(session.streams[0].name).rows(session))
    assert found == [{"twice": 18}, {"twice": 20}]


def test_a_fault_breaks_a_stream_after_some_rows(world: Cloud, client: BigQueryReadClient) -> None:
    name = world.dataset()
    world.sql(f"CREATE TABLE {name}.t AS SELECT n FROM UNNEST(GENERATE_ARRAY(1, 10)) AS n")
    session = opened(client, f"{name}.t")
    rule = {"operation": "bigquery.storage.readRows", "status": 503, "rows": 4, "times": 1}
    world.control("PUT", "faults", {"rules": [rule]})
    try:
        # The client continues where the stream broke.
        assert [row["n"] for row in client.read_rows(session.streams[0].name).rows(session)] == list(range(1, 11))
    finally:
        world.control("DELETE", "faults")
