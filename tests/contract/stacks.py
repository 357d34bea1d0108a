"""Both stand-ins with fault injection, and complete exports with the real adapters and short waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
from bqdump.adapters.gcs.store import CloudStore
from bqdump.adapters.patience import Patience
from bqdump.adapters.read.reader import StorageReader
from bqdump.adapters.retry import RetryingStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import TableSettings
from bqdump.core.settings.target import Target
from bqdump.export import watch
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.pool import turn as turns
from bqdump_local.bigquery import create_app
from bqdump_local.bigquery.storage_read.server import serve
from bqdump_local.control import Control
from bqdump_local.operations import bigquery_operation, storage_operation
from bqdump_local.storage.app import create_app as storage_app
from bqdump_memory import MemoryEncoder
from local.bigquery_server import PROJECT
from local.storage_server import Http, serving

DATASET, BUCKET = "data", "target"
# Without waits. The first one is for what never succeeds; on a busy machine, a dozen attempts can take longer.
QUICK = Patience(seconds=5.0, first_pause=0.001, longest_pause=0.01)
UNHURRIED = replace(QUICK, seconds=600.0)


class Stack(NamedTuple):
    """The addresses of both servers, and a plain client."""

    storage: str
    bigquery: str
    http: Http

    def settings(self, prefix: str, **others: Any) -> Settings:
        """The settings of an export with every route to its own folder."""
        routes = (TableSettings("two", route="read"), TableSettings("three", route="query"))
        return Settings(
            project=PROJECT, dataset=DATASET, target=Target("gs", BUCKET, f"{prefix}/"), tables=routes, **others
        )

    def faults(self, *rules: dict[str, Any]) -> None:
        """Inject these faults, in this order."""
        for service, address in (("storage", self.storage), ("bigquery", self.bigquery)):
            own = [rule for rule in rules if rule["operation"].lstrip("^").startswith(service)]
            self.http.call("PUT", f"{address}/_local/faults", json={"rules": own}).raise_for_status()

    def jobs(self, *faults: dict[str, Any]) -> None:
        """Inject these faults into jobs."""
        self.http.call("PUT", f"{self.bigquery}/_local/jobs", json={"faults": faults}).raise_for_status()

    def left(self) -> list[dict[str, Any]]:
        """The faults that were not injected yet."""
        answers = [
            self.http.call("GET", f"{address}/_local/faults").json() for address in (self.storage, self.bigquery)
        ]
        return [rule for answer in answers for rule in answer["rules"] if rule["times"]]

    def counts(self) -> dict[str, int]:
        """The number of requests by operation since the last call."""
        found: dict[str, int] = {}
        for address in (self.storage, self.bigquery):
            answer = self.http.call("DELETE", f"{address}/_local/requests").json()
            found |= answer["requests"] | {f"{name} in a batch": count for name, count in answer["batched"].items()}
        return found

    def export(self, settings: Settings, name: str, execution: str = "", patience: Patience = UNHURRIED) -> TaskResult:
        """Run one task of a run to completion."""

        async def whole() -> TaskResult:
            store = RetryingStore(CloudStore(BUCKET, PROJECT, patience=patience), patience)
            warehouse = BigQueryWarehouse(PROJECT, Gate(patience))
            try:
                return await run(Task(store, warehouse, settings, name, Owner(execution or name, 0), 1,
                                      open_read_route=lambda: reading))  # fmt: skip
            finally:
                await reading.reader.close()
                await store.close()
                await warehouse.close()

        reading = ReadRoute(StorageReader(PROJECT, patience), MemoryEncoder(), 2)
        return asyncio.run(whole())

    def manifest(self, settings: Settings) -> Manifest:
        """The published manifest."""
        name = settings.layout.latest.name
        latest = self.http.call("GET", f"b/{BUCKET}/o/{name.replace('/', '%2F')}?alt=media").json()
        place = latest["manifest"].replace("/", "%2F")
        return decode(self.http.call("GET", f"b/{BUCKET}/o/{place}?alt=media").content, Manifest, "manifest")


@contextmanager
def serve_stack() -> Iterator[Stack]:
    """Both servers with a dataset of three tables and a bucket. The environment points Google's clients to them."""
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        storage = opened.enter_context(serving(Control(storage_app(), service="storage", name=storage_operation)))
        app = create_app(storage=storage)
        control = Control(app, service="bigquery", name=bigquery_operation)
        bigquery = opened.enter_context(serving(control))
        server, reads = serve(app.state.catalog, control.meet)
        opened.callback(lambda: server.stop(None).wait())
        patch.setenv("STORAGE_EMULATOR_HOST", storage)
        patch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
        patch.setenv("BIGQUERY_STORAGE_GRPC_ENDPOINT", reads)
        # Listings stay cheaper than requests for each job, however short the interval.
        patch.setattr(watch, "SHORTEST", 0.01)
        patch.setattr(watch, "LISTINGS", 1000.0)
        # A run is resumed after its planner has ended.
        patch.setattr(turns, "PATIENCE_SECONDS", 0.0)
        http = opened.enter_context(Http(storage))
        http.bucket(BUCKET)
        base = f"{bigquery}/bigquery/v2/projects/{PROJECT}"
        reference = {"projectId": PROJECT, "datasetId": DATASET}
        http.call("POST", f"{base}/datasets", json={"datasetReference": reference}).raise_for_status()
        select = "SELECT number AS id FROM UNNEST(GENERATE_ARRAY(1, 3)) AS number"
        for name in ("one", "two", "three"):
            query = f"CREATE TABLE {DATASET}.{name} AS {select}"
            made = http.call("POST", f"{base}/queries", json={"query": query, "useLegacySql": False})
            made.raise_for_status()
        yield Stack(storage, bigquery, http)
