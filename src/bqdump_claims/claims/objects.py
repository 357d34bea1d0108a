"""Objects: generations, preconditions, copies, listings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from bqdump.core.documents.document import STATE
from bqdump.core.errors import BqdumpError, ConflictError
from bqdump.ports.store import Copy
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.result import NotTriedError
from bqdump_claims.scratch import Scratch

DATA = b'{"of":"bqdump check-service"}'
PUBLISHING = "internals/publishing.md#publishing"


async def _write_repeatedly(scratch: Scratch) -> Observed:
    """Written, written again in the next second, deleted, and written once more."""
    name = scratch.place.folder + "generations.json"
    first = (await scratch.put(name, DATA)).generation
    await asyncio.sleep(1 - time.time() % 1)
    second = (await scratch.put(name, DATA, first)).generation
    await scratch.store.delete([(name, second)])
    # Cloud Storage accepts one write a second for each name.
    await asyncio.sleep(SECOND)
    third = (await scratch.put(name, DATA)).generation
    return {"each one": "larger than the last" if first < second < third else f"{first}, {second}, {third}"}


SECOND = 1.05


async def _write_at_generations(scratch: Scratch) -> Observed:
    name = scratch.place.folder + "preconditions.json"
    generation = (await scratch.put(name, DATA)).generation
    return {
        "create again": await _outcome(scratch.store.write(name, DATA, 0)),
        "replace another generation": await _outcome(scratch.store.write(name, DATA, generation - 1)),
        "delete another generation": str((await scratch.store.delete([(name, generation - 1)]))[0]),
        "delete this generation": str((await scratch.store.delete([(name, generation)]))[0]),
    }


async def _outcome(write: Awaitable[int]) -> str:
    try:
        await write
    except ConflictError:
        return "refused"
    return "done"


async def _copy_in_a_batch(scratch: Scratch) -> Observed:
    folder = f"{scratch.place.folder}copies/"
    source = await scratch.put(f"{folder}a b 日本.json", DATA)
    wishes = [
        Copy(source.name, source.generation, f"{folder}copy.json", 0, source.size, source.crc32c),
        Copy(source.name, source.generation - 1, f"{folder}other.json", 0),
    ]
    done, gone = await scratch.begin(scratch.store.copy(wishes, "check"))
    again, *_ = await scratch.begin(scratch.store.copy(wishes[:1], "check"))
    listed = {info.name: info for info in await scratch.objects(folder)}
    copied = listed.get(wishes[0].target)
    return {
        "copy": "done" if not isinstance(done, BqdumpError) else done.cause,
        "of another generation": "refused" if isinstance(gone, BqdumpError) else "done",
        "over an object": "refused" if isinstance(again, BqdumpError) else "done",
        "content": "the same" if copied and (copied.size, copied.crc32c) == (source.size, source.crc32c) else "another",
        "origin in the listing": copied.origin if copied else "",
    }


async def _list_folder(scratch: Scratch) -> Observed:
    folder = f"{scratch.place.folder}listing/{STATE}/"
    for name in ("drills/a.json", "log/b.json", "tags/c.json"):
        await scratch.begin(scratch.store.write_note(f"{folder}{name}", DATA, 0))
    await scratch.put(f"{folder}tags/d.json", DATA)
    notes = [note async for page in scratch.store.notes(folder) for note in page]
    later = [info async for page in scratch.store.objects(folder, f"{folder}log/b.json") for info in page]
    return {
        "notes": f"{sum(note.data == DATA for note in notes)} of 4",
        "from a name on": ", ".join(info.name.removeprefix(folder) for info in later),
        "folders": ", ".join(name.removeprefix(folder) for name in await scratch.store.folders(folder)),
    }


async def _copy_under_a_key(scratch: Scratch) -> Observed:
    if not scratch.place.key:
        raise NotTriedError("no --kms-key is given")
    folder = f"{scratch.place.folder}key/"
    source = await scratch.put(f"{folder}a.json", DATA)
    wish = Copy(source.name, source.generation, f"{folder}b.json", 0, source.size, source.crc32c)
    (result,) = await scratch.begin(scratch.store.copy([wish], "check"))
    if isinstance(result, BqdumpError):
        raise result
    return {
        "copy": "done",
        "content": "the same" if (await scratch.store.read(wish.target)).data == DATA else "another",
    }


CLAIMS = (
    Claim(
        "objects.generations",
        sentence="each write of an object has a larger generation than the one before, in the next second and after a "
        "deletion",
        page=PUBLISHING,
        expected={"each one": "larger than the last"},
        observe=_write_repeatedly,
    ),
    Claim(
        "objects.preconditions",
        sentence="an object is created, replaced and deleted only at the generation that is expected",
        page=PUBLISHING,
        expected={
            "create again": "refused",
            "replace another generation": "refused",
            "delete another generation": "False",
            "delete this generation": "True",
        },
        observe=_write_at_generations,
    ),
    Claim(
        "objects.copies",
        sentence="a batch copies objects at a generation and over a generation, with their content and origin",
        page=PUBLISHING,
        expected={
            "copy": "done",
            "of another generation": "refused",
            "over an object": "refused",
            "content": "the same",
            "origin in the listing": "check",
        },
        observe=_copy_in_a_batch,
    ),
    Claim(
        "objects.listing",
        sentence="a listing returns notes with their content, begins at a name, and returns folders",
        page="internals/work.md#finishing-at-the-cost-of-listings",
        expected={
            "notes": "4 of 4",
            "from a name on": "log/b.json, tags/c.json, tags/d.json",
            "folders": "drills, log, tags",
        },
        observe=_list_folder,
    ),
    Claim(
        "objects.key",
        sentence="a batch copies objects under a Cloud KMS key",
        page=PUBLISHING,
        expected={"copy": "done", "content": "the same"},
        observe=_copy_under_a_key,
    ),
)
