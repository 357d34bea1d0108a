"""Locks of single objects: what they hold back, until when, and that they only become longer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast

from bqdump.core.errors import BqdumpError
from bqdump.ports.store import ObjectInfo
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.result import NotTriedError
from bqdump_claims.scratch import Scratch

if TYPE_CHECKING:
    from bqdump.ports.store import Locks

DATA = b'{"of":"bqdump check-service"}'
PAGE = "internals/copying.md#locked-copies"
# Enough for a few requests, and not too long to wait for, as the check deletes what it has made. In seconds.
SHORT, LONG, LATE = 10, 15, 1


async def _change_a_locked_object(scratch: Scratch) -> Observed:
    """One object to delete and one to replace, before the end of their locks and after it."""
    deleted, replaced = await _new_object(scratch, "deleted"), await _new_object(scratch, "replaced")
    until = _in_seconds(SHORT)
    for info in (deleted, replaced):
        await _lock(scratch, info, until)
    before = await _delete(scratch, deleted), await _replace(scratch, replaced)
    _refuse_late(until)
    await _wait_for_end(until)
    after = await _delete(scratch, deleted), await _replace(scratch, replaced)
    return {
        "delete": before[0],
        "replace": before[1],
        "delete after its end": after[0],
        "replace after its end": after[1],
    }


async def _extend_a_lock(scratch: Scratch) -> Observed:
    info = await _new_object(scratch, "extended")
    sooner, later = _in_seconds(SHORT), _in_seconds(LONG)
    await _lock(scratch, info, sooner)
    await _lock(scratch, info, later)
    longer = await _locked_until(scratch, info)
    try:
        await _lock(scratch, info, sooner)
        shortened = "done"
    except BqdumpError:
        shortened = "refused"
    last = await _locked_until(scratch, info)
    _refuse_late(sooner)
    await _wait_for_end(later)
    ends = {sooner: "sooner", later: "later"}
    return {
        "end once extended": ends.get(longer, str(longer)),
        "shorten": shortened,
        "end after that": ends.get(last, str(last)),
    }


async def _new_object(scratch: Scratch, name: str) -> ObjectInfo:
    if not (await scratch.store.describe()).locks:
        raise NotTriedError("the bucket was created without --enable-per-object-retention")
    return await scratch.put(f"{scratch.place.folder}locks/{name}.json", DATA)


def _in_seconds(seconds: int) -> int:
    """A whole second, in milliseconds since 1970 UTC."""
    return (int(time.time()) + seconds) * 1000


def _refuse_late(until: int) -> None:
    """Raises NotTriedError where a lock has ended before what it holds back was tried."""
    if time.time() * 1000 >= until:
        raise NotTriedError("the requests took longer than the lock")


async def _wait_for_end(until: int) -> None:
    await asyncio.sleep(max(0.0, until / 1000 - time.time()) + LATE)


async def _lock(scratch: Scratch, info: ObjectInfo, until: int) -> None:
    """Raises what the store answers, such as DeniedError."""
    locks = cast("Locks", scratch.store)
    (answer,) = await scratch.begin(locks.extend([(info.name, info.generation)], until))
    if isinstance(answer, BqdumpError):
        raise answer


async def _locked_until(scratch: Scratch, info: ObjectInfo) -> int:
    stored = await scratch.store.stat(info.name)
    return stored.locked_until if stored else 0


async def _delete(scratch: Scratch, info: ObjectInfo) -> str:
    (answer,) = await scratch.begin(scratch.store.delete([(info.name, info.generation)]))
    return "refused" if isinstance(answer, BqdumpError) else "done" if answer else "not found"


async def _replace(scratch: Scratch, info: ObjectInfo) -> str:
    try:
        await scratch.begin(scratch.store.write(info.name, DATA, info.generation))
    except BqdumpError:
        return "refused"
    return "done"


CLAIMS = (
    Claim(
        "locks.held",
        sentence="a locked object is neither deleted nor replaced before the end of its lock, and both are possible "
        "after it",
        page=PAGE,
        expected={
            "delete": "refused",
            "replace": "refused",
            "delete after its end": "done",
            "replace after its end": "done",
        },
        observe=_change_a_locked_object,
    ),
    Claim(
        "locks.extended",
        sentence="a lock is extended, and not shortened",
        page=PAGE,
        expected={"end once extended": "later", "shorten": "refused", "end after that": "later"},
        observe=_extend_a_lock,
    ),
)
