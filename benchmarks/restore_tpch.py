"""TPC-H, exported in every format with every route, and restored: checksums of every column, and time.

Everything runs against the local stack, with bqdump in this process. The baseline of each format is a loop of Google's
client that loads the same files, one table after another.

    python -m benchmarks.restore_tpch [--scale 0.1]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from benchmarks.naive_task import clients
from benchmarks.size import sized
from google.cloud import bigquery

from bqdump.cli.main import start
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Latest
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import columns
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sql.checksums import bigquery_statement, chunks, leaves
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.services.opened import Services, serve
from bqdump_local.stack import running

PROJECT, SOURCE, BUCKET = "local-project", "tpch", "exports"
# EXPORT DATA and extract jobs write every format, the read route all but Avro.
ROUTES = ("extract", "query", "read")
WAYS = sized(
    [(route, name) for route in ROUTES for name in FORMATS if (route, name) != ("read", "avro")],
    [("extract", "avro"), ("read", "parquet")],
)
# All of them, or one.
TABLES = sized((), ("--tables", "nation"))
GENERATOR = str(Path(sys.executable).with_name("tpchgen-cli"))
Sums = dict[str, tuple[Any, ...]]


class Measured(NamedTuple):
    """The seconds of an export and of its restore."""

    export: float
    restore: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=sized(0.1, 0.001), help="scale factor (default: %(default)s)")
    scale = parser.parse_args().scale
    with running() as stack, tempfile.TemporaryDirectory() as folder:
        os.environ.update(stack.variables())
        big, store = clients(PROJECT)
        store.create_bucket(BUCKET)
        generate(big, Path(folder), scale)
        expected = checksums(big, SOURCE)
        rows = sum(sums[0] for sums in expected.values())
        print(f"TPC-H at scale {scale:g}: {len(expected)} tables, {rows:,} rows; ratios to loading one table at a time")
        baseline: dict[str, float] = {}
        for route, format_ in WAYS:
            took = measure(big, route, format_, expected)
            if format_ not in baseline:
                baseline[format_] = load_one_by_one(big, store, f"{route}_{format_}", format_)
            shown = f"{route:8}{format_:8} export {took.export:6.2f} s  restore {took.restore:6.2f} s"
            print(f"{shown}  {took.restore / baseline[format_]:5.2f}  checksums equal", flush=True)


def generate(big: Any, folder: Path, scale: float) -> None:
    """Make the tables."""
    subprocess.run([GENERATOR, "parquet", "-s", str(scale), "--output-dir", str(folder), *TABLES], check=True)
    big.create_dataset(SOURCE)
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    for path in sorted(folder.glob("*.parquet")):
        with path.open("rb") as file:
            finish(big.load_table_from_file(file, f"{PROJECT}.{SOURCE}.{path.stem}", job_config=config))


def finish(job: Any) -> None:
    """Wait for a job. Google's client alone would look at it once a second."""
    while not job.done():
        time.sleep(0.02)
    job.result()


def measure(big: Any, route: str, format_: str, expected: Sums) -> Measured:
    """Export and restore all tables. Exits if a checksum differs."""
    name = f"{route}_{format_}"
    target = Target("gs", BUCKET, prefix=f"{name}/")
    settings = Settings(project=PROJECT, dataset=SOURCE, target=target, route=route, format=format_)
    started = time.perf_counter()
    exported(settings, name)
    exporting = time.perf_counter()
    restored(settings, name)
    restoring = time.perf_counter()
    found = checksums(big, name)
    if differing := [table for table in expected if found.get(table) != expected[table]]:
        sys.exit(f"{name}: restored tables differ from their source: {', '.join(differing)}")
    return Measured(exporting - started, restoring - exporting)


def exported(settings: Settings, execution: str) -> None:
    """Export with one task."""

    async def work(services: Services) -> TaskResult:
        owner = Owner(execution, 0)
        opened = services.read_route.open
        return await run(
            Task(services.store, services.warehouse, settings, execution, owner, 1, open_read_route=opened)
        )

    done = asyncio.run(serve(settings, work))
    if done.state != "published":
        sys.exit(f"{execution}: the export was not published")


def restored(settings: Settings, into: str) -> None:
    """Restore with one task, into a dataset that does not exist."""
    at = ("--bucket", BUCKET, "--prefix", settings.target.prefix, "--project", PROJECT)
    if code := start(("restore", "--quiet", *at, "--into", f"{PROJECT}.{into}")):
        sys.exit(code)


def load_one_by_one(big: Any, store: Any, name: str, format_: str) -> float:
    """The baseline: load the files of an export, without looking at constraints or rows. Returns the seconds."""
    bucket, dataset = store.bucket(BUCKET), f"plain_{name}"
    big.create_dataset(dataset)
    latest = decode(bucket.blob(f"{name}/_bqdump/latest.json").download_as_bytes(), Latest, "latest.json")
    manifest = decode(bucket.blob(latest.manifest).download_as_bytes(), Manifest, latest.manifest)
    started = time.perf_counter()
    for entry in manifest.tables:
        schema = msgspec.json.decode(entry.definition)["schema"]
        load = {"sourceFormat": FORMATS[format_].api, "schema": schema, "useAvroLogicalTypes": True}
        if format_ == "csv":
            load["skipLeadingRows"] = 1
        config = bigquery.LoadJobConfig.from_api_repr({"load": load})
        files = [f"gs://{BUCKET}/{file.name}" for file in entry.files]
        finish(big.load_table_from_uri(files, f"{PROJECT}.{dataset}.{entry.table}", job_config=config))
    return time.perf_counter() - started


def checksums(big: Any, dataset: str) -> Sums:
    """Of each table: rows, the values and checksum of each column, and the checksum of rows."""
    found = {}
    for item in big.list_tables(dataset):
        definition = msgspec.Raw(msgspec.json.encode(big.get_table(item).to_api_repr()))
        source = f"`{PROJECT}.{dataset}.{item.table_id}`"
        statements = [bigquery_statement(source, some, "parquet") for some in chunks(leaves(columns(definition)))]
        rows = [tuple(row.values()) for text in statements for row in big.query_and_wait(text)]
        found[item.table_id] = tuple(value for row in rows for value in row)
    return found


if __name__ == "__main__":
    main()
