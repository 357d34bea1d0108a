"""Jobs: their states, their threads, and look-ups."""

from __future__ import annotations

import itertools
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bqdump_local.bigquery.bodies import etag
from bqdump_local.bigquery.errors import BigQueryError, cancelled, duplicate, invalid, not_found, unexpected
from bqdump_local.bigquery.settings import USER, JobSettings
from bqdump_local.bigquery.sql.results import JobResult

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
# Without a location, jobs.get finds only jobs in these locations.
MULTI_REGIONS = ("us", "eu")
# The jobs that are kept. BigQuery keeps those of six months.
MOST_JOBS = 10_000
# How soon a job that runs sees that `run_seconds` has changed.
LOOK_SECONDS = 0.1


@dataclass
class Job:
    """An asynchronous job."""

    project: str
    job_id: str
    location: str
    kind: str
    configuration: dict[str, Any]
    created_ms: int
    sequence: int
    upload: Path | None = None
    # It ran in an earlier process: the rows of a query are only in its table.
    recalled: bool = False
    state: str = "PENDING"
    started_ms: int | None = None
    ended_ms: int | None = None
    error: BigQueryError | None = None
    outcome: JobResult = field(default_factory=JobResult)
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    ended: Future[None] = field(default_factory=Future, repr=False)
    accepted: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        """Whether it has ended, successfully or not."""
        return self.state == "DONE"

    @property
    def name(self) -> str:
        """`project:location.id`, as in messages."""
        return f"{self.project}:{self.location}.{self.job_id}"

    @property
    def subject(self) -> str:
        """The string that faults are matched with: the table, or the text of a query."""
        return subject(self.configuration)

    @property
    def seconds_left(self) -> float:
        """Until the job is cancelled because it takes too long; this counts from its creation."""
        limit = self.configuration.get("jobTimeoutMs")
        return float("inf") if limit is None else max(0.0, self.accepted + int(limit) / 1000 - time.monotonic())

    def resource(self) -> dict[str, Any]:
        """The `Job` of the API."""
        status: dict[str, Any] = {"state": self.state}
        if self.error is not None and self.done:
            status |= {"errorResult": self.error.proto(), "errors": [self.error.proto()]}
        times = {"creationTime": self.created_ms, "startTime": self.started_ms, "endTime": self.ended_ms}
        statistics: dict[str, Any] = {key: str(ms) for key, ms in times.items() if ms is not None}
        if self.done:
            details = self.outcome.statistics
            if self.kind == "QUERY":
                statistics |= {key: details[key] for key in SECURITY if key in details}
                statistics["query"] = {key: value for key, value in details.items() if key not in SECURITY}
                statistics["totalBytesProcessed"] = details.get("totalBytesProcessed", "0")
            else:
                statistics |= details
        resource = {
            "kind": "bigquery#job",
            "id": self.name,
            "selfLink": f"/bigquery/v2/projects/{self.project}/jobs/{self.job_id}?location={self.location}",
            "user_email": USER,
            "jobReference": {"projectId": self.project, "jobId": self.job_id, "location": self.location},
            "configuration": {**self._configuration(), "jobType": self.kind},
            "statistics": statistics,
            "status": status,
        }
        return {**resource, "etag": etag(resource)}

    def _configuration(self) -> dict[str, Any]:
        """The configuration, with the table that has the rows of a query."""
        if not self.done or self.outcome.destination is None:
            return self.configuration
        query = {**self.configuration["query"], "destinationTable": self.outcome.destination}
        return {**self.configuration, "query": query}


# Statistics of every kind of job, outside of those of its kind.
SECURITY = ("rowLevelSecurityStatistics", "dataMaskingStatistics")


def subject(configuration: dict[str, Any]) -> str:
    """The table, or the query's text, in a configuration."""
    if extract := configuration.get("extract"):
        return str((extract.get("sourceTable") or {}).get("tableId", ""))
    if load := configuration.get("load"):
        return str((load.get("destinationTable") or {}).get("tableId", ""))
    if copy := configuration.get("copy"):
        return str((copy.get("destinationTable") or {}).get("tableId", ""))
    return str((configuration.get("query") or {}).get("query", ""))


def _key(job: Job) -> tuple[str, str, str]:
    """What identifies a job: project, location and id."""
    return job.project, job.location.casefold(), job.job_id


class JobBoard:
    """All jobs, and the threads that run them."""

    def __init__(
        self,
        settings: JobSettings,
        execute: Callable[[Job], JobResult],
        earlier: Sequence[Job] = (),
        record: Callable[[Job, bool], None] = lambda *_: None,
    ) -> None:
        """earlier: the jobs of an earlier process.
        record: stores a job, or with False forgets it.
        """
        self._settings = settings
        self._execute = execute
        self._record = record
        self._lock = threading.Lock()
        # By age.
        self._jobs = {_key(job): job for job in sorted(earlier, key=lambda job: job.sequence)}
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._numbers = itertools.count(max((job.sequence for job in earlier), default=-1) + 1)

    def insert(
        self,
        project: str,
        reference: dict[str, Any],
        location: str,
        kind: str,
        configuration: dict[str, Any],
        upload: Path | None = None,
    ) -> Job:
        """Accept a job. Its id can be used only once."""
        job_id = reference.get("jobId")
        if job_id is None:
            job_id = f"job_{secrets.token_urlsafe(20)}"
        if not JOB_ID.fullmatch(job_id):
            raise invalid(
                f'Invalid job ID "{job_id}". Job IDs must be alphanumeric (plus underscores and dashes) '
                "and must be at most 1024 characters long."
            )
        key = (project, location.casefold(), job_id)
        with self._lock:
            if key in self._jobs:
                raise duplicate("Job", self._jobs[key].name)
            now = self._settings.now_ms()
            job = Job(project, job_id, location, kind, configuration, now, next(self._numbers), upload)
            self._record(job, True)
            self._jobs[key] = job
            self._waiting.append(job)
            self._forget_oldest()
            start = self._running < self._settings.max_running
            self._running += start
        if start:
            threading.Thread(target=self._work, name="job", daemon=True).start()
        return job

    def get(self, project: str, job_id: str, location: str | None) -> Job:
        """The job. Without a location, only jobs in the US and EU multi-regions are found."""
        for place in (location.casefold(),) if location else MULTI_REGIONS:
            if job := self._jobs.get((project, place, job_id)):
                return job
        raise not_found("Job", f"{project}:{f'{location}.' if location else ''}{job_id}")

    def delete(self, job: Job) -> None:
        """Delete the job."""
        with self._lock:
            self._jobs.pop(_key(job), None)
            self._record(job, False)

    def _forget_oldest(self) -> None:
        """Forget jobs beyond the number that is kept, up to one that has not ended."""
        while len(self._jobs) > MOST_JOBS and (oldest := next(iter(self._jobs.values()))).done:
            del self._jobs[_key(oldest)]
            self._record(oldest, False)

    def newest_first(self, project: str) -> list[Job]:
        """All jobs of a project, newest first."""
        with self._lock:
            jobs = [job for job in self._jobs.values() if job.project == project]
        return sorted(jobs, key=lambda job: job.sequence, reverse=True)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._running > self._settings.max_running:
                    self._running -= 1
                    return
                job = self._waiting.popleft()
            self._run(job)

    def _run(self, job: Job) -> None:
        job.cancelled.wait(max(0.0, job.accepted + self._settings.pending_seconds - time.monotonic()))
        job.started_ms = self._settings.now_ms()
        job.state = "RUNNING"
        try:
            job.error = self._perform(job)
        except BigQueryError as error:
            job.error = error
        except BaseException as error:
            # Also a panic of a library in Rust, which is no Exception. The job would run for ever.
            job.error = unexpected(error)
        if job.upload is not None:
            job.upload.unlink(missing_ok=True)
        job.ended_ms = self._settings.now_ms()
        # Whoever waits for the job learns its end, even if that cannot be stored, such as on a full disk.
        with self._lock, suppress(Exception):
            job.state = "DONE"
            if _key(job) in self._jobs:
                self._record(job, True)
        job.ended.set_result(None)

    def _perform(self, job: Job) -> BigQueryError | None:
        """Run the job. Returns an injected error, a cancellation, or None."""
        fault = self._settings.take("run", job.subject)
        started = time.monotonic() + (fault.delay if fault else 0.0)
        # The setting may change while the job runs.
        while (left := started + self._settings.run_seconds - time.monotonic()) > 0 and not job.cancelled.is_set():
            if job.seconds_left <= 0:
                return BigQueryError("stopped", "Job execution was cancelled: Job timed out")
            job.cancelled.wait(min(left, job.seconds_left, LOOK_SECONDS))
        if not job.cancelled.is_set():
            if fault and fault.reason:
                return BigQueryError(fault.reason, fault.message)
            # Once this returns, the job has had its effect: a later cancellation does not change that.
            job.outcome = self._execute(job)
            return None
        return cancelled()
