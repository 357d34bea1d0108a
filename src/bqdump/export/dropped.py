"""Tables that were dropped while their run was at work: it goes without them as if they had been dropped before.

They are removed from the published export by name. As while planning, the run is refused where more than half of the
published tables would go, unless that is allowed; then they are failed tables like others.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import msgspec

from bqdump.core.documents.run import DROPPED, Failure
from bqdump.core.plan.removal import is_mass, removal_sentence
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.export.carry import read_published
from bqdump.export.task import RunningExport
from bqdump.repository.units import UnitLedger, give_up

log = logging.getLogger(__name__)
# Of a table that counts as failed although it was dropped.
NOT_FOUND = "notFound"


async def go_without_dropped(export: RunningExport, units: UnitLedger) -> UnitLedger:
    """Give up the dropped tables, if the run may go without them; returns the ledger after that."""
    failed = units.failed(export.owner.execution)
    tables = {
        failure.table: failure for failure in failed if failure.reason == DROPPED and failure.table not in units.dropped
    }
    if not tables or not await _may_go(export, tables.keys() | units.dropped):
        return units
    # If one part of a table was dropped, all of it was.
    gone = [msgspec.structs.replace(failure, reason=DROPPED, message=tables[failure.table].message)
            for failure in failed if failure.table in tables]  # fmt: skip
    return await give_up(export.store, export.layout, export.plan, gone)


def as_failed(failed: Sequence[Failure]) -> list[Failure]:
    """The failures, of which none is about a table that the run goes without as a dropped one."""
    return [
        msgspec.structs.replace(failure, reason=NOT_FOUND) if failure.reason == DROPPED else failure
        for failure in failed
    ]


async def _may_go(export: RunningExport, dropped: Collection[str]) -> bool:
    """Whether the export may lose these tables; those of the published export are logged then."""
    published = await read_published(export.store, export.settings)
    if published is None:
        return True
    had = published.without(())
    removed = {table.table: table for table in export.plan.removed}
    removed |= {name: published.removed(had[name], "dropped") for name in dropped if name in had}
    if is_mass(removed.values(), published) and Risk.REMOVED_TABLES not in export.settings.allow:
        return False
    for name in sorted(removed.keys() & set(dropped)):
        named = LogEvent.TABLE_REMOVED.extra(table=name)
        log.warning("%s", removal_sentence(removed[name]), extra=named)
    return True
