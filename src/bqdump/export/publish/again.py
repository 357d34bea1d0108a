"""A run that was published before this task started: when and by which task, from the documents of its publisher."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.times import rfc3339
from bqdump.export.task import RunningExport
from bqdump.repository.repository import value_of

log = logging.getLogger(__name__)


class Again(NamedTuple):
    """A run that was published before this task started.

    ended: when its last table was done, in milliseconds since 1970 UTC. same: this task's execution published it.
    """

    ended: int
    same: bool


async def report_again(export: RunningExport) -> Again:
    """Report that the run was published before. A restarted task expects that; any other execution exports nothing."""
    ended, publisher = export.plan.began, None
    # What another release or a copied bucket left out here changes no more than the wording.
    with suppress(DocumentError):
        publisher = await value_of(export.store, export.layout.publisher)
        summary = await value_of(export.store, export.settings.layout.summary(export.plan.run))
        ended = summary.ended or ended if summary else ended
    again = Again(ended, publisher is not None and publisher.execution == export.owner.execution)
    if again.same:
        message = "run %s is published already: nothing to do"
        log.info(message, export.plan.run, extra=LogEvent.ALREADY_PUBLISHED.extra())
    else:
        exported, as_of = rfc3339(ended), rfc3339(export.plan.snapshot)
        message = (
            "nothing was exported: run %s was published already (exported at %s, as of %s). "
            "For a new export, omit the run id or use another one"
        )
        log.warning(message, export.plan.run, exported, as_of, extra=LogEvent.NOTHING_EXPORTED.extra())
    return again
