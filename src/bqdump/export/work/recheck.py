"""The second check of the read route: row access policies and masked columns that came after planning."""

from __future__ import annotations

import asyncio

import msgspec

from bqdump.core.documents.run import Failure, Receipt
from bqdump.core.documents.units import Unit
from bqdump.core.plan.guards import POLICED, masked_columns, objection
from bqdump.core.risks import Risk
from bqdump.export.task import RunningExport


async def look_again(export: RunningExport, unit: Unit, receipt: Receipt) -> Receipt | Failure:
    """The receipt with the risks that are found once everything has been read, or a Failure for one not allowed.

    A job's statistics report whether row access policies or masking applied to it; a read session has no statistics.
    So the table is checked again: two requests, none for risks that the plan already names. Sent after the last row has
    arrived, they find everything that was present during the reading and has not been dropped since. A row access
    policy that was dropped meanwhile is covered in two ways: BigQuery refuses this API to a reader who may not see
    every row, and refuses time travel on a table that has, or has had, policies to all but its administrators.
    Sources: https://cloud.google.com/bigquery/docs/using-row-level-security-with-features
    """
    risks = await _risks(export, unit)
    if lost := objection(risks, export.settings, "since it was planned:"):
        return Failure(unit.id, unit.table, receipt.job, receipt.attempt, lost[0].value, lost[1], export.owner)
    return msgspec.structs.replace(receipt, risks=risks)


async def _risks(export: RunningExport, unit: Unit) -> tuple[Risk, ...]:
    planned = {flag.risk for flag in export.plan.flags if flag.table in (unit.table, "")}
    rows, columns = await asyncio.gather(_hidden_rows(export, unit, planned), _masked_columns(export, unit, planned))
    return (*rows, *columns)


async def _hidden_rows(export: RunningExport, unit: Unit, planned: set[Risk]) -> tuple[Risk, ...]:
    if Risk.ROW_POLICIES in planned:
        return (Risk.ROW_POLICIES,)
    if Risk.UNSEEN_ROW_POLICIES in planned or unit.kind not in POLICED:
        return ()
    names = await export.warehouse.row_policies(export.source, unit.table)
    if names is None:
        return (Risk.UNSEEN_ROW_POLICIES,)
    return (Risk.ROW_POLICIES,) if names else ()


async def _masked_columns(export: RunningExport, unit: Unit, planned: set[Risk]) -> tuple[Risk, ...]:
    if Risk.MASKED_COLUMNS in planned:
        return (Risk.MASKED_COLUMNS,)
    now = await export.warehouse.table(export.source, unit.table)
    masked = now is not None and masked_columns(msgspec.structs.replace(unit, definition=now.definition))
    return (Risk.MASKED_COLUMNS,) if masked else ()
