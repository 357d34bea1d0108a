"""Replacing the published files: server-side copies, each only over the expected generation.

Two runs may get here at the same time. `publishing.json` names the run that may write final names, and only ever moves
to a later snapshot time. A run copies only over generations that it saw before it last found its own name there; so
once a later run has announced itself, no copy of an earlier run can land on top of the later run's files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import File
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Intent, Latest, Pointer, Publishing
from bqdump.core.errors import ConflictError, DocumentError, NotFoundError, UsageError
from bqdump.core.plan.carryover import Carryover
from bqdump.export.carry import carry_over
from bqdump.export.publish.clear import delete, origin, prefix_of, read_earlier
from bqdump.export.task import RunningExport
from bqdump.ports.store import Copy, ObjectInfo
from bqdump.repository.objects import looked_up
from bqdump.repository.publication import enter
from bqdump.repository.published import read_base
from bqdump.repository.repository import Known, Loaded, swap, value_of


def refuse_others(plan: Plan, infos: Iterable[ObjectInfo]) -> None:
    """Raise UsageError for files that an export below another prefix has placed, such as `a/b/` within `a/`."""
    for info in infos:
        mark = info.origin.split("/", 2)
        if len(mark) > 2 and mark[2] != prefix_of(plan):
            cause = f"this file belongs to the export below the prefix {mark[2]!r}, run {mark[0]}"
            hint = "Choose a {setting:prefix} or {setting:path} with which the files of both have different names."
            raise UsageError("publish", info.name, cause, hint)


class Announced(NamedTuple):
    """A run that may write its final names.

    carry: what stays of the published export.
    named: publishing.json.
    """

    carry: Carryover
    named: Loaded[Publishing]


async def announce(
    export: RunningExport,
    names: Iterable[str],
    latest: Latest | None,
    tables: Collection[str],
    dropped: Collection[str] = (),
) -> Announced | None:
    """Reserve these names for this run; None if a later run has reserved them.

    An earlier run that is ready is published first: its tasks may publish it at any time, and must not do so later.

    latest: the published run, as it was last seen.
    tables, dropped: see carry_over. Of what stays of the published export no file changes from now on, as no other run
        copies over them.

    Raises UsageError if one may: a run that has announced itself but is not ready.
    """
    await _intend(export, names, known=None if export.made else "unread")
    carry = Carryover()

    async def carried(current: Publishing | None) -> Carryover:
        # No run has replaced files of this one since it was seen, so it is still published.
        stays = current is None or _shown(current, latest)
        now = latest if stays else await read_base(export.store, export.settings)
        return await carry_over(export, now, tables, dropped)

    async def step(current: Publishing | None) -> Publishing | None:
        nonlocal carry
        if current and _is_of(export.plan, current):
            carry = await carried(current)
            return None
        if current and current.age > export.plan.age:
            return None
        published = current is None or _shown(current, latest)
        # A run that another dataset had ready, before the prefix was handed over, is not published.
        ready = await _to_show(export, current) if current and not published else None
        if current and ready:
            # One that lacks tables of a run which was published meanwhile is not shown.
            with suppress(UsageError, DocumentError):
                published = (await enter(export.store, export.settings, ready)).shows(current.run)
        # After publishing.json was read: the run named there has published what was ready before it.
        carry = await carried(current)
        if carry.files:
            _refuse_unready(export.plan, carry, current)
            await _intend(export, carry.files)
        over = (*current.over, _pointer_to(export, current)) if current and not published else ()
        return Publishing(export.plan.run, export.plan.snapshot, export.layout.intent.name, over=over)

    # Before the first publication, most likely no run has announced itself.
    known: Known[Publishing] = "unread" if latest else None
    named = await swap(export.store, export.settings.layout.publishing, step, known=known)
    return Announced(carry, named) if named and _is_of(export.plan, named.value) else None


async def _to_show(export: RunningExport, announced: Publishing) -> Latest | None:
    """What latest.json becomes to publish a run that is ready; None where it is another dataset's, or was pruned."""
    ready = announced.ready
    if ready is None or not export.same_dataset(ready):
        return None
    manifest = await export.store.stat(ready.manifest)
    return ready if manifest and manifest.generation == ready.manifest_generation else None


def _shown(announced: Publishing, latest: Latest | None) -> bool:
    """Whether latest.json named the announced run already."""
    return latest is not None and announced.age == latest.age


def _refuse_unready(plan: Plan, carry: Carryover, current: Publishing | None) -> None:
    if current and current.run != carry.over:
        cause = f"it carries over files of run {carry.over}, which run {current.run} has begun to replace"
        finish = f"{{call:run run_id={current.run}}}"
        hint = f"Repeat this once that run is published; if it has stopped, finish it: {finish}"
        raise UsageError("publish", f"run {plan.run}", cause, hint)


def _pointer_to(export: RunningExport, announced: Publishing) -> Pointer:
    """The announced run as latest.json names those whose stale files are to be deleted."""
    manifest = export.settings.layout.run(announced.run).manifest
    return Pointer(announced.run, announced.snapshot, manifest.name)


async def make_ready(export: RunningExport, ready: Latest, announced: Known[Publishing] = "unread") -> Latest | None:
    """Record that this run's files and manifest are in place; None if a later run has announced itself.

    announced: see InPlace. Returns what latest.json becomes: it names the runs that this one has taken over from.

    From here until the run is published, no later run announces itself without publishing this one first.
    """

    async def step(current: Publishing | None) -> Publishing | None:
        mine = current is not None and _is_of(export.plan, current)
        return (
            msgspec.structs.replace(current, ready=_over(current)) if current and mine and not current.ready else None
        )

    def _over(current: Publishing) -> Latest:
        return msgspec.structs.replace(ready, uncleared=current.over)

    named = await swap(export.store, export.settings.layout.publishing, step, known=announced)
    if named is None:
        return ready
    if _is_of(export.plan, named.value):
        return _over(named.value)
    return ready if named.value.age <= export.plan.age else None


async def _intend(export: RunningExport, names: Iterable[str], known: Known[Intent] = "unread") -> None:
    """Add the names to those that another task of this run stored when more tables had failed."""
    added = tuple(names)

    async def step(current: Intent | None) -> Intent | None:
        before = current.names if current else ()
        every = tuple(dict.fromkeys((*before, *added)))
        return None if current and len(every) == len(before) else Intent(export.plan.run, every)

    await swap(export.store, export.layout.intent, step, known=known)


async def publishing(export: RunningExport) -> Publishing | None:
    """Which run may write final names, None before the first."""
    return await value_of(export.store, export.settings.layout.publishing)


async def copy_over(
    export: RunningExport, staged: Mapping[str, ObjectInfo], known: Mapping[str, int]
) -> dict[str, File] | None:
    """Copy every staged file over its final name (the keys of `staged`).

    known: generations of objects at final names, seen before this run announced itself.
    Returns the placed files by name, None if a later run has taken over or another task has finished this run.
    """
    mark = origin(export.plan)
    staged, placed = dict(staged), dict[str, File]()
    waiting = {name: known.get(name, 0) for name in staged}
    while waiting:
        wishes = [_wish(staged[name], name, expect) for name, expect in waiting.items()]
        conflicts, replaced = list[str](), dict[str, int]()
        for wish, result in zip(wishes, await export.store.copy(wishes, mark), strict=True):
            if isinstance(result, ObjectInfo):
                placed[wish.target] = _placed(result)
            elif isinstance(result, ConflictError):
                conflicts.append(wish.target)
            elif isinstance(result, NotFoundError):
                replaced[wish.target] = wish.expect
            else:
                raise result
        for name in replaced:
            # An upload that was repeated may have arrived once more, with the same bytes.
            again = await export.store.stat(staged[name].name)
            if again is None or not _same(again, staged[name]):
                return None
            staged[name] = again
        waiting = replaced
        present = dict(zip(conflicts, await looked_up(export.store, conflicts), strict=True))
        if conflicts and not await _still_mine(export):
            return None
        refuse_others(export.plan, filter(None, present.values()))
        for name, info in present.items():
            if info and info.origin == mark and _same(info, staged[name]):
                placed[name] = _placed(info)
            else:
                waiting[name] = info.generation if info else 0
    return placed if await _still_mine(export) else None


async def withdraw(export: RunningExport) -> None:
    """Remove what this run has placed and the run that took over will not replace."""
    names = await _intended(export, export.layout.intent)
    placed = await looked_up(export.store, names)
    current = await publishing(export)
    if current is None or _is_of(export.plan, current):
        return
    theirs = set(await _intended(export, Document(current.manifest, Intent)))
    latest = await read_base(export.store, export.settings)
    # A partial export keeps the earlier files of its failed tables, and these may be ours.
    earlier_files = [file for table in await read_earlier(export, latest) for file in table.files] if latest else []
    left = {(file.name, file.generation) for file in earlier_files}
    if latest and latest.run == current.run:
        # It is published: of the names in its intent, it replaces only those that its manifest lists.
        theirs = {file.name for file in earlier_files}
    ours = [info for info in placed if info and info.origin == origin(export.plan) and info.name not in theirs]
    mine = [(info.name, info.generation) for info in ours]
    await delete(export, (wish for wish in mine if wish not in left))


async def _intended(export: RunningExport, document: Document[Intent]) -> tuple[str, ...]:
    """The final names in an intent; none without one."""
    intent = await value_of(export.store, document)
    return intent.names if intent else ()


async def _still_mine(export: RunningExport) -> bool:
    current = await publishing(export)
    return current is not None and _is_of(export.plan, current)


def _is_of(plan: Plan, announced: Publishing) -> bool:
    """Whether this run is announced, and not an earlier one of its id that was pruned and still had a process."""
    return announced.age == plan.age


def _wish(info: ObjectInfo, target: str, expect: int) -> Copy:
    return Copy(info.name, info.generation, target, expect, info.size, info.crc32c)


def _same(info: ObjectInfo, other: ObjectInfo) -> bool:
    """Whether two objects have the same content."""
    return (info.size, info.crc32c) == (other.size, other.crc32c)


def _placed(info: ObjectInfo) -> File:
    return File(info.name, info.size, info.crc32c, info.generation)
