"""Copying runs: choose → claim the place → look at both sides → move what is missing → manifest → pointer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bqdump.copying.finish import complete, lock_again, lock_files, publish_stopped, store_manifest
from bqdump.copying.move import Movement, compare, move, prove_others, read_unread
from bqdump.copying.places import NAMED, check_place, chosen_runs, claim_place, refuse_bare_word, refuse_overlap
from bqdump.copying.sharing import UNANNOUNCED, Begun, begin, is_pruned, name_again, pruning, publishes, publishing
from bqdump.copying.survey import (
    Locking,
    Place,
    Surveyed,
    Task,
    another_run,
    plan_of,
    pruned_meanwhile,
    signed_here,
    sources_of,
    survey,
)
from bqdump.core.copy.manifest import Item, Side, egress_of, requests_for
from bqdump.core.copy.plan import Copied, CopiedRun, CopyState
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import BqdumpError, DeniedError, DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.retention.policy import Policy
from bqdump.core.sizes import counted, listed, named, size_text
from bqdump.core.times import time_of
from bqdump.pool.turn import pulse
from bqdump.repository.log import read_log_with_pruned
from bqdump.repository.repository import Loaded, exists
from bqdump.retain.sweep import delete_erased_again

log = logging.getLogger(__name__)


async def copy(
    task: Task, runs: Sequence[str], policy: Policy, *, every: bool, chosen: Sequence[str] | None = None
) -> Copied:
    """Copy runs (default: the published one), or only look.

    every: all complete runs.
    policy: those that it keeps.
    chosen: which these are, where that is known.
    A run that cannot be copied as it was exported is an error if it was named, or is the only one. Otherwise it holds
    back no other.
    Raises UsageError for a place that is not one for these copies; nothing is changed then.
    """
    refuse_overlap(task.source.target, task.target.target)
    await refuse_bare_word(task.source, task.target.target)
    names = chosen
    if names is None:
        names = await chosen_runs(task.source, runs, policy, task.now, every=every)
    if not runs and len(names) > 1 and not task.lock:
        # What its own rules have pruned there does not come back unasked.
        pruned = (await read_log_with_pruned(task.target.store, task.target.layout)).pruned
        names = [run for run in names if run not in pruned]
    done, requests = list[CopiedRun](), 0
    for run in names:
        try:
            # After a rotation of keys, to compare all earlier runs would read all of their files.
            proves = run in runs or run == names[-1]
            copied, asked = await _copy_run(task._replace(proves=proves), run)
        except (NotFoundError, UsageError, VerificationError, DocumentError) as error:
            if runs or len(names) == 1 or not concerns(error, run):
                raise
            done.append(CopiedRun(run=run, state="not copied", problem=problem_in(error, run)))
            continue
        done.append(copied)
        requests += asked
    return Copied(
        copied=not task.dry,
        source=str(task.source.target),
        target=str(task.target.target),
        runs=tuple(done),
        requests=requests,
        egress=await _egress(task, sum(entry.moved_bytes for entry in done)),
    )


def concerns(error: BqdumpError, run: str) -> bool:
    """Whether an error is about this run, such as about a file of it, and others may be copied."""
    return error.subject == f"run {run}" or isinstance(error, (VerificationError, DocumentError))


def problem_in(error: BqdumpError, run: str) -> str:
    """Why the run was not copied, in words: what of it, and the cause."""
    return error.cause if error.subject == f"run {run}" else f"{error.subject}: {error.cause}"


async def _copy_run(task: Task, run: str) -> tuple[CopiedRun, int]:
    """Copy one run; the number of requests that its files take."""
    surveyed = await survey(task, run)
    if surveyed.other:
        if not task.dry and not task.lock:
            await publish_stopped(task, surveyed, surveyed.other)
        raise another_run(task.target, run, surveyed.manifest, surveyed.other.value)
    if surveyed.copied:
        return await _copied_before(task, surveyed, surveyed.copied), 0
    if task.dry:
        await check_place(task, surveyed.manifest)
        plan = await plan_of(task, surveyed)
        await sources_of(task, surveyed, plan.files)
        lacking = [file.item for file in plan.files]
        return _result(surveyed, "missing", lacking), requests_for(plan.files, rewrites=task.mover.rewrites)
    await claim_place(task, surveyed.manifest)
    if task.lock:
        with locking(task.lock, run):
            return await _copy_locked(task, surveyed, task.lock)
    begun = await begin(task, surveyed)
    if begun is None:
        return await _copy_run(task, run)
    try:
        async with pulse(task.target.store, task.target.layout.run(run).planner, task.owner):
            return await _copy_begun(task, surveyed, begun)
    except (NotFoundError, VerificationError, UsageError) as error:
        if isinstance(error, UsageError):
            # As of a copy that other tasks have completed, and in which a table was erased since.
            await _delete_erased(task, run)
        elif await is_pruned(task, surveyed, begun):
            await name_again(task, surveyed)
            raise pruned_meanwhile(task, run) from error
        raise


async def _copied_before(task: Task, surveyed: Surveyed, manifest: Loaded[Manifest]) -> CopiedRun:
    """Lock a copy that is there for as long as a new one, or finish what follows its manifest."""
    await check_place(task, surveyed.manifest)
    await compare(task, surveyed, manifest)
    if task.lock and not task.proves:
        surveyed = await _as_signed(task, surveyed)
    until = 0
    if task.lock and not task.dry:
        with locking(task.lock, surveyed.run):
            until = await lock_again(task, surveyed, manifest, task.lock)
    elif not task.dry:
        await complete(task, surveyed, manifest)
    return _result(surveyed, "not trusted" if surveyed.untrusted else "there", until=until)


async def _as_signed(task: Task, surveyed: Surveyed) -> Surveyed:
    """The run with what its signatures are, where this call does not compare it to sign it.

    Other keys may be those of earlier copies, or keys that no reader trusts. A run without its pointer is of a copy
    that was stopped before it signed.
    """
    if task.signer is None:
        return surveyed
    if await signed_here(task, surveyed.run):
        return surveyed._replace(signed=True)
    from bqdump.repository.signatures import signatures_there

    place, layout = task.target, task.target.layout
    envelope = await signatures_there(place.store, place.target, layout.run(surveyed.run))
    if envelope is None or not await exists(place.store, layout.entry(surveyed.run, surveyed.manifest.snapshot)):
        return surveyed
    signatures, trusted = envelope.signatures, task.trusted
    if trusted and any(trusted.has_signed(signature.sig, envelope.signed) for signature in signatures):
        return surveyed._replace(signed=True)
    keys = listed([signature.keyid for signature in signatures], "and")
    problem = f"it has a signature of {keys}, and none of the key of this copy"
    ways = "Name the run to have it compared and signed, or trust that key as well, where the source is signed"
    return surveyed._replace(signed=True, untrusted=f"{problem}. {ways}")


async def _copy_begun(task: Task, surveyed: Surveyed, begun: Begun) -> tuple[CopiedRun, int]:
    plan = await plan_of(task, surveyed, begun.again)
    sources = await sources_of(task, surveyed, plan.files)
    moved = await move(task, surveyed, begun, plan, sources)
    if await publishes(task, surveyed):
        await _publish(task, surveyed, begun, moved)
    elif not await exists(task.target.store, task.target.layout.run(surveyed.run).manifest):
        raise pruned_meanwhile(task, surveyed.run)
    else:
        await _delete_erased(task, surveyed.run, published=True)
    return _result(surveyed, "copied", moved.own), requests_for(plan.files, rewrites=task.mover.rewrites)


async def _delete_erased(task: Task, run: str, *, published: bool = False) -> None:
    """Delete what this task may have stored of a table that was erased once another task had stored the manifest.

    published: whether that is known to be there. Prunes do the same, so an error is only logged.
    """
    try:
        if published or await exists(task.target.store, task.target.layout.run(run).manifest):
            await delete_erased_again(pruning(task))
    except BqdumpError as error:
        message = "what a late task has stored of erased tables could not be deleted, which prune tries again: %s"
        log.warning(message, error, extra=LogEvent.CLEANUP_FAILED.extra())


async def _copy_locked(task: Task, surveyed: Surveyed, lock: Locking) -> tuple[CopiedRun, int]:
    """The same where objects are locked: nothing is announced, since the store keeps prune away from what is locked."""
    plan = await plan_of(task, surveyed)
    sources = await sources_of(task, surveyed, plan.files)
    moved = await move(task, surveyed, UNANNOUNCED, plan, sources)
    await lock_files(task, surveyed, moved.here)
    await _publish(task, surveyed, UNANNOUNCED, moved)
    return _result(surveyed, "copied", moved.own, until=lock.until), requests_for(
        plan.files, rewrites=task.mover.rewrites
    )


@contextmanager
def locking(lock: Locking, run: str) -> Iterator[None]:
    """Around writing with a lock: once it has ended, that is the error, as stores refuse to write with it."""
    try:
        yield
    except BqdumpError:
        lock.refuse_ended(run)
        raise


async def _publish(task: Task, surveyed: Surveyed, begun: Begun, moved: Movement) -> None:
    async with publishing(task, surveyed):
        if task.signer:
            await prove_others(task, surveyed, moved)
        await read_unread(task, surveyed, moved.here)
        manifest = await store_manifest(task, surveyed, begun, moved.here)
        await complete(task, surveyed, manifest)
    amount = counted(len(moved.own), "file"), size_text(sum(item.size for item in moved.own))
    copied = LogEvent.RUN_COPIED.extra(run=surveyed.run, target=str(task.target.target))
    log.info("copied run %s to %s (%s, %s)", surveyed.run, task.target.target, *amount, extra=copied)


def _result(surveyed: Surveyed, state: CopyState, moved: Sequence[Item] = (), *, until: int = 0) -> CopiedRun:
    totals = surveyed.manifest.totals
    return CopiedRun(
        run=surveyed.run,
        state=state,
        snapshot_time=time_of(surveyed.manifest.snapshot),
        tables=totals.tables,
        files=totals.files,
        bytes=totals.bytes,
        moved_files=len(moved),
        moved_bytes=sum(item.size for item in moved),
        problem=surveyed.untrusted,
        locked_until=time_of(until) if until else None,
    )


async def _egress(task: Task, moved: int) -> int:
    if not moved or task.source.target.folder:
        return 0
    return egress_of(moved, await _side(task.source), await _side(task.target))


async def _side(place: Place) -> Side:
    location = ""
    if not place.target.folder:
        try:
            location = (await place.store.describe()).location
        except DeniedError:
            # Without permission to read the bucket's settings, the answer is the larger one.
            location = ""
    return Side(place.target, location)


def log_total(result: Copied) -> None:
    """Log once what was copied: of a set, when all its datasets are done."""
    states = Counter(run.state for run in result.runs)
    runs, before = counted(states["copied"], "run"), counted(states["there"], "run")
    moved = f"{counted(result.files, 'file')}, {size_text(result.bytes)}"
    numbers = f"{runs} ({moved}), {before} there before, {states['not copied']} not copied"
    level, event = (logging.ERROR, LogEvent.COPY_FAILED) if result.not_copied else (logging.INFO, LogEvent.COPY_DONE)
    log.log(level, "copied to %s: %s", result.target, numbers, extra=event.extra(target=result.target))
    if untrusted := [f"{run.run} ({run.problem})" for run in result.runs if run.state == "not trusted"]:
        left = LogEvent.RUNS_PASSED_OVER.extra()
        log.warning("not trusted in %s: %s", result.target, named(untrusted, NAMED), extra=left)
