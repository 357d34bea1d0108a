"""From a manifest to the plan of a restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest, TableEntry, settings_of, snapshot_of
from bqdump.core.plan.catalog import Dataset
from bqdump.core.restore.columns import restored_columns
from bqdump.core.restore.dataset import dataset_requests, has_access_entries
from bqdump.core.restore.definition import requests
from bqdump.core.restore.loading import loading, unloadable
from bqdump.core.restore.partitions import partitioning_of
from bqdump.core.restore.plan import NotRestored, Options, RestorePlan, TableStep, TargetState
from bqdump.core.restore.selection import Occupied, Wanted, chosen_by, occupied

TABLE = "TABLE"


def restore_plan(manifest: Manifest, options: Options, target: TargetState | None, now: int) -> RestorePlan:
    """The plan of a restore. target: what is there, None if the dataset does not exist. now: ms since 1970 UTC.

    Raises UsageError for patterns that match nothing, and where something in the target is in the way.
    """
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    into = Dataset(options.project, options.dataset, target.location if target else manifest.location)
    chosen = chosen_by(options, manifest)
    entries, lost = _tables(manifest, chosen)
    found = occupied([Wanted(entry.table, TABLE) for entry in entries], options, into, target)
    tables = [step for entry in entries if (step := _table_step(manifest, entry, found, into, target, now))]
    create, finish = dataset_requests(manifest.definitions.dataset, manifest.location)
    return RestorePlan(
        run=manifest.run,
        source=source,
        target=into,
        create_dataset=NOTHING if target else create,
        finish_dataset=NOTHING if target else finish,
        tables=tuple(tables),
        objects=(),
        policies=(),
        not_restored=(*lost, *_not_exported(manifest, chosen), *_of_the_dataset(manifest, target)),
        kept=found.kept,
        excluded=sum(not is_chosen for is_chosen in chosen.values()),
    )


def _tables(manifest: Manifest, chosen: Mapping[str, bool]) -> tuple[list[TableEntry], list[NotRestored]]:
    """The entries that are restored as tables, and those that cannot be."""
    entries, lost = [], []
    for entry in manifest.tables:
        if not chosen[entry.table]:
            continue
        if reason := _obstacle(manifest, entry):
            lost.append(NotRestored(entry.table, entry.kind, reason))
        else:
            entries.append(entry)
    return entries, lost


def _obstacle(manifest: Manifest, entry: TableEntry) -> str:
    """Why a table cannot be restored, or ""."""
    if msgspec.json.decode(entry.definition) is None:
        return "the export has no definition of it: it was deleted while it was exported"
    return unloadable(entry, restored_columns(entry), settings_of(manifest, entry))


def _table_step(
    manifest: Manifest, entry: TableEntry, found: Occupied, into: Dataset, target: TargetState | None, now: int
) -> TableStep | None:
    """The step for a table, None where the table is kept."""
    action = found.action(entry.table, TABLE)
    if action == "keep":
        return None
    restored = restored_columns(entry)
    made = requests(
        entry.definition,
        restored.fields,
        Dataset(manifest.project, manifest.dataset, manifest.location),
        into,
        now,
        expires=bool(target and target.expires),
        replaced=target.tables[entry.table][1] if target and action == "replace" else None,
    )
    kind = KIND_NOTES.get(entry.kind, "")
    partitioning = partitioning_of(made.create, made.expire)
    return TableStep(
        entry=entry,
        action=action,
        create=made.create,
        lasting=made.lasting,
        finish=made.finish,
        relate=made.relate,
        expire=made.expire,
        expired_rows=partitioning.rows_to_expire(into, entry.table) if partitioning else "",
        load=loading(entry, restored, settings_of(manifest, entry), snapshot_of(manifest, entry)),
        as_what="; ".join(filter(None, (kind, *restored.notes, *made.notes))),
    )


KIND_NOTES = {"SNAPSHOT": "a table snapshot, restored as a table"}


def _not_exported(manifest: Manifest, chosen: Mapping[str, bool]) -> Iterator[NotRestored]:
    """What the export does not contain."""
    for skipped in manifest.skipped:
        if chosen[skipped.table]:
            yield NotRestored(skipped.table, skipped.kind, f"not in the export: {skipped.reason}")
    for failure in manifest.failed:
        if chosen[failure.table]:
            yield NotRestored(failure.table, TABLE, f"its export failed: {failure.message}")
    for unread in manifest.definitions.unread:
        yield NotRestored(unread.what, "DEFINITION", f"not in the export: {unread.reason}")


def _of_the_dataset(manifest: Manifest, target: TargetState | None) -> Iterator[NotRestored]:
    """Properties of the dataset that stay as they are."""
    if target is not None:
        reason = "the dataset exists: its properties stay as they are"
        yield NotRestored(manifest.dataset, "DATASET", reason)
    elif has_access_entries(manifest.definitions.dataset):
        reason = "access entries are recorded in the manifest, and not applied"
        yield NotRestored(manifest.dataset, "ACCESS", reason)
