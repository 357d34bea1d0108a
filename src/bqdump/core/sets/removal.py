"""Datasets of the last set that the next one does not have: named, and refused unless allowed, like tables.

Their exports stay where they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bqdump.core.documents.project import LeavingReason, Project, RemovedDataset
from bqdump.core.errors import UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named

WHY: dict[LeavingReason, str] = {
    "excluded": "not named by {setting:dataset} any more",
    "dropped": "not in the project any more, or not visible to this account",
    "skipped": "not exported any more",
}
NAMED = 10


def leaving_datasets(
    before: Project | None, chosen: Collection[str], listed: Collection[str], skipped: Collection[str]
) -> tuple[RemovedDataset, ...]:
    """The datasets of the last set that the next one does not have. listed: what the project has."""

    def gone() -> Iterator[RemovedDataset]:
        for entry in before.datasets if before else ():
            if entry.dataset not in chosen:
                reason: LeavingReason = "dropped" if entry.dataset not in listed else "excluded"
                reason = "skipped" if entry.dataset in skipped else reason
                yield RemovedDataset(entry.dataset, reason, entry.run, entry.snapshot_time)

    return tuple(gone())


def refuse_leaving(removed: Sequence[RemovedDataset], before: Project | None, settings: Settings) -> None:
    """Raise UsageError where datasets were left out, or more than half of them are gone, unless that is allowed."""
    if Risk.REMOVED_TABLES in settings.allow or not before:
        return
    mass = 2 * sum(dataset.reason != "excluded" for dataset in removed) > len(before.datasets)
    refused = [dataset for dataset in removed if mass or dataset.reason == "excluded"]
    if not refused:
        return
    datasets = named([f"{dataset.dataset} ({WHY[dataset.reason]})" for dataset in refused], NAMED)
    cause = f"{counted(len(refused), 'dataset')} of the last set would be missing"
    hint = (
        "If they were dropped by mistake, restore them first. To export another selection separately, give it a "
        f"{{setting:prefix}} of its own. To go on without them: {{setting:allow={Risk.REMOVED_TABLES}}}; their exports "
        "stay where they are."
    )
    raise UsageError("plan the export", f"project {settings.project}", f"{cause}: {datasets}", hint)


def removal_sentence(removed: RemovedDataset) -> str:
    """The removal in words."""
    export = f"its export (run {removed.run}, as of {removed.snapshot_time}) stays" if removed.run else "it has none"
    return f"dataset {removed.dataset} is not in this set ({WHY[removed.reason]}); {export}"
