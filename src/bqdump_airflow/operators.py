"""The operator: export a dataset, in the worker or as an execution of a Cloud Run job."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink, conf
from airflow.sdk.exceptions import AirflowException

import bqdump
from bqdump_airflow import cloud_run
from bqdump_airflow.assets import EXPORTED, exported_table, place_of
from bqdump_airflow.triggers import ExecutionTrigger

LONGEST = 100
CONSOLE = "https://console.cloud.google.com/storage/browser/"
FILES = "https://storage.cloud.google.com/"


class ReportLink(BaseOperatorLink):
    """The report of the run."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """See BaseOperatorLink."""
        return str(getattr(operator, "report", ""))


class LogLink(BaseOperatorLink):
    """The log of the execution; without one, the run's documents."""

    name = "Log"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """See BaseOperatorLink."""
        return str(getattr(operator, "log_address", ""))


class BqdumpRunOperator(BaseOperator):
    """Exports a dataset. A retry resumes the run of the DAG run, and exports nothing twice.

    settings: arguments of `bqdump.run`; `bucket` or `to` must be among them. With `job`, its own settings count, and
        these only name the place.
    run: the name of the run (default: that of the DAG run, with - for characters that a run's name cannot have).
    job: export in an execution of this Cloud Run job, projects/PROJECT/locations/REGION/jobs/JOB, not in the worker.
    tasks: of the execution (default: the job's own number).
    deferrable: wait for the execution in the triggerer (default: Airflow's `operators.default_deferrable`).
    Pushes run, state, snapshot_time, manifest, tables, rows and bytes to XCom, and for each published table an event of
    the asset `exported_table(name, settings)` with run, snapshot_time, rows and bytes.
    """

    template_fields = ("settings", "run", "job")
    operator_extra_links = (ReportLink(), LogLink())

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        run: str = "",
        job: str = "",
        tasks: int | None = None,
        deferrable: bool | None = None,
        poll_seconds: float = 30,
        endpoint: str = cloud_run.CLOUD_RUN,
        **kwargs: Any,
    ) -> None:
        place_of(settings)
        if deferrable and not job:
            raise ValueError("deferrable: only an execution of Cloud Run can be waited for. Set job, or leave it out.")
        kwargs["outlets"] = [*kwargs.get("outlets", ()), EXPORTED]
        super().__init__(**{"multiple_outputs": True} | kwargs)
        self.settings, self.run, self.job, self.tasks = dict(settings), run, job, tasks
        default = bool(conf.getboolean("operators", "default_deferrable", fallback=False))
        self.deferrable = default if deferrable is None else deferrable
        self.poll_seconds, self.endpoint = poll_seconds, endpoint

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Export. Raises BqdumpError, and AirflowException for an execution that has not published the run."""
        run = self._name(context)
        if not self.job:
            bqdump.Backup(**self.settings).run(run_id=run)
            return self._exported(context, run, {})
        execution = cloud_run.start(self.endpoint, self.job, run, self.tasks)
        self.log.info("%s exports run %s", execution, run)
        if self.deferrable:
            trigger = ExecutionTrigger(self.endpoint, execution, self.poll_seconds)
            self.defer(trigger=trigger, method_name="execute_complete", timeout=self.execution_timeout)
        while not (end := cloud_run.ended(self.endpoint, execution)):
            time.sleep(self.poll_seconds)
        return self.execute_complete(context, end)

    def execute_complete(self, context: Any, event: Mapping[str, str]) -> dict[str, Any]:
        """Go on when the execution has ended."""
        return self._exported(context, self._name(context), event)

    def _name(self, context: Any) -> str:
        if self.run:
            return self.run
        given = str(context["dag_run"].run_id)
        name = re.sub(r"[^A-Za-z0-9_-]", "-", given).lstrip("-_")
        return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{zlib.crc32(given.encode()):08x}"

    def _exported(self, context: Any, run: str, end: Mapping[str, str]) -> dict[str, Any]:
        backup, documents = bqdump.Backup(**self.settings), f"{place_of(self.settings)}/_bqdump/runs/{run}"
        self.report = f"{documents}/report.html".replace("gs://", FILES)
        self.log_address = end.get("log") or documents.replace("gs://", CONSOLE)
        try:
            status = backup.status(run)
        except bqdump.NotFoundError:
            raise AirflowException(f"run {run}: its execution has not begun it: {end.get('problem')}") from None
        if status.state not in ("published", "superseded"):
            causes = [f"{failure.table}: {failure.message}" for failure in status.failed] or [end.get("problem") or ""]
            raise AirflowException(f"run {run} is {status.state}, not published: {'; '.join(causes)}")
        result = {"run": run, "state": status.state, "snapshot_time": _text(status.snapshot_time)}
        if status.state == "superseded":
            self.log.warning("run %s is superseded by %s, which is published", run, status.latest)
            return result | {"manifest": "", "tables": 0, "rows": 0, "bytes": 0}
        listing = backup.ls(run)
        for table in listing.tables:
            extra = {"run": run, "snapshot_time": _text(table.snapshot_time), "rows": table.rows, "bytes": table.bytes}
            context["outlet_events"][EXPORTED].add(exported_table(table.table, self.settings), extra=extra)
        manifest = f"{documents}/{'project' if listing.datasets else 'manifest'}.json"
        numbers = {"tables": len(listing.tables), "rows": listing.rows, "bytes": listing.bytes}
        return result | {"manifest": manifest} | numbers


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
