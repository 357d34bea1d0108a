"""Rows of queries in Arrow format: in the answer, in the default stream of their job, and from their anonymous table.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
import requests
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from local.bigquery_server import PROJECT, Cloud

NUMBERS = "SELECT x, CAST(x AS STRING) AS s, [x] AS l FROM UNNEST(GENERATE_ARRAY(1, 5000)) AS x ORDER BY x"
EXPECTED = [{"x": x, "s": str(x), "l": [x]} for x in range(1, 5001)]


@pytest.fixture(scope="module")
def reads(world: Cloud) -> Iterator[BigQueryReadClient]:
    with grpc.insecure_channel(world.reads) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def read(world: Cloud, reads: BigQueryReadClient, query: str, **options: Any) -> tuple[list[int], list[dict[str, Any]]]:
    """The number of rows in each batch, and all rows."""
    rows = world.client.query_and_wait(query, query_results_format="ARROW", **options)
    batches = list(rows.to_arrow_iterable(bqstorage_client=reads))
    return [batch.num_rows for batch in batches], pa.Table.from_batches(batches).to_pylist()


@pytest.mark.parametrize("codec", [None, "LZ4_FRAME", "ZSTD"])
def test_the_answer_has_the_first_rows_and_the_stream_of_the_job_all_others(
    world: Cloud, reads: BigQueryReadClient, codec: str | None
) -> None:
    counts, rows = read(world, reads, NUMBERS, page_size=100, compression_codec=codec)
    assert counts[0] == 100
    assert rows == EXPECTED


def test_a_small_result_needs_no_stream(world: Cloud, reads: BigQueryReadClient) -> None:
    assert read(world, reads, "SELECT 1 AS a, JSON '{\"k\": 2}' AS j") == ([1], [{"a": 1, "j": '{"k":2}'}])


def test_a_result_without_rows_has_its_columns(world: Cloud) -> None:
    rows = world.client.query_and_wait("SELECT 1 AS a FROM UNNEST([]) AS x", query_results_format="ARROW")
    (batch,) = rows.to_arrow_iterable()
    assert (batch.num_rows, batch.schema.names) == (0, ["a"])


def test_rows_of_an_explicit_table_are_read_from_it(world: Cloud, reads: BigQueryReadClient) -> None:
    target = f"{PROJECT}.{world.dataset()}.t"
    config = bigquery.QueryJobConfig(destination=target)
    _, rows = read(world, reads, NUMBERS, job_config=config)
    assert rows == EXPECTED


# pandas-gbq, which the message recommends, is for data frames.
@pytest.mark.filterwarnings("ignore:Retrieving Arrow record batches directly:PendingDeprecationWarning")
def test_the_anonymous_table_of_a_query_is_read_in_arrow(world: Cloud, reads: BigQueryReadClient) -> None:
    rows = world.client.query(NUMBERS).result()
    assert rows.to_arrow(bqstorage_client=reads).to_pylist() == EXPECTED


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"arrowSerializationOptions": {"picosTimestampPrecision": "TIMESTAMP_PRECISION_PICOS"}}, 501, "PICOS"),
        ({"arrowSerializationOptions": {"bufferCompression": "GZIP"}}, 400, "bufferCompression: GZIP"),
        ({"queryResultsFormat": "AVRO"}, 400, "queryResultsFormat: AVRO"),
    ],
)
def test_what_a_result_cannot_be_is_refused_before_the_query_runs(
    world: Cloud, options: dict[str, Any], status: int, message: str
) -> None:
    table = f"{world.dataset()}.t"
    body = {"query": f"CREATE TABLE {table} (a INT64)", "useLegacySql": False, "queryResultsFormat": "ARROW", **options}
    answer = requests.post(f"{world.address}/bigquery/v2/projects/{PROJECT}/queries", json=body, timeout=30)
    assert (answer.status_code, message in answer.json()["error"]["message"]) == (status, True)
    with pytest.raises(exceptions.NotFound):
        world.client.get_table(f"{PROJECT}.{table}")


def test_the_stream_of_a_job_is_compressed_as_the_request_says(world: Cloud, reads: BigQueryReadClient) -> None:
    job = world.client.query(NUMBERS)
    job.result()
    name = f"projects/{PROJECT}/locations/US/jobs/{job.job_id}/streams/_default"

    def size(codec: int) -> int:
        answers = reads.read_rows(name, 0, arrow_serialization_options={"buffer_compression": codec})
        return sum(len(answer.arrow_record_batch.serialized_record_batch) for answer in answers)

    assert max(size(1), size(2)) < size(0)


def test_the_stream_of_an_unknown_job_is_not_found(reads: BigQueryReadClient) -> None:
    with pytest.raises(exceptions.NotFound, match="jobs/none/streams/_default"):
        list(reads.read_rows(f"projects/{PROJECT}/locations/US/jobs/none/streams/_default", 0))


def test_a_list_of_100_000_values_is_a_parameter_like_any_other(world: Cloud) -> None:
    values: list[Any] = [*range(99_999), None]
    config = bigquery.QueryJobConfig(query_parameters=[bigquery.ArrayQueryParameter("p", "INT64", values)])
    found = world.sql("SELECT 99998 IN UNNEST(@p), ARRAY_LENGTH(@p)", job_config=config)
    assert found == [(True, 100_000)]
