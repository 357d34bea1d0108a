"""The history of runs: all runs of a target, and how they ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.changes import TableGrowth
from bqdump.core.documents.target import Drill, LogEntry, entry_of
from bqdump.core.documents.validation import CHANGED
from bqdump.core.errors import DocumentError, VerificationError
from bqdump.core.restore.drill import Restorable, by_run, of_the_rest
from bqdump.core.results import Result, Rows, public
from bqdump.core.retention.pruned import Storage
from bqdump.core.settings.settings import Settings
from bqdump.core.times import EPOCH, milliseconds_of, parse_time, time_in, time_of
from bqdump.core.wording import COMMANDS, Commands, fill
from bqdump.observe.status import status_with
from bqdump.ports.store import ObjectStore
from bqdump.repository.complete_runs import visible_log
from bqdump.repository.drills import proof_of, read_drills
from bqdump.repository.log import LogLine, check_manifest, entries_in, manifests_in
from bqdump.repository.manifests import contents_of, read_contents
from bqdump.repository.notes import readable_tags
from bqdump.repository.pruned_runs import is_pruned
from bqdump.repository.published import enter_again, readable_in
from bqdump.repository.repository import exists, read, value_of
from bqdump.repository.storage import read_storage

READS_AT_ONCE = 4
# Requests for the metadata of an object.
LOOKS_AT_ONCE = 32
NEITHER = "has neither the plan of a run nor a manifest. {call:prune} shows what it holds."
RunState = Literal[
    "planning", "copying", "running", "failed", "superseded", "complete", "partial", "unreadable",
    "not trusted",
]  # fmt: skip


@public
class RunLine(Result, frozen=True, kw_only=True):
    """One run of a target. published: whether latest.json names it.

    state: see docs/python.md.
    rows: exported rows if known, else BigQuery's count at planning.
    begun, ended: the first creation and the last end of a job, None without jobs.
    problem: why a run is `unreadable`, `not trusted` or not in the log, or its tags are unreadable.
    carried: number of tables carried over from earlier runs, the oldest of which is as of `oldest_snapshot_time`.
    reused: number of unchanged tables, whose files earlier runs exported.
    proven: when a drill last proved that `proven_tables` of `provable_tables` of the run can be restored.
    oldest_proof: when a drill proved the table of these whose proof is the oldest.
    drill_problem: what the newest drill of the run found instead.
    tags: those of `bqdump runs --tag`.
    dataset: where a run exports several: the dataset, or `*` for all of them together; else "".
    alone, shared: with `storage`, the bytes of files that no other run names, which removing this run frees, and of
        those that others name as well.
    growth: with `growth`, the tables that changed their size since run `grown_since`.
    """

    run: str
    state: RunState
    published: bool
    snapshot_time: datetime | None = None
    tables: int = 0
    files: int = 0
    bytes: int = 0
    rows: int = 0
    failed: int = 0
    skipped: int = 0
    begun: datetime | None = None
    ended: datetime | None = None
    problem: str = ""
    carried: int = 0
    oldest_snapshot_time: datetime | None = None
    proven: datetime | None = None
    proven_tables: int = 0
    provable_tables: int = 0
    drill_problem: str = ""
    oldest_proof: datetime | None = None
    tags: tuple[str, ...] = ()
    dataset: str = ""
    reused: int = 0
    alone: int | None = None
    shared: int | None = None
    growth: tuple[TableGrowth, ...] = ()
    grown_since: str = ""

    @property
    def took(self) -> int:
        """Milliseconds from the first job to the end of the last one, 0 without jobs."""
        return round((self.ended - self.begun).total_seconds() * 1000) if self.begun and self.ended else 0

    @property
    def restorable(self) -> Restorable:
        """What drills have proven about the run."""
        tables, of = self.proven_tables, self.provable_tables
        return Restorable(self.proven, self.run, tables, of, self.drill_problem, self.oldest_proof)

    @property
    def whole(self) -> bool:
        """Whether the run has ended, as far as its documents can be read."""
        return self.state in ("complete", "partial")


async def list_runs(store: ObjectStore, settings: Settings, *, storage: ObjectStore | None = None) -> Rows[RunLine]:
    """All runs of a target, latest snapshot first. Runs without a snapshot time, or unreadable, come first.

    storage: the store that returns every manifest, for what each run shares with others, trusted or not.
    """
    entered = await visible_log(store, settings)
    latest = await readable_in(store, settings, entered)
    drills = await read_drills(store, settings.layout)
    known: dict[str, LogEntry] = {}
    shown = await read_runs(store, settings, latest.run if latest else "", known, drills, entered)
    proven = await with_proof_of_published(store, settings, shown, drills)
    lines = await with_tags(store, settings, await with_lost_manifests(store, settings, proven, known))
    return with_storage(lines, await read_storage(storage, settings)) if storage else lines


async def with_proof_of_published(
    store: ObjectStore, settings: Settings, lines: Iterable[RunLine], drills: Sequence[Drill]
) -> list[RunLine]:
    """The same runs, the published one with all that drills have proven of its tables, also in earlier runs."""

    async def proven(line: RunLine) -> RunLine:
        contents = None
        with suppress(DocumentError, VerificationError):
            if line.published and drills:
                contents = await read_contents(store, settings.layout.run(line.run))
        if contents is None:
            return line
        return with_proof(line, (await proof_of(store, settings.layout, contents, drills)).restorable)

    return list(await gathered(proven, list(lines), READS_AT_ONCE))


async def with_lost_manifests(
    store: ObjectStore, settings: Settings, lines: Iterable[RunLine], entries: Mapping[str, LogEntry]
) -> list[RunLine]:
    """The same runs: `unreadable` if the manifest is lost or damaged, `not trusted` if the store refuses it.

    entries: the runs in the log, and what would be the entries of others.
    """

    listed, words = await manifests_in(store, settings.layout), Commands(str(settings.target))

    async def looked_at(line: RunLine) -> RunLine:
        name = settings.layout.run(line.run).manifest.name
        try:
            if not line.whole:
                return line
            if line.run in entries:
                await check_manifest(store, settings.layout, entries[line.run], listed)
                return line
            if await exists(store, settings.layout.run(line.run).manifest):
                return line
        except VerificationError as error:
            return _untrusted(line, error)
        except DocumentError as error:
            if await exists(store, settings.layout.run(line.run).manifest):
                return replace(line, state="unreadable", problem=error.sentence(words))
        return replace(line, state="unreadable", problem=fill(_lost(name), words))

    return list(await gathered(looked_at, list(lines), LOOKS_AT_ONCE))


def _untrusted(line: RunLine, error: VerificationError) -> RunLine:
    return replace(line, state="not trusted", problem=fill(error.cause, COMMANDS))


async def with_tags(store: ObjectStore, settings: Settings, lines: Iterable[RunLine]) -> Rows[RunLine]:
    """The same runs with their tags."""
    tags, damaged = await readable_tags(store, settings.layout)
    problems = {run: error.sentence(COMMANDS) for run, error in damaged.items()}
    return Rows(
        replace(line, tags=tags.get(line.run, ()), problem=line.problem or problems.get(line.run, "")) for line in lines
    )


def with_storage(lines: Iterable[RunLine], storage: Storage) -> Rows[RunLine]:
    """The same runs with what each one shares with others."""
    return Rows(
        replace(line, alone=storage.of(line.run).alone, shared=storage.of(line.run).shared)
        if line.run in storage
        else line
        for line in lines
    )


async def read_runs(
    store: ObjectStore,
    settings: Settings,
    published: str,
    known: dict[str, LogEntry],
    drills: Sequence[Drill],
    entered: Sequence[LogLine],
) -> Rows[RunLine]:
    """See list_runs.

    published: the published run.
    known: entries of the log, and what was made of manifests without one before; new ones are added.
    entered: the log.

    Complete runs are in the log, and one listing returns all of it. Other runs are read individually.
    """
    runs = await store.folders(settings.layout.runs)
    noted = await entries_in(store, settings.layout, entered)
    known |= noted
    words = Commands(str(settings.target))

    async def line(run: str) -> RunLine | None:
        try:
            # One that was read from its manifest may have been pruned since.
            if run in noted or (run in known and await _stands(store, settings, run)):
                return _finished(known[run], published)
            entry = await _look_at(store, settings, run)
        except DocumentError as error:
            return RunLine(run=run, state="unreadable", published=run == published, problem=error.sentence(words))
        except VerificationError as error:
            return _untrusted(RunLine(run=run, state="not trusted", published=run == published), error)
        if entry is None or isinstance(entry, RunLine):
            return entry
        known[run] = entry
        return _finished(entry, published)

    async def judged(run: str) -> RunLine | None:
        shown = await line(run)
        if shown and shown.whole and run not in noted:
            return replace(shown, problem=await _why_not_entered(store, settings, known[run], entered))
        return shown

    lines = [entry for entry in await gathered(judged, sorted({*runs, *noted}), READS_AT_ONCE) if entry]
    proofs = by_run(drills)
    return Rows(sorted((_with_proof(told, proofs) for told in lines), key=latest_first, reverse=True))


async def _why_not_entered(store: ObjectStore, settings: Settings, entry: LogEntry, entered: Sequence[LogLine]) -> str:
    """Why a complete run has no entry that can be read, and what to do; "" where it is to have none.

    entry: what would be its entry.
    """
    damaged = next((line.name for line in entered if line.run == entry.run), "")
    if not damaged and entry.replaces and any((line.snapshot, line.run) > entry.age for line in entered):
        # A later run has replaced its files.
        return ""
    again = fill(await enter_again(store, settings, entry.run), COMMANDS)
    if damaged:
        return f"its entry {damaged} cannot be read. Delete that, then enter the run again. {again}"
    return f"it is complete, but not in the log. {again}"


async def _stands(store: ObjectStore, settings: Settings, run: str) -> bool:
    pruned = await is_pruned(store, settings.layout, run)
    return not pruned and await exists(store, settings.layout.run(run).manifest)


def _with_proof(line: RunLine, proofs: Mapping[tuple[str, int], Restorable]) -> RunLine:
    proof = proofs.get((line.run, milliseconds_of(line.snapshot_time))) if line.snapshot_time else None
    if proof is None:
        return line
    return with_proof(line, of_the_rest(proof, line.tables + line.failed))


def with_proof(line: RunLine, proof: Restorable) -> RunLine:
    """The same run with what drills have proven of it."""
    return replace(
        line,
        proven=proof.proven,
        proven_tables=proof.tables,
        provable_tables=proof.of,
        drill_problem=proof.problem,
        oldest_proof=proof.oldest,
    )


def latest_first(line: RunLine) -> tuple[bool, datetime, str]:
    """Sort key, for reverse order: the snapshot time; runs without one sort as the latest."""
    return line.snapshot_time is None, line.snapshot_time or EPOCH, line.run


async def _look_at(store: ObjectStore, settings: Settings, run: str) -> LogEntry | RunLine | None:
    """A run that is not in the log: from its manifest, plan, or only its name. None for one that was pruned."""
    layout, words = settings.layout.run(run), Commands(str(settings.target))
    if await is_pruned(store, settings.layout, run):
        return None
    if stored := await read(store, layout.manifest):
        name = layout.manifest.name
        return _sound(entry_of(contents_of(stored.data, name), stored.data, stored.generation), run, name)
    plan = await value_of(store, layout.plan)
    shown = await status_with(store, settings, run, plan)
    if shown is None:
        return RunLine(run=run, state="unreadable", published=False, problem=fill(f"{layout.root} {NEITHER}", words))
    if shown.state in ("complete", "partial"):
        # It has ended since its manifest was looked for.
        return await _look_at(store, settings, run)
    if shown.state == "published":
        return RunLine(run=run, state="unreadable", published=True, problem=fill(_lost(layout.manifest.name), words))
    return RunLine(
        run=run,
        state=shown.state,
        published=False,
        snapshot_time=shown.snapshot_time,
        tables=shown.tables + shown.reused,
        rows=plan.rows + sum(table.rows for table in plan.reused) if plan else 0,
        failed=len(shown.failed),
        reused=shown.reused,
    )


def _lost(manifest: str) -> str:
    hint = "Bring the object back, such as from soft deletion. Until then, {call:prune} stops."
    return f"its manifest {manifest} is gone, so nothing can be restored from it. {hint}"


def _sound(entry: LogEntry, run: str, name: str) -> LogEntry:
    """The same. Raises DocumentError if it belongs to another run or its snapshot time is invalid."""
    if entry.run != run:
        raise DocumentError("read", name, f"it is about run {entry.run[:100]!r}", CHANGED)
    try:
        parse_time(entry.snapshot_time)
    except ValueError:
        raise DocumentError("read", name, f"its snapshot time is {entry.snapshot_time[:50]!r}", CHANGED) from None
    return entry


def _finished(entry: LogEntry, published: str) -> RunLine:
    """A run from its entry in the log, or what would be its entry."""
    totals = entry.totals
    return RunLine(
        run=entry.run,
        state=entry.status,
        published=entry.run == published,
        snapshot_time=time_of(parse_time(entry.snapshot_time)),
        tables=totals.tables,
        files=totals.files,
        bytes=totals.bytes,
        rows=entry.rows,
        failed=entry.failed,
        skipped=entry.skipped,
        begun=time_of(entry.begun) if entry.begun else None,
        ended=time_of(entry.ended) if entry.ended else None,
        carried=totals.carried,
        oldest_snapshot_time=time_in(entry.oldest_snapshot_time),
        reused=totals.reused,
    )
