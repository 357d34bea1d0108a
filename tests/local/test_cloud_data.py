"""`bqdump local seed --cloud`, with the stand-ins instead of Google's services."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump_local.stack import Stack, running

PLACE = ("--project", "my-project", "--dataset", "dummy", "--bucket", "my-exports")


class StackWithClients:
    """A separate stack, with clients."""

    def __init__(self, stack: Stack) -> None:
        anonymous: Any = AnonymousCredentials
        self.stack = stack
        self.big = bigquery.Client("my-project", anonymous(), client_options=ClientOptions(stack.bigquery))
        self.store = storage.Client("my-project", anonymous(), client_options=ClientOptions(stack.storage))

    def seed(self, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bqdump", "local", "seed", "--cloud", *words], input=answer, text=True,
            env=os.environ | self.stack.variables(), capture_output=True, check=False,
        )  # fmt: skip

    def tables(self) -> list[str]:
        return [item.table_id for item in self.big.list_tables("my-project.dummy")]


@pytest.fixture
def world() -> Iterator[StackWithClients]:
    with running() as stack:
        made = StackWithClients(stack)
        yield made
        made.big.close()
        made.store.close()


def test_thirty_labelled_tables_are_created_once(world: StackWithClients) -> None:
    done = world.seed(*PLACE, "--location", "EU", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    dataset = world.big.get_dataset("my-project.dummy")
    assert (dataset.location, dataset.labels) == ("EU", {"app": "bqdump-dummy-data"})
    assert world.tables() == [f"dummy_{number:02}" for number in range(1, 31)]
    tables = [world.big.get_table(f"my-project.dummy.{name}") for name in world.tables()]
    assert {(table.num_rows, *(field.name for field in table.schema)) for table in tables} == {
        (1000, "id", "name", "age")
    }
    assert all(table.labels == {"app": "bqdump-dummy-data"} for table in tables)
    bucket = world.store.get_bucket("my-exports")
    assert (bucket.location, bucket.labels) == ("EU", {"app": "bqdump"})
    assert list(world.store.list_blobs(bucket)) == []
    again = world.seed(*PLACE)
    assert "Everything exists" in again.stdout
    assert [table.modified for table in map(world.big.get_table, tables)] == [table.modified for table in tables]


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_nothing_is_created_without_confirmation(world: StackWithClients, answer: str) -> None:
    done = world.seed(*PLACE, answer=answer)
    assert done.returncode != 0
    assert f"To be created by {world.stack.bigquery}, in US:\n  dataset my-project.dummy\n" in done.stdout
    assert list(world.big.list_datasets()) == []
    assert world.store.lookup_bucket("my-exports") is None


def test_an_interrupted_creation_is_completed_without_changing_what_exists(world: StackWithClients) -> None:
    world.store.create_bucket("my-exports")
    world.big.create_dataset("dummy")
    half = bigquery.Table("my-project.dummy.dummy_07", schema=[
        bigquery.SchemaField("id", "INT64"), bigquery.SchemaField("name", "STRING"),
        bigquery.SchemaField("age", "INT64"),
    ])  # fmt: skip
    half.labels = {"app": "bqdump-dummy-data"}
    world.big.create_table(half)
    done = world.seed(*PLACE, answer="y\n")
    assert done.returncode == 0
    assert "  dataset" not in done.stdout
    assert "  bucket" not in done.stdout
    assert world.big.get_table(half).num_rows == 1000
    assert world.big.get_dataset("dummy").labels == {}
    assert world.store.get_bucket("my-exports").labels == {}


def test_a_table_of_that_name_without_the_label_stops_it(world: StackWithClients) -> None:
    world.big.create_dataset("dummy")
    world.big.query_and_wait("CREATE TABLE dummy.dummy_30 AS SELECT 1 AS precious")
    done = world.seed(*PLACE, "--yes")
    assert done.returncode == 2
    assert "my-project.dummy.dummy_30" in done.stderr
    assert world.tables() == ["dummy_30"]


@pytest.mark.parametrize(
    ("words", "reported"),
    [(("--cloud", *PLACE[:4]), "--bucket: required with --cloud"),
     (("--yes",), "--yes: not allowed without --cloud"),
     (("--cloud", *PLACE, "--target", "x"), "--target: not allowed with --cloud")],
)  # fmt: skip
def test_nothing_is_created_in_the_cloud_without_its_name(words: tuple[str, ...], reported: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bqdump", "local", "seed", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert reported in done.stderr
