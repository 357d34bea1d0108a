"""Which datasets of a project a set has.

Datasets of the last set that the next one does not have: named, and refused unless allowed, like tables.

Their exports stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from bqdump.core.documents.sets import LeavingReason, RemovedDataset, SetManifest, SkippedDataset
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import NAME
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import ListedDataset, labels_of
from bqdump.core.tables.patterns import is_label, label_hint, matching, select
from bqdump.core.wording import close_name

NAMED = 10
# Kinds of datasets whose tables are elsewhere: Spanner, AWS Glue, …
EXTERNAL = "EXTERNAL"


class Chosen(msgspec.Struct, frozen=True):
    """The datasets of a set, sorted by name, and those that its patterns match and that are not exported."""

    datasets: tuple[ListedDataset, ...]
    skipped: tuple[SkippedDataset, ...] = ()


def names_of(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names and the patterns of the setting `dataset`."""
    items = settings.dataset.split(",")
    plain = tuple(item for item in items if NAME.fullmatch(item))
    return plain, tuple(item for item in items if item not in plain)


def choose_datasets(listing: Sequence[ListedDataset], settings: Settings) -> Chosen:
    """The datasets that the settings name. Case matters, as in BigQuery; patterns match no hidden datasets (`_…`).

    Raises UsageError for a name or pattern that matches nothing, if nothing is left, and for several locations where
    the target is a bucket.
    """
    names, patterns = names_of(settings)
    known = {dataset.name: dataset for dataset in listing}
    visible = [name for name in known if not name.startswith("_")]
    labels, excluded = labels_of(listing), settings.exclude_datasets
    for name in names:
        if name not in known:
            cause = f"there is no dataset of this name in project {settings.project}, or it may not be seen"
            raise UsageError(PLAN, name, cause, _guess(name, list(known)), setting="dataset")
    for pattern in patterns:
        if not matching(pattern, visible, labels):
            cause = f"matches no dataset of project {settings.project}"
            hint = label_hint(pattern, labels) if is_label(pattern) else _guess(pattern, visible)
            raise UsageError(PLAN, repr(pattern), cause, hint, setting="dataset")
    matched = {name for pattern in patterns for name in matching(pattern, visible, labels)}
    candidates = sorted(matched.union(names))
    for name, kept in zip(names, select(names, (), excluded, labels), strict=True):
        if not kept:
            cause = f"it leaves out {name}, which {{setting:dataset}} names"
            raise UsageError(PLAN, "", cause, "Remove one of the two.", setting="exclude_datasets")
    left = [name for name, kept in zip(candidates, select(candidates, (), excluded, labels), strict=True) if kept]
    elsewhere = [name for name in left if settings.location and not _is_in(known[name], settings.location)]
    for name in elsewhere:
        if name in names:
            cause = f"{name} is in {known[name].location}"
            hint = "Remove the setting to accept any location."
            raise UsageError(PLAN, settings.location, cause, hint, setting="location")
    skipped = [SkippedDataset(name, f"it is in {known[name].location}") for name in elsewhere]
    external = [name for name in left if known[name].kind == EXTERNAL and name not in elsewhere]
    skipped += [SkippedDataset(name, "an external dataset: its tables are not in BigQuery") for name in external]
    outside = {dataset.dataset for dataset in skipped}
    chosen = tuple(known[name] for name in left if name not in outside)
    if not chosen:
        cause = f"no dataset of project {settings.project} is left to export"
        hint = "{setting:exclude_datasets} leaves out all of them."
        if elsewhere:
            hint = f"{elsewhere[0]} is in {known[elsewhere[0]].location}, not in {settings.location}."
        raise UsageError(PLAN, settings.dataset, cause, hint)
    _refuse_locations(chosen, settings)
    return Chosen(chosen, tuple(skipped))


def _is_in(dataset: ListedDataset, location: str) -> bool:
    return dataset.location.lower() == location.lower()


def new_by_pattern(names: Collection[str], exported: Collection[str], settings: Settings) -> str:
    """A sentence about datasets that no run has exported and only a pattern chooses; "" where there are none.

    Among them may be what a restore has created next to the others.
    """
    new = sorted({*names}.difference(exported, names_of(settings)[0]))
    made = "it" if len(new) == 1 else "one of them"
    hint = f"If a restore has created {made}, leave it out with {{setting:exclude_datasets}}."
    return f"New in this set: {named(new, NAMED)}. {hint}" if new else ""


def _refuse_locations(chosen: Sequence[ListedDataset], settings: Settings) -> None:
    """Raise UsageError for datasets in several locations, since a bucket is in one."""
    locations = sorted(locations_of(chosen).values())
    if len(locations) < 2 or not settings.target.bucket:
        return
    about = "; ".join(f"{location}: {_some(chosen, location)}" for location in locations)
    cause = f"the datasets are in {counted(len(locations), 'location')} ({about}), and a bucket is in one"
    hint = f"Run a job for each location, with a bucket there, such as with {{setting:location={locations[0]}}}."
    raise UsageError(PLAN, f"project {settings.project}", cause, hint, setting="location")


def _some(chosen: Sequence[ListedDataset], location: str) -> str:
    return named([dataset.name for dataset in chosen if _is_in(dataset, location)], NAMED)


def _guess(name: str, known: Sequence[str]) -> str:
    if close := close_name(re.sub("[*?]", "", name), known):
        return f"Did you mean {close}?"
    return f"Its datasets: {named(sorted(known), NAMED)}." if known else "It has no datasets."


def locations_of(datasets: Sequence[ListedDataset]) -> Mapping[str, str]:
    """The locations of these datasets, each once, by the name in lower case."""
    return {dataset.location.lower(): dataset.location for dataset in datasets}


WHY: dict[LeavingReason, str] = {
    "excluded": "no longer chosen",
    "dropped": "not in the project any more, or not visible to this account",
    "skipped": "not exported any more",
}


def leaving_datasets(
    before: SetManifest | None, chosen: Collection[str], listed: Collection[str], skipped: Collection[str]
) -> tuple[RemovedDataset, ...]:
    """The datasets of the last set that the next one does not have. listed: what the project has."""

    def gone() -> Iterator[RemovedDataset]:
        for entry in before.datasets if before else ():
            if entry.dataset not in chosen:
                reason: LeavingReason = "dropped" if entry.dataset not in listed else "excluded"
                reason = "skipped" if entry.dataset in skipped else reason
                yield RemovedDataset(entry.dataset, reason, entry.run, entry.snapshot_time)

    return tuple(gone())


def refuse_leaving(removed: Sequence[RemovedDataset], before: SetManifest | None, settings: Settings) -> None:
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
    raise UsageError(PLAN, f"project {settings.project}", f"{cause}: {datasets}", hint)


def removal_sentence(removed: RemovedDataset) -> str:
    """The removal in words."""
    export = f"its export (run {removed.run}, as of {removed.snapshot_time}) stays" if removed.run else "it has none"
    return f"dataset {removed.dataset} is not in this set ({WHY[removed.reason]}); {export}"
