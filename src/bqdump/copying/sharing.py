"""What the tasks of a copy share: that it is in progress, which files are moved again, and who moves which batch.

Notes on batches only save work: a batch may be moved by several tasks at once, and the first file of a name counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple, Never

from bqdump.copying.survey import COPY, Place, Surveyed, Task, pruned_meanwhile
from bqdump.core.copy.manifest import content_of
from bqdump.core.copy.plan import CopyPlan
from bqdump.core.dealing import share_out
from bqdump.core.documents.copying import Copying, Expected, Renewed
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Erasing
from bqdump.core.documents.units import Claim
from bqdump.core.errors import ConflictError, DocumentError, UnavailableError, UsageError
from bqdump.core.retention.erased import finishing, underway
from bqdump.core.retention.policy import Policy
from bqdump.core.wording import placeholder
from bqdump.pool.pool import Held, Ledger, Pool, Room
from bqdump.pool.turn import Turn, at_work, take_or_await, takes_turn
from bqdump.repository.pruned_runs import files_being_deleted
from bqdump.repository.pruned_runs import is_pruned as has_mark
from bqdump.repository.repository import Loaded, create, delete, exists, load, overwrite, replace, value_of
from bqdump.retain.survey import Task as Pruning

# The claim of a task that was not read.
ANOTHER = Claim(Owner("", 0))


class Begun(NamedTuple):
    """A copy in progress.

    copying: the generation of its copying.json, which changes once it is complete.
    again: the files of the copy that are moved again, by name and generation: those that a prune had decided to delete
        before, unless a run names them that is kept. What is decided later is decided with this copy in view.
    records: the generations of what had been recorded about batches, by name, before anybody looked at what is there.
    """

    copying: int
    again: frozenset[tuple[str, int]]
    records: Mapping[str, int]


# Of a copy by one task that needs no protection from prune.
UNANNOUNCED = Begun(0, frozenset(), {})


async def begin(task: Task, surveyed: Surveyed) -> Begun | None:
    """Declare that the run is being copied, so that no prune deletes its files. None if another task has copied it.

    Raises UsageError for another run of this id, UnavailableError while a table is erased in the place, or another copy
    relies on a file that this one would move again.
    """
    place, names = task.target, task.target.layout.run(surveyed.run)
    # Before the note: a prune or an erasure that an error names would find the copy in progress.
    await _refuse_erased(place, surveyed.run)
    mine = _announced(task, surveyed)
    before = await _before(place, mine)
    if before and before.value.content != surveyed.content:
        if not await _erased_since(place, surveyed):
            raise _unfinished_before(place, surveyed.run)
        await replace(place.store, names.copying, mine, before.generation)
    await overwrite(place.store, names.planner, task.owner)
    # Either an erasure finds that note, or this finds the erasure.
    await _refuse_erased(place, surveyed.run)
    try:
        stored = await create(place.store, names.copying, mine)
    except ConflictError:
        raise pruned_meanwhile(task, surveyed.run) from None
    if stored.value.content != surveyed.content:
        raise _unfinished_before(place, surveyed.run)
    if await has_mark(place.store, place.layout, surveyed.run):
        # Either the prune finds the planner's note, or this finds the prune.
        raise pruned_meanwhile(task, surveyed.run)
    generation = stored.generation
    if mine.files and not stored.value.files:
        if await exists(place.store, names.manifest):
            return None
        # Somebody has deleted the manifest, to have the run copied again.
        if not (replaced := await replace(place.store, names.copying, mine, generation)):
            raise pruned_meanwhile(task, surveyed.run)
        generation = replaced
    document = names.renewed(generation)
    agreed = await value_of(place.store, document)
    if agreed is None:
        deleting = await files_being_deleted(
            place.store, place.layout, surveyed.run, {item.target for item in surveyed.items}
        )
        if deleting.relied_on:
            if stored.mine:
                # Nothing of this copy is there yet, and that one would wait for it in turn.
                await delete(place.store, [(names.copying.name, generation)])
            raise _relied_on(place, surveyed.run, deleting.relied_on)
        agreed = (await create(place.store, document, Renewed(surveyed.run, tuple(sorted(deleting.files))))).value
    records = await _generations(task, names.arrivals) if task.tasks > 1 else {}
    return Begun(generation, frozenset(agreed.files), records)


async def is_pruned(task: Task, surveyed: Surveyed, begun: Begun) -> bool:
    """Whether a prune has taken this copy for an abandoned one. Call it once the manifest is stored.

    A copying.json that was stored since is of a later copy. Without files, it is of a task that has found the manifest
    in place.
    """
    if task.lock:
        return False
    names = task.target.layout.run(surveyed.run)
    if await has_mark(task.target.store, task.target.layout, surveyed.run):
        return True
    copying = await load(task.target.store, names.copying)
    return copying is None or (copying.generation != begun.copying and bool(copying.value.files))


async def name_again(task: Task, surveyed: Surveyed) -> None:
    """After a prune has deleted what names the files of this copy: let the next copy or prune find them.

    Other tasks may have come to rely on a file that this one has stored, so nothing is deleted here.
    """
    place, names, mine = task.target, task.target.layout.run(surveyed.run), _announced(task, surveyed)
    await overwrite(place.store, names.planner, task.owner)
    await create(place.store, names.copying, mine)


async def _before(place: Place, mine: Copying) -> Loaded[Copying] | None:
    """What an earlier copy has declared. Where that is damaged, the manifest shows whose it was, and it is replaced.

    Raises DocumentError where the run has no manifest.
    """
    names = place.layout.run(mine.run)
    while True:
        try:
            return await load(place.store, names.copying)
        except DocumentError:
            damaged = await place.store.stat(names.copying.name)
            if not await exists(place.store, names.manifest):
                raise
            if damaged:
                await replace(place.store, names.copying, mine, damaged.generation)


async def _erased_since(place: Place, surveyed: Surveyed) -> bool:
    """Whether an unfinished copy has its manifest, and an erasure has written that anew, as in the source."""
    stored = await load(place.store, place.layout.run(surveyed.run).manifest)
    return stored is not None and content_of(stored.value) == surveyed.content


def pruning(task: Task) -> Pruning:
    """A prune of the copies that keeps all runs."""
    return Pruning(task.target.store, task.target.settings, Policy(), task.now)


def _relied_on(place: Place, run: str, other: str) -> UnavailableError:
    """The error about a file that a prune may be about to delete, and that the copy of another run relies on."""
    cause = f"the copy of run {other} in {place.target} relies on a file that a prune had decided to delete"
    hint = "Retry when that copy has ended. If it was interrupted, repeat it first, or let prune delete it."
    return UnavailableError(COPY, f"run {run}", cause, hint)


async def _refuse_erased(place: Place, run: str) -> None:
    if erasing := await value_of(place.store, place.layout.erasing):
        raise _erased_there(place, run, erasing)


def _unfinished_before(place: Place, run: str) -> UsageError:
    """The error about an unfinished copy of a run whose manifest was written anew since, as by an erasure.

    Its files go with it: some may be of the table that was erased.
    """
    cause = f"{place.target} has an unfinished copy of an earlier version of this run"
    prune: dict[str, str | bool] = {"run": run, **place.words, "abandoned_after": "1h", "yes": True}
    hint = f"Delete that one first, an hour after it was stopped: {placeholder('prune', prune)}"
    return UsageError(COPY, f"run {run}", cause, hint)


def _erased_there(place: Place, run: str, erasing: Erasing) -> UnavailableError:
    """The error about a place where an erasure has begun: it may delete files that a copy relies on."""
    hint = f"Finish it: {finishing(erasing, place.settings.dataset, place.words)}"
    return UnavailableError(COPY, f"run {run}", f"in {place.target}, {underway(erasing)}", hint)


def _announced(task: Task, surveyed: Surveyed) -> Copying:
    files = tuple(Expected(item.target, item.size, item.crc32c) for item in surveyed.items)
    return Copying(surveyed.run, str(task.source.target), surveyed.content, files)


Arrivals = Ledger[int, None, Never]


class Batches(Pool[int, Arrivals]):
    """The batches that a copy lacks. A task waits for those of the others: whatever is published has all of them."""

    def __init__(self, task: Task, surveyed: Surveyed, begun: Begun, plan: CopyPlan) -> None:
        super().__init__(task.target.store, task.owner, Arrivals({}, {}, {}), waits=task.tasks > 1)
        self._task, self._names, self._begun = task, task.target.layout.run(surveyed.run), begun
        weights = [sum(missing.item.size for missing in files) for _, files in plan.missing]
        self._numbers = [number for number, _ in plan.missing]
        self._own = [self._numbers[index] for index in share_out(weights, task.tasks)[task.owner.task]]
        self._lost: set[int] = set()

    async def dealt(self, room: Room) -> AsyncIterator[int]:
        """The numbers of the batches that this task moves, each once there is room for it."""
        own = set(self._own)
        async for number, _ in self.take(self._own, [number for number in self._numbers if number not in own], room):
            yield number

    def moving(self, number: int) -> AbstractAsyncContextManager[None]:
        """Around the work on a batch: shows the other tasks that it goes on, or that it has failed."""
        return nullcontext() if self._task.tasks == 1 else at_work(self._turn(number))

    def takes(self, ledger: Arrivals, item: int) -> int | None:
        """See Pool. Whose claims are is read of those of the own share only, when they turn out to be taken."""
        free = item not in ledger.receipts and item not in self._lost
        return 0 if free and (item in self._own or item not in ledger.claims) else None

    async def claim(self, item: int, ledger: Arrivals, replaces: int) -> bool:
        """See Pool."""
        if self._task.tasks == 1:
            return True
        if replaces:
            return await replace(self.store, self._names.batch(item), self.owner, replaces) is not None
        is_mine = await takes_turn(self._turn(item))
        if not is_mine:
            self._lost.add(item)
        return is_mine

    async def look(self) -> Arrivals:
        """See Pool: what others have done and begun."""
        claims = await _generations(self._task, self._names.shared)
        done = await _generations(self._task, self._names.arrivals)
        copying = await self.store.stat(self._names.copying.name)
        # Once the copy is complete, or pruned, its claims and records are deleted.
        over = copying is None or copying.generation != self._begun.copying
        ledger = Arrivals({}, {}, {})
        for number in self._numbers:
            record, claim = self._names.arrived(number).name, self._names.batch(number).name
            if over or (record in done and done[record] != self._begun.records.get(record)):
                ledger.receipts[number] = None
            elif claim in claims:
                ledger.claims[number] = Held(ANOTHER, claims[claim])
        return ledger

    def _turn(self, number: int) -> Turn:
        return Turn(self.store, self._names.batch(number), self.owner)


async def publishes(task: Task, surveyed: Surveyed) -> bool:
    """Whether this task publishes the run. False once another task has, or a prune has deleted it; waits for that."""
    if task.tasks == 1 or not surveyed.items:
        return True
    names = task.target.layout.run(surveyed.run)

    async def is_complete() -> bool | None:
        copying = await value_of(task.target.store, names.copying)
        return None if copying and copying.files else True

    return not await take_or_await(Turn(task.target.store, names.publisher, task.owner), is_complete)


def publishing(task: Task, surveyed: Surveyed) -> AbstractAsyncContextManager[None]:
    """Around the publication, in this task's turn."""
    if task.tasks == 1 or not surveyed.items:
        return nullcontext()
    return at_work(Turn(task.target.store, task.target.layout.run(surveyed.run).publisher, task.owner))


async def _generations(task: Task, folder: str) -> dict[str, int]:
    return {info.name: info.generation async for page in task.target.store.objects(folder) for info in page}
