"""What a run of one dataset holds, read from its manifest.

What a run of a set holds: the export of each dataset, as one listing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from bqdump.core.documents.manifest import Manifest
from bqdump.core.listing import (
    DATASET,
    LeftOut,
    ListedDataset,
    Listing,
    Patterns,
    listed_names,
    listing_of,
    refuse_unmatched,
)
from bqdump.core.restore.chosen import object_labels
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.patterns import together
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import SetAt, published_set
from bqdump.repository.published import missing_run, read_if_complete, read_manifest, readable_latest


async def list_run(store: ObjectStore, settings: Settings, run: str, patterns: Patterns) -> Listing:
    """What a run (default: the published run) holds. Raises NotFoundError, UsageError for a pattern without a match."""
    manifest = await read_manifest(store, settings, run)
    refuse_unmatched(listed_names(manifest), patterns, object_labels(manifest))
    return listing_of(manifest, patterns, replaced=await is_replaced(store, settings, manifest))


async def is_replaced(store: ObjectStore, settings: Settings, manifest: Manifest) -> bool:
    """Whether a later run has replaced the files of this one."""
    if not manifest.replaces:
        return False
    latest = await readable_latest(store, settings)
    return latest is not None and latest.run != manifest.run


ALL = "*"
WORST: tuple[Literal["partial", "complete"], ...] = ("partial", "complete")


async def list_set(at: SetAt, run: str, patterns: Patterns) -> Listing:
    """What a run of a set (default: what is published) holds. Tables have their dataset's name.

    Raises NotFoundError without a set, and for a run of no dataset; UsageError for patterns that match nothing.
    """
    manifests: dict[str, Manifest] = {}
    replaced: dict[str, bool] = {}
    missing: list[ListedDataset] = []
    project = await published_set(at)
    published = {dataset.dataset: dataset for dataset in project.datasets}
    for name in at.names if run else sorted(published):
        store, own, _ = at.export(name)
        chosen = run or published[name].run
        manifest = await read_if_complete(store, own, chosen) if chosen else None
        if manifest:
            manifests[name] = manifest
            replaced[name] = await is_replaced(store, own, manifest)
        elif not run:
            note = published[name].problem or "nothing of it is published"
            missing.append(ListedDataset(dataset=name, run="", note=note))
    skipped = [LeftOut(dataset.dataset, DATASET, dataset.reason) for dataset in (() if run else project.skipped)]
    if not manifests:
        raise missing_run(run or project.run, at.settings)
    names = sorted({name for contents in manifests.values() for name in listed_names(contents)})
    refuse_unmatched(names, patterns, together(map(object_labels, manifests.values())))
    listings = {
        name: listing_of(contents, patterns, replaced=replaced[name]) for name, contents in sorted(manifests.items())
    }
    whole = _joined(run or project.run, listings, missing)
    return replace(whole, left_out=(*whole.left_out, *skipped))


def _joined(run: str, listings: dict[str, Listing], missing: Sequence[ListedDataset]) -> Listing:
    every = list(listings.values())
    locations = {listing.location for listing in every}
    tables = [
        replace(item, table=f"{name}.{item.table}") for name, listing in listings.items() for item in listing.tables
    ]
    datasets = [*(_dataset(name, listing, run) for name, listing in listings.items()), *missing]
    return Listing(
        run=run,
        state=next(state for state in WORST if any(listing.state == state for listing in every)),
        snapshot_time=min(listing.snapshot_time for listing in every),
        project=every[0].project,
        dataset=ALL,
        location=locations.pop() if len(locations) == 1 else "",
        tables=tuple(tables),
        objects=tuple(
            replace(item, name=item.name if item.table else f"{name}.{item.name}", table=_in(name, item.table))
            for name, listing in listings.items()
            for item in listing.objects
        ),
        left_out=tuple(
            replace(item, name=f"{name}.{item.name}") for name, listing in listings.items() for item in listing.left_out
        ),
        rows=sum(listing.rows for listing in every),
        bytes=sum(listing.bytes for listing in every),
        replaced=all(listing.replaced for listing in every),
        datasets=tuple(sorted(datasets, key=lambda dataset: dataset.dataset)),
    )


def _in(dataset: str, table: str) -> str:
    return f"{dataset}.{table}" if table else ""


def _dataset(name: str, listing: Listing, run: str) -> ListedDataset:
    return ListedDataset(
        dataset=name,
        run=listing.run,
        location=listing.location,
        snapshot_time=listing.snapshot_time,
        tables=len(listing.tables),
        objects=len(listing.objects),
        rows=listing.rows,
        bytes=listing.bytes,
        note="" if listing.run == run else f"its published run, as it has no export of run {run}",
    )
