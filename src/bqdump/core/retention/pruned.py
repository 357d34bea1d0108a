"""What prune found and did, as the Python API returns it.

Mark and sweep: the files that only removed runs name, and what each run names alone.

Whether what a manifest names, and what is found in a run's folder, is that run's own.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from bqdump.core.documents.manifest import File, IcebergFile, ManifestFiles
from bqdump.core.documents.retention import ObjectVersion, RetainedFiles
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.results import Result, public

# Of runs without a manifest.
OpenState = Literal["planning", "copying", "running", "failed", "superseded"]
RetainedState = Literal[OpenState, "complete", "partial", "pruning"]


@public
class RetainedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run as prune sees it.

    state: "pruning" if an earlier prune has taken it out of the log, and its files wait for a day.
    removed: whether it is removed, or would be: taken out of the log; if it was before, deleted with its files.
    reasons: the rules that keep it, or why it is removed ("abandoned", "pruned 26 hours ago").
    dataset: with its project, "" if it is not known.
    bytes: of all files that it names.
    alone: bytes that no other run names, which removing this run alone frees. None if nothing is removed: then no
        manifest is read.
    """

    run: str
    state: RetainedState
    removed: bool
    reasons: tuple[str, ...]
    dataset: str = ""
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    alone: int | None = None
    tags: tuple[str, ...] = ()


@public
class Pruned(Result, frozen=True, kw_only=True):
    """Which runs prune keeps and removes.

    deleted: False if this was only shown.
    files, bytes: of the export's files that are deleted, or would be: of runs that were removed a day before.
    later_files, later_bytes: of those that the first prune a day from now deletes: of runs that are removed now.
    left: objects in the removed runs' places that are not theirs for certain, and stay.
    notes: what else a person should know, in sentences.
    """

    deleted: bool
    runs: tuple[RetainedRun, ...]
    files: int
    bytes: int
    later_files: int = 0
    later_bytes: int = 0
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def removed(self) -> list[RetainedRun]:
        """The runs that are removed."""
        return [run for run in self.runs if run.removed]

    @property
    def kept(self) -> list[RetainedRun]:
        """The runs that stay."""
        return [run for run in self.runs if not run.removed and run.state != "pruning"]


def pruned_together(pruned: Sequence[Pruned]) -> Pruned:
    """One result for several exports."""
    return Pruned(
        deleted=any(result.deleted for result in pruned),
        runs=tuple(run for result in pruned for run in result.runs),
        files=sum(result.files for result in pruned),
        bytes=sum(result.bytes for result in pruned),
        later_files=sum(result.later_files for result in pruned),
        later_bytes=sum(result.later_bytes for result in pruned),
        left=tuple(name for result in pruned for name in result.left),
        notes=tuple(dict.fromkeys(note for result in pruned for note in result.notes)),
    )


def files_of(manifest: ManifestFiles) -> Iterator[File | IcebergFile]:
    """Every object that a manifest names, those of failed tables and of exports before the first one included."""
    for table in (*manifest.tables, *manifest.left):
        yield from table.objects
    yield from manifest.found


def versions_of(manifest: ManifestFiles) -> tuple[ObjectVersion, ...]:
    """The files that go if the run goes, unless another run names them."""
    return tuple(ObjectVersion(file.name, file.generation, file.size) for file in files_of(manifest))


class Sweep:
    """The files to delete: those of removed runs, without those that a kept run names at the same generation."""

    def __init__(self, files: Iterable[ObjectVersion]) -> None:
        self._left = {(file.name, file.generation): file for file in files}

    def mark(self, manifest: ManifestFiles) -> None:
        """Keep what this manifest names."""
        if self._left:
            for file in files_of(manifest):
                self._left.pop((file.name, file.generation), None)

    def keep_versions(self, files: Iterable[ObjectVersion]) -> None:
        """Keep these files."""
        for file in files:
            self._left.pop((file.name, file.generation), None)

    def keep(self, names: Iterable[str]) -> None:
        """Keep the files of these names, at any generation."""
        if kept := set(names):
            self._left = {key: file for key, file in self._left.items() if key[0] not in kept}

    @property
    def files(self) -> list[ObjectVersion]:
        """What is left to delete, by name."""
        return sorted(self._left.values(), key=lambda file: (file.name, file.generation))


class Usage(NamedTuple):
    """What a run takes up.

    files, bytes: all that it names.
    alone: bytes that no other run names.
    shared: bytes that other runs name as well; removing this run alone does not free them.
    """

    files: int
    bytes: int
    alone: int

    @property
    def shared(self) -> int:
        """The bytes that other runs name, too."""
        return self.bytes - self.alone


class Storage:
    """The storage of several runs: which of them share files. Add each run once. bytes: of all, each file once."""

    def __init__(self) -> None:
        # A file by a hash of 64 bits, as there may be millions; and the run that names it, None for several.
        self._owner: dict[int, str | None] = {}
        self._named: dict[str, tuple[int, int]] = {}
        self._alone: dict[str, int] = {}
        self.bytes = 0

    def add(self, run: str, manifest: ManifestFiles, present: Container[tuple[str, int]] | None = None) -> None:
        """Count the files of a run. present: names and generations that exist; None: all do."""
        count = size = 0
        self._alone[run] = 0
        for file in files_of(manifest):
            if present is not None and (file.name, file.generation) not in present:
                continue
            count, size, key = count + 1, size + file.size, hash((file.name, file.generation))
            owner = self._owner.setdefault(key, "")
            if owner == "":
                self._owner[key] = run
                self._alone[run] += file.size
                self.bytes += file.size
            elif owner is not None and owner != run:
                self._owner[key] = None
                self._alone[owner] -= file.size
        self._named[run] = count, size

    def of(self, run: str) -> Usage:
        """The usage of a run that was added."""
        return Usage(*self._named[run], self._alone[run])

    def __contains__(self, run: object) -> bool:
        return run in self._named


# What is below the folder of a run, as RunLayout names it.
DOCUMENTS = re.compile(
    r"(plan|planner|publisher|intent|manifest|signature(-[0-9a-f]{16})?|iceberg|contents|copying)\.json"
    r"|(units|definitions)-[0-9a-f]{1,32}\.jsonl?|renewed-[0-9]+\.json"
    r"|(report|failed-[^/]+)\.html"
    r"|(claims|readings|digests|sessions|receipts|notified|copied|moving)/[^/]+\.json"
    r"|failures/[^/]+/[^/]+\.json"
    r"|data/.+",
    re.DOTALL,
)


def is_document(name: str, run: RunLayout) -> bool:
    """Whether an object of this name is one of the run's own documents or staged files."""
    return name.startswith(run.root) and DOCUMENTS.fullmatch(name, len(run.root)) is not None


def foreign_file(manifest: RetainedFiles) -> str:
    """Why a manifest names a file that cannot be its run's, where each run keeps its files; "" where it does not.

    The name of such a file contains the id of the run that made it. Others may be those of another export.
    """
    if manifest.replaces:
        return ""
    for table in manifest.tables:
        for origin, file in table.origins(manifest.run):
            if origin not in file.name:
                return f"{file.name!r} is not a file of run {origin}"
    return ""
