"""What a copy was asked for, its plan, and what it did or would do, as the Python API returns it.

The plan: which files the copy lacks, and in which batches they are moved.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from bqdump.core.copy.manifest import PIECE_BYTES, Item, Missing
from bqdump.core.errors import UsageError
from bqdump.core.results import Result, public
from bqdump.core.retention.policy import Policy, policy_of
from bqdump.core.settings.amounts import period, size
from bqdump.core.settings.settings import RETENTION, Settings
from bqdump.core.settings.target import BUCKET, EXPECTED, Target, parse_target
from bqdump.core.settings.values import run_id
from bqdump.core.sizes import listed, size_text

# A batch has up to so many files, or more of many, and ends with the file that makes it so large, or earlier of little
# data: either way as long as there are so many batches. Files of one batch are moved one after another.
BATCH_FILES, LARGE_BATCH_FILES, MANY_BATCHES, BATCH_BYTES = 16, 64, 32, 256 << 20


class Present(NamedTuple):
    """What the copy has under a name: its generation, size and CRC32C."""

    generation: int
    size: int
    crc32c: str


class CopyPlan(NamedTuple):
    """What a copy of a run moves.

    missing: in batches, the largest files first, each with its number.
    stored: the generations of files that the copy has already, by name.
    foreign: names that other files have.
    """

    missing: tuple[tuple[int, tuple[Missing, ...]], ...]
    stored: dict[str, int]
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
    items: Sequence[Item], present: Mapping[str, Present], deleting: Container[tuple[str, int]] = ()
) -> CopyPlan:
    """The plan for these files.

    present: what the copy has under their names.
    deleting: names and generations that a prune is about to delete; such a file is moved again, under a new generation.
    """
    stored: dict[str, int] = {}
    missing: list[tuple[int, tuple[Missing, ...]]] = []
    foreign: list[str] = []
    for number, batch in enumerate(batches(items)):
        lacking = []
        for item in batch:
            known = present.get(item.target)
            if known is None:
                lacking.append(Missing(item))
            elif (known.size, known.crc32c) != (item.size, item.crc32c):
                foreign.append(item.target)
            elif (item.target, known.generation) in deleting:
                lacking.append(Missing(item, known.generation))
            else:
                stored[item.target] = known.generation
        if lacking:
            missing.append((number, tuple(lacking)))
    return CopyPlan(tuple(missing), stored, tuple(sorted(foreign)))


def batches(items: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
    """The files in batches, those of most pieces first. The same files are always in the same batches.

    Files of as many pieces are in the order of their names, so that a listing of a few names has those of a batch.
    """
    batch, size = list[Item](), 0
    ordered = sorted(items, key=lambda item: (-item.size // PIECE_BYTES, item.target.encode()))
    most = max(BATCH_FILES, min(LARGE_BATCH_FILES, len(ordered) // MANY_BATCHES))
    enough = max(PIECE_BYTES, min(BATCH_BYTES, sum(item.size for item in ordered) // MANY_BATCHES))
    for item in ordered:
        batch.append(item)
        size += item.size
        if len(batch) >= most or size >= enough:
            yield tuple(batch)
            batch, size = [], 0
    yield from [tuple(batch)] if batch else ()


CopyState = Literal["copied", "there", "not trusted", "missing", "not copied"]


@public
class CopiedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the source.

    files, bytes: all that it has.
    moved_files, moved_bytes: those that the copy lacked.
    dataset: of a set, "" for the only export of its place.
    state: copied; there: it was copied before; not trusted: there, signed by other keys alone; missing: of a dry run,
        it would be copied; not copied: for the reason in `problem`.
    locked_until: until then none of its objects there can be deleted; null for a copy that is not locked, and of a dry
        run.
    """

    run: str
    dataset: str = ""
    state: CopyState
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    moved_files: int = 0
    moved_bytes: int = 0
    problem: str = ""
    locked_until: datetime | None = None


@public
class Copied(Result, frozen=True, kw_only=True):
    """The runs that were copied, or would be, in the order of their snapshot times. copied: False for a dry run.

    source, target: their addresses.
    requests: about how many a dry run expects, for the files.
    egress: the bytes, of those moved, that leave the location of the source.
    notes: what else a person should know, in sentences.
    """

    copied: bool
    source: str
    target: str
    runs: tuple[CopiedRun, ...]
    requests: int = 0
    egress: int = 0
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """The files that were moved, or would be."""
        return sum(run.moved_files for run in self.runs)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(run.moved_bytes for run in self.runs)

    @property
    def not_copied(self) -> list[CopiedRun]:
        """The runs that cannot be copied, or whose copy is not trusted."""
        return [run for run in self.runs if run.state in ("not copied", "not trusted")]


# https://cloud.google.com/storage/docs/storage-classes
LOCK_MODES = ("governance", "compliance")
LEAST_LIMIT = 100 * 10**3
STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
RULES = tuple(name for name in RETENTION if name.startswith("keep_"))
COPY = "copy"
DAY_SECONDS = 24 * 3600


class Request(NamedTuple):
    """target: where to.
    runs: by name; none: see policy and every, else the published run.
    policy: copy the runs that it keeps.
    every: all complete runs.
    storage_class: of the files there, "" for that of the bucket.
    digests: read files whose bytes pass inside the service, for their SHA-256.
    dry: only look.
    lock: for how many seconds every object is locked, 0 for not at all.
    lock_mode: see CopyPlace.
    limit: how many bytes of files are read in a second, by all tasks together; 0 for as many as possible.
    """

    target: Target
    runs: tuple[str, ...] = ()
    policy: Policy = Policy()
    every: bool = False
    storage_class: str = ""
    digests: bool = False
    dry: bool = False
    lock: int = 0
    lock_mode: Literal["", "governance", "compliance"] = ""
    limit: float = 0


def requested_copy(
    settings: Settings,
    dest: str,
    runs: Sequence[str],
    rules: Collection[str],
    *,
    every: bool,
    storage_class: str,
    digests: bool,
    dry: bool,
    lock: object = "",
    lock_mode: str = "",
    limit: int | str = "",
) -> Request:
    """The request. rules: the names of the arguments that are rules of retention. Raises UsageError."""
    named = dest
    try:
        target = parse_target(dest)
        if place := next((run for run in runs if "/" in run), ""):
            cause = "the destination is the only place to name as an argument"
            hint = "Name the export to copy with {setting:to} or {setting:bucket}."
            remaining = [run for run in runs if run != place]
            hint = hint if "/" in dest else f"Name it first: bqdump copy {shlex.join([place, dest, *remaining])}"
            raise UsageError(COPY, repr(place), cause, hint)
        names = tuple(dict.fromkeys([run_id(named := run) for run in runs]))
    except ValueError as error:
        raise UsageError(COPY, repr(named), str(error)) from None
    if not target:
        raise UsageError(COPY, repr(dest), "it names no place", f"Use {EXPECTED}.")
    chosen = [*(["runs by name"] if names else []), *(["all runs"] if every else []), *(["a policy"] if rules else [])]
    if len(chosen) > 1:
        raise UsageError(COPY, "", f"{listed(chosen, 'and')} were given", "Use one of them.")
    if storage_class and storage_class.upper() not in STORAGE_CLASSES:
        raise UsageError(COPY, "", f"unknown storage class {storage_class!r}; expected {listed(STORAGE_CLASSES)}")
    if storage_class and target.scheme != BUCKET:
        raise UsageError(COPY, str(target), "a storage class is for buckets of Cloud Storage only", "Leave it out.")
    policy = _policy(settings, rules) if rules else Policy()
    locking, rate = _locking(target, lock, lock_mode), _limit(settings.target, target, limit)
    return Request(target, names, policy, every, storage_class.upper(), digests, dry, *locking, rate)


def _limit(source: Target, target: Target, limit: object) -> int:
    """How many bytes may be read in a second, 0 for no limit. Raises UsageError."""
    if limit == "":
        return 0
    try:
        rate = size(limit)
    except ValueError:
        rate = 0
    if rate < LEAST_LIMIT:
        cause = f"invalid value {limit!r}: expected bytes per second such as 50MB, at least {size_text(LEAST_LIMIT)}"
        raise UsageError(COPY, "", cause, setting="limit")
    if source.scheme == target.scheme == BUCKET:
        cause = (
            "between buckets of Cloud Storage the service moves the bytes, and does not pass them through this process"
        )
        raise UsageError(COPY, str(target), cause, "Leave it out.", setting="limit")
    return rate


def _locking(target: Target, lock: object, lock_mode: str) -> tuple[int, Literal["", "governance", "compliance"]]:
    """For how long objects are locked, in seconds, and how. Raises UsageError."""
    try:
        seconds = period(lock) or 0
    except ValueError as error:
        raise UsageError(COPY, repr(lock), str(error), setting="lock") from None
    if not seconds:
        if lock_mode or lock != "":
            raise UsageError(COPY, "", "it is not said for how long to lock the copy", "Such as {setting:lock=35d}.")
        return 0, ""
    if seconds < DAY_SECONDS:
        cause = "a lock that ends within a day protects nothing"
        hint = "Lock for a day or longer, such as with {setting:lock=35d}."
        raise UsageError(COPY, repr(lock), cause, hint, setting="lock")
    if target.folder:
        cause = "files in a folder cannot be locked: who may write there may delete them"
        hint = "Copy to a bucket of Cloud Storage or S3, or leave out {setting:lock}."
        raise UsageError(COPY, str(target), cause, hint)
    mode = lock_mode.lower() or "governance"
    if mode not in LOCK_MODES:
        raise UsageError(COPY, repr(lock_mode), f"expected {listed(LOCK_MODES)}", setting="lock_mode")
    return seconds, "compliance" if mode == "compliance" else "governance"


def _policy(settings: Settings, rules: Collection[str]) -> Policy:
    """Of the rules that were given for this copy: those in a file are of the source."""
    none = {field.name: field.default for field in msgspec.structs.fields(Settings) if field.name in RULES}
    rules_given = {name: getattr(settings, name) for name in rules}
    return policy_of(msgspec.structs.replace(settings, **(none | rules_given)))
