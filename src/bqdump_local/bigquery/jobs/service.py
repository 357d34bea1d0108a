"""The parts of the server, and how jobs are accepted and executed."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.bodies import checked
from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.files.objects import ObjectStore
from bqdump_local.bigquery.jobs import copying, recorded
from bqdump_local.bigquery.jobs.jobs import Job, JobBoard, subject
from bqdump_local.bigquery.rows import extract, load
from bqdump_local.bigquery.settings import JobSettings
from bqdump_local.bigquery.sql import anonymous
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.results import JobResult, fetch
from bqdump_local.bigquery.statements.connection import dataset_project
from bqdump_local.bigquery.statements.query import Query, refuse_bad_query
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.warehouse import WarehouseClosedError

KINDS = ("extract", "load", "query", "copy")


@dataclass
class Service:
    """The parts of the server that routes use."""

    catalog: Catalog
    store: ObjectStore
    settings: JobSettings
    jobs: JobBoard = field(init=False)

    def __post_init__(self) -> None:
        now = self.settings.now_ms()
        documents = [document for name, document in self.catalog.warehouse.kept() if name.startswith(recorded.PREFIX)]
        earlier = [recorded.from_document(document, now) for document in documents]
        self.jobs = JobBoard(self.settings, self._execute, earlier, self._record)
        for job, document in zip(earlier, documents, strict=True):
            if job.state != document["state"]:
                # It has ended now, also for the starts that follow.
                self._record(job, True)
            self._note_rows(job)

    def _record(self, job: Job, present: bool) -> None:
        if not present:
            self.catalog.results.pop((job.project, job.location.casefold(), job.job_id), None)
        # While the server ends, its last jobs are those of which the next one knows that they did not end.
        with suppress(WarehouseClosedError):
            self.catalog.warehouse.keep(recorded.key(job), recorded.to_document(job) if present else None)

    def _note_rows(self, job: Job) -> None:
        """Note where the rows of a query are."""
        place = job.outcome.destination
        if place and anonymous.is_one(place):
            self.catalog.results[job.project, job.location.casefold(), job.job_id] = place

    def recall(self, job: Job) -> None:
        """Read the rows of a query that ran in an earlier process."""
        result, place = job.outcome.result, job.outcome.destination
        if not job.recalled or not result.fields:
            return
        if place is None:
            raise BigQueryError("notFound", f"The rows of the job {job.name} are in its destination table.")
        table = self.catalog.table(place["projectId"], place["datasetId"], place["tableId"])
        with self.catalog.warehouse.cursor() as cursor:
            result.rows = fetch(cursor, result.fields, table.current.name)
        job.recalled = False

    def accept(self, project: str, body: dict[str, Any], upload: Path | None = None) -> Job:
        """Check a job and start it. Raises for an invalid request, a duplicate id or an injected fault."""
        self.catalog.access.require(project, "bigquery.jobs.create")
        body = checked("Job", body, "job")
        configuration = body.get("configuration") or {}
        kind = self._check(configuration, upload)
        fault = self.settings.take("insert", subject(configuration))
        if fault:
            time.sleep(fault.delay)
            if fault.reason:
                raise BigQueryError(fault.reason, fault.message)
        fault = self.settings.take("accepted", subject(configuration))
        reference = body.get("jobReference") or {}
        location = reference.get("location") or self.location_of(project, configuration)
        job = self.jobs.insert(project, reference, location, kind.upper(), configuration, upload)
        if fault:
            time.sleep(fault.delay)
            raise BigQueryError(fault.reason, fault.message, status=503)
        return job

    def dry_run(self, project: str, configuration: dict[str, Any], location: str | None) -> JobResult:
        """The bytes that a query would read, without a job."""
        self.catalog.access.require(project, "bigquery.jobs.create")
        refuse_bad_query(configuration)
        place = location or self.location_of(project, configuration)
        return Query(self.catalog, self.store, project, configuration, place).dry_run()

    def location_of(self, project: str, configuration: dict[str, Any]) -> str:
        """The location of a job that does not set one: that of its dataset."""
        references = [
            (configuration.get("extract") or {}).get("sourceTable"),
            (configuration.get("load") or {}).get("destinationTable"),
            (configuration.get("copy") or {}).get("destinationTable"),
            (configuration.get("query") or {}).get("defaultDataset"),
            (configuration.get("query") or {}).get("destinationTable"),
        ]
        names = [(r.get("projectId") or project, r.get("datasetId", "")) for r in references if r]
        project = dataset_project(configuration.get("query") or {}) or project
        text = (configuration.get("query") or {}).get("query")
        try:
            statements = parse(text) if text and not names else []
        except BigQueryError:
            statements = []
        for statement in statements:
            names += [(node.catalog or project, node.db) for node in statement.find_all(exp.Table)]
        for name in names:
            try:
                return self.catalog.dataset(*name).location
            except BigQueryError:
                continue
        return "US"

    def _check(self, configuration: dict[str, Any], upload: Path | None) -> str:
        kinds = [kind for kind in KINDS if kind in configuration]
        if len(kinds) != 1:
            raise invalid("Job configuration must contain exactly one job-specific configuration object")
        match kinds[0]:
            case "extract":
                extract.parse(configuration)
            case "load":
                load.check(configuration, upload=upload is not None)
            case "query":
                refuse_bad_query(configuration)
            case _:
                copying.check(configuration)
        return kinds[0]

    def _execute(self, job: Job) -> JobResult:
        match job.kind:
            case "EXTRACT":
                stopped = job.cancelled.is_set
                return JobResult(extract.run(self.catalog, self.store, job.configuration, job.location, stopped))
            case "LOAD":
                return JobResult(load.run(self.catalog, self.store, job.configuration, job.upload))
            case "COPY":
                return JobResult(copying.run(self.catalog, job.configuration, job.location))
            case _:
                query = Query(self.catalog, self.store, job.project, job.configuration, job.location)
                job.outcome = query.run(job.cancelled.is_set)
                self._note_rows(job)
                return job.outcome
