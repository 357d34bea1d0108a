"""What there is at the target of some settings: the export of one dataset, or those of a set's datasets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.document import STATE
from bqdump.core.documents.sets import DatasetEntry, Member, SetManifest, SetPlan
from bqdump.core.documents.target import Latest, Newest
from bqdump.core.errors import DocumentError, NotFoundError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import NAME, Target
from bqdump.core.times import rfc3339
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import holds_export
from bqdump.repository.log import log_refused
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of
from bqdump.repository.set_runs import (
    NOT_EXPORTED,
    failed_entry,
    locked_set,
    newest_set_plan,
    plan_in,
    read_set_manifest,
    set_plan,
)

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
StoreAt = Callable[[Target], ObjectStore]
# Exports of a set that are asked about at the same time.
AT_ONCE = 8


class ExportAt(NamedTuple):
    """One export, and where it is.

    settings: they name its dataset alone, and its own folder.
    dataset: its name in a set; "" for the only export of its prefix.
    """

    store: ObjectStore
    settings: Settings
    dataset: str = ""


class SetAt(NamedTuple):
    """A set of datasets, and where it is.

    names: its datasets, also those that have left it and still have runs.
    """

    store: ObjectStore
    settings: Settings
    names: tuple[str, ...]

    def export(self, name: str) -> ExportAt:
        """The export of one dataset."""
        return ExportAt(self.store, one_dataset(self.settings, name), name)

    async def manifest(self) -> SetManifest | None:
        """The published set, None where nothing of it is published."""
        return await readable_set(self.store, self.settings)

    async def untrusted(self, run: str, published: SetManifest | None) -> str:
        """Why the set's own manifest of a run is not trusted, "" where it is. Only that of locked copies is signed."""
        if not self.settings.trust or published is None or not published.locked:
            return ""
        try:
            # What cannot be read is the state of the run's parts.
            with suppress(DocumentError):
                await set_plan(self.store, self.settings, published, run)
        except VerificationError as error:
            return fill(error.cause, COMMANDS)
        return ""


async def read_set_plan(at: SetAt, run: str) -> SetPlan:
    """The plan of a set's run (default: the one that was planned last). Raises NotFoundError."""
    store, settings, _ = at
    manifest = await readable_set(store, settings)
    if manifest and manifest.locked:
        if manifest := manifest if run in ("", manifest.run) else await locked_set(store, settings, run):
            return plan_in(manifest)
        raise NotFoundError("find", f"run {run} of a set of datasets", f"{settings.target} has no copy of it")
    if not run:
        try:
            newest = await value_of(store, settings.layout.newest)
        except DocumentError as error:
            if manifest is None:
                raise
            log_refused(error.subject, error)
            newest = Newest(manifest.run)
        if newest is None:
            cause = f"no run has been planned in {settings.target}"
            raise NotFoundError("find", "a run", cause, "Start one: {call:run}")
        run = newest.run
    try:
        plan = await value_of(store, settings.layout.set_run(run).plan)
    except DocumentError as error:
        # A published run does not need it any more.
        if manifest is None or manifest.run != run:
            raise
        log_refused(error.subject, error)
        plan = plan_in(manifest)
    if plan is None:
        cause = f"{store.url}/{settings.layout.set_run(run).root} has no plan"
        raise NotFoundError("find", f"run {run} of a set of datasets", cause)
    return plan


class Exports(NamedTuple):
    """The exports that settings lead to.

    set_at: where they belong to a set: the set; None for one export, which is the only one then.
    """

    each: tuple[ExportAt, ...]
    set_at: SetAt | None = None

    @property
    def names(self) -> list[str]:
        """The datasets of the set, none where there is no set."""
        return list(self.set_at.names) if self.set_at else []

    async def answer(
        self,
        about_one: Callable[[ObjectStore, Settings], Awaitable[Answer]],
        about_set: Callable[[SetAt], Awaitable[Answer]],
    ) -> Answer:
        """The answer about the only export, or about the set."""
        return await (about_set(self.set_at) if self.set_at else about_one(self.each[0].store, self.each[0].settings))

    def through(self, store_at: StoreAt) -> Exports:
        """The same exports, read through other stores."""
        if self.set_at:
            return _of_set(self.set_at._replace(store=store_at(self.set_at.settings.target)))
        return Exports(tuple(export._replace(store=store_at(export.settings.target)) for export in self.each))

    async def ask(self, question: Callable[[ExportAt], Awaitable[Answer]]) -> dict[str, Answer]:
        """The answers about all of them, by dataset, some at a time."""
        answers = await gathered(question, self.each, AT_ONCE)
        return dict(zip((export.dataset for export in self.each), answers, strict=True))


async def exports_at(store_at: StoreAt, settings: Settings) -> Exports:
    """What there is. Where nothing is, one export is expected."""
    store = store_at(settings.target)
    if not await holds_export(store, settings) and (names := await names_in_set(store, settings)):
        return _of_set(SetAt(store, settings, tuple(names)))
    return Exports((ExportAt(store, settings),))


def _of_set(at: SetAt) -> Exports:
    return Exports(tuple(map(at.export, at.names)), at)


async def names_in_set(store: ObjectStore, settings: Settings) -> list[str]:
    """The datasets of the published set and of the one planned last, and those that have left it and still have runs.

    None without a set.
    """
    manifest = await readable_set(store, settings)
    plan = await newest_set_plan(store, settings, manifest)
    names = (
        {dataset.dataset for dataset in manifest.datasets} | {dataset.dataset for dataset in manifest.removed}
        if manifest
        else set()
    )
    names |= {dataset.dataset for dataset in plan.datasets} if plan else set()
    return sorted(names.union(await _left(store, settings, names, manifest))) if names else []


class Left(NamedTuple):
    """The published runs of datasets that were in a set earlier, by dataset.

    damaged: further datasets, and why their published run is unknown.
    """

    published: dict[str, Latest]
    damaged: dict[str, DocumentError | VerificationError]


async def datasets_left(at: SetAt, names: Collection[str]) -> Left:
    """The datasets that the set had earlier. names: of the set as it is now."""
    left = Left({}, {})

    async def look(name: str) -> None:
        try:
            if latest := await read_latest(*at.export(name)[:2]):
                left.published[name] = latest
        except (DocumentError, VerificationError) as error:
            left.damaged[name] = error

    gone = [name for name in at.names if name not in names]
    await gathered(look, gone, AT_ONCE)
    return Left({name: left.published[name] for name in gone if name in left.published}, left.damaged)


async def _left(
    store: ObjectStore, settings: Settings, known: Collection[str], published: SetManifest | None
) -> list[str]:
    """Further datasets whose folder has a run that was planned for them as part of a set.

    A folder alone proves nothing: a dataset below the prefix of a set may be exported and pruned by itself.
    """
    folders, runs = await asyncio.gather(store.folders(settings.target.prefix), store.folders(settings.layout.set_runs))
    members: dict[str, Collection[str]] = {}

    async def planned_for(run: str) -> Collection[str]:
        if run not in members:
            try:
                plan = await set_plan(store, settings, published, run)
            except (DocumentError, VerificationError) as error:
                # A dataset that no other run was planned for is not shown, and nothing of it is deleted.
                message = "datasets that only the plan of run %s names are not shown: %s"
                damaged = LogEvent.SET_PLAN_UNREADABLE.extra(run=run)
                log.warning(message, run, error.sentence(COMMANDS), extra=damaged)
                plan = None
            members[run] = {dataset.dataset for dataset in plan.datasets} if plan else ()
        return members[run]

    async def was_member(name: str) -> bool:
        own = await store.folders(one_dataset(settings, name).layout.runs)
        for run in sorted({*own}.intersection(runs), reverse=True):
            if name in await planned_for(run):
                return True
        return False

    unknown = [name for name in folders if name not in known and name != STATE and NAME.fullmatch(name)]
    return [name for name, yes in zip(unknown, await gathered(was_member, unknown, AT_ONCE), strict=True) if yes]


async def published_set(at: SetAt) -> SetManifest:
    """The published set. Raises NotFoundError if there is none."""
    if manifest := await at.manifest():
        return manifest
    cause = "no set of datasets has been published there yet"
    raise NotFoundError("find", f"a set in {at.settings.target}", cause, "Start one: {call:run}")


async def readable_set(store: ObjectStore, settings: Settings) -> SetManifest | None:
    """The exports that belong together, for readers. None where no set was ever published here.

    Where project.json cannot be read, they follow from the logs of the datasets, and a warning says so.
    """
    try:
        return await read_set_manifest(store, settings)
    except DocumentError as error:
        if (manifest := await _set_in_logs(store, settings)) is None:
            raise
        log_refused(error.subject, error)
        return manifest


async def _set_in_logs(store: ObjectStore, settings: Settings) -> SetManifest | None:
    """The newest run of the set that is published for a dataset, with what is published of the others."""
    plans = list[SetPlan]()
    for run in await store.folders(settings.layout.set_runs):
        with suppress(DocumentError):
            plans += filter(None, [await value_of(store, settings.layout.set_run(run).plan)])
    for plan in sorted(plans, key=lambda plan: plan.age, reverse=True):
        entries = [await _entry_in_log(store, settings, plan, member) for member in plan.datasets]
        if any(entry.run == plan.run for entry in entries):
            whole = all(entry.state != "failed" and entry.status == "complete" for entry in entries)
            return SetManifest(
                run=plan.run,
                tool=plan.tool,
                status="complete" if whole else "partial",
                project=plan.project,
                prefix=settings.target.prefix,
                snapshot_time=rfc3339(plan.snapshot),
                snapshot=plan.snapshot,
                datasets=tuple(entries),
                skipped=plan.skipped,
                removed=plan.removed,
            )
    return None


async def _entry_in_log(store: ObjectStore, settings: Settings, plan: SetPlan, member: Member) -> DatasetEntry:
    own, missing = one_dataset(settings, member.dataset), failed_entry(member.dataset, member.location, NOT_EXPORTED)
    try:
        latest = await read_latest(store, own)
        summary = await value_of(store, own.layout.entry(latest.run, latest.snapshot)) if latest else None
    except DocumentError as error:
        return replace(missing, problem=error.cause)
    if latest is None:
        return missing
    published = replace(
        missing,
        state="published",
        run=latest.run,
        snapshot_time=rfc3339(latest.snapshot),
        manifest=own.layout.run(latest.run).manifest.name,
        manifest_generation=latest.manifest_generation,
        status=latest.status,
        tables=summary.totals.tables if summary else 0,
        rows=summary.rows if summary else 0,
        files=summary.totals.files if summary else 0,
        bytes=summary.totals.bytes if summary else 0,
        problem="",
    )
    if latest.run == plan.run:
        return published
    later = (latest.snapshot, latest.run) > plan.age
    return replace(published, state="superseded" if later else "failed", problem="" if later else NOT_EXPORTED)
