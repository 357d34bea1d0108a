"""The pool of a run of several datasets: each dataset is planned by one task, and all tasks export it.

Nobody claims a dataset, as all tasks share its units. It has ended once it is published, or a later run is.
"""

from __future__ import annotations

from collections.abc import Mapping

from bqdump.core.documents.codec import decode
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import DatasetFailure, DatasetPlanned, Ended, SetLayout, SetManifest, SetPlan
from bqdump.core.settings.settings import Settings
from bqdump.pool.pool import Ledger, ledger_of
from bqdump.ports.store import ObjectStore
from bqdump.repository.set_runs import NOT_EXPORTED, ended_as, locked_run


class SetProgress(Ledger[int, Ended, DatasetFailure], frozen=True):
    """The datasets of a set's run, by their numbers. receipts: how they have ended."""

    planned: Mapping[int, DatasetPlanned]

    def failed(self, execution: str) -> dict[int, DatasetFailure]:
        """What has failed in this execution, and not ended meanwhile."""
        failed = {
            number: self.last_failure(number, execution) for number in self.failures if not self.has_ended(number)
        }
        return {number: failure for number, failure in failed.items() if failure}

    def settled(self, plan: SetPlan, execution: str) -> bool:
        """Whether every dataset has ended, or failed in this execution."""
        return not any(self.is_open(number, execution) for number in range(len(plan.datasets)))


async def read_set_progress(store: ObjectStore, layout: SetLayout) -> SetProgress:
    """The current notes of a set's run: one listing."""
    every = [note async for page in store.notes(layout.root) for note in page]
    planned = [decode(note.data, DatasetPlanned, note.name) for note in every if note.name.startswith(layout.plans)]
    ledger = ledger_of(layout, every)
    return SetProgress(ledger.receipts, ledger.failures, {}, {plan.number: plan for plan in planned})


async def set_progress(store: ObjectStore, settings: Settings, published: SetManifest | None, run: str) -> SetProgress:
    """The notes of a run of the set; where objects are locked, what its manifest says.

    published: the set that is published.
    """
    if published is None or not published.locked:
        return await read_set_progress(store, settings.layout.set_run(run))
    manifest = await locked_run(store, settings, published, run)
    return progress_in(manifest) if manifest else SetProgress({}, {}, {}, {})


def progress_in(manifest: SetManifest) -> SetProgress:
    """How the datasets of a run have ended, as its manifest says."""
    entries, owner = list(enumerate(manifest.datasets)), Owner(manifest.run, 0)
    failed = {
        number: [DatasetFailure(number, entry.problem or NOT_EXPORTED, owner)]
        for number, entry in entries
        if entry.state == "failed"
    }
    ended = {number: ended_as(number, entry, manifest.snapshot) for number, entry in entries if number not in failed}
    return SetProgress(ended, failed, {}, {})
