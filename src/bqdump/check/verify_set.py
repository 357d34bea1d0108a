"""Verifying a set: the export of each dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.check.findings import Finding, Verified, VerifiedDataset
from bqdump.check.verify import compare_locks, hidden_documents
from bqdump.concurrency import gathered
from bqdump.core.documents.run_layout import names_beside
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.settings.settings import Settings
from bqdump.core.times import time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import AT_ONCE, ExportAt, SetAt, datasets_left, published_set
from bqdump.repository.log import entries_of, log_refused
from bqdump.repository.objects import names_of_signatures
from bqdump.repository.published import begun, missing_run, read_latest
from bqdump.repository.repository import value_of
from bqdump.repository.set_runs import locked_set, set_plan

Verify = Callable[[ObjectStore, Settings, str], Awaitable[Verified]]
LEFT = "it has left the set; this is its last export"


class _Part(NamedTuple):
    """A dataset to verify, and where it is."""

    export: ExportAt
    expected: VerifiedDataset


async def verify_set(at: SetAt, run: str, verify: Verify) -> Verified:
    """Verify the exports of a set: those that project.json names and those of datasets that have left it, or a run's.

    verify: verifies one export. Findings name the table with its dataset. What cannot be read is a dataset's `problem`.
    Raises NotFoundError without a published set, and for a run of no dataset.
    """
    published = await published_set(at)
    missing: list[NotFoundError] = []
    parts = await (_of_run(at, published, run) if run else _published(at, published))

    async def verified(export: ExportAt, part: VerifiedDataset) -> tuple[VerifiedDataset, Verified | None]:
        if not part.run:
            return part, None
        store, own, _ = export
        try:
            own_run = part.run if published.locked else await _present(store, own, part.run)
            whole = await verify(store, own, run or own_run)
        except (NotFoundError, DocumentError) as error:
            missing.extend([error] if isinstance(error, NotFoundError) else [])
            if run and isinstance(error, NotFoundError) and not await entries_of(store, own.layout, run):
                return replace(part, run="", note=f"run {run} has not published it"), None
            # The hint is left out: it is about a run that was named on the command line.
            problem = fill(f"cannot {error.operation} {error.subject}: {error.cause}", COMMANDS)
            return replace(part, problem=problem), None
        note = begun(whole.replaced_by, whole.finish) if whole.finish else part.note
        return replace(part, run=whole.run, findings=len(whole.findings), note=note), whole

    # One after another, as each reads files with all of this machine.
    pairs = [await verified(*part) for part in parts]
    if run and not any(whole or part.problem for part, whole in pairs):
        raise missing[0] if missing else missing_run(run, at.settings)
    wholes = [(part.dataset, whole) for part, whole in pairs if whole]
    times = [verified.snapshot_time for _, verified in wholes] if run else []
    of_documents = await _of_documents(at, published, run) if published.locked else []
    of_files = [
        replace(finding, table=f"{name}.{finding.table}".removesuffix("."))
        for name, verified in wholes
        for finding in verified.findings
    ]
    return Verified(
        run=run or published.run,
        snapshot_time=min(times, default=time_of(published.snapshot)),
        tables=sum(verified.tables for _, verified in wholes),
        files=sum(verified.files for _, verified in wholes),
        bytes=sum(verified.bytes for _, verified in wholes),
        findings=(*of_documents, *of_files),
        copied=bool(wholes) and all(verified.copied for _, verified in wholes),
        carried=sum(verified.carried for _, verified in wholes),
        datasets=tuple(part for part, _ in pairs),
    )


async def _of_documents(at: SetAt, published: SetManifest, run: str) -> list[Finding]:
    """Documents of a locked set that were hidden or replaced, or are locked for a shorter time than its run."""
    hidden = await hidden_documents(at.store, at.settings)
    of_set = published if run in ("", published.run) else await locked_set(at.store, at.settings, run)
    until = max(
        [await _locked_until(at, entry) for entry in of_set.datasets if entry.run == of_set.run] if of_set else [0]
    )
    if of_set is None or not until:
        return hidden
    layout = at.settings.layout
    manifest, pointer = (
        layout.set_run(of_set.run).manifest(of_set.digest),
        layout.set_pointer(of_set.run, of_set.digest),
    )
    of_place = (layout.latest, layout.set_manifest, layout.copies, layout.owner)
    signatures = await names_of_signatures(at.store, names_beside(manifest.name))
    documents = [*(document.name for document in (manifest, pointer, *of_place)), *signatures]
    return [*hidden, *await compare_locks(at.store, until, dict.fromkeys(documents, ""))]


async def _locked_until(at: SetAt, entry: DatasetEntry) -> int:
    """Until when the copy of a dataset's run was locked, as its manifest says; 0 for one that cannot be read."""
    store, own, _ = at.export(entry.dataset)
    with suppress(DocumentError, VerificationError):
        manifest = await value_of(store, own.layout.run(entry.run).manifest)
        return manifest.copy_of.locked_until if manifest and manifest.copy_of else 0
    return 0


async def _published(at: SetAt, manifest: SetManifest) -> list[_Part]:
    """What is to be verified of the published set, and of the datasets that have left it."""
    expected = [_expected(manifest, entry) for entry in manifest.datasets]
    left = await datasets_left(at, [entry.dataset for entry in manifest.datasets])
    expected += [VerifiedDataset(name, latest.run, 0, note=LEFT) for name, latest in left.published.items()]
    expected += [VerifiedDataset(name, "", 0, error.sentence(COMMANDS)) for name, error in left.damaged.items()]
    return [_Part(at.export(entry.dataset), entry) for entry in expected]


def _expected(manifest: SetManifest, entry: DatasetEntry) -> VerifiedDataset:
    """What is to be verified of a dataset of the set: the run that project.json names."""
    reason = entry.problem or "not published"
    note = f"not published by run {manifest.run}: {reason}" if entry.state == "failed" else ""
    return VerifiedDataset(entry.dataset, entry.run, 0, note=note if entry.run else reason)


async def _present(store: ObjectStore, own: Settings, run: str) -> str:
    """The run whose files are there: a later one may have replaced those of the set, and its set not be published."""
    latest = await read_latest(store, own)
    return latest.run if latest and latest.replaces else run


async def _of_run(at: SetAt, published: SetManifest, run: str) -> list[_Part]:
    """What is to be verified of a run: the datasets of its plan, or those that have it where there is none any more."""
    try:
        plan = await set_plan(at.store, at.settings, published, run)
    except DocumentError as error:
        log_refused(error.subject, error)
        plan = None
    if plan:
        names = [entry.dataset for entry in plan.datasets]
    else:
        runs = await gathered(lambda name: at.store.folders(at.export(name).settings.layout.runs), at.names, AT_ONCE)
        names = [name for name, having in zip(at.names, runs, strict=True) if run in having]
    return [_Part(at.export(name), VerifiedDataset(name, run, 0)) for name in names]
