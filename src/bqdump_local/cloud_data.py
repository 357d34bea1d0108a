"""The 30 dummy tables in a Google Cloud project, to try an export there. Everything created has a label.

`deploy/teardown.sh` removes only what has the label.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from google.cloud import bigquery, storage

from bqdump.adapters.google.errors import translated
from bqdump.adapters.google.http import credentials
from bqdump.core.errors import UsageError, VerificationError
from bqdump_local.seed import DUMMY_ROWS, Source, dummies

# The label of the dataset and its tables; the bucket has the one from docs/deploy.md.
LABELS = {"app": "bqdump-dummy-data"}
BUCKET_LABELS = {"app": "bqdump"}
# Cloud Storage's default for new buckets, unless the organization has another one.
SOFT_DELETE_SECONDS = 7 * 86400
GOOGLE = "https://bigquery.googleapis.com"


class Place(NamedTuple):
    """Where to create the data. location: for what does not exist yet."""

    project: str
    dataset: str
    bucket: str
    location: str

    @property
    def name(self) -> str:
        """The dataset's full name."""
        return f"{self.project}.{self.dataset}"


class Clients(NamedTuple):
    """Google's clients. Emulator variables override their addresses."""

    big: Any
    store: Any

    @property
    def address(self) -> str:
        """The address that BigQuery's requests go to."""
        return os.environ.get("BIGQUERY_EMULATOR_HOST", GOOGLE)


class Missing(NamedTuple):
    """What is still missing. location: where the dataset is, or will be."""

    location: str
    dataset: bool
    bucket: bool
    tables: list[Source]

    def __bool__(self) -> bool:
        return bool(self.dataset or self.bucket or self.tables)


@contextmanager
def connected(project: str) -> Iterator[Clients]:
    """The clients, which are closed after the `with` block."""
    big = bigquery.Client(project=project, credentials=credentials("BIGQUERY_EMULATOR_HOST"))
    store = storage.Client(project=project, credentials=credentials("STORAGE_EMULATOR_HOST"))
    try:
        yield Clients(big, store)
    finally:
        big.close()
        store.close()


def look(clients: Clients, place: Place) -> Missing:
    """Find out what is missing, without changing anything.

    Raises UsageError if a table of the same name was not created here.
    """
    # The first request of each client is not retried: if Google cannot be reached, that would take ten minutes.
    with translated("find", f"dataset {place.name}"):
        datasets = {item.dataset_id for item in clients.big.list_datasets(place.project, retry=None)}
        exists = place.dataset in datasets
        location = clients.big.get_dataset(place.name).location if exists else place.location
        tables = {item.table_id: item for item in clients.big.list_tables(place.name)} if exists else {}
    with translated("find", f"bucket gs://{place.bucket}", "Bucket names are global. Choose another one."):
        bucket = clients.store.lookup_bucket(place.bucket, retry=None)
    missing = []
    for source in dummies():
        table = tables.get(source.table)
        if table is None or (_is_ours(table) and not _is_full(clients, place, source)):
            missing.append(source)
        elif not _is_ours(table):
            raise UsageError(
                "make",
                f"table {place.name}.{source.table}",
                "it exists and was not created by this command",
                "Use a new dataset.",
            )
    return Missing(location, not exists, bucket is None, missing)


def make(clients: Clients, place: Place, missing: Missing) -> None:
    """Create what is missing. Can be repeated after an interruption."""
    with translated("create the dummy data in", f"{place.name} and gs://{place.bucket}"):
        if missing.dataset:
            dataset = bigquery.Dataset(place.name)
            dataset.location, dataset.labels = missing.location, LABELS
            clients.big.create_dataset(dataset)
        if missing.bucket:
            _make_bucket(clients.store, place.bucket, missing.location)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda source: _make_table(clients.big, place, missing.location, source), missing.tables))


def _make_bucket(store: Any, name: str, location: str) -> None:
    bucket = store.bucket(name)
    bucket.labels = BUCKET_LABELS
    bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.soft_delete_policy.retention_duration_seconds = SOFT_DELETE_SECONDS
    store.create_bucket(bucket, location=location)


def _make_table(big: Any, place: Place, location: str, source: Source) -> None:
    """Create the table with its label first, so that nothing without it is left behind; then load its rows, once."""
    name = f"{place.name}.{source.table}"
    table = bigquery.Table(name, schema=source.options["schema"])
    table.labels = LABELS
    big.create_table(table, exists_ok=True)
    config = bigquery.LoadJobConfig(
        source_format="CSV",
        skip_leading_rows=1,
        write_disposition="WRITE_EMPTY",
        schema=source.options["schema"],
        labels=LABELS,
    )
    job = big.load_table_from_file(io.BytesIO(source.data), name, job_config=config, location=location)
    rows = job.result().output_rows
    if rows != DUMMY_ROWS:
        raise VerificationError("fill", f"table {name}", f"{rows} rows were loaded instead of {DUMMY_ROWS}")


def _is_ours(table: Any) -> bool:
    return bool(table.labels.items() >= LABELS.items())


def _is_full(clients: Clients, place: Place, source: Source) -> bool:
    return bool(clients.big.get_table(f"{place.name}.{source.table}").num_rows)
