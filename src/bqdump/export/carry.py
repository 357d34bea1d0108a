"""What an export takes over from earlier ones: compared while planning, and again while publishing.

Between the two another run may publish tables that are not in the plan. These are carried over.

Tables that were dropped while their run was at work: it goes without them as if they had been dropped before.

They are removed from the published export by name. As while planning, the run is refused where more than half of the
published tables would go, unless that is allowed; then they are failed tables like others.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document, Mode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import DROPPED, Failure, Plan
from bqdump.core.documents.target import Latest
from bqdump.core.documents.unchanged import RemovalReason, Removed
from bqdump.core.errors import UnavailableError, UsageError, VerificationError
from bqdump.core.plan.carryover import Carryover, ReusedEntries, carryover_of, reused_entries
from bqdump.core.plan.readings import Published
from bqdump.core.plan.removal import is_mass, removal_sentence
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.export.task import RunningExport, StoredManifest
from bqdump.pool.units import UnitLedger, give_up
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore
from bqdump.repository.objects import differs, present
from bqdump.repository.published import read_base
from bqdump.repository.repository import read, value_of
from bqdump.repository.storage import read_erasing

log = logging.getLogger(__name__)
NAMED = 10

FILES: dict[Mode, str] = {
    "replace": "replaces files (no {run} in {setting:path})",
    "keep": "keeps its files in a folder of its own ({run} in {setting:path})",
}


async def read_published(store: ObjectStore, settings: Settings) -> Published | None:
    """The tables of the published export, None if nothing was published or its manifest was deleted."""
    latest = await read_base(store, settings)
    manifest = await _manifest(store, latest) if latest else None
    return decode(manifest.data, Published, manifest.name) if manifest else None


async def read_over(store: ObjectStore, settings: Settings) -> tuple[Published | None, StoredManifest | None]:
    """The same for a run that is planned, and whose note as a planner is stored; and the manifest as it was read.

    Raises UnavailableError while a table is erased: either the erasure finds that note, or the run finds the erasure.
    """
    latest = await read_base(store, settings)
    if latest and (erasing := await read_erasing(store, settings.layout)):
        from bqdump.core.retention.erased import finishing, underway

        hint = f"Finish it: {finishing(erasing, latest.dataset)}"
        raise UnavailableError("plan", "the run", underway(erasing), hint)
    manifest = await _manifest(store, latest) if latest else None
    return decode(manifest.data, Published, manifest.name) if manifest else None, manifest


async def carry_over(
    export: RunningExport, latest: Latest | None, tables: Collection[str], dropped: Collection[str] = ()
) -> Carryover:
    """What the manifest of this run takes over from earlier exports.

    latest: the published run.
    tables: those that it exports.
    dropped: those that it removes, in addition to those that planning has found.

    Raises UsageError where files cannot be carried over, because only one of the two runs keeps a folder for each run,
    and VerificationError where another run has replaced the files of a table that the plan reuses.
    """
    plan = export.plan
    named = {table.table for table in plan.reused}
    carry = await _stays(export, latest, named.union(tables), dropped)
    if not plan.all_reused:
        return carry
    entries = await _reused_entries(export, latest)
    return carry._replace(reused=entries.tables, partitions=entries.partitions)


async def _stays(
    export: RunningExport, latest: Latest | None, tables: Collection[str], dropped: Collection[str]
) -> Carryover:
    """What stays of the published export without a reading of it. tables: all others of this run."""
    if latest is None or latest.age >= export.plan.age or not export.same_dataset(latest):
        return Carryover()
    leaving = dropped or export.plan.removed
    if latest.run == export.plan.over and not (leaving or export.plan.kept or export.settings.keep_others):
        # According to the plan, everything in it is either exported again or unchanged.
        return Carryover(latest.run)
    manifest = await _manifest(export.store, latest)
    if manifest is None:
        return Carryover(latest.run)
    published = decode(manifest.data, Published, manifest.name)
    reasons: dict[str, RemovalReason] = {table.table: table.reason for table in export.plan.removed}
    reasons |= dict.fromkeys(dropped, "dropped")
    gone = published.without(tables)
    removed = tuple(published.removed(entry, reasons[name]) for name, entry in sorted(gone.items()) if name in reasons)
    if dropped:
        _refuse_mass(export, published, removed)
    kept = sorted(gone.keys() - reasons.keys())
    refuse_other_mode(published, export.plan, kept)
    if kept and export.task.signer:
        await _refuse_unsigned(export, export.task.signer, latest.run, kept)
    for name in sorted(set(kept).difference(export.plan.kept)):
        message = "%s is carried over from run %s, which was published after this run was planned"
        log.warning(message, name, latest.run, extra=LogEvent.TABLE_CARRIED_OVER.extra(table=name))
    decided = {*tables, *reasons}
    return carryover_of(decode(manifest.data, Manifest, manifest.name), export.plan, decided, kept, removed)


async def _refuse_unsigned(export: RunningExport, signer: Signer, run: str, kept: Sequence[str]) -> None:
    """Raise UsageError where the files of these tables would be signed, although the run that has them is not."""
    from bqdump.repository.signatures import is_signed

    if not await is_signed(export.store, export.settings.target, export.settings.layout.run(run), signer):
        cause = f"{counted(len(kept), 'table')} would be carried over from run {run}, which is not signed with this key"
        raise UsageError("sign", f"run {export.plan.run}", cause, "Export all tables once.")


def _refuse_mass(export: RunningExport, published: Published, removed: Sequence[Removed]) -> None:
    """Raise UsageError where most of a run would go that was published since the dropped tables were given up."""
    if is_mass(removed, published) and Risk.REMOVED_TABLES not in export.settings.allow:
        cause = (
            f"it does not have {counted(len(removed), 'table')} of run {published.run}, more than half, as tables were "
            "dropped meanwhile"
        )
        hint = f"Start a new run. To publish without them: {{setting:allow={Risk.REMOVED_TABLES}}}."
        raise UsageError("publish", f"run {export.plan.run}", cause, hint)


async def _reused_entries(export: RunningExport, latest: Latest | None) -> ReusedEntries:
    """The entries of what the plan has found unchanged. Raises VerificationError if something has none."""
    plan = export.plan
    base = await value_of(export.store, export.settings.layout.run(plan.over).manifest)
    if base is None:
        raise _lost(plan, [table.table for table in plan.all_reused], f"the manifest of run {plan.over} is gone")
    # With files kept, those of the other run are where they were.
    replaced = latest and latest.replaces and latest.run != plan.over
    since = await value_of(export.store, Document(latest.manifest, Manifest)) if latest and replaced else None
    entries = reused_entries(plan, base, since)
    if entries.lost:
        by = f"run {latest.run}" if latest and since else f"the manifest of run {plan.over}"
        raise _lost(plan, entries.lost, f"{by} has other files of them, or none")
    return entries


def _lost(plan: Plan, tables: Sequence[str], why: str) -> VerificationError:
    subject = f"{counted(len(tables), 'unchanged table')} of run {plan.run}"
    cause = f"{why} ({named(tables, NAMED)})"
    return VerificationError("name again", subject, cause, "Nothing was published. Start a new run.")


def refuse_other_mode(published: Published, plan: Plan, kept: Collection[str]) -> None:
    """Raise UsageError where tables would be carried over between a run that replaces files and one that keeps them.

    The next run would delete files that the other one still lists.
    """
    if kept and published.replaces != plan.replaces:
        tables = f"{counted(len(kept), 'table')} of run {published.run}"
        cause = f"that run {FILES[published.mode]}, and run {plan.run} {FILES[plan.mode]}"
        raise UsageError("carry over", tables, cause, "Export all tables once.")


async def check_carried(export: RunningExport, carry: Carryover) -> None:
    """Raise VerificationError unless every file of these tables exists as its manifest records."""
    infos = await present(export.store, [file.name for _, files in carry.exported for file in files])
    for of, files in carry.exported:
        for file in files:
            if state := differs(file, infos.get(file.name)):
                run = of.run if of else carry.over
                cause = f"it {state} since run {run} exported it"
                hint = "Start a new run, which exports its table anew."
                raise VerificationError("carry over", file.name, cause, hint)


async def _manifest(store: ObjectStore, latest: Latest) -> StoredManifest | None:
    stored = await read(store, Document(latest.manifest, Manifest))
    if stored is None:
        message = "the manifest of the published run %s is missing, so tables that leave the export cannot be named"
        log.warning(message, latest.run, extra=LogEvent.MANIFEST_MISSING.extra())
    return StoredManifest(latest.manifest, stored.generation, stored.data) if stored else None


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
    """The failures, without those of dropped tables that the run leaves out."""
    return [
        msgspec.structs.replace(failure, reason=NOT_FOUND) if failure.reason == DROPPED else failure
        for failure in failed
    ]


async def _may_go(export: RunningExport, dropped: Collection[str]) -> bool:
    """Whether the export may lose these tables; those of the published export are logged then."""
    published = await read_published(export.store, export.settings)
    if published is None:
        return True
    tables = published.without(())
    removed = {table.table: table for table in export.plan.removed}
    removed |= {name: published.removed(tables[name], "dropped") for name in dropped if name in tables}
    if is_mass(removed.values(), published) and Risk.REMOVED_TABLES not in export.settings.allow:
        return False
    for name in sorted(removed.keys() & set(dropped)):
        named = LogEvent.TABLE_REMOVED.extra(table=name)
        log.warning("%s", removal_sentence(removed[name]), extra=named)
    return True
