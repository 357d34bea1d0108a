"""The plan of a copy: which files the copy lacks, and in which batches they are moved.

What a copy costs, before it begins: requests to both sides, and bytes that leave the location.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bqdump.core.copy.manifest import Item
from bqdump.core.settings.target import Target

# A batch ends with the file that makes it so large; what it has read is recorded with one request.
BATCH_FILES, BATCH_BYTES = 16, 256 << 20


class Present(NamedTuple):
    """What the copy has under a name: its generation, size and CRC32C."""

    generation: int
    size: int
    crc32c: str


class Missing(NamedTuple):
    """A file that the copy lacks. expect: the generation that it replaces, 0 for none."""

    item: Item
    expect: int = 0


class CopyPlan(NamedTuple):
    """What a copy of a run moves.

    missing: in batches, the largest files first, each with its number. there: the generations of files that the copy
    has already, by name. foreign: names that other files have.
    """

    missing: tuple[tuple[int, tuple[Missing, ...]], ...]
    there: dict[str, int]
    foreign: tuple[str, ...]

    @property
    def files(self) -> list[Missing]:
        """All files to move."""
        return [file for _, batch in self.missing for file in batch]

    @property
    def bytes(self) -> int:
        """The bytes to move."""
        return sum(file.item.size for file in self.files)


def plan_copy(
    items: Sequence[Item], present: Mapping[str, Present], doomed: Container[tuple[str, int]] = ()
) -> CopyPlan:
    """The plan for these files.

    present: what the copy has under their names. doomed: names and generations that a prune is about to delete; such a
    file is moved again, under a new generation.
    """
    there: dict[str, int] = {}
    missing: list[tuple[int, tuple[Missing, ...]]] = []
    foreign: list[str] = []
    for number, batch in enumerate(batches(items)):
        lacking = []
        for item in batch:
            found = present.get(item.target)
            if found is None:
                lacking.append(Missing(item))
            elif (found.size, found.crc32c) != (item.size, item.crc32c):
                foreign.append(item.target)
            elif (item.target, found.generation) in doomed:
                lacking.append(Missing(item, found.generation))
            else:
                there[item.target] = found.generation
        if lacking:
            missing.append((number, tuple(lacking)))
    return CopyPlan(tuple(missing), there, tuple(sorted(foreign)))


def batches(items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
    """The files in batches, the largest first. The same files are always in the same batches."""
    batch: list[Item] = []
    size = 0
    for item in sorted(items, key=lambda item: (-item.size, item.target)):
        batch.append(item)
        size += item.size
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)


# The bytes of one request for a part of a file, on both sides.
PIECE_BYTES = 8 << 20


class Side(NamedTuple):
    """One side of a copy. location: of the bucket, such as a region; "" for a folder, or where it is not known."""

    target: Target
    location: str


def requests_for(missing: Iterable[Missing], *, rewrites: bool) -> int:
    """About how many requests move these files: reads and writes of parts. rewrites: the service moves the bytes."""
    if rewrites:
        return sum(1 for _ in missing)
    return sum(_pieces(file.item.size) + _uploads(file.item.size) for file in missing)


def egress_of(moved: int, source: Side, target: Side) -> int:
    """The bytes, of those moved, that leave the location of the source: all, unless both are known to be in one place.

    A folder may be on a machine in the bucket's own location, which bqdump cannot see.
    """
    if source.target.folder:
        return 0
    services = source.target.scheme, target.target.scheme
    same = services[0] == services[1] and source.location.upper() == target.location.upper() != ""
    return 0 if same else moved


def _pieces(size: int) -> int:
    return -(-size // PIECE_BYTES)


def _uploads(size: int) -> int:
    """The parts of an upload, one request that begins it if there are several, and one that reads what is stored."""
    parts = max(1, _pieces(size))
    return parts + (parts > 1) + 1
