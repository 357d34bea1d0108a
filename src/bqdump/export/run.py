"""One task of an export, from the settings to the published manifest.

What plans and what exports is imported when it is needed, so that a task's first request does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bqdump.core.documents.run import Plan
from bqdump.core.settings.resolve import refuse_other_settings
from bqdump.export.task import Obtained, Task
from bqdump.repository.pruned_runs import refuse_pruned_id
from bqdump.repository.repository import value_of

if TYPE_CHECKING:
    from bqdump.export.act import TaskResult


async def run(task: Task) -> TaskResult:
    """Do this task's part of the run, and publish when everything is done.

    Raises TablesFailedError when tables have failed and a partial export is not allowed, and what the steps raise.
    """
    obtained = await obtain(task)
    from bqdump.export.act import act

    return await act(task, obtained)


async def obtain_plan(task: Task) -> Plan:
    """The plan of this run: read where there is one, else made by this task or by the one that was first.

    Raises UsageError when the run was planned with other settings, or the dataset cannot be exported as configured.
    """
    return (await obtain(task)).plan


async def obtain(task: Task) -> Obtained:
    """The plan, and what this process need not read again."""
    # A listing shows whether the run is new. Only task 0 looks; the others expect a plan.
    new = task.owner.task == 0 and not await _has_documents(task)
    plan = None if new else await value_of(task.store, task.layout.plan)
    # Imported now that the first request has been answered.
    from bqdump.repository.prefix_owner import claim_prefix

    if plan:
        # Of an old run, a prune that was killed may have deleted some files and not yet all.
        await refuse_pruned_id(task.store, task.settings.layout, task.run)
        obtained = Obtained(plan)
    else:
        from bqdump.export.planning.obtain import make_or_await

        obtained = await make_or_await(task)
    await claim_prefix(task.store, task.settings, task.run)
    refuse_other_settings(task.settings, obtained.plan)
    return obtained


async def _has_documents(task: Task) -> bool:
    """Whether there is any document of this run, such as its plan."""
    async for page in task.store.objects(task.layout.root):
        if page:
            return True
    return False
