"""A test's own project, dataset and bucket on the local stack, and everything to run bqdump there and look at it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import google_crc32c
import msgspec
import requests
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump.adapters.lean_imports import UNUSED
from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.path_template import shard_name
from bqdump.core.documents.run import Owner, Plan
from bqdump.core.documents.target import Latest
from bqdump.core.settings.resolve import flags as given
from bqdump.core.settings.resolve import resolve
from bqdump.core.settings.settings import Settings
from bqdump.export.act import TaskResult
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.services.opened import Services
from bqdump_local.execute import Execution, execute, task_variables
from bqdump_local.processes import TaskLine
from bqdump_local.stack import Stack
from integration.command import Called, call_in

STATE = "_bqdump/"
COMMAND = (sys.executable, "-m", "bqdump", "run")
Value = TypeVar("Value")
_NUMBERS = itertools.count(1)


def until(look: Callable[[], Value | None], what: str, seconds: float = 120.0) -> Value:
    """What `look` returns, as soon as it is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


class Extract(NamedTuple):
    """An extract job of BigQuery's own list; `error` is its reason, "" for none."""

    job: str
    table: str
    state: str
    error: str


@dataclass
class Ran:
    """An execution that has ended, with all that its tasks have written."""

    execution: Execution
    lines: list[TaskLine] = field(default_factory=list)

    @property
    def codes(self) -> list[int | None]:
        """The exit code of each task's last attempt."""
        return [task.attempts[-1].exit_code for task in self.execution.tasks]

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(line.text for line in self.lines)


class Stage:
    """A project, a dataset and a bucket of one test."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        number = next(_NUMBERS)
        self.stack, self.folder = stack, folder
        self._denied: tuple[str, ...] = ()
        self.project, self.dataset, self.bucket = f"project-{number}", f"source_{number}", f"target-{number}"
        anonymous: Any = AnonymousCredentials
        self.big = bigquery.Client(
            project=self.project, credentials=anonymous(), client_options=ClientOptions(api_endpoint=stack.bigquery)
        )
        self.store = storage.Client(
            project=self.project, credentials=anonymous(), client_options=ClientOptions(api_endpoint=stack.storage)
        )
        self.big.create_dataset(self.dataset)
        # Deleted files are gone at once.
        bucket = self.store.bucket(self.bucket)
        bucket.soft_delete_policy.retention_duration_seconds = 0
        self.store.create_bucket(bucket)

    def close(self) -> None:
        """Let go of the clients, and set back what the test has changed on the stack."""
        self.stack.jobs(
            pending_seconds=0.0, run_seconds=0.0, shard_bytes=1_000_000_000, empty_table_files=1, empty_shards=0,
            bare_empty_files=False, any_table_names=False, read_stream_bytes=64_000_000, read_batch_bytes=1_000_000,
            faults=[],
        )  # fmt: skip
        if self._denied:
            self.deny()
        self.big.close()
        self.store.close()

    # The dataset.

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run a statement in the dataset; returns its rows."""
        config = bigquery.QueryJobConfig(default_dataset=f"{self.project}.{self.dataset}")
        return [tuple(row.values()) for row in self.big.query_and_wait(text, job_config=config)]

    def table(self, name: str, rows: int = 3) -> None:
        """Make (or make again) a table of so many rows: id, name."""
        self.sql(
            f"CREATE OR REPLACE TABLE `{name}` AS "
            f"SELECT id, CONCAT('{name}-', CAST(id AS STRING)) AS name FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS id"
        )

    def model(self, name: str) -> None:
        """Make a model, which can only be listed."""
        body = {"project": self.project, "dataset": self.dataset, "model": name}
        requests.post(f"{self.stack.bigquery}/_local/models", json=body, timeout=10).raise_for_status()

    def empty_tables(self, names: Iterable[str]) -> None:
        """Make empty tables, many at a time."""
        schema = [bigquery.SchemaField("id", "INT64")]
        tables = [bigquery.Table(f"{self.project}.{self.dataset}.{name}", schema=schema) for name in names]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self.big.create_table, tables))

    def now(self) -> int:
        """BigQuery's clock in milliseconds, after it has moved on from what anybody has seen before."""
        seen = self._clock()
        return until(lambda: now if (now := self._clock()) > seen + 1 else None, "BigQuery's clock goes on")

    def _clock(self) -> int:
        return int(self.sql("SELECT UNIX_MILLIS(CURRENT_TIMESTAMP())")[0][0])

    def extracts(self) -> list[Extract]:
        """The extract jobs of this dataset, in BigQuery's own list."""
        return [
            Extract(
                job.job_id, job.source.table_id.partition("@")[0], job.state, (job.error_result or {}).get("reason", "")
            )
            for job in self.big.list_jobs(page_size=1000)
            if job.job_type == "extract" and job.source.dataset_id == self.dataset
        ]  # fmt: skip

    def extracted(self) -> Counter[str]:
        """How often each table was extracted."""
        return Counter(job.table for job in self.extracts())

    def faults_left(self) -> int:
        """How many faults of jobs are still to come: 0 shows that a test has met those it asked for."""
        settings = requests.get(f"{self.stack.bigquery}/_local/jobs", timeout=10).json()
        return sum(fault["times"] for fault in settings["faults"])

    # The bucket.

    def objects(self) -> dict[str, int]:
        """The generation of every object."""
        return {blob.name: int(blob.generation) for blob in self.store.list_blobs(self.bucket)}

    def files(self) -> list[str]:
        """The objects that are not bqdump's own documents, by name."""
        return [name for name in self.objects() if f"/{STATE}" not in f"/{name}"]

    def staged(self) -> list[str]:
        """What lies in staging."""
        return [name for name in self.objects() if name.startswith(f"{STATE}runs/") and "/data/" in name]

    def read(self, name: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.store.bucket(self.bucket).blob(name).download_as_bytes(raw_download=True)
        return data

    def upload(self, name: str, data: bytes = b"foreign\n") -> None:
        """Put an object there by hand."""
        self.store.bucket(self.bucket).blob(name).upload_from_string(data)

    def latest(self) -> Latest:
        """The pointer that readers follow."""
        return decode(self.read(f"{STATE}latest.json"), Latest, "latest.json")

    def entry(self, run: str, folder: str = "") -> str:
        """The name of the entry of a run in the log. folder: of its dataset, in a set."""
        [name] = [
            name for name in self.objects() if name.startswith(f"{folder}{STATE}log/") and name.endswith(f"-{run}.json")
        ]
        return name

    def plan(self, run: str) -> Plan:
        """The plan of a run."""
        return decode(self.read(f"{STATE}runs/{run}/plan.json"), Plan, "plan.json")

    def manifest(self) -> Manifest:
        """The manifest that latest.json names, proved whole: every file is there as it says."""
        latest = self.latest()
        data = self.read(latest.manifest)
        manifest = decode(data, Manifest, latest.manifest)
        stored = {blob.name: blob for blob in self.store.list_blobs(self.bucket)}
        assert latest.run == manifest.run
        assert latest.manifest_generation == int(stored[latest.manifest].generation)
        for table in manifest.tables:
            if table.partitions:
                continue
            pattern = f"{table.table}_*.csv"
            assert [file.name.rpartition("/")[2] for file in table.files] == [
                shard_name(pattern, number) for number in range(len(table.files))
            ]
            for file in table.files:
                blob, content = stored[file.name], self.read(file.name)
                assert (file.size, file.crc32c, file.generation) == (blob.size, blob.crc32c, int(blob.generation))
                assert (file.size, file.crc32c) == (len(content), crc32c(content))
        assert manifest.totals.tables == len(manifest.tables)
        assert manifest.totals.files == sum(len(table.files) for table in manifest.tables)
        assert manifest.totals.bytes == sum(file.size for table in manifest.tables for file in table.files)
        return manifest

    def deny(self, *permissions: str) -> None:
        """Take these permissions on bucket and project away; all are given back by calling it without any."""
        self._denied = permissions
        places = ((self.stack.storage, "buckets", self.bucket), (self.stack.bigquery, "projects", self.project))
        for (url, kind, name), service in zip(places, ("storage.", "bigquery."), strict=True):
            denied = [permission for permission in permissions if permission.startswith(service)]
            body = {kind: {name: denied} if denied else {}}
            requests.put(f"{url}/_local/denied", json=body, timeout=10).raise_for_status()

    # Commands and runs.

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> Called:
        """Run a command in this process."""
        return call_in(self.folder, self.variables | dict(env or {}), *arguments)

    def bare(self, *arguments: str) -> Called:
        """Run a command in this process without the three settings in the environment."""
        return call_in(self.folder, self.stack.variables(), *arguments)

    def run(self, *arguments: str, execution: str = "", env: Mapping[str, str] | None = None) -> Called:
        """Run `bqdump run` in this process, as the one task of an execution of Cloud Run."""
        name = execution or f"bqdump-{next(_NUMBERS)}"
        variables = task_variables("cloud-run", index=0, count=1, attempt=0, execution=name, job="bqdump")
        return self.command("run", *arguments, env=variables | dict(env or {}))

    @property
    def variables(self) -> dict[str, str]:
        """The three settings, and the way to the stack."""
        return {
            **self.stack.variables(),
            "PROJECT_ID": self.project,
            "SOURCE_DATASET": self.dataset,
            "DESTINATION_BUCKET": self.bucket,
        }

    async def processes(
        self, *arguments: str, tasks: int = 1, env: Mapping[str, str] | None = None, **options: Any
    ) -> Ran:
        """Run `bqdump run` as processes under the contract of an engine."""
        lines: list[TaskLine] = []
        done = await execute(
            [*COMMAND, *arguments], tasks=tasks, env={**self.variables, **(env or {})}, cwd=self.folder,
            on_output=lines.append, **{"max_retries": 0, "task_timeout": 60, **options},
        )  # fmt: skip
        return Ran(done, lines)

    def execute(self, *arguments: str, **options: Any) -> Ran:
        """The same, waiting for all of it."""
        return asyncio.run(self.processes(*arguments, **options))

    def settings(self, **flags: str) -> Settings:
        """The settings of an export by flags."""
        three = {"project": self.project, "dataset": self.dataset, "bucket": self.bucket}
        return resolve(given({**three, **flags}))

    def perform(
        self, work: Callable[[Callable[[int], Task]], Any], *, execution: str, tasks: int = 1, **flags: str
    ) -> Any:
        """Run a coroutine in this process; `work` gets a maker of tasks by index on the real adapters."""
        settings = self.settings(**flags)

        async def performed() -> Any:
            before = {name: sys.modules.get(name) for name in UNUSED}
            services = Services(settings)
            try:
                return await work(
                    lambda index: Task(
                        services.store,
                        services.warehouse,
                        settings,
                        execution,
                        Owner(execution, index),
                        tasks,
                        open_read_route=services.read_route.open,
                    )
                )
            finally:
                await services.close()
                for name in UNUSED:
                    if sys.modules.get(name) is None and before[name] is None:
                        sys.modules.pop(name, None)

        return asyncio.run(performed())

    def run_tasks(
        self,
        tasks: int,
        *,
        execution: str = "many",
        order: Sequence[int] | None = None,
        parallelism: int | None = None,
        **flags: str,
    ) -> list[TaskResult]:
        """Run so many tasks in this process, started in this order, at most `parallelism` at once."""

        async def work(task: Callable[[int], Task]) -> list[TaskResult]:
            slots = asyncio.Semaphore(parallelism or tasks)

            async def one(index: int) -> TaskResult:
                async with slots:
                    return await run(task(index))

            return list(await asyncio.gather(*map(one, order or range(tasks))))

        outcomes: list[TaskResult] = self.perform(work, execution=execution, tasks=tasks, **flags)
        return outcomes


def crc32c(data: bytes) -> str:
    """CRC32C as Cloud Storage writes it."""
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def csv_rows(data: bytes) -> list[str]:
    """The lines of a CSV file, its header first and the others sorted."""
    header, *rows = data.decode().splitlines()
    return [header, *sorted(rows)]


def expected_rows(table: str, rows: int) -> list[str]:
    """What `csv_rows` gives for a table that `Stage.table` has made."""
    return ["id,name", *sorted(f"{number},{table}-{number}" for number in range(1, rows + 1))]


def records(text: str) -> Iterator[dict[str, Any]]:
    """The log lines of a task."""
    for line in text.splitlines():
        record: dict[str, Any] = msgspec.json.decode(line)
        yield record
