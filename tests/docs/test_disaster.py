"""The page about the worst day, from its first to its last command: the project is gone, and a copy in S3 is left."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from bqdump_local.stack import Stack, running
from docs.walk import blocks, follow, seed_few, shell
from local.storage_server import storage_client
from s3_server import environment, s3_server

EXPORT = """
export PROJECT_ID=my-project SOURCE_DATASET=sales DESTINATION_BUCKET=my-exports
bqdump keys new signing
bqdump run --run-id friday --format parquet --sign signing.key
bqdump copy s3://my-bucket/sales --trust signing.pub --sign signing.key
"""


def counts(stack: Stack, project: str) -> dict[str, int]:
    """The rows of each table of the dataset."""
    options = ClientOptions(api_endpoint=stack.bigquery)
    with bigquery.Client(project, AnonymousCredentials(), client_options=options) as client:
        return {
            table.table_id: next(iter(client.query_and_wait(f"SELECT COUNT(*) FROM sales.{table.table_id}")))[0]
            for table in client.list_tables("sales")
        }


def lose(stack: Stack) -> None:
    """Delete the dataset, and all buckets."""
    options = ClientOptions(api_endpoint=stack.bigquery)
    with bigquery.Client("my-project", AnonymousCredentials(), client_options=options) as client:
        client.delete_dataset("sales", delete_contents=True)
    store = storage_client(stack.storage)
    for bucket in list(store.list_buckets()):
        bucket.delete(force=True)
    store.close()


def test_the_worst_day_ends_with_the_dataset_as_it_was(tmp_path: Path) -> None:
    lines = [line for block in blocks("docs/disaster.md") for line in block.splitlines()]
    in_cloud = [line for line in lines if line.startswith("gcloud ")]
    (bucket,) = re.findall(r"buckets create gs://(\S+) --project my-new-project --location US$", in_cloud[-1])
    with running(root=tmp_path / "buckets") as stack, s3_server() as s3:
        s3.bucket("my-bucket")
        seed_few(stack)
        variables = stack.variables() | environment(s3.address)
        before = counts(stack, "my-project")
        (tmp_path / "before").mkdir()
        shell(EXPORT, tmp_path / "before", variables)
        empty = tmp_path / "empty"
        empty.mkdir()
        shutil.copy(tmp_path / "before/signing.pub", empty)
        lose(stack)
        store = storage_client(stack.storage)
        store.create_bucket(bucket, location="US")
        printed = follow("docs/disaster.md", empty, variables, without="gcloud ")
        assert "Every file is there" in printed
        assert counts(stack, "my-new-project") == before
        assert before
        assert f"gs://{bucket}/sales/" in printed
        assert store.bucket(bucket).blob("sales/_bqdump/latest.json").exists()
        store.close()
