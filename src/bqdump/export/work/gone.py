"""A table that existed at the snapshot time, and that BigQuery can no longer read as of it: dropped, or created again.

No retry helps, so the failure says it. Whether the run goes without a dropped table is decided by `export.dropped`.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from bqdump.core.documents.run import DROPPED, Failure
from bqdump.core.documents.units import Unit
from bqdump.core.errors import BqdumpError
from bqdump.core.times import rfc3339
from bqdump.export.task import RunningExport
from bqdump.export.work.partition import CHANGED

# The reason of a Failure about a table that was created again after the snapshot time.
RECREATED = "recreated"
WAS_DROPPED = "it was dropped after the snapshot time, and BigQuery can no longer read it"
WAS_RECREATED = "it was dropped and created again at {time}, and BigQuery can no longer read it as of the snapshot time"
# The reasons that BigQuery gives, or that follow from its answers.
MISSING = ("notFound", CHANGED)
UNREADABLE = (*MISSING, "invalid", "invalidQuery")


class _Created(msgspec.Struct):
    at: str = msgspec.field(name="creationTime", default="0")


async def explained(export: RunningExport, unit: Unit, failure: Failure) -> Failure:
    """The failure, with its cause where the table is gone. One or two requests."""
    if failure.reason not in UNREADABLE:
        return failure
    # Where they fail, the failure stays as BigQuery has reported it.
    with suppress(BqdumpError):
        now = await export.warehouse.table(export.source, unit.table)
        if now is None and failure.reason in MISSING:
            # Of a dataset that is gone, too, nothing is known about single tables.
            await export.warehouse.dataset(export.source.project, export.source.name)
            return msgspec.structs.replace(failure, reason=DROPPED, message=WAS_DROPPED)
        if now and unit.read_at == "snapshot":
            created = int(msgspec.json.decode(now.definition, type=_Created).at)
            if created > export.plan.snapshot:
                message = WAS_RECREATED.format(time=rfc3339(created))
                return msgspec.structs.replace(failure, reason=RECREATED, message=message)
    return failure
