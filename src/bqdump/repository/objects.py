"""Objects that are not typed documents, such as reports and Iceberg metadata: absence and lost races are answers.

Whether files still exist as a manifest records them, found by listing: a request for each file would be too many.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import cast

from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import File, Manifest
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.errors import AnswerError, ConflictError, DeniedError, NotFoundError, TargetError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.sizes import counted
from bqdump.ports.store import Hidden, Keeper, ObjectInfo, ObjectStore, Stored

log = logging.getLogger(__name__)
# What follows the folder of a run in the names of signatures.
SIGNATURE = re.compile(r"signature(-[0-9a-f]{16})?\.json\Z")
# Of objects that were hidden, so many are named.
NAMED = 10


async def read_object(store: ObjectStore, name: str) -> Stored | None:
    """The object, or None if there is none."""
    try:
        return await store.read(name)
    except NotFoundError:
        return None


async def write_object(store: ObjectStore, name: str, data: bytes, expect: int) -> int | None:
    """Store the object over exactly this generation (0: none). The new one, None if another writer was faster."""
    try:
        return await store.write(name, data, expect)
    except ConflictError:
        return None


async def write_once(store: ObjectStore, name: str, data: bytes) -> int:
    """Store an object that all its writers store with the same bytes. The generation, whichever has stored it.

    What has other bytes was damaged since, and is replaced.
    """
    if generation := await write_object(store, name, data, 0):
        return generation
    stored = await read_object(store, name)
    return (
        stored.generation
        if stored and stored.data == data
        else await store.write(name, data, stored.generation if stored else 0)
    )


def common_prefix(names: Collection[str]) -> str:
    """What all of these names begin with, so that one listing has all of them; "" for none."""
    if not names:
        return ""
    first, last = min(names), max(names)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


async def hidden_in(
    store: ObjectStore, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None
) -> dict[str, Hidden]:
    """What was deleted below the prefix and the store would bring back, by name; none where that cannot be seen.

    replaced, wanted: see Keeper.
    """
    if not store.abilities.deleted:
        return {}
    try:
        objects = await cast("Keeper", store).hidden(prefix, replaced=replaced, wanted=wanted)
    except (DeniedError, AnswerError, TargetError):
        return {}
    return {hidden.name: hidden for hidden in objects}


async def uncover(store: ObjectStore, hidden: Mapping[str, Hidden]) -> None:
    """Read these as they were from now on, and log each, by name, once."""
    if not hidden:
        return
    new = await cast("Keeper", store).uncover(list(hidden.values()))
    for object_ in new[:NAMED]:
        log.warning("%s is %s", object_.name, object_.text, extra=LogEvent.OBJECT_HIDDEN.extra())
    if (more := len(new) - NAMED) > 0:
        message = "%s hidden or replaced as well; `verify` reports all of them"
        which = f"{counted(more, 'more object')} {'was' if more == 1 else 'were'}"
        log.warning(message, which, extra=LogEvent.OBJECT_HIDDEN.extra())


async def uncover_generations(store: ObjectStore, lost: Mapping[str, int]) -> dict[str, Hidden]:
    """Those of these objects that were hidden or replaced, by name: read as they were from now on. lost: generations.

    One listing for 1,000 versions, where locks do not prevent that; none elsewhere.
    """
    if not lost or not store.abilities.markers:
        return {}
    hidden = await hidden_in(store, common_prefix(lost), replaced=True, wanted=lost)
    await uncover(store, hidden)
    return hidden


async def uncover_files(
    store: ObjectStore, manifest: Manifest, files: Iterable[File], listed: Mapping[str, ObjectInfo]
) -> dict[str, Hidden]:
    """The same for files of a run, if it is a locked copy. listed: what a listing has, where most are as recorded."""
    if not (manifest.copy_of and manifest.copy_of.locked_until):
        return {}
    lost = {
        file.name: file.generation
        for file in files
        if (info := listed.get(file.name)) is None or info.generation != file.generation
    }
    return await uncover_generations(store, lost)


# Up to this many files are looked at one by one.
FEW = 16
STATS_AT_ONCE = 32

# The CRC32C of files by name, generation and size, as documents have recorded them.
Recorded = Mapping[tuple[str, int, int], str]
NOTHING: Recorded = {}


async def names_below(store: ObjectStore, prefix: str) -> list[str]:
    """The names of all objects that begin with this."""
    return [info.name async for page in store.objects(prefix) for info in page]


async def names_of_signatures(store: ObjectStore, names: RunLayout) -> list[str]:
    """The names of the signatures of a manifest, the first one last."""
    return [
        name for name in await names_below(store, f"{names.root}signature") if SIGNATURE.match(name, len(names.root))
    ]


async def looked_up(store: ObjectStore, names: Iterable[str]) -> list[ObjectInfo | None]:
    """The objects of these names, in their order, each with a request of its own; None for one that does not exist."""
    return await gathered(store.stat, names, STATS_AT_ONCE)


async def present(store: ObjectStore, names: Collection[str], recorded: Recorded = NOTHING) -> dict[str, ObjectInfo]:
    """The objects of these names that exist, by name. recorded: see with_checksums."""
    sorted_names = sorted(set(names), key=str.encode)
    if len(sorted_names) <= FEW:
        infos = await looked_up(store, sorted_names)
        return {info.name: info for info in infos if info}
    return await with_checksums(store, await _listed(store, sorted_names), recorded)


def recorded_in(files: Iterable[File]) -> Recorded:
    """What a manifest has recorded of these files."""
    return {(file.name, file.generation, file.size): file.crc32c for file in files}


async def with_checksums(
    store: ObjectStore, listed: Mapping[str, ObjectInfo], recorded: Recorded = NOTHING
) -> dict[str, ObjectInfo]:
    """Objects from a listing, by name, with their CRC32C where the store's listings have none.

    An object of the recorded generation and size has the recorded one. Any other costs a request.
    """
    if store.abilities.listed_checksums:
        return dict(listed)
    checked, unknown = dict[str, ObjectInfo](), list[str]()
    for name, info in listed.items():
        if checksum := recorded.get((name, info.generation, info.size)):
            checked[name] = info._replace(crc32c=checksum)
        else:
            unknown.append(name)
    asked = await gathered(store.stat, unknown, STATS_AT_ONCE)
    return checked | {info.name: info for info in asked if info}


async def _listed(store: ObjectStore, sorted_names: list[str]) -> dict[str, ObjectInfo]:
    """The same from listings, which skip what lies between the files, such as bqdump's own documents."""
    encoded, known = [name.encode() for name in sorted_names], set(sorted_names)
    prefix, last = _common(sorted_names[0], sorted_names[-1]), encoded[-1]
    infos: dict[str, ObjectInfo] = {}
    at = 0
    while at < len(sorted_names):
        async with aclosing(_pages(store, prefix, sorted_names[at])) as pages:
            at = len(sorted_names)
            async for page in pages:
                here = {info.name: info for info in page if info.name in known}
                infos |= here
                if page and not here and page[-1].name.encode() < last:
                    # No such name on this page: the listing goes on where the next one is.
                    at = bisect_left(encoded, page[-1].name.encode())
                    break
                if page and page[-1].name.encode() >= last:
                    break
    return infos


async def _pages(store: ObjectStore, prefix: str, start: str) -> AsyncGenerator[list[ObjectInfo], None]:
    async for page in store.objects(prefix, start):
        yield page


def differs(file: File, info: ObjectInfo | None) -> str:
    """How the object at a file's name differs from it, in words; "" if it does not."""
    if info is None:
        return "is gone"
    same = (info.generation, info.size, info.crc32c) == (file.generation, file.size, file.crc32c)
    return "" if same else "was written again"


def _common(first: str, last: str) -> str:
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
