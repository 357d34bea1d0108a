"""How safe the datasets of a place are, from its log, the notes on drills, and the documents of restores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec.structs import replace

from bqdump.check.findings import FindingKind
from bqdump.check.verify import compare_files
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.documents.sets import SetPlan
from bqdump.core.documents.target import Drill
from bqdump.core.errors import BqdumpError, DocumentError, NotFoundError, UntrustedError, VerificationError
from bqdump.core.progress.log_events import about
from bqdump.core.recovery import NEWEST, Fixes, Recovery, RecoveryTable, Took, basis_of, broken, expected_seconds
from bqdump.core.restore.drill import Proof
from bqdump.core.restore.objects import RESTORABLE
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import parse_target
from bqdump.core.times import time_of
from bqdump.core.wording import Words, fill, placeholder
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import visible_log
from bqdump.repository.drills import proof_of, read_drills
from bqdump.repository.exports import AT_ONCE, ExportAt, Exports, read_set_plan
from bqdump.repository.log import LogLine, check_manifest, entry_in, log_refused
from bqdump.repository.manifests import read_contents
from bqdump.repository.published import read_manifest
from bqdump.repository.repository import value_of
from bqdump.restoration.listing import FoundRestore, Place, find_newest_done

# Runs that are looked at one by one, the newest first. Of older ones, the notes on drills say what was proven.
LOOKS = 50
# A restore in which nothing was done for so long was interrupted: how long it took says nothing.
IDLE_MS = 600_000
# What hides nothing that a restore needs.
HARMLESS = (FindingKind.EXTRA, FindingKind.LOCK, FindingKind.HIDDEN)


async def recoveries(exports: Exports, now: int, words: Words) -> list[Recovery]:
    """How safe each dataset is. Of a set, those that the published set has.

    now: in ms since 1970 UTC. words: of the commands that fix what is broken.
    """
    each, of_set = list(exports.each), list[SetPlan]()
    if at := exports.set_at:
        if published := await at.manifest():
            each = [at.export(dataset.dataset) for dataset in published.datasets]
        with suppress(DocumentError, VerificationError, NotFoundError):
            of_set = [await read_set_plan(at, published.run if published else "")]
    given = at.settings if at else each[0].settings

    async def recovery(export: ExportAt) -> Recovery:
        with about(export.dataset):
            found, origin = await _recovery(export, now)
            if at:
                # A set is copied as one.
                origin = origin._replace(source=origin.source.removesuffix(f"{export.dataset}/"))
            fixes = _fixes(origin._replace(settings=of_set[0].settings) if of_set else origin, given)
            missed = list(broken(found, given.rpo, given.rto, fixes))
            return replace(
                found,
                broken=tuple(fill(sentence, words) for _, sentence in missed),
                broken_objectives=tuple(objective for objective, _ in missed),
            )

    return await gathered(recovery, each, AT_ONCE)


class _Origin(NamedTuple):
    """Where the newest run whose manifest can be read came from: its settings and project, and what it is a copy of.

    untrusted: why the newest run that was passed over is not trusted.
    """

    settings: Mapping[str, Any] | None = None
    project: str = ""
    source: str = ""
    untrusted: UntrustedError | None = None


class _Run(NamedTuple):
    """A run that can be read, and what drills have proven of it. whole: every table."""

    contents: Contents
    proof: Proof

    @property
    def whole(self) -> bool:
        return len(self.proof.tables) >= self.proof.restorable.of


async def _recovery(export: ExportAt, now: int) -> tuple[Recovery, _Origin]:
    """How safe a dataset is, apart from objectives."""
    store, settings, dataset = export
    drills = await read_drills(store, settings.layout)
    runs, origin = await _readable_runs(export, await visible_log(store, settings), drills)
    took = [*_drills_took(drills), *await restores_took(export)]
    found = Recovery(dataset=dataset or settings.dataset, basis=basis_of(took))
    latest = runs[0] if runs else None
    if latest:
        found = await _with_published(found, latest, store, settings, now)
        loaded = [line for line in latest.contents.tables if line.kind not in RESTORABLE]
        size, rows = sum(line.size for line in loaded), sum(line.rows for line in loaded)
        found = replace(found, restore_seconds=expected_seconds(took, len(loaded), size, rows))
        found = replace(found, tables=tuple(_table(line.table, runs, now) for line in loaded))
    if proven := next((run.contents for run in runs if run.whole), None):
        age = (now - proven.snapshot) / 1000
        found = replace(found, run=proven.run, snapshot_time=time_of(proven.snapshot), age=age)
    return found, origin


async def _readable_runs(
    export: ExportAt, log: Sequence[LogLine], drills: Sequence[Drill]
) -> tuple[list[_Run], _Origin]:
    """The published run, and those before it down to one that is proven in every table, as far as they can be read."""
    store, settings, _ = export
    runs, origin = list[_Run](), _Origin()
    proven = {(drill.run, drill.snapshot) for drill in drills if drill.altogether >= drill.of and drill.of}
    for number, line in enumerate(log):
        # Then none is proven.
        if runs and not drills:
            break
        if number >= LOOKS and (line.run, line.snapshot) not in proven:
            continue
        try:
            contents = await _contents(store, settings, line)
            if runs and contents.replaces:
                # Its files were replaced by those of a later run.
                continue
            run = _Run(contents, await proof_of(store, settings.layout, contents, drills))
            if not runs or run.whole:
                manifest = await read_manifest(store, settings, contents.run)
                source = manifest.copy_of.source if manifest.copy_of else ""
                if not origin.project:
                    origin = _Origin(contents.settings, contents.project, source, origin.untrusted)
                if await _lacks_files(store, settings, manifest):
                    continue
        except (DocumentError, VerificationError, NotFoundError) as error:
            # The status has logged it.
            if not origin.untrusted and isinstance(error, UntrustedError):
                origin = origin._replace(untrusted=error)
            continue
        runs.append(run)
        if run.whole:
            break
    return runs, origin


async def _contents(store: ObjectStore, settings: Settings, line: LogLine) -> Contents:
    """The tables of a run of the log. Raises DocumentError, and VerificationError where it is not trusted."""
    await check_manifest(store, settings.layout, await entry_in(store, line))
    contents = await read_contents(store, settings.layout.run(line.run))
    if contents is None:
        raise DocumentError("read", f"the manifest of run {line.run}", "it does not exist")
    return contents


async def _lacks_files(store: ObjectStore, settings: Settings, manifest: Manifest) -> bool:
    """Whether a listing shows that files of a run are missing or changed, which is logged."""
    run, compared = manifest.run, await compare_files(store, settings, manifest)
    if wrong := [finding for finding in compared.findings if finding.kind not in HARMLESS]:
        cause = f"{wrong[0].file}: {wrong[0].kind.value}"
        hint = f"Show all differences: {placeholder('verify', {'run': run})}"
        log_refused(manifest.run, VerificationError("read", f"the files of run {run}", cause, hint))
    return bool(wrong)


async def _with_published(found: Recovery, run: _Run, store: ObjectStore, settings: Settings, now: int) -> Recovery:
    contents, proof = run
    own = [line for line in contents.tables if line.carried is None and line.ended]
    info = await store.stat(settings.layout.run(contents.run).manifest.name)
    until = info.locked_until if info else 0
    took = max(line.ended for line in own) - min(line.created for line in own) if own else 0
    return replace(
        found,
        dataset=contents.dataset,
        published=contents.run,
        published_time=time_of(contents.snapshot),
        published_age=(now - contents.snapshot) / 1000,
        of=proof.restorable.of,
        proven_tables=len(proof.tables),
        proven=proof.restorable.proven,
        oldest_proof=proof.restorable.oldest,
        rows=sum(line.rows for line in contents.tables),
        bytes=contents.totals.bytes,
        files=contents.totals.files,
        failed=len(contents.failed),
        bytes_billed=contents.totals.billed,
        seconds=took / 1000,
        locked_until=time_of(until) if until else None,
    )


def _table(table: str, runs: Sequence[_Run], now: int) -> RecoveryTable:
    for contents, proof in runs:
        if at := proof.tables.get(table):
            age = (now - contents.snapshot) / 1000
            return RecoveryTable(table, contents.run, time_of(contents.snapshot), age, time_of(at.at))
    return RecoveryTable(table)


def _drills_took(drills: Sequence[Drill]) -> list[Took]:
    """How long drills took that proved everything they restored. Comparing values is no part of it."""
    return [
        Took("drill", drill.restored, (drill.restored - drill.began) / 1000, drill.tables, drill.bytes, drill.rows)
        for drill in drills
        if drill.proven and drill.restored > drill.began
    ]


async def restores_took(export: ExportAt) -> list[Took]:
    """How long the newest restores took whose documents are next to an export, if nothing failed or was interrupted."""
    found = await find_newest_done(Place(export.store, export.settings.layout), NEWEST)
    return [took for each in found if (took := await _restore_took(each))]


async def _restore_took(restore: FoundRestore) -> Took | None:
    """None where that says nothing."""
    jobs = sorted((note.started, note.ended) for note in restore.ledger.receipts.values() if note.ended)
    times = [restore.decision.planned]
    for started, ended in jobs:
        times += [max(started, times[-1]), max(ended, times[-1])]
    idle = max(after - before for before, after in [*pairwise([*times, times[-1]])][::2])
    if not jobs or restore.ledger.failures or idle > IDLE_MS:
        return None
    with suppress(BqdumpError):
        if done := await value_of(restore.place.store, restore.layout.result):
            seconds = (times[-1] - times[0]) / 1000
            return Took("restore", times[-1], seconds, len(done.tables), done.bytes, done.rows)
    return None


def _fixes(origin: _Origin, settings: Settings) -> Fixes:
    """settings: those that were given."""
    options = {} if settings.project or not origin.project else {"project": origin.project}
    if not settings.target.bucket:
        options["via"] = _via(origin.source)
    drill = placeholder("drill", options)
    # What no trusted key has signed counts no more than what is not there.
    signing = " with {setting:sign}" if settings.trust and not settings.sign else ""
    if (why := origin.untrusted) and why.setting and not origin.project:
        # Only a manifest that is not trusted says whether this is a copy, and of what.
        return Fixes(why.hint, drill, signing, "no published run is trusted")
    if origin.source:
        copy = placeholder("copy", {"dest": str(settings.target), "to": origin.source})
        return Fixes(f"Copy a newer run here{signing}: {copy}", drill, signing)
    with suppress(ValueError):
        if origin.settings is not None:
            settings = settings_of_run(origin.settings, settings.target)
    return Fixes(f"Export it again{signing}: {resume_call('', settings)}", drill, signing)


def _via(source: str) -> str:
    """What load jobs can read, for a place that they cannot: the bucket of its source, as far as that is one."""
    with suppress(ValueError):
        if source and (bucket := parse_target(source).bucket):
            return f"gs://{bucket}"
    return "gs://BUCKET"
