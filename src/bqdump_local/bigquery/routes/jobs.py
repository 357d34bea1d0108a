"""Routes for jobs, queries and their results."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.concurrency import run_in_threadpool

from bqdump_local.bigquery.bodies import checked
from bqdump_local.bigquery.errors import BigQueryError, invalid
from bqdump_local.bigquery.jobs.jobs import Job
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes import arrow_results
from bqdump_local.bigquery.routes.http import Call, Endpoint
from bqdump_local.bigquery.sql.results import JobResult

BASE = "/bigquery/v2/projects/{project}"
JOB = BASE + "/jobs/{job}"
# How long a query request waits before it answers that the job is still running, as in BigQuery.
DEFAULT_WAIT_MS = 10_000


class JobRoutes:
    """The API's methods for jobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requests: dict[tuple[str, str], asyncio.Future[Job]] = {}

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("POST", BASE + "/jobs", self.insert),
            Endpoint("GET", BASE + "/jobs", self.list, quick=True),
            Endpoint("GET", JOB, self.get, quick=True),
            Endpoint("POST", JOB + "/cancel", self.cancel, quick=True),
            Endpoint("DELETE", JOB + "/delete", self.delete),
            Endpoint("POST", BASE + "/queries", self.query),
            Endpoint("GET", BASE + "/queries/{job}", self.query_results),
            Endpoint("GET", "/_local/jobs", self.settings, quick=True),
            Endpoint("PUT", "/_local/jobs", self.change_settings, quick=True),
        ]

    def _find(self, call: Call) -> Job:
        return self._service.jobs.get(call.project, call.path["job"], call.query.get("location"))

    def insert(self, call: Call) -> dict[str, Any]:
        """jobs.insert. A dry run answers at once and creates no job."""
        body = checked("Job", call.body, "job")
        configuration = body.get("configuration") or {}
        if configuration.get("dryRun") and "query" in configuration:
            location = (body.get("jobReference") or {}).get("location")
            return self._dry_job(call.project, configuration, location)
        return self._service.accept(call.project, body).resource()

    def _dry_job(self, project: str, configuration: dict[str, Any], location: str | None) -> dict[str, Any]:
        outcome = self._service.dry_run(project, configuration, location)
        place = location or self._service.location_of(project, configuration)
        details = {**outcome.statistics, "schema": _schema(outcome)}
        processed = details["totalBytesProcessed"]
        created = str(self._service.settings.now_ms())
        return {
            "kind": "bigquery#job",
            "id": f"{project}:{place}.",
            "jobReference": {"projectId": project, "location": place},
            "configuration": {**configuration, "jobType": "QUERY"},
            "statistics": {"creationTime": created, "totalBytesProcessed": processed, "query": details},
            "status": {"state": "DONE"},
        }

    def get(self, call: Call) -> dict[str, Any]:
        """jobs.get."""
        return self._find(call).resource()

    def list(self, call: Call) -> dict[str, Any]:
        """jobs.list: newest first, with the configuration only if `projection=full`."""
        if (call.query.get("allUsers") or "").lower() == "true":
            self._service.catalog.access.require(call.project, "bigquery.jobs.listAll")
        states = {state.upper() for state in call.query.getlist("stateFilter")}
        earliest, latest = call.number("minCreationTime") or 0, call.number("maxCreationTime")
        before = call.number("pageToken")
        jobs = [
            job
            for job in self._service.jobs.newest_first(call.project)
            if (not states or job.state in states)
            and job.created_ms >= earliest
            and (latest is None or job.created_ms <= latest)
            and (before is None or job.sequence < before)
        ]
        size = min(call.number("maxResults") or 50, 1000)
        full = (call.query.get("projection") or "").lower() == "full"
        answer: dict[str, Any] = {"kind": "bigquery#jobList", "etag": ""}
        if jobs:
            answer["jobs"] = [_list_item(job, full=full) for job in jobs[:size]]
        if len(jobs) > size:
            # The page starts at a job, not at a number, so that new jobs do not shift pages.
            answer["nextPageToken"] = str(jobs[size - 1].sequence)
        return answer

    def cancel(self, call: Call) -> dict[str, Any]:
        """jobs.cancel: answers at once; the job ends soon after."""
        job = self._find(call)
        if not job.done:
            job.cancelled.set()
        return {"kind": "bigquery#jobCancelResponse", "job": job.resource()}

    def delete(self, call: Call) -> None:
        """jobs.delete."""
        self._service.jobs.delete(self._find(call))

    async def query(self, call: Call) -> dict[str, Any]:
        """jobs.query: start a query, and wait some time for the first page."""
        body = checked("QueryRequest", call.body, "query_request")
        kept = "query connectionProperties defaultDataset useLegacySql parameterMode queryParameters maximumBytesBilled"
        configuration: dict[str, Any] = {"query": {key: body[key] for key in kept.split() if key in body}}
        configuration |= {key: body[key] for key in ("labels", "jobTimeoutMs") if body.get(key)}
        location = body.get("location")
        if body.get("dryRun"):
            outcome = await run_in_threadpool(self._service.dry_run, call.project, configuration, location)
            reference = {"projectId": call.project, "location": location or "US"}
            return _response("bigquery#queryResponse", reference, outcome, complete=True)
        reference = {"location": location} if location else {}
        new = {"configuration": configuration, "jobReference": reference}
        codec = arrow_results.codec(body)
        job = await self._accepted(call.project, body.get("requestId"), new)
        answer = await _results("bigquery#queryResponse", job, body.get("timeoutMs"), body.get("maxResults"), 0)
        if arrow_results.wanted(body) and job.done:
            return await run_in_threadpool(arrow_results.page, self._service.catalog, job, answer, codec)
        return answer

    async def _accepted(self, project: str, request_id: str | None, new: dict[str, Any]) -> Job:
        """The job of a request, which a client may send again while it is being answered."""
        known = self._requests.get((project, request_id)) if request_id else None
        if known is None:
            known = asyncio.ensure_future(run_in_threadpool(self._service.accept, project, new))
            if request_id:
                self._requests[project, request_id] = known
        try:
            # A connection that breaks does not end what others wait for.
            return await asyncio.shield(known)
        except Exception:
            # Such a request can be made again.
            if request_id:
                self._requests.pop((project, request_id), None)
            raise

    async def query_results(self, call: Call) -> dict[str, Any]:
        """jobs.getQueryResults."""
        job = self._find(call)
        if job.kind != "QUERY":
            raise invalid(f"Job {job.name} is not a query job")
        if job.recalled:
            await run_in_threadpool(self._service.recall, job)
        start = call.number("pageToken") or call.number("startIndex") or 0
        kind = "bigquery#getQueryResultsResponse"
        return await _results(kind, job, call.number("timeoutMs"), call.number("maxResults"), start)

    def settings(self, _: Call) -> dict[str, Any]:
        """Control: the settings of jobs."""
        return self._service.settings.to_json()

    def change_settings(self, call: Call) -> dict[str, Any]:
        """Control: change the settings in the body."""
        self._service.settings.update(call.body)
        return self._service.settings.to_json()


async def _results(kind: str, job: Job, wait_ms: int | None, size: int | None, start: int) -> dict[str, Any]:
    seconds = (DEFAULT_WAIT_MS if wait_ms is None else int(wait_ms)) / 1000
    await asyncio.wait([asyncio.wrap_future(job.ended)], timeout=seconds)
    reference = {"projectId": job.project, "jobId": job.job_id, "location": job.location}
    if not job.done:
        return {"kind": kind, "jobReference": reference, "jobComplete": False}
    if job.error is not None:
        raise job.error
    answer = _response(kind, reference, job.outcome, complete=True)
    if job.outcome.result.fields:
        rows = job.outcome.result.rows
        after = start + (len(rows) if size is None else int(size))
        answer |= {"rows": rows[start:after]}
        if after < len(rows):
            answer["pageToken"] = str(after)
    return answer


def _schema(outcome: JobResult) -> dict[str, Any]:
    return {"fields": [field.to_json() for field in outcome.result.fields]}


def _response(kind: str, reference: dict[str, Any], outcome: JobResult, *, complete: bool) -> dict[str, Any]:
    answer = {
        "kind": kind,
        "etag": "",
        "schema": _schema(outcome),
        "jobReference": reference,
        "totalRows": str(len(outcome.result.rows)),
        "totalBytesProcessed": outcome.statistics.get("totalBytesProcessed", "0"),
        "jobComplete": complete,
        "cacheHit": False,
    }
    if outcome.affected_rows is not None:
        answer["numDmlAffectedRows"] = str(outcome.affected_rows)
    return answer


def _list_item(job: Job, *, full: bool) -> dict[str, Any]:
    resource = job.resource()
    keys = ["kind", "id", "jobReference", "status", "statistics", "user_email", *(["configuration"] if full else [])]
    item = {key: resource[key] for key in keys}
    error = resource["status"].get("errorResult")
    return {**item, "state": job.state, **({"errorResult": error} if error else {})}


__all__ = ["BigQueryError", "JobRoutes"]
