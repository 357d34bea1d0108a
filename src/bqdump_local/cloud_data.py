"""The 30 dummy tables in a project on Google Cloud, to try an export there. Everything made is labelled.

`deploy/teardown.sh` removes what has the label, and nothing else.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from google.cloud import bigquery, storage

from bqdump.adapters.google_errors import translated
from bqdump.adapters.google_http import credentials
from bqdump.core.errors import UsageError, VerificationError
from bqdump_local.seed import DUMMY_ROWS, Source, dummies

# Of the dataset and its tables; the bucket has the one that docs/deploy.md gives it.
LABELS = {"app": "bqdump-dummy-data"}
BUCKET_LABELS = {"app": "bqdump"}
# What Cloud Storage gives new buckets by itself, unless the organization has another default.
SOFT_DELETE_SECONDS = 7 * 86400
GOOGLE = "https://bigquery.googleapis.com"


class Place(NamedTuple):
    """Where to make the data. `location` counts for what does not exist yet."""

    project: str
    dataset: str
    bucket: str
    location: str

    @property
    def name(self) -> str:
        """The dataset's full name."""
        return f"{self.project}.{self.dataset}"


class Clients(NamedTuple):
    """Google's clients; the emulator variables lead them elsewhere."""

    big: Any
    store: Any

    @property
    def address(self) -> str:
        """Where BigQuery's requests go."""
        return os.environ.get("BIGQUERY_EMULATOR_HOST", GOOGLE)


class Missing(NamedTuple):
    """What is still to be made at a place whose dataset is (or will be) in `location`."""

    location: str
    dataset: bool
    bucket: bool
    tables: list[Source]

    def __bool__(self) -> bool:
        return bool(self.dataset or self.bucket or self.tables)


@contextmanager
def connected(project: str) -> Iterator[Clients]:
    """The clients, for as long as the `with` block lasts."""
    big = bigquery.Client(project=project, credentials=credentials("BIGQUERY_EMULATOR_HOST"))
    store = storage.Client(project=project, credentials=credentials("STORAGE_EMULATOR_HOST"))
    try:
        yield Clients(big, store)
    finally:
        big.close()
        store.close()


def look(clients: Clients, place: Place) -> Missing:
    """What is missing there, without changing anything.

    Raises UsageError where a table of the same name is somebody else's.
    """
    # The first request of each client is not repeated: where there is no way to Google, that would take ten minutes.
    with translated("find", f"dataset {place.name}"):
        datasets = {item.dataset_id for item in clients.big.list_datasets(place.project, retry=None)}
        there = place.dataset in datasets
        location = clients.big.get_dataset(place.name).location if there else place.location
        tables = {item.table_id: item for item in clients.big.list_tables(place.name)} if there else {}
    with translated("find", f"bucket gs://{place.bucket}", "Names of buckets are global: choose another one."):
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
                "there is one that was not made here",
                "Use a new dataset.",
            )
    return Missing(location, not there, bucket is None, missing)


def make(clients: Clients, place: Place, missing: Missing) -> None:
    """Make what is missing. May be repeated after it was interrupted."""
    with translated("make the dummy data in", f"{place.name} and gs://{place.bucket}"):
        if missing.dataset:
            made = bigquery.Dataset(place.name)
            made.location, made.labels = missing.location, LABELS
            clients.big.create_dataset(made)
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
    """Make the table with its label first, so that nothing without it is ever left behind; then fill it, once."""
    name = f"{place.name}.{source.table}"
    table = bigquery.Table(name, schema=source.options["schema"])
    table.labels = LABELS
    big.create_table(table, exists_ok=True)
    config = bigquery.LoadJobConfig(
        source_format="CSV", skip_leading_rows=1, write_disposition="WRITE_EMPTY", schema=source.options["schema"],
        labels=LABELS,
    )  # fmt: skip
    job = big.load_table_from_file(io.BytesIO(source.data), name, job_config=config, location=location)
    rows = job.result().output_rows
    if rows != DUMMY_ROWS:
        raise VerificationError("fill", f"table {name}", f"{rows} rows were loaded, not {DUMMY_ROWS}")


def _is_ours(table: Any) -> bool:
    return bool(table.labels.items() >= LABELS.items())


def _is_full(clients: Clients, place: Place, source: Source) -> bool:
    return bool(clients.big.get_table(f"{place.name}.{source.table}").num_rows)
