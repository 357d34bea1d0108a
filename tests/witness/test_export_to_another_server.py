"""bqdump itself against another server: exports, restores and prunes whose bucket is in fake-gcs-server.

The local BigQuery writes files of jobs by Cloud Storage's JSON API, to whichever server has its buckets. The other
server knows no batches, and ignores preconditions of copies and deletions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqdump_local.bigquery import create_app
from bqdump_local.bigquery.storage_read.server import serve
from bqdump_local.control import Control
from bqdump_local.operations import bigquery_operation
from integration.command import Called, call_in
from local.storage_server import serving
from witness.test_fake_gcs_server import served

PROJECT = "witness-project"


class Warehouse:
    """The local BigQuery, whose jobs read and write files on the other server."""

    def __init__(self, folder: Path, store: str, tables: str, reads: str) -> None:
        self._folder = folder
        self._variables = {
            "STORAGE_EMULATOR_HOST": store,
            "BIGQUERY_EMULATOR_HOST": tables,
            "BIGQUERY_STORAGE_GRPC_ENDPOINT": reads,
            "PROJECT_ID": PROJECT,
            "SOURCE_DATASET": "sales",
        }
        self._store = store
        anonymous: Any = AnonymousCredentials
        self.client = bigquery.Client(
            project=PROJECT, credentials=anonymous(), client_options=ClientOptions(api_endpoint=tables)
        )
        self.client.create_dataset("sales")
        for name, rows in (("orders", 5), ("items", 7)):
            self.client.query_and_wait(
                f"CREATE TABLE sales.{name} AS SELECT x FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS x"
            )

    def bqdump(self, bucket: str, *arguments: str) -> str:
        """Run a command, which must succeed. Returns its output."""
        ended: Called = call_in(self._folder, {**self._variables, "DESTINATION_BUCKET": bucket}, *arguments)
        assert (ended.code, ended.errors) == (0, []), ended.text
        return ended.out

    def bucket(self, name: str) -> str:
        """A new bucket."""
        requests.post(f"{self._store}/storage/v1/b", json={"name": name}, timeout=5).raise_for_status()
        return name

    def files(self, bucket: str) -> list[str]:
        """The exported files."""
        answer = requests.get(f"{self._store}/storage/v1/b/{bucket}/o", timeout=5).json()
        return [item["name"] for item in answer["items"] if not item["name"].startswith("_bqdump/")]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with served() as store:
        app = create_app(storage=store)
        control = Control(app, service="bigquery", name=bigquery_operation)
        with serving(control) as tables:
            server, reads = serve(app.state.catalog, control.meet)
            made = Warehouse(tmp_path_factory.mktemp("witness"), store, tables, reads)
            try:
                yield made
            finally:
                made.client.close()
                server.stop(None).wait()


@pytest.mark.parametrize("route", ["extract", "read"])
def test_an_export_is_verified_and_restored(warehouse: Warehouse, route: str) -> None:
    bucket, target = warehouse.bucket(f"whole-{route}"), f"restored_{route}"
    warehouse.bqdump(bucket, "run", "--route", route, "--format", "parquet")
    assert len(warehouse.files(bucket)) == 2
    warehouse.bqdump(bucket, "verify")
    warehouse.bqdump(bucket, "restore", "--into", target)
    for name, rows in (("orders", 5), ("items", 7)):
        assert warehouse.client.get_table(f"{target}.{name}").num_rows == rows


def test_a_run_replaces_the_files_of_the_earlier_one(warehouse: Warehouse) -> None:
    bucket = warehouse.bucket("replaced")
    warehouse.bqdump(bucket, "run")
    before = warehouse.files(bucket)
    warehouse.bqdump(bucket, "run")
    assert warehouse.files(bucket) == before
    warehouse.bqdump(bucket, "verify")


def test_prune_deletes_an_older_run_with_its_files(warehouse: Warehouse) -> None:
    bucket = warehouse.bucket("pruned")
    for _ in range(2):
        warehouse.bqdump(bucket, "run", "--path", "{run}/{table}-*.csv")
    runs = json.loads(warehouse.bqdump(bucket, "runs", "--json"))
    assert len(runs) == 2
    assert len(warehouse.files(bucket)) == 4
    warehouse.bqdump(bucket, "prune", "--keep-last", "1", "--yes", "--now")
    assert len(warehouse.files(bucket)) == 2
    assert len(json.loads(warehouse.bqdump(bucket, "runs", "--json"))) == 1
    warehouse.bqdump(bucket, "verify")
