"""Both stand-ins for tests: real servers in threads, with official clients."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump_local.bigquery import create_app
from bqdump_local.bigquery.storage_read.server import serve
from bqdump_local.control import Control
from bqdump_local.operations import bigquery_operation
from bqdump_local.storage.app import create_app as storage_app
from local.storage_server import serving, storage_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT = "proj"


@dataclass
class Cloud:
    """A BigQuery and a Cloud Storage server with a client for each. reads: the address of the Storage Read API."""

    address: str
    client: bigquery.Client
    storage: storage.Client
    reads: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def dataset(self, location: str = "US") -> str:
        """The name of a new dataset."""
        name = f"set_{next(self._numbers)}"
        dataset = bigquery.Dataset(f"{PROJECT}.{name}")
        dataset.location = location
        self.client.create_dataset(dataset)
        return name

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.storage.create_bucket(name)
        return name

    def sql(self, text: str, **options: Any) -> list[tuple[Any, ...]]:
        """Run a statement. Returns its rows."""
        return [tuple(row.values()) for row in self.client.query_and_wait(text, **options)]

    def extract(self, table: str, *uris: str, wait: bool = True, **options: Any) -> Any:
        """Start an extract job, and wait for its end by default. table: can have decorators."""
        job = self.client.extract_table(
            f"{PROJECT}.{table}",
            list(uris),
            job_id=options.pop("job_id", None),
            location=options.pop("location", None),
            job_config=bigquery.ExtractJobConfig(**options),
        )
        return finish(job) if wait else job

    def exported(self, table: str, **options: Any) -> bytes:
        """The bytes of the only file that an extract job writes."""
        bucket = self.bucket()
        self.extract(table, f"gs://{bucket}/file", **options)
        return self.read(bucket, "file")

    def read(self, bucket: str, name: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self.storage.bucket(bucket).blob(name).download_as_bytes(raw_download=True)
        return data

    def names(self, bucket: str) -> list[str]:
        """The objects of a bucket."""
        return [blob.name for blob in self.storage.list_blobs(bucket)]

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a control route."""
        response = requests.request(method, f"{self.address}/_local/{path}", json=body, timeout=10)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    @contextmanager
    def settings(self, **changes: Any) -> Iterator[None]:
        """Change the settings of jobs in this context."""
        before = self.control("GET", "jobs")
        self.control("PUT", "jobs", changes)
        try:
            yield
        finally:
            self.control("PUT", "jobs", before)

    @contextmanager
    def clock(self, offset_seconds: float) -> Iterator[None]:
        """Change the clock in this context."""
        self.control("PUT", "clock", {"offset_seconds": offset_seconds})
        try:
            yield
        finally:
            self.control("PUT", "clock", {"offset_seconds": 0})


def finish(job: Any) -> Any:
    """Wait for a job, with shorter pauses than clients. Raises the job's error."""
    job._polling = Retry(initial=0.005, maximum=0.05, predicate=job._polling._predicate)
    job.result()
    return job


@contextmanager
def serve_world(data_dir: Path | None = None) -> Iterator[Cloud]:
    """Start both servers on free ports, and stop them at the end of the context."""
    with ExitStack() as stack:
        objects = stack.enter_context(serving(storage_app()))
        tables = create_app(storage=objects, data_dir=data_dir)
        control = Control(tables, service="bigquery", name=bigquery_operation)
        address = stack.enter_context(serving(control))
        server, reads = serve(tables.state.catalog, control.meet)
        stack.callback(lambda: server.stop(None).wait())
        anonymous: Any = AnonymousCredentials
        client = bigquery.Client(
            project=PROJECT, credentials=anonymous(), client_options=ClientOptions(api_endpoint=address)
        )
        world = Cloud(address, client, storage_client(objects), reads)
        try:
            yield world
        finally:
            client.close()
            world.storage.close()
