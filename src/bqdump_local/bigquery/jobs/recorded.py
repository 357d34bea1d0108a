"""Jobs as documents, which outlive the process like tables."""

from __future__ import annotations

from typing import Any

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.jobs.jobs import Job
from bqdump_local.bigquery.sql.results import JobResult, Result
from bqdump_local.bigquery.types import parse_fields

PREFIX = "job:"
SAME = ("project", "job_id", "location", "kind", "configuration", "created_ms", "sequence", "started_ms", "ended_ms")


def key(job: Job) -> str:
    """The key under which the document of a job is stored."""
    return PREFIX + "\n".join((job.project, job.location.casefold(), job.job_id))


def to_document(job: Job) -> dict[str, Any]:
    """A job as JSON, without the rows of a query, which are in its table."""
    error, outcome = job.error, job.outcome
    return {
        **{name: getattr(job, name) for name in SAME},
        "state": job.state,
        "error": error and [error.reason, error.message, error.location, error.status],
        "statistics": outcome.statistics,
        "affected_rows": outcome.affected_rows,
        "destination": outcome.destination,
        "fields": [field.to_json() for field in outcome.result.fields],
    }


def from_document(document: dict[str, Any], now_ms: int) -> Job:
    """The reverse of `to_document`. A job that had not ended has failed."""
    job = Job(**{name: document[name] for name in SAME})
    if document["state"] == "DONE":
        if error := document["error"]:
            job.error = BigQueryError(error[0], error[1], location=error[2], status=error[3])
        result = Result(parse_fields(document["fields"]), [])
        job.outcome = JobResult(document["statistics"], result, document["affected_rows"], document["destination"])
    else:
        job.error = BigQueryError("backendError", "The local stack ended while this job ran.")
        job.ended_ms = now_ms
    job.state, job.recalled = "DONE", True
    job.ended.set_result(None)
    return job
