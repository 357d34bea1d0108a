"""The second look of the read route: row access policies that planning could not see, because they came later."""

from __future__ import annotations

import msgspec

from bqdump.core.catalog import Dataset
from bqdump.core.documents import Danger, Failure, Plan, Receipt, Unit
from bqdump.core.guards import POLICED, objection
from bqdump.flow.task import Task


async def look_again(task: Task, plan: Plan, unit: Unit, receipt: Receipt) -> Receipt | Failure:
    """The receipt with the dangers that are found once everything has been read, or a Failure for one not allowed.

    A job's statistics tell whether row access policies applied to it; a read session tells nothing, so BigQuery is
    asked once more: one request, none where the plan names the danger already. Asked when the last row has arrived,
    it finds every policy that was there at any moment of the reading and has not been dropped since. Two things stand
    behind that for one dropped meanwhile: BigQuery refuses to read through this API for whoever may not see every
    row, and refuses an earlier moment of a table that has, or has had, policies to all but its administrators.
    Sources: https://cloud.google.com/bigquery/docs/using-row-level-security-with-features
    """
    dangers = await _dangers(task, plan, unit)
    if lost := objection(dangers, task.settings, "since it was planned,"):
        return Failure(unit.id, unit.table, receipt.job, receipt.attempt, lost[0].value, lost[1], task.owner)
    return msgspec.structs.replace(receipt, dangers=dangers)


async def _dangers(task: Task, plan: Plan, unit: Unit) -> tuple[Danger, ...]:
    planned = {flag.danger for flag in plan.flags if flag.table in (unit.table, "")}
    if Danger.ROW_POLICIES in planned:
        return (Danger.ROW_POLICIES,)
    if Danger.UNSEEN_ROW_POLICIES in planned or unit.kind not in POLICED:
        return ()
    names = await task.warehouse.row_policies(Dataset(plan.project, plan.dataset, plan.location), unit.table)
    if names is None:
        return (Danger.UNSEEN_ROW_POLICIES,)
    return (Danger.ROW_POLICIES,) if names else ()
