"""The parts of the server, and how jobs are accepted and executed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlglot import exp

from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.files.objects import ObjectStore
from bqdump_local.bigquery.jobs import copying, extract, load
from bqdump_local.bigquery.jobs.connection import dataset_project
from bqdump_local.bigquery.jobs.jobs import Job, JobBoard, subject
from bqdump_local.bigquery.jobs.settings import JobSettings
from bqdump_local.bigquery.routes.bodies import checked
from bqdump_local.bigquery.sql import anonymous
from bqdump_local.bigquery.sql.parsing import parse
from bqdump_local.bigquery.sql.results import JobResult
from bqdump_local.bigquery.statements.query import Query, refuse_bad_query
from bqdump_local.bigquery.tables.catalog import Catalog

KINDS = ("extract", "load", "query", "copy")


@dataclass
class Service:
    """The parts of the server that routes use."""

    catalog: Catalog
    store: ObjectStore
    settings: JobSettings
    jobs: JobBoard = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = JobBoard(self.settings, self._execute)

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
                outcome = query.run(job.cancelled.is_set)
                if outcome.destination and anonymous.is_one(outcome.destination):
                    self.catalog.results[job.project, job.location.casefold(), job.job_id] = outcome.destination
                return outcome
