"""Exporting, as functions of the Python API."""

from __future__ import annotations

import secrets
from typing import Unpack

from bqdump import verbs
from bqdump.api.arguments import Options
from bqdump.api.calls import finish, settings_of
from bqdump.api.signatures import with_settings
from bqdump.core.documents.run import Owner
from bqdump.core.errors import UsageError
from bqdump.core.plan.summary import Planned
from bqdump.core.progress.export import Export
from bqdump.core.retention.policy import refuse_idle, refuse_short
from bqdump.core.settings.settings import REQUIRED
from bqdump.core.settings.task_identity import Identity
from bqdump.services.opened import opened, serve
from bqdump.services.place import run_id


@with_settings()
def run(*, task: int = 0, tasks: int = 1, yes: bool = False, **options: Unpack[Options]) -> Export:
    """Export the dataset, alone or as task `task` (from 0) of `tasks` that share a `run_id`.

    yes: prune even if the rules keep less than a day of runs.
    Raises TablesFailedError if tables failed and `allow_partial` is not set. Nothing is published then; the same
    `run_id` resumes the run.
    """
    settings = settings_of(options, REQUIRED)
    refuse_idle([name for name, value in options.items() if value is not None], settings)
    refuse_short(settings, yes=yes)
    if not 0 <= task < tasks:
        raise UsageError("run", f"task {task}", f"it is none of {tasks} tasks, which count from 0")
    if tasks > 1 and not settings.run_id:
        raise UsageError("run", f"task {task} of {tasks}", "tasks of one run need one name", "Pass the same run_id.")
    name = run_id(settings, Identity("", task, tasks, 0, ""))
    # Tasks of one run are one execution, where a restarted task is the same one; a call alone is always a new one.
    owner = Owner(name if tasks > 1 else f"{name}-{secrets.token_hex(4)}", task)

    async def export() -> Export:
        async with opened(settings, tasks, patient=True) as services:
            return await (await verbs.run(services, settings, name, owner, tasks)).export()

    return finish(export())


@with_settings()
def plan(*, tasks: int = 1, **options: Unpack[Options]) -> Planned:
    """Show what a run would do, without changing anything. `flags` lists why a run would be refused.

    tasks: the number of tasks to plan for.
    """
    settings = settings_of(options, REQUIRED)
    refuse_idle([name for name, value in options.items() if value is not None], settings)
    return finish(serve(settings, lambda services: verbs.plan(services, settings, settings.run_id or "RUN", tasks)))
